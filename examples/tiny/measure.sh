#!/bin/sh
# Serves a model with llama.cpp and prints how often its answers to the bundled
# profiles follow each kind of constraint, in all and by polarity.
#
#   examples/tiny/measure.sh MODEL_DIR_OR_GGUF [flags of "world measure"]
set -eu
cd "$(dirname "$0")/../.."
model=$(realpath "$1")
shift
work=$(mktemp -d)
mkfifo "$work/line"
PYTHONPATH=$PWD/workers/trainer .venv/bin/python -m rpo_trainer.serve --model "$model" --alias tiny --context 256 \
	> "$work/line" &
server=$!
trap 'kill $server; wait $server || true; rm -rf "$work"' EXIT
# One line of JSON once the server answers, nothing if it failed.
read -r line < "$work/line"
url=$(printf '%s' "$line" | sed 's/.*"url": "\([^"]*\)".*/\1/')
go run ./examples/tiny/world measure -profiles examples/tiny/profiles.jsonl -url "$url" "$@"
