//! The feed-forward half of a pre-norm decoder layer as one operation.
//!
//! As separate operations, every gradient in between would be filled with zeros, added to and written once more by
//! candle's backward pass, and every activation kept. Here the only activation that is kept is the input of the gate,
//! and its gradient takes its place.
//!
//! Two nodes, as in fused attention: a node of candle has at most three operands. The first takes the weights and gives
//! a token of one element, the second takes the rows and the token; its backward pass computes everything and leaves
//! the weights' gradients for the first.

use super::bridge::{Floats, floats, for_chunks, lock, ours, tensor};
use super::linear::{View, add_product, linear, product};
use super::norm::rms_norm;
use super::norm_linear;
use super::swiglu::{self, swiglu};
use crate::{Error, Result, Tensor};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Shape, Tensor as Candle};
use std::sync::{Arc, Mutex};

const NAME: &str = "feed-forward";

/// `x + down · swiglu(gate_up · rms_norm(x))`: x (…, width), norm (width), gate_up (2 · hidden, width), down (width,
/// hidden) -> (…, width).
pub fn feed_forward(
    x: &Tensor,
    norm: &Tensor,
    gate_up: &Tensor,
    down: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    let width = x.dims().last().copied().unwrap_or(0);
    let hidden = down.dims().last().copied().unwrap_or(0);
    for (what, weight, expected) in [
        ("feed_forward, norm", norm, vec![width]),
        ("feed_forward, gate_up", gate_up, vec![2 * hidden, width]),
        ("feed_forward, down", down, vec![width, hidden]),
    ] {
        if weight.dims() != expected || expected.contains(&0) {
            let expected = format!("{expected:?}, for x {:?}", x.dims());
            return Err(Error::shape(what, expected, weight.dims()));
        }
    }
    let tensors = ours([x, norm, gate_up, down]).filter(|_| x.elem_count() > 0);
    let Some(tensors) = tensors else {
        let h = rms_norm(x, norm, eps)?;
        let h = swiglu(&linear(&h, gate_up)?)?;
        return x.add(&linear(&h, down)?);
    };
    let [x, norm, gate_up, down] = tensors.map(Candle::contiguous);
    let (x, weights) = (x?, [norm?, gate_up?, down?]);
    let node = Arc::new(Node {
        weights: weights.each_ref().map(Candle::detach),
        eps: eps as f32,
        recorded: x.track_op() || weights.iter().any(Candle::track_op),
        gate: Mutex::default(),
        gradients: Mutex::default(),
    });
    let [norm, gate_up, down] = &weights;
    let token = norm.apply_op3(gate_up, down, Weights(node.clone()))?;
    Ok(Tensor::from_candle(x.apply_op2(&token, Rows(node))?))
}

/// What both nodes share.
struct Node {
    /// norm, gate_up, down
    weights: [Candle; 3],
    eps: f32,
    /// Whether a backward pass may follow.
    recorded: bool,
    /// gate_up · rms_norm(x) from the forward pass, for the backward pass.
    gate: Mutex<Option<Vec<f32>>>,
    /// Gradients of the weights, from one node's backward pass to the other's.
    gradients: Mutex<Vec<Candle>>,
}

/// Weights as numbers.
#[derive(Clone, Copy)]
struct Numbers<'a> {
    norm: &'a [f32],
    gate_up: &'a [f32],
    down: &'a [f32],
    eps: f32,
}

impl Numbers<'_> {
    fn gate(&self, x: &[f32]) -> Vec<f32> {
        norm_linear::forward(x, self.norm, self.gate_up, self.eps)
    }

    fn forward(&self, x: &[f32], gate: &[f32]) -> Vec<f32> {
        let (w, f) = self.sizes();
        let a = swiglu::forward(gate, f);
        let mut y = x.to_vec();
        let down = View::rows(self.down, w, f).transposed();
        add_product(&mut y, View::rows(&a, x.len() / w, f), down);
        y
    }

    /// Gradients of the rows, and of norm, gate_up and down.
    fn backward(&self, x: &[f32], mut gate: Vec<f32>, dy: &[f32]) -> (Vec<f32>, [Vec<f32>; 3]) {
        let (w, f) = self.sizes();
        let rows = x.len() / w;
        let dys = View::rows(dy, rows, w);
        let a = swiglu::forward(&gate, f);
        let ddown = product(dys.transposed(), View::rows(&a, rows, f));
        drop(a);
        let da = product(dys, View::rows(self.down, w, f));
        swiglu::backward(&mut gate, &da, f);
        drop(da);
        let weights = (self.norm, self.gate_up);
        let (mut dx, dnorm, dgate_up) = norm_linear::backward(x, weights, &gate, self.eps);
        add_rows(&mut dx, dy);
        (dx, [dnorm, dgate_up, ddown])
    }

    /// (width, hidden)
    fn sizes(&self) -> (usize, usize) {
        let width = self.norm.len();
        (width, self.down.len() / width)
    }
}

/// `y += x`
pub(crate) fn add_rows(y: &mut [f32], x: &[f32]) {
    const SIZE: usize = 1 << 14;
    for_chunks(y, SIZE, |part, y| {
        let x = &x[part * SIZE..][..y.len()];
        y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
    });
}

impl Node {
    fn with_numbers<T>(
        &self,
        f: impl FnOnce(Numbers<'_>) -> candle_core::Result<T>,
    ) -> candle_core::Result<T> {
        let [norm, gate_up, down] = &self.weights;
        let (norm, gate_up, down) = (Floats::of(norm)?, Floats::of(gate_up)?, Floats::of(down)?);
        f(Numbers {
            norm: norm.get(),
            gate_up: gate_up.get(),
            down: down.get(),
            eps: self.eps,
        })
    }

    fn forward(&self, x: &[f32]) -> candle_core::Result<Vec<f32>> {
        self.with_numbers(|numbers| {
            let gate = numbers.gate(x);
            let y = numbers.forward(x, &gate);
            *lock(NAME, &self.gate)? = self.recorded.then_some(gate);
            Ok(y)
        })
    }

    /// Returns the gradient of the rows and leaves those of the weights.
    fn backward(&self, x: &[f32], dy: &[f32]) -> candle_core::Result<Vec<f32>> {
        let gate = lock(NAME, &self.gate)?.take();
        self.with_numbers(|numbers| {
            // A second backward pass through the same graph computes it again.
            let gate = gate.unwrap_or_else(|| numbers.gate(x));
            let (dx, gradients) = numbers.backward(x, gate, dy);
            let gradients = gradients.into_iter().zip(&self.weights);
            let gradients = gradients.map(|(values, weight)| tensor(values, weight));
            *lock(NAME, &self.gradients)? = gradients.collect::<candle_core::Result<_>>()?;
            Ok(dx)
        })
    }
}

struct Weights(Arc<Node>);

impl CustomOp3 for Weights {
    fn name(&self) -> &'static str {
        "feed-forward-weights"
    }

    fn cpu_fwd(
        &self,
        _norm: &CpuStorage,
        _norm_layout: &Layout,
        _gate_up: &CpuStorage,
        _gate_up_layout: &Layout,
        _down: &CpuStorage,
        _down_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), Shape::from(1)))
    }

    fn bwd(
        &self,
        _norm: &Candle,
        _gate_up: &Candle,
        _down: &Candle,
        _token: &Candle,
        _upstream: &Candle,
    ) -> candle_core::Result<(Option<Candle>, Option<Candle>, Option<Candle>)> {
        let mut gradients = std::mem::take(&mut *lock(NAME, &self.0.gradients)?).into_iter();
        Ok((gradients.next(), gradients.next(), gradients.next()))
    }
}

struct Rows(Arc<Node>);

impl CustomOp2 for Rows {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        _token: &CpuStorage,
        _token_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let y = self.0.forward(floats(x, layout)?)?;
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Candle,
        token: &Candle,
        _y: &Candle,
        dy: &Candle,
    ) -> candle_core::Result<(Option<Candle>, Option<Candle>)> {
        let dy = dy.contiguous()?;
        let (xs, dys) = (Floats::of(x)?, Floats::of(&dy)?);
        let dx = self.0.backward(xs.get(), dys.get())?;
        Ok((Some(tensor(dx, x)?), Some(token.zeros_like()?)))
    }
}
