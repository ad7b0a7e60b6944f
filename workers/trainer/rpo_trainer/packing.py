"""From examples to flat batches of tokens, and batches to ranks.

A tree is a prompt and the responses after it. Every response attends to the prompt and
to itself alone, and its positions start where the prompt ends, so each sees exactly what
it would see in a row of its own. The layout says which trees are made:

    none    a tree of one response for every response of every example
    pairs   one tree for an example: its prompt, then chosen and rejected
    groups  one tree for all examples of a prompt, every distinct response once. In RPO the
            prompt is made for the chosen response, so that these are the pairs of one
            chosen response: prompt, chosen, rejected 1, rejected 2, ...

Loss and gradients are the same in all of them; the number of tokens is not. Trees of a
batch stand one after another without padding.

Legend: T tokens of a batch, S sequences (a prompt and one response), N response tokens
of all sequences, P examples.
"""

from dataclasses import dataclass, field

import numpy as np
import torch

from .flops import visible

LAYOUTS = ("none", "pairs", "groups")


@dataclass(slots=True)
class Tree:
    prompt: np.ndarray
    """[p] token ids, at least one."""
    responses: list[np.ndarray]
    """Each [c] token ids, at least one, the end-of-turn token included."""

    @property
    def tokens(self) -> int:
        return len(self.prompt) + sum(map(len, self.responses))


@dataclass(slots=True)
class Span:
    """Where a tree stands among the T tokens: prompt and responses as (start, length)."""
    prompt: tuple[int, int]
    responses: list[tuple[int, int]]


@dataclass(slots=True)
class Batch:
    """A micro-batch of one rank."""
    examples: list[int]
    weight: float
    """0 for a batch that only keeps a rank busy, else 1."""
    sequences_P: list[list[int]]
    """For each example, the sequences that hold its responses."""
    ids_T: torch.Tensor
    positions_T: torch.Tensor
    source_N: torch.Tensor
    """Which of the T hidden states predicts a response token."""
    targets_N: torch.Tensor
    sequence_N: torch.Tensor
    num_sequences: int
    spans: list[Span]
    tokens: int
    """Tokens of the trees; 0 if the weight is."""
    tokens_unshared: int
    """Tokens that the layout none has for the same examples; 0 if the weight is."""
    visible: int
    """(query, key) pairs that may see each other; 0 if the weight is."""


@dataclass(slots=True)
class Unit:
    """Examples that are laid out together, with the trees that hold them."""
    examples: list[int]
    trees: list[Tree] = field(default_factory=list)
    sequences_P: list[list[int]] = field(default_factory=list)
    tokens: int = 0


def units_of(examples, indices, layout):
    """Cut examples into the smallest parts that the layout allows, in the order of indices."""
    if layout != "groups":
        return [make_unit(examples, [index], layout) for index in indices]
    by_prompt: dict[bytes, list[int]] = {}
    for index in indices:
        by_prompt.setdefault(examples[index].prompt.tobytes(), []).append(index)
    return [make_unit(examples, members, layout) for members in by_prompt.values()]


def make_unit(examples, indices, layout):
    unit = Unit(list(indices))
    if layout == "groups":
        tree = Tree(examples[indices[0]].prompt, [])
        known: dict[bytes, int] = {}
        for index in indices:
            row = []
            for response in examples[index].responses:
                number = known.setdefault(response.tobytes(), len(known))
                if number == len(tree.responses):
                    tree.responses.append(response)
                row.append(number)
            unit.sequences_P.append(row)
        unit.trees = [tree]
    else:
        for index in indices:
            prompt, responses = examples[index].prompt, examples[index].responses
            first = sum(len(tree.responses) for tree in unit.trees)
            unit.trees += ([Tree(prompt, [response]) for response in responses] if layout == "none"
                           else [Tree(prompt, list(responses))])
            unit.sequences_P.append(list(range(first, first + len(responses))))
    unit.tokens = sum(tree.tokens for tree in unit.trees)
    return unit


def split_unit(examples, unit, layout, max_examples, max_tokens):
    """Cut a unit that is over a limit (0: none) into units that are not, where that is possible."""
    parts, current = [], None
    for index in unit.examples:
        grown = make_unit(examples, [*(current.examples if current else []), index], layout)
        if current and (max_examples and len(grown.examples) > max_examples or max_tokens and grown.tokens > max_tokens):
            parts.append(current)
            grown = make_unit(examples, [index], layout)
        current = grown
    return [*parts, current]


def plan_batches(examples, indices, layout, max_examples, max_tokens, world_size):
    """Cut a step into micro-batches: lists of units, largest first.

    First fit, longest first, under max_tokens, or under max_examples where that is 0. It
    depends on the examples alone, so every rank makes the same plan.
    """
    if max_tokens:
        max_examples = 0
    else:
        max_examples = min(max_examples, -(-len(indices) // world_size))
    units = []
    for unit in units_of(examples, indices, layout):
        over = max_examples and len(unit.examples) > max_examples or max_tokens and unit.tokens > max_tokens
        units += split_unit(examples, unit, layout, max_examples, max_tokens) if over else [unit]
    units.sort(key=lambda unit: (-unit.tokens, unit.examples))
    bins: list[tuple[list[Unit], int, int]] = []
    for unit in units:
        for number, (members, count, tokens) in enumerate(bins):
            if ((not max_examples or count + len(unit.examples) <= max_examples)
                    and (not max_tokens or tokens + unit.tokens <= max_tokens)):
                members.append(unit)
                bins[number] = (members, count + len(unit.examples), tokens + unit.tokens)
                break
        else:
            bins.append(([unit], len(unit.examples), unit.tokens))
    bins.sort(key=lambda item: -item[2])
    return [members for members, _, _ in bins]


def micro_batches(examples, indices, max_examples, world_size, rank, layout="none", max_tokens=0):
    """Yield this rank's micro-batches of one step.

    Every rank gets the same number of them (collectives would hang otherwise): a rank that
    runs out repeats the step's smallest unit with weight 0. Batches that run at the same
    time on several ranks are about as long.
    """
    plan = plan_batches(examples, indices, layout, max_examples, max_tokens, world_size)
    for first in range(0, len(plan), world_size):
        if first + rank < len(plan):
            yield collate(examples, plan[first + rank], 1.0)
        else:
            yield collate(examples, plan[-1][-1:], 0.0)


def collate(examples, units, weight=1.0):
    trees, owners, sequences_P = [], [], []
    sequences = 0
    for unit in units:
        owners += unit.examples
        sequences_P += [[sequences + number for number in row] for row in unit.sequences_P]
        trees += unit.trees
        sequences += sum(len(tree.responses) for tree in unit.trees)
    unshared = sum(len(examples[index].prompt) + len(response)
                   for index in owners for response in examples[index].responses)
    return collate_trees(trees, owners, sequences_P, weight, unshared)


def collate_trees(trees, examples=(), sequences_P=(), weight=1.0, unshared=0):
    """Lay trees out flat. A response's last token predicts nothing and is not fed in."""
    ids, positions, source, targets, sequence, spans = [], [], [], [], [], []
    start = number = 0
    for tree in trees:
        length = len(tree.prompt)
        ids.append(tree.prompt)
        positions.append(np.arange(length))
        span = Span((start, length), [])
        last_of_prompt = start + length - 1
        start += length
        for response in tree.responses:
            fed = len(response) - 1
            ids.append(response[:-1])
            positions.append(np.arange(length, length + fed))
            span.responses.append((start, fed))
            # The prompt's last token predicts the first token of every response.
            source.append(np.concatenate([[last_of_prompt], np.arange(start, start + fed)]))
            targets.append(response)
            sequence.append(np.full(len(response), number))
            start += fed
            number += 1
        spans.append(span)
    return Batch(
        examples=list(examples), weight=weight, sequences_P=list(sequences_P),
        ids_T=flat(ids), positions_T=flat(positions), source_N=flat(source), targets_N=flat(targets),
        sequence_N=flat(sequence), num_sequences=number, spans=spans,
        tokens=sum(tree.tokens for tree in trees) if weight else 0, tokens_unshared=unshared if weight else 0,
        visible=sum(visible(span.prompt[1], [fed for _, fed in span.responses]) for span in spans) if weight else 0)


def flat(parts):
    return torch.from_numpy(np.concatenate(parts).astype(np.int64))
