//! One call: what its two nodes share, and the work of each.

use super::backward::{Backward, Extra};
use super::compile::{Axis, Compiled};
use super::forward::Forward;
use super::program::Sums;
use super::scratch::Scratch;
use super::tile::Call;
use super::values::Values;
use super::view::{Grid, Sink, Source};
use crate::Result;
use crate::attend::Params;
use crate::expr::ParamValues;
use crate::mask::Mask;
use crate::ops::bridge::{Elements, Numbers, lock, zeros};
use crate::ops::chain::Left;
use crate::ops::simd::dispatch;
use candle_core::{CpuStorage, DType, Device, Shape, Tensor as Candle};
use half::bf16;
use half::vec::HalfFloatVecExt;
use rayon::prelude::*;
use std::sync::{Arc, Mutex};

const NAME: &str = "fused attention";

/// What attention reads, without history.
#[derive(Debug)]
pub(super) enum Inputs {
    Split([Candle; 3]),
    Packed(Candle),
}

/// All that the nodes of one call share.
#[derive(Debug)]
pub(super) struct Node {
    compiled: Arc<Compiled>,
    values: Values,
    mask: Mask,
    batch: usize,
    inputs: Inputs,
    /// Names and sizes of the parameters that the call was given.
    pub(super) learned: Vec<(String, usize)>,
    /// ln Σ eˢ of each row, \[batch, heads, queries\], from the forward pass.
    normalisers: Mutex<Arc<Vec<f32>>>,
    /// The output before it was rounded to bf16, for the backward pass; empty for f32.
    unrounded: Mutex<Arc<Vec<f32>>>,
    /// Gradients of the inputs, from the output's backward pass to the token's.
    pub(super) left: Left,
}

impl Node {
    pub(super) fn new(
        compiled: Arc<Compiled>,
        mask: &Mask,
        params: &Params,
        inputs: Inputs,
        batch: usize,
    ) -> Result<Node> {
        let mut learned = ParamValues::new();
        for (name, tensor) in params {
            let values = tensor.to_dtype(DType::F64)?.to_flat()?;
            learned.insert(name.clone(), values);
        }
        let sizes = learned
            .iter()
            .map(|(name, values)| (name.clone(), values.len()))
            .collect();
        Ok(Node {
            values: compiled.values(learned)?,
            compiled,
            mask: mask.clone(),
            batch,
            inputs,
            learned: sizes,
            normalisers: Mutex::default(),
            unrounded: Mutex::default(),
            left: Left::default(),
        })
    }

    fn jobs(&self) -> usize {
        self.batch * self.compiled.kv_heads
    }

    /// Whether the call is large enough to wake other threads.
    fn parallel(&self) -> bool {
        let c = &self.compiled;
        let pairs = self.batch * c.heads * c.queries * c.keys;
        pairs * c.head_dim > 1 << 17 && rayon::current_num_threads() > 1
    }

    /// Where rows of the output lie.
    fn output_grid(&self) -> Grid {
        let c = &self.compiled;
        match self.inputs {
            Inputs::Split(_) => Grid::split(c.heads, c.queries, c.head_dim),
            Inputs::Packed(_) => Grid::packed(0, c.heads, c.queries, c.head_dim),
        }
    }

    pub(super) fn output_shape(&self) -> Shape {
        let c = &self.compiled;
        match self.inputs {
            Inputs::Split(_) => (self.batch, c.heads, c.queries, c.head_dim).into(),
            Inputs::Packed(_) => (self.batch, c.queries, c.heads * c.head_dim).into(),
        }
    }

    /// Where q, k and v lie in the packed tensor.
    fn packed_grids(&self) -> [Grid; 3] {
        let c = &self.compiled;
        let all = c.heads + 2 * c.kv_heads;
        [0, c.heads, c.heads + c.kv_heads].map(|first| Grid::packed(first, all, c.keys, c.head_dim))
    }

    /// Calls `f` with the inputs' rows.
    fn with_call<T>(
        &self,
        f: impl FnOnce(Call<'_>) -> candle_core::Result<T>,
    ) -> candle_core::Result<T> {
        let call = |[q, k, v]: [Source<'_>; 3]| {
            f(Call {
                compiled: &self.compiled,
                values: &self.values,
                mask: &self.mask,
                q,
                k,
                v,
            })
        };
        match &self.inputs {
            Inputs::Packed(qkv) => {
                let data = Numbers::of(qkv)?;
                call(self.packed_grids().map(|grid| Source {
                    data: data.get(),
                    grid,
                }))
            }
            Inputs::Split([q, k, v]) => {
                let (a, b, c) = (Numbers::whole(q)?, Numbers::whole(k)?, Numbers::whole(v)?);
                let grid = |t: &Candle| match Grid::of(t.layout()) {
                    Some(grid) => Ok(grid),
                    None => candle_core::bail!("expected contiguous rows, found {:?}", t.layout()),
                };
                call([
                    Source {
                        data: a.get(),
                        grid: grid(q)?,
                    },
                    Source {
                        data: b.get(),
                        grid: grid(k)?,
                    },
                    Source {
                        data: c.get(),
                        grid: grid(v)?,
                    },
                ])
            }
        }
    }

    /// The type of queries, and of the output.
    fn dtype(&self) -> DType {
        match &self.inputs {
            Inputs::Split([q, ..]) => q.dtype(),
            Inputs::Packed(qkv) => qkv.dtype(),
        }
    }

    pub(super) fn forward(&self) -> candle_core::Result<CpuStorage> {
        let c = &*self.compiled;
        let mut output = zeros(self.output_shape().elem_count());
        let mut normalisers = vec![0.0; self.batch * c.heads * c.queries];
        let size = c.group() * c.queries;
        let sink = Sink::new(&mut output, self.output_grid());
        self.with_call(|call| {
            let new = || Scratch::new(c);
            let job = |scratch: &mut Scratch, (job, normalisers): (usize, &mut [f32])| {
                dispatch(Forward {
                    call: &call,
                    job,
                    output: sink,
                    normalisers,
                    scratch,
                });
            };
            if self.parallel() {
                normalisers
                    .par_chunks_mut(size)
                    .enumerate()
                    .for_each_init(new, job);
            } else {
                let mut scratch = new();
                let parts = normalisers.chunks_mut(size).enumerate();
                parts.for_each(|part| job(&mut scratch, part));
            }
            Ok(())
        })?;
        *lock(NAME, &self.normalisers)? = Arc::new(normalisers);
        Ok(match self.dtype() {
            DType::BF16 => {
                let rounded = Vec::<bf16>::from_f32_slice(&output);
                *lock(NAME, &self.unrounded)? = Arc::new(output);
                CpuStorage::BF16(rounded)
            }
            _ => CpuStorage::F32(output),
        })
    }

    /// Leaves the inputs' gradients and returns those of the parameters, flat.
    pub(super) fn backward(
        &self,
        output: &Candle,
        upstream: &Candle,
    ) -> candle_core::Result<Vec<f32>> {
        let c = &*self.compiled;
        let upstream = upstream.contiguous()?;
        let (output, upstream) = (Numbers::of(output)?, Numbers::of(&upstream)?);
        let grid = self.output_grid();
        // Row sums of the gradient are taken with the output: from a rounded one they would leave a residue that
        // gradients of parameters add up over all pairs.
        let unrounded = lock(NAME, &self.unrounded)?.clone();
        let data = match self.dtype() {
            DType::BF16 => Elements::F32(&unrounded),
            _ => output.get(),
        };
        let output = Source { data, grid };
        let upstream = Source {
            data: upstream.get(),
            grid,
        };
        let normalisers = lock(NAME, &self.normalisers)?.clone();
        let size = c.group() * c.queries;
        let like = |t: &Candle| zeros(t.elem_count());
        let mut buffers = match &self.inputs {
            Inputs::Split(inputs) => inputs.iter().map(like).collect(),
            Inputs::Packed(qkv) => vec![like(qkv)],
        };
        let [dq, dk, dv] = match buffers.as_mut_slice() {
            [qkv] => {
                let [q, k, v] = self.packed_grids();
                let sink = Sink::new(qkv, q);
                [sink, sink.with(k), sink.with(v)]
            }
            [q, k, v] => {
                let keys = Grid::split(c.kv_heads, c.keys, c.head_dim);
                let queries = Grid::split(c.heads, c.queries, c.head_dim);
                [
                    Sink::new(q, queries),
                    Sink::new(k, keys),
                    Sink::new(v, keys),
                ]
            }
            other => candle_core::bail!("{} inputs", other.len()),
        };
        let sums: Vec<Sums> = self.with_call(|call| {
            let new = || {
                let scratch = Scratch::new(c);
                let extra = Extra::new(c, &scratch);
                (scratch, extra)
            };
            let job = |(scratch, extra): &mut (Scratch, Extra), job: usize| {
                let normalisers = &normalisers[job * size..][..size];
                let call = &call;
                dispatch(Backward {
                    call,
                    job,
                    output,
                    upstream,
                    normalisers,
                    dq,
                    dk,
                    dv,
                    scratch,
                    extra,
                })
            };
            Ok(if self.parallel() {
                (0..self.jobs())
                    .into_par_iter()
                    .map_init(new, job)
                    .collect()
            } else {
                let mut buffers = new();
                (0..self.jobs()).map(|i| job(&mut buffers, i)).collect()
            })
        })?;
        let mut gradients = Vec::new();
        match &self.inputs {
            Inputs::Split(inputs) => {
                for (values, like) in buffers.into_iter().zip(inputs) {
                    let gradient = Candle::from_vec(values, like.shape(), &Device::Cpu)?;
                    gradients.push(gradient.to_dtype(like.dtype())?);
                }
            }
            Inputs::Packed(qkv) => {
                for values in buffers {
                    let gradient = Candle::from_vec(values, qkv.shape(), &Device::Cpu)?;
                    gradients.push(gradient.to_dtype(qkv.dtype())?);
                }
            }
        }
        self.left.put(gradients)?;
        self.chain(&sums)
            .map_err(|e| candle_core::Error::Msg(e.to_string()))
    }

    /// Gradients of the parameters, flat, from those of all jobs, in the order of the jobs.
    fn chain(&self, sums: &[Sums]) -> Result<Vec<f32>> {
        let c = &*self.compiled;
        let given = self
            .learned
            .iter()
            .map(|(name, n)| (name.clone(), vec![0.0; *n]));
        let mut into: ParamValues = given.collect();
        let group = c.group();
        for (number, table) in c
            .tables
            .iter()
            .enumerate()
            .filter(|(_, table)| table.learned)
        {
            let places = c.padded_places(table.axis);
            if let Some(name) = &table.token {
                if let Some(into) = into.get_mut(name) {
                    self.chain_token(number, table.axis, sums, into);
                }
                continue;
            }
            let mut heads = vec![vec![0.0; places]; c.heads];
            for (job, sums) in sums.iter().enumerate() {
                let first = job % c.kv_heads * group;
                for (in_group, head) in heads[first..first + group].iter_mut().enumerate() {
                    let range = in_group * places..(in_group + 1) * places;
                    match table.axis {
                        Axis::Fixed | Axis::Query => {
                            let part = &sums.wide[number][range];
                            head.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
                        }
                        Axis::Key | Axis::Distance => {
                            let part = &sums.narrow[number][range];
                            head.iter_mut()
                                .zip(part)
                                .for_each(|(sum, x)| *sum += f64::from(*x));
                        }
                    }
                }
            }
            c.chain(table, heads, &self.values.params, &mut into)?;
        }
        for (number, (name, learned)) in c.weights.iter().enumerate() {
            let Some(into) = into.get_mut(name).filter(|_| *learned) else {
                continue;
            };
            for sums in sums {
                into.iter_mut()
                    .zip(&sums.weights[number])
                    .for_each(|(sum, x)| *sum += x);
            }
        }
        Ok(into.values().flatten().map(|x| *x as f32).collect())
    }

    /// Gradient of a token vector (batch, heads, places): each job has its own part.
    fn chain_token(&self, number: usize, axis: Axis, sums: &[Sums], into: &mut [f64]) {
        let c = &*self.compiled;
        let (places, padded, group) = (c.places(axis), c.padded_places(axis), c.group());
        for (job, sums) in sums.iter().enumerate() {
            // Jobs count key/value heads, whose query heads follow each other.
            for in_group in 0..group {
                let to = &mut into[(job * group + in_group) * places..][..places];
                if axis == Axis::Query {
                    to.copy_from_slice(&sums.wide[number][in_group * padded..][..places]);
                } else {
                    let from = &sums.narrow[number][in_group * padded..][..places];
                    to.iter_mut()
                        .zip(from)
                        .for_each(|(x, y)| *x = f64::from(*y));
                }
            }
        }
    }
}
