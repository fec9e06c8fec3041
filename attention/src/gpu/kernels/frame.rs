//! What every kernel text starts with.

use crate::gpu::context::GROUP;
use crate::gpu::kind::Kind;

/// A storage buffer that a kernel binds: name, element type, and whether it is written.
pub(in crate::gpu) type Binding = (String, &'static str, bool);

pub(in crate::gpu) fn reads(name: &str, kind: Kind) -> Binding {
    (name.to_string(), kind.text(), false)
}

pub(in crate::gpu) fn writes(name: &str, kind: Kind) -> Binding {
    (name.to_string(), kind.text(), true)
}

/// Declarations that a kernel starts with: `info` at 0, then `bindings`; and what `text`, the rest of it, reads words by.
pub(in crate::gpu) fn header(bindings: &[Binding], text: &str) -> String {
    let mut declared = String::from("@group(0) @binding(0) var<storage, read> info: array<u32>;\n");
    for (i, (name, element, written)) in bindings.iter().enumerate() {
        let access = if *written { "read_write" } else { "read" };
        let i = i + 1;
        declared +=
            &format!("@group(0) @binding({i}) var<storage, {access}> {name}: array<{element}>;\n");
    }
    for (call, reader) in READERS {
        if text.contains(call) {
            declared += reader;
        }
    }
    declared
}

/// Word 0 of `info` are the bits of infinity, which WGSL cannot write; those of the call follow.
const READERS: [(&str, &str); 4] = [
    ("word(", "fn word(i: u32) -> u32 { return info[i + 1u]; }\n"),
    (
        "real(",
        "fn real(i: u32) -> f32 { return bitcast<f32>(info[i + 1u]); }\n",
    ),
    (
        "inf()",
        "fn inf() -> f32 { return bitcast<f32>(info[0]); }\n",
    ),
    (
        "nan()",
        "fn nan() -> f32 { return bitcast<f32>(info[0] | 0x400000u); }\n",
    ),
];

/// A kernel of one dimension: `body` sees `block` (number of the workgroup), `lane` (number in it) and
/// `at` (number of the thread over all workgroups).
pub(in crate::gpu) fn kernel(bindings: &[Binding], functions: &str, body: &str) -> String {
    kernel_of(GROUP, bindings, functions, body)
}

/// The same with so many threads in a workgroup.
pub(in crate::gpu) fn kernel_of(
    threads: usize,
    bindings: &[Binding],
    functions: &str,
    body: &str,
) -> String {
    kernel_with(threads, "", bindings, functions, body)
}

/// The same with `more` arguments of the entry point, a line each.
pub(super) fn kernel_with(
    threads: usize,
    more: &str,
    bindings: &[Binding],
    functions: &str,
    body: &str,
) -> String {
    let text = format!(
        "{functions}
@compute @workgroup_size({threads})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
{more}) {{
    let block = group.x + group.y * groups.x;
    let at = block * {threads}u + lane;
{body}
}}
"
    );
    header(bindings, &text) + &text
}
