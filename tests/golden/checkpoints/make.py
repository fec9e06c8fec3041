"""Tiny random checkpoints of every family and every kind of rotary scaling, with the reference library's logits.

    pip install torch transformers safetensors && python tests/golden/checkpoints/make.py [CASE …]

Families that differ from Llama in norms, blocks, multipliers or the layers that turn stand in dense.py, those whose reference
is code beside the weights in remote.py.

For the cases in `GROWN`, grown.json has a text that goes on greedily from 26 tokens across the trained length: the ids, and
the logits that each new token was taken from, by a fresh model without a cache at every step.

One folder per case: config.json as the reference saves it, model.safetensors (bf16, so that files stay small; the
reference computes in float32 from the same rounded numbers), and expected.json with token ids per length, the logits of
three positions and the norm of all. The scalings of one family share the weights in its `-default` folder. Written with transformers 5.23.0 and torch 2.15.0.
"""

import json
import pathlib
import shutil
import sys
import zlib

import dense
import remote
import torch
import transformers as tf
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
VOCAB, WIDTH, LAYERS, HEADS, TRAINED = 64, 32, 2, 4, 32
LENGTHS = [20, 32, 33, 80]
# Where positions and their products with slopes have more digits than bfloat16.
FAR = {"falcon-alibi-far": [20, 300, 600]}

# Families and scalings that follow the length in use, and some that do not.
GROWN = [
    "phi3-across", "phi3-longrope", "llama-longrope", "llama-longrope-amplitude", "llama-dynamic", "mistral-dynamic",
    "gpt_neox-dynamic", "qwen3-longrope", "gemma2-dynamic", "falcon-dynamic", "falcon-alibi", "llama-yarn",
]
PROMPT, MORE = 26, 24

LLAMA = dict(
    vocab_size=VOCAB, hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
    num_key_value_heads=2, max_position_embeddings=TRAINED, bos_token_id=None, eos_token_id=None, pad_token_id=None,
)


def rope(kind, theta=1000.0, **more):
    return dict(rope_type=kind, rope_theta=theta, **more)


PAIRS = WIDTH // HEADS // 2
SCALINGS = {
    "default": rope("default"),
    "linear": rope("linear", factor=3.0),
    "dynamic": rope("dynamic", factor=2.0),
    "yarn": rope("yarn", factor=4.0, original_max_position_embeddings=TRAINED, beta_fast=8.0, beta_slow=1.0),
    "longrope": rope(
        "longrope", factor=4.0, original_max_position_embeddings=TRAINED,
        short_factor=[1.0, 1.1, 1.2, 1.3][:PAIRS], long_factor=[1.5, 2.5, 3.5, 4.0][:PAIRS],
    ),
    "llama3": rope(
        "llama3", factor=8.0, original_max_position_embeddings=TRAINED, low_freq_factor=1.0, high_freq_factor=4.0,
    ),
}


def llama_like(config, **more):
    return lambda scaling: config(**{**LLAMA, "rope_parameters": dict(scaling), **more})


FAMILIES = {
    "llama": llama_like(tf.LlamaConfig),
    "mistral": llama_like(tf.MistralConfig, sliding_window=24, head_dim=8),
    "qwen2": llama_like(tf.Qwen2Config, tie_word_embeddings=True),
    "qwen3": llama_like(tf.Qwen3Config, head_dim=8),
    "mixtral": llama_like(tf.MixtralConfig, head_dim=8, intermediate_size=16, sliding_window=24, num_local_experts=4),
    "qwen2_moe": llama_like(
        tf.Qwen2MoeConfig, moe_intermediate_size=16, shared_expert_intermediate_size=20, num_experts=5, num_experts_per_tok=2,
        use_sliding_window=True, sliding_window=24, max_window_layers=3),
    "qwen3_moe": llama_like(
        tf.Qwen3MoeConfig, head_dim=12, moe_intermediate_size=12, num_experts=6, num_experts_per_tok=3, num_hidden_layers=3,
        mlp_only_layers=[1], norm_topk_prob=True),
    "olmoe": llama_like(tf.OlmoeConfig, intermediate_size=12, num_experts=5, num_experts_per_tok=2),
    "gpt_oss": llama_like(
        tf.GptOssConfig, head_dim=8, intermediate_size=12, sliding_window=9, num_local_experts=4, num_experts_per_tok=2,
        swiglu_limit=0.8, num_hidden_layers=3),
}

CASES = {f"{family}-{kind}": (make, scaling) for family, make in FAMILIES.items() for kind, scaling in SCALINGS.items()}
SIX_PAIRS = dict(short_factor=[1.0, 1.1, 1.2, 1.3, 1.4, 1.5], long_factor=[1.5, 2.5, 3.5, 4.0, 4.5, 5.0])
CASES["qwen3_moe-longrope"] = (FAMILIES["qwen3_moe"], {**SCALINGS["longrope"], **SIX_PAIRS})

SMALL = dict(bos_token_id=None, eos_token_id=None, pad_token_id=None, vocab_size=VOCAB)


def neox(parallel):
    return lambda scaling: tf.GPTNeoXConfig(
        **SMALL, hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        max_position_embeddings=TRAINED, use_parallel_residual=parallel,
        rope_parameters={**scaling, "partial_rotary_factor": 0.5},
    )


for kind in ["default", "linear", "dynamic", "yarn", "llama3"]:
    CASES[f"gpt_neox-{kind}"] = (neox(True), SCALINGS[kind])
CASES["gpt_neox-sequential"] = (neox(False), SCALINGS["default"])


def phi3(scaling):
    long = scaling["rope_type"] == "longrope"
    scaling = {k: v for k, v in scaling.items() if k not in ("factor", "original_max_position_embeddings")}
    return tf.Phi3Config(
        **{**LLAMA, "max_position_embeddings": 4 * TRAINED if long else TRAINED},
        original_max_position_embeddings=TRAINED, rope_parameters=scaling, attn_implementation="eager",
    )


for kind in ["default", "longrope"]:
    CASES[f"phi3-{kind}"] = (phi3, SCALINGS[kind])

CASES["llama-biases"] = (
    llama_like(tf.LlamaConfig, attention_bias=True, mlp_bias=True, hidden_act="gelu", head_dim=12), SCALINGS["default"])
CASES["qwen2-windows"] = (
    llama_like(tf.Qwen2Config, use_sliding_window=True, sliding_window=9, max_window_layers=1), SCALINGS["default"])
CASES["gemma2"] = (
    llama_like(tf.Gemma2Config, head_dim=8, query_pre_attn_scalar=12, sliding_window=11, attn_logit_softcapping=2.0,
               final_logit_softcapping=5.0, attn_implementation="eager"), SCALINGS["default"])


def llama4(layers=3, **more):
    return lambda scaling: tf.Llama4TextConfig(**{
        **LLAMA, "head_dim": 8, "intermediate_size": 12, "intermediate_size_mlp": 20, "num_hidden_layers": layers,
        "num_local_experts": 3, "no_rope_layers": [1, 0, 1][:layers], "moe_layers": [1, 2], "attention_chunk_size": 24,
        "floor_scale": 7, "attn_scale": 0.3, "rms_norm_eps": 0.01, "rope_parameters": dict(scaling), **more})


for kind in SCALINGS:
    CASES[f"llama4_text-{kind}"] = (llama4(), SCALINGS[kind])
CASES["llama4_text-two"] = (
    llama4(layers=2, num_experts_per_tok=2, use_qk_norm=False, attn_temperature_tuning=False, attention_bias=True,
           layer_types=["chunked_attention", "chunked_attention"], attention_chunk_size=9), SCALINGS["default"])
# The scaling that its checkpoints have, with eight pairs of which three are in the ramp.
CASES["gpt_oss-untruncated"] = (
    lambda scaling: tf.GptOssConfig(**{
        **LLAMA, "head_dim": 16, "intermediate_size": 12, "num_local_experts": 4, "num_experts_per_tok": 2,
        "sliding_window": 40, "attention_bias": False, "rope_parameters": dict(scaling)}),
    {**SCALINGS["yarn"], "rope_theta": 100.0, "beta_fast": 4.0, "truncate": False})


# Heads of twelve channels for scores, eight of which turn, and of ten for values, or of thirteen.
def deepseek(config, layers=2, **more):
    return lambda scaling: config(**{
        **LLAMA, "num_key_value_heads": HEADS, "num_hidden_layers": layers, "moe_intermediate_size": 12, "n_routed_experts": 8,
        "num_experts_per_tok": 3, "n_group": 4, "topk_group": 2, "q_lora_rank": 14, "kv_lora_rank": 10, "qk_nope_head_dim": 4,
        "qk_rope_head_dim": 8, "v_head_dim": 10, "first_k_dense_replace": 1, "routed_scaling_factor": 1.7,
        "rope_parameters": dict(scaling), **more})


for kind in SCALINGS:
    CASES[f"deepseek_v3-{kind}"] = (deepseek(tf.DeepseekV3Config, n_shared_experts=2), SCALINGS[kind])
    CASES[f"deepseek_v2-{kind}"] = (
        deepseek(tf.DeepseekV2Config, topk_method="group_limited_greedy", n_shared_experts=1), SCALINGS[kind])
CASES["deepseek_v3-mscale"] = (
    deepseek(tf.DeepseekV3Config, q_lora_rank=None, v_head_dim=13, rope_interleave=False, attention_bias=True, layers=1,
             first_k_dense_replace=0),
    {**SCALINGS["yarn"], "mscale": 1.0, "mscale_all_dim": 0.7})
CASES["deepseek_v2-greedy"] = (
    deepseek(tf.DeepseekV2Config, q_lora_rank=None, topk_method="greedy", n_group=None, topk_group=None, layers=1,
             first_k_dense_replace=0),
    {**SCALINGS["yarn"], "mscale_all_dim": 0.7})
# What the defaults of the other cases would hide.
CASES["llama-eps"] = (llama_like(tf.LlamaConfig, rms_norm_eps=0.1), SCALINGS["default"])
CASES["bloom-eps"] = (lambda _: tf.BloomConfig(
    **SMALL, hidden_size=WIDTH, n_layer=LAYERS, n_head=HEADS, layer_norm_epsilon=0.1), None)
# Eight pairs, three of them in the ramp, so that its ends matter.
CASES["llama-yarn-amplitude"] = (
    llama_like(tf.LlamaConfig, head_dim=16),
    {**SCALINGS["yarn"], "rope_theta": 100.0, "beta_fast": 4.0, "attention_factor": 1.4, "truncate": False})
CASES["llama-yarn-mscale"] = (llama_like(tf.LlamaConfig), {**SCALINGS["yarn"], "mscale": 2.0, "mscale_all_dim": 0.5})
CASES["llama-longrope-amplitude"] = (llama_like(tf.LlamaConfig), {**SCALINGS["longrope"], "attention_factor": 1.4})
CASES["gpt2"] = (lambda _: tf.GPT2Config(
    **SMALL, n_positions=96, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS), None)
CASES["gpt2-unscaled"] = (lambda _: tf.GPT2Config(
    **SMALL, n_positions=96, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, n_inner=40, scale_attn_weights=False,
    scale_attn_by_inverse_layer_idx=True, activation_function="relu", tie_word_embeddings=False), None)
CASES["bloom"] = (lambda _: tf.BloomConfig(**SMALL, hidden_size=36, n_layer=LAYERS, n_head=6), None)
CASES["bloom-from-norm"] = (lambda _: tf.BloomConfig(
    **SMALL, hidden_size=WIDTH, n_layer=LAYERS, n_head=HEADS, apply_residual_connection_post_layernorm=True), None)
# The reference reads alibi_bias_max but always computes with 8 (its models were trained with what the key says).
CASES["mpt"] = (lambda _: tf.MptConfig(
    **SMALL, d_model=36, n_heads=6, n_layers=LAYERS, max_seq_len=96,
    attn_config=dict(alibi_bias_max=8, clip_qkv=0.6, softmax_scale=0.3)), None)


def falcon(**more):
    return lambda scaling: tf.FalconConfig(
        **SMALL, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        max_position_embeddings=TRAINED, rope_parameters=dict(scaling), **more)


CASES["falcon-alibi"] = (falcon(alibi=True, multi_query=False, parallel_attn=False, bias=True), SCALINGS["default"])
# Slopes that are no powers of two, which the reference rounds to bfloat16, as it does their products with positions.
CASES["falcon-alibi-far"] = (lambda scaling: tf.FalconConfig(
    **SMALL, hidden_size=72, num_hidden_layers=1, num_attention_heads=12, max_position_embeddings=TRAINED, alibi=True,
    multi_query=True, parallel_attn=True, rope_parameters=dict(scaling)), SCALINGS["default"])
CASES["falcon-one-head"] = (falcon(), SCALINGS["default"])
CASES["falcon-groups"] = (falcon(new_decoder_architecture=True, num_kv_heads=2), SCALINGS["default"])


# Other families under the scalings that they load; weights are those of "-default".
gemma2 = llama_like(tf.Gemma2Config, head_dim=8, query_pre_attn_scalar=12, sliding_window=11, attn_logit_softcapping=2.0,
                    final_logit_softcapping=5.0, attn_implementation="eager")
for kind in SCALINGS:
    CASES[f"gemma2-{kind}"] = (gemma2, SCALINGS[kind])
    CASES[f"falcon-{kind}"] = (falcon(), SCALINGS[kind])
CASES["gpt_neox-longrope"] = (neox(True), {**SCALINGS["longrope"], "short_factor": [1.0, 1.2], "long_factor": [1.5, 3.5]})


# Three layers: re-turning cached keys would do for one.
def phi3_across(_):
    return tf.Phi3Config(
        vocab_size=VOCAB, hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=3, num_attention_heads=HEADS,
        num_key_value_heads=HEADS, max_position_embeddings=256, original_max_position_embeddings=TRAINED,
        bos_token_id=None, eos_token_id=None, pad_token_id=None, attn_implementation="eager",
        rope_parameters=rope("longrope", 1e4, long_factor=[1.5, 3.0, 5.0, 8.0], short_factor=[1.0, 1.05, 1.1, 1.2],
                             original_max_position_embeddings=TRAINED))


CASES["phi3-across"] = (phi3_across, None)
CASES |= dense.cases(SCALINGS)
DENSE = {name.partition("-")[0] for name in dense.cases(SCALINGS)}
# Their norms are stored less 1.
LESS_ONE = {"gemma", "gemma2", "gemma3_text", "nemotron"}


def grown(model, config, ids):
    """Greedy continuation of `ids`; the reference's own cached generation must agree where the family takes care of it."""
    rows = []
    with torch.no_grad():
        for _ in range(MORE):
            fresh = tf.AutoModelForCausalLM.from_config(config).float().eval()
            fresh.load_state_dict(model.state_dict())
            logits = fresh(torch.tensor([ids]), use_cache=False).logits[0, -1]
            rows.append([round(x, 7) for x in logits.double().tolist()])
            ids = ids + [logits.argmax().item()]
    if config.model_type == "phi3":
        own = model.generate(torch.tensor([ids[:PROMPT]]), attention_mask=torch.ones(1, PROMPT, dtype=torch.long),
                             max_new_tokens=MORE, do_sample=False, pad_token_id=0)
        assert own[0].tolist() == ids, "the library's cached generation differs"
    return {"prompt": PROMPT, "ids": ids, "rows": rows}


def text(ids, logits, rows):
    return {
        "ids": ids,
        "rows": {str(row): [round(x, 7) for x in logits[row].tolist()] for row in sorted(rows)},
        "norm": logits.norm().item(),
    }


def make_remote(name, config):
    """The same for code beside the weights, which `remote` has written down a second time."""
    family, _, kind = name.partition("-")
    shared = kind in remote.SCALINGS
    torch.manual_seed(zlib.crc32((f"{family}-default" if shared else name).encode()))
    tensors = {}
    for key, shape in remote.shapes(config).items():
        spread, shift = (0.3, 0.0) if len(shape) > 1 else (0.2, float(key.endswith("weight")))
        tensors[key] = (torch.randn(shape) * spread + shift).bfloat16()
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    ids = torch.randint(0, config["vocab_size"], (max(dense.LENGTHS),)).tolist()
    single = {key: tensor.float() for key, tensor in tensors.items()}
    texts = []
    for length in dense.LENGTHS:
        logits = remote.logits(config, single, ids[:length]).double()
        texts.append(text(ids[:length], logits, {length // 2, length - 1}))
    expected = {"reference": f"remote.py, torch {torch.__version__}", "texts": texts}
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    if not shared:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def make(name, config):
    family, _, kind = name.partition("-")
    shared = kind in SCALINGS and kind != "default"
    torch.manual_seed(zlib.crc32((f"{family}-default" if shared else name).encode()))
    model = tf.AutoModelForCausalLM.from_config(config).float().eval()
    with torch.no_grad():
        for key, tensor in model.named_parameters():
            spread = 0.3 if tensor.dim() > 1 else 0.2
            shift = 1.0 if tensor.dim() == 1 and key.endswith("weight") and family not in LESS_ONE else 0.0
            tensor.copy_(torch.randn_like(tensor) * spread + shift)
            tensor.copy_(tensor.bfloat16().float())
        for key, tensor in model.named_buffers():
            if key.endswith("e_score_correction_bias"):
                tensor.copy_((torch.randn_like(tensor) * 0.3).bfloat16().float())
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    expected = {"reference": f"transformers {tf.__version__}, torch {torch.__version__}", "texts": []}
    lengths = FAR.get(name, dense.LENGTHS if family in DENSE else LENGTHS)
    ids = torch.randint(0, VOCAB, (max(lengths),))
    for length in lengths:
        # A model of its own per length: the reference remembers the longest text for dynamic scaling.
        fresh = tf.AutoModelForCausalLM.from_config(config).float().eval()
        fresh.load_state_dict(model.state_dict())
        with torch.no_grad():
            logits = fresh(ids[:length][None], use_cache=False).logits[0].double()
        rows = {length // 2, length - 1} if family in DENSE else {0, length // 2, length - 1}
        expected["texts"].append(text(ids[:length].tolist(), logits, rows))
    goes_on = grown(model, config, ids[:PROMPT].tolist()) if name in GROWN else None
    model.bfloat16().save_pretrained(folder)
    if goes_on:
        (folder / "grown.json").write_text(json.dumps(goes_on) + "\n")
    if shared:
        (folder / "model.safetensors").unlink()
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")


for name, (config, scaling) in CASES.items():
    if sys.argv[1:] and name not in sys.argv[1:]:
        continue
    make(name, config(scaling))
    print(name)
for name, config in remote.cases().items():
    if sys.argv[1:] and name not in sys.argv[1:]:
        continue
    make_remote(name, config)
    print(name)
