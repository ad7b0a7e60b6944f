"""Checkpoints that either exist whole or not at all, written while training goes on.

checkpoints/step-000050/ holds PyTorch's distributed checkpoint of the trained weights (the
adapter alone, or all of them) and the optimizer's moments, each rank its part, and
state.json. It is written as step-000050.tmp, its marker COMMITTED (sizes and hashes of the
files) comes last, then the folder is renamed. It can be loaded on another number of ranks.

Nothing else needs saving: the learning rate is a function of the step, the order of
the data of seed, epoch and position, and the random state of seed, step and rank.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import warnings

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp

from .errors import invalid

MARKER = "COMMITTED"
STATE = "state.json"
KEEP = 2
MOMENTS = ("exp_avg", "exp_avg_sq")


class Saver:
    """Writes one checkpoint at a time in a thread of its own; rank 0 commits it.

    Every rank calls save, poll and finish at the same places of the run.
    """

    def __init__(self, out_dir, group, announce):
        """announce(step, path) is called on rank 0 when a checkpoint is committed."""
        self.root = os.path.join(out_dir, "checkpoints")
        self.group, self.announce = group, announce
        # Collectives of the writing thread must not mix with those of the training.
        self.gloo = dist.new_group(backend="gloo")
        self.pending = None

    def save(self, step, trainable, optimizer, state):
        """Copy the state, then write it in the background; an earlier checkpoint is finished first."""
        self.finish()
        final = os.path.join(self.root, f"step-{step:06d}")
        temporary = final + ".tmp"
        if self.group.rank == 0:
            for leftover in (temporary, final):
                shutil.rmtree(leftover, ignore_errors=True)
            os.makedirs(temporary)
            with open(os.path.join(temporary, STATE), "w", encoding="utf-8") as file:
                json.dump({**state, "step": step}, file, indent=1)
        self.group.barrier()
        with quiet():
            future = dcp.async_save(tensors(trainable, optimizer), checkpoint_id=temporary, process_group=self.gloo)
        self.pending = (step, future, temporary, final)

    def poll(self):
        """Commit the checkpoint if it is written; returns at once if not."""
        if self.pending and self.pending[1].done():
            self.finish()

    def finish(self):
        """Wait for the checkpoint and commit it; the newest KEEP stay."""
        if self.pending is None:
            return
        step, future, temporary, final = self.pending
        self.pending = None
        future.result()
        if self.group.rank == 0:
            marker = {name: describe(os.path.join(temporary, name)) for name in sorted(os.listdir(temporary))}
            with open(os.path.join(temporary, MARKER), "w", encoding="utf-8") as file:
                json.dump(marker, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, final)
            sync(self.root)
            self.announce(step, final)
            for old in listed(self.root)[:-KEEP]:
                shutil.rmtree(os.path.join(self.root, old))


@contextlib.contextmanager
def quiet():
    """Silence PyTorch's remarks on its own internals while it writes or reads a checkpoint."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def tensors(trainable, optimizer):
    """Weights and moments by name; the moments are made if there are none yet."""
    state = {}
    for name, parameter in trainable.items():
        moments = optimizer.state[parameter]
        for key in MOMENTS:
            if key not in moments:
                moments[key] = torch.zeros_like(parameter)
            state[f"{key}.{name}"] = moments[key]
        state[f"weight.{name}"] = parameter.detach()
    return state


def restore(path, trainable, optimizer):
    """Put the weights and the optimizer's moments back, in place; every rank reads its part."""
    step = float(read_state(path)["step"])
    for parameter in trainable.values():
        optimizer.state[parameter].setdefault("step", torch.tensor(step, device=parameter.device))
        optimizer.state[parameter]["step"].fill_(step)
    try:
        with quiet():
            dcp.load(tensors(trainable, optimizer), checkpoint_id=path)
    except Exception as error:
        raise invalid(f"checkpoint {path} does not fit this model: {error}; use another out_dir") from None


def latest(out_dir):
    """Path of the newest checkpoint that is whole, or None."""
    root = os.path.join(out_dir, "checkpoints")
    for name in reversed(listed(root)):
        if committed(os.path.join(root, name)):
            return os.path.join(root, name)
    return None


def listed(root):
    names = os.listdir(root) if os.path.isdir(root) else []
    return sorted((name for name in names if re.fullmatch(r"step-\d{6,}", name)), key=lambda name: int(name[5:]))


def committed(path):
    """Whether the marker is there and every file is what it says."""
    try:
        with open(os.path.join(path, MARKER), encoding="utf-8") as file:
            marker = json.load(file)
        return STATE in marker and all(marker[name] == describe(os.path.join(path, name)) for name in marker)
    except (OSError, ValueError, KeyError):
        return False


def describe(path):
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    return {"bytes": os.path.getsize(path), "sha256": digest}


def sync(directory):
    handle = os.open(directory, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def read_state(path):
    with open(os.path.join(path, STATE), encoding="utf-8") as file:
        return json.load(file)


def check_same_run(path, state, identity):
    """Refuse to go on with another config or other data, naming what differs."""
    for key, value in identity.items():
        if state["identity"].get(key) != value:
            raise invalid(
                f"checkpoint {path} was made with {key} = {state['identity'].get(key)}, this run has {value}; "
                "use another out_dir, or remove its checkpoints to start anew")
