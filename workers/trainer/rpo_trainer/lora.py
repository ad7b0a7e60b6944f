"""Low-rank adapters on every linear layer of the decoder blocks.

y = W x + (alpha / R) * B A dropout(x), with W frozen in the compute type and A [R, in],
B [out, R] in float32. B starts at zero, so an untrained adapter changes nothing. The
files it writes are PEFT's: adapter_config.json and adapter_model.safetensors.
"""

import json
import math
import os

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from .errors import invalid
from .parallel import local_rows

PREFIX = "base_model.model."


class LoraLinear(nn.Module):
    def __init__(self, base: nn.Linear, rank: int, alpha: float, dropout: float):
        super().__init__()
        self.base = base
        self.scale = alpha / rank
        self.dropout = dropout
        device = base.weight.device
        self.lora_A = nn.Parameter(torch.zeros(rank, base.in_features, device=device))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank, device=device))

    def forward(self, x):
        y = self.base(x)
        if self.training and self.dropout > 0:
            x = F.dropout(x, self.dropout)
        low = F.linear(x, self.lora_A.to(x.dtype))
        return y + self.scale * F.linear(low, self.lora_B.to(x.dtype))


def add_adapters(model, config):
    """Freeze the model and put an adapter on each linear layer of its blocks, in place."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for name in linear_names(model):
        parent, _, attribute = name.rpartition(".")
        layer = LoraLinear(model.get_submodule(name), config.rank, config.alpha, config.dropout)
        setattr(model.get_submodule(parent), attribute, layer)
    return model


def init_adapters(model, seed: int):
    """Draw A and set B to zero. A is drawn layer by layer from one generator on the CPU, so
    that the start depends on the seed alone, whatever the model is spread over."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, LoraLinear):
                start = torch.empty(module.lora_A.shape)
                nn.init.kaiming_uniform_(start, a=math.sqrt(5), generator=generator)
                first, last = local_rows(module.lora_A)
                local_A, local_B = (tensor.to_local() if hasattr(tensor, "to_local") else tensor
                                    for tensor in (module.lora_A, module.lora_B))
                local_A.copy_(start[first:last])
                local_B.zero_()
    return model


def linear_names(model):
    """Names of the linear layers inside decoder blocks, in model order; not the head."""
    return [name for name, module in model.named_modules()
            if isinstance(module, nn.Linear) and ".layers." in f".{name}"]


def save_adapter(directory, weights, config, base_name: str, start=None):
    """Write PEFT's two files. weights: {layer.lora_A or layer.lora_B: float32 tensor}.

    start: the adapter folder that was merged before training. Both are written as one, of
    the sum of their ranks, so that the file belongs to the base.
    """
    os.makedirs(directory, exist_ok=True)
    rank, alpha = config.rank, config.alpha
    weights = {name: tensor.detach().float().cpu() for name, tensor in weights.items()}
    if start:
        weights, rank = join_adapters(*load_adapter(start), weights, alpha / rank)
        alpha = rank
    save_file({f"{PREFIX}{name}.weight": tensor.contiguous() for name, tensor in weights.items()},
              os.path.join(directory, "adapter_model.safetensors"), metadata={"format": "pt"})
    document = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": config.dropout,
        "target_modules": sorted({name.rsplit(".", 2)[-2] for name in weights}),
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "use_rslora": False,
        "use_dora": False,
    }
    with open(os.path.join(directory, "adapter_config.json"), "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2)
        file.write("\n")


def join_adapters(layers, scale, weights, weights_scale):
    """One adapter of scale 1 that does what two do one after the other; returns (weights, rank)."""
    joined, rank = {}, 0
    for name in sorted({name.rpartition(".")[0] for name in weights}):
        low_in, low_out = layers.get(name, (None, None))
        new_in, new_out = weights[f"{name}.lora_A"], weights[f"{name}.lora_B"] * weights_scale
        if low_in is None:
            old_rank = next(iter(layers.values()))[0].shape[0]
            low_in, low_out = new_in.new_zeros(old_rank, new_in.shape[1]), new_out.new_zeros(new_out.shape[0], old_rank)
        joined[f"{name}.lora_A"] = torch.cat([low_in.float(), new_in])
        joined[f"{name}.lora_B"] = torch.cat([low_out.float() * scale, new_out], dim=1)
        rank = joined[f"{name}.lora_A"].shape[0]
    return joined, rank


def load_adapter(directory):
    """Read PEFT's files: ({layer: (A, B)}, scale). Refuses variants that change the formula."""
    try:
        with open(os.path.join(directory, "adapter_config.json"), encoding="utf-8") as file:
            document = json.load(file)
        tensors = load_file(os.path.join(directory, "adapter_model.safetensors"))
    except (OSError, ValueError) as error:
        raise invalid(f"read adapter {directory}: {error}") from None
    if document.get("peft_type") != "LORA" or document.get("use_dora") or document.get("bias", "none") != "none":
        raise invalid(f"adapter {directory}: only plain LoRA without bias or DoRA can be merged")
    rank = document["r"]
    scale = document["lora_alpha"] / (math.sqrt(rank) if document.get("use_rslora") else rank)
    layers: dict = {}
    for name, tensor in tensors.items():
        layer, _, part = name.removeprefix(PREFIX).removesuffix(".weight").rpartition(".")
        layers.setdefault(layer, {})[part] = tensor
    return {layer: (parts["lora_A"], parts["lora_B"]) for layer, parts in layers.items()}, scale
