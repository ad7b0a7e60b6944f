"""The published models' shapes, and folders of random weights in them.

A folder is what the hub would give: config.json, tokenizer with a chat template, and
bfloat16 safetensors of at most 5 GB with their index.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests"))

import tiny  # noqa: E402

LLAMA = {"vocab_size": 128256, "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "max_position_embeddings": 8192,
         "num_key_value_heads": 8}
LLAMA_70B = {**LLAMA, "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64}
SIZES = {
    "8b": {**LLAMA, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32},
    "70b": LLAMA_70B,
    "70b-slice": {**LLAMA_70B, "num_hidden_layers": 8},
}
TINY = {"vocab_size": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 512,
        "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2}
DRY = {"8b": {**TINY, "num_hidden_layers": 2}, "70b": {**TINY, "num_hidden_layers": 4},
       "70b-slice": {**TINY, "num_hidden_layers": 2}}


def write_random_folder(folder, size, device):
    """Weights are drawn on the device: on a CPU those of 8B would take minutes. Returns the folder."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    os.makedirs(folder, exist_ok=True)
    if os.path.exists(os.path.join(folder, "config.json")):
        return folder  # of an earlier call with the same --work
    tokenizer = tiny.write_tokenizer(folder)
    config = LlamaConfig(**size, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
                         pad_token_id=tokenizer.pad_token_id, dtype=torch.bfloat16)
    with torch.device("meta"):
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.to_empty(device=device)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.02)
            else:
                parameter.fill_(1.0)
    model.save_pretrained(folder, max_shard_size="5GB")
    del model
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return folder
