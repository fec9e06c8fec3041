//! The tables of a plan for calls of one shape: pure numbers, owned by the caller. There is no cache of tables anywhere.

mod bias;
mod rotation;

pub use bias::{Bias, Toeplitz};
pub use rotation::{Table, turned};
pub(crate) use rotation::{rotate, rotate_back};

use crate::expr::ParamValues;
use crate::plan::{Geometry, Pairing, Plan, QkRotation};
use crate::span::Span;
use crate::{Device, Error, Result};
use std::ops::{Deref, Range};
use std::sync::Arc;

/// A plan with its tables for queries and keys at given positions.
#[derive(Clone, Debug)]
pub struct Tables {
    plan: Plan,
    span: Span,
    rotations: Vec<PreparedRotation>,
    constants: ParamValues,
    bias: Bias,
}

/// The tables of one turn.
#[derive(Clone, Debug)]
pub struct PreparedRotation {
    /// How channels pair up.
    pub pairing: Pairing,
    /// Rotation of the queries: 1 or `heads` tables.
    pub query: Table,
    /// Rotation of the keys: 1 or `kv_heads` tables.
    pub key: Table,
}

impl Deref for Tables {
    type Target = Span;

    fn deref(&self) -> &Span {
        &self.span
    }
}

impl Tables {
    /// See [`Prepared::new`](crate::prepared::Prepared::new).
    pub fn new(
        plan: &Plan,
        geometry: &Geometry,
        queries: Range<usize>,
        keys: Range<usize>,
        device: &Device,
    ) -> Result<Tables> {
        Tables::make(plan, geometry, (queries, keys), None, device)
    }

    /// See [`Prepared::with_positions`](crate::prepared::Prepared::with_positions).
    pub fn with_positions(
        plan: &Plan,
        geometry: &Geometry,
        queries: Range<usize>,
        keys: Range<usize>,
        positions: &[f64],
        device: &Device,
    ) -> Result<Tables> {
        let end = queries.end.max(keys.end);
        if positions.len() < end || positions.iter().any(|x| !x.is_finite()) {
            return Err(Error::Argument {
                what: "positions",
                expected: format!("a finite number for each of {end} tokens"),
                found: format!(
                    "{} numbers",
                    positions.iter().filter(|x| x.is_finite()).count()
                ),
            });
        }
        let regular = positions.iter().enumerate().all(|(t, &x)| x == t as f64);
        let positions = (!regular).then(|| positions[..end].into());
        Tables::make(plan, geometry, (queries, keys), positions, device)
    }

    fn make(
        plan: &Plan,
        geometry: &Geometry,
        (queries, keys): (Range<usize>, Range<usize>),
        positions: Option<Arc<[f64]>>,
        device: &Device,
    ) -> Result<Tables> {
        plan.validate(geometry)?;
        let span = Span::new(
            geometry,
            (queries, keys),
            positions,
            plan.softmax_scale,
            device,
        )?;
        let n = span.context_len();
        let of = |range: Range<usize>| -> Vec<f64> { range.map(|t| span.position(t)).collect() };
        let turn = |turn: &QkRotation| {
            Ok(PreparedRotation {
                pairing: turn.pairing,
                query: Table::at(&turn.query, &of(span.queries()), n)?,
                key: Table::at(&turn.key, &of(span.keys()), n)?,
            })
        };
        let rotations = plan.rotations.iter().map(turn).collect::<Result<_>>()?;
        let constants: ParamValues = plan
            .params
            .iter()
            .filter_map(|spec| Some((spec.name.clone(), spec.constant()?)))
            .collect();
        let distances = span.is_regular().then(|| span.distances());
        let bias = Bias::of(&plan.score, distances, n, geometry.heads, &constants)?;
        Ok(Tables {
            plan: plan.clone(),
            span,
            rotations,
            constants,
            bias,
        })
    }

    /// The same without hooks, of a model with so many key/value heads. Fails if key heads turn apart from each other and
    /// their number changes.
    pub(crate) fn without_hooks(&self, kv_heads: usize) -> Result<Tables> {
        let apart = self.rotations.iter().any(|turn| turn.key.heads > 1);
        if apart && kv_heads != self.geometry().kv_heads {
            return Err(Error::Argument {
                what: "keys of a hook's attention",
                expected: format!("{} heads, each with its own turn", self.geometry().kv_heads),
                found: format!("{kv_heads} heads"),
            });
        }
        Ok(Tables {
            plan: Plan {
                hooks: Vec::new(),
                ..self.plan.clone()
            },
            span: self.span.with_kv_heads(kv_heads),
            ..self.clone()
        })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What the call's tokens are, without the plan.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Tables, one per turn of the plan.
    pub fn rotations(&self) -> &[PreparedRotation] {
        &self.rotations
    }

    /// Values of the parameters that belong to the plan itself.
    pub fn constants(&self) -> &ParamValues {
        &self.constants
    }

    /// What the score is made of.
    pub fn bias(&self) -> &Bias {
        &self.bias
    }
}
