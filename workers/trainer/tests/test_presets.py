"""The presets here and those of workflow inputs (schemas/presets.json) say the same."""

import dataclasses
import json
from pathlib import Path

import pytest

from rpo_trainer.config import LoraConfig, TrainConfig
from rpo_trainer.presets import PRESETS

GO = json.loads((Path(__file__).parents[3] / "schemas" / "presets.json").read_text())
# What an input calls otherwise.
NAMES = {"max_length": "max_tokens", "precision": "dtype"}
# What an input cannot say: the supervisor leaves it to the trainer's defaults.
DEFAULTS = {f.name: f.default for f in dataclasses.fields(TrainConfig) if f.default is not dataclasses.MISSING}


def test_both_know_the_same_names():
    assert set(GO) == set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_the_same_in_both(name):
    go = dict(GO[name])
    go.pop("processes", None)  # ranks are torchrun's
    lora = {"rank": go.pop("lora_rank"), "alpha": go.pop("lora_alpha"), "dropout": LoraConfig().dropout}
    said = {NAMES.get(key, key): value for key, value in go.items()}
    said["shard"] = {-1: 0}.get(said.get("shard", 1), said.get("shard", 1))
    expected = {**DEFAULTS, **PRESETS[name]}
    if expected["shuffle"] == "pairs" and expected["layout"] != "groups":
        expected["shuffle"] = ""  # what the default comes to
    assert {**DEFAULTS, **said, "lora": lora} == expected
