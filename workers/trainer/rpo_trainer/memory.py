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


def memory(shapes, config, world_size, tokens, response_tokens, keys=None):
    """Peak bytes of one GPU by class, for `tokens` in a micro-batch. Tested against real sizes by --trace.

    keys: keys that all pieces of the micro-batch see together, a prompt once for each of its
    responses; None: as many as tokens.
    """
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
    parts["activations"] = tokens * activation_bytes(shapes, config.recompute, width, rank, (keys or tokens) / max(1, tokens),
                                                     bool(config.lora and config.lora.dropout))
    if rank and width == 2 and config.recompute == "none":
        parts["activations"] += copies_bytes(shapes, rank)
    # One block's forward or backward in flight.
    parts["working"] = tokens * width * (4 * shapes.I + 8 * shapes.D)
    chunk = max(16, CHUNK_VALUES // shapes.V)
    parts["head"] = 3 * 4 * chunk * shapes.V + 2 * width * response_tokens * shapes.D
    if rank is None:
        parts["head"] += 2 * 4 * shapes.V * shapes.D
    parts["reserve"] = CONTEXT_BYTES + FRAGMENTATION * sum(parts.values())
    return parts


def copies_bytes(shapes, rank):
    """Bytes of the adapters in bfloat16, which the backward pass asks for."""
    return 2 * shapes.L * flops.count(shapes.adapter_parameters(rank))


def activation_bytes(shapes, recompute, width, rank, keys_per_token=1.0, dropout=False):
    """Bytes a token leaves for the backward pass, over all layers.

    Not counted is what does not grow with the tokens. A norm keeps its float32 input and its result, attention its queries, result and the keys
    and values it saw, the MLP gate, activated gate, up and their product; dropout its result
    and its mask before each adapter. trace.py compares one block with what autograd keeps.
    """
    return shapes.L * kept_bytes(shapes, recompute, width, rank, keys_per_token, dropout) + (
        0 if recompute == "none" else kept_bytes(shapes, "none", width, rank, keys_per_token, dropout))


def kept_bytes(shapes, recompute, width, rank, keys_per_token=1.0, dropout=False):
    """Bytes a token leaves in one block. What is recomputed is there for one block at a time."""
    D, I, q, kv = shapes.D, shapes.I, shapes.H * shapes.d, shapes.G * shapes.d
    adapters = 7 * (rank or 0) * width
    sums = 4 * shapes.H  # of each query's weights
    if recompute == "full":
        return width * D
    if recompute == "selective":
        return width * (3 * D + 2 * q + 2 * kv + 2 * I) + sums + adapters
    # An adapter's dropped input and the mask stand for the input itself, but where attention keeps it.
    dropped = (width + 1) * sum(into for _, into in shapes.linears().values()) - width * (2 * D + I) if dropout else 0
    trained = width if rank is None else 0  # a trained norm keeps what its weight is multiplied with
    norms = 2 * ((4 + width + trained) * D + 4) + (  # and each its factor
        ((4 + trained) * (q + kv) + 4 * (shapes.H + shapes.G)) if shapes.head_norms else 0)
    return norms + width * (2 * q + 2 * kv * keys_per_token + 4 * I) + sums + adapters + dropped
