import json

import pytest
import tiny

from rpo_trainer import render
from rpo_trainer.tokens import ChatTokenizer

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "one two"},
            {"role": "assistant", "content": "three"}, {"role": "user", "content": "four"}]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny.write_model(str(folder), weights=False)
    return folder


def ask(capsys, tmp_path, model, prompts, expect=0):
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps(prompts))
    assert render.main(["--model", str(model), "--prompts", str(path)]) == expect
    printed = capsys.readouterr()
    return json.loads(printed.out) if printed.out else None, printed.err


def test_prompt_ids_are_those_that_training_takes(model):
    tokenizer = ChatTokenizer(str(model))
    prompt, _ = tokenizer.encode([(MESSAGES, "five")])[0]
    assert tokenizer.prompt_ids(MESSAGES).tolist() == prompt.tolist()


def test_equal_tokens_are_no_difference(capsys, tmp_path, model):
    ids = ChatTokenizer(str(model)).prompt_ids(MESSAGES).tolist()
    said, _ = ask(capsys, tmp_path, model, [{"id": "a", "messages": MESSAGES, "tokens": ids}] * 2)
    assert said == {"prompts": 2, "difference": None}


def test_a_difference_is_shown_where_it_begins(capsys, tmp_path, model):
    tokenizer = ChatTokenizer(str(model))
    ids = tokenizer.prompt_ids(MESSAGES).tolist()
    other = tokenizer.prompt_ids([MESSAGES[0], {"role": "user", "content": "one six"}, *MESSAGES[2:]]).tolist()
    said, _ = ask(capsys, tmp_path, model, [{"id": "a", "messages": MESSAGES, "tokens": ids},
                                            {"id": "b", "messages": MESSAGES, "tokens": other}])
    first = next(place for place, (one, two) in enumerate(zip(ids, other)) if one != two)
    assert said["difference"].startswith(f"prompt b is {len(other)} tokens at the endpoint and {len(ids)} here, the same up to token {first};")


@pytest.mark.parametrize("change", [lambda ids: ids[:-1], lambda ids: [*ids, ids[0]], lambda ids: [ids[0], *ids], lambda ids: [10**6],
                                    lambda ids: []])
def test_a_token_more_or_less_is_a_difference(capsys, tmp_path, model, change):
    ids = ChatTokenizer(str(model)).prompt_ids(MESSAGES).tolist()
    said, _ = ask(capsys, tmp_path, model, [{"id": "a", "messages": MESSAGES, "tokens": change(ids)}])
    assert "prompt a is" in said["difference"]


def test_a_file_of_another_form_is_refused(capsys, tmp_path, model):
    assert "must be a list" in ask(capsys, tmp_path, model, {"id": "a"}, expect=78)[1]
