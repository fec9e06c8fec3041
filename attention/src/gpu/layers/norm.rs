//! Root-mean-square and layer normalisation over the last axis.

use crate::Result;
use crate::gpu::array::Array;
use crate::gpu::kernels::{Rows, kernel, reads, writes};
use crate::gpu::kind::Kind;
use crate::gpu::tape::{Backward, Traced};

/// Rows whose shares of the weight's gradient one thread adds up.
const BLOCK: usize = 64;

/// `z · weight`, z being `x / √(mean(x²) + eps)`; with a `bias`, z is that of `x − mean(x)`, and the bias is added.
/// x (…, width), weight and bias (width).
pub(crate) fn norm(x: &Traced, weight: &Traced, bias: Option<&Traced>, eps: f64) -> Result<Traced> {
    let rows = Rows::of(x.array().context());
    norm_by(rows, x, weight, bias, eps)
}

pub(super) fn norm_by(
    form: Rows,
    x: &Traced,
    weight: &Traced,
    bias: Option<&Traced>,
    eps: f64,
) -> Result<Traced> {
    let (array, context) = (x.array().packed()?, x.array().context());
    let width = weight.array().count();
    let rows = array.count() / width.max(1);
    let y = Array::empty(context, Kind::F32, array.dims())?;
    let stats = Array::empty(context, Kind::F32, &[2, rows])?;
    let weights = weight.array().packed()?;
    let biases = bias.map(|bias| bias.array().packed()).transpose()?;
    let info = [rows as u32, width as u32, (eps as f32).to_bits()];
    let mut bound = vec![&array, &weights];
    bound.extend(&biases);
    bound.extend([&y, &stats]);
    Array::by_rows(form, context, &forward(form, bias.is_some()), &info, &bound)?;
    let rule = Norm {
        form,
        x: array.clone(),
        weight: weights.clone(),
        stats,
        centred: bias.is_some(),
    };
    let mut inputs = vec![x.clone(), weight.clone()];
    inputs.extend(bias.cloned());
    Ok(Traced::custom(y, inputs, Box::new(rule)))
}

#[derive(Debug)]
struct Norm {
    form: Rows,
    x: Array,
    weight: Array,
    /// Mean (0 if not centred) and 1/√(variance + eps) of each row, \[2, rows\].
    stats: Array,
    centred: bool,
}

impl Backward for Norm {
    fn backward(&self, gradient: &Array) -> Result<Vec<Option<Array>>> {
        let context = gradient.context();
        let above = gradient.packed()?;
        let width = self.weight.count();
        let rows = self.x.count() / width.max(1);
        let by_x = Array::empty(context, Kind::F32, self.x.dims())?;
        let info = [rows as u32, width as u32];
        let bound = [&self.x, &self.weight, &self.stats, &above, &by_x];
        let text = backward(self.form, self.centred);
        Array::by_rows(self.form, context, &text, &info, &bound)?;
        let blocks = rows.div_ceil(BLOCK);
        let sums = || Array::empty(context, Kind::F32, &[blocks, width]);
        let (by_weight, by_bias) = (sums()?, sums()?);
        let info = [width as u32, rows as u32];
        let bound = [&self.x, &self.stats, &above, &by_weight, &by_bias];
        by_weight.run(&by_columns(), &info, &bound)?;
        let total = |sums: Array| sums.sum_keepdim(0)?.reshape(&[width]);
        let mut gradients = vec![Some(by_x), Some(total(by_weight)?)];
        if self.centred {
            gradients.push(Some(total(by_bias)?));
        }
        Ok(gradients)
    }
}

/// Info: rows, width, eps.
pub(super) fn forward(form: Rows, centred: bool) -> String {
    let mut bindings = vec![reads("x0", Kind::F32), reads("weight", Kind::F32)];
    let (mut mean, mut bias) = ("0.0", "");
    if centred {
        bindings.push(reads("bias", Kind::F32));
        (mean, bias) = ("total(lane, sum) / f32(width)", " + bias[c]");
    }
    bindings.extend([writes("y", Kind::F32), writes("stats", Kind::F32)]);
    form.kernel(
        &bindings,
        &format!(
            "    let width = word(1u);
    let base = row * width;
    var sum = 0.0;
    for (var c = first; c < width; c += stride) {{ sum += x0[base + c]; }}
    let mean = {mean};
    // A second pass: Σx² − n·mean² would cancel where the mean is large.
    var square = 0.0;
    for (var c = first; c < width; c += stride) {{
        let z = x0[base + c] - mean;
        square += z * z;
    }}
    let scale = 1.0 / sqrt(total(lane, square) / f32(width) + real(2u));
    if (!live) {{ return; }}
    for (var c = first; c < width; c += stride) {{
        y[base + c] = (x0[base + c] - mean) * scale * weight[c]{bias};
    }}
    if (first == 0u) {{
        stats[row] = mean;
        stats[word(0u) + row] = scale;
    }}"
        ),
    )
}

/// With z the normalised row and g = above · weight: scale · (g − mean(g) − z · mean(g · z)), where mean(g) is left out
/// if the rows were not centred. Info: rows, width.
pub(super) fn backward(form: Rows, centred: bool) -> String {
    let bindings = ["x0", "weight", "stats", "above"].map(|name| reads(name, Kind::F32));
    let mut bindings = bindings.to_vec();
    bindings.push(writes("y", Kind::F32));
    let pull = if centred {
        "total(lane, sum) / f32(width)"
    } else {
        "0.0"
    };
    form.kernel(
        &bindings,
        &format!(
            "    let width = word(1u);
    let base = row * width;
    let mean = stats[row];
    let scale = stats[word(0u) + row];
    var sum = 0.0;
    var with_z = 0.0;
    for (var c = first; c < width; c += stride) {{
        let g = above[base + c] * weight[c];
        sum += g;
        with_z += g * (x0[base + c] - mean) * scale;
    }}
    let by_one = {pull};
    let by_z = total(lane, with_z) / f32(width);
    if (!live) {{ return; }}
    for (var c = first; c < width; c += stride) {{
        let z = (x0[base + c] - mean) * scale;
        y[base + c] = scale * (above[base + c] * weight[c] - by_one - z * by_z);
    }}"
        ),
    )
}

/// Sums of `above · z` and of `above` over the rows of a block, per block and column. Info: count, width, rows.
pub(super) fn by_columns() -> String {
    let bindings = ["x0", "stats", "above"].map(|name| reads(name, Kind::F32));
    let mut bindings = bindings.to_vec();
    bindings.extend(["y", "by_bias"].map(|name| writes(name, Kind::F32)));
    let body = format!(
        "    if (at >= word(0u)) {{ return; }}
    let width = word(1u);
    let start = at / width * {BLOCK}u;
    var sum = 0.0;
    var with_z = 0.0;
    for (var row = start; row < min(start + {BLOCK}u, word(2u)); row++) {{
        let place = row * width + at % width;
        sum += above[place];
        with_z += above[place] * (x0[place] - stats[row]) * stats[word(2u) + row];
    }}
    y[at] = with_z;
    by_bias[at] = sum;"
    );
    kernel(&bindings, "", &body)
}
