"""The order of training: a pure function of seed, epoch and position.

It does not depend on the number of ranks, on the files' order or on where a run was
resumed. Steps hold a constant number of examples.
"""

import hashlib
import math
from dataclasses import dataclass, field

from .data import hash_hex, hash_unit

# Steps within which sft sorts its examples by length.
SFT_WINDOW_STEPS = 16


@dataclass(slots=True)
class Order:
    """Which examples (by index) make up which step, for all steps."""
    examples: list
    seed: int
    per_step: int
    total_steps: int
    total_positions: int
    by_length: bool
    """Sort by length inside windows of steps (sft, where steps of like lengths are harmless)."""
    by_prompt: bool
    """Shuffle prompts, each with all its examples, so that a step holds whole groups."""
    _epoch: int = -1
    _order: list = field(default_factory=list)

    def steps(self, first_step=0):
        """Yield (step, indices) for steps after `first_step`; steps count from 1."""
        window = SFT_WINDOW_STEPS if self.by_length else 1
        for start in range(first_step // window * window, self.total_steps, window):
            groups = self._window(start, min(start + window, self.total_steps))
            for offset, indices in enumerate(groups):
                if start + offset >= first_step:
                    yield start + offset + 1, indices

    def _window(self, first, last):
        size = self.per_step
        positions = range(first * size, min(last * size, self.total_positions))
        indices = [self._at(position) for position in positions]
        if self.by_length:
            indices.sort(key=lambda index: self.examples[index].length)
        groups = [indices[i: i + size] for i in range(0, len(indices), size)]
        if self.by_length:
            keys = [hash_unit("window", self.seed, first, group) for group in range(len(groups))]
            groups = [group for _, group in sorted(zip(keys, groups), key=lambda item: item[0])]
        return groups

    def _at(self, position):
        epoch, offset = divmod(position, len(self.examples))
        if self._epoch != epoch:
            self._epoch, self._order = epoch, self._permutation(epoch)
        return self._order[offset]

    def _permutation(self, epoch):
        keys = []
        for example in self.examples:
            key = hash_hex("order", self.seed, epoch, example.pair_id)
            if self.by_prompt:
                prompt = hashlib.sha256(example.prompt.tobytes()).hexdigest()
                key = hash_hex("prompt", self.seed, epoch, prompt) + key
            keys.append(key)
        return sorted(range(len(keys)), key=keys.__getitem__)


def make_order(examples, config):
    """Positions run through epoch after epoch without a gap; only the last step may be short."""
    size = config.pairs_per_step
    positions = max(1, round(config.epochs * len(examples)))
    if config.max_steps:
        positions = min(positions, config.max_steps * size)
    return Order(examples, config.seed, size, math.ceil(positions / size), positions, config.loss == "sft",
                 config.shuffle == "prompts")
