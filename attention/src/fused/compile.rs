//! A plan made ready for the kernel: f32 tables of the rotations, and the score as a short program.
//!
//! Every part of the score that depends on one thing only (the query's position, the key's, their distance, or none) is
//! a table, computed in f64 once per call and head. What remains is a list of steps on rows of keys. Learned parameters
//! enter through tables, or through a lookup or network whose input is no table; the kernel adds up one gradient per
//! place of a table, and the chain rule back to the parameters happens in f64 afterwards.

use super::columns::{Columns, Places};
use super::lower::Builder;
use super::product::LANES;
use super::rotate::Angles;
use super::tile::ROWS;
use super::values::Lanes;
use crate::Result;
use crate::expr::{Binary, Expr, ParamValues, Tile, Unary};
use crate::plan::Pairing;
use crate::prepared::{Bias, Prepared};
use std::ops::Range;

/// Keys of one tile.
pub(super) const KEYS: usize = 128;

/// What a table is indexed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    /// Nothing: one value.
    Fixed,
    /// Query.
    Query,
    /// Key.
    Key,
    /// Key minus query, from the smallest, so that neighbouring keys are neighbours in the table.
    Distance,
}

/// A part of the score that depends on one thing only.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) expr: Expr,
    pub(super) axis: Axis,
    /// Whether heads have values of their own.
    pub(super) per_head: bool,
    /// Whether a learned parameter enters, or a token vector.
    pub(super) learned: bool,
    /// Name of the token vector that it is, `name@q` or `name@k`; such a table has values for each batch entry.
    pub(super) token: Option<String>,
}

/// One step of the score on a row of keys; operands are numbers of earlier steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// Values of a table.
    Table(usize),
    /// Raw score of the turn of this number among those in use.
    Raw(usize),
    Unary(Unary, usize),
    Binary(Binary, usize, usize),
    /// a < b ? then : otherwise
    Select {
        a: usize,
        b: usize,
        then: usize,
        otherwise: usize,
    },
    /// A row of a parameter, by number among [`Compiled::weights`].
    Lookup {
        weight: usize,
        per_head: bool,
        index: usize,
    },
    /// A network, by number among [`Compiled::networks`].
    Net {
        network: usize,
        input: usize,
    },
}

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
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    /// Number and first position of the queries.
    pub(super) queries: usize,
    pub(super) first_query: usize,
    /// Number and first position of the keys.
    pub(super) keys: usize,
    pub(super) first_key: usize,
    /// Position of each token, if it is not the token's index.
    positions: Option<Vec<f64>>,
    context_len: f64,
    pub(super) scale: f64,
    pub(super) rotations: Vec<QkRotation>,
    pub(super) score: Score,
    pub(super) steps: Vec<Step>,
    pub(super) tables: Vec<Table>,
    /// Table of the factor of each query's raw scores.
    pub(super) query_scale: Option<usize>,
    /// Parameters that steps read directly, and whether they are learned.
    pub(super) weights: Vec<(String, bool)>,
    /// Numbers of the networks' first weights: w1, b1, w2, b2 follow each other.
    pub(super) networks: Vec<usize>,
    pub(super) constants: ParamValues,
    /// Whether the score hides a whole tile, whatever is learned: \[blocks, tiles\]; empty if it never does.
    hidden: Vec<bool>,
    /// Values of the tables that nothing learned enters.
    pub(super) ready: Vec<Option<Lanes>>,
}

impl Compiled {
    pub(crate) fn new(prepared: &Prepared) -> Result<Compiled> {
        let plan = prepared.plan();
        let geometry = prepared.geometry();
        let mut builder = Builder {
            constants: prepared.constants(),
            regular: prepared.is_regular(),
            exprs: Vec::new(),
            steps: Vec::new(),
            tables: Vec::new(),
            weights: Vec::new(),
            networks: Vec::new(),
            rotations: Vec::new(),
        };
        let bias = match prepared.bias() {
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
                builder.rotations.push(0);
                Score::Raw
            }
            Some(Some(bias)) => {
                builder.rotations.push(0);
                Score::Biased(builder.table(&bias, Axis::Distance))
            }
        };
        let query_scale = plan
            .query_scale
            .as_ref()
            .map(|scale| builder.table(scale, Axis::Query));
        let rotations =
            builder
                .rotations
                .iter()
                .map(|turn| match prepared.rotations().get(*turn) {
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
                });
        let mut compiled = Compiled {
            heads: geometry.heads,
            kv_heads: geometry.kv_heads,
            head_dim: geometry.head_dim,
            queries: prepared.queries().len(),
            first_query: prepared.queries().start,
            keys: prepared.keys().len(),
            first_key: prepared.keys().start,
            positions: (!prepared.is_regular()).then(|| {
                (0..prepared.tokens())
                    .map(|t| prepared.position(t))
                    .collect()
            }),
            context_len: prepared.context_len(),
            scale: prepared.scale(),
            rotations: rotations.collect(),
            score,
            steps: builder.steps,
            tables: builder.tables,
            query_scale,
            weights: builder.weights,
            networks: builder.networks,
            constants: prepared.constants().clone(),
            hidden: hidden_tiles(prepared),
            ready: Vec::new(),
        };
        let ready = |table: &Table| match table.learned {
            true => Ok(None),
            false => compiled.tabulate(table, &compiled.constants).map(Some),
        };
        compiled.ready = compiled.tables.iter().map(ready).collect::<Result<_>>()?;
        Ok(compiled)
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
        match axis {
            Axis::Fixed => 1,
            Axis::Query => self.queries,
            Axis::Key => self.keys,
            Axis::Distance => (self.queries + self.keys).saturating_sub(1),
        }
    }

    /// Place in a table by distance of a query and a key, given by number.
    #[inline(always)]
    pub(super) fn distance(&self, query: usize, key: usize) -> usize {
        self.queries - 1 + key - query
    }

    /// Places of a table, with room for the whole tile that the last key lies in.
    pub(super) fn padded_places(&self, axis: Axis) -> usize {
        match axis {
            Axis::Fixed | Axis::Query => self.places(axis),
            Axis::Key | Axis::Distance => self.places(axis) + KEYS + 2 * LANES,
        }
    }

    pub(super) fn positions(&self, axis: Axis) -> Places {
        let position = |t: usize| self.positions.as_ref().map_or(t as f64, |at| at[t]);
        let range = |first: usize, n: usize| (first..first + n).map(position).collect();
        let n = self.places(axis);
        match axis {
            Axis::Fixed => Places {
                i: vec![0.0],
                j: vec![0.0],
            },
            Axis::Query => Places {
                i: range(self.first_query, n),
                j: vec![0.0; n],
            },
            Axis::Key => Places {
                i: vec![0.0; n],
                j: range(self.first_key, n),
            },
            Axis::Distance => {
                // Positions are far below 2⁵³.
                let last = (self.first_query + self.queries) as f64 - 1.0 - self.first_key as f64;
                let distance = (0..n).map(|place| last - place as f64);
                let (i, j) = distance.map(|x| (x.max(0.0), (-x).max(0.0))).unzip();
                Places { i, j }
            }
        }
    }

    pub(super) fn columns<'a>(
        &self,
        places: &'a Places,
        head: usize,
        params: &'a ParamValues,
    ) -> Columns<'a> {
        Columns {
            places,
            n: self.context_len,
            head,
            heads: self.heads,
            params,
        }
    }
}

/// Which tiles the score hides, by the bounds of its value there.
fn hidden_tiles(prepared: &Prepared) -> Vec<bool> {
    let (queries, keys) = (prepared.queries(), prepared.keys());
    let score = &prepared.plan().score;
    let never = !score.any(&|part| *part == Expr::Number(f64::NEG_INFINITY));
    if never || !prepared.is_regular() {
        return Vec::new();
    }
    let ranges = |all: &Range<usize>, step: usize| {
        let end = all.end;
        all.clone()
            .step_by(step)
            .map(move |start| start..end.min(start + step))
            .collect::<Vec<_>>()
    };
    let (blocks, tiles) = (ranges(&queries, ROWS), ranges(&keys, KEYS));
    let hides = |queries: &Range<usize>, keys: &Range<usize>| {
        let tile = Tile {
            queries: queries.clone(),
            keys: keys.clone(),
            causal: false,
        };
        score
            .bounds(&tile, prepared.tokens(), prepared.constants())
            .is_hidden()
    };
    let hides = &hides;
    blocks
        .iter()
        .flat_map(|block| tiles.iter().map(move |tile| hides(block, tile)))
        .collect()
}
