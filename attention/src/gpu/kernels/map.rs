//! Formulas of elements.

use super::frame::{Binding, kernel, reads, writes};
use crate::gpu::kind::Kind;

/// `formula` of the elements `a`, `b`, `c`, `d` of as many inputs, the last of which is also called `g`, with numbers
/// `p(i)`, over `rank` axes. Info: count, sizes, per input offset and strides, then the numbers.
pub(in crate::gpu) fn map(inputs: &[Kind], output: Kind, formula: &str, rank: usize) -> String {
    let names = ["a", "b", "c", "d"];
    let mut bindings: Vec<Binding> = Vec::new();
    let mut body = String::from("    if (at >= word(0u)) { return; }\n");
    // The place along each axis, from the last.
    let mut left = "at".to_string();
    for axis in (0..rank).rev() {
        let size = format!("word({}u)", axis + 1);
        if axis == 0 {
            body += &format!("    let i0 = {left};\n");
        } else {
            body += &format!(
                "    let i{axis} = {left} % {size};\n    let left{axis} = {left} / {size};\n"
            );
            left = format!("left{axis}");
        }
    }
    for (i, (name, kind)) in names.iter().zip(inputs).enumerate() {
        bindings.push(reads(&format!("x{i}"), *kind));
        let start = 1 + rank + i * (rank + 1);
        let mut place = format!("word({start}u)");
        for axis in 0..rank {
            place += &format!(" + i{axis} * word({}u)", start + 1 + axis);
        }
        body += &format!("    let {name} = x{i}[{place}];\n");
    }
    bindings.push(writes("y", output));
    // Formulas of gradients call their last input, the gradient of the result, g.
    body += &format!("    let g = {};\n", names[inputs.len() - 1]);
    body += &format!("    y[at] = {formula};");
    let numbers = 1 + rank + inputs.len() * (rank + 1);
    let functions = format!("\nfn p(i: u32) -> f32 {{ return real({numbers}u + i); }}\n{ELEMENT}");
    kernel(&bindings, &functions, &body)
}

/// Functions that formulas may call: where WGSL has none, or is free to be wrong for large arguments.
const ELEMENT: &str = "
fn sigmoid(x: f32) -> f32 { return 1.0 / (1.0 + exp(-x)); }
fn steady_tanh(x: f32) -> f32 { return tanh(clamp(x, -20.0, 20.0)); }
fn gelu_inner(x: f32) -> f32 { return 0.7978845608 * (x + 0.044715 * x * x * x); }
fn gelu_slope(x: f32) -> f32 {
    let t = steady_tanh(gelu_inner(x));
    return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * 0.7978845608 * (1.0 + 0.134145 * x * x);
}
// Share of the standard normal distribution below x: half of the complementary error function, whose fit by Numerical
// Recipes (Press et al., third edition, section 6.2.2) is right to 1.2e-7 relative.
fn normal_share(x: f32) -> f32 {
    let z = abs(x) * 0.7071067812;
    let t = 1.0 / (1.0 + 0.5 * z);
    let p = -1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806
        + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277))))))));
    let tail = 0.5 * t * exp(p - z * z);
    return select(tail, 1.0 - tail, x >= 0.0);
}
fn power(x: f32, y: f32) -> f32 {
    if (y == 0.0) { return 1.0; }
    if (x == 0.0) { return select(0.0, inf(), y < 0.0); }
    let size = pow(abs(x), y);
    if (x > 0.0) { return size; }
    let half = abs(y) * 0.5;
    return select(size, -size, half != floor(half));
}
";
