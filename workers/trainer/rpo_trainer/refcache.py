"""Reference log-probabilities: computed once per (prompt, response), kept as Parquet.

A value is keyed by what it depends on: the token ids of prompt and response, the
digest of the weights and that of the tokenizer. So a cached value is either right or
not found, whatever was changed in between.
"""

import hashlib
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from .errors import invalid
from .events import Progress
from .packing import collate_sequences

ROLES = ("chosen", "rejected")
TOO_LONG = "too_long"

SCHEMA = pa.schema([
    pa.field("pair_id", pa.string(), nullable=False),
    pa.field("role", pa.string(), nullable=False),
    # Sum over the response's tokens; the float32 value, exactly. Null where error is set.
    pa.field("logprob", pa.float64()),
    # Length of the response in tokens, end-of-turn token included.
    pa.field("tokens", pa.int64(), nullable=False),
    # hex SHA-256, see sequence_key.
    pa.field("key", pa.string(), nullable=False),
    pa.field("error", pa.string()),
])


def sequence_key(prompt, response, model_digest, tokenizer_digest) -> str:
    digest = hashlib.sha256(f"{model_digest} {tokenizer_digest} {len(prompt)} {len(response)}\n".encode())
    digest.update(np.asarray(prompt, dtype="<i4").tobytes())
    digest.update(np.asarray(response, dtype="<i4").tobytes())
    return digest.hexdigest()


def compute(policy, sequences, batch, group, events=None):
    """Log-probabilities of {key: (prompt, response)} as {key: float}, the work spread over the ranks."""
    order = sorted(sequences, key=lambda key: (len(sequences[key][0]) + len(sequences[key][1]), key))
    values = torch.zeros(len(order), dtype=torch.float64, device=group.device)
    progress = Progress(events, "reference", len(order))
    for number, start in enumerate(range(0, len(order), batch)):
        if number % group.world_size != group.rank:
            continue
        keys = order[start: start + batch]
        with torch.no_grad():
            values[start: start + len(keys)] = policy.logprobs(
                collate_sequences([sequences[key] for key in keys], range(len(keys)))).double()
        progress.reach(start + len(keys))
    group.sum_(values)
    progress.end()
    if not torch.isfinite(values).all():
        bad = order[int((~torch.isfinite(values)).nonzero()[0])]
        raise invalid(f"reference log-probability of sequence {bad[:12]} is not finite; check the weights and dtype")
    return dict(zip(order, values.tolist()))


def reference_rows(pairs, keys, values, errors=None):
    """Rows of the table, sorted by pair_id and role. keys: {(pair_id, role): key}."""
    rows = []
    for pair in pairs:
        for role, response in zip(ROLES, pair.responses):
            key = keys[pair.pair_id, role]
            error = (errors or {}).get(pair.pair_id)
            if error is None and key not in values:
                raise RuntimeError(f"gap in the reference: no value for pair {pair.pair_id} {role}")
            rows.append({"pair_id": pair.pair_id, "role": role, "logprob": None if error else values[key],
                         "tokens": len(response), "key": key, "error": error})
    return sorted(rows, key=lambda row: (row["pair_id"], row["role"]))


def write(path, rows):
    """Write the table whole or not at all."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    temporary = path + ".tmp"
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), temporary, compression="zstd")
    os.replace(temporary, path)


def pair_keys(pairs, model_digest, tokenizer_digest):
    return {(pair.pair_id, role): sequence_key(pair.prompt, response, model_digest, tokenizer_digest)
            for pair in pairs for role, response in zip(ROLES, pair.responses)}


def read(paths, pairs, keys):
    """Reference values [pairs, 2] float32 (chosen, rejected), checked for gaps and for other weights."""
    table = {}
    for path in paths:
        try:
            rows = pq.read_table(path, columns=["pair_id", "role", "logprob", "key"]).to_pylist()
        except (OSError, KeyError, pa.ArrowException) as error:
            raise invalid(f"read reference {path}: {error}") from None
        table.update({(row["pair_id"], row["role"]): row for row in rows})
    values = np.zeros((len(pairs), 2), dtype=np.float32)
    for index, pair in enumerate(pairs):
        for column, role in enumerate(ROLES):
            row = table.get((pair.pair_id, role))
            if row is None or row["logprob"] is None:
                raise invalid(f"reference: no log-probability for pair {pair.pair_id} {role}; "
                              "compute the reference for the same data and max_tokens")
            if row["key"] != keys[pair.pair_id, role]:
                raise invalid(f"reference: pair {pair.pair_id} {role} was computed with other weights, "
                              "another tokenizer or other text; compute the reference again")
            values[index, column] = row["logprob"]
    return values
