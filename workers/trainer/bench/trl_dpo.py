"""One run of TRL's DPOTrainer on the pairs of the benchmark; prints one JSON object.

    trl_dpo.py MODEL PAIRS tuned|defaults PAIRS_PER_STEP STEPS BATCH [cpu|cuda [CHECKPOINTING]]

tuned: what its documentation advises for speed: reference values computed once before
training, the batch given, gradient checkpointing only if CHECKPOINTING is 1, on a CPU float32
(bfloat16 is slower on CPUs without units for it). defaults: everything as it comes. In both,
max_length is None: the default of 1,024 would cut responses off. On a GPU the base is held in
bfloat16.
"""

import json
import sys
import time

import torch
from datasets import Dataset
from peft import LoraConfig
from pyarrow import parquet
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import DPOConfig, DPOTrainer


class Clock(TrainerCallback):
    """Processor time and clock at the end of each optimizer step."""

    def __init__(self):
        self.stamps, self.logs = [], []

    def on_train_begin(self, *arguments, **keywords):
        self.stamps.append((time.process_time(), time.monotonic()))

    def on_step_end(self, *arguments, **keywords):
        self.stamps.append((time.process_time(), time.monotonic()))

    def on_log(self, args, state, control, logs=None, **keywords):
        self.logs.append(logs)


def main(model_dir, pairs, kind, pairs_per_step, steps, batch, device="cpu", checkpointing="0"):
    pairs_per_step, steps, batch = int(pairs_per_step), int(steps), int(batch)
    if device == "cpu":
        torch.set_num_threads(1)
    table = parquet.read_table(pairs, columns=["prompt", "chosen", "rejected"])
    values = {}
    if kind == "tuned":
        values = {"precompute_ref_log_probs": True, "gradient_checkpointing": checkpointing == "1", "bf16": device == "cuda"}
    clock = Clock()
    trainer = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(
            model_dir, dtype=torch.float32 if device == "cpu" else torch.bfloat16),
        processing_class=AutoTokenizer.from_pretrained(model_dir),
        train_dataset=Dataset.from_list(table.to_pylist()),
        peft_config=LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"),
        args=DPOConfig(
            output_dir="trl-out", use_cpu=device == "cpu", report_to=[], save_strategy="no", logging_steps=1, disable_tqdm=True,
            beta=0.1, learning_rate=5e-4, max_length=None, max_steps=steps, seed=0,
            per_device_train_batch_size=batch, gradient_accumulation_steps=pairs_per_step // batch, **values),
        callbacks=[clock])
    trainer.train()
    cpu, wall = ([two[kind] - one[kind] for one, two in zip(clock.stamps, clock.stamps[1:])] for kind in (0, 1))
    peak = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else None
    print(json.dumps({"cpu": cpu, "clock": wall, "first": clock.logs[0], "memory_mb": peak}))


if __name__ == "__main__":
    main(*sys.argv[1:])
