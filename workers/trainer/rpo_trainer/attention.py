"""Attention over trees: a response sees its prompt and itself, nothing else.

One function is registered with transformers under NAME; the segments of a batch reach it
as a keyword. It has three ways to compute the same thing (the config's `attention`):

    pieces  scaled_dot_product_attention, one call a piece, for CPUs and for float32
    varlen  PyTorch's variable-length kernel, all pieces in one call, for bfloat16 on GPUs
    flex    PyTorch's FlexAttention, one call with a mask of blocks, on GPUs; see flex.py

A tree becomes a causal piece [prompt, response 1] and for every other response a piece with
queries [response] and keys [prompt, response], whose causal mask is aligned at the end. The
prompt's keys are taken for each of them, and the backward pass sums their gradients.

Without segments it is plain causal attention over rows of one sequence each.

Legend: T tokens, K gathered keys, c queries of a piece, H heads, d head size.
"""

import inspect

import numpy as np
import torch
import torch.nn.functional as F

from .errors import invalid
from .flex import FlexSegments

NAME = "rpo_segments"


def register():
    """Make NAME known to transformers, with no mask of its own. Can be called again."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, lambda *arguments, **keywords: None)


@torch.compiler.disable(recursive=False)
def attend(module, query, key, value, attention_mask, scaling=None, dropout=0.0, segments=None, **keywords):
    """query [1, H, T, d], key and value [1, H or fewer, T, d]; returns ([1, T, H, d], None).

    Compiled blocks leave it out: every batch has other pieces, and each would be compiled
    anew. FlexAttention inside it is compiled by itself.
    """
    if segments is None:
        # One new token of a generation sees all keys.
        causal = query.shape[2] == key.shape[2]
        if not causal and query.shape[2] > 1:
            raise ValueError("several new tokens after cached ones are not supported")
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=causal, scale=scaling, enable_gqa=True)
        return mixed.transpose(1, 2), None
    rows = [tensor[0].transpose(0, 1) for tensor in (query, key, value)]
    return segments.mix(*rows, scaling)[None], None


def kind_of(wanted, device, dtype):
    """The way of attention for a device and a compute type: pieces, varlen or flex.

    wanted: auto or one of them; refuses what the device cannot do.
    """
    half = device.type == "cuda" and dtype in (torch.bfloat16, torch.float16)
    if wanted == "auto":
        return "varlen" if half else "pieces"
    if wanted == "varlen" and not half:
        raise invalid("attention: varlen needs a GPU and dtype bfloat16; use auto")
    if wanted == "flex" and device.type != "cuda":
        raise invalid("attention: flex needs a GPU, since FlexAttention has no backward pass on a CPU; use auto")
    return wanted


def segments_of(spans, device, kind):
    """The segments of a batch in the form of a kind, one of kind_of."""
    return {"pieces": PieceSegments, "varlen": VarlenSegments, "flex": FlexSegments}[kind](spans, device)


class PieceSegments:
    """One call a piece, with no work for keys that nothing may see.

    Queries, keys and values are cut once into prompts and responses, so that the backward
    pass joins them once. The first piece of a tree, prompt and first response, is causal; a
    later one sees the whole prompt and is causal in its response.
    """

    def __init__(self, spans, device):
        self.lengths = [length for span in spans for _, length in (span.prompt, *span.responses)]
        self.pieces = []  # (parts of the queries, parts of the keys, mask of a later piece)
        number = 0
        masks = {}
        for span in spans:
            prompt, length = number, span.prompt[1]
            parts = [number + 1 + place for place, (_, fed) in enumerate(span.responses) if fed > 0]
            number += 1 + len(span.responses)
            self.pieces.append(([prompt, *parts[:1]], [prompt, *parts[:1]], None))
            for part in parts[1:]:
                fed = self.lengths[part]
                if (fed, length) not in masks:
                    masks[fed, length] = torch.ones(fed, length + fed, dtype=torch.bool, device=device).tril(length)
                self.pieces.append(([part], [prompt, part], masks[fed, length]))

    @torch.compiler.disable
    def mix(self, query_THd, key_THd, value_THd, scale):
        cut = [tensor.split(self.lengths) for tensor in (query_THd, key_THd, value_THd)]
        mixed = {}
        for queries, keys, mask in self.pieces:
            rows = [join(parts, chosen).transpose(0, 1)[None] for parts, chosen in zip(cut, (queries, keys, keys))]
            out_cHd = F.scaled_dot_product_attention(
                *rows, attn_mask=mask, is_causal=mask is None, scale=scale, enable_gqa=True)[0].transpose(0, 1)
            mixed.update(zip(queries, out_cHd.split([self.lengths[part] for part in queries])))
        return torch.cat([mixed[part] for part in sorted(mixed)])


def join(parts, chosen):
    return parts[chosen[0]] if len(chosen) == 1 else torch.cat([parts[number] for number in chosen])


class VarlenSegments:
    """Cumulative lengths of the pieces, and the keys that each of them sees."""

    def __init__(self, spans, device):
        queries, keys, gather = [], [], []
        for span in spans:
            start, prompt = span.prompt
            pieces = [response for response in span.responses if response[1] > 0]
            first = pieces[0][1] if pieces else 0
            queries.append(prompt + first)
            keys.append(prompt + first)
            gather.append(np.arange(start, start + prompt + first))
            for begin, fed in pieces[1:]:
                queries.append(fed)
                keys.append(prompt + fed)
                gather += [np.arange(start, start + prompt), np.arange(begin, begin + fed)]
        self.max_q, self.max_k = max(queries), max(keys)
        self.cu_q, self.cu_k = (torch.tensor([0, *np.cumsum(lengths)], dtype=torch.int32, device=device)
                                for lengths in (queries, keys))
        index = np.concatenate(gather)
        shared = len(index) != sum(queries)
        self.gather_K = torch.from_numpy(index).to(device) if shared else None

    @torch.compiler.disable
    def mix(self, query_THd, key_THd, value_THd, scale):
        key_KHd, value_KHd = ((tensor if self.gather_K is None else tensor.index_select(0, self.gather_K))
                              for tensor in (key_THd, value_THd))
        return varlen(query_THd.contiguous(), key_KHd.contiguous(), value_KHd.contiguous(),
                      self.cu_q, self.cu_k, self.max_q, self.max_k, scale)


def knows_groups():
    """Whether varlen_attn takes fewer heads of keys than of queries; releases before 2.12 do not, so
    that keys and values are repeated for them, and kept so."""
    from torch.nn.attention.varlen import varlen_attn

    return "enable_gqa" in inspect.signature(varlen_attn).parameters


def varlen(query_THd, key_KHd, value_KHd, cu_q, cu_k, max_q, max_k, scale):
    """PyTorch's kernel, causal with the mask aligned at the end of each piece."""
    from torch.nn.attention.varlen import varlen_attn

    more = {}
    repeat = query_THd.shape[1] // key_KHd.shape[1]
    if knows_groups():
        more["enable_gqa"] = repeat > 1
    elif repeat > 1:
        key_KHd, value_KHd = (tensor.repeat_interleave(repeat, dim=1) for tensor in (key_KHd, value_KHd))
    return varlen_attn(query_THd, key_KHd, value_KHd, cu_q, cu_k, max_q, max_k, scale=scale, window_size=(-1, 0), **more)
