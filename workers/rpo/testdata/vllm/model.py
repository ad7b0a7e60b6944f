"""Writes a tiny Llama with random weights, and a LoRA adapter of it with random weights.

    python model.py TOKENIZER_FOLDER MODEL_FOLDER ADAPTER_FOLDER

What it says means nothing: it is there to be served. Equal versions of torch write
equal weights.
"""

import json
import pathlib
import shutil
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

CONTEXT, RANK = 4096, 8

tokenizer_dir, model_dir, adapter_dir = map(pathlib.Path, sys.argv[1:])
torch.manual_seed(1)
tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
config = LlamaConfig(
    vocab_size=len(tokenizer), hidden_size=128, intermediate_size=256, num_hidden_layers=2,
    num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=CONTEXT, tie_word_embeddings=False,
    bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, initializer_range=0.1,
)
model = LlamaForCausalLM(config)
model.save_pretrained(model_dir)
for file in ("tokenizer.json", "tokenizer_config.json"):
    shutil.copy(tokenizer_dir / file, model_dir)

adapter_dir.mkdir(parents=True, exist_ok=True)
targets = ["q_proj", "v_proj", "down_proj"]
weights = {}
for name, module in model.named_modules():
    if name.rsplit(".", 1)[-1] in targets:
        prefix = f"base_model.model.{name}"
        weights[f"{prefix}.lora_A.weight"] = torch.randn(RANK, module.in_features)
        weights[f"{prefix}.lora_B.weight"] = torch.randn(module.out_features, RANK)
save_file(weights, adapter_dir / "adapter_model.safetensors")
(adapter_dir / "adapter_config.json").write_text(json.dumps({
    "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": str(model_dir), "r": RANK,
    "lora_alpha": 2 * RANK, "lora_dropout": 0.0, "bias": "none", "target_modules": targets, "inference_mode": True,
}))
