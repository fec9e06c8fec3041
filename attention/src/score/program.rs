//! From a score to steps and tables.
//!
//! Every part of the score that depends on one thing only (the query's position, the key's, their distance, or none) is
//! a table. What remains is a list of steps on pairs.

use super::axis::{Axis, axis, reads_content, reads_learned};
use crate::expr::{Binary, Expr, ParamValues, Unary};
use crate::{Error, Result};

/// What tables may hold of what is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learned {
    /// Anything: tables are computed anew for each call, and the chain rule goes on from their places.
    Tabulated,
    /// Numbers as the caller gives them: a parameter of the head, a token vector.
    AsGiven,
}

/// A part of the score that depends on one thing only.
#[derive(Clone, Debug)]
pub(crate) struct Tabled {
    pub(crate) expr: Expr,
    pub(crate) axis: Axis,
    /// Whether heads have values of their own.
    pub(crate) per_head: bool,
    /// Whether a learned parameter enters, or a token vector.
    pub(crate) learned: bool,
    /// Name of the token vector that it is, `name@q` or `name@k`; such a table has values for each batch entry.
    pub(crate) token: Option<String>,
}

/// One step of the score of a pair; operands are numbers of earlier steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    /// Values of a table.
    Table(usize),
    /// Raw score of the turn of this number among [`Program::turns`].
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
    /// A row of a parameter, by number among [`Program::weights`].
    Lookup {
        weight: usize,
        per_head: bool,
        index: usize,
    },
    /// A network, by number among [`Program::networks`].
    Net {
        network: usize,
        input: usize,
    },
}

/// A compiled score.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    /// The last one is the score.
    pub(crate) steps: Vec<Step>,
    pub(crate) tables: Vec<Tabled>,
    /// Parameters that steps read directly, and whether they are learned.
    pub(crate) weights: Vec<(String, bool)>,
    /// Numbers of the networks' first weights: w1, b1, w2, b2 follow each other.
    pub(crate) networks: Vec<usize>,
    /// Numbers of the turns in use.
    pub(crate) turns: Vec<usize>,
}

/// Puts a program together.
#[derive(Debug)]
pub(crate) struct Builder<'a> {
    constants: &'a ParamValues,
    regular: bool,
    learned: Learned,
    /// The expression that each step computes.
    exprs: Vec<Expr>,
    program: Program,
}

impl Program {
    /// Of nothing yet. `regular` says whether equal distances in tokens are equal distances in positions.
    pub(crate) fn builder(constants: &ParamValues, regular: bool, learned: Learned) -> Builder<'_> {
        Builder {
            constants,
            regular,
            learned,
            exprs: Vec::new(),
            program: Program::default(),
        }
    }
}

impl Builder<'_> {
    /// The program.
    pub(crate) fn done(self) -> Program {
        self.program
    }

    /// The number of a turn among those in use.
    pub(crate) fn turn(&mut self, turn: usize) -> usize {
        let turns = &mut self.program.turns;
        turns
            .iter()
            .position(|known| *known == turn)
            .unwrap_or_else(|| {
                turns.push(turn);
                turns.len() - 1
            })
    }

    /// The step that computes `expr`; equal expressions share one.
    pub(crate) fn lower(&mut self, expr: &Expr) -> Result<usize> {
        if let Some(step) = self.exprs.iter().position(|known| known == expr) {
            return Ok(step);
        }
        let step = match self.axis(expr) {
            Some(axis) => Step::Table(self.table(expr, axis)),
            None => self.step(expr)?,
        };
        self.exprs.push(expr.clone());
        self.program.steps.push(step);
        Ok(self.exprs.len() - 1)
    }

    /// What a table of the expression is indexed by; `None` if it is to be none.
    fn axis(&self, expr: &Expr) -> Option<Axis> {
        let given = matches!(expr, Expr::Param(_) | Expr::Token(..));
        match self.learned {
            Learned::AsGiven if !given && self.reads_learned(expr) => None,
            _ => axis(expr, self.regular),
        }
    }

    fn reads_learned(&self, expr: &Expr) -> bool {
        reads_content(expr) || reads_learned(expr, self.constants)
    }

    /// The number of a new table of `expr` along `axis`.
    pub(crate) fn table(&mut self, expr: &Expr, axis: Axis) -> usize {
        let tabled = Tabled {
            expr: expr.clone(),
            axis,
            per_head: expr.depends_on_head(),
            learned: self.reads_learned(expr),
            token: match expr {
                Expr::Token(name, side) => Some(format!("{name}@{side}")),
                _ => None,
            },
        };
        self.program.tables.push(tabled);
        self.program.tables.len() - 1
    }

    fn step(&mut self, expr: &Expr) -> Result<Step> {
        Ok(match expr {
            Expr::Raw(turn) => Step::Raw(self.turn(*turn)),
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
                return Err(Error::expr(format!("{leaf} is no step of a score")));
            }
        })
    }

    /// Number of a network. Its four weights stand together, even if a lookup reads one of them as well.
    fn network(&mut self, name: &str) -> usize {
        let parts = ["w1", "b1", "w2", "b2"].map(|part| format!("{name}.{part}"));
        let known = |first: &usize| {
            let weights = self.program.weights[*first..*first + 4].iter();
            weights.map(|(name, _)| name).eq(&parts)
        };
        if let Some(place) = self.program.networks.iter().position(known) {
            return place;
        }
        self.program.networks.push(self.program.weights.len());
        for part in parts {
            let learned = !self.constants.contains_key(&part);
            self.program.weights.push((part, learned));
        }
        self.program.networks.len() - 1
    }

    fn weight(&mut self, name: &str) -> usize {
        if let Some(place) = self
            .program
            .weights
            .iter()
            .position(|(known, _)| known == name)
        {
            return place;
        }
        self.program
            .weights
            .push((name.to_string(), !self.constants.contains_key(name)));
        self.program.weights.len() - 1
    }
}
