"""Token ids against apply_chat_template, on templates with the features of the families.

The hub is out of reach here: the templates are our own, with the same features (a date in
the system turn, roles in marked headers, a default system turn, an empty thought). Set
RPO_TEST_MODEL to a folder of a real model to check that one, too.
"""

import os

import pytest
import tiny

from rpo_trainer.errors import TrainerError
from rpo_trainer.tokens import ChatTokenizer

# Llama 3.x: headers, a date from the clock or a keyword, text trimmed, no newline at the end, tools
# told in the system turn, and answers of tools under a role of their own.
LLAMA3 = (
    "{{- bos_token }}"
    "{%- if not tools is defined %}{%- set tools = none %}{%- endif %}"
    "{%- if not day is defined %}{%- if strftime_now is defined %}{%- set day = strftime_now('%d %b %Y') %}"
    "{%- else %}{%- set day = '01 Jan 2020' %}{%- endif %}{%- endif %}"
    "{%- if messages[0]['role'] == 'system' %}{%- set system = messages[0]['content'] | trim %}{%- set rest = messages[1:] %}"
    "{%- else %}{%- set system = '' %}{%- set rest = messages %}{%- endif %}"
    "{{- '<|system|>\n\n' }}{%- if tools is not none %}{{- 'Runs: python\n' }}{%- endif %}"
    "{{- 'Known until: then\nToday: ' + day + '\n\n' + system + '<|end|>' }}"
    "{%- for message in rest %}"
    "{%- if message.role == 'tool' %}{{- '<|user|>\n\nreturned: ' + (message.content | tojson) + '<|end|>' }}"
    "{%- elif message.tool_calls is defined and message.tool_calls is not none %}{{- raise_exception('calls are not known') }}"
    "{%- else %}{{- '<|' + message['role'] + '|>\n\n' + message['content'] | trim + '<|end|>' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|assistant|>\n\n' }}{%- endif %}")

# Qwen 2.5: a default system turn, a newline after every end of turn, answers of tools that follow
# each other in one user turn.
QWEN_TOOLS = (
    "{%- if message.role == 'tool' %}"
    "{%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|user|>' }}{%- endif %}"
    "{{- '\n<answer>\n' + message.content + '\n</answer>' }}"
    "{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|end|>\n' }}{%- endif %}")
QWEN25 = (
    "{%- if tools %}{{- '<|system|>\nTools: ' + (tools | tojson) + '<|end|>\n' }}"
    "{%- elif messages[0]['role'] != 'system' %}{{- '<|system|>\nYou help.<|end|>\n' }}{%- endif %}"
    "{%- for message in messages %}" + QWEN_TOOLS +
    "{%- else %}{{- '<|' + message.role + '|>\n' + message.content + '<|end|>\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|assistant|>\n' }}{%- endif %}")

# Qwen 3: found from the end, the last question; thoughts before it are dropped, a turn after it has
# one, if only an empty one.
QWEN3 = (
    "{%- set at = namespace(question=messages | length - 1, found=false) %}"
    "{%- for message in messages[::-1] %}{%- if not at.found and message.role == 'user' %}"
    "{%- set at.found = true %}{%- set at.question = messages | length - 1 - loop.index0 %}{%- endif %}{%- endfor %}"
    "{%- for message in messages %}" + QWEN_TOOLS +
    "{%- elif message.role == 'assistant' %}"
    "{%- set thought = '' %}{%- set content = message.content %}"
    "{%- if '</think>' in content %}"
    "{%- set thought = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}"
    "{%- set content = content.split('</think>')[-1].lstrip('\n') %}{%- endif %}"
    "{{- '<|assistant|>\n' }}"
    "{%- if loop.index0 > at.question and (loop.last or thought) %}{{- '<think>\n' + thought + '\n</think>\n\n' }}{%- endif %}"
    "{{- content + '<|end|>\n' }}"
    "{%- else %}{{- '<|' + message.role + '|>\n' + message.content + '<|end|>\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|assistant|>\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}{%- endif %}")

DIALOGUES = [
    [{"role": "user", "content": "star"}],
    [{"role": "system", "content": "  red moon\n"}, {"role": "user", "content": "12 stars, \"it's\"  日本 ✨"}],
    [{"role": "system", "content": "sea"}, {"role": "user", "content": "one"}, {"role": "assistant", "content": "two <|user|>"},
     {"role": "user", "content": "three"}],
    [{"role": "user", "content": "one"}, {"role": "assistant", "content": "<think>\nred\n</think>\n\nblue"},
     {"role": "user", "content": "two"}],
    [{"role": "system", "content": "sea"}, {"role": "user", "content": "how warm"}, {"role": "assistant", "content": "I look"},
     {"role": "tool", "content": "{\"degrees\": 12}"}, {"role": "tool", "content": "wind"}],
]
REPLIES = ["blue sea", "it's  a\n\nlist:\n1. ✓", "x"]


def check(tokenizer, dialogue, reply):
    own = tokenizer.tokenizer
    [(prompt, response)] = tokenizer.encode([(dialogue, reply)])
    rendered = own.apply_chat_template(dialogue, add_generation_prompt=True, return_dict=False, **tokenizer.given)
    whole = own.apply_chat_template([*dialogue, {"role": "assistant", "content": reply}], return_dict=False, **tokenizer.given)
    assert prompt.tolist() == rendered
    both = [*prompt.tolist(), *response.tolist()]
    assert whole[: len(both)] == both and response[-1] in tokenizer.end_ids
    # What is left out is white space after the end of the turn.
    assert own.decode(whole[len(both):]).strip() == ""
    return own.decode(prompt), own.decode(response)


@pytest.fixture
def made(tmp_path):
    def make(template, **values):
        fast = tiny.write_tokenizer(str(tmp_path))
        fast.chat_template = template
        fast.save_pretrained(str(tmp_path))
        return ChatTokenizer(str(tmp_path), **values)

    return make


@pytest.mark.parametrize("template", [LLAMA3, QWEN25, QWEN3, tiny.TEMPLATE], ids=["llama 3", "qwen 2.5", "qwen 3", "plain"])
def test_token_ids_are_those_of_the_template(made, template):
    tokenizer = made(template)
    for dialogue in DIALOGUES:
        for reply in REPLIES:
            check(tokenizer, dialogue, reply)


def test_a_template_that_asks_for_the_date_is_told_a_fixed_one(made):
    assert "Today: 26 Jul 2024" in check(made(LLAMA3), DIALOGUES[0], "x")[0]
    assert "Today: 02 Feb 2026" in check(made(LLAMA3, date="2026-02-02"), DIALOGUES[0], "x")[0]


def test_a_template_whose_date_cannot_be_frozen_is_refused(made):
    with pytest.raises(TrainerError, match="cannot be frozen"):
        made("{%- set form = '%Y' %}{{- strftime_now(form) }}" + QWEN25)


def test_an_empty_thought_belongs_to_the_prompt_unless_thinking_is_asked_for(made):
    prompt, response = check(made(QWEN3), DIALOGUES[0], "blue")
    assert prompt.endswith("<think>\n\n</think>\n\n") and response == "blue<|end|>"
    prompt, response = check(made(QWEN3, thinking=True), DIALOGUES[0], "blue")
    assert prompt.endswith("<|assistant|>\n") and response == "<think>\n\n</think>\n\nblue<|end|>"


def test_earlier_thoughts_are_dropped_and_a_reply_keeps_its_own(made):
    """A reply with a thought in the form of the template is trained on whole; the earlier turn's is gone."""
    tokenizer = made(QWEN3, thinking=True)
    prompt, response = check(tokenizer, DIALOGUES[3], "<think>\ngreen\n</think>\n\nstar")
    assert "red" not in prompt and "blue<|end|>" in prompt
    assert response == "<think>\ngreen\n</think>\n\nstar<|end|>"
    # In another form the template would write it anew: what is trained would not be what was sampled.
    with pytest.raises(TrainerError, match="does not contain"):
        tokenizer.encode([(DIALOGUES[3], "<think>green</think>star")])
    # Without thinking the prompt holds an empty thought already: a second one cannot be told apart.
    with pytest.raises(TrainerError, match="no prefix"):
        made(QWEN3).encode([(DIALOGUES[3], "<think>\ngreen\n</think>\n\nstar")])


def test_answers_of_tools_that_follow_each_other_share_a_turn(made):
    prompt, response = check(made(QWEN25), DIALOGUES[4], "cold")
    assert prompt.count("<|user|>") == 2 and "<answer>\nwind\n</answer><|end|>" in prompt and response == "cold<|end|>"
    prompt, _ = check(made(LLAMA3), DIALOGUES[4], "cold")
    assert 'returned: "wind"<|end|>' in prompt and "Runs: python" not in prompt


def test_a_template_that_cuts_the_reply_is_refused(made):
    tokenizer = made(QWEN25.replace("message.content +", "message.content[:3] +"))
    with pytest.raises(TrainerError, match="does not contain"):
        tokenizer.encode([(DIALOGUES[0], "a long reply")])


if os.environ.get("RPO_TEST_MODEL"):
    def test_token_ids_of_the_folder_in_the_environment_are_those_of_its_template():
        tokenizer = ChatTokenizer(os.environ["RPO_TEST_MODEL"])
        for dialogue in DIALOGUES:
            for reply in REPLIES:
                prompt, response = check(tokenizer, dialogue, reply)
                assert reply.strip() in response
