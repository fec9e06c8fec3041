//! Fused attention under a plan: WGSL generated from turns, score, mask and token vectors, forward and backward.

mod generate;
mod kernels;
mod program;
mod rotate;
mod rules;
mod scores;
#[cfg(all(test, feature = "wgpu"))]
mod tests;
mod text;
mod words;

use super::array::Array;
use super::context::{Context, GROUP};
use super::kind::Kind;
use super::tape::{Backward, Traced};
use crate::call::Call as Asked;
use crate::hook::Qkv;
use crate::mask::Mask;
use crate::tables::Tables;
use crate::{Error, Result, Tensor};
pub use generate::Kernels;
use rotate::Rotor;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Learned parameters by name, and token vectors as `name@q` (batch, heads, queries) and `name@k` (batch, heads, keys).
pub type Params = BTreeMap<String, Traced>;

/// As [`attend`](crate::attend::attend) with checked arguments on a device of this engine; the call holds exactly what the
/// plan reads, `kernels` makes those of a batch of this size.
pub(crate) fn attend(
    call: &Asked<'_>,
    kernels: &dyn Fn(&Context, usize) -> Result<Fused>,
) -> Result<Tensor> {
    let Qkv { q, k, v } = call.qkv;
    let traced = |x: &Tensor| {
        x.as_traced().cloned().ok_or_else(|| Error::Argument {
            what: "attend",
            expected: format!("f32 tensors on {}", call.tables.device()),
            found: format!("one of {} on {}", x.dtype().as_str(), x.device()),
        })
    };
    let (q, k, v) = (traced(q)?, traced(k)?, traced(v)?);
    let mut all = Params::new();
    for (name, param) in call.params {
        all.insert(name.clone(), traced(param)?);
    }
    let batch = q.dims().first().copied().unwrap_or(0);
    let context = q.array().context();
    // The rotated queries or keys of all turns are one array.
    let elements = q.array().count().max(k.array().count());
    let needed = call.tables.plan().score.raw_count().max(1) * elements;
    let part = part_that_fits(batch, needed, (context.largest_array() / 4) as usize);
    let kernels = kernels(context, part)?;
    let starts = (0..batch).step_by(part.max(1));
    let parts = starts.map(|start| {
        let cut = |x: &Traced| x.narrow(0, start, part);
        // Token vectors have a batch axis, parameters have not.
        let own = all.iter().map(|(name, x)| {
            let x = if name.contains('@') {
                cut(x)?
            } else {
                x.clone()
            };
            Ok((name.clone(), x))
        });
        let own = own.collect::<Result<Params>>()?;
        kernels.attend(&cut(&q)?, &cut(&k)?, &cut(&v)?, &own)
    });
    if part == batch {
        return kernels.attend(&q, &k, &v, &all).map(Tensor::from_traced);
    }
    let parts: Vec<Traced> = parts.collect::<Result<_>>()?;
    Traced::cat(&parts.iter().collect::<Vec<_>>(), 0).map(Tensor::from_traced)
}

/// The largest divisor of `batch` such that its share of `needed` elements is at most `most`; 1 if there is none.
fn part_that_fits(batch: usize, needed: usize, most: usize) -> usize {
    let fits = |part: &usize| batch.is_multiple_of(*part) && needed / batch * part <= most;
    (1..=batch).rev().find(fits).unwrap_or(batch.min(1))
}

/// A plan compiled for calls of one shape on one device: kernels, tables and constants.
#[derive(Clone, Debug)]
pub struct Fused(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    context: Context,
    kernels: Kernels,
    rotors: Vec<(Rotor, Rotor)>,
    data: Array,
}

impl Fused {
    /// Generates the kernels of `tables` under `mask` for `batch` entries. Fails if the plan has hooks.
    pub fn new(context: &Context, tables: &Tables, mask: &Mask, batch: usize) -> Result<Fused> {
        let mut kernels = Kernels::new(tables, mask, batch, context.precision())?;
        let rotors = tables.rotations().iter().take(kernels.turns).map(|turn| {
            let query = Rotor::new(context, &turn.query, turn.pairing)?;
            Ok((query, Rotor::new(context, &turn.key, turn.pairing)?))
        });
        let rotors = rotors.collect::<Result<_>>()?;
        // Only the device needs them from here on.
        let data = std::mem::take(&mut kernels.data);
        Ok(Fused(Arc::new(Compiled {
            context: context.clone(),
            kernels,
            rotors,
            data: Array::from_u32(context, &data, &[data.len()])?,
        })))
    }

    /// The generated kernels.
    pub fn kernels(&self) -> &Kernels {
        &self.0.kernels
    }

    /// Hands every generated kernel to the driver. Fails with the driver's words if it refuses one.
    pub fn compile(&self) -> Result<()> {
        let texts = self.0.kernels.texts();
        texts
            .iter()
            .try_for_each(|(_, text)| self.0.context.compile(text))
    }

    /// Attention, differentiable by `q` (batch, heads, queries, head_dim), `k` and `v` (batch, kv_heads, keys, head_dim),
    /// all unrotated, and by every learned parameter and token vector. Queries that see no key get zeros.
    pub fn attend(&self, q: &Traced, k: &Traced, v: &Traced, params: &Params) -> Result<Traced> {
        let compiled = &self.0;
        let inputs = self.inputs(q, k, v, params)?;
        let call = Call {
            compiled: compiled.clone(),
            inputs: packed(&inputs)?,
            output: Array::empty(&compiled.context, Kind::F32, q.dims())?,
            stats: Array::empty(&compiled.context, Kind::F32, &[2, compiled.kernels.rows()])?,
        };
        call.run(
            &compiled.kernels.forward.text,
            compiled
                .kernels
                .blocks_of_queries(&compiled.kernels.forward),
            &[&call.output, &call.stats],
        )?;
        let output = call.output.clone();
        Ok(Traced::custom(output, inputs.to_vec(), Box::new(call)))
    }

    /// The scores that softmax sees, (batch, heads, queries, keys): -∞ where the mask or the score hides a pair. In f32, also
    /// where attention rounds what it multiplies.
    /// Arguments as for [`attend`](Fused::attend); memory is quadratic in the length. For explanations and tests.
    pub fn scores(&self, q: &Traced, k: &Traced, params: &Params) -> Result<Array> {
        let compiled = &self.0;
        let kernels = &compiled.kernels;
        let dims = [kernels.batch, kernels.heads, kernels.queries, kernels.keys];
        let call = Call {
            compiled: compiled.clone(),
            inputs: packed(&self.inputs(q, k, k, params)?)?,
            output: Array::empty(&compiled.context, Kind::F32, &dims)?,
            stats: Array::empty(&compiled.context, Kind::F32, &[1])?,
        };
        let groups = call.output.count().div_ceil(GROUP);
        call.run(&kernels.scores, groups, &[&call.output])?;
        Ok(call.output.clone())
    }

    /// Rotated queries and keys of each turn, values, and all that is learned.
    fn inputs(&self, q: &Traced, k: &Traced, v: &Traced, params: &Params) -> Result<[Traced; 4]> {
        let compiled = &self.0;
        let of = &compiled.kernels;
        for (what, x, heads, rows) in [
            ("q", q, of.heads, of.queries),
            ("k", k, of.kv_heads, of.keys),
            ("v", v, of.kv_heads, of.keys),
        ] {
            let expected = [of.batch, heads, rows, of.dim];
            if x.dims() != expected {
                let what = format!("attend, {what}");
                return Err(Error::shape(what, format!("{expected:?}"), x.dims()));
            }
        }
        let learned = compiled.flat(params)?;
        let turned = |x: &Traced, of_query: bool| {
            let each = compiled.rotors.iter().map(|(query, key)| match of_query {
                true => query.apply(x),
                false => key.apply(x),
            });
            let each: Vec<Traced> = each.collect::<Result<_>>()?;
            match &each[..] {
                [] => Ok(x.clone()),
                [one] => Ok(one.clone()),
                several => Traced::cat(&several.iter().collect::<Vec<_>>(), 0),
            }
        };
        Ok([turned(q, true)?, turned(k, false)?, v.clone(), learned])
    }
}

fn packed(inputs: &[Traced]) -> Result<Vec<Array>> {
    inputs.iter().map(|input| input.array().packed()).collect()
}

impl Compiled {
    /// All that the formulas read of the caller's as one vector, differentiably.
    fn flat(&self, params: &Params) -> Result<Traced> {
        let mut parts = Vec::new();
        for (name, shape, _) in &self.kernels.needed {
            let Some(param) = params.get(name) else {
                let given: Vec<&str> = params.keys().map(String::as_str).collect();
                return Err(Error::MissingParam {
                    name: name.clone(),
                    shape: shape.clone(),
                    given: given.join(", "),
                });
            };
            if param.dims() != shape {
                let what = format!("parameter {name}");
                return Err(Error::shape(what, format!("{shape:?}"), param.dims()));
            }
            parts.push(param.reshape(&[shape.iter().product()])?);
        }
        if parts.is_empty() {
            return Traced::zeros(&self.context, &[1]);
        }
        Traced::cat(&parts.iter().collect::<Vec<_>>(), 0)
    }
}

/// One call, as far as its gradients need it.
#[derive(Debug)]
struct Call {
    compiled: Arc<Compiled>,
    /// Rotated queries and keys of each turn, values, and all that is learned.
    inputs: Vec<Array>,
    output: Array,
    stats: Array,
}

impl Call {
    fn run(&self, shader: &str, groups: usize, more: &[&Array]) -> Result<()> {
        let [q, k, v, learned] = &self.inputs[..] else {
            // Made by `Fused` alone.
            return Err(Error::expr("attention keeps four inputs"));
        };
        let mut buffers = vec![self.compiled.data.buffer(), learned.buffer()];
        buffers.extend([q, k, v].map(|x| x.buffer()));
        buffers.extend(more.iter().map(|x| x.buffer()));
        let kernels = &self.compiled.kernels;
        let mut words = vec![kernels.lines() as u32];
        words.extend_from_slice(&kernels.words);
        self.compiled
            .context
            .dispatch(shader, &words, &buffers, groups)
    }
}

impl Backward for Call {
    fn backward(&self, gradient: &Array) -> Result<Vec<Option<Array>>> {
        let (compiled, kernels) = (&self.compiled, &self.compiled.kernels);
        let above = gradient.packed()?;
        let mean = above.pair(&self.output, Kind::F32, "a * b")?;
        let mean = mean.sum_keepdim(3)?.reshape(&[1, kernels.rows()])?;
        let stats = Array::cat(&[&self.stats, &mean], 0)?;
        let zeros = |like: &Array| Array::full(&compiled.context, 0.0, like.dims());
        let like = &self.inputs;
        let (by_q, by_learned) = (zeros(&like[0])?, zeros(&like[3])?);
        let more = [&above, &stats, &by_q, &by_learned];
        let (by_query, by_key) = (&kernels.by_query, &kernels.by_key);
        self.run(&by_query.text, kernels.blocks_of_queries(by_query), &more)?;
        let (by_k, by_v) = (zeros(&like[1])?, zeros(&like[2])?);
        let more = [&above, &stats, &by_k, &by_v];
        let blocks = kernels.batch * kernels.kv_heads * kernels.keys.div_ceil(by_key.side);
        self.run(&by_key.text, blocks * by_key.shares, &more)?;
        Ok(vec![Some(by_q), Some(by_k), Some(by_v), Some(by_learned)])
    }
}
