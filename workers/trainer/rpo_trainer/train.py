"""Train: `python -m rpo_trainer.train --config train.json`, alone or under torchrun.

Read from the bottom: main reads the config, run builds the parts, Trainer.fit is the loop.
"""

import argparse
import os
import sys

from . import config as configuration
from .errors import DONE, EXIT_CODES, FAILED, STOPPED, TrainerError, classify, invalid
from .process import die_with_parent

# Steps whose batches are looked at to know the largest one.
PLANNED_STEPS = 500
# What changes speed or memory but not the result, and paths: they may differ on resume.
FREE = ("version", "preset", "model_dir", "data", "reference", "out_dir", "layout", "pairs_per_batch", "tokens_per_batch",
        "checkpoint_every", "eval_every", "export", "device", "dtype", "threads", "shard", "recompute", "compile",
        "attention", "adapter")


def identity(config, examples, model_digest):
    """What must be the same for a run to go on from a checkpoint."""
    from dataclasses import asdict

    from .data import data_digest

    document = {key: value for key, value in asdict(config).items() if key not in FREE}
    return {**document, "data": data_digest(examples), "weights": model_digest}


def largest_batches(config, group, order):
    """(tokens, response tokens, keys that its pieces see) of the largest micro-batch of each of the first steps."""
    from .packing import plan_batches

    largest = []
    for step, indices in order.steps():
        units = plan_batches(order.examples, indices, config.layout, config.pairs_per_batch, config.tokens_per_batch,
                             group.world_size)[0]
        trees = [tree for unit in units for tree in unit.trees]
        responses = [(len(tree.prompt), len(ids)) for tree in trees for ids in tree.responses]
        largest.append((sum(tree.tokens for tree in trees), sum(own for _, own in responses), sum(map(sum, responses))))
        if step == PLANNED_STEPS:
            break
    return largest


def load_reference(config, examples, others, policy, group, digests, events):
    """Reference values [examples, 2]: from the given files, or computed before anything is trained."""
    import torch

    from . import refcache

    entries = refcache.entries_of(examples, others, config.loss, *digests)
    if config.reference:
        return refcache.matrix(examples, refcache.read(config.reference, entries), config.loss)
    path = os.path.join(config.out_dir, "reference.parquet")
    found = None
    if os.path.exists(path):
        try:
            found = refcache.read([path], entries)
        except TrainerError:
            pass  # of another run in the same folder; computed again below
    # All ranks have looked before one writes, and go the same way: hosts have a file each.
    if not group.sum_(torch.tensor([float(found is None)], device=group.device)).item():
        return refcache.matrix(examples, found, config.loss)
    values = refcache.compute(policy, entries, 2 * config.pairs_per_batch, group,
                              events if group.rank == 0 else None)
    if group.host_rank == 0:
        refcache.write(path, refcache.rows_of(entries, values))
    group.barrier()
    return refcache.matrix(examples, refcache.read([path], entries), config.loss)


def run(config, group):
    """Train and export; returns (status, result values)."""
    import torch

    from . import checkpoint, data, folder, model, plan
    from .events import EventLog, Progress
    from .objective import Objective
    from .order import make_order
    from .telemetry import Telemetry
    from .tokens import ChatTokenizer, tokenizer_digest
    from .trainer import Trainer

    events = EventLog(os.path.join(config.out_dir, "events.jsonl"))
    if group.rank == 0:
        events.drop_torn_line()
    loading = Progress(events if group.rank == 0 else None, "load", 3)
    tokenizer = ChatTokenizer(config.model_dir, config.template_date, config.thinking)
    limit = data.length_limit(config.max_tokens, folder.read_config(config.model_dir))
    examples, dropped = data.drop_long(data.read_examples(config.data, config.loss, tokenizer), limit)
    same = identity(config, examples, folder.weights_digest(
        config.model_dir, config.init, config.seed, config.adapter, group.hash_files))
    others = data.mismatched(examples, limit) if config.loss == "kto" else []
    beside = {id(example): other for example, other in zip(examples, others)}
    train, held_out = data.hold_out(examples, config.held_out_fraction)
    if not train:
        raise invalid(f"data: no pairs to train on; {dropped} are longer than {limit} tokens")
    counts = {"pairs_train": len(train), "pairs_held_out": len(held_out), "dropped_long": dropped}
    examples = train + held_out
    others = [beside[id(example)] for example in examples] if others else []
    loading.add()

    order = make_order(train, config)
    planned_mb = plan.fit_device(folder.read_config(config.model_dir), config, group, largest_batches(config, group, order))
    policy = model.build(config.model_dir, group, getattr(torch, config.dtype), init=config.init,
                         adapter=config.adapter, seed=config.seed, lora=config.lora, recompute=config.recompute,
                         compiler="inductor" if config.compile else None, attention_kind=config.attention)
    if len(tokenizer.tokenizer) > policy.model.config.vocab_size:
        raise invalid(f"model_dir: the tokenizer has {len(tokenizer.tokenizer)} tokens, "
                      f"the model only {policy.model.config.vocab_size}")
    loading.add()
    loading.end()

    reference = None
    if config.loss != "sft":
        reference = load_reference(config, examples, others, policy, group,
                                   (same["weights"], tokenizer_digest(config.model_dir)), events)
    objective = Objective(config, group, policy, examples, others, reference)
    trainer = Trainer(config, group, policy, objective, order, events)
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
                         world_size=group.world_size, device=str(group.device), dtype=config.dtype, recompute=config.recompute,
                         attention=policy.attention_kind, planned_memory_mb=planned_mb)
        trainer.telemetry = Telemetry(config.out_dir, first_step)
    group.barrier()  # the lines are cut before a checkpoint adds to them

    saver = checkpoint.Saver(config.out_dir, group, lambda step, path: events.write("checkpoint", step=step, path=path))
    stopped = trainer.fit(first_step, saver, same)
    values = {**trainer.summary, **counts}
    if stopped:
        if group.host_rank == 0 and os.path.exists(trainer.stop_path):  # it was on one host, maybe not this one
            os.unlink(trainer.stop_path)
        return STOPPED, {**values, "reason": f"stop file after step {trainer.summary['train_steps']}"}
    from .export import export_all

    values.update(export_all(config, policy, group, events))
    if group.rank == 0:
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

        group = Group(config.device, config.threads, config.shard)
        group.barrier()
        status, values = run(config, group)
        if rank == 0:
            from .events import write_train_result

            write_train_result(config.out_dir, status, **values)
        group.barrier()
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
    finally:
        if group is not None and group.world_size == 1:
            group.close()


if __name__ == "__main__":
    exit_code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # A rank whose peer has died would wait for it in the destructors.
    os._exit(exit_code)
