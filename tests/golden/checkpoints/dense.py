"""Cases of make.py: families that differ from Llama in norms, blocks, multipliers, or the layers that turn."""

import transformers as tf

# Smaller than those of the first families, for there are many.
LENGTHS = [20, 33, 80]
NOTHING = dict(bos_token_id=None, eos_token_id=None, pad_token_id=None, vocab_size=64)
LLAMA = dict(
    NOTHING, hidden_size=32, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=32)
# Learned positions, or a table of rotations, for the longest text.
TABLE = 96


def plain(config, **more):
    return lambda scaling: config(**{**LLAMA, **more, "rope_parameters": dict(scaling)})


def part(config, **more):
    """Half of a head's channels turn, and half of the lists are left."""
    def make(scaling):
        lists = {key: value[:2] for key, value in scaling.items() if isinstance(value, list)}
        return config(**{**LLAMA, **more, "rope_parameters": {**scaling, **lists, "partial_rotary_factor": 0.5}})
    return make


def by_layer(config, sliding=None, **more):
    """Scalings are those of the layers without a window."""
    own = sliding or dict(rope_type="default", rope_theta=100.0)
    return lambda scaling: config(**{
        **LLAMA, "num_hidden_layers": 3, **more,
        "rope_parameters": dict(full_attention=dict(scaling), sliding_attention=own)})


KINDS = ["full_attention", "sliding_attention", "full_attention"]
GEMMA3 = dict(head_dim=8, query_pre_attn_scalar=12, sliding_window=11, layer_types=KINDS, final_logit_softcapping=5.0)
# Families under every kind of scaling.
ROTARY = {
    "gemma": plain(tf.GemmaConfig, head_dim=8),
    "gemma3_text": by_layer(tf.Gemma3TextConfig, **GEMMA3),
    "olmo": plain(tf.OlmoConfig),
    "olmo2": plain(tf.Olmo2Config),
    "olmo3": by_layer(tf.Olmo3Config, sliding_window=9, layer_types=KINDS[::-1]),
    "smollm3": plain(tf.SmolLM3Config, no_rope_layer_interval=2, num_hidden_layers=3),
    "phi": part(tf.PhiConfig),
    "stablelm": part(tf.StableLmConfig),
    "cohere": plain(tf.CohereConfig, logit_scale=0.5),
    "cohere2": plain(tf.Cohere2Config, logit_scale=0.5, sliding_window=9, layer_types=KINDS, num_hidden_layers=3),
    "granite": plain(
        tf.GraniteConfig, embedding_multiplier=3.0, logits_scaling=2.0, residual_multiplier=0.7, attention_multiplier=0.2),
    "starcoder2": plain(tf.Starcoder2Config),
    "nemotron": part(tf.NemotronConfig),
    "arcee": plain(tf.ArceeConfig),
    "glm": part(tf.GlmConfig, head_dim=8),
    "glm4": part(tf.Glm4Config, head_dim=8),
    "exaone4": plain(tf.Exaone4Config, sliding_window=9, layer_types=KINDS, num_hidden_layers=3),
    "seed_oss": plain(tf.SeedOssConfig, head_dim=8),
    "helium": plain(tf.HeliumConfig, head_dim=8, rms_norm_eps=1e-5),
}


def cases(scalings):
    default = scalings["default"]
    found = {f"{family}-{kind}": (make, scaling) for family, make in ROTARY.items() for kind, scaling in scalings.items()}
    linear = dict(rope_type="linear", rope_theta=50.0, factor=2.0)
    found |= {name: (make, default) for name, make in {
        "gemma3_text-both": by_layer(tf.Gemma3TextConfig, linear, **GEMMA3),
        "olmo-clip": plain(tf.OlmoConfig, clip_qkv=0.8, attention_bias=True),
        "smollm3-windows": plain(
            tf.SmolLM3Config, no_rope_layers=[0, 1, 0], num_hidden_layers=3, use_sliding_window=True, sliding_window=9),
        "phi-norms": part(tf.PhiConfig, qk_layernorm=True),
        "stablelm-norms": part(tf.StableLmConfig, qk_layernorm=True, use_qkv_bias=True, use_parallel_residual=True),
        "cohere-norms": plain(tf.CohereConfig, logit_scale=0.5, use_qk_norm=True, attention_bias=True),
        "starcoder2-windows": plain(tf.Starcoder2Config, sliding_window=9, use_bias=False),
        "nemotron-biases": part(tf.NemotronConfig, attention_bias=True, mlp_bias=True),
        "exaone4-full": plain(
            tf.Exaone4Config, sliding_window=None, sliding_window_pattern=None, layer_types=["full_attention"] * 2),
        "gptj": lambda _: tf.GPTJConfig(**NOTHING, n_positions=TABLE, n_embd=32, n_layer=2, n_head=4, rotary_dim=4),
        "gptj-tied": lambda _: tf.GPTJConfig(
            **NOTHING, n_positions=TABLE, n_embd=32, n_layer=2, n_head=4, rotary_dim=8, tie_word_embeddings=True),
        "codegen": lambda _: tf.CodeGenConfig(
            **NOTHING, n_positions=TABLE, n_ctx=TABLE, n_embd=64, n_layer=1, n_head=8, rotary_dim=4, n_inner=24),
        "opt": lambda _: tf.OPTConfig(
            **NOTHING, max_position_embeddings=TABLE, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=24),
        "opt-post": lambda _: tf.OPTConfig(
            **NOTHING, max_position_embeddings=TABLE, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=24,
            do_layer_norm_before=False, word_embed_proj_dim=16),
        "opt-bare": lambda _: tf.OPTConfig(
            **NOTHING, max_position_embeddings=TABLE, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=24,
            layer_norm_elementwise_affine=False, enable_bias=False, _remove_final_layer_norm=True),
        "gpt_neo": lambda _: tf.GPTNeoConfig(
            **NOTHING, max_position_embeddings=TABLE, hidden_size=32, num_layers=2, num_heads=4, intermediate_size=24,
            attention_types=[[["global", "local"], 1]], window_size=9),
    }.items()}
    return found
