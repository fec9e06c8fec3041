//! A sum down each column of scores of the first head, taken from the scores of all (see
//! [`form::Votes`](crate::form::Votes)).
//!
//! Heads are jobs, and each computes the first head's scores of its tiles again: one product more. The sums of all keys
//! are carried from block to block of queries, in f64, so that the backward pass, which goes from the last block to the
//! first, can take off what a block adds and have the sums before it to the same bits. Each job's share of the gradients
//! of the first head's queries and keys is added up in the order of the jobs.

mod backward;
mod forward;

use super::formed::{self, Whole};
use super::shape::{Rows, SIDE, Shape};
use crate::composed;
use crate::expr::Expr;
use crate::hook::Scope;
use crate::ops::bridge::lock;
use crate::ops::simd::Simd;
use crate::{Result, Tensor};
use std::sync::{Arc, Mutex};

const NAME: &str = "sums down columns";

/// Attention with such sums; fails if the call is not of the kind that [`Votes`](crate::form::Votes) describes.
pub(crate) fn attend(scope: &Scope<'_>) -> Result<Tensor> {
    let raw = scope.plan().score == Expr::Raw(0);
    formed::same_tokens(scope, "sums down columns of scores", raw)?;
    if scope.qkv.q.elem_count() == 0 {
        return Ok(scope.qkv.q.clone());
    }
    let (q, k) = composed::turned(scope)?;
    let node = Votes {
        shape: Shape::new(scope),
        left: Mutex::default(),
    };
    formed::run(&[&q, &k, &scope.qkv.v], node)
}

/// The call.
#[derive(Debug)]
struct Votes {
    shape: Shape,
    left: Mutex<Arc<Left>>,
}

/// What the forward pass leaves.
#[derive(Debug, Default)]
struct Left {
    /// ln Σ eˢ of each row, (batch, heads, queries).
    normalisers: Vec<f32>,
    /// Whole sum of each key, (batch, keys in whole tiles).
    sums: Vec<f64>,
}

/// Keys and values of one batch entry.
struct Tiles {
    keys: Rows,
    values: Rows,
}

impl Tiles {
    fn new(shape: &Shape, inputs: &[&[f32]], batch: usize) -> Tiles {
        Tiles {
            keys: Rows::new(shape, inputs[1], batch),
            values: Rows::new(shape, inputs[2], batch),
        }
    }
}

impl Whole for Votes {
    fn name(&self) -> &'static str {
        NAME
    }

    fn forward(&self, inputs: &[&[f32]]) -> candle_core::Result<Vec<f32>> {
        let (output, left) = forward::run(&self.shape, inputs);
        *lock(NAME, &self.left)? = Arc::new(left);
        Ok(output)
    }

    fn backward(
        &self,
        inputs: &[&[f32]],
        output: &[f32],
        upstream: &[f32],
    ) -> candle_core::Result<Vec<Vec<f32>>> {
        let left = lock(NAME, &self.left)?.clone();
        let found = backward::run(&self.shape, inputs, (output, upstream), &left);
        Ok(found.into())
    }
}

/// One row of the first head's scores to what its query adds to the sums of the tile's keys.
#[inline(always)]
fn cast<S: Simd>(s: S, shape: &Shape, query: usize, tile: usize, row: &mut [f32]) {
    shape.hide(query, tile, row);
    // Queries and keys are the same tokens.
    if let Some(own) = query.checked_sub(tile * SIDE).filter(|own| *own < SIDE) {
        row[own] = 0.0;
    }
    if tile == 0 {
        row[0] = 0.0;
    }
    for at in (0..SIDE).step_by(S::LANES) {
        // The order of arguments keeps NaN.
        let vote = s.max(s.splat(0.0), s.read(row, at));
        s.write(row, at, vote);
    }
}

/// Takes the sums before a tile, and those of its rows so far, from a row of scores, and adds what the row adds.
#[inline(always)]
fn lower<S: Simd>(s: S, before: &[f64], so_far: &mut [f32], votes: &[f32], row: &mut [f32]) {
    for ((x, before), so_far) in row.iter_mut().zip(before).zip(&*so_far) {
        *x -= *before as f32 + so_far;
    }
    for at in (0..SIDE).step_by(S::LANES) {
        let sum = s.add(s.read(so_far, at), s.read(votes, at));
        s.write(so_far, at, sum);
    }
}
