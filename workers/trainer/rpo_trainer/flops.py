"""Sizes and operations of a decoder, from its config.json alone.

What is needed, and nothing that is only done (recomputed activations, the logits' second
pass, padding, prompts that are held twice):

    products of the blocks    2 * N_block * T forward, as much for the gradient of the input,
                              as much for that of the weights if they are trained
    attention                 4 * H * d for every (query, key) that may see each other, per
                              layer; twice that backward. Only visible keys count: causal,
                              and over trees
    head                      2 * V * D for every response token; backward as for products
    adapters                  3 * 2 * N_lora * T

Legend: D hidden size, I intermediate size, L layers, H heads, G key-value heads, d head
size, V vocabulary, R rank, T tokens, N response tokens, A visible (query, key) pairs.
"""

from dataclasses import dataclass

# Dense bfloat16 operations per second and memory in bytes, as the makers state them.
DEVICES = {
    "A100": (312e12, 80 * 2**30),
    "H100": (989e12, 80 * 2**30),
    "H200": (989e12, 141 * 10**9),
    "B200": (2250e12, 180 * 10**9),
}


@dataclass(slots=True, frozen=True)
class Shapes:
    D: int
    I: int
    L: int
    H: int
    G: int
    d: int
    V: int
    tied: bool
    attention_bias: bool
    output_bias: bool
    mlp_bias: bool
    head_norms: bool

    def linears(self):
        """{name: (out, in)} of a block."""
        return {"self_attn.q_proj": (self.H * self.d, self.D), "self_attn.k_proj": (self.G * self.d, self.D),
                "self_attn.v_proj": (self.G * self.d, self.D), "self_attn.o_proj": (self.D, self.H * self.d),
                "mlp.gate_proj": (self.I, self.D), "mlp.up_proj": (self.I, self.D), "mlp.down_proj": (self.D, self.I)}

    def block_parameters(self):
        """{name: shape} of a block."""
        parameters = {}
        for name, shape in self.linears().items():
            parameters[f"{name}.weight"] = shape
            kind = name.rpartition(".")[2]
            if (self.mlp_bias if name.startswith("mlp") else
                    self.output_bias if kind == "o_proj" else self.attention_bias):
                parameters[f"{name}.bias"] = shape[:1]
        for name in ("input_layernorm", "post_attention_layernorm"):
            parameters[f"{name}.weight"] = (self.D,)
        if self.head_norms:
            for name in ("self_attn.q_norm", "self_attn.k_norm"):
                parameters[f"{name}.weight"] = (self.d,)
        return parameters

    def root_parameters(self):
        parameters = {"model.embed_tokens.weight": (self.V, self.D), "model.norm.weight": (self.D,)}
        if not self.tied:
            parameters["lm_head.weight"] = (self.V, self.D)
        return parameters

    def parameters(self):
        """{name: shape} of the whole model, without adapters."""
        blocks = {f"model.layers.{layer}.{name}": shape for layer in range(self.L)
                  for name, shape in self.block_parameters().items()}
        return {**self.root_parameters(), **blocks}

    def adapter_parameters(self, rank):
        """{name: shape} of a block's adapters."""
        parameters = {}
        for name, (out, into) in self.linears().items():
            parameters[f"{name}.lora_A"] = (rank, into)
            parameters[f"{name}.lora_B"] = (out, rank)
        return parameters

    @property
    def products(self):
        """N_block of all layers: weights that every token is multiplied with."""
        return self.L * sum(out * into for out, into in self.linears().values())

    def adapter_products(self, rank):
        return self.L * sum(rank * (out + into) for out, into in self.linears().values())


def count(parameters):
    total = 0
    for shape in parameters.values():
        size = 1
        for extent in shape:
            size *= extent
        total += size
    return total


def shapes_of(config):
    """config: the document of a config.json of a supported family."""
    family = config.get("model_type")
    heads = config["num_attention_heads"]
    bias = bool(config.get("attention_bias", False))
    return Shapes(
        D=config["hidden_size"], I=config["intermediate_size"], L=config["num_hidden_layers"], H=heads,
        G=config.get("num_key_value_heads") or heads, d=config.get("head_dim") or config["hidden_size"] // heads,
        V=config["vocab_size"], tied=bool(config.get("tie_word_embeddings", False)),
        attention_bias=family == "qwen2" or bias, output_bias=family != "qwen2" and bias,
        mlp_bias=bool(config.get("mlp_bias", False)), head_norms=family == "qwen3")


def visible(prompt, responses):
    """A of a tree: prompt tokens, and tokens fed in of each response."""
    return prompt * (prompt + 1) // 2 + sum(fed * prompt + fed * (fed + 1) // 2 for fed in responses)


def forward_flops(shapes, tokens, pairs, response_tokens):
    return (2 * shapes.products * tokens + 4 * shapes.H * shapes.d * shapes.L * pairs
            + 2 * shapes.V * shapes.D * response_tokens)


def training_flops(shapes, tokens, pairs, response_tokens, rank=None):
    """Needed operations of forward and backward; rank None: all weights are trained."""
    trained = rank is None
    blocks = (3 if trained else 2) * 2 * shapes.products * tokens
    attention = 3 * 4 * shapes.H * shapes.d * shapes.L * pairs
    head = (3 if trained else 2) * 2 * shapes.V * shapes.D * response_tokens
    return blocks + attention + head + (0 if trained else 3 * 2 * shapes.adapter_products(rank) * tokens)


def device_of(name):
    """(operations per second, bytes) of a device by a part of its name, or None."""
    for key, values in DEVICES.items():
        if key.lower() in name.lower():
            return values
    return None
