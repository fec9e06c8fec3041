//! One call: what its two nodes share, and the work of each.

mod chain;

use super::backward::{Backward, Extra};
use super::compile::Compiled;
use super::forward::Forward;
use super::program::Sums;
use super::scan::{Scan, Scanned, Table};
use super::scratch::Scratch;
use super::tile::Call;
use super::values::Values;
use super::view::{Grid, Sink, Source};
use crate::Result;
use crate::expr::ParamValues;
use crate::form;
use crate::mask::Mask;
use crate::ops::bridge::{Elements, Numbers, lock, zeros};
use crate::ops::chain::Left;
use crate::ops::simd::dispatch;
use crate::params::Params;
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
    scan: Option<Scan>,
    mask: Mask,
    batch: usize,
    inputs: Inputs,
    /// Names and sizes of the parameters that the call was given.
    pub(super) learned: Vec<(String, usize)>,
    /// ln Σ eˢ of each row, \[batch, heads, queries\], from the forward pass.
    normalisers: Mutex<Arc<Vec<f32>>>,
    /// What a scan along rows left, by job.
    scanned: Mutex<Arc<Vec<Scanned>>>,
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
        scan: Option<&form::Scan>,
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
        let values = compiled.values(learned)?;
        let scan = scan.map(|scan| Scan::new(scan, &compiled, &values.params));
        Ok(Node {
            values,
            scan: scan.transpose()?,
            compiled,
            mask: mask.clone(),
            batch,
            inputs,
            learned: sizes,
            normalisers: Mutex::default(),
            scanned: Mutex::default(),
            unrounded: Mutex::default(),
            left: Left::default(),
        })
    }

    fn table(&self) -> Option<&Table> {
        self.scan.as_ref()?.table.as_ref()
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
                scan: self.scan.as_ref(),
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
        let scanned: Vec<Scanned> = self.with_call(|call| {
            let new = || Scratch::new(c, self.scan.as_ref());
            let job = |scratch: &mut Scratch, (job, normalisers): (usize, &mut [f32])| {
                dispatch(Forward {
                    call: &call,
                    job,
                    output: sink,
                    normalisers,
                    scratch,
                })
            };
            Ok(if self.parallel() {
                let parts = normalisers.par_chunks_mut(size).enumerate();
                parts.map_init(new, job).collect()
            } else {
                let mut scratch = new();
                let parts = normalisers.chunks_mut(size).enumerate();
                parts.map(|part| job(&mut scratch, part)).collect()
            })
        })?;
        *lock(NAME, &self.scanned)? = Arc::new(scanned);
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
        let scanned = lock(NAME, &self.scanned)?.clone();
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
                let scratch = Scratch::new(c, self.scan.as_ref());
                let extra = Extra::new(c, &scratch);
                (scratch, extra)
            };
            let job = |(scratch, extra): &mut (Scratch, Extra), job: usize| {
                let normalisers = &normalisers[job * size..][..size];
                let (call, scanned) = (&call, &scanned[job]);
                dispatch(Backward {
                    call,
                    job,
                    output,
                    upstream,
                    normalisers,
                    scanned,
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
}
