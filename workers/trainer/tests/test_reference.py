import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
from test_resume import environment

from rpo_trainer import reference, refcache


@pytest.fixture
def compute(base, tmp_path, capsys):
    def run(data, expect=0, **values):
        out = str(tmp_path / "reference.parquet")
        path = tiny.write_config(tmp_path / "reference.json",
                                 **{"model_dir": base, "data": [data], "out": out, "threads": 1, "device": "cpu", **values})
        assert reference.main(["--config", path]) == expect
        printed = capsys.readouterr()
        return (json.loads(printed.out), pq.read_table(out)) if expect == 0 else printed.err

    return run


def test_every_pair_has_two_rows_sorted_by_pair_and_role(compute, pairs_file):
    counts, table = compute(pairs_file)
    rows = table.to_pylist()
    assert counts["pairs"] == 48 and len(rows) == 96
    assert [(row["pair_id"], row["role"]) for row in rows] == sorted((row["pair_id"], row["role"]) for row in rows)
    assert all(row["logprob"] < 0 and row["tokens"] > 0 and row["error"] is None for row in rows)


def test_equal_sequences_are_computed_once_and_have_one_key(compute, tmp_path):
    rows = tiny.make_pairs(6)
    rows[3].update(prompt=rows[2]["prompt"], chosen=rows[2]["chosen"])
    counts, table = compute(tiny.write_pairs(tmp_path / "p.parquet", rows))
    assert counts["sequences"] == 11
    values = {(row["pair_id"], row["role"]): row for row in table.to_pylist()}
    first, second = values["pair-0002", "chosen"], values["pair-0003", "chosen"]
    assert (first["key"], first["logprob"]) == (second["key"], second["logprob"])
    assert len({row["key"] for row in values.values()}) == 11


def test_a_pair_over_the_limit_stays_in_the_table_with_its_reason(compute, pairs_file):
    counts, table = compute(pairs_file, max_tokens=30)
    assert 0 < counts["too_long"] < 48 and table.num_rows == 96
    for row in table.to_pylist():
        assert (row["logprob"] is None) == (row["error"] == "too_long")


def test_the_batch_changes_no_value_beyond_rounding(compute, pairs_file):
    _, wide = compute(pairs_file, batch=16)
    _, narrow = compute(pairs_file, batch=1)
    assert wide["key"].equals(narrow["key"])
    assert wide["logprob"].to_pylist() == pytest.approx(narrow["logprob"].to_pylist(), abs=1e-4)


def test_the_table_of_the_command_trains_as_the_live_reference_does(compute, start, pairs_file, tmp_path):
    compute(pairs_file)
    live = start(pairs_file, "live")
    cached = start(pairs_file, "cached", reference=[str(tmp_path / "reference.parquet")])
    for one, other in zip(tiny.read_events(live, "step"), tiny.read_events(cached, "step")):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-5)


def test_nothing_is_left_where_the_data_is_bad(compute, tmp_path):
    path = str(tmp_path / "columns.parquet")
    pq.write_table(pa.table({"prompt": ["text"]}), path)
    assert 'no column "chosen"' in compute(path, expect=78)
    assert not [name for name in os.listdir(tmp_path) if name.startswith("reference.parquet")]


def test_the_pass_says_how_far_it_is_and_how_it_ended(compute, pairs_file, tmp_path, monkeypatch):
    from rpo_trainer import events

    monkeypatch.setattr(events, "PROGRESS_SECONDS", 0.0)
    where = {"events": str(tmp_path / "told" / "events.jsonl"), "result": str(tmp_path / "told" / "result.json")}
    for _ in range(2):  # a second attempt forgets what the first one said
        compute(pairs_file, **where)
        lines = tiny.read_events(tmp_path / "told")
        assert {line["event"] for line in lines} == {"progress"}
        assert [(line["done"], line["total"]) for line in lines if line["phase"] == "load"] == [(1, 3), (2, 3), (3, 3)]
        assert [(line["done"], line["total"]) for line in lines if line["phase"] == "reference"] == [
            (done, 96) for done in range(16, 97, 16)]
        assert tiny.read_result(tmp_path / "told") == {"status": "done", "reason": ""}


def test_a_pass_that_fails_leaves_its_reason(compute, pairs_file, tmp_path, monkeypatch):
    result = {"result": str(tmp_path / "result.json"), "events": ""}
    compute(pairs_file, **result)
    for values, reason in (({"batch": 0}, "batch: must be at least 1"), ({"bach": 1}, 'unknown key "bach"')):
        compute(pairs_file, expect=78, **result, **values)
        assert tiny.read_result(tmp_path)["status"] == "invalid" and reason in tiny.read_result(tmp_path)["reason"]
    for error, status, code in ((MemoryError("full"), "out_of_memory", 77), (OSError("disk"), "failed", 1)):
        def fail(*_, error=error):
            raise error
        monkeypatch.setattr(refcache, "compute", fail)
        compute(pairs_file, expect=code, **result)
        assert tiny.read_result(tmp_path)["status"] == status


def test_a_key_changes_with_anything_the_value_depends_on():
    keys = {refcache.sequence_key(*parts) for parts in (
        ([1, 2], [3], "w", "t"), ([1], [2, 3], "w", "t"), ([1, 2], [4], "w", "t"), ([1, 2], [3], "v", "t"),
        ([1, 2], [3], "w", "s"))}
    assert len(keys) == 5


def test_two_ranks_of_a_sharded_model_give_the_values_of_one(compute, base, pairs_file, tmp_path):
    _, alone = compute(pairs_file)
    out = str(tmp_path / "sharded.parquet")
    path = tiny.write_config(tmp_path / "sharded.json", model_dir=base, data=[pairs_file], out=out, threads=1, device="cpu",
                             shard=2, batch=7)
    subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
                    "-m", "rpo_trainer.reference", "--config", path], env=environment(), check=True, timeout=120)
    sharded = pq.read_table(out)
    assert sharded["key"].equals(alone["key"])
    assert sharded["logprob"].to_pylist() == pytest.approx(alone["logprob"].to_pylist(), abs=1e-4)


def test_the_table_of_kto_rows_holds_completions_and_mismatched_ones(compute, start, tmp_path):
    data = tiny.write_kto(tmp_path / "kto.parquet", 18)
    _, table = compute(data, loss="kto")
    assert table["role"].to_pylist() == ["completion", "mismatched"] * 18
    out = start(data, loss="kto", reference=[str(tmp_path / "reference.parquet")])
    assert tiny.read_result(out)["loss_first"] == pytest.approx(0.5, abs=1e-5)
