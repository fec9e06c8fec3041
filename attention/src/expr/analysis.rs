//! What can be told from looking at an expression: does it depend on positions only through q − k, is it constant or
//! hidden on a tile. Kernels skip work by it. All answers err on the safe side.

use super::eval::{Env, ParamValues, TokenValues};
use super::{Binary, Expr, Side, Unary};
use crate::Result;
use std::ops::Range;
use std::sync::Arc;

/// How a value depends on the two positions.
#[derive(Clone, Copy, PartialEq)]
enum Dependence {
    /// `q · a + k · b +` something that no position enters.
    Linear(f64, f64),
    /// Any other way.
    Other,
}

impl Expr {
    /// Whether the value depends on positions only through q − k (n counts as a constant: it is the same for all pairs
    /// of a call). Raw scores and parameters are taken as given numbers; token vectors break invariance.
    /// `false` may also mean that the simple rules here could not tell.
    pub fn is_shift_invariant(&self) -> bool {
        matches!(self.dependence(), Dependence::Linear(a, b) if a == -b)
    }

    fn dependence(&self) -> Dependence {
        use Dependence::{Linear, Other};
        let fixed = Linear(0.0, 0.0);
        let invariant = |parts: &[&Expr]| {
            if parts.iter().all(|part| part.is_shift_invariant()) {
                fixed
            } else {
                Other
            }
        };
        match self {
            Expr::Query => Linear(1.0, 0.0),
            Expr::Key => Linear(0.0, 1.0),
            Expr::Number(_) | Expr::Raw(_) | Expr::Reach | Expr::Param(_) => fixed,
            Expr::Token(..) => Other,
            Expr::Unary(Unary::Neg, x) => match x.dependence() {
                Linear(a, b) => Linear(-a, -b),
                Other => Other,
            },
            Expr::Binary(op @ (Binary::Add | Binary::Sub), x, y) => {
                let sign = if *op == Binary::Add { 1.0 } else { -1.0 };
                match (x.dependence(), y.dependence()) {
                    (Linear(a, b), Linear(c, d)) => Linear(a + sign * c, b + sign * d),
                    _ => Other,
                }
            }
            Expr::Binary(op @ (Binary::Mul | Binary::Div), x, y) => match (op, &**x, &**y) {
                (Binary::Mul, Expr::Number(c), z) | (Binary::Mul, z, Expr::Number(c)) => {
                    scaled(z.dependence(), *c)
                }
                (Binary::Div, z, Expr::Number(c)) => scaled(z.dependence(), 1.0 / c),
                _ => invariant(&[x, y]),
            },
            _ => invariant(&self.children()),
        }
    }

    /// Token vectors that it reads, and at which end, each once.
    pub fn token_names(&self) -> Vec<(Arc<str>, Side)> {
        let mut names = Vec::new();
        self.collect_tokens(&mut names);
        names
    }

    fn collect_tokens(&self, into: &mut Vec<(Arc<str>, Side)>) {
        match self {
            Expr::Token(name, side) if !into.contains(&(name.clone(), *side)) => {
                into.push((name.clone(), *side));
            }
            _ => self
                .children()
                .iter()
                .for_each(|child| child.collect_tokens(into)),
        }
    }

    /// Whether any raw score enters.
    pub fn has_raw(&self) -> bool {
        self.any(&|part| matches!(part, Expr::Raw(_)))
    }

    /// Whether any position enters (n is none).
    pub fn has_position(&self) -> bool {
        self.any(&|part| matches!(part, Expr::Query | Expr::Key))
    }

    /// Whether different heads may see different values, raw scores aside.
    pub fn depends_on_head(&self) -> bool {
        self.any(&|part| match part {
            Expr::Lookup { per_head, .. } => *per_head,
            Expr::Param(_) | Expr::Net { .. } | Expr::Token(..) => true,
            _ => false,
        })
    }

    /// Names of the parameters that enter, each once, sorted; those of a network in full.
    pub fn param_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.collect_names(&mut names);
        names.sort();
        names.dedup();
        names
    }

    fn collect_names(&self, into: &mut Vec<String>) {
        match self {
            Expr::Param(name) => into.push(name.to_string()),
            Expr::Lookup { table, .. } => into.push(table.to_string()),
            Expr::Net { name, .. } => {
                into.extend(["w1", "b1", "w2", "b2"].map(|part| format!("{name}.{part}")));
            }
            _ => {}
        }
        for child in self.children() {
            child.collect_names(into);
        }
    }

    /// Number of raw scores that the expression asks for: one more than the largest index, 0 if it has none.
    pub fn raw_count(&self) -> usize {
        let own = if let Expr::Raw(turn) = self {
            turn + 1
        } else {
            0
        };
        self.children()
            .iter()
            .map(|child| child.raw_count())
            .fold(own, usize::max)
    }

    /// `bias` such that the expression is `raw + bias` and no raw score enters `bias`; `None` if it is not so built.
    pub fn additive_bias(&self) -> Option<Expr> {
        fn split(expr: &Expr) -> Option<Expr> {
            match expr {
                Expr::Raw(0) => Some(Expr::Number(0.0)),
                Expr::Binary(Binary::Add, x, y) if !y.has_raw() => Some(split(x)? + (**y).clone()),
                Expr::Binary(Binary::Add, x, y) if !x.has_raw() => Some((**x).clone() + split(y)?),
                Expr::Binary(Binary::Sub, x, y) if !y.has_raw() => Some(split(x)? - (**y).clone()),
                _ => None,
            }
        }
        Some(split(self)?.simplified())
    }

    /// Values of a shift-invariant expression without raw scores at each q − k of `distances`, for one head.
    /// `n` is the number of positions in use.
    pub fn toeplitz(
        &self,
        distances: Range<i64>,
        n: f64,
        (head, heads): (usize, usize),
        params: &ParamValues,
    ) -> Result<Vec<f64>> {
        let tokens = TokenValues::new();
        let at = |distance: i64| {
            let (i, j) = (distance.max(0) as f64, (-distance).max(0) as f64);
            self.eval(&Env {
                i,
                j,
                n,
                head,
                heads,
                raw: &[],
                params,
                tokens: &tokens,
            })
        };
        distances.map(at).collect()
    }
}

fn scaled(of: Dependence, by: f64) -> Dependence {
    match of {
        Dependence::Linear(a, b) if by.is_finite() => Dependence::Linear(a * by, b * by),
        // Without positions the factor does not matter.
        Dependence::Linear(0.0, 0.0) => of,
        _ => Dependence::Other,
    }
}

/// A rectangle of (query, key) pairs.
#[derive(Clone, Debug)]
pub struct Tile {
    /// Absolute indices of the queries; not empty.
    pub queries: Range<usize>,
    /// Absolute indices of the keys; not empty.
    pub keys: Range<usize>,
    /// Whether pairs with a key after the query are out of interest.
    pub causal: bool,
}

/// All values lie in \[low, high\]; NaN may occur besides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Not above any value.
    pub low: f64,
    /// Not below any value.
    pub high: f64,
}

impl Interval {
    /// Any finite number.
    pub const FINITE: Interval = Interval {
        low: f64::MIN,
        high: f64::MAX,
    };
    /// Any number.
    pub const ANY: Interval = Interval {
        low: f64::NEG_INFINITY,
        high: f64::INFINITY,
    };

    /// One number.
    pub fn point(x: f64) -> Interval {
        if x.is_nan() {
            Interval::ANY
        } else {
            Interval { low: x, high: x }
        }
    }

    /// Whether every value is −∞.
    pub fn is_hidden(self) -> bool {
        self.high == f64::NEG_INFINITY
    }

    /// Whether there is only one value.
    pub fn is_constant(self) -> bool {
        self.low == self.high
    }

    fn hull(values: &[f64]) -> Interval {
        if values.iter().any(|x| x.is_nan()) {
            return Interval::ANY;
        }
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        Interval {
            low,
            high: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

impl Expr {
    /// Bounds of the value over a tile, for finite raw scores. `n` is the number of positions in use; parameters are
    /// bounded by the values given for them (all heads together), or any finite number where none are given.
    pub fn bounds(&self, tile: &Tile, n: usize, params: &ParamValues) -> Interval {
        let of = |part: &Expr| part.bounds(tile, n, params);
        match self {
            Expr::Number(x) => Interval::point(*x),
            Expr::Raw(_) | Expr::Token(..) => Interval::FINITE,
            Expr::Net { .. } => Interval::ANY,
            Expr::Query => ends(&tile.queries),
            Expr::Key => ends(&tile.keys),
            Expr::Reach => Interval::point(n as f64),
            Expr::Param(name) | Expr::Lookup { table: name, .. } => match params.get(&**name) {
                Some(values) if !values.is_empty() => Interval::hull(values),
                _ => Interval::FINITE,
            },
            Expr::Unary(op, x) => unary_bounds(*op, of(x)),
            Expr::Binary(Binary::Sub, x, y) if (&**x, &**y) == (&Expr::Query, &Expr::Key) => {
                let all = binary_bounds(Binary::Sub, of(x), of(y));
                let low = if tile.causal {
                    all.low.max(0.0)
                } else {
                    all.low
                };
                // A tile wholly behind the mask has no pair of interest; any bounds hold.
                Interval {
                    low,
                    high: all.high.max(low),
                }
            }
            Expr::Binary(op, x, y) => binary_bounds(*op, of(x), of(y)),
            Expr::Select {
                a,
                b,
                then,
                otherwise,
            } => {
                let (a, b) = (of(a), of(b));
                if a.high < b.low && self.comparison_is_sure() {
                    of(then)
                } else if a.low >= b.high {
                    of(otherwise)
                } else {
                    let (x, y) = (of(then), of(otherwise));
                    Interval {
                        low: x.low.min(y.low),
                        high: x.high.max(y.high),
                    }
                }
            }
        }
    }

    /// Whether a comparison cannot see NaN, which would send it to `otherwise` against the bounds: true without raw
    /// scores and token vectors.
    fn comparison_is_sure(&self) -> bool {
        let Expr::Select { a, b, .. } = self else {
            return false;
        };
        let unsure =
            |part: &Expr| matches!(part, Expr::Raw(_) | Expr::Token(..) | Expr::Net { .. });
        !a.any(&unsure) && !b.any(&unsure)
    }
}

fn ends(range: &Range<usize>) -> Interval {
    Interval {
        low: range.start as f64,
        high: range.end.saturating_sub(1) as f64,
    }
}

fn unary_bounds(op: Unary, x: Interval) -> Interval {
    let at_ends = Interval::hull(&[op.apply(x.low), op.apply(x.high)]);
    match op {
        Unary::Abs if x.low < 0.0 && x.high > 0.0 => Interval {
            low: 0.0,
            ..at_ends
        },
        Unary::Cos if x.is_constant() => at_ends,
        Unary::Cos => Interval {
            low: -1.0,
            high: 1.0,
        },
        // The other ones never fall; outside of their domain the hull is already `ANY`.
        _ => at_ends,
    }
}

fn binary_bounds(op: Binary, x: Interval, y: Interval) -> Interval {
    let corners = [
        (x.low, y.low),
        (x.low, y.high),
        (x.high, y.low),
        (x.high, y.high),
    ];
    let hull = Interval::hull(&corners.map(|(x, y)| op.apply(x, y)));
    match op {
        Binary::Add => Interval {
            low: known(x.low + y.low, false),
            high: known(x.high + y.high, true),
        },
        Binary::Sub => Interval {
            low: known(x.low - y.high, false),
            high: known(x.high - y.low, true),
        },
        Binary::Min | Binary::Max => hull,
        // 0 · ∞ inside of the range is NaN, which bounds do not speak of; at a corner the hull is already `ANY`.
        Binary::Mul => hull,
        Binary::Div if y.low <= 0.0 && y.high >= 0.0 => Interval::ANY,
        Binary::Div => hull,
        // x^y rises or falls in each argument for x > 0, but turns where x crosses 1 or y crosses 0, and is 0 at 0.
        Binary::Pow if x.low > 0.0 => hull,
        Binary::Pow => Interval {
            low: 0.0,
            high: f64::INFINITY,
        },
    }
}

/// −∞ + ∞ is unknown: the widest bound.
fn known(bound: f64, upper: bool) -> f64 {
    match (bound.is_nan(), upper) {
        (false, _) => bound,
        (true, true) => f64::INFINITY,
        (true, false) => f64::NEG_INFINITY,
    }
}

#[cfg(test)]
mod tests;
