"""Attention over trees: a response sees its prompt and itself, nothing else.

One function is registered with transformers under NAME; the segments of a batch reach it
as a keyword. It has two ways to compute the same thing:

    sdpa    trees are padded to a common length and masked, for CPUs and for float32
    varlen  PyTorch's variable-length kernel, for bfloat16 on GPUs: no padding, no mask.
            A tree becomes a causal piece [prompt, response 1] and for every other response
            a piece with queries [response] and keys [prompt, response], whose causal mask
            the kernel aligns at the end; the prompt's keys are gathered for each, and the
            backward of that gather sums their gradients.

Without segments it is plain causal attention over rows of one sequence each.

Legend: T tokens, B trees, L tokens of the longest tree, K gathered keys, H heads, d head size.
"""

import numpy as np
import torch
import torch.nn.functional as F

NAME = "rpo_segments"


def register():
    """Make NAME known to transformers, with no mask of its own. Can be called again."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, lambda *arguments, **keywords: None)


def attend(module, query, key, value, attention_mask, scaling=None, dropout=0.0, segments=None, **keywords):
    """query [1, H, T, d], key and value [1, H or fewer, T, d]; returns ([1, T, H, d], None)."""
    if segments is None:
        # One new token of a generation sees all keys.
        causal = query.shape[2] == key.shape[2]
        if not causal and query.shape[2] > 1:
            raise ValueError("several new tokens after cached ones are not supported")
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=causal, scale=scaling, enable_gqa=True)
        return mixed.transpose(1, 2), None
    rows = [tensor[0].transpose(0, 1) for tensor in (query, key, value)]
    return segments.mix(*rows, scaling)[None], None


def segments_of(spans, device, dtype):
    """The segments of a batch in the form that suits the device."""
    kind = VarlenSegments if device.type == "cuda" and dtype in (torch.bfloat16, torch.float16) else PaddedSegments
    return kind(spans, device)


class PaddedSegments:
    """Trees padded to [B, L]; mask True where a query may see a key."""

    def __init__(self, spans, device):
        lengths = [span.prompt[1] + sum(fed for _, fed in span.responses) for span in spans]
        longest = max(lengths)
        gather = np.zeros((len(spans), longest), dtype=np.int64)
        scatter = np.zeros(sum(lengths), dtype=np.int64)
        # Trees of one response need no mask but the causal one: padding comes last.
        masked = any(sum(fed > 0 for _, fed in span.responses) > 1 for span in spans)
        mask = np.tril(np.ones((len(spans) if masked else 0, longest, longest), dtype=bool))
        for row, (span, length) in enumerate(zip(spans, lengths)):
            start, prompt = span.prompt
            gather[row, :length] = np.arange(start, start + length)
            scatter[start: start + length] = row * longest + np.arange(length)
            if masked:
                for first, fed in span.responses:
                    # Responses before this one, but not the prompt, are hidden from it.
                    mask[row, first - start: first - start + fed, prompt: first - start] = False
        self.shape_BL = gather.shape
        self.gather = torch.from_numpy(gather.reshape(-1)).to(device)
        self.scatter = torch.from_numpy(scatter).to(device)
        self.mask_B1LL = torch.from_numpy(mask[:, None]).to(device) if masked else None

    def mix(self, query_THd, key_THd, value_THd, scale):
        rows = [tensor.index_select(0, self.gather).view(*self.shape_BL, *tensor.shape[1:]).transpose(1, 2)
                for tensor in (query_THd, key_THd, value_THd)]
        mixed_BHLd = F.scaled_dot_product_attention(
            *rows, attn_mask=self.mask_B1LL, is_causal=self.mask_B1LL is None, scale=scale, enable_gqa=True)
        return mixed_BHLd.transpose(1, 2).flatten(0, 1).index_select(0, self.scatter)


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

    def mix(self, query_THd, key_THd, value_THd, scale):
        key_KHd, value_KHd = ((tensor if self.gather_K is None else tensor.index_select(0, self.gather_K))
                              for tensor in (key_THd, value_THd))
        return varlen(query_THd.contiguous(), key_KHd.contiguous(), value_KHd.contiguous(),
                      self.cu_q, self.cu_k, self.max_q, self.max_k, scale)


def varlen(query_THd, key_KHd, value_KHd, cu_q, cu_k, max_q, max_k, scale):
    """PyTorch's kernel, causal with the mask aligned at the end of each piece."""
    from torch.nn.attention.varlen import varlen_attn

    repeat = query_THd.shape[1] // key_KHd.shape[1]
    if repeat > 1:  # releases before 2.12 have no grouped heads here
        key_KHd, value_KHd = (tensor.repeat_interleave(repeat, dim=1) for tensor in (key_KHd, value_KHd))
    return varlen_attn(query_THd, key_KHd, value_KHd, cu_q, cu_k, max_q, max_k, scale=scale, window_size=(-1, 0))
