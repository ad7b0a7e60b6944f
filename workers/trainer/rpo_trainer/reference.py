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

    from . import data, refcache
    from .events import EventLog, Progress
    from .model import Policy, load_model, read_config, weights_digest
    from .tokens import ChatTokenizer, tokenizer_digest

    events = EventLog(config.events) if config.events and group.rank == 0 else None
    if events:
        events.cut_after(0)
    loading = Progress(events, "load", 3)
    pairs = data.read_pairs(config.data, "dpo", ChatTokenizer(config.model_dir))
    limit = data.length_limit(config.max_tokens, read_config(config.model_dir))
    errors = {pair.pair_id: refcache.TOO_LONG for pair in pairs if pair.length > limit}
    loading.add()
    keys = refcache.pair_keys(pairs, weights_digest(config.model_dir), tokenizer_digest(config.model_dir))
    loading.add()
    # By key, so that equal (prompt, response) are computed once.
    sequences = {keys[pair.pair_id, role]: (pair.prompt, response) for pair in pairs if pair.pair_id not in errors
                 for role, response in zip(refcache.ROLES, pair.responses)}
    compute_type = getattr(torch, config.dtype)
    policy = Policy(load_model(config.model_dir, dtype=compute_type), group.device, compute_type, trained=False)
    loading.end()
    values = refcache.compute(policy, sequences, config.batch, group, events)
    rows = refcache.reference_rows(pairs, keys, values, errors)
    if group.rank == 0:
        refcache.write(config.out, rows)
    return {"pairs": len(pairs), "sequences": len(sequences), "too_long": len(errors), "out": config.out}


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

        group = Group(config.device, config.threads)
        counts = run(config, group)
        if group.rank == 0:
            print(json.dumps(counts))
            if result:
                from .events import write_result

                write_result(result, DONE)
        group.barrier()
        group.close()
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
    return exit_code


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
