import os

import pyarrow.parquet as pq
import pytest
import tiny

UNMETERED = ("time", "tflops_per_s", "tokens_per_s", "tokens_unshared_per_s", "pairs_per_s", "memory_mb")


def losses(out):
    return [event["loss"] for event in tiny.read_events(out, "step")]


@pytest.mark.parametrize("values, expected", [
    ({"loss": "rpo"}, 0.77096), ({"loss": "rpo", "margin_scale": "logit"}, 0.70068), ({"loss": "dpo"}, 0.69315)])
def test_the_first_loss_with_an_untrained_adapter_is_the_methods(start, pairs_g3, values, expected):
    out = start(pairs_g3, max_steps=1, **values)
    result = tiny.read_result(out)
    assert result["status"] == "done"
    assert result["loss_first"] == pytest.approx(expected, abs=2e-5)
    assert losses(out) == [result["loss_first"]]


def test_a_step_that_holds_a_pair_twice_counts_it_twice(start, pairs_g3):
    # More pairs a step than there are: a step spans the border of two epochs.
    out = start(pairs_g3, max_steps=1, pairs_per_step=3 * pq.read_table(pairs_g3).num_rows, epochs=5, held_out_fraction=0)
    result = tiny.read_result(out)
    assert result["status"] == "done", result["reason"]
    assert result["loss_first"] == pytest.approx(0.77096, abs=2e-5)


def test_a_run_tells_its_supervisor_everything(start, pairs_file):
    out = start(pairs_file, max_steps=4, eval_every=2, checkpoint_every=2, held_out_fraction=0.2,
                export=["adapter", "merged", "gguf"])
    kinds = [event["event"] for event in tiny.read_events(out) if event["event"] != "progress"]
    # A checkpoint is written while training goes on, so its line may come a step later.
    assert [kind for kind in kinds if kind != "checkpoint"] == [
        "start", "eval", "step", "step", "eval", "step", "step", "eval", "export", "export", "export", "done"]
    assert [event["step"] for event in tiny.read_events(out, "checkpoint")] == [2, 4]
    begin = tiny.read_events(out, "start")[0]
    assert begin["total_steps"] == 4 and begin["pairs_train"] + begin["pairs_held_out"] == 48
    assert begin["pairs_held_out"] > 0 and begin["dropped_long"] == 0 and begin["trainable_parameters"] == 16384
    step = tiny.read_events(out, "step")[1]
    assert set(step) == {
        "event", "step", "epoch", "loss", "reward_accuracy", "reward_accuracy_margin", "accuracy_by_g", "reward_chosen",
        "reward_rejected", "reward_margin", "logp_chosen", "logp_rejected", "kl_estimate", "grad_norm", "learning_rate",
        "tokens", "tokens_per_s", "tokens_unshared_per_s", "pairs_per_s", "tflops_per_s", "mfu", "memory_mb", "time"}
    assert set(step["accuracy_by_g"]) <= {"1", "2", "3", "4"}
    result = tiny.read_result(out)
    assert result["status"] == "done" and result["train_steps"] == 4
    assert result["reward_accuracy"] == tiny.read_events(out, "eval")[-1]["reward_accuracy"]
    for key in ("adapter_dir", "merged_dir", "gguf"):
        assert os.path.exists(result[key])
    assert sorted(os.listdir(os.path.join(out, "checkpoints"))) == ["step-000002", "step-000004"]


def test_every_silent_phase_says_how_far_it_is(start, pairs_file, monkeypatch):
    from rpo_trainer import events

    written = []
    write = events.EventLog.write
    monkeypatch.setattr(events, "PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(events.EventLog, "write",
                        lambda self, event, **values: (written.append({"event": event, **values}), write(self, event, **values)))
    out = start(pairs_file, max_steps=1, pairs_per_batch=2, held_out_fraction=0.2, export=["adapter", "merged", "gguf"])
    phases = {}
    for event in written:
        if event["event"] == "progress":
            phases.setdefault(event["phase"], []).append((event["done"], event["total"]))
    assert list(phases) == ["load", "reference", "eval", "export"]
    assert phases["load"] == [(1, 3), (2, 3), (3, 3)]
    assert phases["reference"] == [(done, 96) for done in range(4, 97, 4)]
    held_out = tiny.read_events(out, "eval")[0]["pairs"]
    assert phases["eval"] == [(min(done, held_out), held_out) for done in range(2, held_out + 2, 2)] * 2
    tensors = phases["export"][0][1]
    assert phases["export"] == [(done, tensors) for done in range(1, tensors + 1)] * 2


def test_progress_is_quiet_between_and_speaks_at_the_end(start, pairs_file):
    out = start(pairs_file, max_steps=1, pairs_per_batch=1, held_out_fraction=0.2)
    lines = tiny.read_events(out, "progress")
    assert [(line["phase"], line["done"] == line["total"]) for line in lines] == [("eval", True)] * 2


def test_eight_pairs_are_learnt_to_accuracy_one(start, tmp_path):
    path = tiny.write_pairs(tmp_path / "eight.parquet", tiny.make_pairs(8))
    out = start(path, max_steps=30, held_out_fraction=0, learning_rate=5e-3)
    last = tiny.read_events(out, "step")[-1]
    assert last["reward_accuracy"] == 1.0 and last["reward_accuracy_margin"] == 1.0
    assert last["loss"] < 0.3 and last["reward_margin"] > 0.15
    assert tiny.read_result(out)["reward_accuracy"] is None


@pytest.mark.parametrize("loss", ["rpo", "sft"])
def test_the_micro_batch_changes_nothing(start, pairs_file, loss):
    whole = start(pairs_file, "whole", loss=loss, pairs_per_batch=8, learning_rate=5e-3)
    single = start(pairs_file, "single", loss=loss, pairs_per_batch=3, learning_rate=5e-3)
    assert losses(whole) == pytest.approx(losses(single), abs=1e-5)
    norms = [[event["grad_norm"] for event in tiny.read_events(out, "step")] for out in (whole, single)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)


def test_full_fine_tuning_and_dropout_run(start, pairs_file):
    out = start(pairs_file, "full", lora=None, learning_rate=1e-3, max_steps=6, export=["merged"])
    assert losses(out)[-1] < losses(out)[0]
    assert tiny.read_result(out)["adapter_dir"] is None
    twice = [losses(start(pairs_file, f"drop{n}", lora={"rank": 4, "dropout": 0.3}, learning_rate=5e-2)) for n in (1, 2)]
    assert twice[0] == twice[1]
    assert twice[0] != losses(start(pairs_file, "still", lora={"rank": 4}, learning_rate=5e-2))


def test_bfloat16_compute_keeps_the_first_loss(start, pairs_g3):
    out = start(pairs_g3, dtype="bfloat16")
    assert tiny.read_result(out)["loss_first"] == pytest.approx(0.77096, abs=1e-2)


def test_sft_from_random_weights_learns_and_its_export_can_be_trained_again(start, tmp_path, pairs_file):
    bare = tiny.write_model(tmp_path / "bare", weights=False, tie=True)
    out = start(pairs_file, "sft", model_dir=bare, init="random", loss="sft", lora=None, learning_rate=5e-3, max_steps=30,
                export=["merged"])
    assert losses(out)[-1] < losses(out)[0] - 1.5
    merged = tiny.read_result(out)["merged_dir"]
    again = start(pairs_file, "rpo", model_dir=merged)
    assert tiny.read_result(again)["status"] == "done"


def test_a_reference_file_gives_the_same_run_as_the_live_reference(start, pairs_file):
    live = start(pairs_file, "live")
    table = os.path.join(live, "reference.parquet")
    cached = start(pairs_file, "cached", reference=[table])
    assert losses(cached) == losses(live)
    assert not os.path.exists(os.path.join(cached, "reference.parquet"))


def test_a_reference_of_another_model_or_with_gaps_is_refused(start, tmp_path, pairs_file):
    live = start(pairs_file, "live")
    table = pq.read_table(os.path.join(live, "reference.parquet"))
    gap = str(tmp_path / "gap.parquet")
    pq.write_table(table.slice(1), gap)
    out = start(pairs_file, "gap", reference=[gap], expect=78)
    assert "no log-probability for pair pair-0000 chosen" in tiny.read_result(out)["reason"]
    other = tiny.write_model(tmp_path / "other", seed=9)
    out = start(pairs_file, "other", model_dir=other, reference=[os.path.join(live, "reference.parquet")], expect=78)
    assert "computed with other weights" in tiny.read_result(out)["reason"]


def test_the_gate_stops_a_run_whose_reference_is_not_the_policy(start, tmp_path, pairs_file):
    live = start(pairs_file, "live")
    table = pq.read_table(os.path.join(live, "reference.parquet"))
    rows = [{**row, "logprob": row["logprob"] + (1.0 if row["role"] == "chosen" else 0.0)} for row in table.to_pylist()]
    shifted = str(tmp_path / "shifted.parquet")
    pq.write_table(table.from_pylist(rows, schema=table.schema), shifted)
    out = start(pairs_file, "gate", reference=[shifted], expect=78)
    result = tiny.read_result(out)
    assert result["status"] == "invalid" and "the first loss is" in result["reason"]
    assert tiny.read_events(out, "step") == []


def test_a_loss_that_is_not_finite_stops_the_run(start, pairs_file):
    out = start(pairs_file, lora=None, learning_rate=1e30, warmup_fraction=0.0, expect=78)
    result = tiny.read_result(out)
    assert result["status"] == "invalid" and "lower learning_rate" in result["reason"]
    assert len(losses(out)) < 3


def test_a_stop_file_ends_the_run_with_a_checkpoint_and_the_next_start_finishes_it(start, pairs_file):
    undisturbed = start(pairs_file, "undisturbed", max_steps=3)
    out = start(pairs_file, "stopped", max_steps=1)  # makes the folder
    for name in ("events.jsonl", "result.json"):
        os.unlink(os.path.join(out, name))
    os.rename(os.path.join(out, "checkpoints"), os.path.join(out, "old"))
    with open(os.path.join(out, "STOP"), "w"):
        pass
    out = start(pairs_file, "stopped", max_steps=3)
    result = tiny.read_result(out)
    assert (result["status"], result["train_steps"]) == ("stopped", 1)
    assert [event["event"] for event in tiny.read_events(out)][-1] == "checkpoint"
    out = start(pairs_file, "stopped", max_steps=3)
    assert tiny.read_result(out)["status"] == "done"
    assert losses(out) == losses(undisturbed)


def test_a_finished_run_started_again_only_reports(start, pairs_file):
    out = start(pairs_file, export=["adapter"])
    before = tiny.read_result(out), tiny.read_events(out, "step")
    start(pairs_file, export=["adapter"])
    assert (tiny.read_result(out), tiny.read_events(out, "step")) == before


def test_a_checkpoint_of_another_config_is_refused_by_the_keys_name(start, pairs_file):
    start(pairs_file)
    out = start(pairs_file, beta=0.2, expect=78)
    assert "was made with beta = 0.1, this run has 0.2" in tiny.read_result(out)["reason"]


def test_pairs_over_the_limit_are_counted(start, pairs_file):
    out = start(pairs_file, max_tokens=30)
    result = tiny.read_result(out)
    assert result["dropped_long"] > 0
    assert result["dropped_long"] + result["pairs_train"] + result["pairs_held_out"] == 48
    out = start(pairs_file, "none", max_tokens=5, expect=78)
    assert "no pairs to train on; 48 are longer" in tiny.read_result(out)["reason"]
