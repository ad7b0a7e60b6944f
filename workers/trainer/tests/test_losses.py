"""The methods beside rpo, the NLL mix, and the gate before the first update."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
import torch
from test_train import losses

from rpo_trainer import data, logprob, packing
from rpo_trainer.loss import kto_baseline, kto_loss
from rpo_trainer.tokens import ChatTokenizer


@pytest.fixture
def kto_file(tmp_path):
    return tiny.write_kto(tmp_path / "kto.parquet", 36)


def test_the_kto_loss_is_the_papers_equation():
    logp, ref = torch.tensor([-10.0, -12.0]), torch.tensor([-11.0, -9.0])
    values, rewards = kto_loss(logp, ref, torch.tensor([True, False]), 0.05, 0.1, 1.0, 1.5)
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    assert values.tolist() == pytest.approx([1 - sigmoid(0.1 - 0.05), 1.5 * (1 - sigmoid(0.05 + 0.3))], abs=1e-6)
    assert rewards.tolist() == pytest.approx([0.1, -0.3], abs=1e-6)
    assert kto_baseline(-3.0, 2, 0.1) == 0.0 and kto_baseline(3.0, 2, 0.1) == pytest.approx(0.15)


def test_kto_starts_at_half_its_weights_and_learns_its_labels(start, kto_file):
    out = start(kto_file, loss="kto", max_steps=40, learning_rate=5e-3, layout="groups", undesirable_weight=2.0,
                pairs_per_step=36, pairs_per_batch=12, held_out_fraction=0)
    result, steps = tiny.read_result(out), tiny.read_events(out, "step")
    assert result["status"] == "done", result["reason"]
    assert result["loss_first"] == pytest.approx((24 * 0.5 + 12 * 1.0) / 36, abs=1e-5)
    assert steps[-1]["loss"] < 0.55 and steps[-1]["reward_accuracy"] > 0.9
    assert steps[-1]["reward_chosen"] > steps[-1]["reward_rejected"]


@pytest.mark.parametrize("layout", ["none", "groups"])
def test_layouts_and_batches_give_one_kto_run(start, kto_file, layout):
    values = {"loss": "kto", "learning_rate": 5e-3, "shuffle": "prompts", "sft_weight": 0.1}
    one = start(kto_file, "one", layout="pairs", **values)
    other = start(kto_file, "other", layout=layout, pairs_per_batch=3, **values)
    assert losses(other) == pytest.approx(losses(one), abs=2e-5)


def test_a_mismatched_completion_belongs_to_another_prompt_and_fits(base, kto_file):
    examples = data.read_examples([kto_file], "kto", ChatTokenizer(base))
    assert sum(example.desirable for example in examples) == 24
    limit = max(example.length for example in examples)
    others = data.mismatched(examples, limit)
    for example, other in zip(examples, others):
        assert np.array_equal(other.prompt, example.prompt) and other.length <= limit
        assert all(not np.array_equal(other.responses[0], like.responses[0])
                   for like in examples if np.array_equal(like.prompt, example.prompt))
    again = data.mismatched(examples[::-1], limit)[::-1]
    assert all(np.array_equal(one.responses[0], two.responses[0]) for one, two in zip(others, again))
    assert data.mismatched(examples[:1], limit) == [None]


def test_a_label_that_is_none_is_refused(start, tmp_path):
    path = tmp_path / "kto.parquet"
    table = pq.read_table(tiny.write_kto(path, 6))
    pq.write_table(table.set_column(3, "label", pa.array([True, None, True, False, True, True])), path)
    out = start(str(path), loss="kto", expect=78)
    assert "row 1: label must be true or false" in tiny.read_result(out)["reason"]


def test_demonstrations_of_the_sft_table_are_read(start, tmp_path, kto_file):
    table = pq.read_table(kto_file).rename_columns(
        ["demonstration_id", "prompt", "completion", "label", "score", "profile_id"])
    path = str(tmp_path / "sft.parquet")
    pq.write_table(table, path)
    out = start(path, loss="sft", learning_rate=5e-3, layout="groups")
    assert tiny.read_result(out)["status"] == "done" and losses(out)[-1] < losses(out)[0]


def test_the_nll_mix_adds_the_likelihood_per_token_of_the_chosen_response(start, pairs_g3):
    plain = start(pairs_g3, "plain", max_steps=1)
    mixed = start(pairs_g3, "mixed", max_steps=1, sft_weight=0.5)
    # An untrained model of 352 tokens with widened weights is worse than chance: about 7 nats a token.
    extra = tiny.read_result(mixed)["loss_first"] - tiny.read_result(plain)["loss_first"]
    assert 0.5 * 5.5 < extra < 0.5 * 10


@pytest.mark.parametrize("values", [
    {"loss": "rpo"}, {"loss": "rpo", "sft_weight": 0.1}, {"loss": "sft"}, {"loss": "kto"}],
    ids=["rpo", "nll", "sft", "kto"])
@pytest.mark.parametrize("defect", ["mask", "target"])
def test_the_gate_finds_a_defect_of_the_packed_pass(start, pairs_g3, kto_file, monkeypatch, values, defect):
    """The reference is computed before the defect appears, so only packing differs."""
    file = kto_file if values["loss"] in ("sft", "kto") else pairs_g3
    good = start(file, "good", max_steps=1, **values)
    reference = [] if values["loss"] == "sft" else [good + "/reference.parquet"]
    if defect == "mask":  # responses see each other
        def leak(spans, device, way, kind=packing.Span):
            from rpo_trainer.attention import PieceSegments
            return PieceSegments([kind((span.prompt[0], span.prompt[1]), [(
                span.prompt[0] + span.prompt[1], sum(fed for _, fed in span.responses))]) for span in spans], device)
        monkeypatch.setattr("rpo_trainer.attention.segments_of", leak)
        values = {**values, "layout": "groups"}
    else:  # targets are off by one
        compute = logprob.token_logprobs
        monkeypatch.setattr(logprob, "token_logprobs",
                            lambda hidden, weight, targets, chunk: compute(hidden, weight, targets.roll(1), chunk))
    out = start(file, "bad", max_steps=1, reference=reference, expect=78, **values)
    reason = tiny.read_result(out)["reason"]
    assert "the first loss is" in reason and "packed forward pass disagrees" in reason, reason
    assert tiny.read_events(out, "step") == []
