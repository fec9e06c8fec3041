"""What sweep.py draws for any family."""

NOTHING = dict(bos_token_id=None, eos_token_id=None, pad_token_id=None)
ACTIVATIONS = ["silu", "silu", "gelu", "gelu_new", "gelu_pytorch_tanh", "relu"]
KINDS = ["default", "linear", "dynamic", "yarn", "yarn", "longrope", "llama3"]


def maybe(draw, value, share=0.5):
    """One key with `value`, or none."""
    return value if draw.random() < share else {}


def scaling(draw, kind, pairs, trained):
    """A rope block in the form of version 5."""
    block = dict(rope_type=kind, rope_theta=draw.choice([100.0, 1e4, 5e5, 1e6]))
    factor = draw.choice([1.0, 2.0, 3.7, 8.0])
    if kind in ("linear", "dynamic", "yarn", "llama3"):
        block["factor"] = factor
    if kind in ("yarn", "longrope", "llama3"):
        block["original_max_position_embeddings"] = trained
    if kind == "yarn":
        block |= maybe(draw, dict(beta_fast=draw.choice([4.0, 16.0, 32])))
        block |= maybe(draw, dict(beta_slow=draw.choice([0.5, 1, 2.0])))
        block |= maybe(draw, dict(truncate=draw.random() < 0.5))
        block |= maybe(draw, dict(attention_factor=draw.choice([0.7, 1.0, 1.3])), 0.3)
        block |= maybe(draw, dict(mscale=draw.choice([0.5, 1.0, 0])), 0.4)
        block |= maybe(draw, dict(mscale_all_dim=draw.choice([0.8, 1.0])), 0.4)
    if kind == "longrope":
        block |= maybe(draw, dict(factor=factor))
        block |= maybe(draw, dict(attention_factor=draw.choice([0.9, 1.2])), 0.3)
        block["short_factor"] = [round(1 + draw.random(), 3) for _ in range(pairs)]
        block["long_factor"] = [round(1 + 6 * draw.random(), 3) for _ in range(pairs)]
    if kind == "llama3":
        block["low_freq_factor"] = draw.choice([1.0, 2])
        block["high_freq_factor"] = draw.choice([4.0, 8.0])
    return block


def sizes(draw, free_heads=True, heads=(1, 2, 3, 4, 6)):
    """Layers, heads, key/value heads, channels of a head, width."""
    heads = draw.choice(heads)
    kv_heads = draw.choice([n for n in range(1, heads + 1) if heads % n == 0])
    head_dim = draw.choice([4, 6, 10, 16, 18])
    width = heads * (head_dim if not free_heads or draw.random() < 0.5 else draw.choice([6, 8, 14]))
    return dict(layers=draw.choice([1, 2, 3]), heads=heads, kv_heads=kv_heads, head_dim=head_dim, width=width)
