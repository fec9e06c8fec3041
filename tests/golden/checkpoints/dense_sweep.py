"""Families of sweep.py that differ from Llama in norms, blocks, multipliers, or the layers that turn."""

import transformers as tf
from draws import ACTIVATIONS, KINDS, NOTHING, maybe, scaling, sizes

FULL, SLIDING_KIND = "full_attention", "sliding_attention"
# What layers with a window follow where a config of version 4 says nothing.
SLIDING = {family: dict(rope_type="default", rope_theta=theta) for family, theta in [("gemma3_text", 1e4), ("olmo3", 5e5)]}


def odds(draw):
    return draw.random() < 0.5


def basics(draw, trained, free_heads=True, eps="rms_norm_eps", act="hidden_act", relu2=False, partial=1.0):
    """Sizes and keys that nearly all have, and the kind of scaling."""
    s = sizes(draw, free_heads)
    if partial != 1.0:
        # Two channels alone have no dynamic scaling.
        s["head_dim"] = draw.choice([16, 24])
        s["width"] = s["heads"] * s["head_dim"]
    width = s["width"]
    if not free_heads:
        s["head_dim"] = width // s["heads"]
    kind = draw.choice(KINDS)
    block = scaling(draw, kind, int(s["head_dim"] * partial) // 2, trained)
    if partial != 1.0:
        block["partial_rotary_factor"] = partial
    keys = dict(
        **NOTHING, vocab_size=draw.randint(33, 150), hidden_size=width, intermediate_size=draw.randint(9, 70),
        num_hidden_layers=s["layers"], num_attention_heads=s["heads"], num_key_value_heads=s["kv_heads"],
        max_position_embeddings=trained, tie_word_embeddings=odds(draw), rope_parameters=block)
    if eps:
        keys[eps] = draw.choice([1e-6, 1e-5, 1e-3, 0.1])
    keys[act] = draw.choice([*ACTIVATIONS, *(["relu2"] * 4 if relu2 else [])])
    if free_heads:
        keys["head_dim"] = s["head_dim"]
    return keys


def bias(draw, *names):
    return {name: odds(draw) for name in names}


def windows(draw, trained, layers):
    return dict(
        sliding_window=draw.choice([1, 5, trained - 1, trained + 3]),
        layer_types=[draw.choice([FULL, SLIDING_KIND]) for _ in range(layers)])


def gemma(draw, trained):
    return tf.GemmaConfig(**basics(draw, trained), **bias(draw, "attention_bias"))


def gemma3_text(draw, trained):
    keys = basics(draw, trained, act="hidden_activation")
    # The class wants this of sizes that do not need it.
    keys["hidden_size"] = -(-keys["hidden_size"] // keys["num_attention_heads"]) * keys["num_attention_heads"]
    return by_layer(draw, trained, keys, tf.Gemma3TextConfig, query_pre_attn_scalar=draw.choice([4, 24, 100]),
                    final_logit_softcapping=draw.choice([None, 3.0]))


def by_layer(draw, trained, keys, config, **more):
    family = config.model_type
    own = draw.choice([SLIDING[family], dict(rope_type="default", rope_theta=300.0),
                       dict(rope_type="linear", rope_theta=300.0, factor=3.0)])
    keys["rope_parameters"] = dict(full_attention=keys["rope_parameters"], sliding_attention=dict(own))
    return config(**keys, **windows(draw, trained, keys["num_hidden_layers"]), **bias(draw, "attention_bias"), **more)


def olmo(draw, trained):
    keys = basics(draw, trained, False, eps=None)
    return tf.OlmoConfig(**keys, **bias(draw, "attention_bias"), clip_qkv=draw.choice([None, 0.7]))


def olmo2(draw, trained):
    return tf.Olmo2Config(**basics(draw, trained, False), **bias(draw, "attention_bias"))


def olmo3(draw, trained):
    return by_layer(draw, trained, basics(draw, trained, False), tf.Olmo3Config)


def smollm3(draw, trained):
    keys = basics(draw, trained, False)
    layers = keys["num_hidden_layers"]
    turned = maybe(draw, dict(no_rope_layers=[draw.choice([0, 1]) for _ in range(layers)]))
    typed = windows(draw, trained, layers)
    if odds(draw):
        del typed["layer_types"]
    return tf.SmolLM3Config(
        **keys, **turned, **typed, use_sliding_window=odds(draw), no_rope_layer_interval=draw.choice([1, 2, 4]),
        **bias(draw, "attention_bias", "mlp_bias"))


def phi(draw, trained):
    keys = basics(draw, trained, False, eps="layer_norm_eps", partial=draw.choice([0.25, 0.5, 0.75]))
    return tf.PhiConfig(**keys, qk_layernorm=odds(draw))


def stablelm(draw, trained):
    keys = basics(draw, trained, False, eps="layer_norm_eps", partial=draw.choice([0.25, 0.5, 0.75]))
    return tf.StableLmConfig(**keys, **bias(draw, "qk_layernorm", "use_qkv_bias", "use_parallel_residual"))


def cohere(draw, trained):
    keys = basics(draw, trained, False, eps="layer_norm_eps")
    return tf.CohereConfig(**keys, **bias(draw, "attention_bias", "use_qk_norm"), logit_scale=draw.choice([0.0625, 3.0]))


def cohere2(draw, trained):
    keys = basics(draw, trained, False, eps="layer_norm_eps")
    more = windows(draw, trained, keys["num_hidden_layers"])
    return tf.Cohere2Config(**keys, **more, **bias(draw, "attention_bias"), logit_scale=draw.choice([0.0625, 3.0]))


def granite(draw, trained):
    # Sharper scores show the library's angles, which are in single precision.
    number = {key: draw.choice([0.2, 1.0, 3.0]) for key in ("embedding_multiplier", "logits_scaling", "residual_multiplier")}
    number["attention_multiplier"] = draw.choice([0.05, 0.2, 0.5])
    return tf.GraniteConfig(**basics(draw, trained, False), **number, **bias(draw, "attention_bias", "mlp_bias"))


def starcoder2(draw, trained):
    keys = basics(draw, trained, False, eps="norm_epsilon")
    return tf.Starcoder2Config(**keys, **bias(draw, "use_bias"), sliding_window=draw.choice([None, 5, trained]))


def nemotron(draw, trained):
    keys = basics(draw, trained, eps="norm_eps", relu2=True, partial=draw.choice([0.25, 0.5, 0.75]))
    return tf.NemotronConfig(**keys, **bias(draw, "attention_bias", "mlp_bias"))


def arcee(draw, trained):
    keys = basics(draw, trained, relu2=True)
    keys["hidden_size"] = -(-keys["hidden_size"] // keys["num_attention_heads"]) * keys["num_attention_heads"]
    return tf.ArceeConfig(**keys, **bias(draw, "attention_bias", "mlp_bias"))


def glm(draw, trained):
    return tf.GlmConfig(**basics(draw, trained, partial=draw.choice([0.25, 0.5])), **bias(draw, "attention_bias"))


def glm4(draw, trained):
    return tf.Glm4Config(**basics(draw, trained, partial=draw.choice([0.25, 0.5])), **bias(draw, "attention_bias"))


def exaone4(draw, trained):
    keys = basics(draw, trained, False)
    more = windows(draw, trained, keys["num_hidden_layers"])
    if draw.random() < 0.3:
        more = dict(sliding_window=None, layer_types=[FULL] * keys["num_hidden_layers"])
    return tf.Exaone4Config(**keys, **more)


def seed_oss(draw, trained):
    return tf.SeedOssConfig(**basics(draw, trained), **bias(draw, "attention_bias", "attention_out_bias", "mlp_bias"))


def helium(draw, trained):
    keys = basics(draw, trained, False)
    head_dim = keys["hidden_size"] // keys["num_attention_heads"]
    return tf.HeliumConfig(**keys, head_dim=head_dim, **bias(draw, "attention_bias", "mlp_bias"))


def table(draw, trained, heads=(1, 2, 3, 4, 6)):
    s = sizes(draw, False, heads)
    return dict(
        **NOTHING, vocab_size=draw.randint(33, 150), n_positions=2 * trained, n_embd=s["width"], n_layer=s["layers"],
        n_head=s["heads"], rotary_dim=draw.choice([n for n in (2, 4, 8) if n <= s["head_dim"]]),
        n_inner=draw.choice([None, 37]), activation_function=draw.choice(ACTIVATIONS),
        layer_norm_epsilon=draw.choice([1e-5, 1e-2]), tie_word_embeddings=odds(draw))


def gptj(draw, trained):
    return tf.GPTJConfig(**table(draw, trained))


def codegen(draw, trained):
    return tf.CodeGenConfig(**table(draw, trained, (4, 8, 12)))


def opt(draw, trained):
    s = sizes(draw, False)
    return tf.OPTConfig(
        **NOTHING, vocab_size=draw.randint(33, 150), hidden_size=s["width"], num_hidden_layers=s["layers"],
        num_attention_heads=s["heads"], ffn_dim=draw.randint(9, 70), max_position_embeddings=2 * trained,
        activation_function=draw.choice(ACTIVATIONS), word_embed_proj_dim=draw.choice([None, 10]),
        **bias(draw, "do_layer_norm_before", "_remove_final_layer_norm", "enable_bias", "layer_norm_elementwise_affine",
               "tie_word_embeddings"))


def gpt_neo(draw, trained):
    s = sizes(draw, False)
    kinds = [[[draw.choice(["global", "local"])], 1] for _ in range(s["layers"])]
    return tf.GPTNeoConfig(
        **NOTHING, vocab_size=draw.randint(33, 150), hidden_size=s["width"], num_layers=s["layers"], num_heads=s["heads"],
        intermediate_size=draw.choice([None, 37]), max_position_embeddings=2 * trained, attention_types=kinds,
        window_size=draw.choice([2, 5, trained + 3]), activation_function=draw.choice(ACTIVATIONS),
        layer_norm_epsilon=draw.choice([1e-5, 1e-2]), **bias(draw, "tie_word_embeddings"))


FAMILIES = {make.__name__: make for make in (
    gemma, gemma3_text, olmo, olmo2, olmo3, smollm3, phi, stablelm, cohere, cohere2, granite, starcoder2, nemotron, arcee, glm,
    glm4, exaone4, seed_oss, helium, gptj, codegen, opt, gpt_neo)}


def remote(family, draw, trained, grouped=True):
    s = sizes(draw, False)
    keys = dict(
        model_type=family, vocab_size=draw.randint(33, 150), hidden_size=s["width"], intermediate_size=draw.randint(9, 70),
        num_hidden_layers=s["layers"], num_attention_heads=s["heads"], hidden_act="silu",
        rms_norm_eps=draw.choice([1e-6, 1e-3]), tie_word_embeddings=odds(draw), max_position_embeddings=trained)
    if not grouped:
        return keys
    kinds = [None, dict(type="linear", factor=3.0), dict(type="dynamic", factor=2.0)]
    return keys | dict(
        num_key_value_heads=s["kv_heads"], rope_theta=draw.choice([100.0, 1e4, 1e6]), rope_scaling=draw.choice(kinds))


def minicpm(draw, trained):
    return remote("minicpm", draw, trained) | dict(
        scale_emb=draw.choice([1, 12]), scale_depth=draw.choice([0.5, 1.4]), dim_model_base=draw.choice([8, 256]),
        **bias(draw, "attention_bias"))


def internlm2(draw, trained):
    return remote("internlm2", draw, trained) | bias(draw, "bias")


def baichuan(draw, trained):
    keys = remote("baichuan", draw, trained, False) | dict(model_max_length=trained)
    if odds(draw):
        del keys["max_position_embeddings"]
    if draw.random() < 0.3:
        keys |= dict(vocab_size=125_696, tie_word_embeddings=True)
    return keys


def xverse(draw, trained):
    return remote("xverse", draw, trained, False)


REMOTE = {make.__name__: make for make in (minicpm, internlm2, baichuan, xverse)}
