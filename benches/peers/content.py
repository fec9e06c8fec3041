"""Schemes that read content, as their authors write them in PyTorch: tensors of the size of the scores.

Each function takes q, k, v (batch, heads, n, d) and the scheme's own tensors and gives the output in the shape of q. A
length must be a multiple of 64. What a layer projects from its input (PaTH's w and beta, FoX's gates) is given, not timed.
TAPE gives the state that it hands on as well.
"""

import math

import torch
import torch.nn.functional as F

ROWS, HIDDEN, CHUNK, POSITION = 2049, 32, 64, 48


def parameters(scheme, batch, heads, n, dim):
    generator = torch.Generator().manual_seed(9)
    draw = lambda *shape: 0.3 * torch.randn(*shape, generator=generator)
    if scheme == "cope":
        return {"table": draw(dim, ROWS)}
    if scheme == "dape":
        return {
            "p": draw(heads).abs() + 0.01, "a": draw(heads).abs() + 0.01,
            "w1": draw(HIDDEN, 2 * heads), "b1": draw(HIDDEN), "w2": draw(heads, HIDDEN), "b2": draw(heads),
        }
    if scheme == "path":
        return {"w": F.normalize(draw(batch, heads, n, dim), dim=-1), "beta": draw(batch, heads, n, 1).sigmoid() * 2}
    if scheme == "fox":
        return {"log_gate": F.logsigmoid(4 + draw(batch, heads, n))}
    if scheme == "tape":
        return {
            "cos": draw(batch, heads, n, dim), "sin": draw(batch, heads, n, dim), "y": draw(batch, n, heads * dim),
            "attention": draw(heads, heads), "up": draw(POSITION, heads), "down": draw(heads, POSITION),
            "content": 0.1 * draw(POSITION, heads * dim),
        }
    return {}


def hidden_pairs(n):
    return torch.ones(n, n, dtype=torch.bool).triu(1)


def cope(q, k, v, p):
    """Golovneva et al. 2024, arXiv 2405.18719, the listing of the appendix."""
    n, dim = q.shape[-2:]
    logits = (q @ k.transpose(-1, -2) / math.sqrt(dim)).masked_fill(hidden_pairs(n), -math.inf)
    gates = torch.sigmoid(logits)
    positions = gates.flip(-1).cumsum(dim=-1).flip(-1).clamp(max=ROWS - 1)
    above, below = positions.ceil().long(), positions.floor().long()
    terms = q @ p["table"] / math.sqrt(dim)
    share = positions - below
    logits = logits + terms.gather(-1, above) * share + terms.gather(-1, below) * (1 - share)
    return logits.softmax(dim=-1) @ v


def stick_breaking(q, k, v, _p):
    """Tan et al. 2024, arXiv 2410.17980, equations 2 and 3: sums of logarithms, the own token left out."""
    n, dim = q.shape[-2:]
    mask = torch.ones(n, n, dtype=torch.bool).triu(0)
    logits = q @ k.transpose(-1, -2) / math.sqrt(dim)
    log_beta = F.logsigmoid(logits).masked_fill(mask, -1e5)
    log_left = F.logsigmoid(-logits).masked_fill(mask, 0)
    later = log_left.flip(-1).cumsum(dim=-1).flip(-1)
    weights = (log_beta + later - log_left).exp()
    return weights @ v + (1 - weights.sum(-1, keepdim=True)) * v


def dape(q, k, v, p):
    """Zheng et al. 2024, arXiv 2405.14722, section 3, over KERPLE: a network over the heads of each pair."""
    n, dim = q.shape[-2:]
    scores = q @ k.transpose(-1, -2) / math.sqrt(dim)
    position = torch.arange(n, dtype=torch.float32)
    distance = (position[:, None] - position[None, :]).clamp(min=0)
    bias = -p["p"][:, None, None] * torch.log1p(p["a"][:, None, None] * distance)
    bias = bias.expand_as(scores)
    seen = torch.cat((scores, bias), dim=1).permute(0, 2, 3, 1)
    change = F.linear(F.leaky_relu(F.linear(seen, p["w1"], p["b1"]), 0.01), p["w2"], p["b2"]).permute(0, 3, 1, 2)
    return (scores + bias + change).masked_fill(hidden_pairs(n), -math.inf).softmax(dim=-1) @ v


def path(q, k, v, p):
    """Yang et al. 2025, arXiv 2505.16381, section 3.3: reflections by chunks, as in the authors' reference in PyTorch."""
    batch, heads, n, dim = q.shape
    cut = lambda x: x.reshape(batch, heads, n // CHUNK, CHUNK, x.shape[-1])
    q, k, w, beta = cut(q), cut(k), cut(p["w"]), cut(p["beta"])
    strictly = lambda x: x.tril(-1)
    eye = torch.eye(CHUNK)
    turned = lambda x: x.transpose(-1, -2)
    steps = torch.linalg.solve_triangular(eye + strictly(beta * (w @ turned(w))), torch.diag_embed(beta.squeeze(-1)), upper=False)
    met = (q @ turned(w)).tril()
    felt = steps @ strictly(w @ turned(k))
    local = (q @ turned(k)).tril() - met @ felt
    moved = steps @ w
    q, k, across = q - met @ moved, k - turned(felt) @ w, turned(w) @ moved
    rows = []
    for i in range(n // CHUNK):
        row, seen = [local[:, :, i]], q[:, :, i]
        for j in range(i - 1, -1, -1):
            row.append(seen @ turned(k[:, :, j]))
            seen = seen - seen @ across[:, :, j]
        row = torch.cat(row[::-1], dim=-1)
        rows.append(F.pad(row, (0, n - row.shape[-1])))
    scores = torch.cat(rows, dim=-2) / math.sqrt(dim)
    return scores.masked_fill(hidden_pairs(n), -math.inf).softmax(dim=-1) @ v


def selective(q, k, v, _p):
    """Leviathan et al. 2024, arXiv 2410.02703, the listing of the appendix."""
    n, dim = q.shape[-2:]
    logits = (q @ k.transpose(-1, -2) / math.sqrt(dim)).masked_fill(hidden_pairs(n), -math.inf)
    votes = F.relu(logits[:, 0]) * (1 - torch.eye(n))
    votes = torch.cat((torch.zeros_like(votes[..., :1]), votes[..., 1:]), dim=-1)
    votes = F.pad(votes[:, :-1], (0, 0, 1, 0))
    return (logits - votes.cumsum(dim=-2)[:, None]).softmax(dim=-1) @ v


def fox(q, k, v, p):
    """Lin et al. 2025, arXiv 2503.02130, section 3: decays of a text added to the scores."""
    n, dim = q.shape[-2:]
    total = p["log_gate"].cumsum(dim=-1)
    logits = q @ k.transpose(-1, -2) / math.sqrt(dim) + total[..., :, None] - total[..., None, :]
    return logits.masked_fill(hidden_pairs(n), -math.inf).softmax(dim=-1) @ v


def tape(q, k, v, p):
    """Zhu et al. 2025, arXiv 2501.00712, section 3: a layer between two others, which hands its state on."""
    n, dim = q.shape[-2:]
    gate = F.silu(F.linear(p["y"], p["content"])).transpose(1, 2)[..., None]
    over = lambda weight, x: torch.einsum("zh,bhtc->bztc", weight, x)
    cos, sin = (x + over(p["down"], gate * over(p["up"], x)) for x in (p["cos"], p["sin"]))
    across = lambda x: torch.cat((-x[..., dim // 2 :], x[..., : dim // 2]), dim=-1)
    q, k = (x * cos + across(x) * sin for x in (q, k))
    logits = (q @ k.transpose(-1, -2) / math.sqrt(dim)).masked_fill(hidden_pairs(n), -math.inf)
    shares = logits.softmax(dim=-1)
    scale = p["attention"].sum(dim=1)[:, None, None]
    return shares @ v, cos + scale * (shares @ cos), sin + scale * (shares @ sin)


SCHEMES = {
    "cope": cope, "stick-breaking": stick_breaking, "selective": selective, "fox": fox, "dape": dape, "path": path,
    "tape": tape,
}
