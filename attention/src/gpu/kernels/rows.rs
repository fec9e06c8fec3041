//! Kernels that work row by row, in three forms.

use super::frame::{Binding, kernel_with};
use crate::gpu::context::{Context, GROUP};

/// How kernels that work row by row share a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gpu) enum Rows {
    /// A workgroup per row.
    Shared,
    /// The same, whose subgroups (threads that the device runs in step) join what they found without waiting.
    Subgroups,
    /// A thread per row: software adapters wait long at barriers.
    Apart,
}

impl Rows {
    /// The faster one.
    pub(in crate::gpu) fn of(context: &Context) -> Rows {
        match (context.is_software(), context.has_subgroups()) {
            (true, _) => Rows::Apart,
            (false, true) => Rows::Subgroups,
            (false, false) => Rows::Shared,
        }
    }

    /// Workgroups of a kernel of [`Rows::kernel`] over this many rows.
    pub(in crate::gpu) fn groups(self, rows: usize) -> usize {
        match self {
            Rows::Shared | Rows::Subgroups => rows,
            Rows::Apart => rows.div_ceil(GROUP),
        }
    }

    /// `body` sees `row`, and walks over it from `first` in steps of `stride`; `total` and `largest` join what the threads
    /// of a row found, `wait` lets them all arrive. Only rows that are `live` may be written. Word 0 counts the rows.
    pub(in crate::gpu) fn kernel(self, bindings: &[Binding], body: &str) -> String {
        let shared = format!(
            "    let row = min(block, word(0u) - 1u);
    let first = lane;
    let stride = {GROUP}u;
    let live = block < word(0u);
"
        );
        let (more, functions, start) = match self {
            Rows::Shared => ("", joins(false) + WAIT, shared),
            Rows::Subgroups => (SUBGROUP, joins(true) + WAIT, format!("{ENTER}{shared}")),
            Rows::Apart => ("", ALONE.to_string(), APART.to_string()),
        };
        kernel_with(GROUP, more, bindings, &functions, &(start + body))
    }
}

const APART: &str = "    if (at >= word(0u)) { return; }
    let row = at;
    let first = 0u;
    let stride = 1u;
    let live = true;
";

const ALONE: &str = "
fn total(lane: u32, x: f32) -> f32 { return x; }
fn largest(lane: u32, x: f32) -> f32 { return x; }
fn wait() { }
";

const WAIT: &str = "fn wait() { storageBarrier(); workgroupBarrier(); }\n";

/// Arguments of the entry point that tell of subgroups.
const SUBGROUP: &str = "    @builtin(subgroup_id) subgroup_here: u32,
    @builtin(num_subgroups) subgroups_here: u32,
    @builtin(subgroup_invocation_id) place_in_subgroup: u32,
";

/// Statements that keep them for `total` and `largest`.
const ENTER: &str = "    subgroup = subgroup_here;
    subgroups = subgroups_here;
    leads = place_in_subgroup == 0u;
";

/// `total` and `largest`: what the threads of a workgroup say, joined in a fixed order.
pub(in crate::gpu) fn joins(subgroups: bool) -> String {
    let join = |name: &str, all: &str, merge: &str| match subgroups {
        true => format!(
            "fn {name}(lane: u32, x: f32) -> f32 {{
    let part = {all}(x);
    workgroupBarrier();
    if (leads) {{ parts[subgroup] = part; }}
    workgroupBarrier();
    var a = parts[0];
    for (var i = 1u; i < subgroups; i++) {{
        let b = parts[i];
        a = {merge};
    }}
    return a;
}}
"
        ),
        false => format!(
            "fn {name}(lane: u32, x: f32) -> f32 {{
    workgroupBarrier();
    parts[lane] = x;
    for (var half = {}u; half > 0u; half /= 2u) {{
        workgroupBarrier();
        if (lane < half) {{
            let a = parts[lane];
            let b = parts[lane + half];
            parts[lane] = {merge};
        }}
    }}
    workgroupBarrier();
    return parts[0];
}}
",
            GROUP / 2
        ),
    };
    let state = match subgroups {
        true => {
            "var<private> subgroup: u32;
var<private> subgroups: u32;
var<private> leads: bool;
"
        }
        false => "",
    };
    let total = join("total", "subgroupAdd", "a + b");
    let largest = join("largest", "subgroupMax", "max(a, b)");
    format!("\nvar<workgroup> parts: array<f32, {GROUP}>;\n{state}{total}{largest}")
}
