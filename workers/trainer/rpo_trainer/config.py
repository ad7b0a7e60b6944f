"""Run configurations: strict decoding of the JSON files that the Go side writes.

Unknown keys are refused by name, so that a misspelt option never trains silently
with its default. Nothing here imports torch: a bad config fails within a second.
"""

import dataclasses
import datetime
import json
import math
import os
import types
import typing
from dataclasses import dataclass, field

from . import presets
from .errors import TrainerError, invalid

VERSION = 1


@dataclass(kw_only=True, slots=True)
class LoraConfig:
    rank: int = 8
    """Inner dimension R of the adapter."""
    alpha: float = 16.0
    """The adapter's output is scaled by alpha / rank."""
    dropout: float = 0.0
    """Dropout on the adapter's input, in training only."""


@dataclass(kw_only=True, slots=True)
class TrainConfig:
    model_dir: str
    """Hugging Face folder: config.json, tokenizer, safetensors (unless init is random)."""
    data: list[str]
    """Parquet files of pairs: prompt, chosen, rejected, margin, pair_id, profile_id."""
    out_dir: str
    """Checkpoints, events.jsonl, result.json and exports are written here."""
    version: int = VERSION
    preset: str | None = None
    """A name in presets.py: its values stand for the keys that are not given."""
    init: str = "weights"
    """weights: start from the folder's weights; random: from config.json and the seed."""
    adapter: str | None = None
    """PEFT folder of an earlier policy, merged into the weights: the run starts from it, and so
    does its reference."""
    reference: list[str] = field(default_factory=list)
    """Parquet files of rpo_trainer.reference; empty: computed before the first step."""
    loss: str = "rpo"
    """rpo, dpo, kto or sft; data.py says which columns each reads."""
    margin_scale: str = "reward"
    """reward: the paper's beta*delta - gamma*g; logit: the authors' beta*(delta - gamma*g)."""
    beta: float = 0.1
    gamma: float = 0.05
    sft_weight: float = 0.0
    """Adds so much of the chosen response's negative log-likelihood per token (rpo, dpo, kto)."""
    desirable_weight: float = 1.0
    """kto's weights of its two kinds of examples."""
    undesirable_weight: float = 1.0
    epochs: float = 3.0
    max_steps: int = 0
    """Ends the run earlier than epochs, never later; 0: as many steps as epochs need."""
    pairs_per_step: int = 64
    """Pairs per optimizer step, over all ranks."""
    pairs_per_batch: int = 4
    """Pairs per forward pass and rank. Changes memory and speed, never the result."""
    tokens_per_batch: int = 0
    """If above 0: as many pairs per forward pass and rank as fit into so many tokens, in place
    of pairs_per_batch. A single pair that is longer still goes through."""
    layout: str = "pairs"
    """none, pairs or groups: what shares a prompt's tokens, see packing.py. Never changes the loss."""
    shuffle: str = ""
    """pairs, or prompts: all pairs of a prompt follow each other. Default: prompts for layout
    groups, else pairs."""
    learning_rate: float = 5e-4
    warmup_fraction: float = 0.1
    schedule: str = "cosine"
    """cosine (to zero) or constant, both after linear warm-up."""
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    lora: LoraConfig | None = field(default_factory=LoraConfig)
    """null: full fine-tuning."""
    seed: int = 0
    max_tokens: int = 4096
    """Pairs with a longer prompt + response are dropped and counted, never truncated."""
    held_out_fraction: float = 0.1
    """Share of the profiles (never of the pairs) that is kept for evaluation."""
    checkpoint_every: int = 50
    """Steps; 0: only at the end and when stopped."""
    eval_every: int = 0
    """Steps; 0: only at the start and the end."""
    export: list[str] = field(default_factory=lambda: ["adapter", "merged"])
    """Any of adapter, merged, gguf."""
    device: str = "auto"
    dtype: str = "float32"
    """Compute type: float32 or bfloat16. Trained weights, optimizer and log-probabilities stay float32."""
    threads: int = 0
    """CPU threads per rank; 0: PyTorch's default."""
    shard: int = 1
    """Ranks that hold one copy of the model between them (FSDP2); 1: each holds it whole; 0: all
    ranks of a node."""
    recompute: str = "auto"
    """Activation checkpointing of the blocks: none, selective, full; auto: the least that the
    planner says fits the GPU (none on a CPU)."""
    compile: bool = False
    """torch.compile per block."""
    attention: str = "auto"
    """pieces, varlen or flex, see attention.py; auto: varlen on a GPU in bfloat16, else pieces."""
    template_date: str = "2024-07-26"
    """What a chat template that asks for today's date is told, so that token ids do not change."""
    thinking: bool = False
    """enable_thinking of templates that know it (Qwen 3); false: the prompt ends with an empty thought."""

    def check(self) -> None:
        one_of(self, "init", ("weights", "random"))
        one_of(self, "loss", ("rpo", "dpo", "kto", "sft"))
        one_of(self, "layout", ("none", "pairs", "groups"))
        self.shuffle = self.shuffle or ("prompts" if self.layout == "groups" else "pairs")
        one_of(self, "shuffle", ("pairs", "prompts"))
        one_of(self, "recompute", ("auto", "none", "selective", "full"))
        one_of(self, "attention", ("auto", "pieces", "varlen", "flex"))
        one_of(self, "margin_scale", ("reward", "logit"))
        one_of(self, "schedule", ("cosine", "constant"))
        check_device(self)
        above(self, "beta", 0.0)
        at_least(self, "gamma", 0.0)
        above(self, "epochs", 0.0)
        above(self, "learning_rate", 0.0)
        above(self, "max_grad_norm", 0.0)
        between(self, "warmup_fraction", 0.0, 1.0)
        between(self, "held_out_fraction", 0.0, 0.9)
        for key in ("sft_weight", "desirable_weight", "undesirable_weight", "tokens_per_batch", "shard"):
            at_least(self, key, 0)
        for key in ("max_steps", "weight_decay", "checkpoint_every", "eval_every", "seed"):
            at_least(self, key, 0)
        for key in ("pairs_per_step", "pairs_per_batch"):
            at_least(self, key, 1)
        at_least(self, "max_tokens", 2)
        unknown = [kind for kind in self.export if kind not in ("adapter", "merged", "gguf")]
        if unknown:
            raise invalid(f'export: "{unknown[0]}" is not one of adapter, merged, gguf')
        if self.lora is not None:
            at_least(self.lora, "rank", 1, "lora.")
            above(self.lora, "alpha", 0.0, "lora.")
            between(self.lora, "dropout", 0.0, 0.9, "lora.")
            if self.init == "random":
                raise invalid('init "random" trains all weights: set lora to null')
        elif "adapter" in self.export:
            # The default list asks for an adapter; full fine-tuning has none.
            self.export = [kind for kind in self.export if kind != "adapter"]
        check_adapter(self)
        if self.init == "random" and self.adapter:
            raise invalid('adapter: init "random" has no weights to merge it into')
        if self.loss == "sft" and self.sft_weight:
            raise invalid('sft_weight: loss "sft" is the likelihood alone; leave it 0')
        check_date(self)
        if self.loss == "sft" and self.reference:
            raise invalid('loss "sft" uses no reference: remove the key reference')


@dataclass(kw_only=True, slots=True)
class ReferenceConfig:
    model_dir: str
    data: list[str]
    out: str
    """The Parquet file to write."""
    version: int = VERSION
    max_tokens: int = 4096
    batch: int = 16
    """Sequences per forward pass."""
    device: str = "auto"
    dtype: str = "float32"
    threads: int = 0
    events: str | None = None
    """File of progress lines; None: none."""
    loss: str = "rpo"
    """kto: rows of prompt, completion, label; else pairs."""
    adapter: str | None = None
    shard: int = 1
    template_date: str = "2024-07-26"
    thinking: bool = False
    result: str | None = None
    """JSON file of how the pass ended; None: none."""

    def check(self) -> None:
        check_device(self)
        check_date(self)
        check_adapter(self)
        one_of(self, "loss", ("rpo", "dpo", "kto"))
        at_least(self, "max_tokens", 2)
        at_least(self, "batch", 1)
        at_least(self, "shard", 0)


def check_device(config) -> None:
    if config.version != VERSION:
        raise invalid(f"version: this trainer reads version {VERSION}, not {config.version}")
    if not config.data:
        raise invalid("data: name at least one Parquet file")
    one_of(config, "device", ("auto", "cpu", "cuda"))
    one_of(config, "dtype", ("float32", "bfloat16"))
    at_least(config, "threads", 0)


def check_adapter(config) -> None:
    if config.adapter and not os.path.isfile(os.path.join(config.adapter, "adapter_model.safetensors")):
        raise invalid(f"adapter: no adapter_model.safetensors in {config.adapter}")


def check_date(config) -> None:
    try:
        datetime.date.fromisoformat(config.template_date)
    except ValueError:
        raise invalid(f'template_date: "{config.template_date}" is not a date like 2024-07-26') from None


def one_of(config, key, allowed):
    if getattr(config, key) not in allowed:
        raise invalid(f'{key}: "{getattr(config, key)}" is not one of {", ".join(allowed)}')


def above(config, key, limit, prefix=""):
    if not getattr(config, key) > limit:
        raise invalid(f"{prefix}{key}: must be above {limit}, not {getattr(config, key)}")


def at_least(config, key, limit, prefix=""):
    if not getattr(config, key) >= limit:
        raise invalid(f"{prefix}{key}: must be at least {limit}, not {getattr(config, key)}")


def between(config, key, low, high, prefix=""):
    if not low <= getattr(config, key) <= high:
        raise invalid(f"{prefix}{key}: must be from {low} to {high}, not {getattr(config, key)}")


def decode(kind, document, path=""):
    """Decode a JSON object into the dataclass `kind`, strictly; the errors name the key."""
    if not isinstance(document, dict):
        raise invalid(f"{path or 'config'}: must be a JSON object")
    known = {f.name: f for f in dataclasses.fields(kind)}
    for key in document:
        if key not in known:
            raise invalid(f'unknown key "{path}{key}"; known: {", ".join(sorted(known))}')
    hints = typing.get_type_hints(kind)
    values = {}
    for name, entry in known.items():
        if name in document:
            values[name] = decode_value(hints[name], document[name], path + name, entry.default)
        elif entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING:
            raise invalid(f'missing key "{path}{name}"')
    return kind(**values)


def decode_value(hint, value, path, default=None):
    if isinstance(hint, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
        if value is None or (hint is str and value == ""):  # how Go writes an empty string
            return None
    if dataclasses.is_dataclass(hint):
        return decode(hint, value, path + ".")
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise invalid(f"{path}: must be a finite number")
        return float(value)
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint is bool and isinstance(value, bool):
        return value
    if hint is str and isinstance(value, str):
        if not value and default != "":
            raise invalid(f"{path}: must not be empty")
        return value
    if hint == list[str]:
        if value is None:  # how Go writes an empty slice
            return []
        if isinstance(value, list) and all(isinstance(item, str) and item for item in value):
            return list(value)
        raise invalid(f"{path}: must be a list of strings")
    wanted = {float: "a number", bool: "true or false", int: "a whole number", str: "a string"}[hint]
    raise invalid(f"{path}: must be {wanted}, not {json.dumps(value)[:60]}")


def read_document(path: str):
    """Read the JSON file; separate from decoding so that out_dir is known when decoding fails."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except OSError as error:
        raise invalid(f"read config {path}: {error.strerror}") from None
    except ValueError as error:
        raise invalid(f"read config {path}: not JSON: {error}") from None


def load(kind, document):
    """Decode and check a document; every path in it must exist."""
    config = decode(kind, presets.apply(document) if kind is TrainConfig else document)
    config.check()
    if not os.path.isfile(os.path.join(config.model_dir, "config.json")):
        raise invalid(f"model_dir: no config.json in {config.model_dir}")
    for path in [*config.data, *getattr(config, "reference", [])]:
        if not os.path.isfile(path):
            raise invalid(f"no such file: {path}")
    return config


__all__ = ["LoraConfig", "ReferenceConfig", "TrainConfig", "TrainerError", "load", "read_document"]
