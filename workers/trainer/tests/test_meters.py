"""The figures of a step, computed anew: by transformers' own model, one response at a time, in float64."""

import glob
import os
import struct

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny
import torch
from test_telemetry import fields, records
from transformers import AutoModelForCausalLM, AutoTokenizer

BETA, GAMMA = 0.2, 0.3
TOGETHER = {"pairs_per_step": 48, "pairs_per_batch": 7, "held_out_fraction": 0, "schedule": "constant", "warmup_fraction": 0.0,
            "learning_rate": 5e-2, "beta": BETA, "gamma": GAMMA, "epochs": 1000}


def log_probability(model, tokenizer, prompt, response):
    """(log pi(response | prompt), response tokens, prompt tokens), from the template's text alone."""
    text = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    head, body = (tokenizer(part, add_special_tokens=False)["input_ids"] for part in (text, response[0]["content"] + "<|end|>"))
    with torch.no_grad():
        logits = model(torch.tensor([head + body])).logits[0].double()
    chosen = torch.log_softmax(logits, 1)[torch.arange(len(head) - 1, len(head) + len(body) - 1), body]
    return float(chosen.sum()), len(body), len(head)


@pytest.fixture(scope="module")
def rows(pairs_file):
    return pq.read_table(pairs_file).to_pylist()


def columns(folder, rows):
    """float64 [pairs, 2] log-probabilities under the model of a folder, and what the pairs' tokens are."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = [[log_probability(model, tokenizer, row["prompt"], row[kind]) for kind in ("chosen", "rejected")] for row in rows]
    return np.array([[value for value, _, _ in pair] for pair in found]), [
        (pair[0][2], pair[0][1], pair[1][1]) for pair in found]


@pytest.mark.parametrize("scale", ["reward", "logit"])
def test_the_figures_of_a_step_are_those_of_a_plain_computation(start, base, pairs_file, rows, scale):
    """Step 2 of a run is measured with the policy that step 1 has made, which another run exports."""
    one = start(pairs_file, "one", max_steps=1, export=["merged"], margin_scale=scale, **TOGETHER)
    two = start(pairs_file, "two", max_steps=2, margin_scale=scale, layout="groups", **TOGETHER)
    line = tiny.read_events(two, "step")[1]
    before, lengths = columns(base, rows)
    after, _ = columns(os.path.join(one, "merged"), rows)
    ratio = after - before
    g = np.array([row["margin"] for row in rows])
    gap = BETA * (ratio[:, 0] - ratio[:, 1])
    margin = GAMMA * g * (1 if scale == "reward" else BETA)
    expected = {
        "loss": np.log1p(np.exp(margin - gap)).mean(),
        "reward_accuracy": (gap > 0).mean(),
        "reward_accuracy_margin": (gap > margin).mean(),
        "reward_chosen": BETA * ratio[:, 0].mean(), "reward_rejected": BETA * ratio[:, 1].mean(), "reward_margin": gap.mean(),
        "logp_chosen": after[:, 0].mean(), "logp_rejected": after[:, 1].mean(),
        # Of the responses that the reference wrote: mean of log ref - log pi.
        "kl_estimate": (before - after).mean(),
    }
    for name, value in expected.items():
        assert line[name] == pytest.approx(value, rel=1e-3, abs=2e-4), name
    assert line["accuracy_by_g"] == {f"{value:g}": pytest.approx((gap[g == value] > 0).mean()) for value in (1, 2, 3, 4)}
    # The step tells the three figures apart.
    assert 0 < line["reward_accuracy_margin"] <= line["reward_accuracy"] < 1 and len(set(line["accuracy_by_g"].values())) > 1
    if scale == "reward":
        assert line["reward_accuracy_margin"] < line["reward_accuracy"]
    # Tokens: what the trees hold, and what rows of their own would.
    assert line["tokens"] == sum(map(sum, lengths))
    assert line["tokens_unshared_per_s"] / line["tokens_per_s"] == pytest.approx(
        sum(2 * prompt + chosen + rejected for prompt, chosen, rejected in lengths) / line["tokens"], rel=1e-2)


def test_every_number_of_a_step_line_is_in_tensorboard_and_in_the_prometheus_text(start, pairs_file):
    out = start(pairs_file, max_steps=2, **TOGETHER)
    line = tiny.read_events(out, "step")[-1]
    expected = {name: value for name, value in line.items()
                if isinstance(value, (int, float)) and name not in ("step", "time")}
    expected.update({f"accuracy_by_g/{g}": value for g, value in line["accuracy_by_g"].items()})
    [path] = glob.glob(out + "/tensorboard/*")
    last = fields(list(records(path))[-1])
    told = {}
    for value in fields(last[5][0])[1]:
        entry = fields(value)
        told[entry[1][0].decode()] = struct.unpack("<f", entry[2][0])[0]
    assert told.keys() == expected.keys()
    for name, value in expected.items():
        assert told[name] == pytest.approx(value, rel=1e-6), name
    text = {}
    with open(out + "/metrics.prom", encoding="utf-8") as file:
        for entry in file:
            if not entry.startswith("#"):
                name, value = entry.rsplit(" ", 1)
                text[name] = float(value)
    assert text.pop("rpo_train_step") == 2
    assert text == {(f'rpo_train_accuracy_by_g{{g="{name[14:]}"}}' if "/" in name else f"rpo_train_{name}"): float(value)
                    for name, value in expected.items()}


def test_the_evaluation_has_the_figures_of_a_step_on_the_held_out_profiles(start, pairs_file):
    """Evaluated before anything is trained: rewards are 0, and so nothing is chosen over anything."""
    out = start(pairs_file, max_steps=1, held_out_fraction=0.3)
    first, last = tiny.read_events(out, "eval")
    assert first["reward_accuracy"] == first["reward_accuracy_margin"] == 0.0
    assert first["kl_estimate"] == pytest.approx(0.0, abs=1e-4)
    assert set(first["accuracy_by_g"]) <= {"1", "2", "3", "4"} and last["reward_margin"] != 0
