"""Gradients of one step under every layout, on any number of ranks; also a program for torchrun.

    gradients.py MODEL OUT SHARD: writes {"LAYOUT KIND": {"loss", "tokens", "unshared", "gradient"}}
"""

import sys

import numpy as np
import torch

from rpo_trainer.config import LoraConfig, TrainConfig
from rpo_trainer.data import Example
from rpo_trainer.model import build
from rpo_trainer.objective import Objective
from rpo_trainer.order import make_order
from rpo_trainer.packing import LAYOUTS
from rpo_trainer.parallel import Group, whole
from rpo_trainer.trainer import Trainer
from rpo_trainer.parallel import local_rows


def grouped_examples(groups=4, responses=4, seed=0):
    """Pairs as the pair stage makes them: the pairs of one chosen response share a prompt of their own."""
    rng = np.random.default_rng(seed)

    def text(low, high):
        return rng.integers(6, 300, rng.integers(low, high)).astype(np.int32)

    examples = []
    for group in range(groups):
        pool = [text(1, 30) for _ in range(responses)]
        pool[-1] = pool[-1][:1]  # a response that is its end-of-turn token alone
        for chosen in range(responses - 1):
            prompt = text(20, 60)
            examples += [Example(f"{group}-{chosen}-{other}", f"profile-{group}", prompt, [pool[chosen], pool[other]],
                                 margin=float(1 + other % 3)) for other in range(responses) if other != chosen]
    return examples


def step(model_dir, group, examples, layout, lora=LoraConfig(), build_more=None, **values):
    """One pass over all examples; the policy is moved away from its reference."""
    config = TrainConfig(model_dir=model_dir, data=["d"], out_dir="out", lora=lora, layout=layout, pairs_per_batch=5,
                         held_out_fraction=0.0, **values)
    config.check()
    policy = build(model_dir, group, torch.float32, lora=lora, **(build_more or {}))
    generator = torch.Generator().manual_seed(1)
    for name, parameter in policy.trainable.items():
        if name.endswith("lora_B"):
            full = torch.randn(parameter.shape, generator=generator) * 0.02
            local = parameter.to_local() if hasattr(parameter, "to_local") else parameter
            local.data.copy_(full[slice(*local_rows(parameter))])
    table = np.linspace(-90, -60, 2 * len(examples)).reshape(-1, 2).astype(np.float32)
    objective = Objective(config, group, policy, examples, [], table)
    trainer = Trainer(config, group, policy, objective, make_order(examples, config), None)
    rows, work, _ = trainer.pass_over(list(range(len(examples))), train=True)
    group.sum_gradients(list(policy.trainable.values()))
    gradient = torch.cat([whole(p.grad).detach().flatten().double() for p in policy.trainable.values()])
    return {"loss": float(rows[:, 0].mean()), "tokens": work.tokens, "unshared": work.tokens_unshared, "gradient": gradient}


def distance(one, other):
    """Of two gradients, in units of their norm."""
    return float((one["gradient"] - other["gradient"]).norm() / other["gradient"].norm())


def main(model_dir, out, shard):
    group = Group("cpu", 1, int(shard))
    results = {f"{layout} {kind}": step(model_dir, group, grouped_examples(), layout, lora)
               for kind, lora in (("lora", LoraConfig()), ("full", None)) for layout in LAYOUTS}
    if group.rank == 0:
        torch.save(results, out)
    group.barrier()


if __name__ == "__main__":
    main(*sys.argv[1:])
