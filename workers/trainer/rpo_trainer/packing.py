"""From pairs to rows of tokens, and rows to ranks.

Layout none: every response is a row of its own, prompt and response, padded on the
right to the longest row of the micro-batch. Under causal attention nothing before
the padding can see it, so no attention mask is needed.

Legend: B rows, T tokens in the longest row, N response tokens of all rows.
"""

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(slots=True)
class Batch:
    """A micro-batch. Row order: chosen and rejected of a pair stand side by side."""
    pairs: list[int]
    """Indices of the pairs, ascending by length; a dummy batch has weight 0."""
    weight: float
    input_ids_BT: torch.Tensor
    predict_BT: torch.Tensor
    """bool: the next token belongs to the response."""
    targets_N: torch.Tensor
    """Response tokens, row by row."""
    tokens: int
    """Real tokens, without padding; 0 for a dummy."""


def micro_batches(pairs, indices, pairs_per_batch, world_size, rank):
    """Cut one step's pairs into micro-batches and yield this rank's.

    Every rank gets the same number of them (collectives would hang otherwise): a rank
    that runs out repeats the step's shortest pair with weight 0.
    """
    indices = sorted(indices, key=lambda index: (pairs[index].length, index))
    size = min(pairs_per_batch, -(-len(indices) // world_size))
    chunks = [indices[i: i + size] for i in range(0, len(indices), size)]
    rounds = -(-len(chunks) // world_size)
    for turn in range(rounds):
        number = turn * world_size + rank
        if number < len(chunks):
            yield collate(pairs, chunks[number], 1.0)
        else:
            yield collate(pairs, indices[:1], 0.0)


def collate(pairs, indices, weight):
    sequences = [(pairs[index].prompt, response) for index in indices for response in pairs[index].responses]
    return collate_sequences(sequences, indices, weight)


def collate_sequences(sequences, indices, weight=1.0):
    """sequences: [(prompt ids, response ids)]."""
    longest = max(len(prompt) + len(response) for prompt, response in sequences)
    # The last token predicts nothing, so it is not fed in.
    input_ids = np.zeros((len(sequences), longest - 1), dtype=np.int64)
    predict = np.zeros((len(sequences), longest - 1), dtype=bool)
    tokens = 0
    for row, (prompt, response) in enumerate(sequences):
        ids = np.concatenate([prompt, response])
        input_ids[row, : len(ids) - 1] = ids[:-1]
        predict[row, len(prompt) - 1: len(ids) - 1] = True
        tokens += len(ids)
    targets = np.concatenate([response for _, response in sequences]).astype(np.int64)
    return Batch(
        pairs=list(indices),
        weight=weight,
        input_ids_BT=torch.from_numpy(input_ids),
        predict_BT=torch.from_numpy(predict),
        targets_N=torch.from_numpy(targets),
        tokens=tokens if weight else 0,
    )
