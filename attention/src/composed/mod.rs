//! Attention as tensor operations: any device, differentiable everywhere, by query block so that one block of scores
//! is in memory at a time (in training, the history keeps them all).
//!
//! Unlike `naive`, a NaN in a key or value that the mask hides may reach queries of the same batch entry and head: the
//! products over keys are whole matrix products.

mod lower;
mod rotate;
mod value;

use crate::blocks::{in_blocks, rows_per_block};
use crate::call::Call;
use crate::expr::Expr;
use crate::hook::{HookRef, Qkv, Scope};
use crate::mask::Mask;
use crate::ops::softmax;
use crate::params::Params;
use crate::tables::{Bias, Tables, Toeplitz};
use crate::{Error, Result, Tensor};
use lower::Grid;
use std::ops::Range;
use value::Value;

/// As [`attend`](crate::attend::attend) with checked arguments; the call holds exactly what the plan reads.
pub(crate) fn attend(call: &Call<'_>) -> Result<Tensor> {
    let Qkv { q, k, v } = call.qkv;
    let (batch, heads, queries, _) = q.dims4()?;
    if q.elem_count() == 0 {
        return Ok(q.clone());
    }
    let pass = Pass::of(call);
    let rotated = pass.rotated(q, k)?;
    let keys = call.tables.keys().len();
    let rows = rows_per_block(batch * heads * keys * q.dtype().size_in_bytes());
    in_blocks(queries, rows, |rows| pass.block(&rotated, v, rows))
}

/// The same with hooks between score and softmax; `scope` has everything that they may read.
pub(crate) fn with_hooks(call: &Call<'_>, scope: &Scope<'_>, hooks: &[&HookRef]) -> Result<Tensor> {
    let Qkv { q, k, v } = call.qkv;
    let (batch, heads, queries, dim) = q.dims4()?;
    if q.elem_count() == 0 {
        return Ok(q.clone());
    }
    let tables = call.tables;
    let pass = Pass::of(call);
    let rotated = pass.rotated(q, k)?;
    let rows = if hooks.iter().any(|hook| hook.needs_all_queries()) {
        queries
    } else {
        rows_per_block(batch * heads * tables.keys().len() * q.dtype().size_in_bytes())
    };
    in_blocks(queries, rows, |rows| {
        let first = tables.queries().start;
        let queries = first + rows.start..first + rows.end;
        let keys = call.mask.reachable(&queries, &tables.keys());
        if keys.is_empty() {
            let shape = (batch, heads, rows.len(), dim);
            return Tensor::zeros(shape, tables.device())?.to_dtype(v.dtype());
        }
        let block = scope.block(queries.clone(), keys.clone());
        let mut scores = pass.shown(&rotated, queries, keys, q)?;
        for hook in hooks {
            let changed = hook.scores(&block, &scores)?;
            if changed.dims() != scores.dims() {
                let expected = format!("{:?}", scores.dims());
                let what = format!("scores of {}", hook.describe());
                return Err(Error::shape(what, expected, changed.dims()));
            }
            scores = changed;
        }
        let weights = block.softmax(&scores)?;
        weights.matmul(&block.repeated(&block.of_keys(v)?)?.contiguous()?)
    })
}

/// The plan's scores of some of a call's queries and keys, 0 where the mask hides a pair.
pub(crate) fn plain_scores(
    call: &Call<'_>,
    queries: Range<usize>,
    keys: Range<usize>,
) -> Result<Tensor> {
    let pass = Pass::of(call);
    let rotated = pass.rotated(&call.qkv.q, &call.qkv.k)?;
    pass.shown(&rotated, queries, keys, &call.qkv.q)
}

/// The queries, scaled, and the keys of a call as the plan's first turn rotates them.
pub(crate) fn turned(call: &Call<'_>) -> Result<(Tensor, Tensor)> {
    let pass = Pass {
        scores: vec![0],
        ..Pass::of(call)
    };
    match pass.rotated(&call.qkv.q, &call.qkv.k)?.pop() {
        Some(rotated) => Ok((rotated.q, rotated.k)),
        None => Err(Error::expr("the plan has no raw score")),
    }
}

/// The value of a token vector's expression (batch, heads, tokens), where `raw` is of that shape.
pub(crate) fn per_token(
    tables: &Tables,
    params: &Params,
    value: &Expr,
    raw: &Tensor,
) -> Result<Tensor> {
    // A row of tokens is a column of queries with one key.
    let given = (tables, params);
    let mut grid = Grid::new(given, tables.queries(), 0..1, raw.dtype(), None)?;
    let raw = raw.unsqueeze(3)?;
    grid.raws = vec![Some(raw.clone())];
    let value = grid.full(grid.lower(value)?)?;
    value.broadcast_as(raw.shape())?.contiguous()?.squeeze(3)
}

/// A call, and what of it is needed.
struct Pass<'a> {
    tables: &'a Tables,
    params: &'a Params,
    mask: &'a Mask,
    /// Raw scores that are needed.
    scores: Vec<usize>,
}

/// Queries, scaled, and keys, as one turn rotates them.
struct Rotated {
    turn: usize,
    q: Tensor,
    k: Tensor,
}

impl<'a> Pass<'a> {
    fn of(call: &Call<'a>) -> Pass<'a> {
        let Call {
            tables,
            params,
            mask,
            ..
        } = *call;
        let score = &tables.plan().score;
        let named = |turn: &usize| score.any(&|part| part == &Expr::Raw(*turn));
        Pass {
            tables,
            params,
            mask,
            scores: (0..tables.plan().raw_scores()).filter(named).collect(),
        }
    }

    fn rotated(&self, q: &Tensor, k: &Tensor) -> Result<Vec<Rotated>> {
        let scale = self.tables.scale();
        let mut rotated = Vec::new();
        for &turn in &self.scores {
            let (mut q, k) = match self.tables.rotations().get(turn) {
                None => (q.affine(scale, 0.0)?, k.clone()),
                Some(turn) => (
                    rotate::apply(q, &turn.query, turn.pairing, scale)?,
                    rotate::apply(k, &turn.key, turn.pairing, 1.0)?,
                ),
            };
            if let Some(factor) = &self.tables.plan().query_scale {
                let grid = Grid::new(
                    (self.tables, self.params),
                    self.tables.queries(),
                    0..1,
                    q.dtype(),
                    None,
                )?;
                q = grid.lower(factor)?.multiply(&q)?;
            }
            rotated.push(Rotated { turn, q, k });
        }
        Ok(rotated)
    }

    /// Output for the queries at `rows`, counted from the first query of the call.
    fn block(&self, rotated: &[Rotated], v: &Tensor, rows: Range<usize>) -> Result<Tensor> {
        let (first_query, first_key) = (self.tables.queries().start, self.tables.keys().start);
        let queries = first_query + rows.start..first_query + rows.end;
        let keys = self.mask.reachable(&queries, &self.tables.keys());
        let geometry = self.tables.geometry();
        let (batch, kv_heads, _, dim) = v.dims4()?;
        if keys.is_empty() {
            let shape = (batch, geometry.heads, rows.len(), dim);
            return Tensor::zeros(shape, self.tables.device())?.to_dtype(v.dtype());
        }
        let part = |x: &Tensor| part(x, keys.start - first_key, keys.len());
        let apart = [batch, geometry.heads, rows.len(), keys.len()];
        let raws = self.raws(rotated, &queries, &keys)?;
        let (raw, bias) = self.scores(raws, queries, keys.clone(), v)?;
        // A score that names no raw score lacks the batch.
        let raw = if raw.dims() == apart {
            raw
        } else {
            raw.broadcast_as(&apart)?.contiguous()?
        };
        let weights = softmax::weights(&raw, bias.as_ref())?;
        let grouped = [
            batch,
            kv_heads,
            geometry.heads / kv_heads * rows.len(),
            keys.len(),
        ];
        let mixed = weights.reshape(&grouped)?.matmul(&part(v)?)?;
        mixed.reshape((batch, geometry.heads, rows.len(), dim))
    }

    /// Raw scores by turn, each (batch, heads, queries, keys).
    fn raws(
        &self,
        rotated: &[Rotated],
        queries: &Range<usize>,
        keys: &Range<usize>,
    ) -> Result<Vec<Option<Tensor>>> {
        let (first_query, first_key) = (self.tables.queries().start, self.tables.keys().start);
        let mut raws = vec![None; self.tables.plan().raw_scores()];
        for one in rotated {
            let (batch, heads, _, dim) = one.q.dims4()?;
            let kv_heads = one.k.dim(1)?;
            // The query heads that share a key head stand below each other, so that keys are never copied.
            let grouped = [batch, kv_heads, heads / kv_heads * queries.len(), dim];
            let q = part(&one.q, queries.start - first_query, queries.len())?;
            let q = q.contiguous()?.reshape(&grouped)?;
            let k = part(&one.k, keys.start - first_key, keys.len())?;
            let raw = q.matmul(&k.t()?)?;
            raws[one.turn] = Some(raw.reshape((batch, heads, queries.len(), keys.len()))?);
        }
        Ok(raws)
    }

    /// The whole score (batch, heads, queries, keys), 0 where the mask hides a pair.
    fn shown(
        &self,
        rotated: &[Rotated],
        queries: Range<usize>,
        keys: Range<usize>,
        like: &Tensor,
    ) -> Result<Tensor> {
        let (batch, heads, ..) = like.dims4()?;
        let shape = [batch, heads, queries.len(), keys.len()];
        let hides = !self.mask.hides_nothing(&queries, &keys);
        let raws = self.raws(rotated, &queries, &keys)?;
        let mask = hides.then_some(self.mask);
        let mut grid = Grid::new(
            (self.tables, self.params),
            queries,
            keys,
            like.dtype(),
            mask,
        )?;
        grid.raws = raws;
        let scores = grid.where_visible(&self.tables.plan().score, 0.0)?;
        if scores.dims() == shape {
            Ok(scores)
        } else {
            scores.broadcast_as(&shape)?.contiguous()
        }
    }

    /// What softmax sees, −∞ where hidden, as a sum: (batch, heads, queries, keys), and (1 or heads, queries, keys).
    fn scores(
        &self,
        mut raws: Vec<Option<Tensor>>,
        queries: Range<usize>,
        keys: Range<usize>,
        like: &Tensor,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let mask = if self.mask.hides_nothing(&queries, &keys) {
            None
        } else {
            Some(self.mask)
        };
        let whole = |expr: &Expr, raws| -> Result<Tensor> {
            let mut grid = Grid::new(
                (self.tables, self.params),
                queries.clone(),
                keys.clone(),
                like.dtype(),
                mask,
            )?;
            grid.raws = raws;
            grid.where_visible(expr, f64::NEG_INFINITY)
        };
        let score = &self.tables.plan().score;
        let bias = match self.tables.bias() {
            Bias::NotAdditive => return Ok((whole(score, raws)?, None)),
            Bias::None if mask.is_none() => None,
            Bias::None => Some(self.constant(None, &queries, &keys, like)?),
            Bias::Constant(table) => Some(self.constant(Some(table), &queries, &keys, like)?),
            Bias::Learned(bias) | Bias::General(bias) => {
                let bias = whole(bias, Vec::new())?;
                let (heads, rows, columns) = bias.dims3()?;
                let full = (rows, columns) == (queries.len(), keys.len());
                let shape = (heads, queries.len(), keys.len());
                Some(if full {
                    bias
                } else {
                    bias.broadcast_as(shape)?.contiguous()?
                })
            }
        };
        match raws.first_mut().and_then(Option::take) {
            Some(raw) => Ok((raw, bias)),
            // An additive score names raw score 0, so it was made.
            None => Err(Error::expr(format!(
                "raw score 0 of `{score}` is not at hand"
            ))),
        }
    }

    /// A bias that nothing learned enters, with the mask in it: (1 or heads, queries, keys).
    fn constant(
        &self,
        table: Option<&Toeplitz>,
        queries: &Range<usize>,
        keys: &Range<usize>,
        like: &Tensor,
    ) -> Result<Tensor> {
        let heads = table.map_or(1, |table| table.heads());
        let mut values = Vec::with_capacity(heads * queries.len() * keys.len());
        for head in 0..heads {
            for i in queries.clone() {
                let diagonal =
                    table.map(|table| (table.head(head), i as i64 - table.distances.start));
                values.extend(keys.clone().map(|j| match diagonal {
                    _ if !self.mask.sees(i, j) => f64::NEG_INFINITY,
                    None => 0.0,
                    Some((values, offset)) => values[(offset - j as i64) as usize],
                }));
            }
        }
        Tensor::from_numbers(
            &values,
            &[heads, queries.len(), keys.len()],
            like.dtype(),
            self.tables.device(),
        )
    }
}

/// Rows of axis 2.
fn part(x: &Tensor, start: usize, len: usize) -> Result<Tensor> {
    if (start, len) == (0, x.dim(2)?) {
        Ok(x.clone())
    } else {
        x.narrow(2, start, len)
    }
}

impl Grid<'_> {
    /// The value of `expr` where a pair is visible, `hidden` where the mask hides it.
    fn where_visible(&self, expr: &Expr, hidden: f64) -> Result<Tensor> {
        let value = self.full(self.lower(expr)?)?;
        match self.visible() {
            None => Ok(value),
            Some(visible) => value::choose(visible, &value, &Value::Number(hidden)),
        }
    }
}
