"""The PyTorch side of `farspan bench`: what a researcher would otherwise run on the same CPU, or with --device cuda on the
same card: in f32 without TF32, as PyTorch comes, or with --bf16 attention over bf16 inputs and training under autocast.

Needs `pip install torch` and, for the compiled cases, a C++ compiler. Two ways to run it:

    python benches/peers/torch_side.py                   every case, a JSON line each
    python benches/peers/torch_side.py --serve           one case a line on stdin, one answer a line on stdout;
                                                         `farspan bench … --peer 'python … --serve'` takes turns with it

A case is {"kind": "attention", "way": …, "scheme": …, "pass": "forward" | "both", "length": n, "heads": h, "head_dim": d}
or {"kind": "train", "way": "eager" | "compiled", "scheme": …, and the sizes of TRAIN}. An answer holds "seconds" of the
call (the first call of a case also warms it up, untimed), or "error". Ways of attention:

    sdpa        scaled_dot_product_attention, causal; a rotation of q and k is inside the time
    mask        the same with a materialised mask that was built before the time starts: the best case for PyTorch
    mask-built  the same, but the mask is made from the scheme's parameters inside the time, with gradients in "both"
    flex        compiled flex_attention with the scheme as a score_mod and a causal block mask
    formula     a scheme that reads content, in the tensor operations of its paper (content.py)
"""

import argparse
import json
import math
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

import content

ATTENTION = {"kind": "attention", "heads": 8, "head_dim": 64, "batch": 1}
TRAIN = {
    "kind": "train", "width": 256, "layers": 6, "heads": 8, "hidden": 688,
    "vocab": 4096, "batch": 8, "length": 512, "scheme": "rope",
}
BUCKETS, HIDDEN = 32, 32
DEVICE = "cpu"
DTYPE = torch.float32


# Memory -------------------------------------------------------------------------------------------------------------

def memory(key):
    """VmRSS or VmHWM of this process, bytes."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
    raise KeyError(key)


def peak_of(call):
    """Bytes by which the resident memory rose above its value before the call, at the highest."""
    if DEVICE != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    with open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")
    before = memory("VmRSS")
    call()
    return max(0, memory("VmHWM") - before)


# Schemes ------------------------------------------------------------------------------------------------------------

def parameters(scheme, heads):
    generator = torch.Generator().manual_seed(9)
    draw = lambda *shape: (0.1 * torch.rand(*shape, generator=generator) + 0.2).to(DEVICE).requires_grad_()
    if scheme == "t5":
        return {"t": draw(heads, BUCKETS)}
    if scheme == "kerple":
        return {"a": draw(heads), "b": draw(heads)}
    if scheme == "fire":
        return {"c": draw(1), "w1": draw(HIDDEN), "b1": draw(HIDDEN), "w2": draw(heads, HIDDEN), "b2": draw(heads)}
    return {}


def slopes(heads):
    return torch.tensor([2.0 ** (-8.0 * (head + 1) / heads) for head in range(heads)], device=DEVICE)


def bucket(distance):
    """T5's causal buckets: 16 exact ones, then logarithmic up to 128 (Raffel et al. 2020, section 2.1)."""
    exact = BUCKETS // 2
    far = exact + (torch.log(distance.clamp(min=1) / exact) / math.log(128 / exact) * (BUCKETS - exact)).to(torch.int64)
    return torch.where(distance < exact, distance.to(torch.int64), far.clamp(max=BUCKETS - 1))


def bias(scheme, p, n, heads):
    """(heads, n, n) additive mask, minus infinity above the diagonal."""
    position = torch.arange(n, dtype=torch.float32, device=DEVICE)
    distance = (position[:, None] - position[None, :]).clamp(min=0)
    if scheme == "alibi":
        out = -slopes(heads)[:, None, None] * distance
    elif scheme == "t5":
        out = p["t"][:, bucket(distance)]
    elif scheme == "kerple":
        out = -p["a"][:, None, None] * torch.log1p(p["b"][:, None, None] * distance)
    elif scheme == "fire":
        x = torch.log1p(p["c"] * distance) / torch.log1p(p["c"] * position.clamp(min=32) + 0.01)[:, None]
        hidden = torch.relu(x[:, :, None] * p["w1"] + p["b1"])
        out = (hidden @ p["w2"].t()).permute(2, 0, 1) + p["b2"][:, None, None]
    else:
        raise ValueError(f"{scheme} is no bias")
    return out + torch.full((n, n), -math.inf, device=DEVICE).triu(1)


def score_mod(scheme, p, heads):
    """The same as a function of one score, for flex_attention."""
    if scheme == "alibi":
        slope = slopes(heads)
        return lambda score, b, h, q, k: score - slope[h] * (q - k)
    if scheme == "t5":
        table = bucket(torch.arange(1 << 17, dtype=torch.float32, device=DEVICE))
        return lambda score, b, h, q, k: score + p["t"][h, table[(q - k).clamp(min=0)]]
    if scheme == "kerple":
        return lambda score, b, h, q, k: score - p["a"][h] * torch.log1p(p["b"][h] * (q - k).clamp(min=0))
    if scheme == "fire":
        def fire(score, b, h, q, k):
            c = p["c"][0]
            x = torch.log1p(c * (q - k).clamp(min=0)) / torch.log1p(c * q.clamp(min=32) + 0.01)
            out = p["b2"][h]
            for unit in range(HIDDEN):
                out = out + p["w2"][h, unit] * torch.relu(p["w1"][unit] * x + p["b1"][unit])
            return score + out
        return fire
    return None


def rope_tables(n, dim, base=1e4):
    angle = torch.arange(n, dtype=torch.float64)[:, None] * base ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    return angle.cos().float().to(DEVICE), angle.sin().float().to(DEVICE)


def rotate(x, tables):
    cos, sin = tables
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1).to(x.dtype)


# Attention ----------------------------------------------------------------------------------------------------------

def attention(case):
    n, heads, dim, batch = case["length"], case["heads"], case["head_dim"], case["batch"]
    scheme, way, both = case["scheme"], case["way"], case["pass"] == "both"
    generator = torch.Generator().manual_seed(1)
    drawn = lambda: torch.randn(batch, heads, n, dim, generator=generator).to(DEVICE, DTYPE)
    q, k, v = (drawn().requires_grad_(both) for _ in range(3))
    up = drawn()
    own = content.parameters(scheme, batch, heads, n, dim) if way == "formula" else parameters(scheme, heads)
    p = {name: x.detach().requires_grad_(both) for name, x in own.items()}
    tables = rope_tables(n, dim)
    turn = (lambda x: rotate(x, tables)) if scheme == "rope" else (lambda x: x)

    if way == "sdpa":
        forward = lambda: F.scaled_dot_product_attention(turn(q), turn(k), v, is_causal=True)
    elif way == "mask":
        fixed = bias(scheme, {name: x.detach() for name, x in p.items()}, n, heads)[None].to(DTYPE)
        forward = lambda: F.scaled_dot_product_attention(q, k, v, attn_mask=fixed)
    elif way == "mask-built":
        forward = lambda: F.scaled_dot_product_attention(q, k, v, attn_mask=bias(scheme, p, n, heads)[None].to(DTYPE))
    elif way == "formula":
        if DEVICE != "cpu":
            raise ValueError("formulas are measured on the processor")
        forward = lambda: content.SCHEMES[scheme](q, k, v, p)
    elif way == "flex":
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        torch._dynamo.reset()
        compiled = torch.compile(flex_attention, dynamic=False)
        mask = create_block_mask(lambda b, h, q, k: q >= k, None, None, n, n, device=DEVICE)
        mod = score_mod(scheme, p, heads)
        forward = lambda: compiled(turn(q), turn(k), v, score_mod=mod, block_mask=mask)
    else:
        raise ValueError(f"no way of attention {way}")

    if not both:
        def call():
            with torch.no_grad():
                forward()
        return call

    leaves = [q, k, v, *p.values()]

    def call():
        for leaf in leaves:
            leaf.grad = None
        found = forward()
        found = found if isinstance(found, tuple) else (found,)
        torch.autograd.backward(found, [up] * len(found))
    return call


# Training -----------------------------------------------------------------------------------------------------------

class Layer(nn.Module):
    def __init__(self, case):
        super().__init__()
        width, hidden = case["width"], case["hidden"]
        self.heads = case["heads"]
        self.norm1, self.norm2 = nn.RMSNorm(width, eps=1e-5), nn.RMSNorm(width, eps=1e-5)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 2 * hidden, bias=False), nn.Linear(hidden, width, bias=False)

    def forward(self, x, tables):
        batch, n, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, n, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        if tables is not None:
            q, k = rotate(q, tables), rotate(k, tables)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(batch, n, width))
        gate, up = self.up(self.norm2(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class Decoder(nn.Module):
    def __init__(self, case):
        super().__init__()
        self.embed = nn.Embedding(case["vocab"], case["width"])
        self.layers = nn.ModuleList(Layer(case) for _ in range(case["layers"]))
        self.norm = nn.RMSNorm(case["width"], eps=1e-5)
        self.tables = rope_tables(case["length"], case["width"] // case["heads"]) if case["scheme"] == "rope" else None

    def forward(self, tokens, targets):
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x, self.tables)
        logits = self.norm(x) @ self.embed.weight.t()
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def train(case):
    if case["scheme"] not in ("nope", "rope"):
        raise ValueError(f"the training step knows nope and rope, not {case['scheme']}")
    torch.manual_seed(1)
    model = Decoder(case).to(DEVICE)
    nn.init.normal_(model.embed.weight, std=0.02)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.01, fused=True)
    tokens, targets = torch.randint(0, case["vocab"], (2, case["batch"], case["length"])).to(DEVICE)
    run = model
    if case["way"] == "compiled":
        torch._dynamo.reset()
        run = torch.compile(model, dynamic=False)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE, torch.bfloat16, enabled=DTYPE == torch.bfloat16):
            loss = run(tokens, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return step


# Running ------------------------------------------------------------------------------------------------------------

KINDS = {"attention": (ATTENTION, attention), "train": (TRAIN, train)}


def prepare(case):
    defaults, make = KINDS[case["kind"]]
    return make({**defaults, **case})


def estimated_bytes(case):
    """Score matrices that a case with a materialised mask holds: one forward, about six with gradients for the mask."""
    if not case.get("way", "").startswith("mask"):
        return 0
    case = {**ATTENTION, **case}
    copies = {"mask": 1, "mask-built": 3}[case["way"]] if case["pass"] == "forward" else {"mask": 1, "mask-built": 7}[case["way"]]
    copies += 4 * HIDDEN / case["heads"] if case["scheme"] == "fire" else 0
    return copies * 4 * case["heads"] * case["length"] ** 2


def cases(lengths):
    for n in lengths:
        for scheme in ("nope", "rope", "alibi", "t5", "kerple", "fire"):
            ways = ("sdpa", "flex") if scheme in ("nope", "rope") else ("mask", "mask-built", "flex")
            for way in ways:
                for which in ("forward", "both"):
                    yield {**ATTENTION, "scheme": scheme, "way": way, "pass": which, "length": n}
    for way in ("eager", "compiled"):
        yield {**TRAIN, "way": way}


def answer(call, case, limit):
    wait()
    start = time.perf_counter()
    call()
    wait()
    return {**case, "seconds": time.perf_counter() - start}


def wait():
    if DEVICE != "cpu":
        torch.cuda.synchronize()


def serve(limit):
    """Answers each line; the case of the last line stays prepared, so that repeats are timed warm."""
    last, call = None, None
    for line in sys.stdin:
        case = json.loads(line)
        want_peak = case.pop("peak", False)
        try:
            if case != last:
                last, call = None, None
                if estimated_bytes(case) > limit:
                    raise MemoryError(f"a materialised mask would take about {estimated_bytes(case) / 2**30:.0f} GiB")
                call = prepare(case)
                if want_peak:
                    reply = {**case, "peak_bytes": peak_of(call)}
                    last = case
                    print(json.dumps(reply), flush=True)
                    continue
                call()
                last = case
            reply = answer(call, case, limit)
        except Exception as error:  # the other side must hear of it, whatever it is
            reply = {**case, "error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
        print(json.dumps(reply), flush=True)


def everything(lengths, repeats, limit):
    for case in cases(lengths):
        try:
            if estimated_bytes(case) > limit:
                raise MemoryError(f"a materialised mask would take about {estimated_bytes(case) / 2**30:.0f} GiB")
            call = prepare(case)
            call()
            peak = peak_of(call)
            seconds = [answer(call, case, limit)["seconds"] for _ in range(repeats)]
            reply = {**case, "seconds": statistics.median(seconds), "all_seconds": seconds, "peak_bytes": peak}
        except Exception as error:
            reply = {**case, "error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
        print(json.dumps({**reply, "torch": torch.__version__, "threads": torch.get_num_threads()}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", action="store_true", help="answer cases from stdin")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--bf16", action="store_true", help="attention over bf16, training under autocast")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--lengths", type=int, nargs="+", default=[2048, 4096, 8192, 16384])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--limit-gib", type=float, default=8, help="refuse materialised masks above this")
    args = parser.parse_args()
    global DEVICE, DTYPE
    DEVICE, DTYPE = args.device, torch.bfloat16 if args.bf16 else torch.float32
    torch.set_num_threads(args.threads)
    limit = args.limit_gib * 2**30
    serve(limit) if args.serve else everything(args.lengths, args.repeats, limit)


if __name__ == "__main__":
    main()
