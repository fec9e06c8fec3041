//! A map across the heads of each pair (see [`form::HeadMap`](crate::form::HeadMap)).
//!
//! All heads of a tile are at hand at once. Forward, strips of queries are jobs. Backward, a block of queries goes in two
//! steps: first every tile of it from scores to weights and their gradients, kept for this block only (linear in the
//! length), tiles being jobs; then the products with queries, keys and values, heads being jobs. Gradients of the
//! network are added up in the order of the tiles, so that nothing depends on the number of threads.

mod backward;
mod forward;
mod network;

use super::compile::KEYS;
use super::formed::{self, Whole};
use super::matrix::{multiply, transpose};
use super::product::{Start, padded};
use super::tile::KEY_STEP;
use crate::composed;
use crate::form::HeadMap;
use crate::hook::Scope;
use crate::mask::Mask;
use crate::ops::bridge::lock;
use crate::ops::simd::Simd;
use crate::{Error, Result, Tensor};
use network::{Network, Weights};
use std::sync::{Arc, Mutex};

/// Keys of a tile, and elements between rows of one.
const SIDE: usize = KEYS;
const STEP: usize = KEY_STEP;

/// Queries of a strip.
const STRIP: usize = 32;

const NAME: &str = "map across heads";

/// Attention with a map across heads; fails if the call is not of the kind that [`HeadMap`] describes.
pub(crate) fn attend(scope: &Scope<'_>, form: &HeadMap) -> Result<Tensor> {
    let (prepared, plan) = (scope.prepared, scope.plan());
    let (queries, keys) = (prepared.queries(), prepared.keys());
    let (batch, heads, ..) = scope.qkv.q.dims4()?;
    let plain = plan.score == crate::expr::Expr::Raw(0);
    if !(scope.mask.causal && plain && prepared.is_regular()) {
        return Err(Error::Argument {
            what: "a map across heads",
            expected: "a causal mask, whole positions, a plan of raw scores".into(),
            found: format!("{:?}, score {}", scope.mask, plan.score),
        });
    }
    let hidden = form.first.1.elem_count();
    let seen = if form.bias.is_some() {
        2 * heads
    } else {
        heads
    };
    let far = (queries.end - queries.start.min(keys.start)).max(1);
    let distances = form
        .bias
        .as_ref()
        .map_or(far, |bias| bias.dims().last().map_or(0, |n| *n));
    for (what, tensor, expected) in [
        ("w1", Some(&form.first.0), vec![hidden, seen]),
        ("b1", Some(&form.first.1), vec![hidden]),
        ("w2", Some(&form.second.0), vec![heads, hidden]),
        ("b2", Some(&form.second.1), vec![heads]),
        ("bias", form.bias.as_ref(), vec![heads, distances.max(far)]),
    ] {
        if let Some(tensor) = tensor.filter(|tensor| tensor.dims() != expected) {
            let what = format!("a map across heads, {what}");
            return Err(Error::shape(what, format!("{expected:?}"), tensor.dims()));
        }
    }
    if scope.qkv.q.elem_count() == 0 {
        return Ok(scope.qkv.q.clone());
    }
    let (q, k) = composed::turned(scope)?;
    let (w1, b1) = &form.first;
    let (w2, b2) = &form.second;
    let mut inputs = vec![&q, &k, &scope.qkv.v, w1, b1, w2, b2];
    inputs.extend(&form.bias);
    let kv_heads = scope.geometry().kv_heads;
    let head_dim = scope.geometry().head_dim;
    let sizes = Sizes {
        batch,
        heads,
        kv_heads,
        head_dim,
        width: padded(head_dim),
        queries: queries.len(),
        keys: keys.len(),
        first_query: queries.start,
        first_key: keys.start,
        hidden,
        distances,
        biased: form.bias.is_some(),
        slope: form.slope as f32,
        mask: scope.mask.clone(),
    };
    formed::run(
        &inputs,
        Heads {
            sizes,
            normalisers: Mutex::default(),
        },
    )
}

/// What all jobs of a call share.
#[derive(Debug)]
struct Sizes {
    batch: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    /// head_dim in whole vectors.
    width: usize,
    queries: usize,
    keys: usize,
    first_query: usize,
    first_key: usize,
    hidden: usize,
    /// Columns of the bias.
    distances: usize,
    biased: bool,
    slope: f32,
    mask: Mask,
}

impl Sizes {
    fn kv_head(&self, head: usize) -> usize {
        head / (self.heads / self.kv_heads)
    }

    fn tiles(&self) -> usize {
        self.keys.div_ceil(SIDE)
    }

    /// Tiles that queries up to number `end` see something of.
    fn reach(&self, end: usize) -> usize {
        let keys = (self.first_query + end).saturating_sub(self.first_key);
        keys.min(self.keys).div_ceil(SIDE)
    }

    /// −∞ where the mask hides a pair: one row of a tile.
    fn hide(&self, query: usize, tile: usize, row: &mut [f32]) {
        let (i, first) = (self.first_query + query, self.first_key + tile * SIDE);
        let cols = SIDE.min(self.keys - tile * SIDE);
        let end = (i + 1).saturating_sub(first).min(cols);
        row[end..].fill(f32::NEG_INFINITY);
        if self.mask.window.is_some() || self.mask.documents.is_some() {
            for (col, x) in row[..end].iter_mut().enumerate() {
                if !self.mask.sees(i, first + col) {
                    *x = f32::NEG_INFINITY;
                }
            }
        }
    }

    /// Copies rows to rows of whole vectors.
    fn load(&self, x: &[f32], out: &mut [f32]) {
        let (d, width) = (self.head_dim, self.width);
        for (x, row) in x.chunks_exact(d).zip(out.chunks_exact_mut(width)) {
            row[..d].copy_from_slice(x);
        }
    }

    /// Queries of all heads of a strip (or what has their shape) from number `start` on: \[heads, STRIP, width\].
    fn strip(&self, x: &[f32], batch: usize, start: usize, out: &mut [f32]) {
        let (d, n) = (self.head_dim, self.queries);
        out.fill(0.0);
        for (head, out) in out.chunks_exact_mut(STRIP * self.width).enumerate() {
            let first = (batch * self.heads + head) * n;
            self.load(
                &x[(first + start) * d..(first + n.min(start + STRIP)) * d],
                out,
            );
        }
    }
}

/// Keys or values of one batch entry, by key head: rows \[keys in whole tiles, width\], and by tile transposed,
/// \[width, STEP\].
#[derive(Debug)]
struct Rows {
    rows: Vec<f32>,
    turned: Vec<f32>,
    sizes: [usize; 2],
}

impl Rows {
    fn new(sizes: &Sizes, x: &[f32], batch: usize) -> Rows {
        let (tiles, width) = (sizes.tiles(), sizes.width);
        let [row, column] = [tiles * SIDE * width, tiles * width * STEP];
        let mut rows = vec![0.0; sizes.kv_heads * row];
        let mut turned = vec![0.0; sizes.kv_heads * column];
        let each = sizes.keys * sizes.head_dim;
        let x = x[batch * sizes.kv_heads * each..].chunks_exact(each);
        let out = rows
            .chunks_exact_mut(row)
            .zip(turned.chunks_exact_mut(column));
        for (x, (rows, turned)) in x.zip(out) {
            sizes.load(x, rows);
            let tiles = rows.chunks_exact(SIDE * width);
            for (rows, turned) in tiles.zip(turned.chunks_exact_mut(width * STEP)) {
                transpose((rows, width), (turned, STEP), SIDE, width);
            }
        }
        Rows {
            rows,
            turned,
            sizes: [row, column],
        }
    }

    fn rows(&self, kv_head: usize, tile: usize, width: usize) -> &[f32] {
        &self.rows[kv_head * self.sizes[0] + tile * SIDE * width..][..SIDE * width]
    }

    fn turned(&self, kv_head: usize, tile: usize, width: usize) -> &[f32] {
        &self.turned[kv_head * self.sizes[1] + tile * width * STEP..][..width * STEP]
    }
}

/// Products of a strip with a tile, for every head: row r of head h goes to `out[r][h]`, rows of `out` being `row`
/// elements apart and heads `STEP`.
#[inline(always)]
fn products<S: Simd>(
    s: S,
    sizes: &Sizes,
    strip: &[f32],
    (rows, tile): (&Rows, usize),
    (out, row): (&mut [f32], usize),
) {
    let width = sizes.width;
    for (head, strip) in strip.chunks_exact(STRIP * width).enumerate() {
        let keys = (rows.turned(sizes.kv_head(head), tile, width), STEP);
        let out = (&mut out[head * STEP..], row);
        multiply(
            s,
            (strip, width, 1),
            keys,
            out,
            (STRIP, width, SIDE),
            Start::Zero,
        );
    }
}

/// The call.
#[derive(Debug)]
struct Heads {
    sizes: Sizes,
    /// ln Σ eˢ of each row, (batch, heads, queries), from the forward pass.
    normalisers: Mutex<Arc<Vec<f32>>>,
}

impl Heads {
    fn network(&self, inputs: &[&[f32]]) -> Network {
        let bias = inputs.get(7).copied();
        Network::new(
            &self.sizes,
            [inputs[3], inputs[4], inputs[5], inputs[6]],
            bias,
        )
    }
}

impl Whole for Heads {
    fn name(&self) -> &'static str {
        NAME
    }

    fn forward(&self, inputs: &[&[f32]]) -> candle_core::Result<Vec<f32>> {
        let network = self.network(inputs);
        let (output, normalisers) = forward::run(&self.sizes, &network, inputs);
        *lock(NAME, &self.normalisers)? = Arc::new(normalisers);
        Ok(output)
    }

    fn backward(
        &self,
        inputs: &[&[f32]],
        output: &[f32],
        upstream: &[f32],
    ) -> candle_core::Result<Vec<Vec<f32>>> {
        let network = self.network(inputs);
        let normalisers = lock(NAME, &self.normalisers)?.clone();
        let above = backward::Above {
            output,
            upstream,
            normalisers: &normalisers,
        };
        let (rows, weights) = backward::run(&self.sizes, &network, inputs, &above);
        let Weights {
            w1, w2, b2, bias, ..
        } = weights;
        let (w1, b1) = network.split_first(&self.sizes, &w1);
        let mut found: Vec<Vec<f32>> = rows.into();
        found.extend([w1, b1, w2, b2]);
        if self.sizes.biased {
            found.push(network.distances(&self.sizes, &bias));
        }
        Ok(found)
    }
}
