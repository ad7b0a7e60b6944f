import json
import time

import pytest
import tiny

from rpo_trainer import flops, plan
from rpo_trainer.config import LoraConfig, TrainConfig
from rpo_trainer.folder import read_config
from rpo_trainer.weights import empty_model

LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 128256, "rms_norm_eps": 1e-5,
         "rope_theta": 500000.0, "max_position_embeddings": 131072, "num_key_value_heads": 8}
QWEN = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "rope_theta": 1e6, "max_position_embeddings": 32768,
        "use_sliding_window": False}
# The shapes of the published models, and how many parameters their makers count.
MODELS = {
    "llama-8b": ({**LLAMA, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
                  "num_attention_heads": 32}, 8_030_261_248),
    "llama-70b": ({**LLAMA, "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
                   "num_attention_heads": 64}, 70_553_706_496),
    "qwen-7b": ({**QWEN, "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "vocab_size": 152064,
                 "num_attention_heads": 28, "num_key_value_heads": 4}, 7_615_616_512),
    "qwen-72b": ({**QWEN, "hidden_size": 8192, "intermediate_size": 29568, "num_hidden_layers": 80, "vocab_size": 152064,
                  "num_attention_heads": 64, "num_key_value_heads": 8}, 72_706_203_648),
}


@pytest.fixture
def model_of(tmp_path):
    def write(name):
        (tmp_path / "config.json").write_text(json.dumps(MODELS[name][0]))
        return str(tmp_path)

    return write


def run(capsys, expect, *arguments):
    assert plan.main(list(arguments)) == expect
    printed = capsys.readouterr()
    return json.loads(printed.out) if printed.out else None, printed.err


@pytest.mark.parametrize("name", MODELS)
def test_parameters_are_counted_as_the_makers_count_them(name):
    shapes = flops.shapes_of(MODELS[name][0])
    assert shapes.L * flops.count(shapes.block_parameters()) + flops.count(shapes.root_parameters()) == MODELS[name][1]


@pytest.mark.parametrize("name, gpus, shard", [("llama-70b", 8, 8), ("llama-70b", 64, 8), ("qwen-72b", 16, 0), ("llama-8b", 8, 1)])
@pytest.mark.parametrize("lora", [{"rank": 8}, None], ids=["lora", "full"])
def test_a_trace_over_many_ranks_finds_the_sizes_that_the_plan_says(model_of, capsys, tmp_path, name, gpus, shard, lora):
    path = tiny.write_config(tmp_path / "train.json", lora=lora, shard=shard, dtype="bfloat16")
    started = time.monotonic()
    printed, _ = run(capsys, 0, "--model", model_of(name), "--config", path, "--gpus", str(gpus), "--memory-gb", "100000",
                     "--trace")
    assert time.monotonic() - started < 120
    assert printed["trace"]["world_size"] == gpus
    sizes = printed["trace"]["bytes"]
    kept = printed["trace"]["activation_bytes_per_token"]
    assert kept["full"]["counted"] < kept["selective"]["counted"] < 0.6 * kept["none"]["counted"]
    for kind in ("selective", "full"):
        assert kept[kind]["counted"] == kept[kind]["planned"]
    assert kept["none"]["counted"] == pytest.approx(kept["none"]["planned"], rel=0.001)
    # Rows are cut evenly here but for small tensors, so that the sum over a shard is close to the whole.
    whole = MODELS[name][1] * (2 if lora else 4) / (shard or gpus)
    assert whole <= sizes["weights"] < whole * 1.01 + 4e9 * bool(lora) / (shard or gpus)


def test_a_run_that_cannot_fit_is_refused_with_its_numbers(model_of, capsys):
    printed, told = run(capsys, 78, "--model", model_of("llama-70b"), "--gpus", "1", "--gpu", "H100")
    assert not printed["fits"] and printed["memory_gb"]["weights"] > 141
    assert "would need" in told and "weights 141" in told and "use more GPUs" in told


def test_the_largest_budget_is_the_largest_that_fits(model_of, capsys, tmp_path):
    folder = model_of("llama-8b")

    def ask(expect, **values):
        path = tiny.write_config(tmp_path / "train.json", dtype="bfloat16", **values)
        return run(capsys, expect, "--model", folder, "--config", path, "--gpu", "H100")

    by_kind = ask(0)[0]["largest_by_recompute"]
    assert 4_000 < by_kind["none"] < 12_000  # the estimate of the books: 58 GB for 8k tokens, 97 GB for 16k
    assert by_kind["none"] < by_kind["selective"] < by_kind["full"] and by_kind["full"] > 5 * by_kind["none"]
    for kind, largest in by_kind.items():
        ask(0, tokens_per_batch=largest - 10, recompute=kind)
        told = ask(78, tokens_per_batch=largest + 100, recompute=kind)[1]
        assert f"set tokens_per_batch to {largest}" in told
    # Left to itself it recomputes as little as fits.
    assert ask(0, tokens_per_batch=by_kind["none"] + 100)[0]["recompute"] == "selective"
    ask(78, tokens_per_batch=by_kind["full"] + 100)


def test_recomputing_is_chosen_by_what_fits():
    shapes = flops.shapes_of(MODELS["llama-8b"][0])
    config = TrainConfig(model_dir="m", data=["d"], out_dir="o", dtype="bfloat16")
    chosen = [plan.choose_recompute(shapes, config, 1, tokens, tokens // 2, 80 * 2**30)
              for tokens in (4_000, 14_000, 60_000)]
    assert chosen == ["none", "selective", "full"]


def test_operations_of_a_token_are_those_of_the_books():
    """Llama 3.1 8B at 4,096 tokens, causal: about 48.2 billion trained whole, 33.4 with adapters of rank 8."""
    shapes = flops.shapes_of(MODELS["llama-8b"][0])
    tokens = 4096
    pairs = flops.visible(tokens, [])
    full = flops.training_flops(shapes, tokens, pairs, tokens) / tokens
    lora = flops.training_flops(shapes, tokens, pairs, tokens, 8) / tokens
    assert full == pytest.approx(48.2e9, rel=0.02)
    assert lora == pytest.approx(33.4e9, rel=0.02)
    assert flops.forward_flops(shapes, tokens, pairs, tokens) / tokens == pytest.approx(16.1e9, rel=0.02)


def test_groups_save_the_tokens_that_the_formula_says():
    for prompt, response, n, gain in ((1000, 500, 3, 2.40), (1000, 500, 5, 3.43), (2000, 500, 8, 5.83)):
        ratio = (plan.tokens_per_pair("none", prompt, response, n) / plan.tokens_per_pair("groups", prompt, response, n))
        assert ratio == pytest.approx(gain, abs=0.01)


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_the_tiny_folders_have_the_sizes_that_their_config_says(base, tmp_path, family):
    import torch

    folder = base if family == "llama" else tiny.write_qwen(tmp_path / family, family)
    shapes = flops.shapes_of(read_config(folder))
    model = empty_model(folder, torch.float32)
    assert sum(p.numel() for p in model.parameters()) == (
        shapes.L * flops.count(shapes.block_parameters()) + flops.count(shapes.root_parameters()))
    from rpo_trainer.lora import add_adapters
    from rpo_trainer.trace import check_names

    config = TrainConfig(model_dir=folder, data=["d"], out_dir="o", lora=LoraConfig(rank=4))
    check_names(add_adapters(model, config.lora), shapes, config)


def write_index(folder, name, drop=(), more=()):
    """The safetensors index of a model whose files are not there."""
    shapes = flops.shapes_of(MODELS[name][0])
    names = [key for key in shapes.parameters() if key not in drop] + list(more)
    (folder / "model.safetensors.index.json").write_text(json.dumps({
        "metadata": {"total_size": 2 * MODELS[name][1]},
        "weight_map": {key: f"model-{number % 30 + 1:05d}-of-00030.safetensors" for number, key in enumerate(names)}}))


def test_the_index_says_what_is_stored_without_the_files(model_of, capsys, tmp_path):
    folder = model_of("llama-70b")
    arguments = ("--model", folder, "--memory-gb", "1000")
    assert run(capsys, 0, *arguments)[0]["stored_gb"] is None
    write_index(tmp_path, "llama-70b")
    printed = run(capsys, 0, *arguments)[0]
    assert printed["stored_gb"] == 141.107 and printed["stored_files"] == 30


def test_an_index_of_another_model_is_refused_by_the_name_that_differs(model_of, capsys, tmp_path):
    folder = model_of("llama-8b")
    write_index(tmp_path, "llama-8b", drop=["model.layers.31.mlp.up_proj.weight"])
    told = run(capsys, 78, "--model", folder)[1]
    assert "lacks model.layers.31.mlp.up_proj.weight" in told
    write_index(tmp_path, "llama-8b", more=["model.layers.32.mlp.up_proj.weight", "model.layers.0.self_attn.rotary_emb.inv_freq"])
    told = run(capsys, 78, "--model", folder)[1]
    assert "names model.layers.32.mlp.up_proj.weight" in told and "such names" not in told


def test_a_folder_of_one_file_is_known_by_its_header(base, capsys, tmp_path):
    printed = run(capsys, 0, "--model", base)[0]
    assert printed["stored_files"] == 1
    assert printed["stored_gb"] == round(4 * printed["parameters"] / 1e9, 3)


def test_shard_0_is_a_node(model_of, capsys, tmp_path):
    path = tiny.write_config(tmp_path / "train.json", shard=0, dtype="bfloat16")
    arguments = ("--model", model_of("llama-70b"), "--config", path, "--gpus", "16", "--gpu", "H200")
    assert run(capsys, 0, *arguments)[0]["mesh"] == {"replicate": 1, "shard": 16}
    assert run(capsys, 0, *arguments, "--gpus-per-node", "8")[0]["mesh"] == {"replicate": 2, "shard": 8}


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("lora", [{"rank": 4}, None], ids=["lora", "full"])
def test_a_trace_of_the_small_families_counts_what_a_block_keeps(base, capsys, tmp_path, family, lora):
    folder = base if family == "llama" else tiny.write_qwen(tmp_path / family, family)
    path = tiny.write_config(tmp_path / "train.json", lora=lora, dtype="bfloat16")
    trace = run(capsys, 0, "--model", folder, "--config", path, "--gpus", "2", "--trace")[0]["trace"]
    assert trace["activation_bytes_per_token"]["none"]["counted"] > 0


@pytest.mark.parametrize("largest, status", [(4096, "out_of_memory"), (100, "invalid")])
def test_a_batch_that_is_too_large_is_tried_again_if_a_smaller_one_fits(largest, status):
    document = {"memory_gb": {"weights": 16.1, "activations": 80.0}, "total_gb": 96.1, "gpu_gb": 80.0, "tokens_per_batch": 9000,
                "largest_tokens_per_batch": largest}
    failure = plan.too_large(document)
    assert failure.status == status and "96.1 GB of 80.0 GB" in failure.reason
