import concurrent.futures
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import urllib.request

import gguf as gguf_library
import numpy as np
import pytest
import tiny
import torch
from test_resume import environment

from rpo_trainer import gguf
from rpo_trainer.errors import TrainerError
from rpo_trainer.model import load_model
from rpo_trainer.tokens import ChatTokenizer


@pytest.fixture(scope="module")
def llama31(tmp_path_factory):
    """A tiny Llama with Llama 3.1's scaled positions."""
    folder = tiny.write_model(tmp_path_factory.mktemp("model") / "llama31")
    config = gguf.read_json(os.path.join(folder, "config.json"))
    config["rope_parameters"] = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
                                 "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    tiny.write_config(os.path.join(folder, "config.json"), **config)
    return folder


@contextlib.contextmanager
def serving(model, cache):
    process = subprocess.Popen(
        [sys.executable, "-m", "rpo_trainer.serve", "--model", model, "--alias", "tiny", "--parallel", "8",
         "--context", "256", "--threads", "1", "--cache", str(cache)], stdout=subprocess.PIPE, env=environment(), text=True)
    line = json.loads(process.stdout.readline())
    assert line["model"] == "tiny" and line["url"].startswith("http://127.0.0.1:") and line["url"].endswith("/v1")
    yield line["url"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0


@pytest.fixture(scope="module")
def server(llama31, tmp_path_factory):
    with serving(llama31, tmp_path_factory.mktemp("cache")) as url:
        yield url


def post(url, document):
    request = urllib.request.Request(url, json.dumps(document).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)


def dialogues():
    texts = [("red moon, 12 stars!", "it's  \"Ünï\" 日本\n\n.."), ("blue", "tree"), ("sand " * 40, "a lamp")]
    return [[{"role": "system", "content": system}, {"role": "user", "content": user}] for system, user in texts]


def test_prompts_are_token_exact_and_probabilities_equal_those_of_transformers(server, llama31):
    tokenizer, model = ChatTokenizer(llama31).tokenizer, load_model(llama31)
    root = server.removesuffix("/v1")
    # The bias makes the sampled token printable; reported probabilities are those before it.
    for messages in dialogues():
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        prompt = post(root + "/apply-template", {"messages": messages})["prompt"]
        served = post(root + "/tokenize", {"content": prompt, "add_special": True, "parse_special": True})["tokens"]
        assert served == ids
        reply = post(server + "/chat/completions", {"messages": messages, "max_tokens": 1, "logprobs": True,
                                                    "top_logprobs": 20, "logit_bias": {"300": 100}})
        assert reply["usage"]["prompt_tokens"] == len(ids)
        with torch.no_grad():
            logprobs = torch.log_softmax(model(torch.tensor([ids])).logits[0, -1], 0)
        entries = reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        assert len(entries) == 20
        for entry in entries:
            assert entry["logprob"] == pytest.approx(float(logprobs[entry["id"]]), abs=1e-4)


@pytest.mark.parametrize("family", ["qwen2", "qwen3"])
def test_qwen_models_are_served_with_the_probabilities_of_transformers(family, tmp_path):
    folder = tiny.write_qwen(tmp_path / family, family)
    model, rng = load_model(folder), random.Random(0)
    with serving(folder, tmp_path / "cache") as url:
        for length in (5, 90):
            ids = [rng.randrange(256, 350) for _ in range(length)]
            reply = post(url.removesuffix("/v1") + "/completion",
                         {"prompt": ids, "n_predict": 1, "n_probs": 50, "logit_bias": [[300, 100]]})
            with torch.no_grad():
                logprobs = torch.log_softmax(model(torch.tensor([ids])).logits[0, -1], 0)
            for entry in reply["completion_probabilities"][0]["top_logprobs"]:
                assert entry["logprob"] == pytest.approx(float(logprobs[entry["id"]]), abs=1e-4)


def test_greedy_tokens_equal_those_of_transformers(server, llama31):
    tokenizer, model = ChatTokenizer(llama31).tokenizer, load_model(llama31)
    root = server.removesuffix("/v1")
    for messages in dialogues():
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        expected = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), max_new_tokens=24,
                                  do_sample=False, eos_token_id=None, pad_token_id=2)[0, len(ids):].tolist()
        reply = post(root + "/completion", {"prompt": ids, "temperature": 0, "n_predict": 24, "ignore_eos": True,
                                            "return_tokens": True})
        assert reply["tokens"] == expected


def test_a_reply_depends_on_the_request_and_its_seed_alone(server):
    requests = [{"messages": dialogues()[number % 3], "seed": number, "max_tokens": 24} for number in range(16)]
    ask = lambda request: post(server + "/chat/completions", request)["choices"][0]["message"]["content"]
    alone = [ask(request) for request in requests]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(ask, reversed(requests)))[::-1]
    assert together == alone
    assert len(set(alone)) > 10


def test_n_choices_and_a_json_schema_are_served(server):
    reply = post(server + "/chat/completions", {"messages": dialogues()[0], "n": 3, "seed": 1, "max_tokens": 12})
    assert len({choice["message"]["content"] for choice in reply["choices"]}) == 3
    schema = {"type": "object", "properties": {"pass": {"type": "boolean"}}, "required": ["pass"], "additionalProperties": False}
    reply = post(server + "/chat/completions", {
        "messages": dialogues()[0], "max_tokens": 60,
        "response_format": {"type": "json_schema", "json_schema": {"name": "verdict", "schema": schema}}})
    assert set(json.loads(reply["choices"][0]["message"]["content"])) == {"pass"}


def test_a_server_that_cannot_start_says_why(tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF but not really")
    for model, reason in ((str(tmp_path / "nowhere"), "no such model"), (str(broken), "llama.cpp refuses it")):
        ended = subprocess.run([sys.executable, "-m", "rpo_trainer.serve", "--model", model], capture_output=True,
                               text=True, env=environment(), timeout=60)
        assert ended.returncode == 78 and reason in ended.stderr and ended.stdout == ""


def test_a_folder_is_converted_once_and_again_when_anything_of_it_changes(base, tmp_path, monkeypatch):
    from rpo_trainer.export import copy_side_files

    folder, cache = tmp_path / "model", tmp_path / "cache"
    folder.mkdir()
    copy_side_files(base, folder)
    with open(os.path.join(base, "model.safetensors"), "rb") as file:
        weights = file.read()
    (folder / "model.safetensors").write_bytes(weights)
    first = gguf.cached(str(folder), str(cache))
    with monkeypatch.context() as patch:
        patch.setattr(gguf, "convert", lambda *_: pytest.fail("converted again"))
        assert gguf.cached(str(folder), str(cache)) == first
    assert os.listdir(cache) == [os.path.basename(first)]

    (folder / "model.safetensors").write_bytes(weights[:-4] + b"\0\0\0\0")
    second = gguf.cached(str(folder), str(cache))
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    third = gguf.cached(str(folder), str(cache))
    assert len({first, second, third}) == len(os.listdir(cache)) == 3


def test_a_conversion_that_fails_leaves_nothing_in_the_cache(base, tmp_path):
    from rpo_trainer.export import copy_side_files

    copy_side_files(base, tmp_path)
    with pytest.raises(TrainerError, match="no safetensors"):
        gguf.cached(str(tmp_path), str(tmp_path / "cache"))
    assert os.listdir(tmp_path / "cache") == []


def test_bfloat16_weights_keep_their_values_in_the_file(base, tmp_path):
    from rpo_trainer.export import copy_side_files
    from safetensors.torch import load_file, save_file

    copy_side_files(base, tmp_path)
    tensors = {name: tensor.bfloat16() for name, tensor in load_file(os.path.join(base, "model.safetensors")).items()}
    save_file(tensors, str(tmp_path / "model.safetensors"))
    for outtype, name in (("auto", "F32"), ("bf16", "BF16")):
        out = str(tmp_path / f"{outtype}.gguf")
        assert gguf.main(["--model", str(tmp_path), "--out", out, "--outtype", outtype]) == 0
        stored = {tensor.name: tensor for tensor in gguf_library.GGUFReader(out).tensors}
        assert stored["token_embd.weight"].tensor_type.name == name
        assert stored["output_norm.weight"].tensor_type.name == "F32"
        up = gguf_library.quants.dequantize(stored["blk.1.ffn_up.weight"].data, stored["blk.1.ffn_up.weight"].tensor_type)
        assert np.array_equal(up, tensors["model.layers.1.mlp.up_proj.weight"].float().numpy())


def test_what_llama_cpp_would_read_otherwise_is_refused(base, tmp_path):
    from rpo_trainer.export import copy_side_files

    copy_side_files(base, tmp_path)
    with pytest.raises(TrainerError, match="no safetensors"):
        gguf.convert(str(tmp_path), str(tmp_path / "out.gguf"))
    with pytest.raises(TrainerError, match="splits text in a way"):
        gguf.pre_tokenizer({"type": "Whitespace"})
    with pytest.raises(TrainerError, match="rope type yarn"):
        gguf.rope_factors({"rope_parameters": {"rope_type": "yarn"}, "hidden_size": 8, "num_attention_heads": 2})
    assert not [name for name in os.listdir(tmp_path) if "gguf" in name]
