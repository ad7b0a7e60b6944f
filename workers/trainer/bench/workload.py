"""The model and the pairs of the benchmark: true lengths, random words, random weights.

Prompts of 500 to 2,000 tokens, responses of 100 to 600, 5 responses a turn; each is chosen
over each other one under a prompt of its own, as the pair stage makes them: 20 pairs a turn.
"""

import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import tiny  # noqa: E402

PROMPT_TOKENS = (500, 2000)
RESPONSE_TOKENS = (100, 600)
RESPONSES = 5


def write_model(folder, hidden=128, layers=4, vocabulary=8192):
    """A small Llama whose head is as large a part as in large models."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    os.makedirs(folder, exist_ok=True)
    tokenizer = tiny.write_tokenizer(folder)
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=3 * hidden, num_hidden_layers=layers,
        num_attention_heads=hidden // 32, num_key_value_heads=hidden // 64, max_position_embeddings=8192,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id)).save_pretrained(folder)
    return folder


def write_pairs(path, turns, seed=0):
    """Words of the tiny tokenizer are one token each; returns the number of pairs."""
    rng = random.Random(seed)
    rows = []

    def text(low, high):
        return " ".join(rng.choice(tiny.WORDS) for _ in range(rng.randint(low, high)))

    for turn in range(turns):
        question = text(*PROMPT_TOKENS)
        replies = [text(*RESPONSE_TOKENS) for _ in range(RESPONSES)]
        for chosen, good in enumerate(replies):
            prompt = [{"role": "system", "content": f"{text(8, 8)} {question}"}, {"role": "user", "content": text(10, 30)}]
            for rejected, bad in enumerate(replies):
                if rejected != chosen:
                    rows.append({
                        "prompt": prompt, "chosen": [{"role": "assistant", "content": good}],
                        "rejected": [{"role": "assistant", "content": bad}], "margin": float(1 + rejected % 3),
                        "pair_id": f"{turn:03d}-{chosen}-{rejected}", "profile_id": f"profile-{turn}"})
    tiny.write_pairs(path, rows)
    return len(rows)


def versions(*names):
    """{package: version or null} of this interpreter."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found
