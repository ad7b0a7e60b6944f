"""How weights get from the files into a rank: its slices, and nothing else."""

import os

import pytest
import safetensors
import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import load_file
from torch.testing._internal.distributed.fake_pg import FakeStore

from rpo_trainer import folder, parallel, weights
from rpo_trainer.config import LoraConfig
from rpo_trainer.errors import TrainerError
from rpo_trainer.lora import add_adapters
from rpo_trainer.model import Network

RANKS = 8


class Counted:
    """A safetensors file, or a slice of one, that adds up the bytes that are taken from it. A slice is
    a view of the mapped file, so these are the bytes that are read."""

    def __init__(self, inner, read):
        self.inner, self.read = inner, read

    def __enter__(self):
        return Counted(self.inner.__enter__(), self.read)

    def __exit__(self, *arguments):
        return self.inner.__exit__(*arguments)

    def keys(self):
        return self.inner.keys()

    def get_slice(self, name):
        return Counted(self.inner.get_slice(name), self.read)

    def get_shape(self):
        return self.inner.get_shape()

    def __getitem__(self, rows):
        found = self.inner[rows]
        self.read.append(found.numel() * found.element_size())
        return found


@pytest.mark.parametrize("rank", [0, 3, 7])
def test_a_rank_reads_its_slices_of_the_files_and_no_more(base, monkeypatch, rank):
    dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=RANKS)
    try:
        model = add_adapters(weights.empty_model(base, torch.float32), LoraConfig())
        mesh = dist.device_mesh.init_device_mesh("cpu", (1, RANKS), mesh_dim_names=("replicate", "shard"))
        parallel.shard(Network(model, False), model.model.layers, mesh, torch.float32)
        read = []
        monkeypatch.setattr(safetensors, "safe_open", lambda *given: Counted(safe_open(*given), read))
        weights.load(model, base, torch.device("cpu"))
        stored = load_file(os.path.join(base, "model.safetensors"))
        held = 0
        for name, parameter in model.named_parameters():
            if not name.endswith(("lora_A", "lora_B")):
                first, last = parallel.local_rows(parameter)
                local = parameter.to_local()
                held += local.numel() * local.element_size()
                assert torch.equal(local, stored[name.replace(".base.", ".")][first:last]), name
    finally:
        dist.destroy_process_group()
    assert sum(read) == held
    assert held == sum(tensor.nbytes for tensor in stored.values()) / RANKS


def test_ranks_share_the_work_of_hashing_and_hosts_must_hold_the_same_files(tmp_path, monkeypatch):
    """Four ranks on two hosts, one after the other: what they would sum is summed here."""
    paths = []
    for number in range(5):
        paths.append(str(tmp_path / f"{number}.safetensors"))
        (tmp_path / f"{number}.safetensors").write_bytes(b"weights" * (number + 1))
    expected = [folder.hash_file(path) for path in paths]
    hashed, parts = [], []
    monkeypatch.setattr(parallel, "hash_file", lambda path: hashed.append(path) or folder.hash_file(path))

    def rank_of(number, total):
        group = object.__new__(parallel.Group)
        group.rank, group.world_size, group.host_rank, group.host_size = number, 4, number % 2, 2
        group.device = torch.device("cpu")
        group.sum_ = lambda table: parts.append(table) or (total if total is not None else table)
        return group

    for number in range(4):
        try:
            rank_of(number, None).hash_files(paths)
        except TrainerError:
            pass  # it has seen its own part alone
    assert sorted(hashed) == sorted(2 * paths)
    total = sum(parts)
    assert rank_of(3, total).hash_files(paths) == expected
    total[1, 2, 0] += 1
    with pytest.raises(TrainerError, match="2.safetensors is not the same file on all hosts"):
        rank_of(0, total).hash_files(paths)
