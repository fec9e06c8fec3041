//! A map across the heads of each pair (see [`form::HeadMap`](crate::form::HeadMap)).
//!
//! All heads of a tile are at hand at once. Forward, strips of queries are jobs. Backward, a block of queries goes in two
//! steps: first every tile of it from scores to weights and their gradients, kept for this block only (linear in the
//! length), tiles being jobs; then the products with queries, keys and values, heads being jobs. Gradients of the
//! network are added up in the order of the tiles, so that nothing depends on the number of threads.

mod backward;
mod forward;
mod network;
mod sizes;

use super::formed::{self, Whole};
use super::shape::Shape;
use crate::call::Call;
use crate::composed;
use crate::form::HeadMap;
use crate::ops::bridge::lock;
use crate::{Error, Result, Tensor};
use network::{Network, Weights};
use sizes::Sizes;
use std::sync::{Arc, Mutex};

const NAME: &str = "map across heads";

/// Attention with a map across heads; fails if the call is not of the kind that [`HeadMap`] describes.
pub(crate) fn attend(call: &Call<'_>, form: &HeadMap) -> Result<Tensor> {
    let (tables, plan) = (call.tables, call.tables.plan());
    let (queries, keys) = (tables.queries(), tables.keys());
    let heads = tables.geometry().heads;
    let plain = plan.score == crate::expr::Expr::Raw(0);
    if !(call.mask.causal && plain && tables.is_regular()) {
        return Err(Error::Argument {
            what: "a map across heads",
            expected: "a causal mask, whole positions, a plan of raw scores".into(),
            found: format!("{:?}, score {}", call.mask, plan.score),
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
    if call.qkv.q.elem_count() == 0 {
        return Ok(call.qkv.q.clone());
    }
    let (q, k) = composed::turned(call)?;
    let (w1, b1) = &form.first;
    let (w2, b2) = &form.second;
    let mut inputs = vec![&q, &k, &call.qkv.v, w1, b1, w2, b2];
    inputs.extend(&form.bias);
    let sizes = Sizes {
        shape: Shape::new(call),
        hidden,
        distances,
        biased: form.bias.is_some(),
        slope: form.slope as f32,
    };
    formed::run(
        &inputs,
        Heads {
            sizes,
            normalisers: Mutex::default(),
        },
    )
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
