//! Reductions and running sums.

use super::frame::{kernel, reads, writes};
use crate::gpu::context::GROUP;
use crate::gpu::kind::Kind;

/// What a reduction keeps of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gpu) enum Fold {
    Sum,
    Max,
    /// The first place of the largest.
    ArgMax,
}

/// Axes up to this length are folded by one thread each.
pub(in crate::gpu) const SERIAL: usize = 64;

/// (outer, len, inner) to (outer, inner). Info: outputs, len, inner.
pub(in crate::gpu) fn reduce(fold: Fold, serial: bool) -> String {
    let output = match fold {
        Fold::ArgMax => Kind::U32,
        Fold::Sum | Fold::Max => Kind::F32,
    };
    let start = match fold {
        Fold::Sum => "0.0",
        Fold::Max | Fold::ArgMax => "-inf()",
    };
    let step = match fold {
        Fold::Sum => "best += x;",
        Fold::Max => "best = max(best, x);",
        Fold::ArgMax => "if (x > best || where == 0xffffffffu) { best = x; where = j; }",
    };
    let step = step.replace("where", "spot");
    let result = match fold {
        Fold::ArgMax => "spot",
        Fold::Sum | Fold::Max => "best",
    };
    let bindings = [reads("x0", Kind::F32), writes("y", output)];
    let scan = |index: &str, first: &str, stride: &str| {
        format!(
            "    let inner = word(2u);
    let base = ({index} / inner) * word(1u) * inner + {index} % inner;
    var best = {start};
    var spot = 0xffffffffu;
    for (var j = {first}; j < word(1u); j += {stride}) {{
        let x = x0[base + j * inner];
        {step}
    }}
"
        )
    };
    if serial {
        let scan = scan("at", "0u", "1u");
        let body = format!("    if (at >= word(0u)) {{ return; }}\n{scan}    y[at] = {result};");
        return kernel(&bindings, "", &body);
    }
    let merge = match fold {
        Fold::Sum => "bests[lane] += bests[lane + half];",
        Fold::Max => "bests[lane] = max(bests[lane], bests[lane + half]);",
        Fold::ArgMax => {
            "let other = bests[lane + half];
            let further = other == bests[lane] && spots[lane + half] < spots[lane];
            if (other > bests[lane] || further) { bests[lane] = other; spots[lane] = spots[lane + half]; }"
        }
    };
    let scan = scan("min(block, word(0u) - 1u)", "lane", &format!("{GROUP}u"));
    let last = match fold {
        Fold::ArgMax => "spots[0]",
        Fold::Sum | Fold::Max => "bests[0]",
    };
    let functions = format!(
        "var<workgroup> bests: array<f32, {GROUP}>;\nvar<workgroup> spots: array<u32, {GROUP}>;\n"
    );
    let body = format!(
        "{scan}    bests[lane] = best;
    spots[lane] = spot;
    for (var half = {}u; half > 0u; half /= 2u) {{
        workgroupBarrier();
        if (lane < half) {{
            {merge}
        }}
    }}
    if (lane == 0u && block < word(0u)) {{ y[block] = {last}; }}",
        GROUP / 2
    );
    kernel(&bindings, &functions, &body)
}

/// Sums so far along the axis of (outer, len, inner), from its start or from its end. Info: lines, len, inner.
pub(in crate::gpu) fn cumsum(backward: bool) -> String {
    let place = if backward { "word(1u) - 1u - j" } else { "j" };
    let bindings = [reads("x0", Kind::F32), writes("y", Kind::F32)];
    let body = format!(
        "    if (at >= word(0u)) {{ return; }}
    let inner = word(2u);
    let base = (at / inner) * word(1u) * inner + at % inner;
    var sum = 0.0;
    for (var j = 0u; j < word(1u); j++) {{
        let spot = base + ({place}) * inner;
        sum += x0[spot];
        y[spot] = sum;
    }}"
    );
    kernel(&bindings, "", &body)
}
