"""LongPPL of the tiny decoders of make.py, computed outside: key tokens by three evaluators, scored at several lengths.

    pip install numpy safetensors tokenizers && python tests/golden/cells/long_ppl.py

Text, tokenizer and weights are those beside it. The decoder runs in float64; each loss is read from the one window that
docs/evaluation.md says. Nothing here calls this project. The rule is that of Fang et al. 2024 (arXiv 2410.23771);
how key tokens go over to another tokenizer is as in `cal_overlap` of the authors' code (PKU-ML/LongPPL).
"""

import json
import math
import pathlib

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

HERE = pathlib.Path(__file__).parent
LENGTHS, COUNT, TEST, WIDTH, HEADS, HEAD_DIM, LAYERS = [32, 64, 128], 6, 0.4, 12, 2, 8, 2
SHORT, STRIDE, ALPHA, BETA = 12, 4, 0.3, -3.5
# Evaluators (tokenizer, scheme) of the model of bytes under ALiBi, and their long contexts; the model itself first.
EVALUATORS = [("byte", "alibi", 32), ("byte", "rope", 48), ("bpe", "rope", 30)]


def seam(data, fraction):
    at = int(len(data) * fraction)
    while data[at] & 0xC0 == 0x80:
        at -= 1
    near = data[at - min(len(data) // 64, 256):at]
    last = near.rfind(b"\n")
    assert last >= 0
    return at - len(near) + last + 1


def places(n, size):
    fit = n // size
    slack = n - fit * size
    starts = [k * size + slack * (k + 1) // (fit + 1) for k in range(fit)]
    return [starts[(2 * i + 1) * fit // (2 * COUNT)] for i in range(COUNT)]


def losses(weights, ids, scheme):
    """Loss in nats of every token of a window but the first."""
    ids = np.array(ids)
    fed, n = ids[:-1], len(ids) - 1
    norm = lambda x, w: x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * w
    x = weights["model.embed_tokens.weight"][fed] * math.sqrt(WIDTH)
    back = np.arange(n)[:, None] - np.arange(n)[None, :]
    for i in range(LAYERS):
        w = lambda part: weights[f"model.layers.{i}.{part}.weight"]
        qkv = (norm(x, w("input_layernorm")) @ w("self_attn.qkv_proj").T).reshape(n, 3, HEADS, HEAD_DIM)
        mixed = np.empty((n, HEADS, HEAD_DIM))
        for h in range(HEADS):
            q, k, v = (qkv[:, j, h] for j in range(3))
            if scheme == "rope":
                angle = np.arange(n)[:, None] * 10000.0 ** (-np.arange(0, HEAD_DIM, 2) / HEAD_DIM)
                turn = lambda a: np.concatenate([a[:, :4] * np.cos(angle) - a[:, 4:] * np.sin(angle),
                                                 a[:, 4:] * np.cos(angle) + a[:, :4] * np.sin(angle)], -1)
                q, k = turn(q), turn(k)
            scores = q @ k.T / math.sqrt(HEAD_DIM)
            if scheme == "alibi":
                scores = scores - 2.0 ** (-8.0 * (h + 1) / HEADS) * back
            scores = np.where(back < 0, -np.inf, scores)
            p = np.exp(scores - scores.max(-1, keepdims=True))
            mixed[:, h] = p / p.sum(-1, keepdims=True) @ v
        x = x + mixed.reshape(n, -1) @ w("self_attn.o_proj").T
        gate, up = np.split(norm(x, w("post_attention_layernorm")) @ w("mlp.gate_up_proj").T, 2, axis=-1)
        x = x + gate / (1 + np.exp(-gate)) * up @ w("mlp.down_proj").T
    logits = norm(x, weights["model.norm.weight"]) @ weights["model.embed_tokens.weight"].T
    logits -= logits.max(-1, keepdims=True)
    return np.log(np.exp(logits).sum(-1)) - logits[np.arange(n), ids[1:]]


def slid(model, ids, length, step):
    """Loss of every token of a segment but the first, each from the first window that holds it: windows of `length` fed
    tokens `step` apart, the last of them cut at the end."""
    weights, scheme = model
    span = len(ids) - 1
    length = min(length, span)
    found, start = [], 0
    while len(found) < span:
        window = losses(weights, ids[start:start + length + 1], scheme)
        found += window[len(found) - start:].tolist()
        start += step
    return found


def key_tokens(model, ids, long):
    """Tokens of a segment that are key: never one with fewer than SHORT tokens before it."""
    full, short = slid(model, ids, long, STRIDE), slid(model, ids, SHORT + STRIDE - 1, STRIDE)
    return [t + 1 for t in range(len(ids) - 1) if t + 1 >= SHORT and short[t] - full[t] > ALPHA and full[t] < -BETA]


def main():
    data = (HERE / "text.txt").read_bytes()
    test = data[seam(data, 1 - TEST):]
    models = {}
    for kind, scheme in [("byte", "rope"), ("byte", "alibi"), ("bpe", "rope")]:
        weights = load_file(HERE / f"{kind}-{scheme}.safetensors")
        models[kind, scheme] = ({name: value.astype(np.float64) for name, value in weights.items()}, scheme)
    measured = models["byte", "alibi"]
    bpe = Tokenizer.from_file(str(HERE / "tokenizer.json"))
    starts = places(len(test), LENGTHS[-1] + 1)
    segments = [test[s:s + LENGTHS[-1] + 1] for s in starts]
    out = dict(lengths=LENGTHS, segments=COUNT, short=SHORT, stride=STRIDE, alpha=ALPHA, beta=BETA, test=TEST, evaluators=[])
    for kind, scheme, long in EVALUATORS:
        keys = []
        for segment in segments:
            if kind == "byte":
                keys.append(key_tokens(models[kind, scheme], list(segment), long))
                continue
            # Whole characters of the segment.
            first = 0
            while segment[first] & 0xC0 == 0x80:
                first += 1
            text = segment[first:].decode(errors="ignore")
            encoding = bpe.encode(text)
            ends = [first + len(text[:end].encode()) for _, end in encoding.offsets]
            told = key_tokens(models[kind, scheme], encoding.ids, long)
            held = set()
            for t in told:
                held.update(range(ends[t - 1], ends[t]))
            # A byte is key if it lies in a key token; the first is no target.
            keys.append(sorted(b for b in held if b > 0))
        curves = []
        for length in LENGTHS:
            per_target = [slid(measured, list(segment), length, (length + 1) // 2) for segment in segments]
            nll = [sum(row[t - 1] for t in of) for row, of in zip(per_target, keys)]
            count = sum(len(of) for of in keys)
            curves.append(dict(length=length, nll=nll, long_ppl=math.exp(sum(nll) / count)))
            print(kind, scheme, length, count, f"{curves[-1]['long_ppl']:.4f}")
        out["evaluators"].append(dict(tokenizer=kind, scheme=scheme, long=long, keys=keys, curve=curves))
    rounded = json.loads(json.dumps(out), parse_float=lambda x: float(f"{float(x):.10g}"))
    (HERE / "long_ppl.json").write_text(json.dumps(rounded, separators=(",", ":")) + "\n")


main()
