"""Ranks: who I am, and sums over all of them."""

import datetime
import os

import torch
import torch.distributed as dist

from .errors import invalid

# Gradients are summed in buckets of this many values, to bound the copy.
BUCKET_VALUES = 2**25


class Group:
    """All ranks of the run; a single process without torchrun is a group of one."""

    def __init__(self, device: str, threads: int):
        self.rank = int(os.environ.get("RANK", 0))
        self.world_size = int(os.environ.get("WORLD_SIZE", 1))
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
        if self.world_size > 1:
            dist.init_process_group("nccl" if device == "cuda" else "gloo",
                                    timeout=datetime.timedelta(minutes=30))

    def sum_(self, tensor):
        """Sum over ranks, in place."""
        if self.world_size > 1:
            dist.all_reduce(tensor)
        return tensor

    def sum_gradients(self, parameters):
        """Sum .grad over ranks; parameters in the same order on every rank."""
        if self.world_size == 1:
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

    def barrier(self):
        if self.world_size > 1:
            dist.barrier()

    def close(self):
        if self.world_size > 1 and dist.is_initialized():
            dist.destroy_process_group()
