"""From messages to token ids, through the model's own chat template.

A response is what the template adds after the generation prompt, up to and
including the end-of-turn token; what some templates write after it (a newline)
is no choice of the model's and is left out. A template that asks for today's date is told
a fixed one: else the ids, and with them the reference, would change over night.
"""

import datetime
import hashlib
import json
import os
import re

import numpy as np

from .errors import invalid

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
                   "special_tokens_map.json", "generation_config.json")


class ChatTokenizer:
    def __init__(self, model_dir: str, date: str = "2024-07-26", thinking: bool = False):
        # What the template sees beside the messages.
        self.given = {"enable_thinking": thinking}
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
        from transformers import AutoTokenizer

        try:
            self.tokenizer = AutoTokenizer.from_pretrained(model_dir, local_files_only=True)
        except Exception as error:
            raise invalid(f"load the tokenizer of {model_dir}: {error}") from None
        if not self.tokenizer.chat_template:
            raise invalid(f"the tokenizer of {model_dir} has no chat template")
        template = self.tokenizer.get_chat_template()
        self.tokenizer.chat_template = frozen(template, datetime.date.fromisoformat(date))
        self.end_ids = end_of_turn_ids(self.tokenizer, model_dir)

    def encode(self, dialogues):
        """Encode [(prompt messages, response text)]; returns [(prompt ids, response ids)] int32.

        Prompts that occur several times are rendered once.
        """
        prompts = {json.dumps(prompt): prompt for prompt, _ in dialogues}
        texts = [self._render(prompt, True) for prompt in prompts.values()]
        prompt_ids = dict(zip(prompts, self._ids(texts)))
        texts = [self._render([*prompt, {"role": "assistant", "content": response}], False)
                 for prompt, response in dialogues]
        for text, (_, response) in zip(texts, dialogues):
            if response.strip() not in text:
                raise invalid(f"chat template: the rendered dialogue does not contain the response {response[:200]!r}")
        full = self._ids(texts)
        rows = []
        for (prompt, _), ids in zip(dialogues, full):
            head = prompt_ids[json.dumps(prompt)]
            if not np.array_equal(ids[: len(head)], head):
                raise invalid(
                    "chat template: the tokens of the prompt are no prefix of prompt and response, "
                    f"so the response cannot be told apart; first prompt: {str(prompt[-1])[:200]}"
                )
            rows.append((head, self._until_end_of_turn(ids[len(head):])))
        return rows

    def prompt_ids(self, messages):
        """The token ids of a prompt, generation prompt included, [p] int32."""
        return self._ids([self._render(messages, True)])[0]

    def _render(self, messages, add_generation_prompt):
        try:
            return self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=add_generation_prompt,
                **self.given)
        except Exception as error:  # templates raise for roles they do not know
            raise invalid(f"chat template refuses a dialogue: {error}") from None

    def _ids(self, texts):
        if not texts:
            return []
        encoded = self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False)
        return [np.asarray(ids, dtype=np.int32) for ids in encoded["input_ids"]]

    def _until_end_of_turn(self, ids):
        ends = np.flatnonzero(np.isin(ids, self.end_ids))
        if len(ends) == 0:
            raise invalid("chat template: a response ends without an end-of-turn token "
                          "(eos_token of the tokenizer or eos_token_id of generation_config.json)")
        return ids[: ends[-1] + 1]


CLOCK = re.compile(r"""strftime_now\(\s*(?:format\s*=\s*)?("[^"]*"|'[^']*')\s*\)""")


def frozen(template, date):
    """The template with the date written in where it asks the clock for it."""
    text = CLOCK.sub(lambda call: json.dumps(date.strftime(call.group(1)[1:-1])), template)
    if re.search(r"strftime_now\s*\(", text):
        raise invalid("chat template: asks for the time in a way that cannot be frozen, so that its token ids would "
                      "change from day to day; write a format in quotation marks into it")
    return text


def end_of_turn_ids(tokenizer, model_dir):
    ids = set()
    if tokenizer.eos_token_id is not None:
        ids.add(tokenizer.eos_token_id)
    path = os.path.join(model_dir, "generation_config.json")
    if os.path.isfile(path):
        with open(path, encoding="utf-8") as file:
            eos = json.load(file).get("eos_token_id")
        ids.update([eos] if isinstance(eos, int) else eos or [])
    return np.array(sorted(ids), dtype=np.int32)


def tokenizer_digest(model_dir: str) -> str:
    """SHA-256 over the files that decide token ids; equal digests give equal ids."""
    digest = hashlib.sha256()
    for name in TOKENIZER_FILES:
        path = os.path.join(model_dir, name)
        if os.path.isfile(path):
            with open(path, "rb") as file:
                body = file.read()
            digest.update(f"{name} {len(body)}\n".encode() + body)
    return digest.hexdigest()
