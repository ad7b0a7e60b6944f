"""Model folders on disk: their config, their files, and what names their weights.

Nothing here imports torch or reads a weight into a tensor, so that a plan is made within a
second and before the weights have arrived.
"""

import hashlib
import json
import os

from .errors import invalid

INDEX = "model.safetensors.index.json"


def read_config(model_dir):
    """The document of config.json; refuses a folder without a readable one."""
    return read_json(os.path.join(model_dir, "config.json"))


def read_json(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        raise invalid(f"read {path}: {error}") from None


def weight_files(model_dir):
    """The safetensors files of the model, sorted by name."""
    return sorted(name for name in os.listdir(model_dir)
                  if name.endswith(".safetensors") and not name.startswith("adapter_"))


def stored(model_dir):
    """({tensor name: file name}, bytes of all tensors or None) as the safetensors index says, or None.

    The files that it names need not be there. A model of one file has no index: the header
    of the file tells the same. None: the folder has neither.
    """
    path = os.path.join(model_dir, INDEX)
    if os.path.isfile(path):
        document = read_json(path)
        names = document.get("weight_map") if isinstance(document, dict) else None
        if not isinstance(names, dict) or not names:
            raise invalid(f"read {path}: no weight_map")
        return names, (document.get("metadata") or {}).get("total_size")
    path = os.path.join(model_dir, "model.safetensors")
    if not os.path.isfile(path):
        return None
    header = read_header(path)
    return {name: "model.safetensors" for name in header}, sum(
        end - start for start, end in (entry["data_offsets"] for entry in header.values()))


def read_header(path):
    """{tensor name: {dtype, shape, data_offsets}} of a safetensors file."""
    try:
        with open(path, "rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    except (OSError, ValueError) as error:
        raise invalid(f"read the header of {path}: {error}") from None
    return {name: entry for name, entry in header.items() if name != "__metadata__"}


def weights_digest(model_dir, init="weights", seed=0, adapter=None, hashes=None) -> str:
    """SHA-256 that names the starting weights: config.json, safetensors and adapter, byte for byte.

    hashes(paths) gives the SHA-256 of each file; default: computed here, one after the other.
    """
    digest = hashlib.sha256(json.dumps(read_config(model_dir), sort_keys=True).encode())
    if init == "random":
        digest.update(f"random {seed}".encode())
        return digest.hexdigest()
    paths = [os.path.join(model_dir, name) for name in weight_files(model_dir)]
    if adapter:
        paths += [os.path.join(adapter, name) for name in ("adapter_config.json", "adapter_model.safetensors")]
    for path, value in zip(paths, hashes(paths) if hashes else map(hash_file, paths), strict=True):
        digest.update(f"{os.path.basename(path)} {value}\n".encode())
    return digest.hexdigest()


def hash_file(path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
