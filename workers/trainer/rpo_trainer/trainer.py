"""The loop: steps, evaluations, learning rate, checkpoints. Legend: P examples of a step."""

import math
import os
import time

import torch

from . import meters
from .errors import invalid
from .events import Progress, memory_mb
from .order import make_order


class Trainer:
    def __init__(self, config, group, policy, objective, num_train, events):
        """Held-out examples follow the num_train training examples in objective.examples."""
        self.config, self.group, self.policy, self.objective, self.events = config, group, policy, objective, events
        self.num_train = num_train
        self.order = make_order(objective.examples[:num_train], config)
        self.stop_path = os.path.join(config.out_dir, "STOP")
        matrices = [p for p in policy.trainable.values() if p.dim() > 1]
        vectors = [p for p in policy.trainable.values() if p.dim() <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
            lr=config.learning_rate, fused=True)
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
        (table [P, COLUMNS], tokens, unshared tokens, stop).
        """
        group, objective = self.group, self.objective
        objective.begin(indices)
        divisor = objective.divisor(indices)
        # A step that spans the border of two epochs may hold an example twice, on any two
        # ranks: each occurrence fills its share of all the example's rows.
        places = {}
        for row, index in enumerate(indices):
            places.setdefault(index, []).append(row)
        # The last row carries the stop flag and the numbers of tokens.
        table = torch.zeros(len(indices) + 1, meters.COLUMNS, dtype=torch.float64, device=group.device)
        for batch in objective.batches(indices):
            with torch.set_grad_enabled(train):
                losses, rows = objective.losses(batch)
                if train:
                    (losses.sum() * (batch.weight / divisor)).backward()
            if batch.weight:
                for index, figures in zip(batch.examples, rows):
                    table[places[index]] += figures / len(places[index])
            table[-1, 1] += batch.tokens
            table[-1, 2] += batch.tokens_unshared
            if progress:
                progress.add(len(batch.examples) * group.world_size)  # the other ranks are about as far
        if group.rank == 0 and os.path.exists(self.stop_path):
            table[-1, 0] = 1
        table = group.sum_(table).cpu().numpy()
        return table[:-1], int(table[-1, 1]), int(table[-1, 2]), bool(table[-1, 0])

    def evaluate(self, step):
        held_out = list(range(self.num_train, len(self.objective.examples)))
        if not held_out:
            return
        progress = Progress(self.events if self.group.rank == 0 else None, "eval", len(held_out))
        figures = self.objective.figures(self.pass_over(held_out, train=False, progress=progress)[0], held_out)
        progress.end()
        self.summary["reward_accuracy"] = figures["reward_accuracy"]
        if self.group.rank == 0:
            self.events.write("eval", step=step, loss=figures["loss"], reward_accuracy=figures["reward_accuracy"],
                              pairs=len(held_out))

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

    def take_step(self, step, indices):
        """One optimizer step; returns whether a stop file is there."""
        config, group = self.config, self.group
        started = time.monotonic()
        for settings in self.optimizer.param_groups:
            settings["lr"] = self.learning_rate(step)
        # Dropout is the only use of randomness; this makes it a function of seed, step and rank.
        torch.manual_seed((config.seed * 1_000_003 + step) * 4099 + group.rank)
        table, tokens, unshared, stop = self.pass_over(indices, train=True)
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
            self.events.write(
                "step", step=step, epoch=round(step * config.pairs_per_step / self.num_train, 4), **figures,
                grad_norm=norm, learning_rate=self.learning_rate(step), tokens_per_s=round(tokens / seconds, 1),
                tokens_unshared_per_s=round(unshared / seconds, 1), pairs_per_s=round(len(indices) / seconds, 2),
                tokens=tokens, memory_mb=memory_mb(group.device))
        return stop
