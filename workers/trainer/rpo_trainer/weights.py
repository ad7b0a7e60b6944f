"""Model folders: what they hold, and how their weights get into a model.

Every rank opens the safetensors files and reads only its slices, so that a rank of a
sharded 70B model never holds more than its share.
"""

import os

import torch

from . import attention
from .errors import invalid
from .folder import read_config, weight_files
from .lora import load_adapter
from .parallel import local_rows

# Decoders whose logits are head(backbone(ids)) and nothing else.
FAMILIES = ("llama", "qwen2", "qwen3", "mistral")


def empty_model(model_dir, dtype):
    """The model without storage (on the meta device)."""
    with torch.device("meta"):
        return from_config(model_dir).to(dtype)


def random_model(model_dir, seed):
    """Weights drawn from config.json and the seed, float32 on the CPU."""
    torch.manual_seed(seed)
    return from_config(model_dir).to(torch.float32)


def from_config(model_dir):
    from transformers import AutoConfig, AutoModelForCausalLM

    document = read_config(model_dir)
    family = document.get("model_type")
    if family not in FAMILIES:
        raise invalid(f"model_dir: {family} models are not supported, only {', '.join(FAMILIES)}")
    attention.register()
    config = AutoConfig.from_pretrained(model_dir, local_files_only=True)
    window = getattr(config, "sliding_window", None)
    if window and window < config.max_position_embeddings and getattr(config, "use_sliding_window", True):
        raise invalid(f"model_dir: attention in a window of {window} tokens is not supported; set "
                      f"max_position_embeddings in config.json to {window} or below and train within it")
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention.NAME)


def load(model, model_dir, device, adapter=None):
    """Give a model without storage its storage on the device, and read this rank's part of the weights.

    adapter: a PEFT folder that is merged into them, slice by slice. New adapters are left
    for lora.init_adapters.
    """
    from safetensors import safe_open

    layers, scale = load_adapter(adapter) if adapter else ({}, 1.0)
    if not weight_files(model_dir):
        raise invalid(f'model_dir: no safetensors in {model_dir}; set init to "random" to start without weights')
    model.to_empty(device=device)
    model.tie_weights()
    # Buffers are computed from the config, in float32 whatever the weights' type is.
    model.model.rotary_emb = type(model.model.rotary_emb)(config=model.config).to(device)
    wanted = {name.replace(".base.", "."): parameter for name, parameter in model.named_parameters()
              if not name.endswith(("lora_A", "lora_B"))}
    try:
        for file_name in weight_files(model_dir):
            with safe_open(os.path.join(model_dir, file_name), "pt") as file:
                for name in file.keys():
                    parameter = wanted.pop(name, None)
                    if parameter is not None:
                        copy_slice(parameter, file.get_slice(name), name,
                                   layers.pop(name.removesuffix(".weight"), None), scale)
                    elif not (name.endswith("rotary_emb.inv_freq")
                              or name == "lm_head.weight" and model.config.tie_word_embeddings):
                        raise ValueError(f"{file_name} holds {name}, which the model of config.json has not")
    except Exception as error:
        raise invalid(f"load the weights of {model_dir}: {error}") from None
    if wanted:
        raise invalid(f"load the weights of {model_dir}: the files lack {sorted(wanted)[0]}")
    if layers:
        raise invalid(f"adapter {adapter}: the model has no layer {sorted(layers)[0]}")
    return model


def copy_slice(parameter, stored, name, adapter=None, scale=1.0):
    """Read what this rank holds of a parameter: all of it, or its rows; adapter: (A, B) to be merged."""
    if list(parameter.shape) != list(stored.get_shape()):
        raise ValueError(f"{name} has shape {stored.get_shape()}, config.json says {list(parameter.shape)}")
    first, last = local_rows(parameter)
    if last == first:
        return
    local = parameter.to_local() if hasattr(parameter, "to_local") else parameter
    rows = stored[first:last]
    with torch.no_grad():
        if adapter is not None:
            low_in, low_out = adapter
            # Rounded as export.merge does it, so that both give the same model.
            rows = (rows.float() + scale * (low_out[first:last].float() @ low_in.float())).to(rows.dtype)
        local.copy_(rows)
