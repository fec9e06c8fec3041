//! The feed-forward half of a pre-norm decoder layer as one operation.
//!
//! As separate operations, every gradient in between would be filled with zeros, added to and written once more by
//! candle's backward pass, and every activation kept. Here rows go through in blocks, on one thread each, and the only
//! activation that is kept is the input of the gate.
//!
//! Two nodes, as in fused attention: a node of candle has at most three operands. The first takes the weights and gives
//! a token of one element, the second takes the rows and the token; its backward pass computes everything and leaves
//! the weights' gradients for the first.

use super::bridge::{Floats, collect, floats, ours, tensor};
use super::linear::{View, add_product, linear, product_alone};
use super::norm::{self, rms_norm};
use super::swiglu::{self, swiglu};
use crate::{Error, Result, Tensor};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Shape, Tensor as Candle};
use std::sync::{Arc, Mutex};

/// Rows of one job: few enough for several jobs in a training step, enough for a matrix product to be worth its packing.
const ROWS: usize = 512;

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
        gates: Mutex::default(),
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
    /// gate_up · rms_norm(x) from the forward pass, block by block.
    gates: Mutex<Arc<Vec<Vec<f32>>>>,
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
    fn width(&self) -> usize {
        self.norm.len()
    }

    fn hidden(&self) -> usize {
        self.down.len() / self.width()
    }

    /// (input of the gate, output) of a block of rows.
    fn forward(&self, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (w, f, rows) = (self.width(), self.hidden(), x.len() / self.width());
        let mut h = vec![0.0; x.len()];
        norm::forward(x, self.norm, self.eps, &mut h);
        let mut gate = vec![0.0; rows * 2 * f];
        let gate_up = View::rows(self.gate_up, 2 * f, w).transposed();
        product_alone(&mut gate, View::rows(&h, rows, w), gate_up, false);
        let mut a = vec![0.0; rows * f];
        swiglu::forward(&gate, f, &mut a);
        h.copy_from_slice(x);
        let down = View::rows(self.down, w, f).transposed();
        product_alone(&mut h, View::rows(&a, rows, f), down, true);
        (gate, h)
    }

    /// Gradients of a block of rows.
    fn backward(&self, x: &[f32], gate: &[f32], dy: &[f32]) -> Block {
        let (w, f, rows) = (self.width(), self.hidden(), x.len() / self.width());
        let mut a = vec![0.0; rows * f];
        let down = View::rows(self.down, w, f);
        product_alone(&mut a, View::rows(dy, rows, w), down, false);
        let mut dgate = vec![0.0; rows * 2 * f];
        swiglu::backward(gate, &a, f, &mut dgate);
        swiglu::forward(gate, f, &mut a);
        let mut dh = vec![0.0; x.len()];
        let gate_up = View::rows(self.gate_up, 2 * f, w);
        product_alone(&mut dh, View::rows(&dgate, rows, 2 * f), gate_up, false);
        let (mut dx, mut dnorm) = (vec![0.0; x.len()], vec![0.0; w]);
        norm::backward(x, self.norm, &dh, self.eps, &mut dx, &mut dnorm);
        for (dx, dy) in dx.iter_mut().zip(dy) {
            *dx += dy;
        }
        norm::forward(x, self.norm, self.eps, &mut dh);
        Block {
            dx,
            dnorm,
            dgate,
            h: dh,
            a,
        }
    }
}

/// What the backward pass of a block of rows leaves: its own gradients, and factors of the weights'.
struct Block {
    dx: Vec<f32>,
    dnorm: Vec<f32>,
    dgate: Vec<f32>,
    h: Vec<f32>,
    a: Vec<f32>,
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
        let blocks = self.with_numbers(|numbers| {
            let size = ROWS * numbers.width();
            let job = |block: usize| {
                let end = x.len().min((block + 1) * size);
                let (gate, y) = numbers.forward(&x[block * size..end]);
                (self.recorded.then_some(gate), y)
            };
            Ok(collect(x.len().div_ceil(size), x.len(), job))
        })?;
        let mut y = Vec::with_capacity(x.len());
        let mut gates = Vec::with_capacity(blocks.len());
        for (gate, part) in blocks {
            y.extend_from_slice(&part);
            gates.extend(gate);
        }
        *lock(&self.gates)? = Arc::new(gates);
        Ok(y)
    }

    /// Returns the gradient of the rows and leaves those of the weights.
    fn backward(&self, x: &[f32], dy: &[f32]) -> candle_core::Result<Vec<f32>> {
        let gates = lock(&self.gates)?.clone();
        self.with_numbers(|numbers| {
            let size = ROWS * numbers.width();
            let job = |block: usize| {
                let range = block * size..x.len().min((block + 1) * size);
                numbers.backward(&x[range.clone()], &gates[block], &dy[range])
            };
            let blocks = collect(gates.len(), x.len(), job);
            let (w, f) = (numbers.width(), numbers.hidden());
            let mut dx = Vec::with_capacity(x.len());
            let mut dnorm = vec![0.0; w];
            let mut dgate_up = vec![0.0; 2 * f * w];
            let mut ddown = vec![0.0; w * f];
            // In the order of the blocks, so that sums do not depend on the number of threads.
            for (n, block) in blocks.into_iter().enumerate() {
                let rows = block.dx.len() / w;
                let dy = View::rows(&dy[n * size..], rows, w).transposed();
                add_product(&mut ddown, dy, View::rows(&block.a, rows, f));
                let dgate = View::rows(&block.dgate, rows, 2 * f).transposed();
                add_product(&mut dgate_up, dgate, View::rows(&block.h, rows, w));
                dnorm
                    .iter_mut()
                    .zip(&block.dnorm)
                    .for_each(|(s, x)| *s += x);
                dx.extend_from_slice(&block.dx);
            }
            let sums = [dnorm, dgate_up, ddown];
            let sums = sums.into_iter().zip(&self.weights);
            let gradients = sums.map(|(sum, weight)| tensor(sum, weight));
            *lock(&self.gradients)? = gradients.collect::<candle_core::Result<_>>()?;
            Ok(dx)
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> candle_core::Result<std::sync::MutexGuard<'_, T>> {
    match mutex.lock() {
        Ok(guard) => Ok(guard),
        Err(_) => candle_core::bail!("feed_forward: another thread panicked"),
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
        let mut gradients = std::mem::take(&mut *lock(&self.0.gradients)?).into_iter();
        Ok((gradients.next(), gradients.next(), gradients.next()))
    }
}

struct Rows(Arc<Node>);

impl CustomOp2 for Rows {
    fn name(&self) -> &'static str {
        "feed-forward"
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
