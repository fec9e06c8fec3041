//! The kernels of attention: outputs by query, then gradients by query and by key. A thread walks over the other
//! side and keeps running sums, so that memory is linear in the length; neighbouring threads read the same keys (or
//! queries) at the same time.

use super::program::Formula;
use crate::wgpu::array::Kind;
use crate::wgpu::kernels::{Binding, kernel, reads, writes};

/// What the texts depend on.
#[derive(Debug)]
pub(super) struct Shape {
    /// Channels of a head.
    pub(super) dim: usize,
    /// Raw scores.
    pub(super) turns: usize,
    pub(super) score: Formula,
    pub(super) query_scale: Option<Formula>,
    /// Addresses whose gradients are gathered per query.
    pub(super) fixed: Vec<String>,
}

/// Reads what every kernel reads. Words: lines, heads, key/value heads, queries, keys, first query, first key, whether
/// causal, window, sinks, address of the documents, scale, address of the hidden tiles; then what the formulas need.
const COMMON: &str = "
fn heads() -> u32 { return word(1u); }
fn kv_heads() -> u32 { return word(2u); }
fn queries() -> u32 { return word(3u); }
fn keys() -> u32 { return word(4u); }
fn datum(i: u32) -> f32 { return bitcast<f32>(data[i]); }
fn row(x: f32, rows: u32) -> u32 { return u32(clamp(floor(x), 0.0, f32(rows - 1u))); }
fn steady_tanh(x: f32) -> f32 { return tanh(clamp(x, -20.0, 20.0)); }
fn log1p(x: f32) -> f32 {
    // The series where 1 + x would lose the digits of x.
    if (abs(x) < 0.01) { return x * (1.0 - x * (0.5 - x * (0.33333334 - x * 0.25))); }
    return log(1.0 + x);
}
fn positive_power(x: f32, y: f32) -> f32 {
    if (x <= 0.0) { return 0.0; }
    return pow(x, y);
}
fn hidden(score: f32) -> bool { return bitcast<u32>(score) == 0xff800000u; }
fn sees(qi: u32, kj: u32) -> bool {
    let i = qi + word(5u);
    let j = kj + word(6u);
    if (word(7u) != 0u && j > i) { return false; }
    if (max(i, j) - min(i, j) >= word(8u) && j >= word(9u)) { return false; }
    let documents = word(10u);
    if (documents == 0xffffffffu) { return true; }
    return data[documents + i] == data[documents + j];
}
// Whether the score hides the whole tile that the pair lies in.
fn skips(qi: u32, kj: u32) -> bool {
    let tiles = word(12u);
    if (tiles == 0xffffffffu) { return false; }
    return data[tiles + qi / 64u * ((keys() + 63u) / 64u) + kj / 64u] != 0u;
}
// Key numbers that query qi may see: from x to before y.
fn reach_of_query(qi: u32) -> vec2<u32> {
    var reach = vec2<u32>(0u, keys());
    let next = qi + word(5u) + 1u;
    if (word(7u) != 0u) { reach.y = min(keys(), max(next, word(6u)) - word(6u)); }
    if (word(8u) < next && word(9u) <= word(6u)) {
        reach.x = max(next - word(8u), word(6u)) - word(6u);
    }
    return reach;
}
// Query numbers that may see key kj.
fn reach_of_key(kj: u32) -> vec2<u32> {
    var reach = vec2<u32>(0u, queries());
    let j = kj + word(6u);
    if (word(7u) != 0u) { reach.x = max(j, word(5u)) - word(5u); }
    let window = word(8u);
    if (window < 0xffffffffu - j && j >= word(9u)) {
        reach.y = min(queries(), max(j + window, word(5u)) - word(5u));
    }
    return reach;
}
";

const ARGUMENTS: &str = "batch: u32, head: u32, qi: u32, kj: u32";

impl Shape {
    pub(super) fn functions(&self, backward: bool) -> String {
        let Shape { turns, score, .. } = self;
        let one = Formula {
            forward: String::new(),
            value: "1.0".into(),
            backward: String::new(),
        };
        let factor = self.query_scale.as_ref().unwrap_or(&one);
        let raws = format!("array<f32, {turns}>");
        let mut text = format!(
            "{COMMON}
fn score({ARGUMENTS}, raws: {raws}) -> f32 {{
{}    return {};
}}
fn query_factor({ARGUMENTS}) -> f32 {{
{}    return real(11u) * {};
}}
",
            score.forward, score.value, factor.forward, factor.value
        );
        if backward {
            text += &format!(
                "fn score_back({ARGUMENTS}, raws: {raws}, up: f32) -> {raws} {{
    var raws_back: {raws};
{}{}    return raws_back;
}}
",
                score.forward, score.backward
            );
        }
        text
    }

    pub(super) fn bindings(&self, more: &[Binding]) -> Vec<Binding> {
        let mut bindings = vec![reads("data", Kind::U32), reads("learned", Kind::F32)];
        bindings.extend(["q", "k", "v"].map(|name| reads(name, Kind::F32)));
        bindings.extend_from_slice(more);
        bindings
    }

    /// Statements that fill `raws` for query row `qrow` and key row `krow`; `mine` is the side in registers, and
    /// `other` the array of the other.
    fn raws(&self, mine: &str, other: &str, other_row: &str, other_lines: &str) -> String {
        let Shape { dim, turns, .. } = self;
        format!(
            "        var raws: array<f32, {turns}>;
        var dots: array<f32, {turns}>;
        for (var t = 0u; t < {turns}u; t++) {{
            let start = (t * {other_lines} + {other_row}) * {dim}u;
            var dot = 0.0;
            for (var c = 0u; c < {dim}u; c++) {{ dot += {mine}[t * {dim}u + c] * {other}[start + c]; }}
            dots[t] = dot;
            raws[t] = dot * factor;
        }}
"
        )
    }

    /// Statements at the start of a kernel by query: its numbers, and the query in registers.
    fn by_query(&self, touched: &str) -> String {
        let Shape { dim, turns, .. } = self;
        format!(
            "    // Never so; keeps every array bound, whatever the formula reads.
    if (word(0u) == 0u) {{ {touched} }}
    let blocks = (queries() + 63u) / 64u;
    let line = block / blocks;
    let qi = block % blocks * 64u + lane;
    if (line >= word(0u) || qi >= queries()) {{ return; }}
    let batch = line / heads();
    let head = line % heads();
    let kv_line = batch * kv_heads() + head / (heads() / kv_heads());
    let kv_lines = word(0u) / heads() * kv_heads();
    let qrow = line * queries() + qi;
    let factor = query_factor(batch, head, qi, 0u);
    var query: array<f32, {turns} * {dim}>;
    for (var t = 0u; t < {turns}u; t++) {{
        for (var c = 0u; c < {dim}u; c++) {{
            query[t * {dim}u + c] = q[(t * word(0u) * queries() + qrow) * {dim}u + c];
        }}
    }}
    let reach = reach_of_query(qi);
"
        )
    }

    /// Outputs, and per query the largest score and the sum of exponentials beyond it. One thread per query.
    pub(super) fn forward(&self) -> String {
        let dim = self.dim;
        let bindings = self.bindings(&[writes("y", Kind::F32), writes("stats", Kind::F32)]);
        let start = self.by_query("y[0] = learned[0];");
        let raws = self.raws("query", "k", "krow", "(kv_lines * keys())");
        let body = format!(
            "{start}    var sums: array<f32, {dim}>;
    var largest = -inf();
    var total = 0.0;
    for (var kj = reach.x; kj < reach.y; kj++) {{
        if ((kj == reach.x || kj % 64u == 0u) && skips(qi, kj)) {{
            kj |= 63u;
            continue;
        }}
        if (!sees(qi, kj)) {{ continue; }}
        let krow = kv_line * keys() + kj;
{raws}        let s = score(batch, head, qi, kj, raws);
        if (hidden(s)) {{ continue; }}
        if (!(s <= largest)) {{
            let shrink = exp(largest - s);
            largest = s;
            total *= shrink;
            for (var c = 0u; c < {dim}u; c++) {{ sums[c] *= shrink; }}
        }}
        let weight = exp(s - largest);
        total += weight;
        for (var c = 0u; c < {dim}u; c++) {{ sums[c] += weight * v[krow * {dim}u + c]; }}
    }}
    stats[qrow] = largest;
    stats[word(0u) * queries() + qrow] = total;
    // A query that sees no key gets zeros.
    let share = select(1.0 / total, 0.0, total == 0.0);
    for (var c = 0u; c < {dim}u; c++) {{ y[qrow * {dim}u + c] = sums[c] * share; }}"
        );
        kernel(&bindings, &self.functions(false), &body)
    }

    /// Statements from a visible pair's `raws` to `up`, the derivative by its score, and `by_raw`; `weight` is its share.
    fn pair_back(&self, value: &str) -> String {
        let dim = self.dim;
        format!(
            "        let s = score(batch, head, qi, kj, raws);
        if (hidden(s)) {{ continue; }}
        let weight = exp(s - stats[qrow]) / stats[rows + qrow];
        var by_weight = 0.0;
        for (var c = 0u; c < {dim}u; c++) {{ by_weight += above[qrow * {dim}u + c] * {value}; }}
        let up = weight * (by_weight - stats[2u * rows + qrow]);
        let by_raw = score_back(batch, head, qi, kj, raws, up);
"
        )
    }

    /// Gradients of the rotated queries and of all that is learned. One thread per query; `stats` holds the mean of the
    /// weights' derivatives as well. What several queries say about one number is added in any order.
    pub(super) fn backward_by_query(&self) -> String {
        let Shape { dim, turns, .. } = self;
        let grads = ("grads".to_string(), "atomic<u32>", true);
        let bindings = self.bindings(&[
            reads("above", Kind::F32),
            reads("stats", Kind::F32),
            writes("y", Kind::F32),
            grads,
        ]);
        let slots = self.fixed.len().max(1);
        let mut functions = format!(
            "var<private> fixed: array<f32, {slots}>;
fn give(at: u32, x: f32) {{
    var old = atomicLoad(&grads[at]);
    loop {{
        let sum = bitcast<u32>(bitcast<f32>(old) + x);
        let tried = atomicCompareExchangeWeak(&grads[at], old, sum);
        if (tried.exchanged) {{ break; }}
        old = tried.old_value;
    }}
}}
"
        );
        functions += &self.functions(true);
        let mut end = String::new();
        if let Some(factor) = &self.query_scale {
            functions += &format!(
                "fn query_factor_back({ARGUMENTS}, up: f32) {{\n{}{}}}\n",
                factor.forward, factor.backward
            );
            end += "    query_factor_back(batch, head, qi, 0u, by_factor * real(11u));\n";
        }
        for (slot, at) in self.fixed.iter().enumerate() {
            end += &format!("    if (fixed[{slot}] != 0.0) {{ give({at}, fixed[{slot}]); }}\n");
        }
        let start = self.by_query("y[0] = learned[0]; give(0u, 0.0);");
        let raws = self.raws("query", "k", "krow", "(kv_lines * keys())");
        let pair = self.pair_back(&format!("v[krow * {dim}u + c]"));
        let body = format!(
            "{start}    let rows = word(0u) * queries();
    var sums: array<f32, {turns} * {dim}>;
    var by_factor = 0.0;
    for (var kj = reach.x; kj < reach.y; kj++) {{
        if ((kj == reach.x || kj % 64u == 0u) && skips(qi, kj)) {{
            kj |= 63u;
            continue;
        }}
        if (!sees(qi, kj)) {{ continue; }}
        let krow = kv_line * keys() + kj;
{raws}{pair}        for (var t = 0u; t < {turns}u; t++) {{
            by_factor += by_raw[t] * dots[t];
            let start = (t * kv_lines * keys() + krow) * {dim}u;
            for (var c = 0u; c < {dim}u; c++) {{ sums[t * {dim}u + c] += by_raw[t] * factor * k[start + c]; }}
        }}
    }}
    for (var t = 0u; t < {turns}u; t++) {{
        for (var c = 0u; c < {dim}u; c++) {{ y[(t * rows + qrow) * {dim}u + c] = sums[t * {dim}u + c]; }}
    }}
{end}"
        );
        kernel(&bindings, &functions, &body)
    }

    /// Gradients of the rotated keys and of the values. One thread per key.
    pub(super) fn backward_by_key(&self) -> String {
        let Shape { dim, turns, .. } = self;
        let bindings = self.bindings(&[
            reads("above", Kind::F32),
            reads("stats", Kind::F32),
            writes("y", Kind::F32),
            writes("by_value", Kind::F32),
        ]);
        let slots = self.fixed.len().max(1);
        // What is learned gets its gradients from the kernel by query.
        let functions = format!(
            "var<private> fixed: array<f32, {slots}>;\nfn give(at: u32, x: f32) {{ }}\n{}",
            self.functions(true)
        );
        let raws = self.raws("key", "q", "qrow", "rows");
        let pair = self.pair_back("value[c]");
        let body = format!(
            "    if (word(0u) == 0u) {{ y[0] = learned[0]; }}
    let blocks = (keys() + 63u) / 64u;
    let kv_line = block / blocks;
    let kj = block % blocks * 64u + lane;
    let kv_lines = word(0u) / heads() * kv_heads();
    if (kv_line >= kv_lines || kj >= keys()) {{ return; }}
    let rows = word(0u) * queries();
    let batch = kv_line / kv_heads();
    let members = heads() / kv_heads();
    let krow = kv_line * keys() + kj;
    var key: array<f32, {turns} * {dim}>;
    var value: array<f32, {dim}>;
    for (var c = 0u; c < {dim}u; c++) {{
        value[c] = v[krow * {dim}u + c];
        for (var t = 0u; t < {turns}u; t++) {{
            key[t * {dim}u + c] = k[(t * kv_lines * keys() + krow) * {dim}u + c];
        }}
    }}
    var sums: array<f32, {turns} * {dim}>;
    var value_sums: array<f32, {dim}>;
    let reach = reach_of_key(kj);
    for (var member = 0u; member < members; member++) {{
    let head = kv_line % kv_heads() * members + member;
    for (var qi = reach.x; qi < reach.y; qi++) {{
        if ((qi == reach.x || qi % 64u == 0u) && skips(qi, kj)) {{
            qi |= 63u;
            continue;
        }}
        if (!sees(qi, kj)) {{ continue; }}
        let qrow = (batch * heads() + head) * queries() + qi;
        let factor = query_factor(batch, head, qi, 0u);
{raws}{pair}        for (var c = 0u; c < {dim}u; c++) {{
            value_sums[c] += weight * above[qrow * {dim}u + c];
            for (var t = 0u; t < {turns}u; t++) {{
                sums[t * {dim}u + c] += by_raw[t] * factor * q[(t * rows + qrow) * {dim}u + c];
            }}
        }}
    }}
    }}
    for (var c = 0u; c < {dim}u; c++) {{
        by_value[krow * {dim}u + c] = value_sums[c];
        for (var t = 0u; t < {turns}u; t++) {{
            y[(t * kv_lines * keys() + krow) * {dim}u + c] = sums[t * {dim}u + c];
        }}
    }}"
        );
        kernel(&bindings, &functions, &body)
    }
}
