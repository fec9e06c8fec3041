//! A sum down each column of scores of the first head, taken from the scores of all (see
//! [`form::Votes`](crate::form::Votes)).
//!
//! Heads are jobs, and each computes the first head's scores of its tiles again: one product more. The sums of all keys
//! are carried from block to block of queries, in f64, so that the backward pass, which goes from the last block to the
//! first, can take off what a block adds and have the sums before it to the same bits. Each job's share of the gradients
//! of the first head's queries and keys is added up in the order of the jobs.

mod backward;
mod forward;
mod tiles;

use super::formed::{self, Whole};
use super::shape::Shape;
use crate::call::Call;
use crate::composed;
use crate::expr::Expr;
use crate::ops::bridge::lock;
use crate::{Result, Tensor};
use std::sync::{Arc, Mutex};
use tiles::Left;

const NAME: &str = "sums down columns";

/// Attention with such sums; fails if the call is not of the kind that [`Votes`](crate::form::Votes) describes.
pub(crate) fn attend(call: &Call<'_>) -> Result<Tensor> {
    let raw = call.tables.plan().score == Expr::Raw(0);
    formed::same_tokens(call, "sums down columns of scores", raw)?;
    if call.qkv.q.elem_count() == 0 {
        return Ok(call.qkv.q.clone());
    }
    let (q, k) = composed::turned(call)?;
    let node = Votes {
        shape: Shape::new(call),
        left: Mutex::default(),
    };
    formed::run(&[&q, &k, &call.qkv.v], node)
}

/// The call.
#[derive(Debug)]
struct Votes {
    shape: Shape,
    left: Mutex<Arc<Left>>,
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
