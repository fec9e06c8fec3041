//! `silu(gate) · up` of the halves of the last axis.

use crate::Result;
use crate::gpu::array::Array;
use crate::gpu::kernels::{kernel, reads, writes};
use crate::gpu::kind::Kind;
use crate::gpu::tape::{Backward, Traced};

/// (…, 2·hidden) -> (…, hidden)
pub(crate) fn swiglu(gate_up: &Traced) -> Result<Traced> {
    let array = gate_up.array();
    let last = array.dims().len() - 1;
    let hidden = array.dims()[last] / 2;
    let (gate, up) = (
        array.narrow(last, 0, hidden)?,
        array.narrow(last, hidden, hidden)?,
    );
    let y = Array::map(&[&gate, &up], Kind::F32, "a * sigmoid(a) * b", &[])?;
    let rule = Swiglu(array.packed()?);
    Ok(Traced::custom(y, vec![gate_up.clone()], Box::new(rule)))
}

#[derive(Debug)]
struct Swiglu(Array);

impl Backward for Swiglu {
    fn backward(&self, gradient: &Array) -> Result<Vec<Option<Array>>> {
        let above = gradient.packed()?;
        let by_both = Array::empty(gradient.context(), Kind::F32, self.0.dims())?;
        let hidden = above.dims().last().copied().unwrap_or(1);
        above.run(&backward(), &[hidden as u32], &[&self.0, &above, &by_both])?;
        Ok(vec![Some(by_both)])
    }
}

/// silu′ = σ · (1 + x · (1 − σ)). Info: count, hidden.
pub(super) fn backward() -> String {
    let body = "    if (at >= word(0u)) { return; }
    let hidden = word(1u);
    let gate = at / hidden * 2u * hidden + at % hidden;
    let g = x0[gate];
    let share = 1.0 / (1.0 + exp(-g));
    y[gate] = above[at] * x0[gate + hidden] * share * (1.0 + g * (1.0 - share));
    y[gate + hidden] = above[at] * g * share;";
    let bindings = [
        reads("x0", Kind::F32),
        reads("above", Kind::F32),
        writes("y", Kind::F32),
    ];
    kernel(&bindings, "", body)
}
