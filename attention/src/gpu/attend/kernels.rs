//! The kernels of attention: outputs by query, then gradients by query and by key. A thread walks over the other
//! side and keeps running sums, so that memory is linear in the length; neighbouring threads read the same keys (or
//! queries) at the same time.

use super::program::Formula;
use super::text::{helpers, mentions};
use crate::gpu::kernels::{Binding, kernel, reads, writes};
use crate::gpu::kind::Kind;

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

const ARGUMENTS: &str = "batch: u32, head: u32, qi: u32, kj: u32";

/// Which functions of the formulas a kernel calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calls {
    Score,
    /// Derivatives by raw scores as well.
    ToRaws,
    /// Derivatives by all that is learned as well.
    ToAll,
}

const GIVE: &str = "
// Adds to a gradient that others add to as well. No device adds floats atomically for certain, but every device can
// compare and exchange their bits.
fn give(at: u32, x: f32) {
    var old = atomicLoad(&grads[at]);
    loop {
        let sum = bitcast<u32>(bitcast<f32>(old) + x);
        let tried = atomicCompareExchangeWeak(&grads[at], old, sum);
        if (tried.exchanged) { break; }
        old = tried.old_value;
    }
}
";

impl Shape {
    /// The kernel of `body`, with the functions that it calls.
    pub(super) fn kernel(&self, more: &[Binding], calls: Calls, body: &str) -> String {
        let Shape { dim, turns, .. } = self;
        let mut bindings = vec![reads("data", Kind::U32), reads("learned", Kind::F32)];
        bindings.extend(["q", "k", "v"].map(|name| reads(name, Kind::F32)));
        bindings.extend_from_slice(more);
        let own = self.functions(calls);
        let helpers = helpers(&format!("{own}{body}"));
        let sizes = format!("\nconst DIM = {dim}u;\nconst TURNS = {turns}u;\n");
        kernel(&bindings, &format!("{sizes}{helpers}{own}"), body)
    }

    /// Score, its derivatives, and the factor of a query.
    fn functions(&self, calls: Calls) -> String {
        let score = &self.score;
        let mut text = format!(
            "
// What softmax sees of a pair.
fn score({ARGUMENTS}, raws: array<f32, TURNS>) -> f32 {{
{}    return {};
}}
// What multiplies every raw score of a query.
",
            score.forward, score.value
        );
        text += &match &self.query_scale {
            None => format!("fn query_factor({ARGUMENTS}) -> f32 {{ return scale(); }}\n"),
            Some(factor) => format!(
                "fn query_factor({ARGUMENTS}) -> f32 {{\n{}    return scale() * {};\n}}\n",
                factor.forward, factor.value
            ),
        };
        let back = match calls {
            Calls::Score => return text,
            Calls::ToRaws => &score.to_raws,
            Calls::ToAll => &score.backward,
        };
        text += &format!(
            "// From the derivative by the score, `up`, to those by the raw scores{}.
fn score_back({ARGUMENTS}, raws: array<f32, TURNS>, up: f32) -> array<f32, TURNS> {{
    var raws_back: array<f32, TURNS>;
{back}    return raws_back;
}}
",
            match calls {
                Calls::ToAll => ", and by what is learned",
                _ => "",
            }
        );
        if calls == Calls::ToAll {
            text += &self.factor_back();
            text = self.gathering(&text) + &text;
        }
        text
    }

    /// How derivatives by what is learned are added up.
    fn gathering(&self, text: &str) -> String {
        match self.fixed.len() {
            0 if !mentions(text, "give") => String::new(),
            0 => GIVE.to_string(),
            slots => format!(
                "\n// Derivatives by what all pairs of a query read.\nvar<private> fixed: array<f32, {slots}>;{GIVE}"
            ),
        }
    }

    fn factor_back(&self) -> String {
        let Some(factor) = &self.query_scale else {
            return String::new();
        };
        format!(
            "// From the derivative by the factor to those by what is learned.
fn query_factor_back({ARGUMENTS}, up: f32) {{\n{}}}\n",
            factor.backward
        )
    }

    /// Statements at the start of a kernel by query: its numbers, and the query in registers.
    fn by_query(touched: &str) -> String {
        format!(
            "    // Never so; keeps every array bound, whatever the formula reads.
    if (lines() == 0u) {{ {touched} }}
    let padded = (queries() + TILE - 1u) / TILE * TILE;
    let line = at / padded;
    let qi = at % padded;
    if (line >= lines() || qi >= queries()) {{ return; }}
    let batch = line / heads();
    let head = line % heads();
    let kv_line = batch * kv_heads() + head / (heads() / kv_heads());
    let key_rows = lines() / heads() * kv_heads() * keys();
    let query_rows = lines() * queries();
    let qrow = line * queries() + qi;
    let factor = query_factor(batch, head, qi, 0u);
    var query: array<f32, TURNS * DIM>;
    for (var t = 0u; t < TURNS; t++) {{
        for (var c = 0u; c < DIM; c++) {{
            query[t * DIM + c] = q[(t * query_rows + qrow) * DIM + c];
        }}
    }}
    let reach = reach_of_query(qi);
"
        )
    }

    /// Outputs, and per query the largest score and the sum of exponentials beyond it. One thread per query.
    pub(super) fn forward(&self) -> String {
        let start = Shape::by_query("y[0] = learned[0];");
        let raws = raws("query", "k", "krow", "key_rows", false);
        let body = format!(
            "{start}    var sums: array<f32, DIM>;
    var largest = -inf();
    var total = 0.0;
    for (var kj = reach.x; kj < reach.y; kj++) {{
{SKIP_KEYS}        let krow = kv_line * keys() + kj;
{raws}        let s = score(batch, head, qi, kj, raws);
        if (hidden(s)) {{ continue; }}
        // Also where s is no number, which the output must show.
        if (!(s <= largest)) {{
            let shrink = exp(largest - s);
            largest = s;
            total *= shrink;
            for (var c = 0u; c < DIM; c++) {{ sums[c] *= shrink; }}
        }}
        let weight = exp(s - largest);
        total += weight;
        for (var c = 0u; c < DIM; c++) {{ sums[c] += weight * v[krow * DIM + c]; }}
    }}
    stats[qrow] = largest;
    stats[query_rows + qrow] = total;
    // A query that sees no key gets zeros.
    let share = select(1.0 / total, 0.0, total == 0.0);
    for (var c = 0u; c < DIM; c++) {{ y[qrow * DIM + c] = sums[c] * share; }}"
        );
        let more = [writes("y", Kind::F32), writes("stats", Kind::F32)];
        self.kernel(&more, Calls::Score, &body)
    }

    /// Gradients of the rotated queries and of all that is learned. One thread per query; `stats` holds the mean of the
    /// weights' derivatives as well. What several queries say about one number is added in any order.
    pub(super) fn backward_by_query(&self) -> String {
        let mut end = String::new();
        if self.query_scale.is_some() {
            end += "    query_factor_back(batch, head, qi, 0u, by_factor * scale());\n";
        }
        for (slot, at) in self.fixed.iter().enumerate() {
            end += &format!("    if (fixed[{slot}] != 0.0) {{ give({at}, fixed[{slot}]); }}\n");
        }
        let by_factor = match self.query_scale {
            None => ["", ""],
            Some(_) => [
                "    var by_factor = 0.0;\n",
                "            by_factor += by_raw[t] * dots[t];\n",
            ],
        };
        let start = Shape::by_query("y[0] = learned[0]; atomicStore(&grads[0], 0u);");
        let raws = raws("query", "k", "krow", "key_rows", self.query_scale.is_some());
        let pair = pair_back("v[krow * DIM + c]");
        let [zero, add] = by_factor;
        let body = format!(
            "{start}    var sums: array<f32, TURNS * DIM>;
{zero}    for (var kj = reach.x; kj < reach.y; kj++) {{
{SKIP_KEYS}        let krow = kv_line * keys() + kj;
{raws}{pair}        for (var t = 0u; t < TURNS; t++) {{
{add}            let start = (t * key_rows + krow) * DIM;
            for (var c = 0u; c < DIM; c++) {{ sums[t * DIM + c] += by_raw[t] * factor * k[start + c]; }}
        }}
    }}
    for (var t = 0u; t < TURNS; t++) {{
        for (var c = 0u; c < DIM; c++) {{ y[(t * query_rows + qrow) * DIM + c] = sums[t * DIM + c]; }}
    }}
{end}"
        );
        let grads = ("grads".to_string(), "atomic<u32>", true);
        let more = [
            reads("above", Kind::F32),
            reads("stats", Kind::F32),
            writes("y", Kind::F32),
            grads,
        ];
        self.kernel(&more, Calls::ToAll, body.trim_end())
    }

    /// Gradients of the rotated keys and of the values. One thread per key.
    pub(super) fn backward_by_key(&self) -> String {
        let pair = indented(&pair_back("value[c]"));
        let raws = indented(&raws("key", "q", "qrow", "query_rows", false));
        let body = format!(
            "    // Never so; keeps every array bound, whatever the formula reads.
    if (lines() == 0u) {{ y[0] = learned[0]; }}
    let padded = (keys() + TILE - 1u) / TILE * TILE;
    let kv_line = at / padded;
    let kj = at % padded;
    if (kv_line >= lines() / heads() * kv_heads() || kj >= keys()) {{ return; }}
    let batch = kv_line / kv_heads();
    let members = heads() / kv_heads();
    let key_rows = lines() / heads() * kv_heads() * keys();
    let query_rows = lines() * queries();
    let krow = kv_line * keys() + kj;
    var key: array<f32, TURNS * DIM>;
    var value: array<f32, DIM>;
    for (var c = 0u; c < DIM; c++) {{
        value[c] = v[krow * DIM + c];
        for (var t = 0u; t < TURNS; t++) {{
            key[t * DIM + c] = k[(t * key_rows + krow) * DIM + c];
        }}
    }}
    var sums: array<f32, TURNS * DIM>;
    var value_sums: array<f32, DIM>;
    let reach = reach_of_key(kj);
    // The query heads that share this key.
    for (var member = 0u; member < members; member++) {{
        let head = kv_line % kv_heads() * members + member;
        for (var qi = reach.x; qi < reach.y; qi++) {{
            if ((qi == reach.x || qi % TILE == 0u) && skips(qi, kj)) {{
                // On to the last query of the tile.
                qi |= TILE - 1u;
                continue;
            }}
            if (!sees(qi, kj)) {{ continue; }}
            let qrow = (batch * heads() + head) * queries() + qi;
            let factor = query_factor(batch, head, qi, 0u);
{raws}{pair}            for (var c = 0u; c < DIM; c++) {{
                value_sums[c] += weight * above[qrow * DIM + c];
                for (var t = 0u; t < TURNS; t++) {{
                    sums[t * DIM + c] += by_raw[t] * factor * q[(t * query_rows + qrow) * DIM + c];
                }}
            }}
        }}
    }}
    for (var c = 0u; c < DIM; c++) {{
        by_value[krow * DIM + c] = value_sums[c];
        for (var t = 0u; t < TURNS; t++) {{
            y[(t * key_rows + krow) * DIM + c] = sums[t * DIM + c];
        }}
    }}"
        );
        let more = [
            reads("above", Kind::F32),
            reads("stats", Kind::F32),
            writes("y", Kind::F32),
            writes("by_value", Kind::F32),
        ];
        self.kernel(&more, Calls::ToRaws, &body)
    }
}

/// Statements that go on to the next key where the mask or a whole tile hides this one.
const SKIP_KEYS: &str = "        if ((kj == reach.x || kj % TILE == 0u) && skips(qi, kj)) {
            // On to the last key of the tile.
            kj |= TILE - 1u;
            continue;
        }
        if (!sees(qi, kj)) { continue; }
";

/// Statements that fill `raws` for query row `qrow` and key row `krow`; `mine` is the side in registers, and `other` the
/// array of the other.
fn raws(mine: &str, other: &str, other_row: &str, other_rows: &str, dots: bool) -> String {
    // Derivatives of the factor need the products themselves.
    let [declared, kept] = match dots {
        true => [
            "        var dots: array<f32, TURNS>;\n",
            "            dots[t] = dot;\n",
        ],
        false => ["", ""],
    };
    format!(
        "        var raws: array<f32, TURNS>;
{declared}        for (var t = 0u; t < TURNS; t++) {{
            let start = (t * {other_rows} + {other_row}) * DIM;
            var dot = 0.0;
            for (var c = 0u; c < DIM; c++) {{ dot += {mine}[t * DIM + c] * {other}[start + c]; }}
{kept}            raws[t] = dot * factor;
        }}
"
    )
}

/// Statements from a visible pair's `raws` to `up`, the derivative by its score, and `by_raw`; `weight` is its share.
fn pair_back(value: &str) -> String {
    format!(
        "        let s = score(batch, head, qi, kj, raws);
        if (hidden(s)) {{ continue; }}
        let weight = exp(s - stats[qrow]) / stats[query_rows + qrow];
        var by_weight = 0.0;
        for (var c = 0u; c < DIM; c++) {{ by_weight += above[qrow * DIM + c] * {value}; }}
        let up = weight * (by_weight - stats[2u * query_rows + qrow]);
        let by_raw = score_back(batch, head, qi, kj, raws, up);
"
    )
}

/// One step further in.
fn indented(lines: &str) -> String {
    lines.lines().map(|line| format!("    {line}\n")).collect()
}
