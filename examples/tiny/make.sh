#!/bin/sh
# Makes the tiny world's profiles and the tiny model again, from nothing but this
# repository: text, tokenizer, supervised training in stages, a measurement.
#
#   examples/tiny/make.sh [WORK_DIR]      needs .venv and Go
#
# The text grows harder by stages, because a small model learns to copy a word
# from short prompts in a minute and from long ones hardly at all. The last stage
# unlearns: its answers follow a constraint with probability 0.76, so that the
# model can do more than it does, which is what preference optimisation needs.
# (The first stages also ask for closing marks, which the model does not learn in
# this time; the profiles leave them out.)
set -eu
cd "$(dirname "$0")/../.."
root=$PWD
tiny=$root/examples/tiny
work=${1:-$(mktemp -d)}
mkdir -p "$work"

go build -buildvcs=false -o "$work/world" ./examples/tiny/world
"$work/world" profiles -out "$tiny/profiles.jsonl"

# text NAME SEED FLAGS...
text() {
	name=$1 seed=$2
	shift 2
	"$work/world" text -profiles "$tiny/profiles.jsonl" -seed "$seed" -out "$work/$name.parquet" "$@"
}
every=words,contains,contains,starts_with,ends_with,commas,digits,sentences
text copy 10 -examples 16000 -follow 1 -kinds contains,contains -least 1 -most 2 -brief
text short 11 -examples 45000 -follow 1 -kinds $every,starts_with,ends_with -least 1 -most 3 -brief
text follow 12 -examples 45000 -follow 0.97 -kinds $every,contains,ends_with -corpus "$work/corpus.txt"
text aim 13 -examples 24000 -follow 1 -least 1 -most 3 -brief -lean 0.6 \
	-kinds $every,contains,contains,ends_with,ends_with,ends_with,ends_with
text soften 14 -examples 12000 -follow 0.76
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
train aim "$work/follow/merged" weights 0.002
train soften "$work/aim/merged" weights 0.001

mkdir -p "$tiny/model"
cp "$work/soften/merged/"* "$tiny/model/"
cp "$work/start/generation_config.json" "$tiny/model/"
chmod 644 "$tiny/model/"*
"$tiny/measure.sh" "$tiny/model"
