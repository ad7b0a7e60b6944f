"""Attention over trees by FlexAttention: one call, with a mask of blocks.

A token sees the tokens from the start of its prompt to its end (its own place, if it is
of the prompt), and those of its response up to itself. So what it sees are two intervals,
and whether a block of 128 queries sees all, some or none of a block of 128 keys follows
from T * blocks comparisons; the T * T mask is never made.

Legend: T tokens, B blocks of 128 of them, H heads, d head size.
"""

import numpy as np
import torch

BLOCK = 128


class FlexSegments:
    """The block mask of a batch; spans as in packing.Span."""

    def __init__(self, spans, device):
        self.mask = block_mask(intervals(spans), device)

    @torch.compiler.disable(recursive=False)
    def mix(self, query_THd, key_THd, value_THd, scale):
        """query [T, H, d], key and value [T, H or fewer, d]; returns [T, H, d]."""
        rows = [tensor.transpose(0, 1)[None] for tensor in (query_THd, key_THd, value_THd)]
        return attention(rows[0].is_cuda)(*rows, block_mask=self.mask, scale=scale, enable_gqa=True)[0].transpose(0, 1)


def attention(compiled):
    """flex_attention; compiled (once for all blocks and lengths), since it materialises all scores else."""
    from torch.nn.attention import flex_attention as flex

    if not compiled:
        return flex.flex_attention
    if "kernel" not in globals():
        globals()["kernel"] = torch.compile(flex.flex_attention, dynamic=True)
    return globals()["kernel"]


def intervals(spans):
    """What each token sees: [T, 4] int64 of first and end in its prompt, first and end in its response."""
    parts = []
    for span in spans:
        start, length = span.prompt
        own = np.arange(start, start + length)
        parts.append(np.stack([np.full(length, start), own + 1, own, own], axis=1))
        for begin, fed in span.responses:
            own = np.arange(begin, begin + fed)
            parts.append(np.stack([np.full(fed, start), np.full(fed, start + length), np.full(fed, begin), own + 1], axis=1))
    return np.concatenate(parts).astype(np.int64)


def block_mask(seen_T4, device):
    """The BlockMask of what the tokens see."""
    from torch.nn.attention.flex_attention import BlockMask

    some_BB, all_BB = blocks(seen_T4)
    tensors = []
    for chosen in (some_BB & ~all_BB, all_BB):
        # The chosen key blocks of a row come first, in order.
        order = np.argsort(~chosen, axis=1, kind="stable")
        tensors += [torch.from_numpy(part.astype(np.int32))[None, None].to(device) for part in (chosen.sum(1), order)]
    first_T, end_T, begin_T, last_T = (torch.from_numpy(part.copy()).to(device) for part in seen_T4.T)

    def visible(batch, head, query, key):
        in_prompt = (key >= first_T[query]) & (key < end_T[query])
        return in_prompt | ((key >= begin_T[query]) & (key < last_T[query]))

    return BlockMask.from_kv_blocks(*tensors, BLOCK_SIZE=BLOCK, mask_mod=visible, seq_lengths=(len(seen_T4),) * 2)


def blocks(seen_T4):
    """(some, all) [B, B] bool: a block of queries sees some, or every one, of a block of keys."""
    total = len(seen_T4)
    count = -(-total // BLOCK)
    starts_B = np.arange(count) * BLOCK
    some_TB, all_TB = (np.zeros((total, count), dtype=bool) for _ in range(2))
    for first_T, end_T in ((seen_T4[:, 0], seen_T4[:, 1]), (seen_T4[:, 2], seen_T4[:, 3])):
        low = np.maximum(first_T[:, None], starts_B)
        high = np.minimum(end_T[:, None], starts_B + BLOCK)
        some_TB |= low < high
        all_TB |= high - low == BLOCK
    some_BB, all_BB = (by.reduceat(seen_TB, starts_B) for by, seen_TB in ((np.logical_or, some_TB), (np.logical_and, all_TB)))
    if total % BLOCK:
        all_BB[-1] = False  # a block that is short of queries is not whole, as PyTorch has it
    return some_BB, all_BB
