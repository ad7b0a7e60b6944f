import numpy as np
import pytest
import torch

from rpo_trainer.config import LoraConfig
from rpo_trainer.logprob import token_logprobs
from rpo_trainer.loss import preference_loss, reward_margin, untrained_loss
from rpo_trainer.model import build
from rpo_trainer.packing import Tree, collate_trees
from rpo_trainer.parallel import Group


def reference_logprobs(hidden, weight, targets):
    return torch.log_softmax(hidden @ weight.t(), dim=1).gather(1, targets[:, None])[:, 0]


@pytest.mark.parametrize("chunk", [1, 3, 7, 50, 64])
def test_chunked_equals_full_for_every_chunk_size(chunk):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(50, 16, generator=generator, dtype=torch.float32)
    weight = torch.randn(40, 16, generator=generator, dtype=torch.float32)
    targets = torch.randint(0, 40, (50,), generator=generator)
    upstream = torch.randn(50, generator=generator)

    grads = []
    for compute in (lambda h, w: token_logprobs(h, w, targets, chunk), lambda h, w: reference_logprobs(h, w, targets)):
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        values = compute(h, w)
        (values * upstream).sum().backward()
        grads.append((values.detach(), h.grad, w.grad))
    for chunked, full in zip(*grads):
        torch.testing.assert_close(chunked, full, rtol=1e-5, atol=1e-5)


def test_a_frozen_head_gets_no_gradient():
    hidden = torch.randn(5, 4, requires_grad=True)
    weight = torch.randn(6, 4)
    token_logprobs(hidden, weight, torch.zeros(5, dtype=torch.long)).sum().backward()
    assert hidden.grad is not None and weight.grad is None


def test_sums_are_float32_and_do_not_depend_on_padding_or_company(base):
    group = Group("cpu", 1)
    policy = build(base, group, torch.float32, trained=False)
    rng = np.random.default_rng(0)
    sequences = [(rng.integers(6, 300, p).astype(np.int32), rng.integers(6, 300, c).astype(np.int32))
                 for p, c in ((5, 3), (20, 1), (9, 30))]
    together = policy.logprobs(collate_trees([Tree(prompt, [response]) for prompt, response in sequences])).detach()
    assert together.dtype == torch.float32
    for row, sequence in enumerate(sequences):
        alone = policy.logprobs(collate_trees([Tree(sequence[0], [sequence[1]])])).detach()[0]
        prompt, response = (torch.from_numpy(ids).long() for ids in sequence)
        logits = policy.model(torch.cat([prompt, response])[None]).logits[0, len(prompt) - 1: -1]
        full = torch.log_softmax(logits.double(), 1).gather(1, response[:, None]).sum()
        assert abs(float(alone - together[row])) < 1e-3
        assert float(alone) == pytest.approx(float(full.detach()), abs=1e-3)
    group.close()


@pytest.mark.parametrize("loss, scale, expected", [
    ("rpo", "reward", 0.77096), ("rpo", "logit", 0.70068), ("dpo", "reward", 0.69315)])
def test_an_untrained_policy_has_the_methods_loss_for_g_3(loss, scale, expected):
    g = torch.full((4,), 3.0)
    margin = reward_margin(loss, scale, 0.1, 0.05, g)
    logp = torch.tensor([-300.0, -20.0, -1.0, -77.0])
    losses, chosen, rejected = preference_loss(logp, logp - 3, logp, logp - 3, margin, 0.1)
    assert losses.tolist() == pytest.approx([expected] * 4, abs=5e-6)
    assert untrained_loss(margin.tolist()) == pytest.approx(expected, abs=5e-6)
    assert chosen.tolist() == [0.0] * 4


def test_the_two_margin_scales_are_the_papers_equation_and_the_authors_code():
    chosen, rejected, ref_chosen, ref_rejected = (torch.tensor([v]) for v in (-10.0, -14.0, -11.0, -12.0))
    beta, gamma, g = 0.1, 0.05, torch.tensor([2.0])
    delta = 1.0 - -2.0
    for scale, logit in (("reward", beta * delta - gamma * 2), ("logit", beta * (delta - gamma * 2))):
        losses, _, _ = preference_loss(chosen, rejected, ref_chosen, ref_rejected,
                                       reward_margin("rpo", scale, beta, gamma, g), beta)
        assert float(losses) == pytest.approx(float(np.log1p(np.exp(-logit))), abs=1e-6)


@pytest.mark.parametrize("lora", [LoraConfig(), None], ids=["frozen head", "trained head"])
def test_every_chunk_size_gives_the_models_gradients_of_full_logits(base, lora):
    """The full computation is transformers' own: logits of all positions, one sequence at a time."""
    group = Group("cpu", 1)
    rng = np.random.default_rng(0)
    prompt = rng.integers(6, 300, 20).astype(np.int32)
    responses = [rng.integers(6, 300, length).astype(np.int32) for length in (30, 1, 9)]
    batch = collate_trees([Tree(prompt, responses)])
    upstream = torch.tensor([1.0, -2.0, 0.5])
    policy = build(base, group, torch.float32, lora=lora)
    if lora:
        for name, parameter in policy.trainable.items():
            torch.nn.init.normal_(parameter, std=0.02)

    def gradient(values):
        policy.model.zero_grad()
        (values * upstream).sum().backward()
        return torch.cat([p.grad.flatten() for p in policy.trainable.values()])

    full = []
    for response in responses:
        ids = torch.from_numpy(np.concatenate([prompt, response]).astype(np.int64))
        logits = policy.model(ids[None]).logits[0, len(prompt) - 1: -1]
        full.append(torch.log_softmax(logits, 1).gather(1, ids[len(prompt):, None]).sum())
    full = torch.stack(full)
    expected = gradient(full)
    for chunk in (1, 2, 7, 39, 40, 1000, 0):
        values = policy.logprobs(batch, chunk)
        torch.testing.assert_close(values, full, rtol=1e-6, atol=1e-5)
        assert (gradient(values) - expected).norm() < 1e-6 * expected.norm(), chunk
    group.close()
