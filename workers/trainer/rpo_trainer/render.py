"""Compare a server's token ids of prompts with the trainer's.

    python -m rpo_trainer.render --model DIR --prompts FILE

FILE is a list of {id, messages, tokens}. Prints {"prompts": number, "difference": text or
null}; the difference is that of the first prompt that has one.
"""

import argparse
import json
import sys

from .config import read_document
from .errors import EXIT_CODES, classify, invalid

# Tokens shown from the first different one on, and of what both have before it.
SHOWN = 12
SHARED = 4


def difference(tokenizer, prompt):
    """What tells the server's ids of a prompt from the trainer's, or None."""
    ours = tokenizer.prompt_ids(prompt["messages"]).tolist()
    theirs = prompt["tokens"]
    if ours == theirs:
        return None
    first = next((place for place, (one, other) in enumerate(zip(ours, theirs)) if one != other),
                 min(len(ours), len(theirs)))
    start = max(0, first - SHARED)

    def text(ids):
        known = [number for number in ids[start: first + SHOWN] if 0 <= number < len(tokenizer.tokenizer)]
        return json.dumps(tokenizer.tokenizer.decode(known), ensure_ascii=False) if known else "nothing"

    return (f"prompt {prompt['id']} is {len(theirs)} tokens at the endpoint and {len(ours)} here, the same up to token {first}; "
            f"there the endpoint has {text(theirs)}, the trainer {text(ours)}")


def main(argv=None):
    parser = argparse.ArgumentParser(prog="rpo_trainer.render", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder with the tokenizer")
    parser.add_argument("--prompts", required=True, help="JSON file")
    arguments = parser.parse_args(argv)
    try:
        prompts = read_document(arguments.prompts)
        if not isinstance(prompts, list) or not all(isinstance(p, dict) and {"id", "messages", "tokens"} <= set(p) for p in prompts):
            raise invalid("prompts: must be a list of objects with id, messages and tokens")
        from .tokens import ChatTokenizer

        tokenizer = ChatTokenizer(arguments.model)
        found = next(filter(None, (difference(tokenizer, prompt) for prompt in prompts)), None)
        print(json.dumps({"prompts": len(prompts), "difference": found}, ensure_ascii=False))
        return 0
    except Exception as error:
        failure = classify(error)
        print(f"rpo_trainer.render: {failure.reason}", file=sys.stderr)
        return EXIT_CODES[failure.status]


if __name__ == "__main__":
    sys.exit(main())
