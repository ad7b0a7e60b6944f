"""Bytes of one GPU by class, from shapes alone: the planner's arithmetic.

trace.py compares weights, gradients and optimizer with a model that is built without
storage; activations are a formula. Legend as in flops.py.
"""

from . import flops

# The driver's context and what the allocator cannot hand out again.
CONTEXT_BYTES = 0.7e9
FRAGMENTATION = 0.03
CHUNK_VALUES = 2**24


def shard_bytes(parameters, shard, width):
    """Bytes of the first rank's share: every tensor is cut into ceil(rows / shard) rows."""
    total = 0
    for shape in parameters.values():
        row = 1
        for extent in shape[1:]:
            row *= extent
        total += -(-shape[0] // shard) * row * width
    return total


def memory(shapes, config, world_size, tokens, response_tokens):
    """Peak bytes of one GPU by class, for `tokens` in a micro-batch. Tested against real sizes by --trace."""
    shard = config.shard or world_size
    rank = config.lora.rank if config.lora else None
    width = 2 if config.dtype == "bfloat16" else 4
    held = 4 if rank is None else width
    block, root = shapes.block_parameters(), shapes.root_parameters()
    trained = shapes.adapter_parameters(rank) if rank else block
    per_rank = {  # trained parameters of a rank
        "blocks": shapes.L * shard_bytes(trained, shard, 1),
        "root": 0 if rank else shard_bytes(root, shard, 1)}
    trainable = sum(per_rank.values())
    weights = shapes.L * shard_bytes(block, shard, held) + shard_bytes(root, shard, held)
    parts = {
        "weights": weights + (4 * trainable if rank else 0),
        "gradients": 4 * trainable,
        "optimizer": 8 * trainable,
        "gathered": 0,
    }
    if shard > 1:  # a block in use, the next one on its way, and embeddings and head for the whole pass
        whole = dict(block)
        if rank:
            whole.update(shapes.adapter_parameters(rank))
        parts["gathered"] = 2 * width * flops.count(whole) + width * flops.count(root)
        if rank is None:
            parts["gathered"] += 4 * (flops.count(block) + flops.count(root))
        else:
            parts["gathered"] += 4 * flops.count(shapes.adapter_parameters(rank))
    elif rank is None and width == 2:
        parts["gathered"] = 2 * (flops.count(root) + shapes.L * flops.count(block))  # autocast's copy
    parts["activations"] = tokens * activation_bytes(shapes, config.recompute, width, rank)
    # One block's forward or backward in flight.
    parts["working"] = tokens * width * (4 * shapes.I + 8 * shapes.D)
    chunk = max(16, CHUNK_VALUES // shapes.V)
    parts["head"] = 3 * 4 * chunk * shapes.V + 2 * width * response_tokens * shapes.D
    if rank is None:
        parts["head"] += 2 * 4 * shapes.V * shapes.D
    parts["reserve"] = CONTEXT_BYTES + FRAGMENTATION * sum(parts.values())
    return parts


def activation_bytes(shapes, recompute, width, rank):
    """Bytes a token leaves for the backward pass, over all layers.

    A norm keeps its float32 input and its result, attention its queries, keys, values and
    result, the MLP gate, activated gate, up and their product.
    """
    D, I, q, kv = shapes.D, shapes.I, shapes.H * shapes.d, shapes.G * shapes.d
    adapters = 7 * (rank or 0) * width
    whole = 2 * (4 + width) * D + width * (2 * q + 2 * kv) + width * 4 * I + adapters
    if recompute == "none":
        return shapes.L * whole
    if recompute == "selective":
        kept = width * (D + 2 * q + 2 * kv + 2 * D + 2 * I) + adapters
        return shapes.L * kept + whole
    return shapes.L * width * D + whole
