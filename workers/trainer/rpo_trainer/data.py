"""Pairs: read from Parquet, tokenised, split by profile, ordered.

The order of training is a pure function of seed, epoch and pair id. It does not
depend on the number of ranks, on the files' order or on where a run was resumed.
"""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .errors import invalid
from .tokens import ChatTokenizer

# Steps within which sft sorts its examples by length.
SFT_WINDOW_STEPS = 16


@dataclass(slots=True)
class Pair:
    pair_id: str
    profile_id: str
    margin: float
    """g of the paper: how many constraints tell the responses apart."""
    prompt: np.ndarray
    """[P] int32 token ids."""
    responses: list[np.ndarray]
    """Chosen, rejected (sft: chosen alone), each [C] int32, end-of-turn token included."""

    @property
    def length(self) -> int:
        return len(self.prompt) + max(len(ids) for ids in self.responses)


def read_pairs(paths, loss: str, tokenizer: ChatTokenizer):
    """Read and tokenise every row; loss decides which columns are needed."""
    rows = []
    seen = set()
    for path in paths:
        for number, row in enumerate(read_rows(path, loss)):
            where = f"{path} row {number}"
            pair_id = row.get("pair_id") or f"{len(rows)}"
            if pair_id in seen:
                raise invalid(f"{where}: pair_id {pair_id} occurs twice")
            seen.add(pair_id)
            rows.append((where, pair_id, row))
    if not rows:
        raise invalid("data: no rows in " + ", ".join(paths))
    kinds = ("chosen",) if loss == "sft" else ("chosen", "rejected")
    dialogues = []
    for where, _, row in rows:
        prompt = check_prompt(row["prompt"], where)
        dialogues += [(prompt, response_text(row[kind], where, kind)) for kind in kinds]
    encoded = tokenizer.encode(dialogues)
    pairs = []
    for index, (where, pair_id, row) in enumerate(rows):
        parts = encoded[index * len(kinds): (index + 1) * len(kinds)]
        pairs.append(Pair(
            pair_id=pair_id,
            profile_id=row.get("profile_id") or hash_hex(repr(row["prompt"])),
            margin=check_margin(row.get("margin"), where) if loss == "rpo" else float(row.get("margin") or 0.0),
            prompt=parts[0][0],
            responses=[ids for _, ids in parts],
        ))
    return pairs


def read_rows(path, loss):
    needed = {"rpo": ("prompt", "chosen", "rejected", "margin", "pair_id"),
              "dpo": ("prompt", "chosen", "rejected", "pair_id"),
              "sft": ("prompt", "chosen")}[loss]
    optional = [name for name in ("margin", "pair_id", "profile_id") if name not in needed]
    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        for name in needed:
            if name not in names:
                raise invalid(f'{path}: no column "{name}"; loss {loss} needs {", ".join(needed)}')
        columns = [*needed, *(name for name in optional if name in names)]
        return file.read(columns=columns).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise invalid(f"read {path}: not a readable Parquet file: {error}") from None


def check_prompt(messages, where):
    if not messages or not all(is_message(message) for message in messages):
        raise invalid(f"{where}: prompt must be a list of messages with role and content")
    if messages[-1]["role"] == "assistant":
        raise invalid(f"{where}: prompt ends with an assistant message; move it to chosen")
    return messages


def response_text(messages, where, kind):
    if not messages or len(messages) != 1 or not is_message(messages[0]) or messages[0]["role"] != "assistant":
        raise invalid(f"{where}: {kind} must be one assistant message")
    return messages[0]["content"]


def is_message(message):
    return (isinstance(message, dict) and isinstance(message.get("role"), str)
            and isinstance(message.get("content"), str))


def check_margin(margin, where):
    if margin is None or not math.isfinite(margin) or margin < 0:
        raise invalid(f"{where}: margin must be a number that is not negative, not {margin}")
    return float(margin)


def drop_long(pairs, max_tokens):
    """Split off pairs over the limit. Truncation would change what a log-probability means."""
    kept = [pair for pair in pairs if pair.length <= max_tokens]
    return kept, len(pairs) - len(kept)


def length_limit(max_tokens, model_config):
    """The shorter of max_tokens and what the model has positions for."""
    return min(max_tokens, model_config.get("max_position_embeddings") or max_tokens)


def hold_out(pairs, fraction):
    """Split by the hash of the profile, so that no profile is on both sides.

    A profile's side does not depend on which others there are, but for one case: if
    chance leaves none held out, the profile with the lowest hash is.
    """
    if fraction <= 0:
        return pairs, []
    position = {pair.profile_id: hash_unit("held-out", pair.profile_id) for pair in pairs}
    held = {profile for profile, unit in position.items() if unit < fraction}
    if not held and len(position) > 1:
        held = {min(position, key=lambda profile: (position[profile], profile))}
    if len(held) == len(position):
        held = set()
    return ([pair for pair in pairs if pair.profile_id not in held],
            [pair for pair in pairs if pair.profile_id in held])


@dataclass(slots=True)
class Order:
    """Which pairs (by index) make up which step, for all steps."""
    pairs: list
    seed: int
    pairs_per_step: int
    total_steps: int
    total_positions: int
    by_length: bool
    """Sort by length inside windows of steps (sft, where steps of like lengths are harmless)."""

    def steps(self, first_step=0):
        """Yield (step, indices) for steps after `first_step`; steps count from 1."""
        window = SFT_WINDOW_STEPS if self.by_length else 1
        for start in range(first_step // window * window, self.total_steps, window):
            groups = self._window(start, min(start + window, self.total_steps))
            for offset, indices in enumerate(groups):
                if start + offset >= first_step:
                    yield start + offset + 1, indices

    def _window(self, first, last):
        size = self.pairs_per_step
        positions = range(first * size, min(last * size, self.total_positions))
        indices = [self._at(position) for position in positions]
        if self.by_length:
            indices.sort(key=lambda index: self.pairs[index].length)
        groups = [indices[i: i + size] for i in range(0, len(indices), size)]
        if self.by_length:
            keys = [hash_unit("window", self.seed, first, group) for group in range(len(groups))]
            groups = [group for _, group in sorted(zip(keys, groups), key=lambda item: item[0])]
        return groups

    def _at(self, position):
        epoch, offset = divmod(position, len(self.pairs))
        return self._permutation(epoch)[offset]

    def _permutation(self, epoch):
        if _cached.get("key") != (id(self.pairs), self.seed, epoch):
            keys = [hash_hex("order", self.seed, epoch, pair.pair_id) for pair in self.pairs]
            _cached["key"] = (id(self.pairs), self.seed, epoch)
            _cached["permutation"] = sorted(range(len(keys)), key=keys.__getitem__)
        return _cached["permutation"]


_cached: dict = {}


def make_order(pairs, config):
    """Positions run through epoch after epoch without a gap; only the last step may be short."""
    size = config.pairs_per_step
    positions = max(1, round(config.epochs * len(pairs)))
    if config.max_steps:
        positions = min(positions, config.max_steps * size)
    return Order(pairs, config.seed, size, math.ceil(positions / size), positions, config.loss == "sft")


def hash_hex(*parts) -> str:
    return hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()


def hash_unit(*parts) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    return int(hash_hex(*parts)[:13], 16) / 16.0**13


def data_digest(pairs) -> str:
    """SHA-256 of what is trained on, whatever files it came in; the order does not count."""
    lines = []
    for pair in pairs:
        digest = hashlib.sha256(pair.prompt.tobytes())
        for ids in pair.responses:
            digest.update(b"|" + ids.tobytes())
        lines.append(f"{pair.pair_id} {pair.profile_id} {pair.margin!r} {digest.hexdigest()}\n")
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
