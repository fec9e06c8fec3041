//! Reflections between query and key, by chunks (see [`form::Reflections`](crate::form::Reflections)).
//!
//! The block algorithm of PaTH (Yang et al. 2025, arXiv 2505.16381, section 3.3). Over a chunk the product of all
//! H = I − β·w·wᵀ is P = I − Wᵀ·T·W with T = (I + strictly lower(diag(β)·W·Wᵀ))⁻¹·diag(β). Queries are carried outwards:
//! a block of them starts as its chunk's left edge sees it and is multiplied with P of each chunk that it passes; keys
//! stand as their chunk's right edge sees them. So a tile costs one product more than without reflections, half as
//! large as that of its scores, and no tile is kept.
//!
//! Backwards, the carried queries of a block are made again from the near end and kept (linear in the length), then
//! gradients are carried in from the far end. What chunks say on their own is differentiated once for all blocks.

mod backward;
mod carried;
mod chunk;
mod forward;
mod sizes;

use super::formed::{self, Whole};
use super::shape::Shape;
use crate::call::Call;
use crate::expr::Expr;
use crate::form::Reflections;
use crate::ops::bridge::{lock, zeros};
use crate::ops::simd::dispatch;
use crate::{Error, Result, Tensor};
use backward::{Backward, Gradients};
use forward::Forward;
use rayon::prelude::*;
use sizes::{Inputs, Sizes};
use std::sync::{Arc, Mutex};

const NAME: &str = "reflections";

/// Attention with reflections; fails if the call is not of the kind that [`Reflections`] describes.
pub(crate) fn attend(call: &Call<'_>, form: &Reflections) -> Result<Tensor> {
    let (plan, qkv) = (call.tables.plan(), call.qkv);
    let plain =
        plan.score == Expr::Raw(0) && plan.rotations.is_empty() && plan.query_scale.is_none();
    formed::same_tokens(call, "reflections between query and key", plain)?;
    let (batch, heads, tokens, head_dim) = qkv.q.dims4()?;
    let kv_heads = qkv.k.dim(1)?;
    let gain = [batch, heads, tokens];
    for (what, tensor, expected) in [
        (
            "vectors",
            Some(&form.vectors),
            vec![batch, kv_heads, tokens, head_dim],
        ),
        (
            "strengths",
            Some(&form.strengths),
            vec![batch, kv_heads, tokens],
        ),
        ("gain", form.gain.as_ref(), gain.to_vec()),
    ] {
        if let Some(tensor) = tensor.filter(|tensor| tensor.dims() != expected) {
            let what = format!("reflections, {what}");
            return Err(Error::shape(what, format!("{expected:?}"), tensor.dims()));
        }
    }
    if qkv.q.elem_count() == 0 {
        return Ok(qkv.q.clone());
    }
    let mut inputs = vec![&qkv.q, &qkv.k, &qkv.v, &form.vectors, &form.strengths];
    inputs.extend(&form.gain);
    let sizes = Sizes {
        shape: Shape::new(call),
        scale: call.tables.scale() as f32,
    };
    formed::run(
        &inputs,
        Reflect {
            sizes,
            normalisers: Mutex::default(),
        },
    )
}

/// The call.
#[derive(Debug)]
struct Reflect {
    sizes: Sizes,
    /// ln Σ eˢ of each row, (batch, heads, queries), from the forward pass.
    normalisers: Mutex<Arc<Vec<f32>>>,
}

impl Reflect {
    /// Numbers of one job among those of tokens, of rows, of queries, and of rows of queries.
    fn parts(&self) -> [usize; 4] {
        let (n, d, group) = (self.sizes.keys, self.sizes.head_dim, self.sizes.group());
        [n, n * d, group * n, group * n * d]
    }

    fn inputs<'a>(&self, inputs: &[&'a [f32]], job: usize) -> Inputs<'a> {
        let [token, row, query, query_row] = self.parts();
        let part = |number: usize, size: usize| &inputs[number][job * size..][..size];
        Inputs {
            q: part(0, query_row),
            k: part(1, row),
            v: part(2, row),
            w: part(3, row),
            beta: part(4, token),
            gain: (inputs.len() > 5).then(|| part(5, query)),
        }
    }

    /// Runs all jobs, on all threads where that is worth while.
    fn each<P: Send, B>(
        &self,
        jobs: &mut [P],
        space: impl Fn() -> B + Send + Sync,
        run: impl Fn(&mut B, (usize, &mut P)) + Send + Sync,
    ) {
        let pairs = jobs.len() * self.sizes.group() * self.sizes.keys * self.sizes.keys;
        if pairs * self.sizes.head_dim > 1 << 17 && rayon::current_num_threads() > 1 {
            jobs.par_iter_mut().enumerate().for_each_init(space, run);
        } else {
            let mut space = space();
            jobs.iter_mut()
                .enumerate()
                .for_each(|job| run(&mut space, job));
        }
    }
}

impl Whole for Reflect {
    fn name(&self) -> &'static str {
        NAME
    }

    fn forward(&self, inputs: &[&[f32]]) -> candle_core::Result<Vec<f32>> {
        let [.., query, query_row] = self.parts();
        let mut output = zeros(inputs[0].len());
        let mut normalisers = vec![0.0; output.len() / self.sizes.head_dim];
        let mut parts: Vec<(&mut [f32], &mut [f32])> = output
            .chunks_exact_mut(query_row)
            .zip(normalisers.chunks_exact_mut(query))
            .collect();
        let new = || forward::Space::new(&self.sizes);
        let run = |space: &mut forward::Space,
                   (job, part): (usize, &mut (&mut [f32], &mut [f32]))| {
            dispatch(Forward {
                sizes: &self.sizes,
                inputs: self.inputs(inputs, job),
                output: part.0,
                normalisers: part.1,
                space,
            });
        };
        self.each(&mut parts, new, run);
        *lock(NAME, &self.normalisers)? = Arc::new(normalisers);
        Ok(output)
    }

    fn backward(
        &self,
        inputs: &[&[f32]],
        output: &[f32],
        upstream: &[f32],
    ) -> candle_core::Result<Vec<Vec<f32>>> {
        let [token, row, query, query_row] = self.parts();
        let normalisers = lock(NAME, &self.normalisers)?.clone();
        let mut found: Vec<Vec<f32>> = inputs.iter().map(|input| zeros(input.len())).collect();
        let [q, k, v, w, beta, gain @ ..] = found.as_mut_slice() else {
            candle_core::bail!("{} inputs", inputs.len());
        };
        let mut gains = gain
            .iter_mut()
            .flat_map(|gain| gain.chunks_exact_mut(query));
        let rows = k.chunks_exact_mut(row).zip(v.chunks_exact_mut(row));
        let own = w.chunks_exact_mut(row).zip(beta.chunks_exact_mut(token));
        let mut parts: Vec<Gradients<'_>> = q
            .chunks_exact_mut(query_row)
            .zip(rows.zip(own))
            .map(|(q, ((k, v), (w, beta)))| Gradients {
                q,
                k,
                v,
                w,
                beta,
                gain: gains.next(),
            })
            .collect();
        let new = || backward::Space::new(&self.sizes);
        let run = |space: &mut backward::Space, (job, into): (usize, &mut Gradients<'_>)| {
            dispatch(Backward {
                sizes: &self.sizes,
                inputs: self.inputs(inputs, job),
                output: &output[job * query_row..][..query_row],
                upstream: &upstream[job * query_row..][..query_row],
                normalisers: &normalisers[job * query..][..query],
                into,
                space,
            });
        };
        self.each(&mut parts, new, run);
        drop(parts);
        Ok(found)
    }
}
