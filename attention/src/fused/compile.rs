//! A plan made ready for the kernel: f32 tables of the rotations, and the score as a short program on rows of keys.
//!
//! Every table of the program is computed in f64 once per call and head. Learned parameters enter through tables, or
//! through a lookup or network whose input is no table; the kernel adds up one gradient per place of a table, and the
//! chain rule back to the parameters happens in f64 afterwards.

use super::lanes::{Lanes, padded_places, tabulate};
use super::rotate::Angles;
use super::sizes::{KEYS, ROWS};
use crate::Result;
use crate::expr::ParamValues;
use crate::plan::Pairing;
use crate::score::{Axis, Learned, Places, Program, Tabled, hidden_tiles};
use crate::span::Span;
use crate::tables::{Bias, Tables};
use std::ops::Deref;

/// The shape of the score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Score {
    /// The first raw score.
    Raw,
    /// The first raw score plus a table by distance.
    Biased(usize),
    /// The last step of the program.
    Program,
}

/// A turn that the score reads.
#[derive(Clone, Debug)]
pub(super) struct QkRotation {
    pub(super) pairing: Pairing,
    pub(super) query: Angles,
    pub(super) key: Angles,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    pub(super) span: Span,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    /// Number and first position of the queries.
    pub(super) queries: usize,
    pub(super) first_query: usize,
    /// Number and first position of the keys.
    pub(super) keys: usize,
    pub(super) first_key: usize,
    pub(super) scale: f64,
    /// The turns that the program reads.
    pub(super) rotations: Vec<QkRotation>,
    pub(super) score: Score,
    program: Program,
    /// Table of the factor of each query's raw scores.
    pub(super) query_scale: Option<usize>,
    pub(super) constants: ParamValues,
    /// Whether the score hides a whole tile, whatever is learned: \[blocks, tiles\]; empty if it never does.
    hidden: Vec<bool>,
    /// Values of the tables that nothing learned enters.
    pub(super) ready: Vec<Option<Lanes>>,
}

impl Deref for Compiled {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.program
    }
}

impl Compiled {
    pub(crate) fn new(tables: &Tables) -> Result<Compiled> {
        let (plan, geometry, constants) = (tables.plan(), tables.geometry(), tables.constants());
        let mut builder = Program::builder(constants, tables.is_regular(), Learned::Tabulated);
        let bias = match tables.bias() {
            Bias::None => Some(None),
            Bias::Constant(_) | Bias::Learned(_) => plan.score.additive_bias().map(Some),
            Bias::General(_) | Bias::NotAdditive => None,
        };
        let score = match bias {
            None => {
                builder.lower(&plan.score.simplified())?;
                Score::Program
            }
            Some(None) => {
                builder.turn(0);
                Score::Raw
            }
            Some(Some(bias)) => {
                builder.turn(0);
                Score::Biased(builder.table(&bias, Axis::Distance))
            }
        };
        let query_scale = plan.query_scale.as_ref();
        let query_scale = query_scale.map(|scale| builder.table(scale, Axis::Query));
        let program = builder.done();
        let rotation = |turn: &usize| match tables.rotations().get(*turn) {
            Some(turn) => QkRotation {
                pairing: turn.pairing,
                query: Angles::new(&turn.query),
                key: Angles::new(&turn.key),
            },
            // A plan without turns has one raw score, without rotation.
            None => QkRotation {
                pairing: Pairing::HalfSplit,
                query: Angles::none(),
                key: Angles::none(),
            },
        };
        let ready = |table: &Tabled| match table.learned {
            true => Ok(None),
            false => tabulate(tables, table, constants).map(Some),
        };
        Ok(Compiled {
            span: tables.span().clone(),
            heads: geometry.heads,
            kv_heads: geometry.kv_heads,
            head_dim: geometry.head_dim,
            queries: tables.queries().len(),
            first_query: tables.queries().start,
            keys: tables.keys().len(),
            first_key: tables.keys().start,
            scale: tables.scale(),
            rotations: program.turns.iter().map(rotation).collect(),
            score,
            ready: program.tables.iter().map(ready).collect::<Result<_>>()?,
            program,
            query_scale,
            constants: constants.clone(),
            hidden: hidden_tiles(tables, ROWS, KEYS),
        })
    }

    /// Whether the score hides all keys of the tile that starts at key number `key` from the block of queries that
    /// starts at number `row`.
    #[inline(always)]
    pub(super) fn hides(&self, row: usize, key: usize) -> bool {
        !self.hidden.is_empty() && self.hidden[row / ROWS * self.keys.div_ceil(KEYS) + key / KEYS]
    }

    /// Query heads that read one key/value head.
    pub(super) fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Places of a table, without padding.
    pub(super) fn places(&self, axis: Axis) -> usize {
        Places::count(axis, self.queries, self.keys)
    }

    /// Place in a table by distance of a query and a key, given by number.
    #[inline(always)]
    pub(super) fn distance(&self, query: usize, key: usize) -> usize {
        self.queries - 1 + key - query
    }

    /// Places of a table, with room for the whole tile that the last key lies in.
    pub(super) fn padded_places(&self, axis: Axis) -> usize {
        padded_places(axis, self.queries, self.keys)
    }
}
