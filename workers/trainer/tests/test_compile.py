"""torch.compile per block: the same gradients, with every way of recomputing, and few compilations.

aot_eager goes the compiler's whole way but for its code generation, and needs no C compiler.
"""

import shutil

import pytest
import tiny
import torch
from gradients import distance, grouped_examples, step
from torch._dynamo.testing import CompileCounterWithBackend
from transformers import LlamaConfig, LlamaForCausalLM

from rpo_trainer.model import RECOMPUTE
from rpo_trainer.parallel import Group

BAR = 1e-6  # of the gradient's norm


@pytest.fixture
def group():
    group = Group("cpu", 1)
    yield group
    group.close()
    torch._dynamo.reset()


def compiled_step(model_dir, group, backend, recompute="none"):
    """Micro-batches of several lengths, so that a compilation for one length alone would show."""
    torch._dynamo.reset()
    return step(model_dir, group, grouped_examples(1), "groups", tokens_per_batch=200,
                build_more={"compiler": backend, "recompute": recompute})


@pytest.mark.parametrize("recompute", RECOMPUTE)
def test_compiled_blocks_have_the_gradients_of_uncompiled_ones(base, group, recompute):
    counter = CompileCounterWithBackend("aot_eager")
    compiled = compiled_step(base, group, counter, recompute)
    assert counter.frame_count > 0, "nothing was compiled"
    assert distance(compiled, compiled_step(base, group, None, recompute)) < BAR


def test_blocks_share_their_compilations(group, tmp_path):
    """As many for a deep model as for a flat one: else 80 blocks would take an hour, or pass the limit of
    recompilations and run uncompiled without a word."""
    counts = []
    for layers in (2, 5):
        folder = str(tmp_path / str(layers))
        tokenizer = tiny.write_tokenizer(folder)
        LlamaForCausalLM(LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=layers,
            num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=512)).save_pretrained(folder)
        counter = CompileCounterWithBackend("aot_eager")
        compiled_step(folder, group, counter)
        counts.append(counter.frame_count)
    assert 0 < counts[0] == counts[1] <= 12, counts


if any(shutil.which(name) for name in ("cc", "gcc", "clang", "g++", "clang++")):
    def test_a_run_with_compile_has_the_losses_of_one_without(start, pairs_file):
        """Through the config, with the default compiler, which needs a C compiler; a machine that has none
        runs the test below alone."""
        torch._dynamo.reset()
        compiled, plain = (start(pairs_file, f"compile-{flag}", compile=flag, max_steps=2, held_out_fraction=0)
                           for flag in (True, False))
        for one, other in zip(tiny.read_events(compiled, "step"), tiny.read_events(plain, "step"), strict=True):
            assert one["loss"] == pytest.approx(other["loss"], abs=1e-5)
            assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-4)


def test_compile_without_a_c_compiler_is_refused_before_the_weights_are_read(start, pairs_file, monkeypatch):
    for name in ("CC", "CXX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    out = start(pairs_file, compile=True, expect=78)
    assert "needs a C compiler" in tiny.read_result(out)["reason"]
