"""A tiny Llama folder with its own tokenizer and chat template, and pairs to train it on."""

import json
import os
import random

import pyarrow as pa
import pyarrow.parquet as pq

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
WORDS = ("red green blue star moon sun tree river stone cloud bird fish apple bread water fire wind snow rain "
         "leaf root sand wave hill lake path door lamp book song").split()

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
PAIR_SCHEMA = pa.schema([
    ("prompt", MESSAGES), ("chosen", MESSAGES), ("rejected", MESSAGES), ("margin", pa.float64()),
    ("pair_id", pa.string()), ("profile_id", pa.string()),
])


def write_tokenizer(folder):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|begin|>", "<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>"]
    trainer = trainers.BpeTrainer(vocab_size=352, special_tokens=special, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([" ".join(WORDS), "a " + " ".join(WORDS)] * 4, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|begin|>", eos_token="<|end|>",
                                   pad_token="<|pad|>")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    return fast


def write_model(folder, weights=True, tie=False, seed=1):
    """Write the folder; the weights are random, larger than usual so that outputs differ clearly."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    os.makedirs(folder, exist_ok=True)
    tokenizer = write_tokenizer(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, rope_theta=10000.0,
        tie_word_embeddings=tie, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, initializer_range=0.1)
    config.save_pretrained(folder)
    if weights:
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


def write_qwen(folder, family):
    """A tiny Qwen 2 or Qwen 3 folder: biases or normed heads, tied embeddings, a padded vocabulary."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

    os.makedirs(folder, exist_ok=True)
    tokenizer = write_tokenizer(folder)
    config, model = {"qwen2": (Qwen2Config, Qwen2ForCausalLM), "qwen3": (Qwen3Config, Qwen3ForCausalLM)}[family]
    torch.manual_seed(0)
    built = model(config(
        vocab_size=384, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, max_position_embeddings=512, eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True, initializer_range=0.1))
    with torch.no_grad():
        for name, parameter in built.named_parameters():
            if name.endswith("bias") or "_norm" in name:  # they start at 0 and 1, where a mistake is not seen
                parameter.add_(torch.randn(parameter.shape) * 0.3)
    built.save_pretrained(folder)
    return str(folder)


def sentence(rng, low, high):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(low, high)))


def make_pairs(count, seed=0, g=3, profiles=10):
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        rows.append({
            "prompt": [{"role": "system", "content": sentence(rng, 3, 8)}, {"role": "user", "content": sentence(rng, 2, 6)}],
            "chosen": [{"role": "assistant", "content": sentence(rng, 3, 12)}],
            "rejected": [{"role": "assistant", "content": sentence(rng, 3, 12)}],
            "margin": float(g if g else 1 + number % 4),
            "pair_id": f"pair-{number:04d}", "profile_id": f"profile-{number % profiles}",
        })
    return rows


def write_pairs(path, rows):
    pq.write_table(pa.Table.from_pylist(rows, schema=PAIR_SCHEMA), path)
    return str(path)


def write_config(path, **values):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(values, file)
    return str(path)


def read_events(out_dir, kind=None):
    with open(os.path.join(out_dir, "events.jsonl"), encoding="utf-8") as file:
        events = [json.loads(line) for line in file]
    return [event for event in events if kind is None or event["event"] == kind]


def read_result(out_dir):
    with open(os.path.join(out_dir, "result.json"), encoding="utf-8") as file:
        return json.load(file)


def write_kto(path, count, seed=0, profiles=8):
    """Rows as the pair stage writes them into the table kto."""
    rng = random.Random(seed)
    prompts = [[{"role": "user", "content": sentence(rng, 3, 8)}] for _ in range(-(-count // 3))]
    rows = [{"desirability_id": f"row-{number:04d}", "prompt": prompts[number // 3], "label": number % 3 > 0,
             "completion": [{"role": "assistant", "content": sentence(rng, 3, 12)}],
             "score": 0.5, "profile_id": f"profile-{number // 3 % profiles}"} for number in range(count)]
    schema = pa.schema([("desirability_id", pa.string()), ("prompt", MESSAGES), ("completion", MESSAGES),
                        ("label", pa.bool_()), ("score", pa.float64()), ("profile_id", pa.string())])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return str(path)
