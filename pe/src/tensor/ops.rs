//! What several schemes with hooks share.

use super::rotation::{by_head, split};
use farspan_attention::expr::{Expr, Side, Unary};
use farspan_attention::hook::Scope;
use farspan_attention::plan::{Init, ParamSpec};
use farspan_attention::{Error, Result, Tensor, ops};
use std::ops::Range;

/// ln σ(x) without overflow; its derivative at 0 is ½ as it should be.
pub(crate) fn log_sigmoid(x: Expr) -> Expr {
    let size = x.clone().unary(Unary::Abs);
    (x - size.clone()) * 0.5 - (-size).unary(Unary::Exp).log1p()
}

/// What a token vector adds up to between the key, not included, and the query, included.
pub(crate) fn since_key(name: &str) -> Expr {
    Expr::Token(name.into(), Side::Query) - Expr::Token(name.into(), Side::Key)
}

/// A learned parameter of each layer's own.
pub(crate) fn learned(name: &str, shape: &[usize], init: Init) -> ParamSpec {
    ParamSpec {
        name: name.into(),
        shape: shape.to_vec(),
        init,
        learned: true,
        per_layer: true,
        clamp: None,
    }
}

/// The layer's input (batch, tokens, width), which must be that of the tokens `of`.
pub(crate) fn input<'a>(scope: &Scope<'a>, of: &Range<usize>) -> Result<&'a Tensor> {
    let input = scope.input()?;
    if input.dim(1)? == of.len() {
        return Ok(input);
    }
    Err(Error::Argument {
        what: "the layer's input",
        expected: format!("one row for each of the tokens {of:?}"),
        found: format!("{:?}", input.dims()),
    })
}

/// A parameter of shape \[heads\] as (1, heads, 1, 1).
pub(crate) fn per_head(scope: &Scope<'_>, name: &str) -> Result<Tensor> {
    scope
        .param(name)?
        .reshape((1, scope.geometry().heads, 1, 1))
}

/// y_j = Σ_{t ≥ j} x_t over the last axis.
pub(crate) fn sum_from(x: &Tensor) -> Result<Tensor> {
    let axis = x.rank() - 1;
    let len = x.dim(axis)?;
    let backwards: Vec<u32> = (0..len as u32).rev().collect();
    let backwards = Tensor::from_vec(backwards, len, &x.device())?;
    let turned = x.contiguous()?.index_select(&backwards, axis)?;
    ops::running_sum(&turned)?.index_select(&backwards, axis)
}

/// Whole distances q − k of the pairs at hand, as rows of a table. Hidden pairs count as distance 0.
pub(crate) struct Distances {
    rows: Vec<u32>,
    queries: usize,
    keys: usize,
}

impl Distances {
    /// Distance r stands in row `row_of(r)`. Fails at positions between whole numbers, which no table has.
    pub(crate) fn new(scope: &Scope<'_>, row_of: impl Fn(usize) -> usize) -> Result<Distances> {
        let (queries, keys) = (scope.query_positions(), scope.key_positions());
        let mut rows = Vec::with_capacity(queries.len() * keys.len());
        for i in &queries {
            for j in &keys {
                let distance = i - j;
                if distance.fract() != 0.0 {
                    return Err(Error::Argument {
                        what: "positions under a table of distances",
                        expected: "whole distances".into(),
                        found: format!("{distance} between {i} and {j}"),
                    });
                }
                rows.push(row_of(distance.max(0.0) as usize) as u32);
            }
        }
        Ok(Distances {
            rows,
            queries: queries.len(),
            keys: keys.len(),
        })
    }

    /// Rows that a table needs: one more than the largest in use.
    pub(crate) fn needed(&self) -> usize {
        self.rows.iter().max().map_or(1, |row| *row as usize + 1)
    }

    /// Rows of a table (rows, d) for every pair: (queries, keys, d).
    pub(crate) fn vectors(&self, table: &Tensor) -> Result<Tensor> {
        let rows = Tensor::from_vec(self.rows.clone(), self.rows.len(), &table.device())?;
        let width = table.dim(1)?;
        table
            .index_select(&rows, 0)?
            .reshape((self.queries, self.keys, width))
    }

    /// `terms` of the queries at hand (batch, heads, queries, rows), each at its distance to every key:
    /// (batch, heads, queries, keys).
    pub(crate) fn of_queries(&self, terms: &Tensor) -> Result<Tensor> {
        let (batch, heads, ..) = terms.dims4()?;
        let rows = Tensor::from_vec(
            self.rows.clone(),
            (self.queries, self.keys),
            &terms.device(),
        )?;
        let rows = rows.broadcast_as((batch, heads, self.queries, self.keys))?;
        terms.contiguous()?.gather(&rows.contiguous()?, 3)
    }

    /// `terms` of the keys at hand (batch, heads, keys, rows), each at its distance to every query:
    /// (batch, heads, queries, keys).
    pub(crate) fn of_keys(&self, terms: &Tensor) -> Result<Tensor> {
        let (batch, heads, ..) = terms.dims4()?;
        let rows = Tensor::from_vec(
            self.rows.clone(),
            (self.queries, self.keys),
            &terms.device(),
        )?;
        let rows = rows
            .t()?
            .broadcast_as((batch, heads, self.keys, self.queries))?;
        terms
            .contiguous()?
            .gather(&rows.contiguous()?, 3)?
            .transpose(2, 3)
    }
}

/// Products of `x` (batch, heads, n, head_dim) with each head's own of vectors that stand side by side
/// (rows, heads · head_dim): (batch, heads, n, rows).
pub(crate) fn with_vectors(x: &Tensor, vectors: &Tensor) -> Result<Tensor> {
    let own = split(&vectors.unsqueeze(0)?, x.dim(1)?)?.squeeze(0)?;
    by_head(x, &own.t()?.contiguous()?)
}
