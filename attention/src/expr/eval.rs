//! The meaning of an expression: one number in f64 for one (query, key) pair and head.
//!
//! Every kernel is compared with this.

use super::{Binary, Expr, Side, Unary};
use crate::{Error, Result};
use std::collections::BTreeMap;

/// Values of parameters by name, row-major in the shape that the plan gives.
pub type ParamValues = BTreeMap<String, Vec<f64>>;

/// Values of token vectors for one pair and head: at the query, at the key.
pub type TokenValues = BTreeMap<String, [f64; 2]>;

/// What an expression may look at.
#[derive(Clone, Copy, Debug)]
pub struct Env<'a> {
    /// Absolute index of the query.
    pub i: f64,
    /// Absolute index of the key.
    pub j: f64,
    /// Positions in use: largest index plus one.
    pub n: f64,
    /// The query's head.
    pub head: usize,
    /// Number of query heads.
    pub heads: usize,
    /// Raw scores, one per turn.
    pub raw: &'a [f64],
    /// Parameters.
    pub params: &'a ParamValues,
    /// Token vectors.
    pub tokens: &'a TokenValues,
}

impl Expr {
    /// The value in `env`. Fails only if the expression names what `env` lacks.
    pub fn eval(&self, env: &Env) -> Result<f64> {
        Ok(match self {
            Expr::Number(x) => *x,
            Expr::Raw(turn) => env.raw(*turn)?,
            Expr::Query => env.i,
            Expr::Key => env.j,
            Expr::Reach => env.n,
            Expr::Param(name) => env.param(name)?[env.per_head(name)?],
            Expr::Lookup {
                table,
                per_head,
                index,
            } => {
                let row = index.eval(env)?;
                env.param(table)?[env.cell(table, *per_head, row)?]
            }
            Expr::Token(name, side) => env.token(name)?[side.index()],
            Expr::Net { name, input } => {
                let x = input.eval(env)?;
                Network::of(name, env)?.value(x)
            }
            Expr::Unary(op, x) => op.apply(x.eval(env)?),
            Expr::Binary(op, x, y) => op.apply(x.eval(env)?, y.eval(env)?),
            Expr::Select {
                a,
                b,
                then,
                otherwise,
            } => {
                let chosen = if a.eval(env)? < b.eval(env)? {
                    then
                } else {
                    otherwise
                };
                chosen.eval(env)?
            }
        })
    }
}

impl Unary {
    /// f(x).
    pub fn apply(self, x: f64) -> f64 {
        match self {
            Unary::Neg => -x,
            Unary::Abs => x.abs(),
            Unary::Exp => x.exp(),
            Unary::Ln => x.ln(),
            Unary::Log1p => x.ln_1p(),
            Unary::Sqrt => x.sqrt(),
            Unary::Tanh => x.tanh(),
            Unary::Floor => x.floor(),
            Unary::Cos => x.cos(),
        }
    }
}

impl Binary {
    /// f(x, y). A NaN on either side gives a NaN.
    pub fn apply(self, x: f64, y: f64) -> f64 {
        match self {
            Binary::Add => x + y,
            Binary::Sub => x - y,
            Binary::Mul => x * y,
            Binary::Div => x / y,
            Binary::Min => numbers(x, y, x.min(y)),
            Binary::Max => numbers(x, y, x.max(y)),
            // A key behind the mask has a negative distance: harmless there, so 0 like at distance 0.
            Binary::Pow => numbers(x, y, if x > 0.0 { x.powf(y) } else { 0.0 }),
        }
    }
}

/// `value`, unless x or y is none.
fn numbers(x: f64, y: f64, value: f64) -> f64 {
    match x.is_nan() || y.is_nan() {
        true => f64::NAN,
        false => value,
    }
}

impl Side {
    /// Place in an array of \[query, key\].
    pub(crate) fn index(self) -> usize {
        match self {
            Side::Query => 0,
            Side::Key => 1,
        }
    }
}

impl<'a> Env<'a> {
    pub(super) fn raw(&self, turn: usize) -> Result<f64> {
        self.raw.get(turn).copied().ok_or_else(|| {
            Error::expr(format!(
                "raw score {turn} asked for, {} raw scores given",
                self.raw.len()
            ))
        })
    }

    pub(super) fn param(&self, name: &str) -> Result<&'a [f64]> {
        self.params.get(name).map(Vec::as_slice).ok_or_else(|| {
            let known: Vec<_> = self.params.keys().map(String::as_str).collect();
            Error::expr(format!(
                "no parameter {name:?}; given: {}",
                known.join(", ")
            ))
        })
    }

    pub(super) fn token(&self, name: &str) -> Result<[f64; 2]> {
        let known = || {
            self.tokens
                .keys()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let found = self.tokens.get(name).copied();
        found.ok_or_else(|| Error::expr(format!("no token vector {name:?}; given: {}", known())))
    }

    /// Place of `name[h]`.
    pub(super) fn per_head(&self, name: &str) -> Result<usize> {
        let len = self.param(name)?.len();
        if len != self.heads || self.head >= self.heads {
            let (head, heads) = (self.head, self.heads);
            let why = format!("{name}[h] at head {head} of {heads}: found {len} values");
            return Err(Error::expr(why));
        }
        Ok(self.head)
    }

    /// Place of `table[h, row]` or `table[row]`; rows out of range are clamped.
    pub(super) fn cell(&self, table: &str, per_head: bool, row: f64) -> Result<usize> {
        let len = self.param(table)?.len();
        let tables = if per_head { self.heads } else { 1 };
        if len == 0 || !len.is_multiple_of(tables) {
            let why = format!("table {table:?} of {len} values does not split over {tables} heads");
            return Err(Error::expr(why));
        }
        let rows = len / tables;
        // `as` sends NaN to 0 and clamps at 0 below.
        let row = (row.floor() as usize).min(rows - 1);
        Ok(if per_head {
            self.head * rows + row
        } else {
            row
        })
    }
}

/// The parameters of a [`Expr::Net`] as one head sees them.
pub(super) struct Network<'a> {
    pub(super) w1: &'a [f64],
    pub(super) b1: &'a [f64],
    pub(super) w2: &'a [f64],
    pub(super) b2: f64,
}

impl<'a> Network<'a> {
    pub(super) fn of(name: &str, env: &Env<'a>) -> Result<Network<'a>> {
        let w1 = env.param(&format!("{name}.w1"))?;
        let b1 = env.param(&format!("{name}.b1"))?;
        let w2 = env.param(&format!("{name}.w2"))?;
        let b2 = env.param(&format!("{name}.b2"))?;
        let hidden = w1.len();
        if b1.len() != hidden || w2.len() != hidden * env.heads || b2.len() != env.heads {
            let found = (b1.len(), w2.len(), b2.len());
            let why = format!(
                "net {name}: w1 has {hidden} values, so b1, w2, b2 must have {hidden}, {}, {}; found {found:?}",
                hidden * env.heads,
                env.heads
            );
            return Err(Error::expr(why));
        }
        let w2 = &w2[env.head * hidden..][..hidden];
        Ok(Network {
            w1,
            b1,
            w2,
            b2: b2[env.head],
        })
    }

    /// Activation of hidden unit `l`, before the rectifier.
    pub(super) fn before(&self, l: usize, x: f64) -> f64 {
        self.w1[l] * x + self.b1[l]
    }

    fn value(&self, x: f64) -> f64 {
        let sum: f64 = (0..self.w1.len())
            .map(|l| self.w2[l] * rectify(self.before(l, x)))
            .sum();
        sum + self.b2
    }
}

/// max(x, 0), but NaN stays NaN.
pub(super) fn rectify(x: f64) -> f64 {
    if x <= 0.0 { 0.0 } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_hand() {
        let params = ParamValues::from([
            ("slope".into(), vec![0.5, 0.25]),
            ("table".into(), vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
            ("f.w1".into(), vec![1.0, -1.0]),
            ("f.b1".into(), vec![0.0, 2.0]),
            ("f.w2".into(), vec![0.0, 0.0, 10.0, 100.0]),
            ("f.b2".into(), vec![0.0, 0.5]),
        ]);
        let tokens = TokenValues::from([("gate".into(), [7.0, 8.0])]);
        let raw = [1.5, -2.0];
        let env = Env {
            i: 9.0,
            j: 4.0,
            n: 16.0,
            head: 1,
            heads: 2,
            raw: &raw,
            params: &params,
            tokens: &tokens,
        };
        for (text, expected) in [
            ("raw - slope[h] * (q - k)", 1.5 - 0.25 * 5.0),
            ("raw1 / n", -2.0 / 16.0),
            ("table[h, 1.9]", 5.0),
            ("table[h, 99]", 6.0),
            ("table[h, -3]", 4.0),
            ("table[4]", 5.0),
            ("gate@q - gate@k", -1.0),
            ("net f(1)", 10.0 + 100.0 + 0.5),
            ("pow(0, -1)", 0.0),
            ("pow(2, 3)", 8.0),
            ("min(2, 3) + max(2, 3)", 5.0),
            ("select(q < k, inf, 2)", 2.0),
            (
                "floor(-0.5) + cos(0) + sqrt(4) + abs(-1) + exp(0) + ln(1) + log1p(0) + tanh(0)",
                4.0,
            ),
        ] {
            let found = text.parse::<Expr>().unwrap().eval(&env).unwrap();
            assert_eq!(found, expected, "{text}");
        }
        for (text, part) in [
            ("raw2", "raw score 2"),
            ("nope[h]", "no parameter \"nope\"; given: f.b1"),
            ("table[h]", "found 6 values"),
            ("x@q", "no token vector"),
        ] {
            let message = text
                .parse::<Expr>()
                .unwrap()
                .eval(&env)
                .unwrap_err()
                .to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
