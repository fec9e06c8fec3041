//! What each construct becomes, and which are refused. Whether the text computes what it should, a driver's tests tell.

use super::cuda;

/// A kernel of these functions and statements, over an array that is read and one that is written.
fn kernel(functions: &str, body: &str) -> String {
    format!(
        "@group(0) @binding(0) var<storage, read> info: array<u32>;
@group(0) @binding(1) var<storage, read> x0: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> grads: array<atomic<u32>>;
{functions}
@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {{
{body}
}}
"
    )
}

/// The entry point and what stands before it, behind the prelude.
#[track_caller]
fn written(functions: &str, body: &str) -> String {
    let found = cuda(&kernel(functions, body)).unwrap();
    assert_eq!(found.block, [8, 8, 1]);
    let (_, own) = found.text.split_once("f32 subgroup_min").unwrap();
    let (_, own) = own.split_once("\n}\n").unwrap();
    own.to_string()
}

#[track_caller]
fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// The last statement.
#[track_caller]
fn last(body: &str) -> String {
    let text = written("", body);
    text.lines().rev().nth(2).unwrap().trim().to_string()
}

#[test]
fn parameters_are_pointers_in_the_order_of_bindings() {
    let text = written("", "    y[lane] = x0[info[1]];");
    let head = "extern \"C\" __global__ void __launch_bounds__(64, 1) farspan_kernel(const u32* __restrict__ info, \
                const f32* __restrict__ x0, f32* __restrict__ y, u32* __restrict__ grads) {";
    assert_eq!(text.lines().next(), Some(head), "{text}");
    let lane = "    const u32 lane = threadIdx.x + 8u * (threadIdx.y + 8u * threadIdx.z);";
    assert!(text.contains(lane), "{text}");
    assert!(text.contains("    y[lane] = x0[info[1u]];"), "{text}");
}

#[test]
fn what_c_leaves_open_is_as_wgsl_says() {
    for (wgsl, expected) in [
        (
            "y[0] = f32(lane / info[1]);",
            "y[0u] = (f32)quotient(lane, info[1u]);",
        ),
        (
            "y[0] = f32(lane % info[1]);",
            "y[0u] = (f32)remains(lane, info[1u]);",
        ),
        ("y[0] = f32(lane / 3u);", "y[0u] = (f32)(lane / 3u);"),
        (
            "y[0] = f32(lane << info[1]);",
            "y[0u] = (f32)(lane << (info[1u] & 31u));",
        ),
        ("y[u32(x0[1])] = 0.5;", "y[whole(x0[1u])] = 0.5f;"),
        (
            "y[0] = bitcast<f32>(info[0]);",
            "y[0u] = bits<f32>(info[0u]);",
        ),
        ("y[0] = -x0[1] - 1e-7;", "y[0u] = (-x0[1u]) - 1e-7f;"),
        (
            "y[0] = select(1.0, 2.0, lane < 3u);",
            "y[0u] = (lane < 3u) ? 2.0f : 1.0f;",
        ),
        (
            "y[0] = pow(abs(x0[0]), clamp(x0[1], -1.0, 1.0));",
            "y[0u] = powf(fabsf(x0[0u]), clamp(x0[1u], (-1.0f), 1.0f));",
        ),
        (
            "y[0] = exp(tanh(floor(x0[0])));",
            "y[0u] = expf(tanhf(floorf(x0[0u])));",
        ),
        (
            "atomicStore(&grads[lane], 3u);",
            "atomic_store(grads[lane], 3u);",
        ),
        (
            "y[0] = f32(atomicLoad(&grads[0]));",
            "y[0u] = (f32)atomic_load(grads[0u]);",
        ),
    ] {
        assert_eq!(last(&format!("    {wgsl}")), expected, "{wgsl}");
    }
}

#[test]
fn what_may_change_is_read_when_the_program_reads_it() {
    let text = written("", "    let old = y[0];\n    y[0] = 2.0;\n    y[1] = old;");
    assert!(
        text.contains("const f32 old = y[0u];\n    y[0u] = 2.0f;\n    y[1u] = old;"),
        "{text}"
    );
    let text = written("", "    var i = lane;\n    i += 1u;\n    y[i] = f32(i);");
    assert!(text.contains("u32 i = 0u;\n    i = lane;\n"), "{text}");
}

#[test]
fn a_loop_goes_on_through_what_comes_last() {
    let body = "    for (var i = 0u; i < lane; i++) {
        if (i == 3u) { continue; }
        y[i] = 1.0;
    }";
    let text = written("", body);
    let expected = "    for (;;) {
        if (!(i < lane)) {
            break;
        }
        {
            if (i == 3u) {
                goto onward;
            }
";
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("        onward:;\n"), "{text}");
}

#[test]
fn functions_get_the_arrays_that_they_use() {
    let functions = "var<private> fixed: array<f32, 2>;
var<workgroup> parts: array<f32, 64>;
fn inner(i: u32) { fixed[1] += x0[i]; parts[i] = 0.0; }
fn unused(i: u32) { y[i] = 0.0; }
fn outer(i: u32, sums: ptr<function, array<f32, 4>>) -> f32 { inner(i); return (*sums)[i]; }";
    let body = "    var sums: array<f32, 4>;\n    y[0] = outer(lane, &sums) + fixed[1];\n    workgroupBarrier();";
    let text = written(functions, body);
    let parts = [
        "__shared__ Array<f32, 64> parts;\n",
        "void inner(const f32* x0, Array<f32, 2>& fixed, u32 i) {",
        "f32 outer(const f32* x0, Array<f32, 2>& fixed, u32 i, Array<f32, 4>& sums) {",
        "    Array<f32, 2> fixed = Array<f32, 2>{};\n",
        "outer(x0, fixed, lane, sums);",
        "    __syncthreads();\n",
    ];
    holds(&text, &parts);
    assert!(!text.contains("unused"), "{text}");
}

#[test]
fn what_the_hardware_has_an_instruction_for_stands_beside_its_meaning() {
    let functions = "fn halves(one: u32, other: u32, upper: bool) -> u32 {
    if (upper) { return (one >> 16u) | (other & 0xffff0000u); }
    return (one & 0xffffu) | (other << 16u);
}";
    let body = "    y[0] = bitcast<f32>(subgroupShuffleXor(halves(lane, subgroupShuffle(lane, 3u), true), 2u));";
    let text = written(functions, body);
    let parts = [
        "#ifdef __CUDA_ARCH__\n    return __byte_perm(one, other, upper ? 0x7632u : 0x5410u);\n#else\n",
        "(one & 65535u) | (other << (16u & 31u))",
        "#endif\n}\n",
        "= shuffle(lane, 3u);",
        "= shuffle_xor(",
    ];
    holds(&text, &parts);
}

#[test]
fn names_of_c_and_of_the_prelude_are_left_to_them() {
    let functions =
        "fn log1p(x: f32) -> f32 { return x; }\nfn powf(x: f32) -> f32 { return log1p(x); }";
    let text = written(functions, "    let int = powf(x0[0]);\n    y[0] = int;");
    assert!(text.contains("const f32 int_2 ="), "{text}");
    assert!(!text.contains(" powf("), "{text}");
}

#[test]
fn what_has_no_spelling_is_named() {
    for (functions, body, expected) in [
        ("", "    y[0] = f32(i32(lane));", "Sint"),
        (
            "",
            "    switch lane { case 1u: { y[0] = 1.0; } default: { } }",
            "Switch",
        ),
        ("", "    y[0] = atan2(x0[0], 1.0);", "Atan2"),
        ("", "    atomicAdd(&grads[0], 1u);", "Add"),
        (
            "@group(0) @binding(5) var<storage, read> far: array<u32>;",
            "",
            "binding",
        ),
        (
            "@group(0) @binding(4) var<uniform> far: u32;",
            "",
            "Uniform",
        ),
    ] {
        let message = cuda(&kernel(functions, body)).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    let message = cuda("fn main() { let x = 1u + 1.0f; }").unwrap_err();
    assert!(message.to_string().contains("valid WGSL"), "{message}");
    let message = cuda("fn main() { }").unwrap_err();
    assert!(message.to_string().contains("entry point"), "{message}");
}
