"""The paper's runs by name. A preset gives the values that a config leaves out.

Source: the authors' training files. LoRA of rank 8 on all linear layers, alpha 16, learning
rate 5e-4, cosine after a tenth of warm-up, 3 epochs, beta 0.1, gamma 0.05; gradient
accumulation of 64 with 2, 1, 4 and 2 pairs a GPU. How many GPUs they had is not in them:
eight are assumed for the pairs of a step. Their files name Meta-Llama-3 where the paper has
Llama 3.1.

rpo-faithful-* does as the authors' code does: no shared prompts, pairs in random order, and
a margin that is beta times smaller than the paper's equation has it.
"""

from .errors import invalid

PAPER = {"loss": "rpo", "margin_scale": "reward", "beta": 0.1, "gamma": 0.05, "epochs": 3.0, "learning_rate": 5e-4,
         "warmup_fraction": 0.1, "schedule": "cosine", "lora": {"rank": 8, "alpha": 16, "dropout": 0.0},
         "held_out_fraction": 0.1, "dtype": "bfloat16", "layout": "groups", "tokens_per_batch": 8192}

LLAMA_8B = {"pairs_per_step": 1024, "pairs_per_batch": 2, "max_tokens": 4096, "shard": 1}
LLAMA_70B = {"pairs_per_step": 512, "pairs_per_batch": 1, "max_tokens": 4096, "shard": 0}
QWEN_7B = {"pairs_per_step": 2048, "pairs_per_batch": 4, "max_tokens": 2048, "shard": 1}
QWEN_72B = {"pairs_per_step": 1024, "pairs_per_batch": 2, "max_tokens": 2048, "shard": 0}
FAITHFUL = {"layout": "none", "shuffle": "pairs", "margin_scale": "logit", "tokens_per_batch": 0}

PRESETS = {}
for _name, _model in (("8b", LLAMA_8B), ("70b", LLAMA_70B), ("qwen-7b", QWEN_7B), ("qwen-72b", QWEN_72B)):
    PRESETS[f"rpo-paper-{_name}"] = {**PAPER, **_model}
    PRESETS[f"rpo-faithful-{_name}"] = {**PAPER, **_model, **FAITHFUL}


def apply(document):
    """The document of a config with its preset's values where it has none of its own."""
    if not isinstance(document, dict) or not document.get("preset"):
        return document
    name = document["preset"]
    if name not in PRESETS:
        raise invalid(f'preset: "{name}" is not one of {", ".join(PRESETS)}')
    return {**PRESETS[name], **document}
