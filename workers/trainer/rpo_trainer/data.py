"""Examples: read from Parquet, tokenised, checked for length, split by profile.

    loss       columns                              responses
    rpo        prompt, chosen, rejected, margin     chosen, rejected
    dpo        prompt, chosen, rejected             chosen, rejected
    kto        prompt, completion, label            completion
    sft        prompt, completion or chosen         completion
"""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .errors import invalid
from .tokens import ChatTokenizer

COLUMNS = {
    "rpo": ("prompt", "chosen", "rejected", "margin", "pair_id"),
    "dpo": ("prompt", "chosen", "rejected", "pair_id"),
    "kto": ("prompt", "completion", "label"),
    "sft": ("prompt", "completion"),
}
# What names a row, and its profile; the first one that a file has.
IDS = ("pair_id", "desirability_id", "demonstration_id")


@dataclass(slots=True)
class Example:
    pair_id: str
    profile_id: str
    prompt: np.ndarray
    """[p] int32 token ids."""
    responses: list[np.ndarray]
    """Chosen and rejected, or one completion, each [c] int32, end-of-turn token included."""
    margin: float = 0.0
    """g of the paper: how many constraints tell the responses apart."""
    desirable: bool = True
    """kto's label."""

    @property
    def length(self) -> int:
        return len(self.prompt) + max(len(ids) for ids in self.responses)


def read_examples(paths, loss: str, tokenizer: ChatTokenizer):
    """Read and tokenise every row; loss decides which columns are needed."""
    rows = []
    seen = set()
    for path in paths:
        for number, row in enumerate(read_rows(path, loss)):
            where = f"{path} row {number}"
            name = next((row[key] for key in IDS if row.get(key)), f"{len(rows)}")
            if name in seen:
                raise invalid(f"{where}: pair_id {name} occurs twice")
            seen.add(name)
            rows.append((where, name, row))
    if not rows:
        raise invalid("data: no rows in " + ", ".join(paths))
    kinds = [kind for kind in ("chosen", "rejected", "completion") if kind in COLUMNS[loss]]
    dialogues = []
    for where, _, row in rows:
        prompt = check_prompt(row["prompt"], where)
        dialogues += [(prompt, response_text(row[kind], where, kind)) for kind in kinds]
    encoded = tokenizer.encode(dialogues)
    examples = []
    for index, (where, name, row) in enumerate(rows):
        parts = encoded[index * len(kinds): (index + 1) * len(kinds)]
        examples.append(Example(
            pair_id=name,
            profile_id=row.get("profile_id") or hash_hex(repr(row["prompt"])),
            prompt=parts[0][0],
            responses=[ids for _, ids in parts],
            margin=check_margin(row.get("margin"), where) if loss == "rpo" else float(row.get("margin") or 0.0),
            desirable=check_label(row["label"], where) if loss == "kto" else True,
        ))
    return examples


def read_rows(path, loss):
    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        needed = COLUMNS[loss]
        renamed = {}
        if loss == "sft" and "completion" not in names and "chosen" in names:
            needed, renamed = ("prompt", "chosen"), {"chosen": "completion"}
        for name in needed:
            if name not in names:
                raise invalid(f'{path}: no column "{name}"; loss {loss} needs {", ".join(COLUMNS[loss])}')
        optional = [name for name in (*IDS, "margin", "profile_id") if name in names and name not in needed]
        rows = file.read(columns=[*needed, *optional]).to_pylist()
        return [{renamed.get(key, key): value for key, value in row.items()} for row in rows]
    except (OSError, pa.ArrowException) as error:
        raise invalid(f"read {path}: not a readable Parquet file: {error}") from None


def check_prompt(messages, where):
    if not messages or not all(is_message(message) for message in messages):
        raise invalid(f"{where}: prompt must be a list of messages with role and content")
    if messages[-1]["role"] == "assistant":
        raise invalid(f"{where}: prompt ends with an assistant message; move it to the response")
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


def check_label(label, where):
    if not isinstance(label, bool):
        raise invalid(f"{where}: label must be true or false, not {label}")
    return label


def drop_long(examples, max_tokens):
    """Split off examples over the limit. Truncation would change what a log-probability means."""
    kept = [example for example in examples if example.length <= max_tokens]
    return kept, len(examples) - len(kept)


def length_limit(max_tokens, model_config):
    """The shorter of max_tokens and what the model has positions for."""
    return min(max_tokens, model_config.get("max_position_embeddings") or max_tokens)


def hold_out(examples, fraction):
    """Split by the hash of the profile, so that no profile is on both sides.

    A profile's side does not depend on which others there are, but for one case: if
    chance leaves none held out, the profile with the lowest hash is.
    """
    if fraction <= 0:
        return examples, []
    position = {example.profile_id: hash_unit("held-out", example.profile_id) for example in examples}
    held = {profile for profile, unit in position.items() if unit < fraction}
    if not held and len(position) > 1:
        held = {min(position, key=lambda profile: (position[profile], profile))}
    if len(held) == len(position):
        held = set()
    return ([example for example in examples if example.profile_id not in held],
            [example for example in examples if example.profile_id in held])


def mismatched(examples, limit):
    """For kto: under each prompt the completion of another one; a list beside examples.

    It is the completion of the next example, in an order by hash, that has another prompt
    and leaves the sum within the limit of tokens; None where there is none. It depends on
    the examples alone, so its reference value can be computed once.
    """
    order = sorted(range(len(examples)), key=lambda index: hash_hex("mismatch", examples[index].pair_id))
    others: list = [None] * len(examples)
    for place, index in enumerate(order):
        example = examples[index]
        for step in range(1, len(order)):
            other = examples[order[(place + step) % len(order)]]
            if (len(example.prompt) + len(other.responses[0]) <= limit
                    and not np.array_equal(other.prompt, example.prompt)):
                others[index] = Example(example.pair_id, example.profile_id, example.prompt, other.responses[:1])
                break
    return others


def hash_hex(*parts) -> str:
    return hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()


def hash_unit(*parts) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    return int(hash_hex(*parts)[:13], 16) / 16.0**13


def data_digest(examples) -> str:
    """SHA-256 of what is trained on, whatever files it came in; the order does not count."""
    lines = []
    for example in examples:
        digest = hashlib.sha256(example.prompt.tobytes())
        for ids in example.responses:
            digest.update(b"|" + ids.tobytes())
        lines.append(f"{example.pair_id} {example.profile_id} {example.margin!r} {example.desirable} {digest.hexdigest()}\n")
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
