//! AdamW's updates on the device: values, moments and the clipping norm never leave it.

use super::array::{Array, Kind};
use super::kernels::{kernel, reads, writes};
use super::tape::Traced;
use crate::Result;
use crate::optim::{Moments as HostMoments, Rule};

/// Running means of a parameter's gradient and of its square.
#[derive(Debug)]
pub(crate) struct Moments {
    m: Array,
    v: Array,
}

impl Moments {
    /// Zeros for a parameter.
    pub(crate) fn of(parameter: &Array) -> Result<Moments> {
        let zeros = || Array::full(parameter.context(), 0.0, parameter.dims());
        let (m, v) = (zeros()?, zeros()?);
        Ok(Moments { m, v })
    }

    /// For a checkpoint; waits for the device.
    pub(crate) fn read(&self) -> Result<HostMoments> {
        let (m, v) = (self.m.to_f32()?, self.v.to_f32()?);
        Ok(HostMoments { m, v })
    }

    /// When resuming.
    pub(crate) fn set(&self, values: &HostMoments) -> Result<()> {
        for (array, values) in [(&self.m, &values.m), (&self.v, &values.v)] {
            array.overwrite(&Array::from_f32(array.context(), values, array.dims())?)?;
        }
        Ok(())
    }
}

/// One parameter of a step.
pub(crate) struct Item<'a> {
    pub(crate) variable: &'a Array,
    /// A parameter without gradient takes part with a gradient of 0.
    pub(crate) gradient: Option<&'a Array>,
    pub(crate) moments: &'a Moments,
    pub(crate) rule: Rule,
}

/// One step; gives the global norm of the gradients before they are clipped to `clip`, a scalar. If it is not finite,
/// neither are the variables afterwards.
pub(crate) fn step(items: &[Item<'_>], clip: f64) -> Result<Array> {
    let mut found = Vec::new();
    let mut squares = Vec::new();
    for item in items {
        let gradient = match item.gradient {
            Some(gradient) => gradient.packed()?,
            None => Array::full(item.variable.context(), 0.0, item.variable.dims())?,
        };
        let square = Traced::constant(gradient.clone()).sqr()?.sum_all()?;
        squares.push(square.reshape(&[1])?);
        found.push(gradient);
    }
    let squares: Vec<&Traced> = squares.iter().collect();
    let total = Traced::cat(&squares, 0)?.sum_all()?;
    for (item, gradient) in items.iter().zip(&found) {
        let rule = item.rule;
        let (low, high) = rule.clamp.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        let numbers = [
            clip as f32,
            rule.beta1,
            rule.beta2,
            rule.keep,
            rule.stride,
            rule.root,
            rule.eps,
            low,
            high,
        ];
        let info = numbers.map(f32::to_bits);
        let Moments { m, v } = item.moments;
        let arrays = [gradient, total.array(), m, v, item.variable];
        item.variable.run(&adamw(), &info, &arrays)?;
    }
    Ok(total.sqrt()?.array().clone())
}

/// One AdamW update in place. `total` holds the squared global norm of the gradients; info: count, then as numbers the
/// norm to clip to (0: none), β₁, β₂, what weight decay keeps, step length, 1/√(1 − β₂ᵗ), ε, low, high.
pub(super) fn adamw() -> String {
    let mut bindings = vec![reads("gradient", Kind::F32), reads("total", Kind::F32)];
    bindings.extend(["m", "v", "y"].map(|name| writes(name, Kind::F32)));
    let body = "    if (at >= word(0u)) { return; }
    let norm = sqrt(total[0]);
    let clip = real(1u);
    var scale = 1.0;
    if (clip > 0.0 && norm > clip) { scale = clip / norm; }
    // A norm that is no number must reach the parameters, where the caller sees it; as bits, since a compiler may take
    // every float for finite.
    if ((bitcast<u32>(norm) & 0x7f800000u) == 0x7f800000u) { scale = nan(); }
    let g = gradient[at] * scale;
    m[at] = real(2u) * m[at] + (1.0 - real(2u)) * g;
    v[at] = real(3u) * v[at] + (1.0 - real(3u)) * g * g;
    let moved = y[at] * real(4u) - real(5u) * m[at] / (sqrt(v[at]) * real(6u) + real(7u));
    y[at] = select(moved, clamp(moved, real(8u), real(9u)), real(8u) > -inf() || real(9u) < inf());";
    kernel(&bindings, "", body)
}
