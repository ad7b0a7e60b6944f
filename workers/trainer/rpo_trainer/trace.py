"""The planner's sizes against the real model, without storage and without other ranks.

The model is built on the meta device and sharded over a process group that only pretends
to have other members; then every tensor of a rank is counted. One block is run forward, still
without storage, and what autograd keeps of it is counted, too.
"""

import copy

import numpy as np
import torch
import torch.distributed as dist
from torch.utils._python_dispatch import TorchDispatchMode

from . import flops, parallel, weights
from .attention import VarlenSegments, knows_groups
from .errors import invalid
from .folder import read_config
from .lora import add_adapters
from .memory import copies_bytes, kept_bytes, memory
from .model import is_kept
from .packing import Tree, collate_trees


def trace(model_dir, config, world_size, rank=0):
    """Count rank's bytes on a mesh of world_size ranks; refuses if they are not what the planner says."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    if dist.is_initialized():
        raise RuntimeError("a trace needs a process without a process group")
    shard = config.shard or world_size
    compute = getattr(torch, config.dtype)
    model = weights.empty_model(model_dir, torch.float32 if config.lora is None else compute)
    shapes = flops.shapes_of(read_config(model_dir))
    if config.lora is not None:
        add_adapters(model, config.lora)
    check_names(model, shapes, config)
    kept = activations(model, shapes, config) if config.dtype == "bfloat16" else None
    dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=world_size)
    try:
        if shard > 1:
            mesh = dist.device_mesh.init_device_mesh("cpu", (world_size // shard, shard),
                                                     mesh_dim_names=("replicate", "shard"))
            parallel.shard(model, model.model.layers, mesh, compute)
        held = trained = 0
        for parameter in model.parameters():
            first, last = parallel.local_rows(parameter)
            size = (last - first) * (parameter.numel() // max(1, parameter.shape[0]))
            local = parameter.to_local() if hasattr(parameter, "to_local") else parameter
            if local.numel() != size:
                raise invalid(f"trace: a rank holds {local.numel()} values where slices of files have {size}")
            held += local.numel() * local.element_size()
            if parameter.requires_grad:
                trained += local.numel()
    finally:
        dist.destroy_process_group()
    predicted = memory(shapes, config, world_size, 0, 0)
    counted = {"weights": held, "gradients": 4 * trained, "optimizer": 8 * trained}
    for name, value in counted.items():
        # The first rank has the largest share, and the planner counts it.
        if value != predicted[name] if rank == 0 else value > predicted[name]:
            raise invalid(f"trace: {name} take {value} bytes on rank {rank} of {world_size}, "
                          f"the planner says {predicted[name]}")
    return {"world_size": world_size, "rank": rank, "bytes": counted, "activation_bytes_per_token": kept}


# What one tree gives: a prompt, and responses that share it.
PROMPT_TOKENS, RESPONSE_TOKENS, RESPONSES = 1024, 256, 4
TOLERANCE = 0.02


def activations(model, shapes, config):
    """Bytes that autograd keeps of a token in one block, as counted and as planned; refuses beyond TOLERANCE.

    In bfloat16 with PyTorch's variable-length attention, as on a GPU. Counted are the
    storages of what the backward pass will ask for, weights left out. Dropout is left out,
    since its mask is of another type without a GPU.
    """
    layer = copy.deepcopy(model.model.layers[0]).bfloat16()
    for module in layer.modules():
        if hasattr(module, "lora_A"):
            for adapter in (module.lora_A, module.lora_B):
                adapter.data = adapter.data.float()
    batch = collate_trees([Tree(np.zeros(PROMPT_TOKENS, np.int32), [np.zeros(RESPONSE_TOKENS, np.int32)] * RESPONSES)])
    segments = VarlenSegments(batch.spans, torch.device("meta"))
    tokens, keys = len(batch.ids_T), len(segments.gather_K)
    hidden = torch.empty(1, tokens, shapes.D, dtype=torch.bfloat16, device="meta", requires_grad=True)
    angles = [torch.empty(1, tokens, shapes.d, dtype=torch.bfloat16, device="meta") for _ in range(2)]
    rank = config.lora.rank if config.lora else None
    found = {}
    for kind in ("none", "selective", "full"):
        with Kept(rank or 0, kind, (*layer.parameters(), *angles, segments.gather_K)) as kept:
            layer(hidden, position_embeddings=tuple(angles), segments=segments)
        counted = kept.bytes(hidden) / tokens
        planned = kept_bytes(shapes, kind, 2, rank, keys / tokens * (1 if knows_groups() else shapes.H // shapes.G))
        if rank and kind == "none":
            planned += copies_bytes(shapes, rank) / shapes.L / tokens
        if abs(counted - planned) > TOLERANCE * planned:
            raise invalid(f"trace: a block keeps {counted:.0f} bytes of a token with recompute {kind}, the planner says "
                          f"{planned:.0f}")
        found[kind] = {"counted": round(counted), "planned": round(planned)}
    return found


class Kept(TorchDispatchMode):
    """Counts what a forward pass keeps: none, all that autograd saves; selective, its input and
    what model.is_kept names; full, its input."""

    def __init__(self, rank, kind, constant):
        super().__init__()
        self.rank, self.kind, self.storages = rank, kind, {}
        self.constant = {tensor.untyped_storage()._cdata for tensor in constant}
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self.save, lambda tensor: tensor)

    def __enter__(self):
        self.hooks.__enter__()
        return super().__enter__()

    def __exit__(self, *arguments):
        self.hooks.__exit__(*arguments)
        return super().__exit__(*arguments)

    def note(self, tensor):
        storage = tensor.untyped_storage()
        if storage._cdata not in self.constant:
            self.storages[storage._cdata] = storage

    def save(self, tensor):
        if self.kind == "none":
            self.note(tensor)
        return tensor

    def __torch_dispatch__(self, operator, types, arguments=(), keywords=None):
        given = operator(*arguments, **(keywords or {}))
        if self.kind == "selective" and is_kept(self.rank, operator, arguments):
            for tensor in given if isinstance(given, (tuple, list)) else (given,):
                if tensor.numel() > 1:
                    self.note(tensor)
        return given

    def bytes(self, hidden):
        if self.kind != "none":
            self.note(hidden)
        return sum(storage.nbytes() for storage in self.storages.values())


def check_names(model, shapes, config):
    """Every parameter has the name and shape that the planner derives from config.json."""
    expected = dict(shapes.root_parameters())
    for layer in range(shapes.L):
        for name, shape in shapes.block_parameters().items():
            base = ".base" if config.lora is not None and name.rpartition(".")[0] in shapes.linears() else ""
            stem, _, leaf = name.rpartition(".")
            expected[f"model.layers.{layer}.{stem}{base}.{leaf}"] = shape
        if config.lora is not None:
            expected.update({f"model.layers.{layer}.{name}": shape
                             for name, shape in shapes.adapter_parameters(config.lora.rank).items()})
    found = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    if found != expected:
        differing = sorted(set(found.items()) ^ set(expected.items()))
        raise invalid(f"trace: the planner does not know this model's {differing[0][0]} of shape {differing[0][1]}")
