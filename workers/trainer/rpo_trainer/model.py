"""The policy: a Hugging Face decoder, its head, and what of it is trained.

Legend: T tokens of a batch, S sequences, D hidden size, V vocabulary.
"""

import functools
import os
import shutil

import torch
from torch import nn

from . import attention, parallel, weights
from .errors import invalid
from .logprob import sequence_logprobs
from .lora import add_adapters, init_adapters

RECOMPUTE = ("none", "selective", "full")


class Network(nn.Module):
    """Decoder and head as one module, so that sharding gathers embeddings, norm and head
    once for all chunks of the head."""

    def __init__(self, lm, autocast):
        super().__init__()
        self.lm, self.autocast = lm, autocast

    def forward(self, ids_T, positions_T, segments, finish):
        """finish(hidden_TD, weight_VD) makes of the last hidden states what is wanted."""
        # The head is left out of it: its logits are float32.
        with torch.autocast(ids_T.device.type, torch.bfloat16, enabled=self.autocast):
            hidden_TD = self.lm.model(input_ids=ids_T[None], position_ids=positions_T[None], segments=segments,
                                      use_cache=False).last_hidden_state[0]
        return finish(hidden_TD, self.lm.lm_head.weight)


class Policy:
    """A causal language model that gives sequence log-probabilities.

    Frozen weights are held in the compute type, trained ones in float32.
    """

    def __init__(self, model, group, dtype, lora=None, attention_kind="auto"):
        """model: with its adapters, on the device, sharded if the group's mesh says so."""
        self.model, self.lora, self.device = model, lora, group.device
        self.attention_kind = attention.kind_of(attention_kind, group.device, dtype)
        self.model.eval()  # dropout belongs to the adapters alone
        if lora is not None and lora.dropout > 0:
            for module in model.modules():
                if hasattr(module, "lora_A"):
                    module.train()
        self.trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        # When all weights are trained in bfloat16, autocast does the casting, or else FSDP.
        self.network = Network(model, dtype == torch.bfloat16 and lora is None and bool(self.trainable)
                               and not group.sharded)

    def logprobs(self, batch, chunk_tokens=0):
        """Sum of response-token log-probabilities per sequence, [S] float32."""
        segments = attention.segments_of(batch.spans, self.device, self.attention_kind)
        return self(batch.ids_T, batch.positions_T, segments, lambda hidden_TD, weight_VD: sequence_logprobs(
            hidden_TD, weight_VD, batch, chunk_tokens))

    def __call__(self, ids_T, positions_T, segments, finish):
        """Run the network; without segments the tokens are one causal sequence."""
        return self.network(ids_T.to(self.device), positions_T.to(self.device), segments, finish)


def build(model_dir, group, dtype, *, init="weights", adapter=None, seed=0, lora=None, trained=True, recompute="none",
          compiler=None, attention_kind="auto"):
    """Read a model folder into a policy on the group's mesh.

    Weights come straight from the files to where they are used: the model is laid out
    without storage, sharded, and every rank reads its own slices. adapter: PEFT folder of a
    policy to start from, merged while reading; lora: the new adapters to be trained;
    compiler: name of a backend of torch.compile for the blocks, or None.
    """
    check_compiler(compiler)
    held = torch.float32 if trained and lora is None else dtype
    model = weights.random_model(model_dir, seed) if init == "random" else weights.empty_model(model_dir, held)
    if not trained:
        model.requires_grad_(False)
    if lora is not None:
        add_adapters(model, lora)
    for layer in model.model.layers:
        layer.forward = block_forward(layer.forward, recompute, compiler, lora.rank if lora else 0)
    if init == "random":
        model.to(group.device)
    elif not group.sharded or model.config.tie_word_embeddings:
        weights.load(model, model_dir, group.device, adapter)
    policy = Policy(model, group, dtype, lora, attention_kind)
    if group.sharded:
        parallel.shard(policy.network, model.model.layers, group.mesh, dtype)
        if init != "random" and not model.config.tie_word_embeddings:
            weights.load(model, model_dir, group.device, adapter)
    if lora is not None:
        init_adapters(model, seed)
    policy.trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    return policy


def load_model(model_dir, dtype=torch.float32, init="weights", seed=0):
    """A model folder as a transformers model on the CPU."""
    if init == "random":
        return weights.random_model(model_dir, seed)
    return weights.load(weights.empty_model(model_dir, dtype), model_dir, torch.device("cpu")).eval()


def check_compiler(compiler):
    """Refuse inductor without a C compiler, which it would miss in the midst of the first step."""
    names = [os.environ.get("CC"), os.environ.get("CXX"), "cc", "gcc", "clang", "g++", "clang++"]
    if compiler == "inductor" and not any(name and shutil.which(name) for name in names):
        raise invalid("compile: needs a C compiler (cc, gcc or clang) on the PATH, and there is none; install one or "
                      "set compile to false")


def block_forward(forward, recompute, compiler, rank):
    """A block's forward pass, compiled and recomputed as asked; rank: of its adapters, or 0.

    Recomputation is around the compiled code: inside it, the attention that is left out of
    the compilation would end the compilation of the whole block. A compiled block keeps
    its products and recomputes what is cheap by itself, so selective adds nothing to it.
    """
    if compiler:
        forward = torch.compile(forward, dynamic=True, backend=compiler)
    if recompute == "none" or compiler and recompute == "selective":
        return forward
    return functools.partial(recomputed, forward, recompute, rank)


def recomputed(forward, kind, rank, *arguments, **keywords):
    """A block whose activations are computed again in the backward pass.

    full keeps the block's input alone; selective also what the products with the model's
    own matrices and attention gave, which are most of the time and half of the memory.
    """
    from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

    if not torch.is_grad_enabled():
        return forward(*arguments, **keywords)
    more = {} if kind == "full" else {
        "context_fn": functools.partial(create_selective_checkpoint_contexts, functools.partial(choose, rank))}
    return checkpoint(forward, *arguments, use_reentrant=False, **more, **keywords)


def choose(rank, context, operator, *arguments, **keywords):
    from torch.utils.checkpoint import CheckpointPolicy

    kept = is_kept(rank, operator, arguments)
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE


ATTENTION = ("aten._scaled_dot_product", "torch_attn._varlen_attn.", "flex_attention")
# Which argument of a product holds what is multiplied.
FACTOR = {"aten.mm.": 0, "aten.addmm.": 1}


def is_kept(rank, operator, arguments):
    """Whether selective recomputation keeps what an operator gives.

    B times the low inner values is as large as what W gives, and cheap: it is not kept, or
    selective would keep more than none does.
    """
    name = str(operator)
    if name.startswith(ATTENTION):
        return True
    place = next((place for start, place in FACTOR.items() if name.startswith(start)), None)
    return place is not None and arguments[place].shape[-1] > rank
