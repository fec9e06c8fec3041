//! The gated activation of a decoder's feed-forward block (Shazeer 2020, arXiv 2002.05202, equation 6).

use super::bridge::{Floats, floats, for_chunks, ours, tensor, zeros};
use super::simd::{Kernel, Simd, dispatch};
use crate::gpu::layers;
use crate::{Error, Result, Tensor};
use candle_core::{CpuStorage, CustomOp1, Layout, Shape};

/// Rows of one job.
const ROWS: usize = 64;

/// `silu(gate) · up`, gate and up being the halves of the last axis: (…, 2·hidden) -> (…, hidden).
pub fn swiglu(gate_up: &Tensor) -> Result<Tensor> {
    let both = gate_up.dims().last().copied().unwrap_or(0);
    if both == 0 || both % 2 != 0 {
        let expected = "(…, 2 · hidden) with hidden ≥ 1";
        return Err(Error::shape("swiglu", expected, gate_up.dims()));
    }
    if let Some([x]) = ours([gate_up]) {
        let op = Swiglu { hidden: both / 2 };
        return Ok(Tensor::from_candle(x.contiguous()?.apply_op1(op)?));
    }
    if let Some([x]) = crate::tensor::on_gpu([gate_up])? {
        return Ok(Tensor::from_traced(layers::swiglu(x)?));
    }
    let half = |start| gate_up.narrow(gate_up.rank() - 1, start, both / 2);
    half(0)?.silu()?.mul(&half(both / 2)?)
}

struct Swiglu {
    hidden: usize,
}

impl CustomOp1 for Swiglu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = floats(x, layout)?;
        let y = forward(x, self.hidden);
        let mut dims = layout.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = self.hidden;
        }
        Ok((CpuStorage::F32(y), dims.into()))
    }

    fn bwd(
        &self,
        x: &candle_core::Tensor,
        _y: &candle_core::Tensor,
        dy: &candle_core::Tensor,
    ) -> candle_core::Result<Option<candle_core::Tensor>> {
        let dy = dy.contiguous()?;
        let (xs, dys) = (Floats::of(x)?, Floats::of(&dy)?);
        let mut dx = xs.get().to_vec();
        backward(&mut dx, dys.get(), self.hidden);
        Ok(Some(tensor(dx, x)?))
    }
}

/// 1 / (1 + e⁻ˣ)
#[inline(always)]
fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    let e = s.exp(s.sub(s.splat(0.0), x));
    s.div(s.splat(1.0), s.add(s.splat(1.0), e))
}

/// The operation on whole rows.
pub(super) fn forward(x: &[f32], hidden: usize) -> Vec<f32> {
    let mut y = zeros(x.len() / 2);
    let size = ROWS * hidden;
    for_chunks(&mut y, size, |block, y| {
        let x = &x[2 * block * size..][..2 * y.len()];
        dispatch(Forward { x, hidden, y });
    });
    y
}

/// Turns whole rows into their gradients.
pub(super) fn backward(x: &mut [f32], dy: &[f32], hidden: usize) {
    let size = 2 * ROWS * hidden;
    for_chunks(x, size, |block, x| {
        let dy = &dy[block * size / 2..][..x.len() / 2];
        dispatch(Backward { x, dy, hidden });
    });
}

struct Forward<'a> {
    x: &'a [f32],
    hidden: usize,
    y: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let n = self.hidden;
        for (x, y) in self.x.chunks_exact(2 * n).zip(self.y.chunks_exact_mut(n)) {
            let (gate, up) = x.split_at(n);
            for at in (0..n).step_by(S::LANES) {
                let g = s.read(gate, at);
                let silu = s.mul(g, sigmoid(s, g));
                s.write(y, at, s.mul(silu, s.read(up, at)));
            }
        }
    }
}

struct Backward<'a> {
    x: &'a mut [f32],
    dy: &'a [f32],
    hidden: usize,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let n = self.hidden;
        let one = s.splat(1.0);
        for (x, dy) in self.x.chunks_exact_mut(2 * n).zip(self.dy.chunks_exact(n)) {
            let (gate, up) = x.split_at_mut(n);
            for at in (0..n).step_by(S::LANES) {
                let (g, u, d) = (s.read(gate, at), s.read(up, at), s.read(dy, at));
                let p = sigmoid(s, g);
                // silu′ = p · (1 + g · (1 − p))
                let slope = s.mul(p, s.fma(g, s.sub(one, p), one));
                s.write(gate, at, s.mul(s.mul(d, u), slope));
                s.write(up, at, s.mul(d, s.mul(g, p)));
            }
        }
    }
}
