//! Kernel texts, one function each. All index with u32 and read their sizes from `info`.

use super::array::Kind;
use super::context::GROUP;

/// A storage buffer that a kernel binds: name, element type, and whether it is written.
pub(super) type Binding = (String, &'static str, bool);

pub(super) fn reads(name: &str, kind: Kind) -> Binding {
    (name.to_string(), kind.text(), false)
}

pub(super) fn writes(name: &str, kind: Kind) -> Binding {
    (name.to_string(), kind.text(), true)
}

/// Declarations that every kernel starts with: `info` at 0, then `bindings`.
pub(super) fn header(bindings: &[Binding]) -> String {
    let mut text = String::from("@group(0) @binding(0) var<storage, read> info: array<u32>;\n");
    for (i, (name, element, written)) in bindings.iter().enumerate() {
        let access = if *written { "read_write" } else { "read" };
        let i = i + 1;
        text +=
            &format!("@group(0) @binding({i}) var<storage, {access}> {name}: array<{element}>;\n");
    }
    text + "\
fn word(i: u32) -> u32 { return info[i + 1u]; }
fn real(i: u32) -> f32 { return bitcast<f32>(info[i + 1u]); }
fn inf() -> f32 { return bitcast<f32>(info[0]); }
fn nan() -> f32 { return bitcast<f32>(info[0] | 0x400000u); }
"
}

/// A kernel of one dimension: `body` sees `block` (number of the workgroup), `lane` (number in it) and
/// `at` (number of the thread over all workgroups).
pub(super) fn kernel(bindings: &[Binding], functions: &str, body: &str) -> String {
    let header = header(bindings);
    format!(
        "{header}{functions}
@compute @workgroup_size({GROUP})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {{
    let block = group.x + group.y * groups.x;
    let at = block * {GROUP}u + lane;
{body}
}}
"
    )
}

/// `formula` of the elements `a`, `b`, `c`, `d` of as many inputs, the last of which is also called `g`, with numbers
/// `p(i)`, over `rank` axes. Info: count, sizes, per input offset and strides, then the numbers.
pub(super) fn map(inputs: &[Kind], output: Kind, formula: &str, rank: usize) -> String {
    let names = ["a", "b", "c", "d"];
    let mut bindings: Vec<Binding> = Vec::new();
    let mut body = String::from("    if (at >= word(0u)) { return; }\n");
    // The place along each axis, from the last.
    let mut left = "at".to_string();
    for axis in (0..rank).rev() {
        let size = format!("word({}u)", axis + 1);
        if axis == 0 {
            body += &format!("    let i0 = {left};\n");
        } else {
            body += &format!(
                "    let i{axis} = {left} % {size};\n    let left{axis} = {left} / {size};\n"
            );
            left = format!("left{axis}");
        }
    }
    for (i, (name, kind)) in names.iter().zip(inputs).enumerate() {
        bindings.push(reads(&format!("x{i}"), *kind));
        let start = 1 + rank + i * (rank + 1);
        let mut place = format!("word({start}u)");
        for axis in 0..rank {
            place += &format!(" + i{axis} * word({}u)", start + 1 + axis);
        }
        body += &format!("    let {name} = x{i}[{place}];\n");
    }
    bindings.push(writes("y", output));
    // Formulas of gradients call their last input, the gradient of the result, g.
    body += &format!("    let g = {};\n", names[inputs.len() - 1]);
    body += &format!("    y[at] = {formula};");
    let numbers = 1 + rank + inputs.len() * (rank + 1);
    let functions = format!("\nfn p(i: u32) -> f32 {{ return real({numbers}u + i); }}\n{ELEMENT}");
    kernel(&bindings, &functions, &body)
}

/// Functions that formulas may call: where WGSL has none, or is free to be wrong for large arguments.
const ELEMENT: &str = "
fn sigmoid(x: f32) -> f32 { return 1.0 / (1.0 + exp(-x)); }
fn steady_tanh(x: f32) -> f32 { return tanh(clamp(x, -20.0, 20.0)); }
fn gelu_inner(x: f32) -> f32 { return 0.7978845608 * (x + 0.044715 * x * x * x); }
fn gelu_slope(x: f32) -> f32 {
    let t = steady_tanh(gelu_inner(x));
    return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * 0.7978845608 * (1.0 + 0.134145 * x * x);
}
// Share of the standard normal distribution below x: half of the complementary error function, whose fit by Numerical
// Recipes (Press et al., third edition, section 6.2.2) is right to 1.2e-7 relative.
fn normal_share(x: f32) -> f32 {
    let z = abs(x) * 0.7071067812;
    let t = 1.0 / (1.0 + 0.5 * z);
    let p = -1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806
        + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277))))))));
    let tail = 0.5 * t * exp(p - z * z);
    return select(tail, 1.0 - tail, x >= 0.0);
}
fn power(x: f32, y: f32) -> f32 {
    if (y == 0.0) { return 1.0; }
    if (x == 0.0) { return select(0.0, inf(), y < 0.0); }
    let size = pow(abs(x), y);
    if (x > 0.0) { return size; }
    let half = abs(y) * 0.5;
    return select(size, -size, half != floor(half));
}
";

/// What a reduction keeps of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    Sum,
    Max,
    /// The first place of the largest.
    ArgMax,
}

/// Axes up to this length are folded by one thread each.
pub(super) const SERIAL: usize = 64;

/// (outer, len, inner) to (outer, inner). Info: outputs, len, inner.
pub(super) fn reduce(fold: Fold, serial: bool) -> String {
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
pub(super) fn cumsum(backward: bool) -> String {
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

/// Copies (outer, len, inner) to `start` of the axis of y. Info: count, len, inner, start, length of y's axis.
pub(super) fn paste(kind: Kind) -> String {
    let body = "    if (at >= word(0u)) { return; }
    let inner = word(2u);
    let row = at / inner;
    let place = (row / word(1u)) * word(4u) + word(3u) + row % word(1u);
    y[place * inner + at % inner] = x0[at];";
    kernel(&[reads("x0", kind), writes("y", kind)], "", body)
}

/// Sets every element to a word. Info: count, word.
pub(super) fn fill() -> String {
    let body = "    if (at < word(0u)) { y[at] = word(1u); }";
    kernel(&[writes("y", Kind::U32)], "", body)
}

/// Elements of the axis of (outer, rows, inner) at `ids`, which are the same for all lines, or one per element of y.
/// An index past the end reads NaN. Info: count, chosen, inner, rows.
pub(super) fn select(kind: Kind, each: bool) -> String {
    let which = if each {
        "at"
    } else {
        "(at / inner) % word(1u)"
    };
    let nothing = match kind {
        Kind::F32 => "nan()",
        Kind::U32 => "0xffffffffu",
    };
    let body = format!(
        "    if (at >= word(0u)) {{ return; }}
    let inner = word(2u);
    let row = ids[{which}];
    let line = at / (inner * word(1u));
    if (row < word(3u)) {{
        y[at] = x0[(line * word(3u) + row) * inner + at % inner];
    }} else {{
        y[at] = {nothing};
    }}"
    );
    let bindings = [
        reads("x0", kind),
        reads("ids", Kind::U32),
        writes("y", kind),
    ];
    kernel(&bindings, "", &body)
}

/// The transpose of [`select`]: adds to y, whose sums may be made in any order. Info as there.
pub(super) fn scatter(each: bool) -> String {
    let which = if each {
        "at"
    } else {
        "(at / inner) % word(1u)"
    };
    let body = format!(
        "    if (at >= word(0u)) {{ return; }}
    let inner = word(2u);
    let row = ids[{which}];
    if (row >= word(3u)) {{ return; }}
    let line = at / (inner * word(1u));
    let place = (line * word(3u) + row) * inner + at % inner;
    // No device adds floats atomically for certain, but every device can compare and exchange their bits.
    var old = atomicLoad(&y[place]);
    loop {{
        let sum = bitcast<u32>(bitcast<f32>(old) + x0[at]);
        let tried = atomicCompareExchangeWeak(&y[place], old, sum);
        if (tried.exchanged) {{ break; }}
        old = tried.old_value;
    }}"
    );
    let target = ("y".to_string(), "atomic<u32>", true);
    kernel(
        &[reads("x0", Kind::F32), reads("ids", Kind::U32), target],
        "",
        &body,
    )
}

/// Threads along each side of a workgroup of [`matmul`].
pub(super) const SIDE: usize = 16;

/// Matrix product in tiles of `SIDE · micro` rows and columns, `micro`² per thread. Info: batch, m, k, n, then for both
/// inputs offset, batch stride, row stride, column stride.
pub(super) fn matmul(micro: usize) -> String {
    let tile = SIDE * micro;
    let bindings = [
        reads("x0", Kind::F32),
        reads("x1", Kind::F32),
        writes("y", Kind::F32),
    ];
    let header = header(&bindings);
    let cells = tile * SIDE;
    let threads = SIDE * SIDE;
    format!(
        "{header}
var<workgroup> left: array<f32, {cells}>;
var<workgroup> right: array<f32, {cells}>;
@compute @workgroup_size({SIDE}, {SIDE})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {{
    let block = group.x + group.y * groups.x;
    let m = word(1u);
    let depth = word(2u);
    let n = word(3u);
    let across = (n + {tile}u - 1u) / {tile}u;
    let down = (m + {tile}u - 1u) / {tile}u;
    let batch = block / (across * down);
    let row0 = (block / across % down) * {tile}u;
    let col0 = (block % across) * {tile}u;
    let live = batch < word(0u);
    let a0 = word(4u) + batch * word(5u);
    let b0 = word(8u) + batch * word(9u);
    var sums: array<f32, {}>;
    for (var k0 = 0u; k0 < depth; k0 += {SIDE}u) {{
        for (var cell = lane; cell < {cells}u; cell += {threads}u) {{
            let row = row0 + cell / {SIDE}u;
            let k = k0 + cell % {SIDE}u;
            var x = 0.0;
            if (live && row < m && k < depth) {{ x = x0[a0 + row * word(6u) + k * word(7u)]; }}
            left[cell] = x;
            let kb = k0 + cell / {tile}u;
            let col = col0 + cell % {tile}u;
            x = 0.0;
            if (live && kb < depth && col < n) {{ x = x1[b0 + kb * word(10u) + col * word(11u)]; }}
            right[cell] = x;
        }}
        workgroupBarrier();
        for (var k = 0u; k < {SIDE}u; k++) {{
            for (var r = 0u; r < {micro}u; r++) {{
                let x = left[(local.y + r * {SIDE}u) * {SIDE}u + k];
                for (var c = 0u; c < {micro}u; c++) {{
                    sums[r * {micro}u + c] += x * right[k * {tile}u + local.x + c * {SIDE}u];
                }}
            }}
        }}
        workgroupBarrier();
    }}
    for (var r = 0u; r < {micro}u; r++) {{
        for (var c = 0u; c < {micro}u; c++) {{
            let row = row0 + local.y + r * {SIDE}u;
            let col = col0 + local.x + c * {SIDE}u;
            if (live && row < m && col < n) {{
                y[(batch * m + row) * n + col] = sums[r * {micro}u + c];
            }}
        }}
    }}
}}
",
        micro * micro
    )
}

/// Rows and columns of one thread of [`matmul_apart`].
pub(super) const PATCH: usize = 4;

/// The same product, every thread for itself: software adapters wait long at barriers. Info as there.
pub(super) fn matmul_apart() -> String {
    let bindings = [
        reads("x0", Kind::F32),
        reads("x1", Kind::F32),
        writes("y", Kind::F32),
    ];
    let [mut starts, mut loads, mut sums, mut adds, mut stores] = [const { String::new() }; 5];
    for i in 0..PATCH {
        starts += &format!("    let a{i} = a + min(row + {i}u, m - 1u) * word(6u);\n");
        starts += &format!("    let b{i} = b + min(col + {i}u, n - 1u) * word(11u);\n");
        loads += &format!("        let l{i} = x0[a{i} + ak];\n        let r{i} = x1[b{i} + bk];\n");
        for j in 0..PATCH {
            sums += &format!("    var s{i}{j} = 0.0;\n");
            adds += &format!("        s{i}{j} += l{i} * r{j};\n");
            stores += &format!(
                "    if (row + {i}u < m && col + {j}u < n) {{ y[start + {i}u * n + {j}u] = s{i}{j}; }}\n"
            );
        }
    }
    let body = format!(
        "    let m = word(1u);
    let depth = word(2u);
    let n = word(3u);
    let across = (n + {PATCH}u - 1u) / {PATCH}u;
    let down = (m + {PATCH}u - 1u) / {PATCH}u;
    let batch = at / (across * down);
    if (batch >= word(0u)) {{ return; }}
    let row = at / across % down * {PATCH}u;
    let col = at % across * {PATCH}u;
    let a = word(4u) + batch * word(5u);
    let b = word(8u) + batch * word(9u);
{starts}{sums}    for (var k = 0u; k < depth; k++) {{
        let ak = k * word(7u);
        let bk = k * word(10u);
{loads}{adds}    }}
    let start = (batch * m + row) * n + col;
{stores}"
    );
    kernel(&bindings, "", &body)
}

/// One AdamW update in place. `total` holds the squared global norm of the gradients; info: count, then as numbers the
/// norm to clip to (0: none), β₁, β₂, what weight decay keeps, step length, 1/√(1 − β₂ᵗ), ε, low, high.
pub(super) fn adamw() -> String {
    let mut bindings = vec![reads("gradient", Kind::F32), reads("total", Kind::F32)];
    bindings.extend(["m", "v", "y"].map(|name| writes(name, Kind::F32)));
    let body = "    if (at >= word(0u)) { return; }
    let norm = sqrt(total[0]);
    let clip = real(1u);
    var scale = 1.0;
    if (clip > 0.0 && norm > clip) { scale = clip / norm; }
    // A norm that is no number must reach the parameters, where the caller sees it; as bits, since a compiler may take
    // every float for finite.
    if ((bitcast<u32>(norm) & 0x7f800000u) == 0x7f800000u) { scale = nan(); }
    let g = gradient[at] * scale;
    m[at] = real(2u) * m[at] + (1.0 - real(2u)) * g;
    v[at] = real(3u) * v[at] + (1.0 - real(3u)) * g * g;
    let moved = y[at] * real(4u) - real(5u) * m[at] / (sqrt(v[at]) * real(6u) + real(7u));
    y[at] = select(moved, clamp(moved, real(8u), real(9u)), real(8u) > -inf() || real(9u) < inf());";
    kernel(&bindings, "", body)
}
