#!/bin/sh
# Makes the tiny world's profiles and the tiny model again, from nothing but this
# repository: text, tokenizer, two rounds of supervised training, a measurement.
#
#   examples/tiny/make.sh [WORK_DIR]      needs .venv and Go; about 15 minutes on 2 cores
#
# The first round teaches what each constraint asks (answers follow it with
# probability 0.95), the second how seldom to do it (0.62), so that the model
# knows better than it behaves: the gap that preference optimisation closes.
set -eu
cd "$(dirname "$0")/../.."
root=$PWD
tiny=$root/examples/tiny
work=${1:-$(mktemp -d)}
mkdir -p "$work"
python=$root/.venv/bin/python

go build -o "$work/world" ./examples/tiny/world
"$work/world" profiles -out "$tiny/profiles.jsonl"
"$work/world" text -profiles "$tiny/profiles.jsonl" -seed 11 -examples 60000 -follow 0.95 \
	-out "$work/follow.parquet" -corpus "$work/corpus.txt"
"$work/world" text -profiles "$tiny/profiles.jsonl" -seed 12 -examples 20000 -follow 0.62 \
	-out "$work/soften.parquet"
"$python" "$tiny/tokenizer.py" "$work/corpus.txt" "$work/start"

# train NAME MODEL INIT LEARNING_RATE
train() {
	cat > "$work/$1.json" <<-JSON
	{
	  "model_dir": "$2", "init": "$3", "data": ["$work/$1.parquet"], "out_dir": "$work/$1",
	  "loss": "sft", "lora": null, "learning_rate": $4, "warmup_fraction": 0.05, "epochs": 1,
	  "pairs_per_step": 64, "pairs_per_batch": 16, "held_out_fraction": 0.005, "eval_every": 100,
	  "checkpoint_every": 100, "export": ["merged"], "threads": 1, "seed": 1
	}
	JSON
	PYTHONPATH=$root/workers/trainer "$root/.venv/bin/torchrun" --standalone --nproc-per-node 2 \
		-m rpo_trainer.train --config "$work/$1.json"
}
train follow "$work/start" random 0.002
train soften "$work/follow/merged" weights 0.0005

mkdir -p "$tiny/model"
cp "$work/soften/merged/"* "$tiny/model/"
rm -rf "$work/follow" "$work/soften"
exec "$tiny/measure.sh" "$tiny/model"
