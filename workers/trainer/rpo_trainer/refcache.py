"""Reference log-probabilities: computed once per (prompt, response), kept as Parquet.

A value is keyed by what it depends on: the token ids of prompt and response, the
digest of the weights and that of the tokenizer. So a cached value is either right or
not found, whatever was changed in between.
"""

import hashlib
import os
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from .errors import invalid
from .events import Progress
from .packing import Tree, collate_trees

ROLES = {"rpo": ("chosen", "rejected"), "dpo": ("chosen", "rejected"), "kto": ("completion", "mismatched")}
TOO_LONG = "too_long"

SCHEMA = pa.schema([
    pa.field("pair_id", pa.string(), nullable=False),
    # One of ROLES.
    pa.field("role", pa.string(), nullable=False),
    # Sum over the response's tokens; the float32 value, exactly. Null where error is set.
    pa.field("logprob", pa.float64()),
    # Length of the response in tokens, end-of-turn token included.
    pa.field("tokens", pa.int64(), nullable=False),
    # hex SHA-256, see sequence_key.
    pa.field("key", pa.string(), nullable=False),
    pa.field("error", pa.string()),
])


@dataclass(slots=True)
class Entry:
    """A prompt and a response that need a value: one row of the table."""
    pair_id: str
    role: str
    prompt: np.ndarray
    response: np.ndarray
    key: str


def entries_of(examples, others, loss, model_digest, tokenizer_digest):
    """The entries of all examples; others: kto's mismatched completions beside them, else empty."""
    first, second = ROLES[loss]
    entries = []
    for number, example in enumerate(examples):
        parts = [(role, example.prompt, response) for role, response in zip((first, second), example.responses)]
        if others and others[number] is not None:
            parts.append((second, example.prompt, others[number].responses[0]))
        entries += [Entry(example.pair_id, role, prompt, response,
                          sequence_key(prompt, response, model_digest, tokenizer_digest))
                    for role, prompt, response in parts]
    return entries


def sequence_key(prompt, response, model_digest, tokenizer_digest) -> str:
    digest = hashlib.sha256(f"{model_digest} {tokenizer_digest} {len(prompt)} {len(response)}\n".encode())
    digest.update(np.asarray(prompt, dtype="<i4").tobytes())
    digest.update(np.asarray(response, dtype="<i4").tobytes())
    return digest.hexdigest()


def compute(policy, entries, batch, group, events=None):
    """Values of all entries as {key: float}, the work spread over the ranks.

    Equal keys are computed once and responses of one prompt share it. batch: sequences
    per forward pass. Every rank makes as many passes, as sharded models demand.
    """
    trees = {}
    for entry in entries:
        trees.setdefault(entry.prompt.tobytes(), {})[entry.key] = entry
    # By length, so that a pass holds prompts of like lengths.
    ordered = sorted(trees.values(), key=lambda tree: (len(next(iter(tree.values())).prompt), min(tree)))
    chunks, size = [], batch
    for tree in ordered:
        members = sorted(tree.values(), key=lambda entry: (len(entry.response), entry.key))
        for start in range(0, len(members), batch):
            part = members[start: start + batch]
            if size + len(part) > batch:
                chunks.append([])
                size = 0
            chunks[-1].append(part)
            size += len(part)
    keys = [entry.key for chunk in chunks for part in chunk for entry in part]
    values = torch.zeros(len(keys), dtype=torch.float64, device=group.device)
    progress = Progress(events, "reference", len(keys))
    done = 0
    for number in range(-(-len(chunks) // group.world_size) * group.world_size):
        chunk = chunks[number] if number < len(chunks) else None
        count = sum(map(len, chunk or []))
        if number % group.world_size == group.rank:
            sums = log_probabilities(policy, chunk or chunks[0])
            if chunk:
                values[done: done + count] = sums.double()
        done += count
        progress.reach(done)
    group.sum_(values)
    progress.end()
    if not torch.isfinite(values).all():
        bad = keys[int((~torch.isfinite(values)).nonzero()[0])]
        raise invalid(f"reference log-probability of sequence {bad[:12]} is not finite; check the weights and dtype")
    return dict(zip(keys, values.tolist()))


def log_probabilities(policy, chunk):
    with torch.no_grad():
        return policy.logprobs(collate_trees(
            [Tree(part[0].prompt, [entry.response for entry in part]) for part in chunk]))


def rows_of(entries, values, errors=None):
    """Rows of the table, sorted by pair_id and role. errors: {pair_id: why it has no value}."""
    rows = []
    for entry in entries:
        error = (errors or {}).get(entry.pair_id)
        if error is None and entry.key not in values:
            raise RuntimeError(f"gap in the reference: no value for pair {entry.pair_id} {entry.role}")
        rows.append({"pair_id": entry.pair_id, "role": entry.role, "logprob": None if error else values[entry.key],
                     "tokens": len(entry.response), "key": entry.key, "error": error})
    return sorted(rows, key=lambda row: (row["pair_id"], row["role"]))


def write(path, rows):
    """Write the table whole or not at all."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    temporary = path + ".tmp"
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), temporary, compression="zstd")
    os.replace(temporary, path)


def read(paths, entries):
    """Values of the entries as {(pair_id, role): float}, checked for gaps and for other weights."""
    table = {}
    for path in paths:
        try:
            rows = pq.read_table(path, columns=["pair_id", "role", "logprob", "key"]).to_pylist()
        except (OSError, KeyError, pa.ArrowException) as error:
            raise invalid(f"read reference {path}: {error}") from None
        table.update({(row["pair_id"], row["role"]): row for row in rows})
    values = {}
    for entry in entries:
        row = table.get((entry.pair_id, entry.role))
        if row is None or row["logprob"] is None:
            raise invalid(f"reference: no log-probability for pair {entry.pair_id} {entry.role}; "
                          "compute the reference for the same data, loss and max_tokens")
        if row["key"] != entry.key:
            raise invalid(f"reference: pair {entry.pair_id} {entry.role} was computed with other weights, "
                          "another tokenizer or other text; compute the reference again")
        values[entry.pair_id, entry.role] = row["logprob"]
    return values


def matrix(examples, values, loss):
    """Values as float32 [examples, 2], in the order of ROLES; 0 where kto has no mismatched completion."""
    table = np.zeros((len(examples), 2), dtype=np.float32)
    for number, example in enumerate(examples):
        table[number] = [values.get((example.pair_id, role), 0.0) for role in ROLES[loss]]
    return table
