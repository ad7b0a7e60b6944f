import json
import os
import subprocess
import sys

import pytest
import tiny

from rpo_trainer.config import ReferenceConfig, TrainConfig, load
from rpo_trainer.errors import TrainerError


def document(base, pairs_file, **values):
    return {"model_dir": base, "data": [pairs_file], "out_dir": "out", **values}


def test_defaults_are_the_papers(base, pairs_file):
    config = load(TrainConfig, document(base, pairs_file))
    assert (config.loss, config.margin_scale, config.beta, config.gamma) == ("rpo", "reward", 0.1, 0.05)
    assert (config.lora.rank, config.lora.alpha, config.learning_rate, config.epochs) == (8, 16.0, 5e-4, 3.0)


def test_null_lora_means_full_fine_tuning_and_null_lists_are_empty(base, pairs_file):
    config = load(TrainConfig, document(base, pairs_file, lora=None, reference=None))
    assert config.lora is None and config.reference == [] and "adapter" not in config.export


@pytest.mark.parametrize("values, message", [
    ({"learning_rat": 1}, 'unknown key "learning_rat"'),
    ({"lora": {"rank": 8, "alfa": 16}}, 'unknown key "lora.alfa"'),
    ({"beta": "0.1"}, "beta: must be a number"),
    ({"beta": 0}, "beta: must be above 0"),
    ({"epochs": True}, "epochs: must be a number"),
    ({"pairs_per_step": 1.5}, "pairs_per_step: must be a whole number"),
    ({"pairs_per_step": 0}, "pairs_per_step: must be at least 1"),
    ({"loss": "ppo"}, 'loss: "ppo" is not one of'),
    ({"margin_scale": "both"}, "margin_scale"),
    ({"export": ["onnx"]}, 'export: "onnx"'),
    ({"data": []}, "data: name at least one"),
    ({"data": ["nowhere.parquet"]}, "no such file: nowhere.parquet"),
    ({"model_dir": "nowhere"}, "model_dir: no config.json in nowhere"),
    ({"layout": "rows"}, 'layout: "rows"'),
    ({"shuffle": "rows"}, 'shuffle: "rows"'),
    ({"template_date": "today"}, "template_date"),
    ({"compile": 1}, "compile: must be true or false"),
    ({"loss": "sft", "sft_weight": 1.0}, "sft_weight"),
    ({"version": 2}, "version: this trainer reads version 1"),
    ({"held_out_fraction": 1.0}, "held_out_fraction"),
    ({"lora": {"rank": 0}}, "lora.rank: must be at least 1"),
    ({"init": "random"}, "set lora to null"),
])
def test_a_bad_config_is_refused_with_the_keys_name(base, pairs_file, values, message):
    with pytest.raises(TrainerError, match=message) as caught:
        load(TrainConfig, document(base, pairs_file, **values))
    assert caught.value.status == "invalid"


def test_a_missing_key_is_named():
    with pytest.raises(TrainerError, match='missing key "out"'):
        load(ReferenceConfig, {"model_dir": "m", "data": ["d"]})


def test_a_bad_config_ends_the_program_at_once_with_a_result_and_no_traceback(tmp_path):
    path = tiny.write_config(tmp_path / "train.json", out_dir=str(tmp_path / "out"), batch=3)
    ended = subprocess.run([sys.executable, "-m", "rpo_trainer.train", "--config", path], capture_output=True, text=True,
                           cwd=os.path.dirname(os.path.dirname(os.path.abspath(__file__))), timeout=60)
    assert ended.returncode == 78
    assert 'unknown key "batch"' in ended.stderr and "Traceback" not in ended.stderr
    result = tiny.read_result(tmp_path / "out")
    assert result["status"] == "invalid" and 'unknown key "batch"' in result["reason"]


def test_a_config_that_is_not_json_is_refused(tmp_path, capsys):
    from rpo_trainer import train

    path = tmp_path / "train.json"
    path.write_text('{"out_dir": ')
    assert train.main(["--config", str(path)]) == 78
    assert "not JSON" in capsys.readouterr().err


def test_bad_data_is_refused_with_file_and_row(start, tmp_path):
    rows = tiny.make_pairs(4)
    rows[2]["margin"] = None
    out = start(tiny.write_pairs(tmp_path / "bad.parquet", rows), expect=78)
    assert "bad.parquet row 2: margin" in tiny.read_result(out)["reason"]

    rows = tiny.make_pairs(4)
    rows[3]["pair_id"] = rows[0]["pair_id"]
    out = start(tiny.write_pairs(tmp_path / "twice.parquet", rows), expect=78)
    assert "pair-0000 occurs twice" in tiny.read_result(out)["reason"]

    (tmp_path / "text.parquet").write_text("no parquet")
    out = start(str(tmp_path / "text.parquet"), expect=78)
    assert "not a readable Parquet file" in tiny.read_result(out)["reason"]
    assert json.loads(json.dumps(tiny.read_result(out)))["train_steps"] is None


def test_presets_are_the_papers_runs_and_give_way_to_what_is_given(base, pairs_file):
    from rpo_trainer.presets import PRESETS

    for name in PRESETS:
        config = load(TrainConfig, document(base, pairs_file, preset=name, gamma=0.07))
        assert (config.lora.rank, config.lora.alpha, config.learning_rate, config.epochs, config.gamma) == (8, 16, 5e-4, 3, 0.07)
    faithful = load(TrainConfig, document(base, pairs_file, preset="rpo-faithful-8b"))
    assert (faithful.layout, faithful.shuffle, faithful.margin_scale) == ("none", "pairs", "logit")
    with pytest.raises(TrainerError, match='preset: "8b" is not one of rpo-paper-8b'):
        load(TrainConfig, document(base, pairs_file, preset="8b"))
