"""Sequence log-probabilities without full logits.

Only hidden states that predict a response token go through the head, in chunks, and
the log-softmax is exact and in float32. Memory is one chunk of [chunk, V], forward
and backward. A bfloat16 sum near -300 would be off by up to 1, a hundred times the
margin that RPO trains on; that is why everything here is float32.

Legend: T tokens of the batch, S sequences, N response tokens of all sequences, D hidden
size, V vocabulary.
"""

import numpy as np
import torch

# Logits alive at once: 2**24 float32 values are 64 MB.
CHUNK_VALUES = 2**24


def sequence_logprobs(hidden_TD, weight_VD, batch, chunk_tokens=0):
    """Sum of response-token log-probabilities per sequence, [S] float32; weight_VD is the head's."""
    device = hidden_TD.device
    logprobs_N = token_logprobs(hidden_TD.index_select(0, batch.source_N.to(device)), weight_VD,
                                batch.targets_N.to(device), chunk_tokens)
    sums_S = torch.zeros(batch.num_sequences, dtype=torch.float32, device=device)
    return sums_S.index_add(0, batch.sequence_N.to(device), logprobs_N)


def full_logprob(policy, prompt, response):
    """The same for one sequence, with nothing in common but the model: no packing, no
    segments, all logits at once. The gate compares with it."""
    ids_T = torch.from_numpy(np.concatenate([prompt, response[:-1]]).astype(np.int64))

    def finish(hidden_TD, weight_VD):
        logits = hidden_TD[len(prompt) - 1:].float() @ weight_VD.float().t()
        targets = torch.from_numpy(response.astype(np.int64)).to(logits.device)
        return torch.log_softmax(logits, dim=1).gather(1, targets[:, None]).sum()

    with torch.no_grad():
        return policy(ids_T, torch.arange(len(ids_T)), None, finish)


def token_logprobs(hidden_ND, weight_VD, targets_N, chunk_tokens=0):
    """log p(target) for every position, [N] float32; chunk_tokens 0: chosen by memory."""
    if chunk_tokens <= 0:
        chunk_tokens = max(16, CHUNK_VALUES // weight_VD.shape[0])
    return ChunkedLogprob.apply(hidden_ND, weight_VD, targets_N, chunk_tokens)


class ChunkedLogprob(torch.autograd.Function):
    """Selective log-softmax whose backward computes the logits again, chunk by chunk.

    With g the incoming gradient and p the softmax, d hidden = g * (W[target] - p W) and
    d W = sum over positions of g * (onehot(target) - p) hidden; the latter is skipped
    when the head is frozen.
    """

    @staticmethod
    def forward(ctx, hidden_ND, weight_VD, targets_N, chunk):
        ctx.save_for_backward(hidden_ND, weight_VD, targets_N)
        ctx.chunk = chunk
        weight = weight_VD.to(product_type(hidden_ND))
        parts = [hidden_ND.new_zeros(0, dtype=torch.float32)]
        for start in range(0, hidden_ND.shape[0], chunk):
            logits = product(hidden_ND[start: start + chunk], weight.t())
            targets = targets_N[start: start + chunk, None]
            parts.append(logits.gather(1, targets)[:, 0] - torch.logsumexp(logits, dim=1))
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, grad_N):
        hidden_ND, weight_VD, targets_N = ctx.saved_tensors
        need_hidden, need_weight = ctx.needs_input_grad[:2]
        weight = weight_VD.to(product_type(hidden_ND))
        grad_hidden = torch.empty_like(hidden_ND) if need_hidden else None
        grad_weight = torch.zeros_like(weight_VD, dtype=torch.float32) if need_weight else None
        for start in range(0, hidden_ND.shape[0], ctx.chunk):
            piece = slice(start, start + ctx.chunk)
            hidden = hidden_ND[piece]
            grad = grad_N[piece, None].float()
            # Becomes d logits = g * (onehot - p) in place.
            d_logits = torch.softmax(product(hidden, weight.t()), dim=1).mul_(-grad)
            d_logits.scatter_add_(1, targets_N[piece, None], grad)
            if need_hidden:
                grad_hidden[piece] = product(d_logits, weight).to(hidden_ND.dtype)
            if need_weight:
                grad_weight += product(d_logits.t(), hidden)
        if need_weight:
            grad_weight = grad_weight.to(weight_VD.dtype)
        return grad_hidden, grad_weight, None, None


def product_type(hidden):
    """Products are in bfloat16 where a GPU computes in it: in float32 they would take ten times as long."""
    return torch.bfloat16 if hidden.is_cuda and hidden.dtype == torch.bfloat16 else torch.float32


def product(left, right):
    """left @ right as float32; bfloat16 factors are never rounded to bfloat16 again."""
    if torch.bfloat16 in (left.dtype, right.dtype) and right.is_cuda:
        return torch.mm(left.bfloat16(), right.bfloat16(), out_dtype=torch.float32)
    return left.float() @ right.float()
