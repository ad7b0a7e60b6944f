"""Train: `python -m rpo_trainer.train --config train.json`, alone or under torchrun.

Read from the bottom: main reads the config, run builds the parts, Trainer.fit is the
loop. Legend: P pairs of a step or micro-batch.
"""

import argparse
import math
import os
import sys
import time

from . import config as configuration
from .errors import DONE, EXIT_CODES, FAILED, STOPPED, TrainerError, classify, invalid
from .process import die_with_parent

# How far the first loss may be from the value an untrained policy must have.
GATE_TOLERANCE = {"float32": 1e-4, "bfloat16": 1e-2}


class Trainer:
    def __init__(self, config, group, policy, pairs_train, pairs_held_out, reference, events):
        import torch

        from .data import make_order
        from .loss import reward_margin

        self.config, self.group, self.policy, self.events = config, group, policy, events
        # Held-out pairs follow the training pairs, so that one index names a pair in all tables.
        self.pairs = pairs_train + pairs_held_out
        self.num_train = len(pairs_train)
        self.order = make_order(pairs_train, config)
        self.g = torch.tensor([pair.margin for pair in self.pairs], dtype=torch.float32)
        self.margin = reward_margin(config.loss, config.margin_scale, config.beta, config.gamma, self.g)
        self.reference = None if reference is None else torch.from_numpy(reference).to(group.device)
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

    def batch_losses(self, batch):
        """Loss per pair [P] and the rows of the meters' table [P, COLUMNS]."""
        import torch

        from . import meters
        from .loss import preference_loss

        logprobs = self.policy.logprobs(batch)
        rows = torch.zeros(len(batch.pairs), meters.COLUMNS, dtype=torch.float64, device=self.group.device)
        if self.config.loss == "sft":
            losses = -logprobs
            rows[:, meters.LOGP_CHOSEN] = logprobs.detach().double()
        else:
            chosen, rejected = logprobs[0::2], logprobs[1::2]
            reference = self.reference[batch.pairs]
            margin = self.margin[batch.pairs].to(self.group.device)
            losses, reward_chosen, reward_rejected = preference_loss(
                chosen, rejected, reference[:, 0], reference[:, 1], margin, self.config.beta)
            for column, values in ((meters.REWARD_CHOSEN, reward_chosen), (meters.REWARD_REJECTED, reward_rejected),
                                   (meters.LOGP_CHOSEN, chosen), (meters.LOGP_REJECTED, rejected)):
                rows[:, column] = values.detach().double()
        rows[:, meters.LOSS] = losses.detach().double()
        return losses, rows

    def pass_over(self, indices, pairs_per_batch, train, progress=None):
        """One pass over pairs: their figures, and the gradients of their mean loss if train.

        The loss is divided by the number of pairs (sft: of response tokens) on all ranks
        together, so neither micro-batches nor ranks change the result.
        """
        import torch

        from . import meters
        from .packing import micro_batches

        group = self.group
        response_tokens = sum(len(self.pairs[index].responses[0]) for index in indices)
        divisor = response_tokens if self.config.loss == "sft" else len(indices)
        # A step that spans the border of two epochs may hold a pair twice, on any two
        # ranks: each occurrence fills its share of all the pair's rows.
        places = {}
        for row, index in enumerate(indices):
            places.setdefault(index, []).append(row)
        # The last row carries the stop flag and the number of tokens.
        table = torch.zeros(len(indices) + 1, meters.COLUMNS, dtype=torch.float64, device=group.device)
        tokens = 0
        for batch in micro_batches(self.pairs, indices, pairs_per_batch, group.world_size, group.rank):
            with torch.set_grad_enabled(train):
                losses, rows = self.batch_losses(batch)
                if train:
                    (losses.sum() * (batch.weight / divisor)).backward()
            if batch.weight:
                for index, figures in zip(batch.pairs, rows):
                    table[places[index]] += figures / len(places[index])
            tokens += batch.tokens
            if progress:
                progress.add(len(batch.pairs) * group.world_size)  # the other ranks are about as far
        if group.rank == 0 and os.path.exists(self.stop_path):
            table[-1, 0] = 1
        table[-1, 1] = tokens
        table = group.sum_(table).cpu().numpy()
        figures = meters.sft_figures(table[:-1], response_tokens) if self.config.loss == "sft" else (
            meters.preference_figures(table[:-1], self.g[indices].numpy(), self.margin[indices].numpy()))
        return figures, int(table[-1, 1]), bool(table[-1, 0])

    @property
    def stop_path(self):
        return os.path.join(self.config.out_dir, "STOP")

    def evaluate(self, step):
        from .events import Progress

        held_out = list(range(self.num_train, len(self.pairs)))
        if not held_out:
            return
        progress = Progress(self.events if self.group.rank == 0 else None, "eval", len(held_out))
        figures, _, _ = self.pass_over(held_out, self.config.pairs_per_batch, train=False, progress=progress)
        progress.end()
        self.summary["reward_accuracy"] = figures["reward_accuracy"]
        if self.group.rank == 0:
            self.events.write("eval", step=step, loss=figures["loss"], reward_accuracy=figures["reward_accuracy"],
                              pairs=len(held_out))

    def check_first_loss(self, loss, indices):
        """An untrained policy is the reference, so the first loss is known; anything else is a defect."""
        from .loss import untrained_loss

        expected = untrained_loss(self.margin[indices].tolist())
        tolerance = GATE_TOLERANCE[self.config.dtype]
        if not abs(loss - expected) <= tolerance:
            raise invalid(
                f"the first loss is {loss:.5f}, but with a policy equal to its reference it must be {expected:.5f} "
                f"(tolerance {tolerance:g}); the reference log-probabilities do not belong to this model, "
                "tokenizer, dtype or data")

    def check_finite(self, step, figures, norm):
        if math.isfinite(figures["loss"]) and math.isfinite(norm):
            return
        raise invalid(
            f"step {step}: loss {figures['loss']} and gradient norm {norm} are not both finite (learning rate "
            f"{self.learning_rate(step):.3g}, mean log-probability of chosen {figures['logp_chosen']}); "
            "lower learning_rate, or use dtype float32")

    def fit(self, first_step, save):
        """Run the steps after first_step; returns whether a stop file ended it early."""
        import torch

        from .events import memory_mb

        config, group = self.config, self.group
        parameters = list(self.policy.trainable.values())
        if first_step == 0:
            self.evaluate(0)
        for step, indices in self.order.steps(first_step):
            started = time.monotonic()
            for settings in self.optimizer.param_groups:
                settings["lr"] = self.learning_rate(step)
            # Dropout is the only use of randomness; this makes it a function of seed, step and rank.
            torch.manual_seed((config.seed * 1_000_003 + step) * 4099 + group.rank)
            figures, tokens, stop = self.pass_over(indices, config.pairs_per_batch, train=True)
            if step == 1 and config.loss != "sft":
                self.check_first_loss(figures["loss"], indices)
            group.sum_gradients(parameters)
            norm = float(torch.nn.utils.clip_grad_norm_(parameters, config.max_grad_norm))
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
                    pairs_per_s=round(len(indices) / seconds, 2), memory_mb=memory_mb(group.device))
            last = step == self.order.total_steps
            if last or (config.eval_every and step % config.eval_every == 0):
                self.evaluate(step)
            if last or stop or (config.checkpoint_every and step % config.checkpoint_every == 0):
                save(step)
            if stop and not last:
                return True
        return False


def identity(config, pairs, model_digest):
    """What must be the same for a run to go on from a checkpoint.

    Not in it: paths, and what changes speed or memory but not the result.
    """
    from dataclasses import asdict

    from .data import data_digest

    document = asdict(config)
    for key in ("version", "model_dir", "data", "reference", "out_dir", "pairs_per_batch", "checkpoint_every",
                "eval_every", "export", "device", "dtype", "threads"):
        del document[key]
    return {**document, "data": data_digest(pairs), "weights": model_digest}


def load_reference(config, pairs, policy, group, digests, events):
    """Reference values [pairs, 2]: from the given files, or computed before anything is trained."""
    from . import refcache

    keys = refcache.pair_keys(pairs, *digests)
    if config.reference:
        return refcache.read(config.reference, pairs, keys)
    path = os.path.join(config.out_dir, "reference.parquet")
    if os.path.exists(path):
        try:
            return refcache.read([path], pairs, keys)
        except TrainerError:
            pass  # of another run in the same folder; computed again below
    group.barrier()  # all ranks have looked before one writes
    sequences = {keys[pair.pair_id, role]: (pair.prompt, response)
                 for pair in pairs for role, response in zip(refcache.ROLES, pair.responses)}
    values = refcache.compute(policy, sequences, 2 * config.pairs_per_batch, group,
                              events if group.rank == 0 else None)
    if group.rank == 0:
        refcache.write(path, refcache.reference_rows(pairs, keys, values))
    group.barrier()
    return refcache.read([path], pairs, keys)


def run(config, group):
    """Train and export; returns (status, result values)."""
    import torch

    from . import checkpoint, data
    from .events import EventLog, Progress
    from .model import Policy, load_model, read_config, weights_digest
    from .tokens import ChatTokenizer, tokenizer_digest

    events = EventLog(os.path.join(config.out_dir, "events.jsonl"))
    if group.rank == 0:
        events.drop_torn_line()
    loading = Progress(events if group.rank == 0 else None, "load", 3)
    tokenizer = ChatTokenizer(config.model_dir)
    limit = data.length_limit(config.max_tokens, read_config(config.model_dir))
    pairs, dropped = data.drop_long(data.read_pairs(config.data, config.loss, tokenizer), limit)
    train_pairs, held_out = data.hold_out(pairs, config.held_out_fraction)
    if not train_pairs:
        raise invalid(f"data: no pairs to train on; {dropped} are longer than {limit} tokens")
    counts = {"pairs_train": len(train_pairs), "pairs_held_out": len(held_out), "dropped_long": dropped}

    loading.add()
    compute_type = getattr(torch, config.dtype)
    model = load_model(config.model_dir, config.init, config.seed,
                       torch.float32 if config.lora is None else compute_type)
    if len(tokenizer.tokenizer) > model.config.vocab_size:
        raise invalid(f"model_dir: the tokenizer has {len(tokenizer.tokenizer)} tokens, "
                      f"the model only {model.config.vocab_size}")
    policy = Policy(model, group.device, compute_type, config.lora, config.seed)
    loading.add()
    model_digest = weights_digest(config.model_dir, config.init, config.seed)
    loading.end()

    reference = None
    if config.loss != "sft":
        reference = load_reference(config, train_pairs + held_out, policy, group,
                                   (model_digest, tokenizer_digest(config.model_dir)), events)
    trainer = Trainer(config, group, policy, train_pairs, held_out, reference, events)
    same = identity(config, pairs, model_digest)

    first_step = 0
    found = checkpoint.latest(config.out_dir)
    if found:
        state = checkpoint.read_state(found)
        checkpoint.check_same_run(found, state, same)
        checkpoint.restore(found, policy.trainable, trainer.optimizer)
        trainer.summary = state["summary"]
        first_step = state["step"]
    if group.rank == 0:
        events.cut_after(first_step)
        if first_step:
            events.write("resume", step=first_step, path=found, world_size=group.world_size)
        else:
            events.write("start", total_steps=trainer.order.total_steps, **counts,
                         trainable_parameters=sum(p.numel() for p in policy.trainable.values()),
                         world_size=group.world_size, device=str(group.device), dtype=config.dtype)

    def save(step):
        if group.rank == 0:
            path = checkpoint.save(config.out_dir, step, policy.trainable, trainer.optimizer,
                                   {"identity": same, "summary": trainer.summary})
            events.write("checkpoint", step=step, path=path)
        group.barrier()

    stopped = trainer.fit(first_step, save)
    values = {**trainer.summary, **counts}
    if stopped:
        if group.rank == 0:
            os.unlink(trainer.stop_path)
        return STOPPED, {**values, "reason": f"stop file after step {trainer.summary['train_steps']}"}
    if group.rank == 0:
        from .export import export_all

        values.update(export_all(config, policy, events))
        events.write("done")
    return DONE, values


def main(argv=None):
    parser = argparse.ArgumentParser(prog="rpo_trainer.train", description=__doc__)
    parser.add_argument("--config", required=True, help="JSON file; its keys are in README.md")
    arguments = parser.parse_args(argv)
    rank = int(os.environ.get("RANK", 0))
    out_dir = None
    group = None
    try:
        die_with_parent()
        document = configuration.read_document(arguments.config)
        if isinstance(document, dict) and isinstance(document.get("out_dir"), str):
            out_dir = document["out_dir"] or None
        if out_dir and rank == 0:
            from .events import clear_result

            clear_result(os.path.join(out_dir, "result.json"))
        config = configuration.load(configuration.TrainConfig, document)
        os.makedirs(config.out_dir, exist_ok=True)
        from .parallel import Group

        group = Group(config.device, config.threads)
        group.barrier()
        status, values = run(config, group)
        if rank == 0:
            from .events import write_train_result

            write_train_result(config.out_dir, status, **values)
        group.barrier()
        group.close()
        return EXIT_CODES[status]
    except Exception as error:
        failure = classify(error)
        if failure.status == FAILED:
            import traceback

            traceback.print_exc()
        print(f"rpo_trainer.train: {failure.status}: {failure.reason}", file=sys.stderr)
        # Before the group is formed every rank fails alike, so one of them writes.
        if out_dir and (rank == 0 or group is not None):
            from .events import write_train_result

            write_train_result(out_dir, failure.status, failure.reason)
        return EXIT_CODES[failure.status]


if __name__ == "__main__":
    exit_code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # A rank whose peer has died would wait for it in the destructors.
    os._exit(exit_code)
