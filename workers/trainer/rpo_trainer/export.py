"""What a run leaves for others: a PEFT adapter, merged safetensors, GGUF.

    python -m rpo_trainer.export --model DIR --adapter DIR --out DIR
"""

import argparse
import json
import os
import shutil
import sys

from safetensors import safe_open
from safetensors.torch import save_file

from .errors import EXIT_CODES, classify, invalid
from .events import Progress
from .lora import load_adapter, save_adapter
from .parallel import whole
from .folder import read_config, weight_files

# Everything in a model folder that is not weights.
SIDE_FILES = (".json", ".jinja", ".model", ".txt")


# A fully trained model is cut into files of at most this size.
FILE_BYTES = 4 * 10**9


def export_all(config, policy, group, events):
    """Write the asked-for exports under out_dir, on all ranks together; returns {adapter_dir, merged_dir, gguf}."""
    places = {"adapter": os.path.join(config.out_dir, "adapter"),
              "merged": os.path.join(config.out_dir, "merged"),
              "gguf": os.path.join(config.out_dir, "model.gguf")}
    keep_merged = "merged" in config.export
    first = group.rank == 0
    if config.lora is not None and config.export:
        tensors = {name: whole(tensor.detach()) for name, tensor in policy.trainable.items()}
        if first:
            base = os.path.basename(os.path.normpath(config.model_dir))
            write_whole(places["adapter"], lambda path: save_adapter(path, tensors, config.lora, base,
                                                                         config.adapter))
        group.barrier()
    if keep_merged or "gguf" in config.export:
        number = 1 if config.lora is None else count_tensors(config.model_dir)
        progress = Progress(events if first else None, "export", number)
        if first:
            make_empty(places["merged"])
        group.barrier()
        if config.lora is None:
            save_full(config, policy, places["merged"] + ".tmp", first)
        elif group.rank < group.host_size:  # the adapter lies on the first host
            merge(config.model_dir, places["adapter"], places["merged"] + ".tmp",
                  lambda: progress.add(group.host_size), group.rank, group.host_size)
        group.barrier()
        if first:
            os.rename(places["merged"] + ".tmp", places["merged"])
        progress.end()
    if first:
        finish(config, places, keep_merged, events)
    return {key: places[kind] if kind in config.export else None
            for key, kind in (("adapter_dir", "adapter"), ("merged_dir", "merged"), ("gguf", "gguf"))}


def finish(config, places, keep_merged, events):
    """Make the GGUF file and remove what was only a step on the way."""
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


def count_tensors(model_dir):
    from .gguf import open_tensors

    return len(open_tensors(model_dir))


def write_whole(path, write):
    """Let `write` fill a folder beside `path`, then put it in its place."""
    make_empty(path)
    write(path + ".tmp")
    os.rename(path + ".tmp", path)


def make_empty(path):
    """Remove `path` and make the folder that will take its place."""
    for leftover in (path + ".tmp", path):
        shutil.rmtree(leftover, ignore_errors=True)
    os.makedirs(path + ".tmp")


def save_full(config, policy, path, first):
    """Save fully trained weights in the type that config.json names (float32 if it names none).

    Tensor by tensor, so that rank 0 (first) holds one file at a time and the others one tensor.
    """
    import torch

    document = read_config(config.model_dir)
    kind = getattr(torch, document.get("dtype") or document.get("torch_dtype") or "float32")
    files, size = [{}], 0
    for name, parameter in policy.model.named_parameters():
        nbytes = parameter.numel() * kind.itemsize
        if files[-1] and size + nbytes > FILE_BYTES:
            files.append({})
            size = 0
        files[-1][name] = parameter
        size += nbytes
    names = ["model.safetensors"] if len(files) == 1 else [
        f"model-{number + 1:05d}-of-{len(files):05d}.safetensors" for number in range(len(files))]
    places = {}
    for file_name, members in zip(names, files):
        held = {}
        for name, parameter in members.items():
            tensor = whole(parameter.detach())
            places[name] = file_name
            if first:
                held[name] = tensor.to("cpu", kind).contiguous()
        if first:
            save_file(held, os.path.join(path, file_name), metadata={"format": "pt"})
    if first:
        copy_side_files(config.model_dir, path)
        index = os.path.join(path, "model.safetensors.index.json")
        if os.path.exists(index):
            os.unlink(index)  # of the files that it was trained from
        if len(files) > 1:
            with open(index, "w", encoding="utf-8") as file:
                json.dump({"metadata": {}, "weight_map": places}, file, indent=1)


def merge(model_dir, adapter_dir, out_dir, on_tensor=lambda: None, rank=0, world_size=1):
    """Add the adapter to the weights, file by file: W + scale * B A in float32, stored as W was.

    Every rank takes its share of the files and holds one at a time; names, files and index
    stay as they are. on_tensor is called after each tensor.
    """
    from .gguf import open_tensors

    layers, scale = load_adapter(adapter_dir)
    files = weight_files(model_dir)
    if not files:
        raise invalid(f"merge: no safetensors in {model_dir}")
    unknown = sorted(set(layers) - {name.removesuffix(".weight") for name in open_tensors(model_dir)})
    if unknown:
        raise invalid(f"merge: the model has no layer {unknown[0]}, which the adapter changes")
    os.makedirs(out_dir, exist_ok=True)
    if rank == 0:
        copy_side_files(model_dir, out_dir)
    for name in files[rank::world_size]:
        tensors = {}
        with safe_open(os.path.join(model_dir, name), "pt") as file:
            for key in file.keys():
                weight = file.get_tensor(key)
                adapter = layers.get(key.removesuffix(".weight"))
                if adapter is not None:
                    low_in, low_out = adapter
                    weight = (weight.float() + scale * (low_out.float() @ low_in.float())).to(weight.dtype)
                tensors[key] = weight.contiguous()
                on_tensor()
        save_file(tensors, os.path.join(out_dir, name), metadata={"format": "pt"})


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
