//! Outputs, by blocks of queries.

use super::{Calls, SKIP, Shape, Text, tile};
use crate::Result;
use crate::gpu::kernels::writes;
use crate::gpu::kind::Kind;

/// Statements behind these: the query that a thread's pairs have.
pub(super) const QUERY: &str = "    let place = lane % SIDE;
    let qi = min(q0 + place, queries() - 1u);
    let qrow = line * queries() + qi;
    let factor = query_factor(batch, head, qi, 0u);
";

impl Shape {
    /// Statements at the start of a kernel by query: which queries a workgroup has, and which keys they reach.
    pub(super) fn by_query(touched: &str) -> String {
        format!(
            "    // Never so; keeps every array bound, whatever the formula reads.
    if (lines() == 0u) {{ {touched} }}
    let blocks = (queries() + SIDE - 1u) / SIDE;
    let line = block / blocks;
    if (line >= lines()) {{ return; }}
    let q0 = block % blocks * SIDE;
    let m = min(SIDE, queries() - q0);
    let batch = line / heads();
    let head = line % heads();
    let kv_line = batch * kv_heads() + head / (heads() / kv_heads());
    let key_rows = lines() / heads() * kv_heads() * keys();
    let query_rows = lines() * queries();
    let first_row = line * queries() + q0;
    let start = reach_of_query(q0).x / SIDE * SIDE;
    let end = reach_of_query(q0 + m - 1u).y;
"
        )
    }

    /// Outputs, and per query the largest score and the sum of exponentials beyond it.
    pub(in crate::gpu::attend) fn forward(&self) -> Result<Text> {
        let start = Shape::by_query("y[0] = learned[0];");
        let body = format!(
            "{start}{QUERY}    var sums: array<f32, SUMS>;
    var largest = -inf();
    var total = 0.0;
    for (var k0 = start; k0 < end; k0 += SIDE) {{
{SKIP}        let n = min(SIDE, keys() - k0);
        let krow = kv_line * keys() + k0;
        for (var t = 0u; t < TURNS; t++) {{
            products_q_k(lane, t * query_rows + first_row, m, t * key_rows + krow, n, t * PAIRS);
        }}
        workgroupBarrier();
        var most = -inf();
        for (var x = lane / SIDE; x < SIDE; x += SLICES) {{
            let kj = k0 + x;
            let at = x * SIDE + place;
            var s = -inf();
            if (place < m && x < n && sees(qi, kj)) {{
                var raws: array<f32, TURNS>;
                for (var t = 0u; t < TURNS; t++) {{ raws[t] = pairs[t * PAIRS + at] * factor; }}
                s = score(batch, head, qi, kj, raws);
            }}
            pairs[at] = s;
            // Also where s is no number, which the output must show.
            if (!(s <= most)) {{ most = s; }}
        }}
        joined[lane] = most;
        workgroupBarrier();
        let before = largest;
        for (var x = place; x < THREADS; x += SIDE) {{
            if (!(joined[x] <= largest)) {{ largest = joined[x]; }}
        }}
        // Where nothing was seen there is nothing to shrink.
        let shrink = select(exp(before - largest), 1.0, hidden(largest));
        total *= shrink;
        for (var x = lane / SIDE; x < SIDE; x += SLICES) {{
            let at = x * SIDE + place;
            let s = pairs[at];
            var weight = 0.0;
            if (!hidden(s)) {{ weight = exp(s - largest); }}
            pairs[at] = weight;
            total += weight;
        }}
        scale_sums(lane, shrink, &sums);
        add_v(lane, krow, n, 0u, &sums);
    }}
    let all = row_sum(lane, total);
    if (lane < m) {{
        stats[qrow] = largest;
        stats[query_rows + qrow] = all;
    }}
    // A query that sees no key gets zeros.
    scale_sums(lane, select(1.0 / all, 0.0, all == 0.0), &sums);
    store_y(lane, first_row, m, &sums);"
        );
        let more = [writes("y", Kind::F32), writes("stats", Kind::F32)];
        let parts = [tile::products("q", "k"), tile::adds("v"), tile::stores("y")];
        self.tiled(&more, Calls::Score, [self.turns, 1], &parts, &body)
    }
}
