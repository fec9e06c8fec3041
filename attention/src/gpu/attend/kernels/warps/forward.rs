//! Outputs, by blocks of queries.

use super::{PLACE, QUERIES, Tile, place, stages, stores};
use crate::Result;
use crate::gpu::attend::kernels::{Calls, SKIP, Shape, Text};
use crate::gpu::kernels::writes;
use crate::gpu::kind::Kind;

impl Shape {
    /// As [`forward`](Shape::forward).
    pub(in crate::gpu::attend) fn forward_by_warps(&self) -> Result<Text> {
        let tile = Tile::new(self.dim, 2 * self.turns + 1)?;
        let start = Shape::by_query("y[0] = learned[0];");
        let kept =
            self.each_turn("    stage_q(lane, #u * query_rows + first_row, m, #u * ROWS);\n");
        let keys = self
            .each_turn("        stage_k(lane, #u * key_rows + krow, n, (TURNS + #u) * ROWS);\n");
        let dots = self.each_turn(
            "            let dots# = dots(spot, near, #u * ROWS, (TURNS + #u) * ROWS, start_of_block);\n",
        );
        let (mut scores, mut weights, mut all) = (String::new(), String::new(), Vec::new());
        for number in 0..8 {
            let (row, column) = place(number);
            let raws = self.each_turn(&format!(
                "                raws[#] = dots#[{number}] * factor{row};\n"
            ));
            scores += &format!(
                "            var s{number} = -inf();
            let to{number} = start_of_block + across + {column}u;
            if (near + {}u < m && to{number} < n && sees(query{row}, k0 + to{number})) {{
                var raws: array<f32, TURNS>;
{raws}                s{number} = score(batch, head, query{row}, k0 + to{number}, raws);
            }}
            // Also where s is no number, which the output must show.
            if (!(s{number} <= most{row})) {{ most{row} = s{number}; }}
",
                8 * row
            );
            weights += &format!(
                "            var w{number} = 0.0;
            if (!hidden(s{number})) {{ w{number} = exp(s{number} - largest{row}); }}
            total{row} += w{number};
"
            );
            all.push(format!("w{number}"));
        }
        let body = format!(
            "{start}{PLACE}{QUERIES}    var sums: array<vec4<f32>, SUMS>;
    var largest0 = -inf();
    var largest1 = -inf();
    var total0 = 0.0;
    var total1 = 0.0;
{kept}    for (var k0 = start; k0 < end; k0 += SIDE) {{
{SKIP}        let n = min(SIDE, keys() - k0);
        let krow = kv_line * keys() + k0;
        workgroupBarrier();
{keys}        stage_v(lane, krow, n, 2u * TURNS * ROWS);
        workgroupBarrier();
        for (var start_of_block = 0u; start_of_block < n && lane / 32u * 16u < m; start_of_block += 16u) {{
{dots}            var most0 = largest0;
            var most1 = largest1;
{scores}            most0 = quad_max(most0);
            most1 = quad_max(most1);
            // Where nothing was seen there is nothing to shrink.
            let shrink0 = select(exp(largest0 - most0), 1.0, hidden(most0));
            let shrink1 = select(exp(largest1 - most1), 1.0, hidden(most1));
            largest0 = most0;
            largest1 = most1;
            if (shrink0 != 1.0 || shrink1 != 1.0) {{
                total0 *= shrink0;
                total1 *= shrink1;
                scale_sums(shrink0, shrink1, &sums);
            }}
{weights}            add(spot, 0u, sided(array<f32, 8>({all})), 2u * TURNS * ROWS, start_of_block, &sums);
        }}
    }}
    total0 = quad_sum(total0);
    total1 = quad_sum(total1);
    if (spot % 4u == 0u && near < m) {{
        stats[first_row + near] = largest0;
        stats[query_rows + first_row + near] = total0;
    }}
    if (spot % 4u == 0u && near + 8u < m) {{
        stats[first_row + near + 8u] = largest1;
        stats[query_rows + first_row + near + 8u] = total1;
    }}
    // A query that sees no key gets zeros.
    scale_sums(select(1.0 / total0, 0.0, total0 == 0.0), select(1.0 / total1, 0.0, total1 == 0.0), &sums);
    store_y(spot, 0u, near, first_row, m, &sums);",
            all = all.join(", ")
        );
        let more = [writes("y", Kind::F32), writes("stats", Kind::F32)];
        let parts = [stages("q"), stages("k"), stages("v"), stores("y")];
        Ok(self.by_warps(&more, Calls::Score, tile, &parts, &body))
    }
}
