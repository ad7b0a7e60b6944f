"""What a run tells its supervisor: events.jsonl, one line per event, and result.json."""

import json
import math
import os
import resource
import sys
import time

from .errors import one_line

RESULT_KEYS = ("status", "reason", "train_steps", "loss_first", "loss_last", "reward_accuracy",
               "pairs_train", "pairs_held_out", "dropped_long", "adapter_dir", "merged_dir", "gguf")


class EventLog:
    """Appends lines to events.jsonl; each line is one write, so readers never see half of one."""

    def __init__(self, out_dir):
        self.path = os.path.join(out_dir, "events.jsonl")

    def cut_after(self, step):
        """Drop what happened after `step` (and a torn last line), so that each step appears once."""
        lines = []
        if step > 0 and os.path.exists(self.path):
            with open(self.path, encoding="utf-8") as file:
                lines = [line for line in file if keeps(line, step)]
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
    return event["event"] not in ("export", "done") and event.get("step", 0) <= step


def finite(value):
    """JSON has no NaN; a value that is not finite is written as null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return value


def write_result(out_dir, status, reason="", **values):
    """Write result.json whole, unless this run already has one: the first cause is the one that counts."""
    document = {key: None for key in RESULT_KEYS}
    document.update(status=status, reason=one_line(reason))
    document.update({key: finite(value) for key, value in values.items()})
    path = os.path.join(out_dir, "result.json")
    temporary = f"{path}.{os.getpid()}.tmp"
    os.makedirs(out_dir, exist_ok=True)
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


def clear_result(out_dir):
    """Forget the result of an earlier attempt."""
    path = os.path.join(out_dir, "result.json")
    if os.path.exists(path):
        os.unlink(path)


def memory_mb(device):
    """Peak memory of this rank so far: device memory on a GPU, resident memory on a CPU."""
    if device.type == "cuda":
        import torch

        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
