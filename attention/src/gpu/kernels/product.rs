//! Matrix products.

use super::frame::{header, kernel, reads, writes};
use crate::gpu::kind::Kind;

/// Threads along each side of a workgroup of [`matmul`].
pub(in crate::gpu) const SIDE: usize = 16;

/// Matrix product in tiles of `SIDE · micro` rows and columns, `micro`² per thread. Info: batch, m, k, n, then for both
/// inputs offset, batch stride, row stride, column stride.
pub(in crate::gpu) fn matmul(micro: usize) -> String {
    let tile = SIDE * micro;
    let bindings = [
        reads("x0", Kind::F32),
        reads("x1", Kind::F32),
        writes("y", Kind::F32),
    ];
    let cells = tile * SIDE;
    let threads = SIDE * SIDE;
    let text = format!(
        "
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
    );
    header(&bindings, &text) + &text
}

/// Rows and columns of one thread of [`matmul_apart`].
pub(in crate::gpu) const PATCH: usize = 4;

/// The same product, every thread for itself: software adapters wait long at barriers. Info as there.
pub(in crate::gpu) fn matmul_apart() -> String {
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
