//! Gradients, by blocks of queries and by blocks of keys. `stats` holds the mean of the weights' derivatives as well.

use super::forward::QUERY;
use super::{Calls, SKIP, Shape, Text, tile};
use crate::Result;
use crate::gpu::attend::text::mentions;
use crate::gpu::kernels::{Binding, reads, writes};
use crate::gpu::kind::Kind;

/// What gradients by query bind beside the inputs.
pub(super) fn bound_by_query() -> [Binding; 4] {
    [
        reads("above", Kind::F32),
        reads("stats", Kind::F32),
        writes("y", Kind::F32),
        ("grads".to_string(), "atomic<u32>", true),
    ]
}

/// What gradients by key bind beside them.
pub(super) fn bound_by_key() -> [Binding; 4] {
    [
        reads("above", Kind::F32),
        reads("stats", Kind::F32),
        writes("y", Kind::F32),
        writes("by_value", Kind::F32),
    ]
}

impl Shape {
    /// Gradients of the rotated queries and of all that is learned. What several workgroups say about one number is added
    /// in any order.
    pub(in crate::gpu::attend) fn backward_by_query(&self) -> Result<Text> {
        let start = Shape::by_query("y[0] = learned[0]; atomicStore(&grads[0], 0u);");
        let [declared, adds, stores] = self.by_turn([
            "    var sums#: array<f32, SUMS>;\n",
            "        add_k(lane, #u * key_rows + krow, n, #u * PAIRS, &sums#);\n",
            "    store_y(lane, #u * query_rows + first_row, m, &sums#);\n",
        ]);
        let [zero, add] = match self.query_scale {
            None => ["", ""],
            Some(_) => [
                "    var by_factor = 0.0;\n",
                "                by_factor += back[t] * pairs[t * PAIRS + at];\n",
            ],
        };
        let learned = self.learned();
        let body = format!(
            "{start}{QUERY}    let largest = stats[qrow];
    let total = stats[query_rows + qrow];
    let mean = stats[2u * query_rows + qrow];
{declared}{zero}    for (var k0 = start; k0 < end; k0 += SIDE) {{
{SKIP}        let n = min(SIDE, keys() - k0);
        let krow = kv_line * keys() + k0;
        for (var t = 0u; t < TURNS; t++) {{
            products_q_k(lane, t * query_rows + first_row, m, t * key_rows + krow, n, t * PAIRS);
        }}
        products_above_v(lane, first_row, m, krow, n, TURNS * PAIRS);
        workgroupBarrier();
        for (var x = lane / SIDE; x < SIDE; x += SLICES) {{
            let kj = k0 + x;
            let at = x * SIDE + place;
            var back: array<f32, TURNS>;
            if (place < m && x < n && sees(qi, kj)) {{
                var raws: array<f32, TURNS>;
                for (var t = 0u; t < TURNS; t++) {{ raws[t] = pairs[t * PAIRS + at] * factor; }}
                let s = score(batch, head, qi, kj, raws);
                if (!hidden(s)) {{
                    let weight = exp(s - largest) / total;
                    let up = weight * (pairs[TURNS * PAIRS + at] - mean);
                    back = score_back(batch, head, qi, kj, raws, up);
                }}
            }}
            for (var t = 0u; t < TURNS; t++) {{
{add}                pairs[t * PAIRS + at] = back[t] * factor;
            }}
        }}
{adds}    }}
{stores}{learned}"
        );
        let parts = [
            tile::products("q", "k"),
            tile::products("above", "v"),
            tile::adds("k"),
            tile::stores("y"),
        ];
        let sizes = [self.turns + 1, self.turns];
        self.tiled(
            &bound_by_query(),
            Calls::ToAll,
            sizes,
            &parts,
            body.trim_end(),
        )
    }

    /// Statements that add up what a workgroup found of what is learned: numbers of one query over the threads that share
    /// its pairs, all others over all threads.
    fn learned(&self) -> String {
        let mut text = String::new();
        if self.query_scale.is_some() {
            text += "    query_factor_back(batch, head, qi, 0u, by_factor * scale());\n";
        }
        for (slot, at) in self.fixed.iter().enumerate() {
            let (sum, giver) = match mentions(at, "qi") {
                true => ("row_sum", "lane < m"),
                false => ("whole_sum", "lane == 0u"),
            };
            text += &format!(
                "    let sum{slot} = {sum}(lane, fixed[{slot}]);
    if ({giver} && sum{slot} != 0.0) {{ give({at}, sum{slot}); }}\n"
            );
        }
        text
    }

    /// Statements at the start of a kernel by key: which keys a workgroup has, and which queries reach them. `block` is the
    /// expression of its number.
    pub(super) fn by_key(block: &str) -> String {
        format!(
            "    // Never so; keeps every array bound, whatever the formula reads.
    if (lines() == 0u) {{ y[0] = learned[0]; }}
    let blocks = (keys() + SIDE - 1u) / SIDE;
    let kv_line = {block} / blocks;
    if (kv_line >= lines() / heads() * kv_heads()) {{ return; }}
    let k0 = {block} % blocks * SIDE;
    let m = min(SIDE, keys() - k0);
    let batch = kv_line / kv_heads();
    let members = heads() / kv_heads();
    let key_rows = lines() / heads() * kv_heads() * keys();
    let query_rows = lines() * queries();
    let first_row = kv_line * keys() + k0;
    let start = reach_of_key(k0).x / SIDE * SIDE;
    let end = max(reach_of_key(k0).y, reach_of_key(k0 + m - 1u).y);
"
        )
    }

    /// Gradients of the rotated keys and of the values.
    pub(in crate::gpu::attend) fn backward_by_key(&self) -> Result<Text> {
        let [declared, adds, stores] = self.by_turn([
            "    var sums#: array<f32, SUMS>;\n",
            "            add_q(lane, #u * query_rows + row, n, #u * PAIRS, &sums#);\n",
            "    store_y(lane, #u * key_rows + first_row, m, &sums#);\n",
        ]);
        let start = Shape::by_key("block");
        let body = format!(
            "{start}    let place = lane % SIDE;
    let kj = min(k0 + place, keys() - 1u);
{declared}    var value_sums: array<f32, SUMS>;
    // The query heads that share these keys.
    for (var member = 0u; member < members; member++) {{
        let head = kv_line % kv_heads() * members + member;
        for (var q0 = start; q0 < end; q0 += SIDE) {{
{skip}            let n = min(SIDE, queries() - q0);
            let row = (batch * heads() + head) * queries() + q0;
            for (var t = 0u; t < TURNS; t++) {{
                products_k_q(lane, t * key_rows + first_row, m, t * query_rows + row, n, t * PAIRS);
            }}
            products_v_above(lane, first_row, m, row, n, TURNS * PAIRS);
            workgroupBarrier();
            for (var x = lane / SIDE; x < SIDE; x += SLICES) {{
                let qi = q0 + x;
                let qrow = row + x;
                let at = x * SIDE + place;
                var weight = 0.0;
                var back: array<f32, TURNS>;
                if (place < m && x < n && sees(qi, kj)) {{
                    let factor = query_factor(batch, head, qi, 0u);
                    var raws: array<f32, TURNS>;
                    for (var t = 0u; t < TURNS; t++) {{ raws[t] = pairs[t * PAIRS + at] * factor; }}
                    let s = score(batch, head, qi, kj, raws);
                    if (!hidden(s)) {{
                        weight = exp(s - stats[qrow]) / stats[query_rows + qrow];
                        let up = weight * (pairs[TURNS * PAIRS + at] - stats[2u * query_rows + qrow]);
                        back = score_back(batch, head, qi, kj, raws, up * factor);
                    }}
                }}
                for (var t = 0u; t < TURNS; t++) {{ pairs[t * PAIRS + at] = back[t]; }}
                pairs[TURNS * PAIRS + at] = weight;
            }}
{adds}            add_above(lane, row, n, TURNS * PAIRS, &value_sums);
        }}
    }}
{stores}    store_by_value(lane, first_row, m, &value_sums);",
            skip = SKIP.replace("        ", "            "),
        );
        let parts = [
            tile::products("k", "q"),
            tile::products("v", "above"),
            tile::adds("q"),
            tile::adds("above"),
            tile::stores("y"),
            tile::stores("by_value"),
        ];
        let sizes = [self.turns + 1, self.turns + 1];
        self.tiled(&bound_by_key(), Calls::ToRaws, sizes, &parts, &body)
    }

    /// Lines for each raw score; see [`each_turn`](Shape::each_turn).
    fn by_turn<const N: usize>(&self, lines: [&str; N]) -> [String; N] {
        lines.map(|line| self.each_turn(line))
    }
}
