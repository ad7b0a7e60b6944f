#!/bin/sh
# Makes the tiny world's profiles and the tiny model again, from nothing but this
# repository: text, tokenizer, supervised training in stages, a measurement.
#
#   examples/tiny/make.sh [WORK_DIR]      needs .venv and Go
#
# The text grows harder by stages, because a small model learns to copy a word
# from short prompts in a minute and from long ones hardly at all.
set -eu
cd "$(dirname "$0")/../.."
root=$PWD
tiny=$root/examples/tiny
work=${1:-$(mktemp -d)}
mkdir -p "$work"

go build -o "$work/world" ./examples/tiny/world
"$work/world" profiles -out "$tiny/profiles.jsonl"

# text NAME SEED FLAGS...
text() {
	name=$1 seed=$2
	shift 2
	"$work/world" text -profiles "$tiny/profiles.jsonl" -seed "$seed" -out "$work/$name.parquet" "$@"
}
all=words,contains,contains,starts_with,ends_with,commas,digits,sentences
text copy 10 -examples 16000 -follow 1 -kinds contains,contains -least 1 -most 2 -brief
text short 11 -examples 45000 -follow 1 -kinds $all,starts_with,ends_with -least 1 -most 3 -brief
text follow 12 -examples 45000 -follow 0.97 -kinds $all,contains,ends_with -corpus "$work/corpus.txt"
"$root/.venv/bin/python" "$tiny/tokenizer.py" "$work/corpus.txt" "$work/start"

# train NAME MODEL INIT LEARNING_RATE
train() {
	cat > "$work/$1.json" <<-JSON
	{
	  "model_dir": "$2", "init": "$3", "data": ["$work/$1.parquet"], "out_dir": "$work/$1",
	  "loss": "sft", "lora": null, "learning_rate": $4, "warmup_fraction": 0.04, "epochs": 1,
	  "pairs_per_step": 32, "pairs_per_batch": 16, "held_out_fraction": 0.005, "eval_every": 100,
	  "checkpoint_every": 200, "export": ["merged"], "threads": 1, "seed": 1
	}
	JSON
	PYTHONPATH=$root/workers/trainer "$root/.venv/bin/torchrun" --standalone --nproc-per-node 2 \
		-m rpo_trainer.train --config "$work/$1.json"
}
train copy "$work/start" random 0.002
train short "$work/copy/merged" weights 0.002
train follow "$work/short/merged" weights 0.002
