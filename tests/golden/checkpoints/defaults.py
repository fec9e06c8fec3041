"""What the reference library's config classes make of configs that leave keys out, give null for them, or spell the rotary
keys in every way: `defaults/`, which `tests/tests/checkpoint_configs.rs` holds our reading against.

    pip install torch transformers && PYTHONHASHSEED=0 python tests/golden/checkpoints/defaults.py

For each family a file: `given`, a config; `full`, it with every key of the class that matters, as the class itself writes
it; `loads`, for each kind of rotary scaling null if the family's reference loads and runs under it, else the words with
which it refuses; `cases`, each a list of changes to `given` (a value, or the word for leaving the key out) and what the
class then holds, as changes to `full`, or the words with which it refuses. `divisors.json` has scalings as one number for
each pair. Written with transformers 5.23.0.
"""

import copy
import json
import pathlib

import torch
import transformers as tf
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

OUT = pathlib.Path(__file__).parent / "defaults"
ABSENT = "\u0000absent"
SMALL = dict(bos_token_id=None, eos_token_id=None, pad_token_id=None, vocab_size=64)
LLAMA = dict(
    SMALL, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=128)
ROPE = dict(rope_type="default", rope_theta=5000.0)

# Values that no class has as its default.
FAMILIES = {
    "llama": dict(LLAMA, rms_norm_eps=1e-4, hidden_act="gelu", attention_bias=True, mlp_bias=True, head_dim=12,
                  tie_word_embeddings=True, rope_parameters=ROPE),
    "mistral": dict(LLAMA, rms_norm_eps=1e-4, hidden_act="gelu", head_dim=12, sliding_window=24, tie_word_embeddings=True,
                    rope_parameters=ROPE),
    "qwen2": dict(LLAMA, rms_norm_eps=1e-4, hidden_act="gelu", use_sliding_window=True, sliding_window=24,
                  max_window_layers=1, tie_word_embeddings=True, rope_parameters=ROPE),
    "qwen3": dict(LLAMA, rms_norm_eps=1e-4, hidden_act="gelu", head_dim=12, attention_bias=True, use_sliding_window=True,
                  sliding_window=24, max_window_layers=1, tie_word_embeddings=True, rope_parameters=ROPE),
    "phi3": dict(LLAMA, rms_norm_eps=1e-4, hidden_act="gelu", sliding_window=24, original_max_position_embeddings=128,
                 tie_word_embeddings=True, rope_parameters=dict(ROPE, partial_rotary_factor=0.5)),
    "gemma2": dict(LLAMA, rms_norm_eps=1e-4, hidden_activation="gelu", head_dim=12, attention_bias=True,
                   query_pre_attn_scalar=24, sliding_window=24, attn_logit_softcapping=3.0, final_logit_softcapping=4.0,
                   tie_word_embeddings=False, rope_parameters=ROPE),
    "gpt_neox": dict(SMALL, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                     max_position_embeddings=128, layer_norm_eps=1e-4, hidden_act="relu", use_parallel_residual=False,
                     attention_bias=False, tie_word_embeddings=True, rope_parameters=dict(ROPE, partial_rotary_factor=0.5)),
    "gpt2": dict(SMALL, n_positions=128, n_embd=32, n_layer=2, n_head=4, n_inner=48, activation_function="relu",
                 layer_norm_epsilon=1e-4, scale_attn_weights=False, scale_attn_by_inverse_layer_idx=True,
                 tie_word_embeddings=False),
    "bloom": dict(SMALL, hidden_size=32, n_layer=2, n_head=4, layer_norm_epsilon=1e-4,
                  apply_residual_connection_post_layernorm=True, tie_word_embeddings=False),
    "mpt": dict(SMALL, d_model=32, n_heads=4, n_layers=2, max_seq_len=128, layer_norm_epsilon=1e-4,
                attn_config=dict(clip_qkv=0.5, softmax_scale=0.25, alibi_bias_max=8), tie_word_embeddings=False),
    "falcon": dict(SMALL, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_kv_heads=4,
                   max_position_embeddings=128, layer_norm_epsilon=1e-4, activation="relu", bias=True, parallel_attn=False,
                   multi_query=False, ffn_hidden_size=48, tie_word_embeddings=False, rope_parameters=ROPE),
    "mixtral": dict(LLAMA, rms_norm_eps=1e-4, hidden_act="gelu", head_dim=12, sliding_window=24, tie_word_embeddings=True,
                    num_local_experts=6, num_experts_per_tok=3, rope_parameters=ROPE),
    "qwen2_moe": dict(LLAMA, rms_norm_eps=1e-4, hidden_act="gelu", use_sliding_window=True, sliding_window=24,
                      max_window_layers=1, tie_word_embeddings=True, qkv_bias=False, decoder_sparse_step=2,
                      moe_intermediate_size=20, shared_expert_intermediate_size=28, num_experts=6, num_experts_per_tok=3,
                      norm_topk_prob=True, mlp_only_layers=[0], rope_parameters=ROPE),
    "qwen3_moe": dict(LLAMA, rms_norm_eps=1e-4, hidden_act="gelu", head_dim=12, attention_bias=True, use_sliding_window=True,
                      sliding_window=24, tie_word_embeddings=True, decoder_sparse_step=2, moe_intermediate_size=20,
                      num_experts=9, num_experts_per_tok=3, norm_topk_prob=True, mlp_only_layers=[0], rope_parameters=ROPE),
    "olmoe": dict(LLAMA, rms_norm_eps=1e-4, hidden_act="gelu", tie_word_embeddings=True, attention_bias=True, num_experts=9,
                  num_experts_per_tok=3, norm_topk_prob=True, rope_parameters=ROPE),
    "llama4_text": dict(LLAMA, intermediate_size_mlp=56, rms_norm_eps=1e-4, hidden_act="gelu", head_dim=12,
                        tie_word_embeddings=True, num_experts_per_tok=2, num_local_experts=6, moe_layers=[0],
                        interleave_moe_layer_step=2, use_qk_norm=False, no_rope_layers=[0, 1], no_rope_layer_interval=2,
                        attention_chunk_size=24, layer_types=["chunked_attention", "full_attention"],
                        attn_temperature_tuning=False, floor_scale=40, attn_scale=0.2, attention_bias=True,
                        rope_parameters=ROPE),
    # Another activation is read and not used.
    "gpt_oss": dict(LLAMA, rms_norm_eps=1e-4, head_dim=12, sliding_window=24, tie_word_embeddings=True, num_local_experts=6,
                    num_experts_per_tok=3, swiglu_alpha=1.5, swiglu_limit=5.0, attention_bias=False, rope_parameters=ROPE),
    "deepseek_v2": dict(LLAMA, num_key_value_heads=4, rms_norm_eps=1e-4, hidden_act="gelu", attention_bias=True,
                        tie_word_embeddings=True, first_k_dense_replace=1, kv_lora_rank=10, q_lora_rank=14, n_group=3,
                        n_routed_experts=6, n_shared_experts=3, qk_nope_head_dim=10, qk_rope_head_dim=12,
                        routed_scaling_factor=1.5, topk_group=2, topk_method="group_limited_greedy", v_head_dim=14,
                        num_experts_per_tok=2, moe_intermediate_size=20, rope_parameters=ROPE),
    "deepseek_v3": dict(LLAMA, num_key_value_heads=4, rms_norm_eps=1e-4, hidden_act="gelu", attention_bias=True,
                        tie_word_embeddings=True, first_k_dense_replace=1, kv_lora_rank=10, q_lora_rank=14, n_group=16,
                        n_routed_experts=32, n_shared_experts=3, qk_nope_head_dim=10, qk_rope_head_dim=12,
                        routed_scaling_factor=1.5, topk_group=5, norm_topk_prob=False, rope_interleave=False, v_head_dim=14,
                        num_experts_per_tok=2, moe_intermediate_size=20, num_mtp_layers=2, rope_parameters=ROPE),
}
KINDS = ["full_attention", "sliding_attention", "full_attention", "sliding_attention"]
FOUR = dict(LLAMA, num_hidden_layers=4, layer_types=KINDS, sliding_window=24)
BY_LAYER = dict(full_attention=ROPE, sliding_attention=dict(rope_type="default", rope_theta=700.0))
PART = dict(ROPE, partial_rotary_factor=0.75)
TABLE = dict(SMALL, n_positions=128, n_embd=32, n_layer=2, n_head=4, rotary_dim=6, n_inner=48, activation_function="relu",
             layer_norm_epsilon=1e-4, tie_word_embeddings=True)
FAMILIES |= {
    "gemma": dict(LLAMA, rms_norm_eps=1e-4, hidden_act="relu", head_dim=12, attention_bias=True, tie_word_embeddings=False,
                  rope_parameters=ROPE),
    "gemma3_text": dict(FOUR, rms_norm_eps=1e-4, hidden_activation="gelu", head_dim=12, attention_bias=True,
                        query_pre_attn_scalar=24, final_logit_softcapping=4.0, tie_word_embeddings=False,
                        rope_parameters=BY_LAYER),
    "olmo": dict(LLAMA, hidden_act="gelu", attention_bias=True, clip_qkv=0.5, tie_word_embeddings=True, rope_parameters=ROPE),
    "olmo2": dict(LLAMA, rms_norm_eps=1e-4, hidden_act="gelu", attention_bias=True, tie_word_embeddings=True,
                  rope_parameters=ROPE),
    "olmo3": dict(FOUR, rms_norm_eps=1e-4, hidden_act="gelu", attention_bias=True, tie_word_embeddings=True,
                  rope_parameters=BY_LAYER),
    "smollm3": dict(FOUR, rms_norm_eps=1e-4, hidden_act="gelu", attention_bias=True, mlp_bias=True, use_sliding_window=True,
                    no_rope_layers=[1, 1, 0, 1], no_rope_layer_interval=2, tie_word_embeddings=False, rope_parameters=ROPE),
    "phi": dict(LLAMA, layer_norm_eps=1e-4, hidden_act="relu", qk_layernorm=True, tie_word_embeddings=True,
                rope_parameters=PART),
    "stablelm": dict(LLAMA, layer_norm_eps=1e-4, hidden_act="relu", qk_layernorm=True, use_qkv_bias=True,
                     use_parallel_residual=True, tie_word_embeddings=True, rope_parameters=PART),
    "cohere": dict(LLAMA, layer_norm_eps=1e-4, hidden_act="relu", use_qk_norm=True, attention_bias=True, logit_scale=0.5,
                   tie_word_embeddings=False, rope_parameters=ROPE),
    "cohere2": dict(FOUR, layer_norm_eps=1e-4, hidden_act="relu", attention_bias=True, logit_scale=0.5,
                    tie_word_embeddings=False, rope_parameters=ROPE),
    "granite": dict(LLAMA, rms_norm_eps=1e-4, hidden_act="gelu", attention_bias=True, mlp_bias=True, embedding_multiplier=3.0,
                    logits_scaling=2.0, residual_multiplier=0.5, attention_multiplier=0.25, tie_word_embeddings=True,
                    rope_parameters=ROPE),
    "starcoder2": dict(LLAMA, norm_epsilon=1e-4, hidden_act="relu", use_bias=False, sliding_window=24,
                       tie_word_embeddings=False, rope_parameters=ROPE),
    "nemotron": dict(LLAMA, norm_eps=1e-4, hidden_act="gelu", head_dim=16, attention_bias=True, mlp_bias=True,
                     tie_word_embeddings=True, rope_parameters=PART),
    "arcee": dict(LLAMA, rms_norm_eps=1e-4, hidden_act="gelu", head_dim=12, attention_bias=True, mlp_bias=True,
                  tie_word_embeddings=True, rope_parameters=ROPE),
    "glm": dict(LLAMA, rms_norm_eps=1e-4, hidden_act="gelu", head_dim=16, attention_bias=False, tie_word_embeddings=True,
                rope_parameters=PART),
    "glm4": dict(LLAMA, rms_norm_eps=1e-4, hidden_act="gelu", head_dim=16, attention_bias=False, tie_word_embeddings=True,
                 rope_parameters=PART),
    "exaone4": dict(FOUR, rms_norm_eps=1e-4, hidden_act="gelu", sliding_window_pattern=3, tie_word_embeddings=True,
                    rope_parameters=ROPE),
    "seed_oss": dict(LLAMA, rms_norm_eps=1e-4, hidden_act="gelu", head_dim=12, attention_bias=False, attention_out_bias=True,
                     mlp_bias=True, tie_word_embeddings=True, rope_parameters=ROPE),
    "helium": dict(LLAMA, rms_norm_eps=1e-4, hidden_act="gelu", head_dim=8, attention_bias=True, mlp_bias=True,
                   tie_word_embeddings=True, rope_parameters=ROPE),
    "gptj": TABLE,
    "codegen": TABLE,
    "opt": dict(SMALL, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=48, max_position_embeddings=128,
                do_layer_norm_before=False, _remove_final_layer_norm=True, word_embed_proj_dim=16,
                activation_function="gelu", enable_bias=False, layer_norm_elementwise_affine=False,
                tie_word_embeddings=False),
    "gpt_neo": dict(SMALL, hidden_size=32, num_layers=3, num_heads=4, intermediate_size=48, max_position_embeddings=128,
                    attention_types=[[["local"], 2], [["global"], 1]], window_size=24, activation_function="relu",
                    layer_norm_epsilon=1e-4, tie_word_embeddings=False),
}
# Keys of the classes that change no logit; they are left out of the fixture.
IDLE = {
    "_name_or_path", "architectures", "attention_dropout", "attn_pdrop", "bos_token_id", "chunk_size_feed_forward",
    "classifier_dropout", "dtype", "embd_pdrop", "eos_token_id", "hidden_dropout", "id2label", "initializer_range",
    "is_encoder_decoder", "label2id", "output_attentions", "output_hidden_states", "pad_token_id", "problem_type",
    "resid_pdrop", "return_dict", "transformers_version", "use_cache", "num_labels", "emb_pdrop", "init_device", "verbose",
    "summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type", "summary_use_proj",
    "reorder_and_upcast_attn", "pretraining_tp", "slow_but_exact", "norm_type", "is_decoder", "add_cross_attention",
    "learned_pos_emb", "output_router_logits", "router_aux_loss_coef", "router_jitter_noise",
    "residual_dropout", "embedding_dropout", "embed_dropout", "resid_dropout", "dropout", "layerdrop",
    "init_std", "n_ctx", "attention_layers", "_sliding_window_pattern", "output_projection",
}
# What no single key shows.
MORE = {
    "falcon": [
        {"new_decoder_architecture": True, "parallel_attn": True, "num_kv_heads": 2},
        {"multi_query": True, "parallel_attn": True, "num_kv_heads": ABSENT},
        {"multi_query": None, "parallel_attn": None},
        {"multi_query": None, "parallel_attn": None, "bias": None, "alibi": None, "new_decoder_architecture": None},
        {"hidden_size": ABSENT, "n_embed": 64},
        {"alibi": True},
    ],
    "gpt2": [
        {"n_embd": ABSENT, "n_layer": ABSENT, "n_head": ABSENT, "n_positions": ABSENT, "hidden_size": 64,
         "num_hidden_layers": 3, "num_attention_heads": 8, "max_position_embeddings": 96},
    ],
    "bloom": [
        {"n_layer": ABSENT, "n_head": ABSENT, "hidden_size": ABSENT, "num_hidden_layers": 3, "num_attention_heads": 8,
         "n_embed": 64},
    ],
    "mpt": [
        {"d_model": ABSENT, "n_layers": ABSENT, "n_heads": ABSENT, "hidden_size": 64, "num_hidden_layers": 3,
         "num_attention_heads": 8},
        {"attn_config": {"clip_qkv": 0.5}},
    ],
    "qwen2": [{"use_sliding_window": False}, {"max_window_layers": 0}, {"layer_types": None, "max_window_layers": 2}],
    "qwen2_moe": [{"use_sliding_window": False}, {"max_window_layers": 0}, {"layer_types": None, "max_window_layers": 2},
                  {"num_local_experts": 7}],
    "qwen3_moe": [{"use_sliding_window": False}, {"decoder_sparse_step": 1, "mlp_only_layers": []}],
    "llama4_text": [{"attn_temperature_tuning": True}, {"moe_layers": None}, {"no_rope_layers": None, "layer_types": None},
                    {"no_rope_layers": [], "layer_types": ABSENT}, {"no_rope_layers": [1, 1, 1]}],
    "gpt_oss": [{"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 4.0}},
                {"rope_parameters": ABSENT, "rope_scaling": {}}, {"layer_types": ["full_attention", "sliding_attention"]}],
    "deepseek_v2": [{"topk_method": "greedy", "n_group": None, "topk_group": None}, {"q_lora_rank": None},
                    {"first_k_dense_replace": 0, "head_dim": 7}],
    "deepseek_v3": [{"num_attention_heads": 128, "num_key_value_heads": ABSENT}, {"q_lora_rank": None},
                    {"n_group": 8, "topk_group": 4}, {"first_k_dense_replace": 9, "head_dim": 7}],
    "mistral": [{"sliding_window": None}, {"num_key_value_heads": 8, "num_attention_heads": 8}],
}
UNTYPED = {"layer_types": ABSENT}
OLD = {"rope_parameters": ABSENT, "rope_theta": 7000.0}
MORE |= {
    "gemma": [{"hidden_act": "gelu"}, {"use_bidirectional_attention": False}],
    "gemma3_text": [
        UNTYPED, {**UNTYPED, "sliding_window_pattern": 2}, {"sliding_window_pattern": 2}, {"layer_types": None},
        {**OLD, "rope_local_base_freq": 70.0},
        {**OLD, "rope_local_base_freq": 70.0, "rope_scaling": {"rope_type": "linear", "factor": 8.0}},
        {"rope_parameters": ABSENT, "rope_local_base_freq": 70.0},
        {"rope_parameters": {"full_attention": ROPE}}, {"rope_parameters": {"sliding_attention": ROPE}},
        {"attn_logit_softcapping": 3.0},
    ],
    "olmo3": [UNTYPED, {"layer_types": None}, {"rope_parameters": {"full_attention": ROPE}}],
    "smollm3": [
        UNTYPED, {**UNTYPED, "no_rope_layers": ABSENT}, {**UNTYPED, "use_sliding_window": False},
        {**UNTYPED, "sliding_window": None}, {"no_rope_layers": ABSENT}, {"no_rope_layers": [0, 0, 0, 0]},
    ],
    "cohere2": [UNTYPED, {**UNTYPED, "sliding_window_pattern": 2}, {"sliding_window_pattern": 2}],
    "exaone4": [
        UNTYPED, {**UNTYPED, "sliding_window_pattern": 2}, {**UNTYPED, "sliding_window_pattern": ABSENT},
        {"sliding_window": None}, {"sliding_window": None, "sliding_window_pattern": None}, {"sliding_window_pattern": "LLLG"},
    ],
    "opt": [{"word_embed_proj_dim": 32}, {"do_layer_norm_before": True, "_remove_final_layer_norm": False}],
    "gpt_neo": [
        {"num_layers": 2, "attention_types": [[["global", "local"], 1]]}, {"attention_types": [[["local"], 2]]},
        {"num_layers": 24, "attention_types": ABSENT},
    ],
}
# Pairs of channels that turn: as `FAMILIES` says, and where nothing is said of them.
PAIRS = {"llama": 6, "mistral": 6, "qwen2": 4, "qwen3": 6, "phi3": 2, "gemma2": 6, "gpt_neox": 2, "falcon": 4}
PAIRS |= {
    "gemma": 6, "gemma3_text": 6, "olmo": 4, "olmo2": 4, "olmo3": 4, "smollm3": 4, "phi": 3, "stablelm": 3, "cohere": 4,
    "cohere2": 4, "granite": 4, "starcoder2": 4, "nemotron": 6, "arcee": 6, "glm": 6, "glm4": 6, "exaone4": 4, "seed_oss": 6,
    "helium": 4,
}
PAIRS |= {
    "mixtral": 6, "qwen2_moe": 4, "qwen3_moe": 6, "gpt_oss": 6, "deepseek_v2": 6, "deepseek_v3": 6, "olmoe": 4,
    "llama4_text": 6,
}
PLAIN_PAIRS = {**PAIRS, "phi3": 4, "gpt_neox": 1, "phi": 2, "stablelm": 1, "nemotron": 4, "glm": 4, "glm4": 4}


def scaling(kind, pairs):
    return {
        "default": {},
        "linear": dict(factor=4.0),
        "dynamic": dict(factor=2.0),
        "yarn": dict(factor=4.0),
        "longrope": dict(factor=4.0, short_factor=[1.0 + p / 8 for p in range(pairs)],
                         long_factor=[1.5 + p for p in range(pairs)]),
        "llama3": dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0),
    }[kind]


def words(error):
    return str(error).strip().splitlines()[-1].strip()[:120]


def held(config):
    """The keys of a config that matter, after everything that the modelling code does to them."""
    if getattr(config, "rope_parameters", None):
        config.standardize_rope_params()
    found = json.loads(json.dumps(config.to_dict(), default=str))
    if "attn_config" in found:
        found["attn_config"] = {key: value for key, value in found["attn_config"].items() if key not in IDLE | {"model_type"}}
    return {key: value for key, value in found.items() if key not in IDLE}


def made(family, changes, base):
    raw = copy.deepcopy(base)
    for key, value in changes.items():
        if value == ABSENT:
            raw.pop(key, None)
        else:
            raw[key] = copy.deepcopy(value)
    raw.pop("model_type", None)
    return held(tf.AutoConfig.for_model(family, **raw))


def outcome(family, changes, base, full):
    try:
        found = made(family, changes, base)
    except Exception as error:  # Whatever it is, the reference does not load this.
        return {"changes": changes, "refused": words(error)}
    differences = {key: found.get(key, ABSENT) for key in {**full, **found} if found.get(key, ABSENT) != full.get(key, ABSENT)}
    return {"changes": changes, "held": dict(sorted(differences.items()))}


def rotary_cases(family, pairs):
    """Both spellings of the rotary keys, with the length before extension at the top, in the block, in both or nowhere."""
    for kind in ("linear", "dynamic", "yarn", "longrope", "llama3"):
        block = scaling(kind, pairs)
        for top in (ABSENT, 32):
            for inner in ({}, dict(original_max_position_embeddings=32), dict(original_max_position_embeddings=64)):
                if top == 32 and inner.get("original_max_position_embeddings") == 64:
                    continue
                changes = {"rope_parameters": ABSENT, "original_max_position_embeddings": top,
                           "rope_scaling": {"type": kind, **block, **inner}}
                yield changes
        if kind in ("yarn", "longrope"):
            without = {key: value for key, value in block.items() if key != "factor"}
            for top in (ABSENT, 32):
                yield {"rope_parameters": ABSENT, "original_max_position_embeddings": top,
                       "rope_scaling": {"rope_type": kind, **without, "factor": None,
                                        "original_max_position_embeddings": 32}}
    for key in ("rope_theta", "rotary_emb_base"):
        yield {"rope_parameters": ABSENT, key: 7000.0}
        yield {"rope_parameters": ABSENT, key: 7000.0, "rope_scaling": {"type": "linear", "factor": 4.0}}
    for key in ("partial_rotary_factor", "rotary_pct"):
        yield {"rope_parameters": ABSENT, key: 0.5}
    yield {"rope_parameters": {"rope_type": "default"}}
    yield {"rope_parameters": {}}
    yield {"rope_parameters": None}
    for kind in ("su", "yarn"):
        for top in (ABSENT, 32):
            yield {"rope_parameters": ABSENT, "original_max_position_embeddings": top,
                   "rope_scaling": {"type": kind, **scaling("longrope", pairs),
                                    "original_max_position_embeddings": 64 if top == ABSENT else 32}}


def runs(family, kind, base, pairs):
    """Nothing if the reference loads and runs the family under this scaling, else its words."""
    block = dict(rope_type=kind, rope_theta=1000.0, **scaling(kind, pairs))
    if kind in ("yarn", "longrope", "llama3"):
        block["original_max_position_embeddings"] = 32
    changes = dict(base, rope_parameters=block, original_max_position_embeddings=32)
    if "partial_rotary_factor" in base["rope_parameters"]:
        block["partial_rotary_factor"] = base["rope_parameters"]["partial_rotary_factor"]
    if "full_attention" in base["rope_parameters"]:
        changes["rope_parameters"] = dict(base["rope_parameters"], full_attention=block)
    try:
        model = tf.AutoModelForCausalLM.from_config(tf.AutoConfig.for_model(family, **changes)).eval()
        with torch.no_grad():
            model(torch.arange(40)[None], use_cache=False)
    except Exception as error:
        return words(error)
    return None


def as_divisors(kind):
    """The library's own frequencies under `kind` as divisors of RoPE's, and the amplitude: what its LongRoPE needs to turn
    alike."""
    # Ramps that are wide enough to be seen at four pairs.
    wide = {"yarn": dict(beta_fast=8.0, beta_slow=0.1), "llama3": dict(low_freq_factor=0.1)}
    block = dict(rope_type=kind, rope_theta=1000.0, original_max_position_embeddings=32,
                 **{**scaling(kind, 4), **wide.get(kind, {})})
    config = tf.LlamaConfig(**LLAMA, rope_parameters=block)
    found, amplitude = ROPE_INIT_FUNCTIONS[kind](config, "cpu")
    plain = 1.0 / 1000.0 ** (torch.arange(0, 8, 2).float() / 8)
    return {"divisors": [round(x, 6) for x in (plain / found).tolist()], "amplitude": amplitude}


def written(found):
    """A family as JSON, one case per line."""
    cases = ",\n".join(json.dumps(case) for case in found.pop("cases"))
    parts = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in found.items()]
    return "{" + ",\n".join([*parts, f'"cases": [\n{cases}\n]']) + "}\n"


def main():
    tf.utils.logging.set_verbosity_error()
    OUT.mkdir(exist_ok=True)
    divisors = {kind: as_divisors(kind) for kind in ("linear", "yarn", "llama3")}
    (OUT / "divisors.json").write_text(json.dumps(divisors) + "\n")
    for family, base in FAMILIES.items():
        full = made(family, {}, base)
        changes = [{key: ABSENT for key in full if key != "model_type"}]
        for key in full:
            if key != "model_type":
                changes += [{key: ABSENT}, {key: None}]
        changes += MORE.get(family, [])
        found = {"given": dict(base, model_type=family), "full": full}
        if "rope_parameters" in base:
            changes += rotary_cases(family, PLAIN_PAIRS[family])
            kinds = ("default", "linear", "dynamic", "yarn", "longrope", "llama3")
            found["loads"] = {kind: runs(family, kind, base, PAIRS[family]) for kind in kinds}
        found["cases"] = [outcome(family, change, base, full) for change in changes]
        refused = sum("refused" in case for case in found["cases"])
        print(f"{family}: {len(found['cases'])} cases, {refused} refused")
        (OUT / f"{family}.json").write_text(written(found))


if __name__ == "__main__":
    main()
