//! Kernels that work row by row, in two forms.

use super::{Binding, kernel};
use crate::Result;
use crate::wgpu::array::Array;
use crate::wgpu::context::{Buffer, Context, GROUP};

/// How kernels that work row by row share a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wgpu) enum Rows {
    /// A workgroup per row.
    Shared,
    /// A thread per row: software adapters wait long at barriers.
    Apart,
}

impl Rows {
    /// The faster one.
    pub(in crate::wgpu) fn of(context: &Context) -> Rows {
        match context.is_software() {
            true => Rows::Apart,
            false => Rows::Shared,
        }
    }

    /// Runs a kernel of [`Rows::kernel`] over as many rows as the first word of `info` says.
    pub(in crate::wgpu) fn run(
        self,
        context: &Context,
        shader: &str,
        info: &[u32],
        arrays: &[&Array],
    ) -> Result<()> {
        let rows = info[0] as usize;
        let groups = match self {
            Rows::Shared => rows,
            Rows::Apart => rows.div_ceil(GROUP),
        };
        let buffers: Vec<&Buffer> = arrays.iter().map(|array| array.buffer()).collect();
        context.dispatch(shader, info, &buffers, groups)
    }

    /// `body` sees `row`, and walks over it from `first` in steps of `stride`; `total` and `largest` join what the threads
    /// of a row found, `wait` lets them all arrive. Only rows that are `live` may be written. Word 0 counts the rows.
    pub(in crate::wgpu) fn kernel(self, bindings: &[Binding], body: &str) -> String {
        let (functions, start) = match self {
            Rows::Shared => (
                joins() + WAIT,
                format!(
                    "    let row = min(block, word(0u) - 1u);
    let first = lane;
    let stride = {GROUP}u;
    let live = block < word(0u);
"
                ),
            ),
            Rows::Apart => (
                ALONE.to_string(),
                "    if (at >= word(0u)) { return; }
    let row = at;
    let first = 0u;
    let stride = 1u;
    let live = true;
"
                .to_string(),
            ),
        };
        kernel(bindings, &functions, &(start + body))
    }
}

const ALONE: &str = "
fn total(lane: u32, x: f32) -> f32 { return x; }
fn largest(lane: u32, x: f32) -> f32 { return x; }
fn wait() { }
";

const WAIT: &str = "fn wait() { storageBarrier(); workgroupBarrier(); }\n";

/// `total` and `largest`: what the threads of a workgroup say, joined in a fixed order.
pub(in crate::wgpu) fn joins() -> String {
    let join = |name: &str, merge: &str| {
        format!(
            "fn {name}(lane: u32, x: f32) -> f32 {{
    workgroupBarrier();
    parts[lane] = x;
    for (var half = {}u; half > 0u; half /= 2u) {{
        workgroupBarrier();
        if (lane < half) {{ parts[lane] = {merge}; }}
    }}
    workgroupBarrier();
    return parts[0];
}}
",
            GROUP / 2
        )
    };
    format!(
        "
var<workgroup> parts: array<f32, {GROUP}>;
{}{}",
        join("total", "parts[lane] + parts[lane + half]"),
        join("largest", "max(parts[lane], parts[lane + half])")
    )
}
