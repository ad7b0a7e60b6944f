import json
import os

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from rpo_trainer import export
from rpo_trainer.lora import LoraLinear, add_adapters, init_adapters
from rpo_trainer.config import LoraConfig
from rpo_trainer.model import load_model

IDS = torch.tensor([[0, 3, 270, 280, 300, 1, 4, 310, 40, 50, 1, 5]])


@pytest.fixture
def trained(start, pairs_file):
    """out_dir of a run whose adapter has moved far enough to see."""
    return start(pairs_file, max_steps=8, learning_rate=2e-2, export=["adapter", "merged"])


def test_every_linear_layer_of_the_blocks_is_adapted_and_untrained_it_changes_nothing(base):
    plain = load_model(base)
    adapted = init_adapters(add_adapters(load_model(base), LoraConfig(rank=4)), seed=0)
    layers = [name for name, module in adapted.named_modules() if isinstance(module, LoraLinear)]
    assert len(layers) == 2 * 7 and not any("lm_head" in name for name in layers)
    with torch.no_grad():
        assert torch.equal(plain(IDS).logits, adapted(IDS).logits)
    assert {name.rsplit(".", 1)[1] for name, p in adapted.named_parameters() if p.requires_grad} == {"lora_A", "lora_B"}


def test_the_adapter_start_depends_on_the_seed_alone(base):
    starts = [init_adapters(add_adapters(load_model(base), LoraConfig()), seed).model.layers[1].mlp.up_proj.lora_A for seed in (3, 3, 4)]
    assert torch.equal(starts[0], starts[1]) and not torch.equal(starts[0], starts[2])


def test_peft_loads_the_adapter_with_equal_logits_and_the_merged_model_has_them_too(base, trained):
    from peft import PeftModel

    with torch.no_grad():
        plain = load_model(base)(IDS).logits
        peft = PeftModel.from_pretrained(load_model(base), os.path.join(trained, "adapter"))(IDS).logits
        merged = load_model(os.path.join(trained, "merged"))(IDS).logits
        ours = adapted_logits(base, os.path.join(trained, "adapter"))
    assert (plain - ours).abs().max() > 0.05
    torch.testing.assert_close(ours, peft, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours, merged, rtol=1e-4, atol=1e-4)


def adapted_logits(base, adapter):
    model = add_adapters(load_model(base), LoraConfig())
    weights = load_file(os.path.join(adapter, "adapter_model.safetensors"))
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for name, parameter in trainable.items():
            parameter.copy_(weights[f"base_model.model.{name}.weight"])
        return model(IDS).logits


def test_the_command_merges_as_the_run_does_and_keeps_files_names_and_types(base, trained, tmp_path):
    """The base here is bfloat16 in two files with an index, as the hub has large models."""
    sharded = tmp_path / "sharded"
    sharded.mkdir()
    export.copy_side_files(base, sharded)
    tensors = {name: tensor.bfloat16() for name, tensor in load_file(os.path.join(base, "model.safetensors")).items()}
    names = sorted(tensors)
    halves = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, members in halves.items():
        save_file({name: tensors[name] for name in members}, str(sharded / file), metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, members in halves.items() for name in members}}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))

    out = str(tmp_path / "merged")
    assert export.main(["--model", str(sharded), "--adapter", os.path.join(trained, "adapter"), "--out", out]) == 0
    whole = load_file(os.path.join(trained, "merged", "model.safetensors"))
    for file, members in halves.items():
        merged = load_file(os.path.join(out, file))
        assert sorted(merged) == sorted(members)
        for name, tensor in merged.items():
            assert tensor.dtype == torch.bfloat16
            torch.testing.assert_close(tensor.float(), whole[name], rtol=2e-2, atol=2e-3)
    assert load_model(out)(IDS).logits.shape == (1, IDS.shape[1], 352)


def test_an_adapter_of_another_model_is_not_merged(base, trained, tmp_path, capsys):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    source = os.path.join(trained, "adapter")
    weights = load_file(os.path.join(source, "adapter_model.safetensors"))
    save_file({name.replace("layers.1", "layers.7"): tensor for name, tensor in weights.items()},
              str(adapter / "adapter_model.safetensors"))
    with open(os.path.join(source, "adapter_config.json")) as file:
        (adapter / "adapter_config.json").write_text(file.read())
    assert export.main(["--model", base, "--adapter", str(adapter), "--out", str(tmp_path / "out")]) == 78
    assert "no layer model.layers.7" in capsys.readouterr().err
    assert not os.path.exists(tmp_path / "out")


@pytest.mark.parametrize("family", ["qwen2", "qwen3"])
def test_qwen_folders_are_trained_by_the_same_path(start, tmp_path, pairs_g3, family):
    folder = tiny.write_qwen(tmp_path / family, family)
    out = start(pairs_g3, "run", model_dir=folder, export=["adapter", "merged"], learning_rate=2e-2)
    result = tiny.read_result(out)
    assert result["status"] == "done" and result["loss_first"] == pytest.approx(0.77096, abs=2e-5)
    with torch.no_grad():
        ours = adapted_logits(folder, result["adapter_dir"])
        torch.testing.assert_close(load_model(result["merged_dir"])(IDS).logits, ours, rtol=1e-4, atol=1e-4)


def test_a_run_from_a_promoted_adapter_starts_as_its_own_reference_and_exports_both_as_one(start, base, trained, pairs_g3):
    from peft import PeftModel

    promoted = os.path.join(trained, "adapter")
    out = start(pairs_g3, "second", adapter=promoted, learning_rate=2e-2, lora={"rank": 4}, max_steps=4,
                export=["adapter", "merged"])
    result = tiny.read_result(out)
    assert result["status"] == "done" and result["loss_first"] == pytest.approx(0.77096, abs=2e-5)
    with torch.no_grad():
        merged = load_model(result["merged_dir"])(IDS).logits
        first = load_model(os.path.join(trained, "merged"))(IDS).logits
        peft = PeftModel.from_pretrained(load_model(base), result["adapter_dir"])(IDS).logits
    assert (merged - first).abs().max() > 0.05
    torch.testing.assert_close(peft, merged, rtol=1e-4, atol=1e-4)
    # The reference of the base is not that of the promoted policy.
    refused = start(pairs_g3, "refused", reference=[os.path.join(out, "reference.parquet")], expect=78)
    assert "computed with other weights" in tiny.read_result(refused)["reason"]


def test_full_fine_tuning_starts_from_a_promoted_adapter_too(start, trained, pairs_g3):
    out = start(pairs_g3, "full", adapter=os.path.join(trained, "adapter"), lora=None, max_steps=1, learning_rate=1e-9,
                export=["merged"])
    with torch.no_grad():
        torch.testing.assert_close(load_model(os.path.join(out, "merged"))(IDS).logits,
                                   load_model(os.path.join(trained, "merged"))(IDS).logits, rtol=1e-4, atol=1e-4)
