import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from gradients import distance, grouped_examples, step
from test_resume import environment

from rpo_trainer import attention
from rpo_trainer.config import LoraConfig
from rpo_trainer.packing import LAYOUTS, Tree, collate, collate_trees, micro_batches, plan_batches, units_of
from rpo_trainer.parallel import Group

BAR = 1e-6  # of the gradient's norm, in float32


@pytest.fixture
def group():
    group = Group("cpu", 1)
    yield group
    group.close()


@pytest.mark.parametrize("lora", [LoraConfig(), None], ids=["lora", "full"])
def test_every_layout_has_the_same_loss_and_gradients(base, group, lora):
    examples = grouped_examples()
    results = {layout: step(base, group, examples, layout, lora) for layout in LAYOUTS}
    for layout in ("pairs", "groups"):
        assert results[layout]["loss"] == pytest.approx(results["none"]["loss"], rel=1e-6)
        assert distance(results[layout], results["none"]) < BAR
        assert results[layout]["unshared"] == results["none"]["tokens"]
    assert results["groups"]["tokens"] < results["pairs"]["tokens"] < results["none"]["tokens"]


@pytest.mark.parametrize("ranks, shard", [(2, 1), (2, 2), (4, 2)], ids=["replicated", "sharded", "both"])
def test_many_ranks_have_the_gradients_of_one(base, group, tmp_path, ranks, shard):
    out = str(tmp_path / "gradients.pt")
    subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks),
                    os.path.join(os.path.dirname(__file__), "gradients.py"), base, out, str(shard)],
                   env=environment(), check=True, timeout=120)
    ours = {kind: step(base, group, grouped_examples(), "none", lora)
            for kind, lora in (("lora", LoraConfig()), ("full", None))}
    theirs = torch.load(out)
    assert len(theirs) == 6
    for name, result in theirs.items():
        kind = name.split()[1]
        assert result["loss"] == pytest.approx(ours[kind]["loss"], rel=1e-6), name
        assert distance(result, ours[kind]) < BAR, name


def test_a_token_budget_changes_nothing_but_the_number_of_batches(base, group):
    examples = grouped_examples(2)
    one = step(base, group, examples, "groups")
    cut = step(base, group, examples, "groups", tokens_per_batch=150)
    assert distance(cut, one) < BAR
    plan = plan_batches(examples, list(range(len(examples))), "groups", 1, 150, 1)
    assert len(plan) > 2
    assert all(sum(unit.tokens for unit in units) <= 150 or len(units) == len(units[0].examples) == 1 for units in plan)


@pytest.mark.parametrize("kind", ["selective", "full"])
def test_recomputed_activations_give_the_same_gradients(base, group, kind):
    examples = grouped_examples(1)
    assert distance(step(base, group, examples, "groups", build_more={"recompute": kind}),
                    step(base, group, examples, "groups")) < BAR


def test_a_group_holds_every_response_of_its_prompt_once():
    examples = grouped_examples(1, responses=5)
    units = units_of(examples, list(range(len(examples))), "groups")
    assert len(units) == 4
    for unit in units:
        assert len(unit.examples) == 4 and [len(tree.responses) for tree in unit.trees] == [5]
        for index, (chosen, rejected) in zip(unit.examples, unit.sequences_P):
            held = unit.trees[0].responses
            assert np.array_equal(held[chosen], examples[index].responses[0])
            assert np.array_equal(held[rejected], examples[index].responses[1])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("world_size", [1, 3])
def test_the_plan_holds_every_example_once_whatever_the_layout(layout, world_size):
    examples = grouped_examples(3)
    indices = list(range(len(examples)))[::-1]
    runs = [list(micro_batches(examples, indices, 4, world_size, rank, layout)) for rank in range(world_size)]
    assert len({len(run) for run in runs}) == 1
    counted = sorted(index for run in runs for batch in run if batch.weight for index in batch.examples)
    assert counted == sorted(indices)
    assert max(len(batch.examples) for run in runs for batch in run) <= 4


def test_each_response_sees_its_prompt_and_itself_at_its_own_positions():
    tree = Tree(np.arange(10, 15), [np.array([20, 21, 22]), np.array([30]), np.array([40, 41])])
    batch = collate_trees([tree, Tree(np.array([1, 2]), [np.array([3, 4])])])
    assert batch.ids_T.tolist() == [10, 11, 12, 13, 14, 20, 21, 40, 1, 2, 3]
    assert batch.positions_T.tolist() == [0, 1, 2, 3, 4, 5, 6, 5, 0, 1, 2]
    assert batch.source_N.tolist() == [4, 5, 6, 4, 4, 7, 9, 10]
    assert batch.targets_N.tolist() == [20, 21, 22, 30, 40, 41, 3, 4]
    assert batch.sequence_N.tolist() == [0, 0, 0, 1, 2, 2, 3, 3]
    # A key moves the results of just those queries that see it.
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(11, 2, 4, generator=generator) for _ in range(3))
    segments = attention.PieceSegments(batch.spans, torch.device("cpu"))
    before = segments.mix(query, key, value, 0.5)
    own = {5: [0, 1, 2, 3, 4, 5], 6: [0, 1, 2, 3, 4, 5, 6], 7: [0, 1, 2, 3, 4, 7], 8: [8], 9: [8, 9], 10: [8, 9, 10]}
    for seen in range(11):
        moved = value.clone()
        moved[seen] += 1.0
        changed = (segments.mix(query, key, moved, 0.5) != before).flatten(1).any(1)
        assert changed.nonzero()[:, 0].tolist() == [
            number for number in range(11) if seen in own.get(number, range(number + 1))]


def varlen_by_hand(query_THd, key_KHd, value_KHd, cu_q, cu_k, max_q, max_k, scale):
    """What the kernel computes, piece by piece: the mask is causal and aligned at the end."""
    repeat = query_THd.shape[1] // key_KHd.shape[1]
    key_KHd, value_KHd = (tensor.repeat_interleave(repeat, dim=1) for tensor in (key_KHd, value_KHd))
    pieces = []
    for q0, q1, k0, k1 in zip(cu_q[:-1], cu_q[1:], cu_k[:-1], cu_k[1:]):
        assert 0 < q1 - q0 <= max_q and q1 - q0 <= k1 - k0 <= max_k
        scores = torch.einsum("qhd,khd->hqk", query_THd[q0:q1], key_KHd[k0:k1]) * scale
        seen = torch.ones(q1 - q0, k1 - k0, dtype=torch.bool).tril(int(k1 - k0 - (q1 - q0)))
        weights = scores.masked_fill(~seen, float("-inf")).softmax(-1)
        pieces.append(torch.einsum("hqk,khd->qhd", weights, value_KHd[k0:k1]))
    return torch.cat(pieces)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_pieces_for_the_gpu_kernel_are_the_same_attention(monkeypatch, layout):
    """The kernel itself needs a GPU; here its pieces are computed by hand."""
    monkeypatch.setattr(attention, "varlen", varlen_by_hand)
    examples = grouped_examples(2)
    batch = collate(examples, units_of(examples, list(range(len(examples))), layout))
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(len(batch.ids_T), heads, 8, generator=generator, dtype=torch.float64) for heads in (4, 2, 2)]
    outs, grads = [], []
    for kind in (attention.PieceSegments, attention.VarlenSegments):
        parts = [tensor.clone().requires_grad_() for tensor in inputs]
        out = kind(batch.spans, torch.device("cpu")).mix(*parts, 8**-0.5)
        (out * torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view_as(out)).sum().backward()
        outs.append(out.detach())
        grads.append([part.grad for part in parts])
    torch.testing.assert_close(*outs)
    for one, other in zip(*grads):
        torch.testing.assert_close(one, other)


if torch.cuda.is_available():
    def test_the_gpu_kernel_gives_the_padded_path_within_bfloat16():
        examples = grouped_examples(2)
        batch = collate(examples, units_of(examples, list(range(len(examples))), "groups"))
        device = torch.device("cuda")
        inputs = [torch.randn(len(batch.ids_T), heads, 64, device=device, dtype=torch.bfloat16) for heads in (4, 2, 2)]
        outs, grads = [], []
        for kind in (attention.PieceSegments, attention.VarlenSegments):
            parts = [tensor.clone().requires_grad_() for tensor in inputs]
            out = kind(batch.spans, device).mix(*parts, 0.125)
            out.float().sum().backward()
            outs.append(out.detach())
            grads.append([part.grad for part in parts])
        torch.testing.assert_close(*outs, rtol=2e-2, atol=2e-2)
        for one, other in zip(*grads):
            torch.testing.assert_close(one, other, rtol=5e-2, atol=5e-2)
