"""Cases of make.py whose reference is code beside the weights, not the library: MiniCPM, InternLM 2, Baichuan, XVERSE.

What that code computes, written down a second time as plain functions of a config and of tensors by their published names:
no line is shared with the program that is tested. RoPE with linear and dynamic scaling as in the library's first versions
(`position / factor`; base · (factor · T / L − factor + 1)^(d / (d − 2)) for T > L); ALiBi with the slopes of its paper.
"""

import math

import torch
from torch.nn.functional import normalize, silu

SIZES = dict(
    vocab_size=64, hidden_size=32, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, hidden_act="silu",
    rms_norm_eps=1e-5, tie_word_embeddings=False)
SCALINGS = {"linear": dict(type="linear", factor=3.0), "dynamic": dict(type="dynamic", factor=2.0)}
# Second generation, whose head is of rows of length 1.
BAICHUAN2 = 125_696


def cases():
    minicpm = dict(
        SIZES, model_type="minicpm", num_key_value_heads=2, max_position_embeddings=32, rope_theta=1000.0, scale_emb=3,
        scale_depth=1.4, dim_model_base=16)
    internlm2 = dict(
        SIZES, model_type="internlm2", num_key_value_heads=2, max_position_embeddings=32, rope_theta=1000.0, bias=True)
    baichuan = dict(SIZES, model_type="baichuan")
    found = {
        "minicpm-default": dict(minicpm, tie_word_embeddings=True),
        "internlm2-default": internlm2,
        "internlm2-plain": dict(internlm2, bias=False),
        "baichuan": dict(baichuan, max_position_embeddings=32, model_max_length=32),
        "baichuan-alibi": dict(baichuan, hidden_size=36, num_attention_heads=6, model_max_length=32),
        "xverse": dict(SIZES, model_type="xverse", max_position_embeddings=32),
    }
    for family in ("minicpm", "internlm2"):
        for kind, scaling in SCALINGS.items():
            found[f"{family}-{kind}"] = dict(found[f"{family}-default"], rope_scaling=scaling)
    return found


FAMILIES = {"minicpm", "internlm2", "baichuan", "xverse"}


def sizes(config):
    heads = config["num_attention_heads"]
    return heads, config.get("num_key_value_heads") or heads, config["hidden_size"] // heads


def shapes(config):
    """Names and shapes of the tensors."""
    family, width, hidden = config["model_type"], config["hidden_size"], config["intermediate_size"]
    heads, kv_heads, dim = sizes(config)
    names = NAMES[family]
    found = {f"model.{names['embed']}.weight": (config["vocab_size"], width), "model.norm.weight": (width,)}
    if not config["tie_word_embeddings"]:
        found[f"{names['head']}.weight"] = (config["vocab_size"], width)
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        for norm in names["norms"]:
            found[f"{at}.{norm}.weight"] = (width,)
        rows = dict(zip(names["qkv"], [heads * dim, kv_heads * dim, kv_heads * dim]))
        if len(names["qkv"]) == 1:
            rows = {names["qkv"][0]: (heads + 2 * kv_heads) * dim}
        matrices = {**{name: (n, width) for name, n in rows.items()}, names["out"]: (width, heads * dim)}
        gate, up, down = names["mlp"]
        bias = config.get("bias", False) if family == "internlm2" else config.get("attention_bias", False)
        if bias:
            found |= {f"{at}.{name}.bias": (shape[0],) for name, shape in matrices.items()}
        matrices |= {gate: (hidden, width), up: (hidden, width), down: (width, hidden)}
        found |= {f"{at}.{name}.weight": shape for name, shape in matrices.items()}
    return found


LLAMA = dict(
    embed="embed_tokens", head="lm_head", norms=("input_layernorm", "post_attention_layernorm"),
    qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), out="self_attn.o_proj",
    mlp=("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"))
NAMES = {
    "minicpm": LLAMA,
    "xverse": LLAMA,
    "baichuan": dict(LLAMA, qkv=("self_attn.W_pack",)),
    "internlm2": dict(
        embed="tok_embeddings", head="output", norms=("attention_norm", "ffn_norm"), qkv=("attention.wqkv",),
        out="attention.wo", mlp=("feed_forward.w1", "feed_forward.w3", "feed_forward.w2")),
}


def rms(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def turned(x, config, length):
    """Channels i and i + d/2 of (tokens, heads, d) turned together."""
    dim, base = x.shape[-1], config.get("rope_theta", 10000.0)
    scaling, positions = config.get("rope_scaling") or {}, torch.arange(length).double()
    if scaling.get("type") == "linear":
        positions = positions / scaling["factor"]
    trained = config["max_position_embeddings"]
    if scaling.get("type") == "dynamic" and length > trained:
        factor = scaling["factor"]
        base = base * (factor * length / trained - (factor - 1)) ** (dim / (dim - 2))
    angles = positions[:, None] / base ** (torch.arange(0, dim, 2).double() / dim)
    cos, sin = angles.cos().float()[:, None], angles.sin().float()[:, None]
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


def slopes(heads):
    def powers(n):
        return [2.0 ** (-8.0 * (i + 1) / n) for i in range(n)]
    nearest = 2 ** math.floor(math.log2(heads))
    return torch.tensor(powers(nearest) + powers(2 * nearest)[0::2][:heads - nearest])


def queries_keys_values(x, at, config, tensors):
    heads, kv_heads, dim = sizes(config)
    length, groups = x.shape[0], heads // kv_heads

    def linear(name):
        return torch.nn.functional.linear(x, tensors[f"{at}.{name}.weight"], tensors.get(f"{at}.{name}.bias"))

    names = NAMES[config["model_type"]]["qkv"]
    if config["model_type"] == "internlm2":
        packed = linear(names[0]).view(length, kv_heads, groups + 2, dim)
        return packed[:, :, :groups].reshape(length, heads, dim), packed[:, :, -2], packed[:, :, -1]
    if config["model_type"] == "baichuan":
        return [part.view(length, heads, dim) for part in linear(names[0]).chunk(3, dim=-1)]
    q, k, v = (linear(name) for name in names)
    return q.view(length, heads, dim), k.view(length, kv_heads, dim), v.view(length, kv_heads, dim)


def attention(x, at, config, tensors):
    heads, kv_heads, dim = sizes(config)
    length = x.shape[0]
    q, k, v = queries_keys_values(x, at, config, tensors)
    alibi = config["model_type"] == "baichuan" and "max_position_embeddings" not in config
    if not alibi:
        q, k = turned(q, config, length), turned(k, config, length)
    k, v = (part.repeat_interleave(heads // kv_heads, dim=1) for part in (k, v))
    scores = torch.einsum("qhd,khd->hqk", q, k) / math.sqrt(dim)
    if alibi:
        scores = scores + slopes(heads)[:, None, None] * torch.arange(length)
    scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), float("-inf"))
    mixed = torch.einsum("hqk,khd->qhd", scores.softmax(-1), v).reshape(length, heads * dim)
    out = NAMES[config["model_type"]]["out"]
    return torch.nn.functional.linear(mixed, tensors[f"{at}.{out}.weight"], tensors.get(f"{at}.{out}.bias"))


def logits(config, tensors, ids):
    """Of all tokens, (tokens, vocabulary)."""
    family = config["model_type"]
    names, eps = NAMES[family], config["rms_norm_eps"]
    mini = family == "minicpm"
    added = config["scale_depth"] / math.sqrt(config["num_hidden_layers"]) if mini else 1.0
    table = tensors[f"model.{names['embed']}.weight"]
    x = table[torch.tensor(ids)] * (config["scale_emb"] if mini else 1)
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        first, second = (tensors[f"{at}.{norm}.weight"] for norm in names["norms"])
        x = x + added * attention(rms(x, first, eps), at, config, tensors)
        gate, up, down = (tensors[f"{at}.{name}.weight"] for name in names["mlp"])
        h = rms(x, second, eps)
        x = x + added * ((silu(h @ gate.T) * (h @ up.T)) @ down.T)
    x = rms(x, tensors["model.norm.weight"], eps)
    if mini:
        x = x / (config["hidden_size"] / config["dim_model_base"])
    head = table if config["tie_word_embeddings"] else tensors[f"{names['head']}.weight"]
    if family == "baichuan" and config["vocab_size"] == BAICHUAN2:
        head = normalize(head)
    return x @ head.T
