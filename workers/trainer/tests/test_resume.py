import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import tiny
from safetensors.torch import load_file
from test_train import UNMETERED, losses

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def environment():
    return {**os.environ, "PYTHONPATH": PACKAGE, "OMP_NUM_THREADS": "1"}


def metered(out):
    return [{key: value for key, value in event.items() if key not in UNMETERED} for event in tiny.read_events(out, "step")]


def wait_for(out, event, number, process):
    """Wait until the run has written so many events of a kind; a torn last line is none."""
    path = os.path.join(out, "events.jsonl")
    while process.poll() is None:
        if os.path.exists(path):
            with open(path) as file:
                lines = [line for line in file if line.endswith("\n")]
            if sum(f'"event": "{event}"' in line for line in lines) >= number:
                return
        time.sleep(0.005)
    raise AssertionError(f"the run ended before {number} lines of {event}")


def test_after_kill_9_the_losses_go_on_bitwise_equal(start, base, tmp_path, pairs_file):
    values = {"max_steps": 150, "checkpoint_every": 10, "eval_every": 50, "learning_rate": 2e-3,
              "lora": {"rank": 4, "alpha": 8, "dropout": 0.1}}
    undisturbed = start(pairs_file, "undisturbed", **values)

    out = str(tmp_path / "killed")
    document = json.loads((tmp_path / "train.json").read_text())
    path = tiny.write_config(tmp_path / "killed.json", **{**document, "out_dir": out})
    process = subprocess.Popen([sys.executable, "-m", "rpo_trainer.train", "--config", path], env=environment())
    wait_for(out, "checkpoint", 2, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not os.path.exists(os.path.join(out, "result.json"))

    start(pairs_file, "killed", **values)
    resumed = tiny.read_events(out, "resume")[0]["step"]
    assert 20 <= resumed < 150 and resumed % 10 == 0
    assert [event["step"] for event in tiny.read_events(out, "step")] == list(range(1, 151))
    assert metered(out) == metered(undisturbed)
    assert tiny.read_result(out)["loss_last"] == tiny.read_result(undisturbed)["loss_last"]
    assert [e["step"] for e in tiny.read_events(out, "eval")] == [e["step"] for e in tiny.read_events(undisturbed, "eval")]


def test_a_torn_event_line_is_cut_off_before_the_next_one_is_written(start, pairs_file):
    values = {"max_steps": 4, "checkpoint_every": 2}
    out = start(pairs_file, **values)
    with open(os.path.join(out, "events.jsonl"), "a") as file:
        file.write('{"event": "progress", "pha')
    start(pairs_file, **values)
    assert [event["step"] for event in tiny.read_events(out, "step")] == [1, 2, 3, 4]
    assert tiny.read_events(out, "resume")


@pytest.mark.parametrize("harm", ["torn weights", "no marker", "left as tmp"])
def test_a_checkpoint_that_is_not_whole_is_passed_over(start, pairs_file, harm):
    values = {"max_steps": 6, "checkpoint_every": 2}
    out = start(pairs_file, **values)
    expected = metered(out)
    newest = os.path.join(out, "checkpoints", "step-000006")
    if harm == "torn weights":
        with open(os.path.join(newest, "__0_0.distcp"), "r+b") as file:
            file.truncate(1000)
    elif harm == "no marker":
        os.unlink(os.path.join(newest, "COMMITTED"))
    else:
        os.rename(newest, newest + ".tmp")
    start(pairs_file, **values)
    assert tiny.read_events(out, "resume")[0]["step"] == 4
    assert metered(out) == expected


@pytest.mark.parametrize("more", [
    {"shard": 1}, {"shard": 2, "layout": "groups"}, {"shard": 2, "lora": None, "learning_rate": 1e-4}],
    ids=["replicated", "sharded", "sharded full fine-tuning"])
def test_two_ranks_give_the_losses_of_one_and_one_rank_finishes_what_two_began(start, tmp_path, pairs_file, more):
    """8 pairs a step in micro-batches of 3: the ranks hold unlike numbers of pairs, the last step is short."""
    values = {"max_steps": 0, "epochs": 1.0, "checkpoint_every": 3, "pairs_per_batch": 3, "learning_rate": 5e-3,
              "shuffle": "pairs", "export": ["merged"], **more}
    alone = start(pairs_file, "alone", **{**values, "shard": 1})
    document = json.loads((tmp_path / "train.json").read_text())
    out = str(tmp_path / "two")
    path = tiny.write_config(tmp_path / "two.json", **{**document, "out_dir": out, "shard": values["shard"]})
    subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
                    "-m", "rpo_trainer.train", "--config", path], env=environment(), check=True, timeout=120)
    assert tiny.read_events(out, "start")[0]["world_size"] == 2
    assert tiny.read_result(out)["status"] == "done"
    assert losses(out) == pytest.approx(losses(alone), abs=1e-5)
    ours, theirs = (load_file(os.path.join(folder, "merged", "model.safetensors")) for folder in (alone, out))
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():  # Adam makes much of gradients that are nearly zero
        assert (tensor - theirs[name]).norm() < 1e-3 * tensor.norm(), name

    shutil.rmtree(os.path.join(out, "checkpoints", sorted(os.listdir(os.path.join(out, "checkpoints")))[-1]))
    start(pairs_file, "two", **{**values, "shard": 1})
    resumed = tiny.read_events(out, "resume")[0]
    assert resumed["step"] == 3 and resumed["world_size"] == 1
    assert losses(out) == pytest.approx(losses(alone), abs=1e-5)


def test_a_rank_does_not_outlive_its_parent(base, tmp_path, pairs_file):
    out = str(tmp_path / "orphan")
    path = tiny.write_config(tmp_path / "train.json", model_dir=base, data=[pairs_file], out_dir=out, epochs=100000,
                             pairs_per_step=8, export=[], threads=1)
    # A shell between us and the rank: killing it must end the rank.
    shell = subprocess.Popen(["sh", "-c", f'"{sys.executable}" -m rpo_trainer.train --config "{path}"; true'],
                             env=environment())
    wait_for(out, "step", 1, shell)
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(shell.pid)], capture_output=True, text=True)
    rank = int(children.stdout.split()[0])
    shell.kill()
    shell.wait()
    deadline = time.monotonic() + 20
    while is_running(rank):
        assert time.monotonic() < deadline, "the rank is still running"
        time.sleep(0.02)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
