"""What a run tells its supervisor: event lines, one per event, and its result."""

import json
import math
import os
import resource
import sys
import time

from .errors import one_line

RESULT_KEYS = ("status", "reason", "train_steps", "loss_first", "loss_last", "reward_accuracy",
               "pairs_train", "pairs_held_out", "dropped_long", "adapter_dir", "merged_dir", "gguf")


# A phase says how far it is at most this often.
PROGRESS_SECONDS = 2.0


class EventLog:
    """Appends lines to a file; each line is one write, so readers never see half of one."""

    def __init__(self, path):
        self.path = path

    def drop_torn_line(self):
        """Cut off what a killed attempt left of a line, so that the next one is not joined to it."""
        if os.path.exists(self.path):
            with open(self.path, "r+b") as file:
                file.truncate(file.read().rfind(b"\n") + 1)

    def cut_after(self, step):
        """Drop what happened after `step` (and a torn last line), so that each step appears once."""
        lines = []
        if step > 0 and os.path.exists(self.path):
            with open(self.path, encoding="utf-8") as file:
                lines = [line for line in file if keeps(line, step)]
        os.makedirs(os.path.dirname(os.path.abspath(self.path)), exist_ok=True)
        temporary = self.path + ".tmp"
        with open(temporary, "w", encoding="utf-8") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.path)

    def write(self, event, **values):
        document = {"event": event, **{key: finite(value) for key, value in values.items()}, "time": round(time.time(), 3)}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(document) + "\n")


def keeps(line, step):
    if not line.endswith("\n"):
        return False
    event = json.loads(line)
    return event["event"] not in ("export", "done", "progress") and event.get("step", 0) <= step


class Progress:
    """Says how far a phase is that writes no other events, so that its silence is not taken for a stall.

    A line when PROGRESS_SECONDS have passed since the last one, and always one at the end.
    """

    def __init__(self, events, phase, total):
        """events None: says nothing (ranks above 0)."""
        self.events, self.phase, self.total = events, phase, total
        self.done, self.said = 0, time.monotonic()

    def add(self, count=1):
        self.reach(self.done + count)

    def reach(self, done):
        self.done = min(done, self.total)
        if time.monotonic() - self.said >= PROGRESS_SECONDS and self.done < self.total:
            self._say()

    def end(self):
        self.done = self.total
        self._say()

    def _say(self):
        self.said = time.monotonic()
        if self.events is not None:
            self.events.write("progress", phase=self.phase, done=self.done, total=self.total)


def finite(value):
    """JSON has no NaN; a value that is not finite is written as null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return value


def write_train_result(out_dir, status, reason="", **values):
    """Write result.json with all its keys; those without a value are null."""
    write_result(os.path.join(out_dir, "result.json"), status, reason,
                 **{**{key: None for key in RESULT_KEYS[2:]}, **values})


def write_result(path, status, reason="", **values):
    """Write a result whole, unless this run already has one: the first cause is the one that counts."""
    document = {"status": status, "reason": one_line(reason), **{key: finite(value) for key, value in values.items()}}
    temporary = f"{path}.{os.getpid()}.tmp"
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        print(f"rpo_trainer: {status}: {reason}", file=sys.stderr)
    except OSError:  # a file system without links
        os.replace(temporary, path)
        return
    os.unlink(temporary)


def clear_result(path):
    """Forget the result of an earlier attempt."""
    if os.path.exists(path):
        os.unlink(path)


def memory_mb(device):
    """Peak memory of this rank so far: device memory on a GPU, resident memory on a CPU."""
    if device.type == "cuda":
        import torch

        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
