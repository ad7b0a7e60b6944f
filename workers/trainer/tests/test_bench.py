"""The script for a GPU must not fail there for silly reasons: here it runs with tiny shapes on a CPU."""

import json
import os
import subprocess
import sys

from test_resume import environment

from rpo_trainer.config import TrainConfig, decode

BENCH = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bench")


def test_the_gpu_script_runs_dry_and_its_last_line_is_one_object(tmp_path):
    lines = tmp_path / "lines.jsonl"
    done = subprocess.run(
        [sys.executable, os.path.join(BENCH, "gpu.py"), "--dry-run", "--phases", "matmul,attention,slice", "--out", str(lines)],
        env=environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    last = json.loads(done.stdout.splitlines()[-1])
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert rows == last["rows"] and not [row for row in rows if "error" in row], rows
    assert [row["phase"] for row in rows] == ["machine", "matmul", "attention", "slice", "slice"]
    assert rows[0]["label"] == "CPU, dry run" and "not measured" in rows[-1]["label"]


def test_every_run_of_the_gpu_script_is_a_config_that_the_trainer_takes():
    sys.path.insert(0, BENCH)
    try:
        import gpu
    finally:
        sys.path.remove(BENCH)
    assert len({label for label, _ in gpu.RUNS}) == len(gpu.RUNS)
    for _, settings in gpu.RUNS:
        decode(TrainConfig, {"model_dir": "m", "data": ["d"], "out_dir": "o", **settings}).check()
