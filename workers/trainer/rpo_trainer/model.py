"""The policy: a Hugging Face decoder, its head, and what of it is trained.

Legend: B rows, T tokens, D hidden size, V vocabulary.
"""

import contextlib
import hashlib
import json
import os

import torch

from .errors import invalid
from .logprob import row_logprobs
from .lora import add_adapters

# Decoders whose logits are head(backbone(ids)) and nothing else.
FAMILIES = ("llama", "qwen2", "qwen3", "mistral")


class Policy:
    """A causal language model that gives sequence log-probabilities.

    Frozen weights are held in the compute type, trained ones in float32; when all weights
    are trained in bfloat16 compute, autocast does the casting.
    """

    def __init__(self, model, device, dtype, lora=None, seed=0, trained=True):
        self.model = model.to(device)
        self.model.eval()  # dropout belongs to the adapters alone
        self.lora = lora
        if lora is not None:
            add_adapters(self.model, lora, seed)
            if lora.dropout > 0:
                for module in self.model.modules():
                    if hasattr(module, "lora_A"):
                        module.train()
        if not trained:
            self.model.requires_grad_(False)
        self.device = device
        self.autocast = dtype == torch.bfloat16 and lora is None and trained
        self.trainable = {name: parameter for name, parameter in self.model.named_parameters()
                          if parameter.requires_grad}

    def logprobs(self, batch, chunk_tokens=0):
        """Sum of response-token log-probabilities per row, [B] float32."""
        cast = torch.autocast(self.device.type, torch.bfloat16) if self.autocast else contextlib.nullcontext()
        with cast:
            hidden_BTD = self.model.model(
                input_ids=batch.input_ids_BT.to(self.device), use_cache=False).last_hidden_state
        return row_logprobs(hidden_BTD, self.model.lm_head, batch, chunk_tokens)


def load_model(model_dir, init="weights", seed=0, dtype=torch.float32):
    """Build the model on the CPU; init random draws its weights from config.json and seed."""
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    family = read_config(model_dir).get("model_type")
    if family not in FAMILIES:
        raise invalid(f"model_dir: {family} models are not supported, only {', '.join(FAMILIES)}")
    if init == "random":
        torch.manual_seed(seed)
        config = AutoConfig.from_pretrained(model_dir, local_files_only=True)
        return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").to(torch.float32)
    if not weight_files(model_dir):
        raise invalid(f'model_dir: no safetensors in {model_dir}; set init to "random" to start without weights')
    try:
        return AutoModelForCausalLM.from_pretrained(
            model_dir, dtype=dtype, attn_implementation="sdpa", local_files_only=True)
    except Exception as error:
        raise invalid(f"load the weights of {model_dir}: {error}") from None


def read_config(model_dir):
    path = os.path.join(model_dir, "config.json")
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        raise invalid(f"read {path}: {error}") from None


def weight_files(model_dir):
    """The safetensors files of the model, sorted by name."""
    return sorted(name for name in os.listdir(model_dir)
                  if name.endswith(".safetensors") and not name.startswith("adapter_"))


def weights_digest(model_dir, init="weights", seed=0) -> str:
    """SHA-256 that names the starting weights: config.json and the safetensors, byte for byte."""
    digest = hashlib.sha256(json.dumps(read_config(model_dir), sort_keys=True).encode())
    if init == "random":
        digest.update(f"random {seed}".encode())
        return digest.hexdigest()
    for name in weight_files(model_dir):
        with open(os.path.join(model_dir, name), "rb") as file:
            digest.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()
