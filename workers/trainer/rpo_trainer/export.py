"""What a run leaves for others: a PEFT adapter, merged safetensors, GGUF.

    python -m rpo_trainer.export --model DIR --adapter DIR --out DIR
"""

import argparse
import os
import shutil
import sys

from .errors import EXIT_CODES, classify, invalid
from .events import Progress
from .model import weight_files

# Everything in a model folder that is not weights.
SIDE_FILES = (".json", ".jinja", ".model", ".txt")


def export_all(config, policy, events):
    """Write the asked-for exports under out_dir; returns {adapter_dir, merged_dir, gguf}."""
    places = {"adapter": os.path.join(config.out_dir, "adapter"),
              "merged": os.path.join(config.out_dir, "merged"),
              "gguf": os.path.join(config.out_dir, "model.gguf")}
    keep_merged = "merged" in config.export
    if config.lora is not None and config.export:
        write_whole(places["adapter"], lambda path: save_policy_adapter(config, policy, path))
    if keep_merged or "gguf" in config.export:
        if config.lora is None:
            progress = Progress(events, "export", 1)
            write_whole(places["merged"], lambda path: save_full(config, policy, path))
        else:
            progress = Progress(events, "export", count_tensors(config.model_dir))
            write_whole(places["merged"], lambda path: merge(config.model_dir, places["adapter"], path, progress.add))
        progress.end()
    if "gguf" in config.export:
        from .gguf import convert

        progress = Progress(events, "export", count_tensors(places["merged"]))
        convert(places["merged"], places["gguf"], on_tensor=progress.add)
        progress.end()
    if not keep_merged:
        shutil.rmtree(places["merged"], ignore_errors=True)
    if "adapter" not in config.export:
        shutil.rmtree(places["adapter"], ignore_errors=True)
    for kind in config.export:
        events.write("export", kind=kind, path=places[kind])
    return {key: places[kind] if kind in config.export else None
            for key, kind in (("adapter_dir", "adapter"), ("merged_dir", "merged"), ("gguf", "gguf"))}


def count_tensors(model_dir):
    from .gguf import open_tensors

    return len(open_tensors(model_dir))


def write_whole(path, write):
    """Let `write` fill a folder beside `path`, then put it in its place."""
    temporary = path + ".tmp"
    for leftover in (temporary, path):
        shutil.rmtree(leftover, ignore_errors=True)
    os.makedirs(temporary)
    write(temporary)
    os.rename(temporary, path)


def save_policy_adapter(config, policy, path):
    from .lora import save_adapter

    save_adapter(path, policy.trainable, config.lora, os.path.basename(os.path.normpath(config.model_dir)))


def save_full(config, policy, path):
    """Save fully trained weights in the type that config.json names (float32 if it names none)."""
    import torch

    from .model import read_config

    document = read_config(config.model_dir)
    name = document.get("dtype") or document.get("torch_dtype") or "float32"
    copy_side_files(config.model_dir, path)
    policy.model.to(getattr(torch, name)).save_pretrained(path)


def merge(model_dir, adapter_dir, out_dir, on_tensor=lambda: None):
    """Add the adapter to the weights, file by file: W + scale * B A in float32, stored as W was.

    Memory is one safetensors file; names, files and index stay as they are. on_tensor is
    called after each tensor.
    """
    from safetensors import safe_open
    from safetensors.torch import save_file

    from .lora import load_adapter

    layers, scale = load_adapter(adapter_dir)
    files = weight_files(model_dir)
    if not files:
        raise invalid(f"merge: no safetensors in {model_dir}")
    os.makedirs(out_dir, exist_ok=True)
    copy_side_files(model_dir, out_dir)
    for name in files:
        tensors = {}
        with safe_open(os.path.join(model_dir, name), "pt") as file:
            for key in file.keys():
                weight = file.get_tensor(key)
                adapter = layers.pop(key.removesuffix(".weight"), None)
                if adapter is not None:
                    low_in, low_out = adapter
                    weight = (weight.float() + scale * (low_out.float() @ low_in.float())).to(weight.dtype)
                tensors[key] = weight.contiguous()
                on_tensor()
        save_file(tensors, os.path.join(out_dir, name), metadata={"format": "pt"})
    if layers:
        raise invalid(f"merge: the model has no layer {sorted(layers)[0]}, which the adapter changes")


def copy_side_files(model_dir, out_dir):
    for name in os.listdir(model_dir):
        if name.endswith(SIDE_FILES) and not name.startswith("adapter_"):
            shutil.copyfile(os.path.join(model_dir, name), os.path.join(out_dir, name))


def main(argv=None):
    parser = argparse.ArgumentParser(prog="rpo_trainer.export", description=__doc__)
    parser.add_argument("--model", required=True, help="Hugging Face folder of the base")
    parser.add_argument("--adapter", required=True, help="PEFT adapter folder")
    parser.add_argument("--out", required=True, help="folder to write; replaced if it exists")
    arguments = parser.parse_args(argv)
    try:
        write_whole(arguments.out, lambda path: merge(arguments.model, arguments.adapter, path))
        return 0
    except Exception as error:
        failure = classify(error)
        print(f"rpo_trainer.export: {failure.reason}", file=sys.stderr)
        return EXIT_CODES[failure.status]


if __name__ == "__main__":
    sys.exit(main())
