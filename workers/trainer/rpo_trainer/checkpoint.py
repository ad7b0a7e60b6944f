"""Checkpoints that either exist whole or not at all.

checkpoints/step-000050/ holds the trained weights (the adapter alone, or all of them),
the optimizer and state.json with the cursor. It is written as step-000050.tmp, its
marker COMMITTED (sizes and hashes of the files) comes last, then the folder is renamed.

Nothing else needs saving: the learning rate is a function of the step, the order of
the data of seed, epoch and position, and the random state of seed, step and rank.
"""

import hashlib
import json
import os
import re
import shutil

import torch
from safetensors.torch import load_file, save_file

from .errors import invalid

MARKER = "COMMITTED"
KEEP = 2
FILES = ("weights.safetensors", "optimizer.pt", "state.json")


def save(out_dir, step, trainable, optimizer, state):
    """Commit a checkpoint and remove all but the last KEEP; returns its path."""
    root = os.path.join(out_dir, "checkpoints")
    final = os.path.join(root, f"step-{step:06d}")
    if committed(final):
        return final
    temporary = final + ".tmp"
    for leftover in (temporary, final):
        shutil.rmtree(leftover, ignore_errors=True)
    os.makedirs(temporary)
    save_file({name: parameter.detach().cpu().contiguous() for name, parameter in trainable.items()},
              os.path.join(temporary, FILES[0]))
    torch.save(optimizer.state_dict(), os.path.join(temporary, FILES[1]))
    with open(os.path.join(temporary, FILES[2]), "w", encoding="utf-8") as file:
        json.dump({**state, "step": step}, file, indent=1)
    marker = {name: describe(os.path.join(temporary, name)) for name in FILES}
    with open(os.path.join(temporary, MARKER), "w", encoding="utf-8") as file:
        json.dump(marker, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, final)
    sync(root)
    for old in listed(root)[:-KEEP]:
        shutil.rmtree(os.path.join(root, old))
    return final


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
        return all(marker[name] == describe(os.path.join(path, name)) for name in FILES)
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
    with open(os.path.join(path, FILES[2]), encoding="utf-8") as file:
        return json.load(file)


def restore(path, trainable, optimizer):
    """Put the weights and the optimizer's moments back, in place."""
    weights = load_file(os.path.join(path, FILES[0]))
    if weights.keys() != trainable.keys():
        raise invalid(f"checkpoint {path} is of another model: its weights have other names")
    with torch.no_grad():
        for name, parameter in trainable.items():
            parameter.copy_(weights[name])
    optimizer.load_state_dict(torch.load(os.path.join(path, FILES[1]), map_location="cpu", weights_only=True))


def check_same_run(path, state, identity):
    """Refuse to go on with another config or other data, naming what differs."""
    for key, value in identity.items():
        if state["identity"].get(key) != value:
            raise invalid(
                f"checkpoint {path} was made with {key} = {state['identity'].get(key)}, this run has {value}; "
                "use another out_dir, or remove its checkpoints to start anew")
