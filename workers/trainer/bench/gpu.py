"""The trainer on a GPU: rates, memory against the plan, TRL beside it, a slice of 70B.

    gpu.py [--phases matmul,attention,train,trl,slice] [--trl PYTHON] [--seconds 540] [--out FILE] [--work DIR]
    gpu.py --dry-run [...]      tiny shapes on a CPU: every line of it runs, its figures mean nothing

Weights are random at the true shapes and written to a folder first, so that the trainer's own
program and TRL load the same one. Each measurement is a line of FILE as soon as it is there, so
that a limit of time loses nothing; what is left out for lack of time says so. The last line
printed is one JSON object of all. Phases:

    matmul      bfloat16 products of a block's shapes: the rate that everything is compared with
    attention   pieces, varlen, flex: forward and backward over packed trees, and their distance
                from float32
    train       layouts, then compiled blocks and ways of attention, by rpo_trainer.train
    trl         TRL's DPOTrainer on the same pairs, tuned and with its defaults
    slice       8 layers of 70B, and from it a prediction for 8 GPUs, labelled so
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import workload
from shapes import DRY, SIZES, write_random_folder

HERE = os.path.dirname(os.path.abspath(__file__))
PHASES = ("matmul", "attention", "train", "trl", "slice")
# What train tries: label and config. The first step of a run is not counted.
RUNS = (
    ("groups", {"layout": "groups"}),
    ("groups, compiled", {"layout": "groups", "compile": True}),
    ("pairs", {"layout": "pairs"}),
    ("none", {"layout": "none"}),
    ("groups, flex", {"layout": "groups", "attention": "flex"}),
    ("groups, full recomputation", {"layout": "groups", "recompute": "full"}),
    ("groups, full recomputation, compiled", {"layout": "groups", "recompute": "full", "compile": True}),
)
TRL_RUNS = (("tuned", 1, False), ("tuned", 2, False), ("tuned", 4, True), ("defaults", 4, True))
# All-gather over NVLink that the prediction assumes, bytes a second and GPU.
GATHER = 400e9


class Record:
    """Measurements as they come: printed, appended to a file, and kept."""

    def __init__(self, path, seconds):
        self.path, self.end, self.rows = path, time.monotonic() + seconds, []

    def left(self):
        return self.end - time.monotonic()

    def add(self, phase, label, **values):
        row = {"phase": phase, "label": label, **values}
        self.rows.append(row)
        print(json.dumps(row), flush=True)
        if self.path:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        return row

    def found(self, phase, label):
        return next((row for row in self.rows if (row["phase"], row["label"]) == (phase, label) and "error" not in row), None)


def timed(device, run, repeats):
    """Seconds of one run, the median of several, after two that are not counted."""
    import torch

    times = []
    for number in range(repeats + 2):
        if device.type == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        if number > 1:
            times.append(time.perf_counter() - started)
    return sorted(times)[len(times) // 2]


def measure_matmul(record, device, size, tokens):
    """Products of a block's shapes with bfloat16 inputs: operations a second, all of them together."""
    import torch

    from rpo_trainer import flops

    shapes = flops.shapes_of(size)
    total = operations = 0.0
    for out, into in shapes.linears().values():
        left = torch.randn(tokens, into, device=device, dtype=torch.bfloat16)
        right = torch.randn(out, into, device=device, dtype=torch.bfloat16)
        total += timed(device, lambda: left @ right.t(), 10)
        operations += 2 * tokens * out * into
    record.add("matmul", "block", tokens=tokens, tflops_per_s=round(operations / total / 1e12, 6))


def packed_spans(turns):
    """Spans of the trees of layout groups, with the benchmark's lengths."""
    import random

    import numpy as np

    from rpo_trainer.packing import Tree, collate_trees

    rng = random.Random(0)

    def tokens(low, high):
        return np.zeros(rng.randint(low, high), np.int32)

    return collate_trees([Tree(tokens(*workload.PROMPT_TOKENS), [tokens(*workload.RESPONSE_TOKENS) for _ in range(
        workload.RESPONSES)]) for _ in range(turns)]).spans


def measure_attention(record, device, size, turns, kinds):
    """Forward and backward of one layer's attention, and how far the results are from float32."""
    import torch

    from rpo_trainer import attention, flops

    shapes = flops.shapes_of(size)
    spans = packed_spans(turns)
    total = sum(length for span in spans for _, length in (span.prompt, *span.responses))
    visible = sum(flops.visible(span.prompt[1], [fed for _, fed in span.responses]) for span in spans)
    torch.manual_seed(0)
    inputs = [torch.randn(total, heads, shapes.d, device=device) for heads in (shapes.H, shapes.G, shapes.G)]
    weight = torch.randn(total, shapes.H, shapes.d, device=device)

    def once(kind, dtype):
        parts = [tensor.to(dtype).detach().clone().requires_grad_() for tensor in inputs]
        out = attention.segments_of(spans, device, kind).mix(*parts, shapes.d**-0.5)
        out.backward(weight.to(dtype))
        return [out.detach().float(), *(part.grad.float() for part in parts)]

    exact = once("pieces", torch.float32)
    for kind in kinds:
        try:
            off = max(float((one - other).norm() / other.norm()) for one, other in zip(once(kind, torch.bfloat16), exact))
            seconds = timed(device, lambda: once(kind, torch.bfloat16), 5)
            record.add("attention", kind, tokens=total, ms=round(1e3 * seconds, 3), distance_from_float32=round(off, 5),
                       tflops_per_s=round(3 * 4 * shapes.H * shapes.d * visible / seconds / 1e12, 6))
        except Exception as error:  # one way that fails must not end the others
            record.add("attention", kind, error=f"{type(error).__name__}: {error}"[:500])


def train(record, folder, phase, label, settings, options):
    """One run of rpo_trainer.train; its rates are those of the steps after the first."""
    out = os.path.join(folder, "out")
    shutil.rmtree(out, ignore_errors=True)
    path = os.path.join(folder, "train.json")
    workload.tiny.write_config(
        path, model_dir=folder, data=[os.path.join(folder, "pairs.parquet")], out_dir=out, shuffle="prompts",
        tokens_per_batch=options.tokens_per_batch, pairs_per_step=options.pairs_per_step, epochs=1000,
        max_steps=options.steps, held_out_fraction=0, export=[], checkpoint_every=0, device=options.device,
        dtype="bfloat16", **settings)
    done = run([sys.executable, "-m", "rpo_trainer.train", "--config", path], record, os.path.dirname(HERE))
    result = os.path.join(out, "result.json")
    if done is None or done.returncode:
        reason = "time is up" if done is None else (
            workload.tiny.read_result(out)["reason"] if os.path.exists(result) else done.stderr[-500:])
        return record.add(phase, label, error=reason)
    begin, steps = workload.tiny.read_events(out, "start")[0], workload.tiny.read_events(out, "step")[1:]

    def mean(name):
        values = [step[name] for step in steps]
        return sum(values) / len(values) if None not in values else None

    row = {"tokens_per_s": round(mean("tokens_per_s"), 1), "pairs_per_s": round(mean("pairs_per_s"), 3),
           "tokens_unshared_per_s": round(mean("tokens_unshared_per_s"), 1), "tflops_per_s": round(mean("tflops_per_s"), 4),
           "memory_mb": max(step["memory_mb"] for step in steps), "planned_memory_mb": begin["planned_memory_mb"],
           "recompute": begin["recompute"], "attention": begin["attention"],
           "loss_first": workload.tiny.read_result(out)["loss_first"]}
    if begin["planned_memory_mb"]:
        row["planned_to_measured"] = round(begin["planned_memory_mb"] / row["memory_mb"], 4)
    matmul = record.found("matmul", "block")
    if matmul:
        row["share_of_matmul"] = round(row["tflops_per_s"] / matmul["tflops_per_s"], 4)
    return record.add(phase, label, **row)


def run(command, record, path):
    """The finished process, or None if the time was up before its end."""
    if record.left() < 10:
        return None
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (path, os.environ.get("PYTHONPATH")))),
                   "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    try:
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=record.left())
    except subprocess.TimeoutExpired:
        return None


def train_trl(record, folder, options):
    """TRL on the same folder and pairs; ours is the best row of layout groups."""
    for kind, batch, checkpointing in TRL_RUNS:
        label = f"{kind}, batch {batch}" + (", gradient checkpointing" if checkpointing else "")
        done = run([options.trl, os.path.join(HERE, "trl_dpo.py"), folder, os.path.join(folder, "pairs.parquet"), kind,
                    str(options.pairs_per_step), str(options.steps), str(batch), options.device, str(int(checkpointing))],
                   record, "")
        if done is None or done.returncode:
            record.add("trl", label, error="time is up" if done is None else done.stderr[-500:])
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        seconds = found["clock"][1:]
        record.add("trl", label, pairs_per_s=round(options.pairs_per_step * len(seconds) / sum(seconds), 3),
                   memory_mb=found["memory_mb"])


def predict(record, size, sliced, row, tokens):
    """Tokens a second and GPU of all layers on 8 GPUs, from the slice's rate. Not a measurement."""
    from rpo_trainer import flops

    whole, part = flops.shapes_of(size), flops.shapes_of(sliced)
    per_token = [flops.training_flops(shapes, 1, 0, 0, 8) for shapes in (whole, part)]
    seconds = tokens / row["tokens_per_s"] * per_token[0] / per_token[1]
    # Forward and backward each gather a layer's weights; they hide behind its products if those take longer.
    gather = 2 * 2 * flops.count(whole.block_parameters()) / GATHER * whole.L
    record.add("slice", "prediction for 8 GPUs, not measured", tokens_per_s_per_gpu=round(tokens / max(seconds, gather), 1),
               seconds_of_products=round(seconds, 3), seconds_of_gathering=round(gather, 3), assumed_gather_bytes_per_s=GATHER)


def summary(record):
    """The figures that the issue asks for, and all rows."""
    ours = [row for row in record.rows if row["phase"] == "train" and "error" not in row]
    trl = [row for row in record.rows if row["phase"] == "trl" and "error" not in row]
    tuned = max((row["pairs_per_s"] for row in trl if row["label"].startswith("tuned")), default=None)
    best = max((row["pairs_per_s"] for row in ours), default=None)
    return {"pairs_per_s": best, "trl_pairs_per_s": tuned, "times_trl": round(best / tuned, 2) if best and tuned else None,
            "share_of_matmul": max((row["share_of_matmul"] for row in ours if "share_of_matmul" in row), default=None),
            "planned_to_measured": {row["label"]: row["planned_to_measured"] for row in ours if "planned_to_measured" in row},
            "rows": record.rows}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phases", default=",".join(PHASES))
    parser.add_argument("--trl", help="Python of an environment with TRL; without it the phase trl is left out")
    parser.add_argument("--seconds", type=float, default=540.0, help="after which nothing new is started")
    parser.add_argument("--out", help="file for the lines; they are appended")
    parser.add_argument("--work", help="folder for weights, kept; default: a temporary one")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--turns", type=int, default=12, help="of 20 pairs each")
    parser.add_argument("--pairs-per-step", type=int, default=60)
    parser.add_argument("--tokens-per-batch", type=int, default=16384)
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args(argv)
    phases = options.phases.split(",")
    unknown = set(phases) - set(PHASES)
    if unknown:
        parser.error(f"--phases: {unknown.pop()} is none of {', '.join(PHASES)}")
    import torch

    options.device = "cpu" if options.dry_run else "cuda"
    device = torch.device(options.device)
    if not options.dry_run and not torch.cuda.is_available():
        parser.error("no GPU here; --dry-run tries the script on a CPU")
    sizes = DRY if options.dry_run else SIZES
    if options.dry_run:
        options.turns, options.pairs_per_step, options.steps = 1, 4, 2
        workload.PROMPT_TOKENS, workload.RESPONSE_TOKENS = (20, 40), (5, 15)
    record = Record(options.out, options.seconds)
    record.add("machine", torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, dry run",
               torch=torch.__version__, **workload.versions("transformers", "peft"))
    if "matmul" in phases:
        measure_matmul(record, device, sizes["8b"], 64 if options.dry_run else 16384)
    if "attention" in phases:
        measure_attention(record, device, sizes["8b"], 1 if options.dry_run else 4,
                          ("pieces",) if options.dry_run else ("pieces", "varlen", "flex"))
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or temporary
        if {"train", "trl"} & set(phases):
            folder = write_random_folder(os.path.join(work, "8b"), sizes["8b"], device)
            workload.write_pairs(os.path.join(folder, "pairs.parquet"), options.turns)
            for label, settings in RUNS if "train" in phases else ():
                if options.dry_run and settings.get("attention") == "flex":
                    settings = {**settings, "attention": "pieces"}
                train(record, folder, "train", label, settings, options)
            if "trl" in phases and options.trl:
                train_trl(record, folder, options)
            if not options.work:
                shutil.rmtree(folder)
        if "slice" in phases:
            folder = write_random_folder(os.path.join(work, "70b-slice"), sizes["70b-slice"], device)
            workload.write_pairs(os.path.join(folder, "pairs.parquet"), options.turns)
            row = train(record, folder, "slice", "8 layers of 70B, groups", {"layout": "groups"}, options)
            if "error" not in row:
                predict(record, sizes["70b"], sizes["70b-slice"], row, options.tokens_per_batch)
    print(json.dumps(summary(record)))


if __name__ == "__main__":
    main()
