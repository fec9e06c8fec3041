"""Checkpoints that `farspan finetune` saves, loaded by the reference library: the same logits as `farspan logits`.

    python tests/golden/checkpoints/saved.py target/release/farspan CHECKPOINT TEXT [--keep FOLDER]

Trains CHECKPOINT for two steps under every scheme that has a form in config.json, saves it (in float32, in shards, in
bfloat16, with adapters), and compares the logits of the saved folder in both programs at lengths inside, at and past the
trained and the extended length. A fresh reference model per length. Fails above 1e-4 (relative to the largest logit).
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers as tf
from safetensors.torch import load_file

SCHEMES = [
    ("own", []),
    ("pi,factor=4", []),
    ("ntk,factor=4", ["--shard", "200000"]),
    ("dynamic-ntk", []),
    ("dynamic-ntk,factor=2", ["--lora", "4"]),
    ("yarn,factor=4", ["--dtype", "bfloat16"]),
    ("yarn,factor=4,attention_factor=1.1,truncate=false", ["--shard", "200000", "--dtype", "float16"]),
    ("yarn,factor=4,mscale=0.7,mscale_all_dim=0.5", ["--checkpointing"]),
    ("llama3,factor=4,low_freq_factor=1,high_freq_factor=4", []),
    ("longrope", []),
    ("abf,base=500000", []),
]


def ran(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    return None if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("program")
    options.add_argument("checkpoint", type=pathlib.Path)
    options.add_argument("text", type=pathlib.Path)
    options.add_argument("--keep", type=pathlib.Path)
    options = options.parse_args()
    tf.utils.logging.set_verbosity_error()
    tf.utils.logging.disable_progress_bar()
    config = tf.AutoConfig.from_pretrained(options.checkpoint)
    trained = config.max_position_embeddings
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    pairs = int(head * (config.rope_parameters or {}).get("partial_rotary_factor", 1)) // 2
    lists = [1.0 + 0.5 * p for p in range(pairs)], [1.0 + 2.0 * p for p in range(pairs)]
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, config.vocab_size, (6 * trained,), generator=generator).tolist()
    bad = 0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = options.keep or pathlib.Path(scratch)
        scratch.mkdir(exist_ok=True)
        for number, (scheme, more) in enumerate(SCHEMES):
            if scheme == "longrope":
                short, long = (str(values).replace(" ", "") for values in lists)
                scheme = f"longrope,factor=4,short_factors={short},long_factors={long}"
            out = scratch / f"saved-{number}"
            command = [
                options.program, "finetune", "--model", options.checkpoint, "--length", 2 * trained, "--steps", 2, "--batch", 1,
                "--lengths", trained, "--segments", 1, "--out", out, *more, *([] if scheme == "own" else ["--scheme", scheme]),
                options.text]
            refusal = ran(command)
            if refusal:
                bad += 1
                print(f"! {scheme[:50]:50} {' '.join(more):30} REFUSED: {refusal}", flush=True)
                continue
            notes = []
            for length in (trained // 3, trained, trained + 1, 2 * trained, 5 * trained):
                model = tf.AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
                with torch.no_grad():
                    expected = model(torch.tensor([ids[:length]]), use_cache=False).logits[0]
                (scratch / "ids.json").write_text(json.dumps(ids[:length]))
                logits = scratch / "logits.safetensors"
                refusal = ran([options.program, "logits", "--model", out, "--ids", scratch / "ids.json", "--out", logits])
                error = float("inf") if refusal else (
                    (load_file(logits)["logits"] - expected).abs().max() / expected.abs().max()).item()
                bad += not error <= 1e-4
                notes.append(f"{length}:{error:.0e}")
            files = len(list(out.glob("*.safetensors")))
            dtype = json.loads((out / "config.json").read_text())["dtype"]
            print(f"  {scheme[:50]:50} {' '.join(more):30} {dtype}, {files} files  {' '.join(notes)}", flush=True)
    print(f"{bad} differ or are refused")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
