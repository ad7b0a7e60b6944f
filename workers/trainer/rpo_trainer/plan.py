"""What a run will take, before anything is loaded.

    python -m rpo_trainer.plan --model DIR --gpus 8 --gpu H100 [--config train.json] [--trace]

Reads config.json and, if it is there, the safetensors index (weights are not needed), and
prints one JSON object: memory of a GPU by class, operations, tokens per second, hours, cost,
the size of a checkpoint and the largest token budget that fits. Exit code 78 if the run
cannot fit, or if the index names other tensors than config.json has.

Speeds are predictions from `efficiency`, the share of the maker's peak that training
reaches; it is an assumption, not a measurement. Legend as in flops.py.
"""

import argparse
import dataclasses
import json
import sys

from . import config as configuration
from . import flops, presets
from .errors import EXIT_CODES, OUT_OF_MEMORY, classify, invalid
from .folder import read_config, stored
from .memory import memory

GB = 1e9
# Tokens that a pass must be able to hold.
SMALLEST_BUDGET = 256
# Share of the peak that is assumed if none is given: the best published LoRA runs on H100
# reach 0.41 on one GPU and 0.32 on eight.
EFFICIENCY = {"replicated": 0.40, "sharded": 0.32}


def tokens_per_pair(layout, prompt, response, responses):
    """Tokens of a pair under a layout; responses: n of a turn, each chosen against the others."""
    if layout == "none":
        return 2 * (prompt + response)
    if layout == "pairs":
        return prompt + 2 * response
    return (prompt + responses * response) / (responses - 1)


def fit_device(model_config, config, group, batches):
    """Settle recompute, and refuse a run that cannot fit its GPU, before its weights are read.

    batches: (tokens, response tokens, keys as in memory.py) of the largest micro-batches.
    Returns the peak in MiB that the allocator should see (all but the reserve); None on a CPU.
    """
    config.shard = group.shard
    if group.device.type != "cuda":
        config.recompute = "none" if config.recompute == "auto" else config.recompute
        return None
    import torch

    from .attention import knows_groups

    name = torch.cuda.get_device_name(group.device)
    gpu_bytes = torch.cuda.get_device_properties(group.device).total_memory
    tokens, response_tokens, keys = max(batches)
    shapes = flops.shapes_of(model_config)
    if not knows_groups():
        keys *= shapes.H // shapes.G
    if config.recompute == "auto":
        choose_recompute(shapes, config, group.world_size, tokens, response_tokens, gpu_bytes, keys)
    parts = memory(shapes, config, group.world_size, tokens, response_tokens, keys)
    if sum(parts.values()) > gpu_bytes:
        config = dataclasses.replace(config, tokens_per_batch=tokens)
        raise too_large(make(model_config, config, group.world_size, gpu_bytes=gpu_bytes, peak=(flops.device_of(name) or (1e15,))[0]))
    return round((sum(parts.values()) - parts["reserve"]) / 2**20, 1)


def make(model_config, config, world_size, *, gpu_bytes, peak, efficiency=0.0, price_per_hour=0.0, pairs=0,
         prompt_tokens=1000, response_tokens=350, responses=5):
    """The plan as a document; lengths are means. config: a TrainConfig."""
    shapes = flops.shapes_of(model_config)
    shard = config.shard or world_size
    rank = config.lora.rank if config.lora else None
    config = dataclasses.replace(config)
    per_pair = tokens_per_pair(config.layout, prompt_tokens, response_tokens, responses)
    tokens = config.tokens_per_batch or round(config.pairs_per_batch * per_pair)
    share = 2 * response_tokens / tokens_per_pair("none", prompt_tokens, response_tokens, responses)

    seen_keys = 1 if config.layout == "none" else (
        (2 if config.layout == "pairs" else responses / (responses - 1)) * (prompt_tokens + response_tokens) / per_pair)
    asked = config.recompute
    if asked == "auto":
        choose_recompute(shapes, config, world_size, tokens, tokens * share, gpu_bytes, tokens * seen_keys)
    parts = memory(shapes, config, world_size, tokens, tokens * share, tokens * seen_keys)
    largest = {}
    for kind in ("none", "selective", "full"):
        choice = dataclasses.replace(config, recompute=kind)
        fixed, scaled = (sum(memory(shapes, choice, world_size, budget, budget * share, budget * seen_keys).values())
                         for budget in (0, 2**20))
        largest[kind] = max(0, int((gpu_bytes - fixed) / (scaled - fixed) * 2**20))
    trainable = shapes.L * flops.count(shapes.adapter_parameters(rank)) if rank else (
        shapes.L * flops.count(shapes.block_parameters()) + flops.count(shapes.root_parameters()))
    # Operations of a pair: its tokens, the keys they see, the response tokens that the head sees.
    if config.layout == "none":
        seen, heads = 2 * flops.visible(prompt_tokens, [response_tokens]), 2 * response_tokens
    elif config.layout == "pairs":
        seen, heads = flops.visible(prompt_tokens, [response_tokens] * 2), 2 * response_tokens
    else:
        seen = flops.visible(prompt_tokens, [response_tokens] * responses) / (responses - 1)
        heads = responses * response_tokens / (responses - 1)
    training = flops.training_flops(shapes, per_pair, seen, heads, rank)
    reference = 0 if config.loss == "sft" else flops.forward_flops(shapes, per_pair, seen, heads)
    recomputed = {"none": 0, "selective": 0.05, "full": 1}[config.recompute] * flops.forward_flops(shapes, per_pair, seen, 0)
    efficiency = efficiency or EFFICIENCY["sharded" if shard > 1 else "replicated"]
    rate = efficiency * peak * world_size
    pairs_per_s = rate / (training + recomputed)
    hours = pairs * (config.epochs / pairs_per_s + reference / rate) / 3600
    return {
        "fits": sum(parts.values()) <= gpu_bytes,
        "memory_gb": {name: round(value / GB, 3) for name, value in parts.items()},
        "total_gb": round(sum(parts.values()) / GB, 3),
        "gpu_gb": round(gpu_bytes / GB, 3),
        "tokens_per_batch": tokens,
        "largest_tokens_per_batch": largest["full" if asked == "auto" else asked],
        "largest_by_recompute": largest,
        "mesh": {"replicate": world_size // shard, "shard": shard},
        "recompute": config.recompute,
        "parameters": shapes.L * flops.count(shapes.block_parameters()) + flops.count(shapes.root_parameters()),
        "trainable_parameters": trainable,
        "checkpoint_gb": round(12 * trainable / GB, 3),
        "tokens_per_pair": round(per_pair, 1),
        "tflops_per_pair": {"training": round(training / 1e12, 2), "recomputed": round(recomputed / 1e12, 2),
                            "reference_once": round(reference / 1e12, 2)},
        "efficiency_assumed": efficiency,
        "predicted_tokens_per_s_per_gpu": round(pairs_per_s * per_pair / world_size, 1),
        "predicted_pairs_per_s": round(pairs_per_s, 3),
        "predicted_hours": round(hours, 3),
        "predicted_cost": round(hours * world_size * price_per_hour, 2),
    }


def check_stored(model_dir, shapes):
    """{stored_gb, stored_files} by the safetensors index (null without one), whose names must be those of config.json."""
    found = stored(model_dir)
    if found is None:
        return {"stored_gb": None, "stored_files": None}
    names, nbytes = found
    expected = shapes.parameters()
    # Some folders hold a tied head, or tables that are computed, all the same.
    extra = {name for name in set(names) - set(expected) if not name.endswith("rotary_emb.inv_freq")
             and not (shapes.tied and name == "lm_head.weight")}
    for kind, wrong in (("lacks", set(expected) - set(names)), ("names", extra)):
        if wrong:
            raise invalid(f"plan: the safetensors index of {model_dir} {kind} {min(wrong)}, "
                          f"{'which' if kind == 'lacks' else 'which is not what'} config.json has"
                          f"{'' if len(wrong) == 1 else f' ({len(wrong)} such names)'}; the folder is not of one model")
    return {"stored_gb": None if nbytes is None else round(nbytes / GB, 3), "stored_files": len(set(names.values()))}


def choose_recompute(shapes, config, world_size, tokens, response_tokens, gpu_bytes, keys=None):
    """The setting that recomputes least among those that fit; full if none does."""
    for kind in ("none", "selective", "full"):
        config.recompute = kind
        if sum(memory(shapes, config, world_size, tokens, response_tokens, keys).values()) <= gpu_bytes:
            break
    return config.recompute


def refuse(document):
    """The failure of a plan that does not fit, with its numbers."""
    parts = ", ".join(f"{name} {value:.1f}" for name, value in document["memory_gb"].items() if value >= 0.05)
    mend = (f"set tokens_per_batch to {document['largest_tokens_per_batch']} or below, or recompute to full"
            if document["largest_tokens_per_batch"] >= SMALLEST_BUDGET else "use more GPUs with a larger shard, recompute full, or a smaller model")
    return invalid(f"plan: a GPU would need {document['total_gb']:.1f} GB of {document['gpu_gb']:.1f} GB ({parts}) for "
                   f"{document['tokens_per_batch']} tokens at a time; {mend}")


def too_large(document):
    """The failure of a run whose largest micro-batch does not fit: with a smaller one it may, so
    it counts as out of memory, which is tried again with half as much."""
    failure = refuse(document)
    if document["largest_tokens_per_batch"] >= SMALLEST_BUDGET:
        failure.status = OUT_OF_MEMORY
    return failure


def main(argv=None):
    parser = argparse.ArgumentParser(prog="rpo_trainer.plan", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder with config.json")
    parser.add_argument("--config", help="JSON file of rpo_trainer.train; data and out_dir are not needed")
    parser.add_argument("--gpus", type=int, default=1, help="ranks")
    parser.add_argument("--gpus-per-node", type=int, default=0, help="what shard 0 stands for; 0: all ranks are on one node")
    parser.add_argument("--gpu", default="H100", help="one of " + ", ".join(flops.DEVICES))
    parser.add_argument("--memory-gb", type=float, default=0.0, help="of a GPU, in 1e9 bytes, in place of the device's")
    parser.add_argument("--tflops", type=float, default=0.0, help="peak of a GPU, in 1e12 operations a second, in place of the device's")
    parser.add_argument("--efficiency", type=float, default=0.0, help="share of the peak that training reaches")
    parser.add_argument("--price-per-hour", type=float, default=0.0, help="of a GPU")
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--prompt-tokens", type=int, default=1000)
    parser.add_argument("--response-tokens", type=int, default=350)
    parser.add_argument("--responses", type=int, default=5, help="of a turn")
    parser.add_argument("--trace", action="store_true", help="build the model without storage and compare sizes")
    arguments = parser.parse_args(argv)
    try:
        document = configuration.read_document(arguments.config) if arguments.config else {"dtype": "bfloat16"}
        config = configuration.decode(configuration.TrainConfig, {
            **presets.apply(document), "model_dir": arguments.model, "data": ["-"], "out_dir": "-"})
        config.check()
        device = flops.device_of(arguments.gpu)
        if arguments.tflops and arguments.memory_gb:
            device = arguments.tflops * 1e12, arguments.memory_gb * GB
        if device is None:
            raise invalid(f"gpu: {arguments.gpu} is none of {', '.join(flops.DEVICES)}")
        config.shard = config.shard or arguments.gpus_per_node or arguments.gpus
        if arguments.gpus < 1 or arguments.gpus % config.shard:
            raise invalid(f"gpus: {arguments.gpus} ranks cannot be cut into groups of {config.shard}")
        if config.device == "cpu" and config.recompute == "auto":
            config.recompute = "none"  # as fit_device settles it there
        model_config = read_config(arguments.model)
        plan = make(model_config, config, arguments.gpus, gpu_bytes=arguments.memory_gb * GB or device[1], peak=device[0],
                    efficiency=arguments.efficiency, price_per_hour=arguments.price_per_hour, pairs=arguments.pairs,
                    prompt_tokens=arguments.prompt_tokens, response_tokens=arguments.response_tokens,
                    responses=arguments.responses)
        plan.update(check_stored(arguments.model, flops.shapes_of(model_config)))
        if arguments.trace:
            from .trace import trace

            plan["trace"] = trace(arguments.model, config, arguments.gpus)
        print(json.dumps(plan, indent=2))
        if not plan["fits"]:
            raise refuse(plan)
        return 0
    except Exception as error:
        failure = classify(error)
        print(f"rpo_trainer.plan: {failure.reason}", file=sys.stderr)
        return EXIT_CODES[failure.status]


if __name__ == "__main__":
    sys.exit(main())
