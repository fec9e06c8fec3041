//! The feed-forward half of a pre-norm decoder layer as one part of a chain.
//!
//! As separate operations every activation would be kept. Here the only one is the input of the gate, and its gradient
//! takes its place.

use super::bridge::{Floats, copied, for_chunks, lock, ours, tensor};
use super::chain::{Left, Linked, Part, token};
use super::linear::{View, add_product, linear, product};
use super::norm::rms_norm;
use super::norm_linear;
use super::swiglu::{self, swiglu};
use crate::{Error, Result, Tensor};
use candle_core::Tensor as Candle;
use std::sync::{Arc, Mutex};

/// Weights of the feed-forward half of a pre-norm decoder layer.
#[derive(Clone, Copy, Debug)]
pub struct FeedForward<'a> {
    /// Of the norm before it, (width).
    pub norm: &'a Tensor,
    /// Packed projections of gate and value, (2 · hidden, width).
    pub gate_up: &'a Tensor,
    /// (width, hidden)
    pub down: &'a Tensor,
    /// Added to the mean square in the norm.
    pub eps: f64,
}

impl FeedForward<'_> {
    /// Fails if the weights do not fit each other, or rows x.
    pub(crate) fn check(&self, x: &Tensor) -> Result<()> {
        let width = x.dims().last().copied().unwrap_or(0);
        let hidden = self.down.dims().last().copied().unwrap_or(0);
        for (what, weight, expected) in [
            ("feed_forward, norm", self.norm, vec![width]),
            (
                "feed_forward, gate_up",
                self.gate_up,
                vec![2 * hidden, width],
            ),
            ("feed_forward, down", self.down, vec![width, hidden]),
        ] {
            if weight.dims() != expected || expected.contains(&0) {
                let expected = format!("{expected:?}, for x {:?}", x.dims());
                return Err(Error::shape(what, expected, weight.dims()));
            }
        }
        Ok(())
    }

    /// `x + down · swiglu(gate_up · rms_norm(x))`, composed.
    pub(crate) fn composed(&self, x: &Tensor) -> Result<Tensor> {
        x.add(&self.output(x)?)
    }

    /// `down · swiglu(gate_up · rms_norm(x))`, composed.
    pub(crate) fn output(&self, x: &Tensor) -> Result<Tensor> {
        let h = rms_norm(x, self.norm, self.eps)?;
        let h = swiglu(&linear(&h, self.gate_up)?)?;
        linear(&h, self.down)
    }

    /// The same as a part, if a kernel can run: the rows and, where `x` or a weight is `tracked`, the part.
    pub(crate) fn part(
        &self,
        x: &Tensor,
        tracked: bool,
    ) -> Result<Option<(Tensor, Option<Linked>)>> {
        let tensors = ours([x, self.norm, self.gate_up, self.down]);
        let Some(tensors) = tensors.filter(|_| x.elem_count() > 0) else {
            return Ok(None);
        };
        let [x, norm, gate_up, down] = tensors.map(Candle::contiguous);
        let (x, weights) = (x?.detach(), [norm?, gate_up?, down?]);
        let node = Node {
            weights: weights.each_ref().map(Candle::detach),
            x,
            eps: self.eps as f32,
            gate: Mutex::default(),
            left: Left::default(),
        };
        let tracked = tracked || weights.iter().any(Candle::track_op);
        let y = node.forward(tracked)?;
        if !tracked {
            return Ok(Some((y, None)));
        }
        let tokens = vec![token(&weights.each_ref(), &node.left)?];
        Ok(Some((y, Some((Arc::new(node), tokens)))))
    }
}

/// A call.
#[derive(Debug)]
struct Node {
    x: Candle,
    /// norm, gate_up, down
    weights: [Candle; 3],
    eps: f32,
    /// gate_up · rms_norm(x) from the forward pass, for the backward pass.
    gate: Mutex<Option<Vec<f32>>>,
    left: Left,
}

/// Rows and weights as numbers.
#[derive(Clone, Copy)]
struct Numbers<'a> {
    x: &'a [f32],
    norm: &'a [f32],
    gate_up: &'a [f32],
    down: &'a [f32],
    eps: f32,
}

impl Numbers<'_> {
    fn gate(&self) -> Vec<f32> {
        norm_linear::forward(self.x, self.norm, self.gate_up, self.eps)
    }

    fn forward(&self, gate: &[f32]) -> Vec<f32> {
        let (w, f) = self.sizes();
        let a = swiglu::forward(gate, f);
        let mut y = copied(self.x);
        let down = View::rows(self.down, w, f).transposed();
        add_product(&mut y, View::rows(&a, self.x.len() / w, f), down);
        y
    }

    /// Gradients of the rows, and of norm, gate_up and down.
    fn backward(&self, mut gate: Vec<f32>, dy: &[f32]) -> (Vec<f32>, [Vec<f32>; 3]) {
        let (w, f) = self.sizes();
        let rows = self.x.len() / w;
        let dys = View::rows(dy, rows, w);
        let a = swiglu::forward(&gate, f);
        let ddown = product(dys.transposed(), View::rows(&a, rows, f));
        drop(a);
        let da = product(dys, View::rows(self.down, w, f));
        swiglu::backward(&mut gate, &da, f);
        drop(da);
        let weights = (self.norm, self.gate_up);
        let (mut dx, dnorm, dgate_up) = norm_linear::backward(self.x, weights, &gate, self.eps);
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
    fn with_numbers<T>(&self, f: impl FnOnce(Numbers<'_>) -> T) -> candle_core::Result<T> {
        let [norm, gate_up, down] = &self.weights;
        let (x, norm) = (Floats::of(&self.x)?, Floats::of(norm)?);
        let (gate_up, down) = (Floats::of(gate_up)?, Floats::of(down)?);
        Ok(f(Numbers {
            x: x.get(),
            norm: norm.get(),
            gate_up: gate_up.get(),
            down: down.get(),
            eps: self.eps,
        }))
    }

    fn forward(&self, tracked: bool) -> candle_core::Result<Tensor> {
        let (y, gate) = self.with_numbers(|numbers| {
            let gate = numbers.gate();
            (numbers.forward(&gate), gate)
        })?;
        *lock("feed-forward", &self.gate)? = tracked.then_some(gate);
        Ok(Tensor::from_candle(tensor(y, &self.x)?))
    }
}

impl Part for Node {
    fn backward(&self, dy: Vec<f32>) -> candle_core::Result<Vec<f32>> {
        let gate = lock("feed-forward", &self.gate)?.take();
        let (dx, gradients) = self.with_numbers(|numbers| {
            // A second backward pass through the same graph computes it again.
            let gate = gate.unwrap_or_else(|| numbers.gate());
            numbers.backward(gate, &dy)
        })?;
        let gradients = gradients.into_iter().zip(&self.weights);
        let gradients = gradients.map(|(values, weight)| tensor(values, weight));
        self.left
            .put(gradients.collect::<candle_core::Result<_>>()?)?;
        Ok(dx)
    }
}
