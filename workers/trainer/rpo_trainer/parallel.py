"""Ranks: who I am, sums over all of them, and how a model is spread over them.

The mesh is (replicate, shard): weights are cut over the shard axis, inside a node, and
copied over the replicate axis, so that only gradients of what is trained cross nodes.
With shard 1 every rank holds the whole model and sums its gradients in buckets.
"""

import datetime
import os

import torch
import torch.distributed as dist

from .errors import invalid
from .folder import hash_file

# Gradients are summed in buckets of this many values, to bound the copy.
BUCKET_VALUES = 2**25


class Group:
    """All ranks of the run; a single process without torchrun is a group of one."""

    def __init__(self, device: str, threads: int, shard: int = 1):
        """shard: ranks that share one copy of the model; 0: all of a node."""
        self.rank = int(os.environ.get("RANK", 0))
        self.world_size = int(os.environ.get("WORLD_SIZE", 1))
        # Hosts share no file system: what rank 0 writes, only ranks below host_size find.
        self.host_rank = int(os.environ.get("LOCAL_RANK", 0))
        self.host_size = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device == "cuda":
            if not torch.cuda.is_available():
                raise invalid("device: cuda asked for, but there is no GPU; use cpu or auto")
            self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
            torch.cuda.set_device(self.device)
        else:
            self.device = torch.device("cpu")
        if threads:
            torch.set_num_threads(threads)
        shard = shard or int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        if self.world_size % shard:
            raise invalid(f"shard: {self.world_size} ranks cannot be cut into groups of {shard}")
        self.shard = shard
        self.sharded = shard > 1
        backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
        timeout = datetime.timedelta(minutes=30)
        if self.world_size > 1:
            dist.init_process_group(backend, timeout=timeout)
        else:  # checkpoints want a group, too
            dist.init_process_group(backend, timeout=timeout, store=dist.HashStore(), rank=0, world_size=1)
        self.mesh = None
        if self.sharded:
            self.mesh = dist.device_mesh.init_device_mesh(
                self.device.type, (self.world_size // shard, shard), mesh_dim_names=("replicate", "shard"))

    def sum_(self, tensor):
        """Sum over ranks, in place."""
        if self.world_size > 1:
            dist.all_reduce(tensor)
        return tensor

    def sum_gradients(self, parameters):
        """Sum .grad over ranks; parameters in the same order on every rank. FSDP has done it already."""
        if self.world_size == 1 or self.sharded:
            return
        bucket, size = [], 0
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            bucket.append(parameter.grad)
            size += parameter.grad.numel()
            if size >= BUCKET_VALUES:
                self._sum_bucket(bucket)
                bucket, size = [], 0
        if bucket:
            self._sum_bucket(bucket)

    def _sum_bucket(self, tensors):
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        start = 0
        for tensor in tensors:
            tensor.copy_(flat[start: start + tensor.numel()].view_as(tensor))
            start += tensor.numel()

    def hash_files(self, paths):
        """hex SHA-256 of each file, the work shared by the ranks of a host; every rank must ask for it.

        Refuses files that are not the same on all hosts.
        """
        hosts = self.world_size // self.host_size
        table = torch.zeros(hosts, len(paths), 32, dtype=torch.int64)
        for number in range(self.host_rank, len(paths), self.host_size):
            table[self.rank // self.host_size, number] = torch.tensor(list(bytes.fromhex(hash_file(paths[number]))))
        table = self.sum_(table.to(self.device)).cpu()
        for number, path in enumerate(paths):
            if not torch.equal(table[:, number], table[:1, number].expand(hosts, 32)):
                raise invalid(f"model_dir: {os.path.basename(path)} is not the same file on all hosts; copy the model anew")
        return [bytes(row).hex() for row in table[0].tolist()]

    def barrier(self):
        if self.world_size > 1:
            dist.barrier()

    def close(self):
        if dist.is_initialized():
            dist.destroy_process_group()


def shard(network, blocks, mesh, dtype):
    """Cut the blocks, then the rest, over the mesh with FSDP2. Gradients are summed, not averaged."""
    from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

    if mesh.size(0) == 1:
        mesh = mesh["shard"]
    precision = MixedPrecisionPolicy() if dtype == torch.float32 else MixedPrecisionPolicy(
        param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)
    for block in blocks:
        fully_shard(block, mesh=mesh, mp_policy=precision)
    fully_shard(network, mesh=mesh, mp_policy=precision)
    for module in network.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)  # gloo has no sum with a factor


def whole(tensor):
    """All of a tensor, on every rank; every rank must ask for it."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def local_rows(parameter):
    """The rows [first, last) of a parameter that this rank holds."""
    rows = parameter.shape[0]
    for axis, placement in enumerate(getattr(parameter, "placements", ())):
        if placement.is_shard():
            size = -(-rows // parameter.device_mesh.size(axis))
            first = min(rows, parameter.device_mesh.get_local_rank(axis) * size)
            return first, min(rows, first + size)
    return 0, rows
