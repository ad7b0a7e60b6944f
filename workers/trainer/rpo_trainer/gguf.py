"""Hugging Face folder to GGUF, so that llama.cpp serves what was trained.

    python -m rpo_trainer.gguf --model DIR --out FILE

Llama, Qwen 2 and Qwen 3 decoders with a byte-level BPE tokenizer. It reads
safetensors and JSON alone, without torch, and holds one tensor at a time in memory
beside what the writer buffers on disk.
"""

import argparse
import hashlib
import math
import os
import secrets
import sys

import numpy as np

from .errors import EXIT_CODES, classify, invalid
from .folder import read_header, read_json, weight_files

# Models below this many parameters are stored as float32: exact, and small anyway.
SMALL_MODEL = 1_000_000_000

# What of a model folder a conversion reads besides its safetensors, and the number to raise
# when the same folder is converted otherwise.
CONTENT_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
CONTENT_VERSION = 1

# The split patterns of known pre-tokenizers, as in their tokenizer.json, by llama.cpp's name.
SPLIT_PATTERNS = {
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+":
        "llama-bpe",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+":
        "qwen2",
}


def convert(model_dir, out, outtype="auto", on_tensor=lambda: None):
    """Write the GGUF file whole or not at all. outtype: auto, f32, f16 or bf16; on_tensor is called after each tensor."""
    import gguf

    architectures = {"llama": gguf.MODEL_ARCH.LLAMA, "qwen2": gguf.MODEL_ARCH.QWEN2, "qwen3": gguf.MODEL_ARCH.QWEN3}
    config = read_json(os.path.join(model_dir, "config.json"))
    family = config.get("model_type")
    if family not in architectures:
        raise invalid(f"gguf: {family} models cannot be converted, only {', '.join(architectures)}")
    tensors = open_tensors(model_dir)
    if outtype == "auto":
        small = sum(math.prod(entry.shape) for entry in tensors.values()) < SMALL_MODEL
        stored = {entry.kind for entry in tensors.values()}
        outtype = "f32" if small or "F32" in stored else "bf16" if "BF16" in stored else "f16"

    # Not the process id alone: containers that share a folder have equal ones.
    temporary = f"{out}.{secrets.token_hex(8)}.tmp"
    writer = gguf.GGUFWriter(temporary, family, use_temp_file=False)
    try:
        add_architecture(writer, gguf, config, outtype)
        add_tokenizer(writer, gguf, model_dir, config["vocab_size"])
        names = gguf.get_tensor_name_map(architectures[family], config["num_hidden_layers"])
        quantization = gguf.GGMLQuantizationType[outtype.upper()]
        rope = rope_factors(config)
        if rope is not None:
            writer.add_tensor("rope_freqs.weight", rope)
        for name, entry in tensors.items():
            target = names.get_name(name, try_suffixes=(".weight", ".bias"))
            if target is None:
                raise invalid(f"gguf: the format has no place for the tensor {name}")
            if name == "lm_head.weight" and config.get("tie_word_embeddings"):
                continue
            values = entry.read()
            if family == "llama" and name.endswith(("q_proj.weight", "k_proj.weight", "q_proj.bias", "k_proj.bias")):
                heads = config["num_attention_heads"]
                values = interleave_heads(values, heads if ".q_proj." in name else config.get("num_key_value_heads") or heads)
            if values.ndim < 2 or outtype == "f32":  # llama.cpp keeps vectors in float32
                writer.add_tensor(target, values)
            else:
                writer.add_tensor(target, gguf.quants.quantize(values, quantization), raw_dtype=quantization)
            on_tensor()
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    except BaseException:
        writer.close()
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    writer.close()
    os.replace(temporary, out)


def cached(model_dir, folder):
    """Path of the folder's GGUF in a cache folder, converted if it is not there.

    Named by the SHA-256 of every file that decides its content, so it is never stale. A
    file of another user is not trusted: the cache may be a shared temporary folder.
    """
    digest = hashlib.sha256(f"{CONTENT_VERSION}\n".encode())
    names = [name for name in os.listdir(model_dir)
             if name in CONTENT_FILES or (name.endswith(".safetensors") and not name.startswith("adapter_"))]
    for name in sorted(names):
        with open(os.path.join(model_dir, name), "rb") as file:
            digest.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    out = os.path.join(folder, digest.hexdigest() + ".gguf")
    os.makedirs(folder, exist_ok=True)
    if not (os.path.isfile(out) and os.lstat(out).st_uid in (os.getuid(), 0)):
        convert(model_dir, out)
    return out


def add_architecture(writer, gguf, config, outtype):
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_name(config["model_type"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_rope_freq_base(float(rope_settings(config).get("rope_theta") or config.get("rope_theta") or 10000.0))
    file_types = {"f32": gguf.LlamaFileType.ALL_F32, "f16": gguf.LlamaFileType.MOSTLY_F16,
                  "bf16": gguf.LlamaFileType.MOSTLY_BF16}
    writer.add_file_type(file_types[outtype])


def rope_settings(config):
    """transformers 5 writes rope_parameters, earlier versions rope_scaling."""
    return config.get("rope_parameters") or config.get("rope_scaling") or {}


def rope_factors(config):
    """Llama 3.1's frequency divisors [head_dim / 2], or None where positions are not scaled.

    Long wavelengths are slowed by `factor`, short ones kept, those between interpolated.
    """
    settings = rope_settings(config)
    kind = settings.get("rope_type") or settings.get("type") or "default"
    if kind == "default":
        return None
    if kind != "llama3":
        raise invalid(f"gguf: rope type {kind} cannot be converted, only default and llama3")
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    base = float(settings.get("rope_theta") or config.get("rope_theta") or 10000.0)
    wavelength = 2 * math.pi * base ** (np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    factor, low, high = settings["factor"], settings["low_freq_factor"], settings["high_freq_factor"]
    turns = settings["original_max_position_embeddings"] / wavelength
    share = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return (1.0 / ((1.0 - share) / factor + share)).astype(np.float32)


def interleave_heads(values, heads):
    """Rows from Hugging Face's rotary order (halves) to llama.cpp's (neighbours), head by head."""
    rows = values.shape[0]
    split = values.reshape(heads, 2, rows // heads // 2, *values.shape[1:])
    return np.ascontiguousarray(split.swapaxes(1, 2).reshape(values.shape))


def add_tokenizer(writer, gguf, model_dir, vocab_size):
    document = read_json(os.path.join(model_dir, "tokenizer.json"))
    settings = read_json(os.path.join(model_dir, "tokenizer_config.json"))
    model = document.get("model", {})
    if model.get("type") != "BPE":
        raise invalid(f"gguf: {model.get('type')} tokenizers cannot be converted, only byte-level BPE")
    if document.get("normalizer") not in (None, {"type": "NFC"}):
        raise invalid("gguf: tokenizers with a normalizer cannot be converted")

    tokens = [f"[PAD{number}]" for number in range(vocab_size)]
    types = [gguf.TokenType.UNUSED] * vocab_size
    for token, number in model["vocab"].items():
        tokens[number], types[number] = token, gguf.TokenType.NORMAL
    for entry in document.get("added_tokens", []):
        tokens[entry["id"]] = entry["content"]
        types[entry["id"]] = gguf.TokenType.CONTROL if entry["special"] else gguf.TokenType.USER_DEFINED
    ids = {token: number for number, token in enumerate(tokens)}

    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer(document.get("pre_tokenizer") or {}))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]])
    # The chat template writes the begin-of-text token itself, where it wants one.
    writer.add_add_bos_token(False)
    for key, add in (("bos_token", writer.add_bos_token_id), ("eos_token", writer.add_eos_token_id),
                     ("pad_token", writer.add_pad_token_id)):
        token = settings.get(key)
        token = token.get("content") if isinstance(token, dict) else token
        if token in ids:
            add(ids[token])
    writer.add_chat_template(chat_template(model_dir, settings))


def pre_tokenizer(document):
    """llama.cpp's name for how text is split before merging; refused if it has none."""
    if document.get("type") == "ByteLevel" and document.get("use_regex", True) and not document.get("add_prefix_space"):
        return "gpt-2"
    parts = document.get("pretokenizers", [])
    if document.get("type") == "Sequence" and [part.get("type") for part in parts] == ["Split", "ByteLevel"]:
        name = SPLIT_PATTERNS.get(parts[0].get("pattern", {}).get("Regex"))
        if name:
            return name
    raise invalid("gguf: the tokenizer splits text in a way that llama.cpp has no name for "
                  "(known: plain byte-level, Llama 3, Qwen 2)")


def chat_template(model_dir, settings):
    path = os.path.join(model_dir, "chat_template.jinja")
    if os.path.isfile(path):
        with open(path, encoding="utf-8") as file:
            return file.read()
    if isinstance(settings.get("chat_template"), str):
        return settings["chat_template"]
    raise invalid(f"gguf: {model_dir} has no chat template")


class StoredTensor:
    """One tensor of a safetensors file, read as float32 when asked for."""

    def __init__(self, path, offset, entry):
        self.path, self.kind, self.shape = path, entry["dtype"], entry["shape"]
        self.start = offset + entry["data_offsets"][0]

    def read(self):
        kinds = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
        if self.kind not in kinds:
            raise invalid(f"gguf: tensors of type {self.kind} cannot be converted ({self.path})")
        values = np.fromfile(self.path, dtype=kinds[self.kind], count=math.prod(self.shape), offset=self.start)
        if self.kind == "BF16":  # the upper half of a float32
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(np.float32, copy=False).reshape(self.shape)


def open_tensors(model_dir):
    """{name: StoredTensor} over all safetensors files of the folder."""
    tensors = {}
    for name in weight_files(model_dir):
        path = os.path.join(model_dir, name)
        with open(path, "rb") as file:
            start = 8 + int.from_bytes(file.read(8), "little")
        tensors.update((key, StoredTensor(path, start, entry)) for key, entry in read_header(path).items())
    if not tensors:
        raise invalid(f"gguf: no safetensors in {model_dir}")
    return tensors


def main(argv=None):
    parser = argparse.ArgumentParser(prog="rpo_trainer.gguf", description=__doc__)
    parser.add_argument("--model", required=True, help="Hugging Face folder")
    parser.add_argument("--out", required=True, help="GGUF file to write")
    parser.add_argument("--outtype", default="auto", choices=("auto", "f32", "f16", "bf16"),
                        help="auto: float32 below a billion parameters, else as stored")
    arguments = parser.parse_args(argv)
    try:
        convert(arguments.model, arguments.out, arguments.outtype)
        return 0
    except Exception as error:
        failure = classify(error)
        print(f"rpo_trainer.gguf: {failure.reason}", file=sys.stderr)
        return EXIT_CODES[failure.status]


if __name__ == "__main__":
    sys.exit(main())
