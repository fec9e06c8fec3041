"""Whole cells, computed outside: tiny decoders with their weights, and every number that a cell should measure of them.

    pip install torch tokenizers safetensors numpy && python tests/golden/cells/make.py [train]

With `train`, text.txt, tokenizer.json and the weights are made anew (AdamW on windows of 32 tokens, as plain PyTorch);
without, the committed ones are read. Either way the decoder below runs in float64 over windows that are laid as
docs/evaluation.md says, and expected.json is written. Nothing here calls this project.
"""

import json
import math
import pathlib
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

HERE = pathlib.Path(__file__).parent
TRAINED, LENGTHS, SEGMENTS, STRIDE, TARGET = 32, [32, 48, 64, 128], 6, 0.5, 24
TEST = 0.4  # share of the text, at its end
LAYERS, WIDTH, HEADS, HEAD_DIM, HIDDEN, BPE = 2, 12, 2, 8, 24, 384
SCHEMES = {"rope": "rope", "dynamic-ntk": "rope", "alibi": "alibi"}  # and whose weights they read
CASES = [("byte", "rope"), ("byte", "dynamic-ntk"), ("byte", "alibi"), ("bpe", "rope"), ("bpe", "dynamic-ntk")]
BASE, FACTOR = 10000.0, 2.0


# ---- text and tokens ------------------------------------------------------------------------------------------------

def write_text():
    """Sentences out of a small stock, in five scripts, in an order that comes back to what was said before."""
    draw = torch.Generator().manual_seed(12)
    pick = lambda items: items[int(torch.randint(len(items), (1,), generator=draw))]
    who = ["the miller", "Jörg", "η Ελένη", "Никита", "小林", "the ferryman", "Zoë"]
    what = ["mends a net", "zählt die Äpfel", "γράφει ένα γράμμα", "чинит крышу", "在河边等船", "écoute la pluie"]
    where = ["by the mill.", "am Fluß.", "στην αυλή.", "у реки.", "在桥上。", "près du café."]
    lines = []
    for _ in range(210):
        name, deed = pick(who), pick(what)
        lines.append(f"{name} {deed} {pick(where)}")
        if len(lines) > 3 and int(torch.randint(3, (1,), generator=draw)) == 0:
            lines.append("Again, " + lines[-3])
        if int(torch.randint(6, (1,), generator=draw)) == 0:
            lines.append(f"“{name}?” — ‘{deed}’ …")
    (HERE / "text.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_tokenizer(train):
    from tokenizers import decoders, models, pre_tokenizers, trainers
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=BPE, initial_alphabet=alphabet, special_tokens=[], show_progress=False)
    tokenizer.train_from_iterator([train], trainer)
    tokenizer.save(str(HERE / "tokenizer.json"), pretty=False)


def seam(data, fraction):
    """Behind the last end of a line, else the last blank, of the bytes that lie near before the place; else at a character."""
    at = int(len(data) * fraction)
    while data[at] & 0xC0 == 0x80:
        at -= 1
    near = data[at - min(len(data) // 64, 256):at]
    for blanks in (b"\n", b" \t\n\r\f"):
        last = max(near.rfind(bytes([blank])) for blank in blanks)
        if last >= 0:
            return at - len(near) + last + 1
    return at


def cut(text):
    """A single document is cut: training, then validation, then test."""
    data = text.encode()
    return data[:seam(data, 1.0 - TEST - 0.1)].decode(), data[seam(data, 1.0 - TEST):].decode()


def tokens(kind, text):
    """Ids, and the bytes that each stands for: a token takes what lies between the end of the one before and its own."""
    if kind == "byte":
        return list(text.encode()), [1] * len(text.encode())
    encoding = Tokenizer.from_file(str(HERE / "tokenizer.json")).encode(text)
    ends = [len(text[:end].encode()) for _, end in encoding.offsets]
    widths = [end - before for before, end in zip([0, *ends], ends)]
    assert sum(widths) == len(text.encode())
    return encoding.ids, widths


def segments(n):
    """Starts of the stretches of 129 tokens: as many as fit with equal gaps, of which every so-many-th is taken."""
    size = LENGTHS[-1] + 1
    fit = n // size
    slack = n - fit * size
    places = [k * size + slack * (k + 1) // (fit + 1) for k in range(fit)]
    return [places[(2 * i + 1) * fit // (2 * SEGMENTS)] for i in range(SEGMENTS)]


# ---- the decoder ----------------------------------------------------------------------------------------------------

def initial(vocab):
    draw = torch.Generator().manual_seed(5)
    normal = lambda *shape: torch.randn(*shape, generator=draw) * 0.1
    weights = {"model.embed_tokens.weight": normal(vocab, WIDTH), "model.norm.weight": torch.ones(WIDTH)}
    for i in range(LAYERS):
        at = lambda part: f"model.layers.{i}.{part}.weight"
        weights[at("input_layernorm")] = torch.ones(WIDTH)
        weights[at("post_attention_layernorm")] = torch.ones(WIDTH)
        weights[at("self_attn.qkv_proj")] = normal(3 * HEADS * HEAD_DIM, WIDTH)
        weights[at("self_attn.o_proj")] = normal(WIDTH, HEADS * HEAD_DIM)
        weights[at("mlp.gate_up_proj")] = normal(2 * HIDDEN, WIDTH)
        weights[at("mlp.down_proj")] = normal(WIDTH, HIDDEN)
    return weights


def turned(x, scheme, length):
    """Rotary positions, pairs (p, p + d/2); dynamic NTK raises the base by the length that is read."""
    base = BASE
    if scheme == "dynamic-ntk" and length > TRAINED:
        base *= (FACTOR * length / TRAINED - (FACTOR - 1)) ** (HEAD_DIM / (HEAD_DIM - 2))
    freq = base ** (-torch.arange(0, HEAD_DIM, 2, dtype=torch.float64) / HEAD_DIM)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


def logits(weights, ids, scheme):
    rows, length = ids.shape
    norm = lambda x, w: x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5) * w
    x = weights["model.embed_tokens.weight"][ids] * math.sqrt(WIDTH)
    place = torch.arange(length)
    distance = (place[:, None] - place[None, :]).to(x.dtype)
    for i in range(LAYERS):
        w = lambda part: weights[f"model.layers.{i}.{part}.weight"]
        qkv = norm(x, w("input_layernorm")) @ w("self_attn.qkv_proj").T
        q, k, v = qkv.view(rows, length, 3, HEADS, HEAD_DIM).permute(2, 0, 3, 1, 4)
        if scheme != "alibi":
            q, k = turned(q, scheme, length), turned(k, scheme, length)
        scores = q @ k.transpose(-1, -2) / math.sqrt(HEAD_DIM)
        if scheme == "alibi":
            slopes = torch.tensor([2.0 ** (-8.0 * (h + 1) / HEADS) for h in range(HEADS)], dtype=x.dtype)
            scores = scores - slopes[:, None, None] * distance
        scores = scores.masked_fill(distance < 0, -math.inf)
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(rows, length, HEADS * HEAD_DIM)
        x = x + mixed @ w("self_attn.o_proj").T
        gate, up = (norm(x, w("post_attention_layernorm")) @ w("mlp.gate_up_proj").T).chunk(2, dim=-1)
        x = x + (F.silu(gate) * up) @ w("mlp.down_proj").T
    return norm(x, weights["model.norm.weight"]) @ weights["model.embed_tokens.weight"].T


def train(ids, vocab, scheme):
    torch.manual_seed(0)
    weights = {name: value.requires_grad_() for name, value in initial(vocab).items()}
    ids, draw = torch.tensor(ids), torch.Generator().manual_seed(1)
    optimizer = torch.optim.AdamW(weights.values(), lr=5e-3, betas=(0.9, 0.95), weight_decay=0.01)
    steps = 1500
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(1, s / 50) * (1 - 0.9 * s / steps))
    for _ in range(steps):
        starts = torch.randint(len(ids) - TRAINED, (16,), generator=draw)
        window = torch.stack([ids[s:s + TRAINED + 1] for s in starts])
        out = logits(weights, window[:, :-1], scheme)
        loss = F.cross_entropy(out.flatten(0, 1), window[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimizer.step()
        schedule.step()
    print(f"{scheme}, vocabulary {vocab}: last loss {loss.item():.3f}")
    return {name: value.detach().contiguous() for name, value in weights.items()}


# ---- what is measured -----------------------------------------------------------------------------------------------

def losses(weights, ids, scheme, length, start):
    """Loss of each of the `length` targets of the window that begins at token `start`, in nats."""
    window = torch.tensor(ids[start:start + length + 1])
    out = logits(weights, window[None, :-1], scheme)[0]
    return (-out.log_softmax(-1)[torch.arange(length), window[1:]]).tolist()


def covered(length, step):
    """Windows `step` apart, the last of them cut at the end of the segment; a target counts in the first that holds it."""
    span = LENGTHS[-1]
    starts = [0]
    while starts[-1] + length < span:
        starts.append(starts[-1] + step)
    owner = [next(s for s in starts if s <= t < s + length) for t in range(span)]
    return [(s, [t - s for t in range(span) if owner[t] == s]) for s in starts]


def scored(length):
    """(protocol, stride, [(window's start, its targets that count)]) of a segment."""
    step = round(length * STRIDE)
    fixed = [(LENGTHS[-1] - length, range(length - TARGET, length))]
    return [("non-overlap", length, covered(length, length)), ("sliding", step, covered(length, step)), ("fixed-target", TARGET, fixed)]


def buckets(length):
    edges = [0, 1, 2, 3]
    octave = 4
    while octave < length:
        edges += [octave, octave * 3 // 2]
        octave *= 2
    return [e for e in edges if e < length]


def perplexity(weights, ids, widths, scheme):
    places = segments(len(ids))
    records = []
    for length in LENGTHS:
        for protocol, stride, windows in scored(length):
            record = dict(protocol=protocol, length=length, stride=stride, nll=[], tokens=[], bytes=[])
            for place in places:
                nll, count, size = 0.0, 0, 0
                for start, targets in windows:
                    found = losses(weights, ids, scheme, length, place + start)
                    nll += sum(found[t] for t in targets)
                    count += len(targets)
                    # Target t of a window is the token after its input t.
                    size += sum(widths[place + start + t + 1] for t in targets)
                record["nll"].append(nll), record["tokens"].append(count), record["bytes"].append(size)
            total = sum(record["nll"])
            record["perplexity"] = math.exp(total / sum(record["tokens"]))
            record["bits_per_byte"] = total / sum(record["bytes"]) / math.log(2)
            records.append(record)
    span, starts = LENGTHS[-1], buckets(LENGTHS[-1])
    ranges = list(zip(starts, [*starts[1:], span]))
    rows = [losses(weights, ids, scheme, span, place) for place in places]
    return dict(records=records, position=dict(
        length=span, starts=starts, nll=[[sum(row[a:b]) / (b - a) for a, b in ranges] for row in rows]))


def passkey(weights, vocab, scheme):
    """Prompts of random tokens whose last three targets are asked for: half of them what greedy decoding gives, some with
    one symbol changed."""
    draw = torch.Generator().manual_seed(9)
    cells = []
    for length in [32, 64]:
        for depth in [0.0, 1.0]:
            cell = dict(length=length, depth=depth, distance=length - int(depth * 8), prompts=[], hits=[], symbols=[], log_prob=[])
            for trial in range(5):
                window = torch.randint(vocab, (length + 1,), generator=draw).tolist()
                for at in range(length - 2, length + 1):
                    full = window[:at] + [0] * (length - at)
                    best = int(logits(weights, torch.tensor([full]), scheme)[0, at - 1].argmax())
                    if trial < 3:
                        window[at] = best
                if trial == 2:
                    window[length - 1] = (window[length - 1] + 1) % vocab
                out = logits(weights, torch.tensor([window[:-1]]), scheme)[0, -3:].log_softmax(-1)
                key = torch.tensor(window[-3:])
                right = (out.argmax(-1) == key).tolist()
                cell["prompts"].append(window)
                cell["hits"].append(all(right))
                cell["symbols"].append(sum(right))
                cell["log_prob"].append(out[torch.arange(3), key].sum().item())
            cells.append(cell)
    return cells


def main():
    if "train" in sys.argv:
        write_text()
    text = (HERE / "text.txt").read_text(encoding="utf-8")
    training, test = cut(text)
    if "train" in sys.argv:
        write_tokenizer(training)
        for kind, scheme in CASES:
            if SCHEMES[scheme] == scheme:
                vocab = 256 if kind == "byte" else BPE
                save_file(train(tokens(kind, training)[0], vocab, scheme), HERE / f"{kind}-{scheme}.safetensors")
    out = dict(trained=TRAINED, lengths=LENGTHS, segments=SEGMENTS, stride=STRIDE, target=TARGET, test=TEST, cells={})
    for kind, scheme in CASES:
        ids, widths = tokens(kind, test)
        weights = load_file(HERE / f"{kind}-{SCHEMES[scheme]}.safetensors")
        weights = {name: value.double() for name, value in weights.items()}
        vocab = len(weights["model.embed_tokens.weight"])
        found = perplexity(weights, ids, widths, scheme)
        found["passkey"] = passkey(weights, vocab, scheme)
        out["cells"][f"{kind}-{scheme}"] = found
        for record in found["records"]:
            print(kind, scheme, record["protocol"], record["length"], f"{record['perplexity']:.4f} {record['bits_per_byte']:.4f}")
    round_off = json.loads(json.dumps(out), parse_float=lambda x: float(f"{float(x):.10g}"))
    (HERE / "expected.json").write_text(json.dumps(round_off, separators=(",", ":")) + "\n")


main()
