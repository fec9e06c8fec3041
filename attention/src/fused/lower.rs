//! From the score to steps and tables.

use super::compile::{Axis, Step, Table};
use crate::expr::{Expr, ParamValues, Side};
use crate::{Error, Result};

pub(super) struct Builder<'a> {
    pub(super) constants: &'a ParamValues,
    /// Whether equal distances in tokens are equal distances in positions.
    pub(super) regular: bool,
    /// The expression that each step computes.
    pub(super) exprs: Vec<Expr>,
    pub(super) steps: Vec<Step>,
    pub(super) tables: Vec<Table>,
    pub(super) weights: Vec<(String, bool)>,
    pub(super) networks: Vec<usize>,
    /// Numbers of the turns in use.
    pub(super) rotations: Vec<usize>,
}

impl Builder<'_> {
    /// The step that computes `expr`; equal expressions share one.
    pub(super) fn lower(&mut self, expr: &Expr) -> Result<usize> {
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
                let known = self.rotations.iter().position(|known| known == turn);
                Step::Raw(known.unwrap_or_else(|| {
                    self.rotations.push(*turn);
                    self.rotations.len() - 1
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
                Step::Net {
                    network: self.network(name),
                    input,
                }
            }
            leaf => {
                return Err(Error::expr(format!(
                    "{leaf} is not known to the fused kernel"
                )));
            }
        })
    }

    /// Number of a network. Its four weights stand together, even if a lookup reads one of them as well.
    fn network(&mut self, name: &str) -> usize {
        let parts = ["w1", "b1", "w2", "b2"].map(|part| format!("{name}.{part}"));
        let known = |first: &usize| {
            let weights = self.weights[*first..*first + 4].iter();
            weights.map(|(name, _)| name).eq(&parts)
        };
        if let Some(place) = self.networks.iter().position(known) {
            return place;
        }
        self.networks.push(self.weights.len());
        for part in parts {
            let learned = !self.constants.contains_key(&part);
            self.weights.push((part, learned));
        }
        self.networks.len() - 1
    }

    fn weight(&mut self, name: &str) -> usize {
        if let Some(place) = self.weights.iter().position(|(known, _)| known == name) {
            return place;
        }
        self.weights
            .push((name.to_string(), !self.constants.contains_key(name)));
        self.weights.len() - 1
    }

    pub(super) fn table(&mut self, expr: &Expr, axis: Axis) -> usize {
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
