"""The planner's sizes against the real model, without storage and without other ranks.

The model is built on the meta device and sharded over a process group that only pretends
to have other members; then every tensor of a rank is counted.
"""

import torch
import torch.distributed as dist

from . import flops, parallel, weights
from .errors import invalid
from .folder import read_config
from .lora import add_adapters
from .memory import memory


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
    return {"world_size": world_size, "rank": rank, "bytes": counted}


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
