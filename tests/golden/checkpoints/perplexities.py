"""Perplexities of a trained Llama-like checkpoint under five scalings, by the reference library and by `farspan eval`.

    python tests/golden/checkpoints/perplexities.py target/release/farspan CHECKPOINT TEXT [LENGTH …]

The reference half is a plain loop: tokenizer of the library, float32 model with `rope_parameters` set, one forward pass
per window, cross entropy in float64. Protocols: consecutive windows, and windows that slide by three eighths of their
length. Prints both numbers and fails where they differ in the fourth digit (relative 5e-5).
"""

import json
import math
import pathlib
import subprocess
import sys

import torch
import transformers as tf

PAIRS_LONG = [1.0, 2.0, 4.0, 8.0]


def schemes(config, trained):
    """Our scheme beside the reference's rope block."""
    theta = config.rope_parameters["rope_theta"]
    pairs = (getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads) // 2
    long = [PAIRS_LONG[p * len(PAIRS_LONG) // pairs] for p in range(pairs)]
    base = dict(rope_theta=theta)
    original = dict(original_max_position_embeddings=trained)
    lists = f"short_factors={[1.0] * pairs},long_factors={long}".replace(" ", "")
    return {
        "own": dict(base, rope_type="default"),
        "pi,factor=2": dict(base, rope_type="linear", factor=2.0),
        "dynamic-ntk,factor=2": dict(base, rope_type="dynamic", factor=2.0),
        "yarn,factor=4": dict(base, rope_type="yarn", factor=4.0, **original),
        "llama3,factor=8,low_freq_factor=1,high_freq_factor=4": dict(
            base, rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, **original),
        f"longrope,factor=4,{lists}": dict(
            base, rope_type="longrope", factor=4.0, short_factor=[1.0] * pairs, long_factor=long, **original),
    }


def windows(tokens, length, stride):
    """(fed from, fed to, scored from): consecutive windows if they do not slide."""
    end = tokens - 1
    if stride is None:
        return [(k * length, (k + 1) * length, k * length) for k in range(end // length)]
    starts = range(0, end - length + stride, stride)
    return [(s, min(s + length, end), 0 if s == 0 else s - stride + length) for s in starts if s == 0 or s - stride + length < end]


def reference(folder, block, ids, length, stride):
    loss, count = 0.0, 0
    for start, end, scored in windows(len(ids), length, stride):
        # Fresh, for dynamic scaling remembers the longest text.
        model = tf.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        model.config.rope_parameters = dict(block)
        model.model.rotary_emb = type(model.model.rotary_emb)(config=model.config)
        with torch.no_grad():
            logits = model(torch.tensor([ids[start:end]]), use_cache=False).logits[0]
        rows = logits[scored - start:].double().log_softmax(-1)
        targets = torch.tensor(ids[scored + 1:end + 1])
        loss -= rows[torch.arange(len(targets)), targets].sum().item()
        count += len(targets)
    return math.exp(loss / count), count


def ours(program, folder, scheme, text, length, stride):
    command = [program, "eval", "--model", folder, "--scheme", scheme, "--lengths", str(length), "--json", text]
    if stride:
        command += ["--protocol", "sliding", "--stride", str(stride)]
    row = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["rows"][0]
    return row["scored"]["perplexity"], row["scored"]["tokens"]


def main():
    program, folder, text, *lengths = sys.argv[1:]
    tf.utils.logging.set_verbosity_error()
    tf.utils.logging.disable_progress_bar()
    config = tf.AutoConfig.from_pretrained(folder)
    trained = config.max_position_embeddings
    lengths = [int(n) for n in lengths] or [trained // 2, trained, trained + 1, 2 * trained]
    ids = tf.AutoTokenizer.from_pretrained(folder)(pathlib.Path(text).read_bytes().decode())["input_ids"]
    bad = 0
    for scheme, block in schemes(config, trained).items():
        for length in lengths:
            for stride in (None, length * 3 // 8):
                expected, tokens = reference(folder, block, ids, length, stride)
                found, scored = ours(program, folder, scheme, text, length, stride)
                fine = tokens == scored and abs(found / expected - 1) < 5e-5
                bad += not fine
                kind = f"stride {stride}" if stride else "blocks"
                print(f"{' ' if fine else '!'} {scheme[:24]:24} {length:5} {kind:11} {tokens:6} / {scored:6} tokens "
                      f"{expected:10.4f} {found:10.4f}", flush=True)
    sys.exit(bad > 0)


main()
