"""The ways of attention beside each other. FlexAttention's backward pass is refused on a CPU by
a check alone; without it the same mask goes through PyTorch's plain implementation."""

import numpy as np
import pytest
import tiny
import torch
from gradients import distance, grouped_examples, step
from torch.nn.attention import flex_attention

from rpo_trainer import attention, flex
from rpo_trainer.errors import TrainerError
from rpo_trainer.packing import LAYOUTS, Tree, collate, collate_trees, units_of
from rpo_trainer.parallel import Group

CPU = torch.device("cpu")


@pytest.fixture
def with_backward(monkeypatch):
    monkeypatch.setattr(flex_attention, "_validate_device", lambda query, key, value: None)


@pytest.fixture
def group():
    group = Group("cpu", 1)
    yield group
    group.close()


def seen_by_hand(spans):
    """The [T, T] mask, from what a tree is."""
    total = max(start + length for span in spans for start, length in (span.prompt, *span.responses))
    mask = np.zeros((total, total), dtype=bool)
    for span in spans:
        start, length = span.prompt
        for place in range(start, start + length):
            mask[place, start: place + 1] = True
        for begin, fed in span.responses:
            for place in range(begin, begin + fed):
                mask[place, start: start + length] = True
                mask[place, begin: place + 1] = True
    return mask


def long_trees(seed):
    """Trees whose prompts and responses cross, fill and miss blocks of 128 in every way."""
    rng = np.random.default_rng(seed)

    def text(length):
        return rng.integers(6, 300, length).astype(np.int32)

    lengths = [(300, [130, 1, 257]), (1, [1]), (128, [129, 128]), (90, [40, 300])]
    return [Tree(text(prompt), [text(length) for length in responses]) for prompt, responses in
            (lengths[number] for number in rng.permutation(len(lengths)))]


@pytest.mark.parametrize("seed", range(3))
def test_blocks_hold_what_the_trees_say(seed):
    spans = collate_trees(long_trees(seed)).spans
    mask = seen_by_hand(spans)
    some, every = flex.blocks(flex.intervals(spans))
    for i in range(len(some)):
        for j in range(len(some)):
            block = mask[i * 128: (i + 1) * 128, j * 128: (j + 1) * 128]
            assert some[i, j] == block.any()
            assert every[i, j] == (block.all() and block.shape == (128, 128)), (i, j)
    assert every.any() and (some & ~every).any() and not some.all()


@pytest.mark.parametrize("seed", range(2))
def test_the_block_mask_is_the_one_that_pytorch_makes_of_every_token(seed):
    spans = collate_trees(long_trees(seed)).spans
    ours = flex.FlexSegments(spans, CPU).mask
    total = ours.seq_lengths[0]
    theirs = flex_attention.create_block_mask(ours.mask_mod, None, None, total, total, device="cpu")
    dense = flex_attention.create_mask(ours.mask_mod, 1, 1, total, total, device="cpu")[0, 0]
    assert np.array_equal(dense.numpy(), seen_by_hand(spans))
    assert torch.equal(ours.to_dense(), theirs.to_dense())
    for name in ("kv_num_blocks", "q_num_blocks", "full_kv_num_blocks", "full_q_num_blocks"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name


@pytest.mark.parametrize("layout", LAYOUTS)
def test_flex_is_the_same_attention_with_the_same_gradients(with_backward, layout):
    examples = grouped_examples(2)
    batch = collate(examples, units_of(examples, list(range(len(examples))), layout))
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(len(batch.ids_T), heads, 8, generator=generator) for heads in (4, 2, 2)]
    outs, grads = [], []
    for kind in ("pieces", "flex"):
        parts = [tensor.clone().requires_grad_() for tensor in inputs]
        out = attention.segments_of(batch.spans, CPU, kind).mix(*parts, 8**-0.5)
        (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
        outs.append(out.detach())
        grads.append([part.grad for part in parts])
    torch.testing.assert_close(*outs, rtol=1e-5, atol=1e-6)
    for one, other in zip(*grads):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_step_with_flex_has_the_loss_and_gradients_of_one_with_pieces(base, group, with_backward, monkeypatch, layout):
    examples = grouped_examples(2)
    pieces = step(base, group, examples, layout)
    monkeypatch.setattr(attention, "kind_of", lambda wanted, device, dtype: "flex")
    flexed = step(base, group, examples, layout)
    assert flexed["loss"] == pytest.approx(pieces["loss"], rel=1e-6)
    assert distance(flexed, pieces) < 1e-6


def test_the_way_follows_from_device_and_type_and_what_cannot_work_is_refused(start, pairs_g3):
    gpu = torch.device("cuda")
    assert attention.kind_of("auto", CPU, torch.float32) == "pieces"
    assert attention.kind_of("auto", CPU, torch.bfloat16) == "pieces"
    assert attention.kind_of("auto", gpu, torch.float32) == "pieces"
    assert attention.kind_of("auto", gpu, torch.bfloat16) == "varlen"
    assert attention.kind_of("flex", gpu, torch.float32) == "flex"
    with pytest.raises(TrainerError, match="varlen needs a GPU and dtype bfloat16"):
        attention.kind_of("varlen", gpu, torch.float32)
    out = start(pairs_g3, attention="flex", expect=78)
    assert "flex needs a GPU" in tiny.read_result(out)["reason"]
