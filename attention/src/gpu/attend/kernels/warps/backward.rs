//! Gradients, by blocks of queries and by blocks of keys. `stats` holds the mean of the weights' derivatives as well.

use super::{PLACE, QUERIES, Tile, place, stages, stores};
use crate::Result;
use crate::gpu::attend::kernels::backward::{bound_by_key, bound_by_query};
use crate::gpu::attend::kernels::{Calls, SKIP, Shape, Text};
use crate::gpu::attend::text::mentions;

/// Products of the arrays beside queries and keys. In workgroup memory stand kept rows of each turn, those of the array beside
/// them, then the same of the other side.
const DOTS_BESIDE: &str =
    "dots(spot, near, TURNS * ROWS, (2u * TURNS + 1u) * ROWS, start_of_block)";

impl Shape {
    /// As [`backward_by_query`](Shape::backward_by_query).
    pub(in crate::gpu::attend) fn backward_by_query_by_warps(&self) -> Result<Text> {
        let tile = Tile::new(self.dim, 2 * self.turns + 2)?;
        let start = Shape::by_query("y[0] = learned[0]; atomicStore(&grads[0], 0u);");
        let sums = self.each_turn("    var sums#: array<vec4<f32>, SUMS>;\n");
        let kept =
            self.each_turn("    stage_q(lane, #u * query_rows + first_row, m, #u * ROWS);\n");
        let keys = self.each_turn(
            "        stage_k(lane, #u * key_rows + krow, n, (TURNS + 1u + #u) * ROWS);\n",
        );
        let (dots, adds) = self.turned("            ", "0u");
        let stores_all = self
            .each_turn("    store_y(spot, 0u, near, #u * query_rows + first_row, m, &sums#);\n");
        let mut stats = String::new();
        let mut pairs = String::new();
        for row in 0..2 {
            stats += &format!(
                "    let largest{row} = stats[line * queries() + query{row}];
    let total{row} = stats[query_rows + line * queries() + query{row}];
    let mean{row} = stats[2u * query_rows + line * queries() + query{row}];
"
            );
            pairs += &self.exchanged("            ", row, true);
            for number in (0..8).filter(|number| place(*number).0 == row) {
                pairs += &self.pair_by_query(number);
            }
            pairs += &self.exchanged("            ", row, false);
        }
        let declared = self.declared_by_row();
        let learned = self.learned_by_warps();
        let body = format!(
            "{start}{PLACE}{QUERIES}{stats}{sums}{declared}{kept}    stage_above(lane, first_row, m, TURNS * ROWS);
    for (var k0 = start; k0 < end; k0 += SIDE) {{
{SKIP}        let n = min(SIDE, keys() - k0);
        let krow = kv_line * keys() + k0;
        workgroupBarrier();
{keys}        stage_v(lane, krow, n, (2u * TURNS + 1u) * ROWS);
        workgroupBarrier();
        for (var start_of_block = 0u; start_of_block < n && lane / 32u * 16u < m; start_of_block += 16u) {{
{dots}            let ups = {DOTS_BESIDE};
{pairs}{adds}        }}
    }}
{stores_all}{learned}"
        );
        let staged = ["q", "k", "v", "above"].map(stages).concat();
        let parts = [staged, stores("y")];
        Ok(self.by_warps(
            &bound_by_query(),
            Calls::ToAll,
            tile,
            &parts,
            body.trim_end(),
        ))
    }

    /// Statements that multiply rows of each turn, and those that add derivatives by what came of it to the sums of a share.
    fn turned(&self, indent: &str, share: &str) -> (String, String) {
        let other = "(TURNS + 1u + #u) * ROWS, start_of_block";
        let dots = format!(
            "{indent}let dots# = dots(spot, near, #u * ROWS, {other});
{indent}var back#: array<f32, 8>;
"
        );
        let adds = format!("{indent}add(spot, {share}, sided(back#), {other}, &sums#);\n");
        (self.each_turn(&dots), self.each_turn(&adds))
    }

    /// Statements from a pair's dot products to the derivatives by them.
    fn pair_by_query(&self, number: usize) -> String {
        let (row, column) = place(number);
        let raws = self.each_turn(&format!(
            "                raws[#] = dots#[{number}] * factor{row};\n"
        ));
        let factor = match self.query_scale {
            None => String::new(),
            Some(_) => self.each_turn(&format!(
                "                    by_factor{row} += back[#] * dots#[{number}];\n"
            )),
        };
        let backs = self.each_turn(&format!(
            "                    back#[{number}] = back[#] * factor{row};\n"
        ));
        format!(
            "            let to{number} = start_of_block + across + {column}u;
            if (near + {}u < m && to{number} < n && sees(query{row}, k0 + to{number})) {{
                var raws: array<f32, TURNS>;
{raws}                let s = score(batch, head, query{row}, k0 + to{number}, raws);
                if (!hidden(s)) {{
                    let weight = exp(s - largest{row}) / total{row};
                    let up = weight * (ups[{number}] - mean{row});
                    let back = score_back(batch, head, query{row}, k0 + to{number}, raws, up);
{factor}{backs}                }}
            }}
",
            8 * row
        )
    }

    /// Addresses whose gradients are a query's own.
    fn slots_by_row(&self) -> impl Iterator<Item = usize> {
        let slots = self.fixed.iter().enumerate();
        let own = slots.filter(|(_, at)| mentions(at, "qi"));
        own.map(|(slot, _)| slot)
    }

    /// Variables of what is gathered for each of a thread's rows.
    fn declared_by_row(&self) -> String {
        let mut text = String::new();
        for row in 0..2 {
            if self.query_scale.is_some() {
                text += &format!("    var by_factor{row} = 0.0;\n");
            }
            for slot in self.slots_by_row() {
                text += &format!("    var own{slot}_{row} = 0.0;\n");
            }
        }
        text
    }

    /// Statements that hand what is gathered for a row over to what derivatives add to, or take it back.
    fn exchanged(&self, indent: &str, row: usize, over: bool) -> String {
        let line = |slot| match over {
            true => format!("{indent}fixed[{slot}] = own{slot}_{row};\n"),
            false => format!("{indent}own{slot}_{row} = fixed[{slot}];\n"),
        };
        self.slots_by_row().map(line).collect()
    }

    /// Statements that add up what a workgroup found of what is learned: numbers of one query over the threads that share
    /// its row, all others over each warp.
    fn learned_by_warps(&self) -> String {
        let mut text = String::new();
        for row in 0..2 {
            let mut own = String::new();
            if self.query_scale.is_some() {
                own += &self.exchanged("        ", row, true);
                own += &format!(
                    "        query_factor_back(batch, head, qi, 0u, by_factor{row} * scale());\n"
                );
                own += &self.exchanged("        ", row, false);
            }
            for slot in self.slots_by_row() {
                let at = &self.fixed[slot];
                own += &format!(
                    "        let sum{slot} = quad_sum(own{slot}_{row});
        if (spot % 4u == 0u && near + {}u < m && sum{slot} != 0.0) {{ give({at}, sum{slot}); }}
",
                    8 * row
                );
            }
            if !own.is_empty() {
                text += &format!("    {{\n        let qi = query{row};\n{own}    }}\n");
            }
        }
        for (slot, at) in self.fixed.iter().enumerate() {
            if !mentions(at, "qi") {
                text += &format!(
                    "    let sum{slot} = subgroupAdd(fixed[{slot}]);
    if (spot == 0u && sum{slot} != 0.0) {{ give({at}, sum{slot}); }}
"
                );
            }
        }
        text
    }

    /// As [`backward_by_key`](Shape::backward_by_key).
    pub(in crate::gpu::attend) fn backward_by_key_by_warps(&self) -> Result<Text> {
        let tile = Tile::new(self.dim, 2 * self.turns + 2)?.summing(self.turns + 1);
        let start = Shape::by_key("(block / SHARES)");
        let sums = self.each_turn("    var sums#: array<vec4<f32>, SUMS>;\n");
        let kept = self.each_turn("    stage_k(lane, #u * key_rows + first_row, m, #u * ROWS);\n");
        let queries = self.each_turn(
            "            stage_q(lane, #u * query_rows + row, n, (TURNS + 1u + #u) * ROWS);\n",
        );
        let (dots, adds) = self.turned("                ", "share");
        let stores_all = self
            .each_turn("    store_y(spot, share, near, #u * key_rows + first_row, m, &sums#);\n");
        let pairs: String = (0..8).map(|number| self.pair_by_key(number)).collect();
        let body = format!(
            "{start}{PLACE}    let share = block % SHARES;
    let key0 = min(k0 + near, keys() - 1u);
    let key1 = min(k0 + near + 8u, keys() - 1u);
{sums}    var value_sums: array<vec4<f32>, SUMS>;
{kept}    stage_v(lane, first_row, m, TURNS * ROWS);
    // The query heads that share these keys.
    for (var member = 0u; member < members; member++) {{
        let head = kv_line % kv_heads() * members + member;
        for (var q0 = start; q0 < end; q0 += SIDE) {{
{skip}            let n = min(SIDE, queries() - q0);
            let row = (batch * heads() + head) * queries() + q0;
            workgroupBarrier();
{queries}            stage_above(lane, row, n, (2u * TURNS + 1u) * ROWS);
            workgroupBarrier();
            for (var start_of_block = 0u; start_of_block < n && lane / 32u * 16u < m; start_of_block += 16u) {{
{dots}                let ups = {DOTS_BESIDE};
                var weights: array<f32, 8>;
{pairs}{adds}                add(spot, share, sided(weights), (2u * TURNS + 1u) * ROWS, start_of_block, &value_sums);
            }}
        }}
    }}
{stores_all}    store_by_value(spot, share, near, first_row, m, &value_sums);",
            skip = SKIP.replace("        ", "            "),
        );
        let staged = ["q", "k", "v", "above"].map(stages).concat();
        let parts = [staged, stores("y"), stores("by_value")];
        Ok(self.by_warps(&bound_by_key(), Calls::ToRaws, tile, &parts, &body))
    }

    /// The same by keys: to the weight as well.
    fn pair_by_key(&self, number: usize) -> String {
        let (row, column) = place(number);
        let raws = self.each_turn(&format!(
            "                    raws[#] = dots#[{number}] * factor;\n"
        ));
        let backs = self.each_turn(&format!(
            "                        back#[{number}] = back[#];\n"
        ));
        format!(
            "                let to{number} = start_of_block + across + {column}u;
                if (near + {}u < m && to{number} < n && sees(q0 + to{number}, key{row})) {{
                    let factor = query_factor(batch, head, q0 + to{number}, 0u);
                    let qrow = row + to{number};
                    var raws: array<f32, TURNS>;
{raws}                    let s = score(batch, head, q0 + to{number}, key{row}, raws);
                    if (!hidden(s)) {{
                        let weight = exp(s - stats[qrow]) / stats[query_rows + qrow];
                        let up = weight * (ups[{number}] - stats[2u * query_rows + qrow]);
                        let back = score_back(batch, head, q0 + to{number}, key{row}, raws, up * factor);
                        weights[{number}] = weight;
{backs}                    }}
                }}
",
            8 * row
        )
    }
}
