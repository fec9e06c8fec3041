//! A plan made ready for the kernel: f32 tables of the rotations, and the score as a short program.
//!
//! Every part of the score that depends on one thing only (the query's position, the key's, their distance, or none) is
//! a table, computed in f64 once per call and head. What remains is a list of steps on rows of keys. Learned parameters
//! enter through tables, or through a lookup or network whose input is no table; the kernel adds up one gradient per
//! place of a table, and the chain rule back to the parameters happens in f64 afterwards.

use super::columns::{Column, Columns, Places};
use super::product::LANES;
use super::rotate::Angles;
use super::tile::ROWS;
use crate::expr::{Binary, Expr, ParamValues, Side, Tile, Unary};
use crate::plan::Pairing;
use crate::prepared::{Bias, Prepared};
use crate::{Error, Result};
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
    /// A network; its w1, b1, w2, b2 follow each other in [`Compiled::weights`].
    Net {
        first: usize,
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
pub(super) struct Turn {
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
    reach: f64,
    pub(super) scale: f64,
    pub(super) turns: Vec<Turn>,
    pub(super) score: Score,
    pub(super) steps: Vec<Step>,
    pub(super) tables: Vec<Table>,
    /// Table of the factor of each query's raw scores.
    pub(super) query_scale: Option<usize>,
    /// Parameters that steps read directly, and whether they are learned.
    pub(super) weights: Vec<(String, bool)>,
    constants: ParamValues,
    /// Whether the score hides a whole tile, whatever is learned: \[blocks, tiles\]; empty if it never does.
    hidden: Vec<bool>,
    /// Values of the tables that nothing learned enters.
    ready: Vec<Option<Lanes>>,
}

/// Values of a table in f32: one row for all heads or one per head, and per batch entry for token vectors, padded so
/// that whole tiles may be read.
#[derive(Clone, Debug, Default)]
pub(super) struct Lanes {
    values: Vec<f32>,
    /// From one batch entry to the next, and from one head to the next; 0 where all share.
    strides: (usize, usize),
    len: usize,
}

impl Lanes {
    pub(super) fn row(&self, batch: usize, head: usize) -> &[f32] {
        &self.values[batch * self.strides.0 + head * self.strides.1..][..self.len]
    }
}

/// Parameters and tables of one call.
#[derive(Debug)]
pub(super) struct Values {
    pub(super) params: ParamValues,
    pub(super) tables: Vec<Lanes>,
    pub(super) weights: Vec<Vec<f32>>,
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
            turns: Vec::new(),
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
                builder.turns.push(0);
                Score::Raw
            }
            Some(Some(bias)) => {
                builder.turns.push(0);
                Score::Biased(builder.table(&bias, Axis::Distance))
            }
        };
        let query_scale = plan
            .query_scale
            .as_ref()
            .map(|scale| builder.table(scale, Axis::Query));
        let turns = builder
            .turns
            .iter()
            .map(|turn| match prepared.turns().get(*turn) {
                Some(turn) => Turn {
                    pairing: turn.pairing,
                    query: Angles::new(&turn.query),
                    key: Angles::new(&turn.key),
                },
                // A plan without turns has one raw score, without rotation.
                None => Turn {
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
            reach: prepared.reach(),
            scale: prepared.scale(),
            turns: turns.collect(),
            score,
            steps: builder.steps,
            tables: builder.tables,
            query_scale,
            weights: builder.weights,
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

    /// Values for a call; `learned` holds the parameters that are not constants of the plan.
    pub(super) fn values(&self, learned: ParamValues) -> Result<Values> {
        let mut params = self.constants.clone();
        params.extend(learned);
        let table = |(table, ready): (&Table, &Option<Lanes>)| match (ready, &table.token) {
            (Some(ready), _) => Ok(ready.clone()),
            (None, Some(name)) => self.token_lanes(table, name, &params),
            (None, None) => self.tabulate(table, &params),
        };
        let tables = self
            .tables
            .iter()
            .zip(&self.ready)
            .map(table)
            .collect::<Result<_>>()?;
        let weight = |(name, _): &(String, bool)| match params.get(name) {
            Some(values) => Ok(values.iter().map(|x| *x as f32).collect()),
            None => Err(Error::expr(format!("no parameter {name:?}"))),
        };
        let weights = self.weights.iter().map(weight).collect::<Result<_>>()?;
        Ok(Values {
            params,
            tables,
            weights,
        })
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

    fn positions(&self, axis: Axis) -> Places {
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

    fn columns<'a>(&self, places: &'a Places, head: usize, params: &'a ParamValues) -> Columns<'a> {
        Columns {
            places,
            n: self.reach,
            head,
            heads: self.heads,
            params,
        }
    }

    fn tabulate(&self, table: &Table, params: &ParamValues) -> Result<Lanes> {
        let places = self.positions(table.axis);
        let len = self.padded_places(table.axis);
        let rows = if table.per_head { self.heads } else { 1 };
        let mut values = vec![0.0; rows * len];
        for (head, row) in values.chunks_exact_mut(len.max(1)).enumerate() {
            let column: Column = self.columns(&places, head, params).eval(&table.expr)?;
            for (place, x) in row[..places.i.len()].iter_mut().enumerate() {
                *x = column.at(place) as f32;
            }
        }
        let strides = (0, if table.per_head { len } else { 0 });
        Ok(Lanes {
            values,
            strides,
            len,
        })
    }

    /// A token vector (batch, heads, places) with its rows padded.
    fn token_lanes(&self, table: &Table, name: &str, params: &ParamValues) -> Result<Lanes> {
        let (places, len) = (self.places(table.axis), self.padded_places(table.axis));
        let given = params.get(name).map_or(&[][..], Vec::as_slice);
        let per_entry = (self.heads * places).max(1);
        if given.is_empty() || !given.len().is_multiple_of(per_entry) {
            let why = format!(
                "token vector {name}: expected {} heads of {places} values per batch entry, found {} values",
                self.heads,
                given.len()
            );
            return Err(Error::expr(why));
        }
        let mut values = vec![0.0; given.len() / places * len];
        let rows = values.chunks_exact_mut(len).zip(given.chunks_exact(places));
        for (row, given) in rows {
            row.iter_mut()
                .zip(given)
                .for_each(|(x, given)| *x = *given as f32);
        }
        Ok(Lanes {
            values,
            strides: (self.heads * len, len),
            len,
        })
    }

    /// Adds to `into` what the gradients of a table's places (one row per head) say about the parameters.
    pub(super) fn chain(
        &self,
        table: &Table,
        mut sums: Vec<Vec<f64>>,
        params: &ParamValues,
        into: &mut ParamValues,
    ) -> Result<()> {
        let places = self.positions(table.axis);
        if !table.per_head {
            // All heads read the same values.
            for head in 1..sums.len() {
                let (first, rest) = sums.split_at_mut(head);
                first[0]
                    .iter_mut()
                    .zip(&rest[0])
                    .for_each(|(sum, x)| *sum += x);
            }
            sums.truncate(1);
        }
        for (head, mut sums) in sums.into_iter().enumerate() {
            sums.truncate(places.i.len());
            self.columns(&places, head, params)
                .backward(&table.expr, sums, into)?;
        }
        Ok(())
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

struct Builder<'a> {
    constants: &'a ParamValues,
    /// Whether equal distances in tokens are equal distances in positions.
    regular: bool,
    /// The expression that each step computes.
    exprs: Vec<Expr>,
    steps: Vec<Step>,
    tables: Vec<Table>,
    weights: Vec<(String, bool)>,
    /// Numbers of the turns in use.
    turns: Vec<usize>,
}

impl Builder<'_> {
    /// The step that computes `expr`; equal expressions share one.
    fn lower(&mut self, expr: &Expr) -> Result<usize> {
        if let Some(step) = self.exprs.iter().position(|known| known == expr) {
            return Ok(step);
        }
        let step = match axis(expr) {
            Some(Axis::Distance) if !self.regular => self.step(expr)?,
            Some(axis) => Step::Table(self.table(expr, axis)),
            None => self.step(expr)?,
        };
        self.exprs.push(expr.clone());
        self.steps.push(step);
        Ok(self.steps.len() - 1)
    }

    fn step(&mut self, expr: &Expr) -> Result<Step> {
        Ok(match expr {
            Expr::Raw(turn) => {
                let known = self.turns.iter().position(|known| known == turn);
                Step::Raw(known.unwrap_or_else(|| {
                    self.turns.push(*turn);
                    self.turns.len() - 1
                }))
            }
            Expr::Unary(op, x) => Step::Unary(*op, self.lower(x)?),
            Expr::Binary(op, x, y) => Step::Binary(*op, self.lower(x)?, self.lower(y)?),
            Expr::Select {
                a,
                b,
                then,
                otherwise,
            } => Step::Select {
                a: self.lower(a)?,
                b: self.lower(b)?,
                then: self.lower(then)?,
                otherwise: self.lower(otherwise)?,
            },
            Expr::Lookup {
                table,
                per_head,
                index,
            } => Step::Lookup {
                index: self.lower(index)?,
                weight: self.weight(table),
                per_head: *per_head,
            },
            Expr::Net { name, input } => {
                let input = self.lower(input)?;
                let parts = ["w1", "b1", "w2", "b2"].map(|part| format!("{name}.{part}"));
                let first = match self
                    .weights
                    .iter()
                    .position(|(known, _)| *known == parts[0])
                {
                    // A lookup in a part of a network would break the row of four.
                    Some(first) if self.weights.get(first + 3).is_some_and(|w| w.0 == parts[3]) => {
                        first
                    }
                    _ => {
                        let first = self.weights.len();
                        for part in parts {
                            let learned = !self.constants.contains_key(&part);
                            self.weights.push((part, learned));
                        }
                        first
                    }
                };
                Step::Net { first, input }
            }
            leaf => {
                return Err(Error::expr(format!(
                    "{leaf} is not known to the fused kernel"
                )));
            }
        })
    }

    fn weight(&mut self, name: &str) -> usize {
        if let Some(place) = self.weights.iter().position(|(known, _)| known == name) {
            return place;
        }
        self.weights
            .push((name.to_string(), !self.constants.contains_key(name)));
        self.weights.len() - 1
    }

    fn table(&mut self, expr: &Expr, axis: Axis) -> usize {
        let learned = |name: &String| !self.constants.contains_key(name);
        self.tables.push(Table {
            expr: expr.clone(),
            axis,
            per_head: expr.depends_on_head(),
            learned: expr.param_names().iter().any(learned) || !expr.token_names().is_empty(),
            token: match expr {
                Expr::Token(name, side) => Some(format!("{name}@{side}")),
                _ => None,
            },
        });
        self.tables.len() - 1
    }
}

/// The one thing that an expression depends on; `None` if it is more than one.
fn axis(expr: &Expr) -> Option<Axis> {
    match expr {
        Expr::Token(_, Side::Query) => return Some(Axis::Query),
        Expr::Token(_, Side::Key) => return Some(Axis::Key),
        _ if expr.any(&|part| matches!(part, Expr::Raw(_) | Expr::Token(..))) => return None,
        _ => {}
    }
    let reads = |atom: &Expr| expr.any(&|part| part == atom);
    match (reads(&Expr::Query), reads(&Expr::Key)) {
        (false, false) => Some(Axis::Fixed),
        (true, false) => Some(Axis::Query),
        (false, true) => Some(Axis::Key),
        (true, true) => expr.is_shift_invariant().then_some(Axis::Distance),
    }
}
