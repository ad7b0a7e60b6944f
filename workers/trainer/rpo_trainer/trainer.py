"""The loop: steps, evaluations, learning rate, checkpoints. Legend: P examples of a step."""

import math
import os
import time
from dataclasses import dataclass

import torch

from . import flops, meters
from .errors import invalid
from .events import Progress, memory_mb


@dataclass(slots=True)
class Work:
    """What a pass did, over all ranks; as in packing.Batch."""
    tokens: int
    tokens_unshared: int
    visible: int
    response_tokens: int


class Trainer:
    def __init__(self, config, group, policy, objective, order, events):
        """order is over the training examples; held-out ones follow them in objective.examples."""
        self.config, self.group, self.policy, self.objective, self.events = config, group, policy, objective, events
        self.num_train = len(order.examples)
        self.order = order
        self.telemetry = None  # of rank 0, once the first step is known
        self.stop_path = os.path.join(config.out_dir, "STOP")
        matrices = [p for p in policy.trainable.values() if p.dim() > 1]
        vectors = [p for p in policy.trainable.values() if p.dim() <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
            lr=config.learning_rate, fused=True)
        self.shapes = flops.shapes_of(policy.model.config.to_dict())
        known = group.device.type == "cuda" and flops.device_of(torch.cuda.get_device_name(group.device))
        self.peak = known[0] if known else None
        self.summary = {"train_steps": 0, "loss_first": None, "loss_last": None, "reward_accuracy": None}

    def learning_rate(self, step):
        """Rate of step 1..total: linear warm-up, then cosine to zero or constant."""
        total = self.order.total_steps
        warmup = math.ceil(self.config.warmup_fraction * total)
        if step <= warmup:
            return self.config.learning_rate * step / warmup
        if self.config.schedule == "constant":
            return self.config.learning_rate
        progress = (step - warmup) / max(1, total - warmup + 1)
        return self.config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))

    def pass_over(self, indices, train, progress=None):
        """One pass over examples: their table of figures, and the gradients of their mean loss if train.

        The loss is divided by the number of examples (sft: of response tokens) on all ranks
        together, so neither micro-batches nor layout nor ranks change the result. Returns
        (table [P, COLUMNS], Work, stop).
        """
        group, objective = self.group, self.objective
        objective.begin(indices)
        divisor = objective.divisor(indices)
        # A step that spans the border of two epochs may hold an example twice, on any two
        # ranks: each occurrence fills its share of all the example's rows.
        places = {}
        for row, index in enumerate(indices):
            places.setdefault(index, []).append(row)
        # The last row carries the stop flag and the work.
        table = torch.zeros(len(indices) + 1, meters.COLUMNS, dtype=torch.float64, device=group.device)
        for batch in objective.batches(indices):
            with torch.set_grad_enabled(train):
                losses, rows = objective.losses(batch)
                if train:
                    (losses.sum() * (batch.weight / divisor)).backward()
            if batch.weight:
                for index, figures in zip(batch.examples, rows):
                    table[places[index]] += figures / len(places[index])
            if batch.weight:
                table[-1, 1:5] += torch.tensor([batch.tokens, batch.tokens_unshared, batch.visible, len(batch.targets_N)],
                                               dtype=torch.float64, device=group.device)
            if progress:
                progress.add(len(batch.examples) * group.world_size)  # the other ranks are about as far
        if group.host_rank == 0 and os.path.exists(self.stop_path):  # on any host
            table[-1, 0] = 1
        table = group.sum_(table).cpu().numpy()
        return table[:-1], Work(*(int(value) for value in table[-1, 1:5])), bool(table[-1, 0])

    def evaluate(self, step):
        held_out = list(range(self.num_train, len(self.objective.examples)))
        if not held_out:
            return
        progress = Progress(self.events if self.group.rank == 0 else None, "eval", len(held_out))
        figures = self.objective.figures(self.pass_over(held_out, train=False, progress=progress)[0], held_out)
        progress.end()
        self.summary["reward_accuracy"] = figures["reward_accuracy"]
        if self.group.rank == 0:
            self.events.write("eval", step=step, pairs=len(held_out), **figures)

    def check_finite(self, step, figures, norm):
        if math.isfinite(figures["loss"]) and math.isfinite(norm):
            return
        raise invalid(
            f"step {step}: loss {figures['loss']} and gradient norm {norm} are not both finite (learning rate "
            f"{self.learning_rate(step):.3g}, mean log-probability of chosen {figures['logp_chosen']}); "
            "lower learning_rate, or use dtype float32")

    def fit(self, first_step, saver, identity):
        """Run the steps after first_step; returns whether a stop file ended it early."""
        config = self.config
        if first_step == 0:
            self.evaluate(0)
        for step, indices in self.order.steps(first_step):
            stop = self.take_step(step, indices)
            last = step == self.order.total_steps
            if last or (config.eval_every and step % config.eval_every == 0):
                self.evaluate(step)
            if last or stop or (config.checkpoint_every and step % config.checkpoint_every == 0):
                saver.save(step, self.policy.trainable, self.optimizer, {"identity": identity, "summary": self.summary})
            saver.poll()
            if stop and not last:
                saver.finish()
                return True
        saver.finish()
        return False

    def rate(self, work, seconds):
        """Needed operations a second and rank, and their share of the device's peak (mfu); flops.py has the formula."""
        rank = self.config.lora.rank if self.config.lora else None
        needed = flops.training_flops(self.shapes, work.tokens, work.visible, work.response_tokens, rank)
        per_rank = needed / seconds / self.group.world_size
        return {"tflops_per_s": round(per_rank / 1e12, 4), "mfu": round(per_rank / self.peak, 4) if self.peak else None}

    def take_step(self, step, indices):
        """One optimizer step; returns whether a stop file is there."""
        config, group = self.config, self.group
        started = time.monotonic()
        for settings in self.optimizer.param_groups:
            settings["lr"] = self.learning_rate(step)
        # Dropout is the only use of randomness; this makes it a function of seed, step and rank.
        torch.manual_seed(((config.seed * 1_000_003 + step) * 4099 + group.rank) % 2**63)
        table, work, stop = self.pass_over(indices, train=True)
        figures = self.objective.figures(table, indices)
        if step == 1:
            self.objective.check_first(figures["loss"], table, indices)
        parameters = list(self.policy.trainable.values())
        group.sum_gradients(parameters)
        norm = torch.nn.utils.clip_grad_norm_(parameters, config.max_grad_norm)
        norm = float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)
        self.check_finite(step, figures, norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        seconds = time.monotonic() - started
        self.summary["train_steps"] = step
        self.summary["loss_last"] = figures["loss"]
        if step == 1:
            self.summary["loss_first"] = figures["loss"]
        if group.rank == 0:
            figures = {
                "epoch": round(step * config.pairs_per_step / self.num_train, 4), **figures, "grad_norm": norm,
                "learning_rate": self.learning_rate(step), "tokens": work.tokens,
                "tokens_per_s": round(work.tokens / seconds, 1), "pairs_per_s": round(len(indices) / seconds, 2),
                "tokens_unshared_per_s": round(work.tokens_unshared / seconds, 1), **self.rate(work, seconds),
                "memory_mb": memory_mb(group.device)}
            self.events.write("step", step=step, **figures)
            if self.telemetry:
                self.telemetry.write(step, **figures)
        return stop
