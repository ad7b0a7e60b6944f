"""Reference log-probabilities of every pair, forward only.

    python -m rpo_trainer.reference --config reference.json

Writes one Parquet table (refcache.SCHEMA), sorted by pair_id and role. Every pair is in
it: one over max_tokens has error "too_long" and no value.
"""

import argparse
import json
import os
import sys

from . import config as configuration
from .errors import DONE, EXIT_CODES, FAILED, classify
from .process import die_with_parent


def run(config, group):
    """Compute and write the table; returns its counts."""
    import torch

    from . import data, folder, model, refcache
    from .events import EventLog, Progress
    from .tokens import ChatTokenizer, tokenizer_digest

    events = EventLog(config.events) if config.events and group.rank == 0 else None
    if events:
        events.cut_after(0)
    loading = Progress(events, "load", 3)
    tokenizer = ChatTokenizer(config.model_dir, config.template_date, config.thinking)
    examples = data.read_examples(config.data, "dpo" if config.loss == "rpo" else config.loss, tokenizer)
    limit = data.length_limit(config.max_tokens, folder.read_config(config.model_dir))
    kept, _ = data.drop_long(examples, limit)
    loading.add()
    digests = (folder.weights_digest(config.model_dir, adapter=config.adapter, hashes=group.hash_files),
               tokenizer_digest(config.model_dir))
    others = data.mismatched(kept, limit) if config.loss == "kto" else []
    wanted = refcache.entries_of(kept, others, config.loss, *digests)
    long = [example for example in examples if example.length > limit]
    refused = refcache.entries_of(long, [], config.loss, *digests)
    loading.add()
    policy = model.build(config.model_dir, group, getattr(torch, config.dtype), adapter=config.adapter,
                         trained=False)
    loading.end()
    values = refcache.compute(policy, wanted, config.batch, group, events)
    rows = refcache.rows_of(wanted + refused, values, {example.pair_id: refcache.TOO_LONG for example in long})
    if group.rank == 0:
        refcache.write(config.out, rows)
    return {"pairs": len(examples), "sequences": len(values), "too_long": len(long), "out": config.out}


def main(argv=None):
    parser = argparse.ArgumentParser(prog="rpo_trainer.reference", description=__doc__)
    parser.add_argument("--config", required=True, help="JSON file; its keys are in README.md")
    arguments = parser.parse_args(argv)
    rank = int(os.environ.get("RANK", 0))
    result = None
    group = None
    try:
        die_with_parent()
        document = configuration.read_document(arguments.config)
        if isinstance(document, dict) and isinstance(document.get("result"), str):
            result = document["result"] or None
        if result and rank == 0:
            from .events import clear_result

            clear_result(result)
        config = configuration.load(configuration.ReferenceConfig, document)
        from .parallel import Group

        group = Group(config.device, config.threads, config.shard)
        counts = run(config, group)
        if group.rank == 0:
            print(json.dumps(counts))
            if result:
                from .events import write_result

                write_result(result, DONE)
        group.barrier()
        exit_code = 0
    except Exception as error:
        failure = classify(error)
        if failure.status == FAILED:
            import traceback

            traceback.print_exc()
        print(f"rpo_trainer.reference: {failure.status}: {failure.reason}", file=sys.stderr)
        # Before the group is formed every rank fails alike, so one of them writes.
        if result and (rank == 0 or group is not None):
            from .events import write_result

            write_result(result, failure.status, failure.reason)
        exit_code = EXIT_CODES[failure.status]
    finally:
        if group is not None and group.world_size == 1:
            group.close()
    return exit_code


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
