"""The trainer on a CPU: tokens and seconds a pair by layout, beside TRL, and memory of the head.

    make bench-trainer      or      bench.py --trl PYTHON [--turns 3 --rounds 3]

Everything runs on one thread. A second here is a second of processor time of that thread, so
that what else the machine does counts little; on an idle machine it is the clock's. Of the
rounds the fastest counts and all are listed, with the clock's rates beside them. The first
step of a run is left out. The last line is one JSON object.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time

import workload

HERE = os.path.dirname(os.path.abspath(__file__))
LAYOUTS = ("none", "pairs", "groups")
PAIRS_PER_STEP = 20


def environment():
    return {**os.environ, "PYTHONPATH": os.path.dirname(HERE), "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def train(folder, layout, steps, tokens_per_batch):
    """One run; returns the step lines."""
    out = os.path.join(folder, f"out-{layout}")
    subprocess.run(["rm", "-rf", out], check=True)
    path = os.path.join(folder, "train.json")
    workload.tiny.write_config(
        path, model_dir=os.path.join(folder, "model"), data=[os.path.join(folder, "pairs.parquet")], out_dir=out,
        layout=layout, shuffle="prompts", tokens_per_batch=tokens_per_batch, pairs_per_step=PAIRS_PER_STEP, epochs=1000,
        max_steps=steps, held_out_fraction=0, export=[], checkpoint_every=0, device="cpu", threads=1)
    done = subprocess.run([sys.executable, os.path.abspath(__file__), "--train", path], env=environment(), check=True,
                          capture_output=True, text=True)
    stamps = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    times = {"cpu": [two - one for (one, _), (two, _) in zip(stamps, stamps[1:])],
             "clock": [two - one for (_, one), (_, two) in zip(stamps, stamps[1:])]}
    return workload.tiny.read_events(out, "step"), times


def run_training(path):
    """Train in this process; prints processor time and clock at the end of each step."""
    from rpo_trainer import train as trainer
    from rpo_trainer.events import EventLog

    write = EventLog.write

    def stamped(log, event, **values):
        if event == "step":
            print(json.dumps([time.process_time(), time.monotonic()]), flush=True)
        write(log, event, **values)

    EventLog.write = stamped
    sys.exit(trainer.main(["--config", path]))


def train_trl(folder, python, kind, steps, batch):
    done = subprocess.run(
        [python, os.path.join(HERE, "trl_dpo.py"), os.path.join(folder, "model"), os.path.join(folder, "pairs.parquet"),
         kind, str(PAIRS_PER_STEP), str(steps), str(batch)],
        env={**environment(), "PYTHONPATH": ""}, cwd=folder, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return {kind: found[kind][1:] for kind in ("cpu", "clock")}


def head_memory(kind, tokens=4096, vocabulary=32768, hidden=256):
    """In a process of its own: forward and backward of the head, chunked or with all logits; prints the peak in MB."""
    import torch

    from rpo_trainer.logprob import token_logprobs

    torch.set_num_threads(1)
    torch.manual_seed(0)
    states = torch.randn(tokens, hidden, requires_grad=True)
    weight = torch.randn(vocabulary, hidden) * hidden**-0.5
    targets = torch.randint(0, vocabulary, (tokens,))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if kind == "chunked":
        values = token_logprobs(states, weight, targets)
    else:
        values = torch.log_softmax((states @ weight.t()).float(), 1).gather(1, targets[:, None])[:, 0]
    values.sum().backward()
    print(json.dumps({"mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before,
                      "gradient": float(states.grad.norm())}))


def measure_memory(kind):
    done = subprocess.run([sys.executable, __file__, "--head-memory", kind], env=environment(), check=True,
                          capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def tuned_by(batch):
    return f"trl tuned, batch {batch}"


def versions(python):
    script = ("import importlib.metadata as m, json; print(json.dumps({name: m.version(name) for name in "
              "('torch', 'transformers', 'peft', 'trl') if any(d.metadata['Name'] == name for d in m.distributions())}))")
    return json.loads(subprocess.run([python, "-c", script], check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trl", help="Python of an environment that has TRL; without it TRL is left out")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3, help="of a run; the first one is not counted")
    parser.add_argument("--tokens-per-batch", type=int, default=4096)
    parser.add_argument("--head-memory", help=argparse.SUPPRESS)
    parser.add_argument("--train", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.head_memory:
        return head_memory(arguments.head_memory)
    if arguments.train:
        return run_training(arguments.train)
    rates, clock, tokens = {}, {}, {}

    def note(name, times):
        for table, kind in ((rates, "cpu"), (clock, "clock")):
            table.setdefault(name, []).append(round(PAIRS_PER_STEP * len(times[kind]) / sum(times[kind]), 3))
        print(f"{name}: {rates[name][-1]} pairs/s ({clock[name][-1]} by the clock)", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        workload.write_model(os.path.join(folder, "model"))
        pairs = workload.write_pairs(os.path.join(folder, "pairs.parquet"), arguments.turns)
        batches = (1, 4)
        for number in range(arguments.rounds):
            for layout in LAYOUTS:
                steps, times = train(folder, layout, arguments.steps, arguments.tokens_per_batch)
                note(layout, times)
                tokens[layout] = round(sum(step["tokens"] for step in steps) / PAIRS_PER_STEP / len(steps), 1)
            if arguments.trl:
                for batch in batches:
                    note(tuned_by(batch), train_trl(folder, arguments.trl, "tuned", arguments.steps, batch))
                # TRL is the slow part: only its better batch runs again, and its defaults run once.
                if number == 0:
                    note("trl defaults", train_trl(folder, arguments.trl, "defaults", 2, 4))
                    batches = (max(batches, key=lambda batch: rates[tuned_by(batch)][0]),)
    memory = {kind: measure_memory(kind) for kind in ("chunked", "full")}
    best = {name: max(values) for name, values in rates.items()}
    tuned = max((value for name, value in best.items() if name.startswith("trl tuned")), default=None)
    print(f"the head's gradient norm: {memory['chunked']['gradient']:.6f} chunked, {memory['full']['gradient']:.6f} full")
    print(json.dumps({
        "pairs_per_s": {layout: best[layout] for layout in LAYOUTS},
        "tokens_per_pair": tokens,
        "trl_pairs_per_s": tuned,
        "trl_defaults_pairs_per_s": best.get("trl defaults"),
        "peak_mb_chunked": round(memory["chunked"]["mb"], 1),
        "peak_mb_full_logits": round(memory["full"]["mb"], 1),
        "rounds": rates,
        "rounds_by_the_clock": clock,
        "pairs": pairs,
        "versions": versions(arguments.trl or sys.executable),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread used",
        "load_average": round(os.getloadavg()[0], 2),
    }))


if __name__ == "__main__":
    main()
