//! Fused attention under a plan: WGSL generated from turns, score, mask and token vectors, forward and backward.

mod kernels;
mod program;
mod rotate;
mod rules;
#[cfg(test)]
mod tests;
mod words;

use super::array::{Array, Kind};
use super::context::{Context, GROUP};
use super::tape::{Backward, Traced};
use crate::expr::{Expr, Side, Tile};
use crate::mask::Mask;
use crate::prepared::Prepared;
use crate::{Error, Result, Tensor};
use kernels::Shape;
use program::{Lowering, Places};
use rotate::Rotor;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use words::{Data, Words};

/// Learned parameters by name, and token vectors as `name@q` (batch, heads, queries) and `name@k` (batch, heads, keys).
pub type Params = BTreeMap<String, Traced>;

/// As [`attend`](crate::attend::attend) with checked arguments on a device of wgpu; `params` holds exactly what the plan
/// reads.
pub(crate) fn attend(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    prepared: &Prepared,
    params: &crate::attend::Params,
    mask: &Mask,
) -> Result<Tensor> {
    let traced = |x: &Tensor| {
        x.as_traced().cloned().ok_or_else(|| Error::Argument {
            what: "attend",
            expected: format!("f32 tensors on {}", prepared.device()),
            found: format!("one of {} on {}", x.dtype().as_str(), x.device()),
        })
    };
    let (q, k, v) = (traced(q)?, traced(k)?, traced(v)?);
    let mut all = Params::new();
    for (name, param) in params {
        all.insert(name.clone(), traced(param)?);
    }
    let batch = q.dims().first().copied().unwrap_or(0);
    let kernels = prepared.kernels(q.array().context(), mask, batch)?;
    kernels.attend(&q, &k, &v, &all).map(Tensor::from_traced)
}

/// A plan made ready for calls of one shape on one device: kernels, tables and constants.
#[derive(Clone, Debug)]
pub struct Fused(Arc<Ready>);

#[derive(Debug)]
struct Ready {
    context: Context,
    batch: usize,
    heads: usize,
    kv_heads: usize,
    queries: usize,
    keys: usize,
    dim: usize,
    rotors: Vec<(Rotor, Rotor)>,
    /// Names, shapes and addresses of what the formulas read of the caller's.
    needed: Vec<(String, Vec<usize>, usize)>,
    data: Array,
    words: Vec<u32>,
    forward: String,
    by_query: String,
    by_key: String,
}

impl Fused {
    /// Generates the kernels of `prepared` under `mask` for `batch` entries. Fails if the plan has hooks.
    pub fn new(context: &Context, prepared: &Prepared, mask: &Mask, batch: usize) -> Result<Fused> {
        let plan = prepared.plan();
        let supported = crate::fused::supports(plan, prepared.device());
        supported.map_err(|why| Error::Unsupported { name: "fused", why })?;
        mask.check(prepared.tokens())?;
        let geometry = prepared.geometry();
        let (needed, places) = needed(prepared, batch);
        let mut data = Data::default();
        let mut words = Words::default();
        fixed_words(prepared, mask, &mut data, &mut words);
        let mut lowering = Lowering::new(prepared, &places, &mut data, &mut words);
        let score = lowering.formula(&plan.score)?;
        let query_scale = plan.query_scale.as_ref();
        let query_scale = query_scale.map(|x| lowering.formula(x)).transpose()?;
        let fixed = std::mem::take(&mut lowering.fixed);
        let turns = plan.score.raw_count().max(1);
        let shape = Shape {
            dim: geometry.head_dim,
            turns,
            score,
            query_scale,
            fixed,
        };
        let rotors = prepared.turns().iter().take(turns).map(|turn| {
            let query = Rotor::new(context, &turn.query, turn.pairing)?;
            Ok((query, Rotor::new(context, &turn.key, turn.pairing)?))
        });
        let count = data.0.len();
        Ok(Fused(Arc::new(Ready {
            context: context.clone(),
            batch,
            heads: geometry.heads,
            kv_heads: geometry.kv_heads,
            queries: prepared.queries().len(),
            keys: prepared.keys().len(),
            dim: geometry.head_dim,
            rotors: rotors.collect::<Result<_>>()?,
            needed,
            data: Array::from_u32(context, &data.0, &[count])?,
            words: words.all().to_vec(),
            forward: shape.forward(),
            by_query: shape.backward_by_query(),
            by_key: shape.backward_by_key(),
        })))
    }

    /// The generated kernels: forward, gradients by query, gradients by key.
    pub fn shaders(&self) -> [&str; 3] {
        [&self.0.forward, &self.0.by_query, &self.0.by_key]
    }

    /// Attention, differentiable by `q` (batch, heads, queries, head_dim), `k` and `v` (batch, kv_heads, keys, head_dim),
    /// all unrotated, and by every learned parameter and token vector. Queries that see no key get zeros.
    pub fn attend(&self, q: &Traced, k: &Traced, v: &Traced, params: &Params) -> Result<Traced> {
        let ready = &self.0;
        for (what, x, heads, rows) in [
            ("q", q, ready.heads, ready.queries),
            ("k", k, ready.kv_heads, ready.keys),
            ("v", v, ready.kv_heads, ready.keys),
        ] {
            let expected = [ready.batch, heads, rows, ready.dim];
            if x.dims() != expected {
                let what = format!("attend, {what}");
                return Err(Error::shape(what, format!("{expected:?}"), x.dims()));
            }
        }
        let learned = ready.flat(params)?;
        let turned = |x: &Traced, of_query: bool| {
            let each = ready.rotors.iter().map(|(query, key)| match of_query {
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
        let inputs = [turned(q, true)?, turned(k, false)?, v.clone(), learned];
        let mut call = Call {
            ready: ready.clone(),
            inputs: Vec::new(),
            output: Array::empty(&ready.context, Kind::F32, q.dims())?,
            stats: Array::empty(&ready.context, Kind::F32, &[2, ready.rows()])?,
        };
        for input in &inputs {
            call.inputs.push(input.array().packed()?);
        }
        call.run(
            &ready.forward,
            ready.queries,
            ready.lines(),
            &[&call.output, &call.stats],
        )?;
        let output = call.output.clone();
        Ok(Traced::custom(output, inputs.to_vec(), Box::new(call)))
    }
}

/// What the formulas read of the caller's, and where it lies in one flat vector.
fn needed(prepared: &Prepared, batch: usize) -> (Vec<(String, Vec<usize>, usize)>, Places) {
    let plan = prepared.plan();
    let mut found: Vec<(String, Vec<usize>)> = Vec::new();
    for formula in [Some(&plan.score), plan.query_scale.as_ref()]
        .into_iter()
        .flatten()
    {
        for name in formula.param_names() {
            let known = found.iter().any(|(known, _)| *known == name);
            if !known && !prepared.constants().contains_key(&name) {
                let shape = plan
                    .param(&name)
                    .map_or(Vec::new(), |spec| spec.shape.clone());
                found.push((name, shape));
            }
        }
    }
    for (name, side) in plan.score.token_names() {
        let count = match side {
            Side::Query => prepared.queries().len(),
            Side::Key => prepared.keys().len(),
        };
        let shape = vec![batch, prepared.geometry().heads, count];
        found.push((format!("{name}@{side}"), shape));
    }
    let mut start = 0;
    let placed = found.into_iter().map(|(name, shape)| {
        let at = start;
        start += shape.iter().product::<usize>();
        (name, shape, at)
    });
    let placed: Vec<_> = placed.collect();
    let places = placed.iter().map(|(name, _, at)| (name.clone(), *at));
    let places = places.collect();
    (placed, places)
}

/// The words that every kernel reads, in the order that the kernels' text gives.
fn fixed_words(prepared: &Prepared, mask: &Mask, data: &mut Data, words: &mut Words) {
    // A binding has at least one element.
    data.add_whole(&[0]);
    let documents = mask.documents.as_ref().map(|of| data.add_whole(of));
    let none = u32::MAX as usize;
    let geometry = prepared.geometry();
    for x in [
        geometry.heads,
        geometry.kv_heads,
        prepared.queries().len(),
        prepared.keys().len(),
        prepared.queries().start,
        prepared.keys().start,
        usize::from(mask.causal),
        mask.window.unwrap_or(none),
        mask.sinks,
        documents.unwrap_or(none),
    ] {
        words.add(x);
    }
    words.bits((prepared.scale() as f32).to_bits());
    let tiles = hidden_tiles(prepared);
    words.add(match tiles.contains(&1) {
        true => data.add_whole(&tiles),
        false => none,
    });
}

/// Queries, and keys, of a tile that is skipped as a whole; the kernels' text says 64 as well.
const TILE: usize = 64;

/// 1 where the score hides a whole tile, whatever is learned: \[blocks of queries, tiles of keys\].
fn hidden_tiles(prepared: &Prepared) -> Vec<u32> {
    let score = &prepared.plan().score;
    let never = !score.any(&|part| *part == Expr::Number(f64::NEG_INFINITY));
    if never || !prepared.is_regular() {
        return Vec::new();
    }
    let tiles = |all: Range<usize>| {
        let end = all.end;
        let starts = all.step_by(TILE);
        starts.map(move |start| start..end.min(start + TILE))
    };
    let mut hidden = Vec::new();
    for queries in tiles(prepared.queries()) {
        for keys in tiles(prepared.keys()) {
            let queries = queries.clone();
            let causal = false;
            let tile = Tile {
                queries,
                keys,
                causal,
            };
            let bounds = score.bounds(&tile, prepared.tokens(), prepared.constants());
            hidden.push(u32::from(bounds.is_hidden()));
        }
    }
    hidden
}

impl Ready {
    fn lines(&self) -> usize {
        self.batch * self.heads
    }

    fn rows(&self) -> usize {
        self.lines() * self.queries
    }

    /// All that the formulas read of the caller's as one vector, differentiably.
    fn flat(&self, params: &Params) -> Result<Traced> {
        let mut parts = Vec::new();
        for (name, shape, _) in &self.needed {
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
    ready: Arc<Ready>,
    /// Rotated queries and keys of each turn, values, and all that is learned.
    inputs: Vec<Array>,
    output: Array,
    stats: Array,
}

impl Call {
    /// Runs a kernel with one thread for each of `rows` rows of `lines` lines.
    fn run(&self, shader: &str, rows: usize, lines: usize, more: &[&Array]) -> Result<()> {
        let [q, k, v, learned] = &self.inputs[..] else {
            // Made by `attend` alone.
            return Err(Error::expr("attention keeps four inputs"));
        };
        let mut buffers = vec![self.ready.data.buffer(), learned.buffer()];
        buffers.extend([q, k, v].map(|x| x.buffer()));
        buffers.extend(more.iter().map(|x| x.buffer()));
        let mut words = vec![self.ready.lines() as u32];
        words.extend_from_slice(&self.ready.words);
        let groups = lines * rows.div_ceil(GROUP);
        self.ready
            .context
            .dispatch(shader, &words, &buffers, groups)
    }
}

impl Backward for Call {
    fn backward(&self, gradient: &Array) -> Result<Vec<Option<Array>>> {
        let ready = &self.ready;
        let above = gradient.packed()?;
        let mean = above.pair(&self.output, Kind::F32, "a * b")?;
        let mean = mean.sum_keepdim(3)?.reshape(&[1, ready.rows()])?;
        let stats = Array::cat(&[&self.stats, &mean], 0)?;
        let zeros = |like: &Array| Array::full(&ready.context, 0.0, like.dims());
        let like = &self.inputs;
        let (by_q, by_learned) = (zeros(&like[0])?, zeros(&like[3])?);
        let more = [&above, &stats, &by_q, &by_learned];
        self.run(&ready.by_query, ready.queries, ready.lines(), &more)?;
        let (by_k, by_v) = (zeros(&like[1])?, zeros(&like[2])?);
        let more = [&above, &stats, &by_k, &by_v];
        let kv_lines = ready.batch * ready.kv_heads;
        self.run(&ready.by_key, ready.keys, kv_lines, &more)?;
        Ok(vec![Some(by_q), Some(by_k), Some(by_v), Some(by_learned)])
    }
}
