"""Random checkpoints of odd shapes, what `farspan logits` makes of each, and what the reference library makes of it.

    pip install torch transformers safetensors
    python tests/golden/checkpoints/sweep.py target/release/farspan [--count 60] [--seed 0] [--only FAMILY,…] [--keep FOLDER]

Where make.py writes fixtures that the tests read, this looks for what nobody thought of. Each case draws a family, a kind
of rotary scaling with all of its optional keys, sizes that are no powers of two (heads whose channels are not width /
heads, grouped and single key/value heads), biases, windows, tied heads, activations, eps, base, the spelling of the config
(versions 4 and 5), the precision of storage and whether the weights are in shards. The reference reads the same folder in
float32, a fresh model per length, for dynamic scaling remembers the longest text. Lengths are inside, at, one past and far
past the trained length.

Prints the largest difference of the logits relative to the largest logit, case by case, and fails if one is above 1e-4 or
refused. `--case N` repeats one.
"""

import argparse
import collections
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import dense_sweep
import remote
import torch
import transformers as tf
from draws import ACTIVATIONS, KINDS, NOTHING, maybe, scaling, sizes
from safetensors.torch import load_file, save_file

TOLERANCE = 1e-4


def llama_like(draw, family, trained):
    s = sizes(draw, family != "phi3")
    partial = draw.choice([1.0, 1.0, 0.5]) if family == "phi3" and s["head_dim"] % 4 == 0 else 1.0
    kind = draw.choice(["default", "longrope"] if family == "phi3" else KINDS)
    block = scaling(draw, kind, int(s["head_dim"] * partial) // 2, trained)
    if partial != 1.0:
        block["partial_rotary_factor"] = partial
    stretched = draw.choice([trained, 4 * trained]) if kind in ("yarn", "longrope", "llama3") else trained
    more = dict(
        **NOTHING, vocab_size=draw.randint(33, 150), hidden_size=s["width"], intermediate_size=draw.randint(9, 70),
        num_hidden_layers=s["layers"], num_attention_heads=s["heads"], num_key_value_heads=s["kv_heads"],
        max_position_embeddings=stretched, rms_norm_eps=draw.choice([1e-6, 1e-5, 1e-3, 0.1]),
        hidden_act=draw.choice(ACTIVATIONS), tie_word_embeddings=draw.random() < 0.5, rope_parameters=block,
    )
    bias = dict(attention_bias=draw.random() < 0.5)
    window = draw.choice([1, 5, trained - 1, trained + 3])
    kinds = [draw.choice(["full_attention", "sliding_attention"]) for _ in range(s["layers"])]
    if family == "llama":
        return tf.LlamaConfig(**more, **bias, mlp_bias=draw.random() < 0.5, head_dim=s["head_dim"])
    if family == "mistral":
        return tf.MistralConfig(**more, head_dim=s["head_dim"], sliding_window=draw.choice([None, window]))
    if family in ("qwen2", "qwen3"):
        typed = maybe(draw, dict(layer_types=kinds), 0.4)
        more |= typed
        # The reference cannot run windowed layers without a window.
        more |= dict(use_sliding_window=bool(typed) or draw.random() < 0.7, sliding_window=window, max_window_layers=draw.randint(0, 3))
        if family == "qwen3":
            return tf.Qwen3Config(**more, **bias, head_dim=s["head_dim"])
        if s["width"] // s["heads"] % 2:
            more["hidden_size"] += s["heads"]
        pairs = more["hidden_size"] // s["heads"] // 2
        more["rope_parameters"] = scaling(draw, kind, pairs, trained)
        return tf.Qwen2Config(**more)
    if family == "phi3":
        window = draw.choice([None, window])
        # The switch of a Phi-3 goes by the key at the top.
        return tf.Phi3Config(**more, original_max_position_embeddings=trained, sliding_window=window)
    del more["hidden_act"]
    caps = dict(attn_logit_softcapping=draw.choice([None, 1.0, 20.0]), final_logit_softcapping=draw.choice([None, 3.0, 30.0]))
    return tf.Gemma2Config(
        **more, **bias, **caps, head_dim=s["head_dim"], query_pre_attn_scalar=draw.choice([4, 24, 100]), sliding_window=window,
        hidden_activation=draw.choice(ACTIVATIONS), **maybe(draw, dict(layer_types=kinds), 0.4))


def gpt_neox(draw, trained):
    s = sizes(draw, False)
    partial = draw.choice([x for x in (0.25, 0.4, 0.5, 1.0) if int(s["head_dim"] * x) % 2 == 0 and int(s["head_dim"] * x) > 2])
    block = scaling(draw, draw.choice(KINDS), int(s["head_dim"] * partial) // 2, trained)
    return tf.GPTNeoXConfig(
        **NOTHING, vocab_size=draw.randint(33, 150), hidden_size=s["width"], intermediate_size=draw.randint(9, 70),
        num_hidden_layers=s["layers"], num_attention_heads=s["heads"], max_position_embeddings=trained,
        use_parallel_residual=draw.random() < 0.5, attention_bias=draw.random() < 0.5, hidden_act=draw.choice(ACTIVATIONS),
        layer_norm_eps=draw.choice([1e-5, 1e-2]), tie_word_embeddings=draw.random() < 0.5,
        rope_parameters={**block, "partial_rotary_factor": partial})


def gpt2(draw, trained):
    s = sizes(draw, False)
    return tf.GPT2Config(
        **NOTHING, vocab_size=draw.randint(33, 150), n_embd=s["width"], n_layer=s["layers"], n_head=s["heads"],
        n_positions=2 * trained, n_inner=draw.choice([None, 37]), activation_function=draw.choice(ACTIVATIONS),
        tie_word_embeddings=draw.random() < 0.5, layer_norm_epsilon=draw.choice([1e-5, 1e-2]),
        scale_attn_weights=draw.random() < 0.7, scale_attn_by_inverse_layer_idx=draw.random() < 0.3)


def bloom(draw, trained):
    s = sizes(draw, False, ALIBI_HEADS)
    return tf.BloomConfig(
        **NOTHING, vocab_size=draw.randint(33, 150), hidden_size=s["width"], n_layer=s["layers"], n_head=s["heads"],
        apply_residual_connection_post_layernorm=draw.random() < 0.5, tie_word_embeddings=draw.random() < 0.5,
        layer_norm_epsilon=draw.choice([1e-5, 1e-2]))


def mpt(draw, trained):
    s = sizes(draw, False, ALIBI_HEADS)
    return tf.MptConfig(
        **NOTHING, vocab_size=draw.randint(33, 150), d_model=s["width"], n_heads=s["heads"], n_layers=s["layers"],
        max_seq_len=600, tie_word_embeddings=draw.random() < 0.5,
        attn_config={**maybe(draw, dict(clip_qkv=0.7)), **maybe(draw, dict(softmax_scale=0.2))})


def falcon(draw, trained):
    s = sizes(draw, False, ALIBI_HEADS)
    new = draw.random() < 0.4
    more = {}
    if new:
        more = dict(num_kv_heads=s["kv_heads"], num_ln_in_parallel_attn=draw.choice([None, 1, 2]))
    else:
        more = dict(multi_query=draw.random() < 0.5, parallel_attn=draw.random() < 0.5)
    return tf.FalconConfig(
        **NOTHING, vocab_size=draw.randint(33, 150), hidden_size=s["width"], num_hidden_layers=s["layers"],
        num_attention_heads=s["heads"], max_position_embeddings=trained, alibi=draw.random() < 0.4,
        new_decoder_architecture=new, bias=draw.random() < 0.5, activation=draw.choice(ACTIVATIONS),
        ffn_hidden_size=draw.choice([None, 45]), tie_word_embeddings=draw.random() < 0.5,
        layer_norm_epsilon=draw.choice([1e-5, 1e-2]),
        rope_parameters=scaling(draw, draw.choice(KINDS), s["head_dim"] // 2, trained), **more)


def with_experts(draw, trained, head_dim):
    """Sizes, rotary keys and the rest of what families with experts share, and layers, heads and a window."""
    s = sizes(draw)
    if not head_dim:
        s["head_dim"] = draw.choice([4, 6, 10])
        s["width"] = s["heads"] * s["head_dim"]
    kind = draw.choice(KINDS)
    more = dict(
        **NOTHING, vocab_size=draw.randint(33, 150), hidden_size=s["width"], intermediate_size=draw.randint(9, 50),
        num_hidden_layers=s["layers"], num_attention_heads=s["heads"], num_key_value_heads=s["kv_heads"],
        max_position_embeddings=draw.choice([trained, 4 * trained]) if kind in ("yarn", "longrope", "llama3") else trained,
        rms_norm_eps=draw.choice([1e-6, 1e-5, 1e-3, 0.1]), tie_word_embeddings=draw.random() < 0.5,
        rope_parameters=scaling(draw, kind, s["head_dim"] // 2, trained))
    if head_dim:
        more["head_dim"] = s["head_dim"]
    return s, more, draw.choice([1, 5, trained - 1, trained + 3])


def mixtral(draw, trained):
    s, more, window = with_experts(draw, trained, True)
    count = draw.randint(1, 7)
    return tf.MixtralConfig(**more, hidden_act=draw.choice(ACTIVATIONS), sliding_window=draw.choice([None, window]),
                            num_local_experts=count, num_experts_per_tok=draw.randint(1, count))


def qwen_moe(draw, trained, config):
    old = config is tf.Qwen2MoeConfig
    s, more, window = with_experts(draw, trained, not old)
    count = draw.randint(1, 9)
    more |= dict(
        hidden_act=draw.choice(ACTIVATIONS), num_experts=count, num_experts_per_tok=draw.randint(1, count),
        moe_intermediate_size=draw.randint(5, 30), norm_topk_prob=draw.random() < 0.5,
        decoder_sparse_step=draw.choice([1, 1, 2]), mlp_only_layers=draw.choice([[], [0], [1, 2]]),
        use_sliding_window=draw.random() < 0.5, sliding_window=window)
    if old:
        return config(**more, max_window_layers=draw.randint(0, 3), qkv_bias=draw.random() < 0.5,
                      shared_expert_intermediate_size=draw.randint(5, 30))
    return config(**more, attention_bias=draw.random() < 0.5)


def gpt_oss(draw, trained):
    s, more, window = with_experts(draw, trained, True)
    count = draw.randint(1, 7)
    kinds = [draw.choice(["full_attention", "sliding_attention"]) for _ in range(s["layers"])]
    return tf.GptOssConfig(
        **more, sliding_window=window, num_local_experts=count, num_experts_per_tok=draw.randint(1, count),
        attention_bias=draw.random() < 0.5, swiglu_alpha=draw.choice([1.0, 1.702]), swiglu_limit=draw.choice([0.5, 7.0]),
        **maybe(draw, dict(layer_types=kinds), 0.4))


def olmoe(draw, trained):
    s, more, _ = with_experts(draw, trained, False)
    count = draw.randint(1, 7)
    return tf.OlmoeConfig(**more, hidden_act=draw.choice(ACTIVATIONS), num_experts=count,
                          num_experts_per_tok=draw.randint(1, count), norm_topk_prob=draw.random() < 0.5,
                          attention_bias=draw.random() < 0.5)


def llama4(draw, trained):
    s, more, window = with_experts(draw, trained, True)
    count = draw.randint(1, 5)
    turns = [draw.choice([0, 1]) for _ in range(s["layers"])]
    kinds = [draw.choice(["full_attention", "chunked_attention"]) for _ in range(s["layers"])]
    return tf.Llama4TextConfig(
        **more, intermediate_size_mlp=draw.randint(5, 40), num_local_experts=count, hidden_act=draw.choice(ACTIVATIONS),
        num_experts_per_tok=draw.randint(1, count), interleave_moe_layer_step=draw.choice([1, 2]),
        use_qk_norm=draw.random() < 0.7, no_rope_layer_interval=draw.choice([2, 4]), attention_chunk_size=window,
        attn_temperature_tuning=draw.random() < 0.7, floor_scale=draw.choice([3, 20]), attn_scale=draw.choice([0.1, 0.4]),
        attention_bias=draw.random() < 0.5, **maybe(draw, dict(no_rope_layers=turns)), **maybe(draw, dict(layer_types=kinds), 0.3))


def deepseek(draw, trained, config):
    new = config is tf.DeepseekV3Config
    s, more, _ = with_experts(draw, trained, False)
    rotary = draw.choice([4, 6, 8])
    groups, each = draw.choice([1, 2, 3]), draw.choice([2, 3])
    open_groups = draw.randint(1, groups)
    more |= dict(
        hidden_act=draw.choice(ACTIVATIONS), num_key_value_heads=s["heads"], qk_rope_head_dim=rotary,
        qk_nope_head_dim=draw.choice([2, 5, 12] if new else [2, 6, 12]), v_head_dim=draw.choice([4, 9, 21]), kv_lora_rank=draw.choice([6, 14]),
        q_lora_rank=draw.choice([None, 11]), attention_bias=draw.random() < 0.3, n_routed_experts=groups * each,
        num_experts_per_tok=draw.randint(1, open_groups * each), moe_intermediate_size=draw.randint(5, 30),
        n_shared_experts=draw.choice([1, 2]), first_k_dense_replace=draw.choice([0, 1, 2]), n_group=groups,
        topk_group=open_groups, routed_scaling_factor=draw.choice([1.0, 2.5]),
        rope_parameters=scaling(draw, more["rope_parameters"]["rope_type"], rotary // 2, trained))
    if new:
        return config(**more, rope_interleave=draw.random() < 0.7, norm_topk_prob=draw.random() < 0.7)
    return config(**more, topk_method=draw.choice(["greedy", "group_limited_greedy"]))


# ALiBi's slopes are powers of two up to eight heads.
ALIBI_HEADS = (1, 2, 3, 6, 11, 12)
LLAMAS = ["llama", "llama", "mistral", "qwen2", "qwen3", "phi3", "gemma2"]
OTHERS = dict(
    gpt_neox=gpt_neox, falcon=falcon, gpt2=gpt2, bloom=bloom, mpt=mpt, mixtral=mixtral, gpt_oss=gpt_oss,
    olmoe=olmoe, llama4_text=llama4,
    qwen2_moe=lambda draw, trained: qwen_moe(draw, trained, tf.Qwen2MoeConfig),
    qwen3_moe=lambda draw, trained: qwen_moe(draw, trained, tf.Qwen3MoeConfig),
    deepseek_v2=lambda draw, trained: deepseek(draw, trained, tf.DeepseekV2Config),
    deepseek_v3=lambda draw, trained: deepseek(draw, trained, tf.DeepseekV3Config))
FAMILIES = LLAMAS + ["gpt_neox", "falcon", *OTHERS]
OTHERS |= dense_sweep.FAMILIES
FAMILIES += [*dense_sweep.FAMILIES, *dense_sweep.REMOTE]
# Those with a table for the longest text.
SHORT = {"gpt2", "gptj", "codegen", "opt", "gpt_neo"}


def fill(model, generator):
    """Weights that make attention sharp and gradients of rounding errors small."""
    less_one = model.config.model_type in ("gemma", "gemma2", "gemma3_text", "nemotron")
    with torch.no_grad():
        for key, tensor in model.named_parameters():
            drawn = torch.randn(tensor.shape, generator=generator)
            if tensor.dim() > 1:
                tensor.copy_(drawn * 1.2 / max(tensor.shape) ** 0.5)
            else:
                tensor.copy_(drawn * 0.2 + (key.endswith("weight") and not less_one))
        for key, tensor in model.named_buffers():
            if key.endswith("e_score_correction_bias"):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.2)


def respell(draw, folder):
    """The config as version 4 writes it, as version 5 does, or with both blocks."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    block = config.get("rope_parameters")
    spelling = draw.choice(["v5", "v4", "v4 type", "both"])
    layers = block is not None and "full_attention" in block
    # There the older name of a kind is not read, and the layers with a window have plain RoPE of the default base.
    if layers and (spelling == "v4 type" or block["sliding_attention"] != dense_sweep.SLIDING[config["model_type"]]):
        spelling = "v5"
    if block is None or spelling == "v5":
        return "v5"
    if layers:
        block = block["full_attention"]
    config["torch_dtype"] = config.pop("dtype", "float32")
    neox = config["model_type"] == "gpt_neox"
    old = dict(block)
    theta, partial = old.pop("rope_theta"), old.pop("partial_rotary_factor", None)
    config["rotary_emb_base" if neox else "rope_theta"] = theta
    if partial is not None:
        config["rotary_pct" if neox else "partial_rotary_factor"] = partial
    if spelling == "v4 type":
        old["type"] = old.pop("rope_type")
        if old["type"] == "longrope" and config["model_type"] == "phi3" and draw.random() < 0.5:
            old["type"] = "su"
    config["rope_scaling"] = None if block["rope_type"] == "default" else old
    if spelling != "both":
        del config["rope_parameters"]
    path.write_text(json.dumps(config, indent=2))
    return spelling


def reference(folder, ids):
    """Logits of the reference library, by a model that has read nothing else."""
    config = json.loads((folder / "config.json").read_text())
    if config["model_type"] in remote.FAMILIES:
        tensors = {key: tensor.float() for key, tensor in load_file(folder / "model.safetensors").items()}
        return remote.logits(config, tensors, ids)
    family = config["model_type"]
    # The eager form alone caps the scores of Gemma 2; that of Falcon adds ALiBi twice.
    form = "sdpa" if family == "falcon" else "eager"
    # Grouped products want sizes that are multiples of four.
    plain = dict(experts_implementation="eager") if "num_experts_per_tok" in config else {}
    model = tf.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=form, **plain).eval()
    with torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False).logits[0]


def ours(program, folder, ids, scratch, chunk):
    """Logits of `program`, or why it refuses."""
    (scratch / "ids.json").write_text(json.dumps(ids))
    out = scratch / "logits.safetensors"
    command = [program, "logits", "--model", folder, "--ids", scratch / "ids.json", "--out", out, "--chunk", str(chunk)]
    ran = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    return (load_file(out)["logits"], None) if ran.returncode == 0 else (None, ran.stderr.strip())


def case(program, number, seed, folder, scratch):
    """One random checkpoint; the worst relative error, or why there is none."""
    draw = random.Random(f"{seed}/{number}")
    family = FAMILIES[number % len(FAMILIES)]
    trained = draw.choice([12, 16, 23])
    if family in dense_sweep.REMOTE:
        return remote_case(program, number, draw, trained, (family, folder, scratch))
    config = OTHERS[family](draw, trained) if family in OTHERS else llama_like(draw, family, trained)
    model = tf.AutoModelForCausalLM.from_config(config).float()
    fill(model, torch.Generator().manual_seed(draw.getrandbits(32)))
    storage = draw.choice([torch.float32, torch.bfloat16, torch.float16])
    shards = draw.random() < 0.3
    model.to(storage).save_pretrained(folder, max_shard_size="8KB" if shards else "5GB")
    spelling = respell(draw, folder)
    lengths = [trained // 2, trained, trained + 1, 2 * trained, *([] if family in SHORT else [4 * trained + 1, 600])]
    ids = [draw.randrange(config.vocab_size) for _ in range(max(lengths))]
    kind = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "")
    title = f"{number:3} {family:11} {kind:8} {spelling:7} {str(storage)[6:]:8} {'shards' if shards else '':6}"
    return family, title, *compared(program, folder, scratch, draw, ids, lengths)


def remote_case(program, number, draw, trained, places):
    """The same for families whose reference is no part of the library."""
    family, folder, scratch = places
    config = dense_sweep.REMOTE[family](draw, trained)
    generator = torch.Generator().manual_seed(draw.getrandbits(32))
    storage = draw.choice([torch.float32, torch.bfloat16, torch.float16])
    tensors = {}
    for key, shape in remote.shapes(config).items():
        drawn = torch.randn(shape, generator=generator)
        # As in `fill`; the head of many words is as wide as the stream.
        drawn = drawn * 1.2 / min(max(shape), 100) ** 0.5 if len(shape) > 1 else drawn * 0.2 + key.endswith("weight")
        tensors[key] = drawn.to(storage)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    save_file(tensors, folder / "model.safetensors")
    lengths = [trained // 2, trained, trained + 1, 2 * trained, 4 * trained + 1]
    ids = [draw.randrange(config["vocab_size"]) for _ in range(max(lengths))]
    kind = (config.get("rope_scaling") or {}).get("type", "")
    title = f"{number:3} {family:11} {kind:8} {'remote':7} {str(storage)[6:]:8} {'':6}"
    return family, title, *compared(program, folder, scratch, draw, ids, lengths)


def compared(program, folder, scratch, draw, ids, lengths):
    """The worst relative error over texts of `lengths`, or nothing; and a note."""
    errors = []
    for length in lengths:
        expected = reference(folder, ids[:length])
        found, refusal = ours(program, folder, ids[:length], scratch, draw.choice([5, 512]))
        if refusal:
            return None, refusal
        errors.append(((found - expected).abs().max() / expected.abs().max()).item())
    return max(errors), " ".join(f"{length}:{error:.0e}" for length, error in zip(lengths, errors))


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("program")
    options.add_argument("--count", type=int, default=60)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--case", type=int)
    options.add_argument("--families", help="cases of these alone, separated by commas")
    options.add_argument("--keep", type=pathlib.Path, help="folder where the checkpoints stay")
    options = options.parse_args()
    tf.utils.logging.set_verbosity_error()
    tf.utils.logging.disable_progress_bar()
    worst, bad = collections.defaultdict(float), 0
    numbers = range(options.count) if options.case is None else [options.case]
    if options.families:
        asked = options.families.split(",")
        numbers = [n for n in range(options.count * len(FAMILIES)) if FAMILIES[n % len(FAMILIES)] in asked][:options.count]
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        for number in numbers:
            folder = (options.keep or scratch) / f"case-{number}"
            family, title, error, note = case(options.program, number, options.seed, folder, scratch)
            fine = error is not None and error <= TOLERANCE
            bad += not fine
            worst[family] = max(worst[family], error or 0.0)
            print("  " if fine else "! ", title, note if error is not None else f"REFUSED: {note}", flush=True)
    for family, error in sorted(worst.items()):
        print(f"{family:12} {error:.1e}")
    print(f"{len(numbers)} cases, {bad} differ or are refused")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
