//! What expressions are made of.

use std::fmt;
use std::sync::Arc;

/// Which end of a (query, key) pair a token vector is read at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// At the query.
    Query,
    /// At the key.
    Key,
}

/// One-argument operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unary {
    /// −x
    Neg,
    /// |x|; derivative 0 at 0
    Abs,
    /// eˣ
    Exp,
    /// Natural logarithm.
    Ln,
    /// ln(1 + x), exact near 0
    Log1p,
    /// √x
    Sqrt,
    /// Hyperbolic tangent.
    Tanh,
    /// Largest integer not above x; derivative 0
    Floor,
    /// cos x
    Cos,
}

/// Two-argument operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// x + y
    Add,
    /// x − y
    Sub,
    /// x · y
    Mul,
    /// x / y
    Div,
    /// The smaller; on a tie the derivative goes to x
    Min,
    /// The larger; on a tie the derivative goes to x
    Max,
    /// x^y for x ≥ 0, with 0^y = 0 and all its derivatives 0 at x = 0 (so that distance 0 is harmless)
    Pow,
}

/// An expression. Cheap to clone: sub-expressions are shared.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A literal; −∞ hides a pair.
    Number(f64),
    /// Raw score of turn `p`: ⟨q′, k′⟩ / √head_dim, times the plan's softmax scale and query scale.
    Raw(usize),
    /// Absolute index of the query, i.
    Query,
    /// Absolute index of the key, j.
    Key,
    /// Number of positions in use, n (largest position plus one).
    Reach,
    /// A parameter of shape \[heads\], read at the query's head: `name[h]`.
    Param(Arc<str>),
    /// A parameter of shape \[heads, rows\] (`per_head`) or \[rows\], read at row ⌊index⌋ clamped to the table.
    Lookup {
        /// Name of the parameter.
        table: Arc<str>,
        /// Whether the first axis of the table is the head.
        per_head: bool,
        /// The row.
        index: Arc<Expr>,
    },
    /// A per-token, per-head value computed from content, read at one end of the pair: `name@q`, `name@k`.
    Token(Arc<str>, Side),
    /// A two-layer network of one scalar with one output per head, `W2·relu(w1·x + b1) + b2`: parameters `name.w1`
    /// \[hidden\], `name.b1` \[hidden\], `name.w2` \[heads, hidden\], `name.b2` \[heads\] (FIRE, arXiv 2310.04418).
    Net {
        /// Prefix of the four parameters.
        name: Arc<str>,
        /// The scalar input.
        input: Arc<Expr>,
    },
    /// One-argument operation.
    Unary(Unary, Arc<Expr>),
    /// Two-argument operation.
    Binary(Binary, Arc<Expr>, Arc<Expr>),
    /// `select(a < b, then, otherwise)`; no derivative through the comparison.
    Select {
        /// Left side of the comparison.
        a: Arc<Expr>,
        /// Right side of the comparison.
        b: Arc<Expr>,
        /// Value where a < b.
        then: Arc<Expr>,
        /// Value elsewhere.
        otherwise: Arc<Expr>,
    },
}

/// The raw score of the first turn.
pub fn raw() -> Expr {
    Expr::Raw(0)
}

/// The distance q − k, ≥ 0 for every pair that a causal mask keeps.
pub fn distance() -> Expr {
    Expr::Query - Expr::Key
}

/// A literal.
pub fn number(x: f64) -> Expr {
    Expr::Number(x)
}

/// A per-head parameter.
pub fn param(name: &str) -> Expr {
    Expr::Param(name.into())
}

/// `table[h, index]`.
pub fn lookup(table: &str, index: Expr) -> Expr {
    Expr::Lookup {
        table: table.into(),
        per_head: true,
        index: Arc::new(index),
    }
}

/// `table[index]`, the same for all heads.
pub fn shared_lookup(table: &str, index: Expr) -> Expr {
    Expr::Lookup {
        table: table.into(),
        per_head: false,
        index: Arc::new(index),
    }
}

/// `select(a < b, then, otherwise)`.
pub fn select_less(a: Expr, b: Expr, then: Expr, otherwise: Expr) -> Expr {
    Expr::Select {
        a: Arc::new(a),
        b: Arc::new(b),
        then: Arc::new(then),
        otherwise: Arc::new(otherwise),
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $op:ident),*) => {$(
        impl std::ops::$trait for Expr {
            type Output = Expr;
            fn $method(self, other: Expr) -> Expr {
                Expr::Binary(Binary::$op, Arc::new(self), Arc::new(other))
            }
        }
        impl std::ops::$trait<f64> for Expr {
            type Output = Expr;
            fn $method(self, other: f64) -> Expr {
                Expr::Binary(Binary::$op, Arc::new(self), Arc::new(Expr::Number(other)))
            }
        }
    )*};
}
operators!(Add add Add, Sub sub Sub, Mul mul Mul, Div div Div);

impl std::ops::Neg for Expr {
    type Output = Expr;
    fn neg(self) -> Expr {
        self.unary(Unary::Neg)
    }
}

impl Expr {
    /// Applies a one-argument operation.
    pub fn unary(self, op: Unary) -> Expr {
        Expr::Unary(op, Arc::new(self))
    }

    /// Applies a two-argument operation.
    pub fn binary(self, op: Binary, other: Expr) -> Expr {
        Expr::Binary(op, Arc::new(self), Arc::new(other))
    }

    /// ln(1 + self).
    pub fn log1p(self) -> Expr {
        self.unary(Unary::Log1p)
    }

    /// The larger of the two.
    pub fn max(self, other: Expr) -> Expr {
        self.binary(Binary::Max, other)
    }

    /// The smaller of the two.
    pub fn min(self, other: Expr) -> Expr {
        self.binary(Binary::Min, other)
    }

    /// self^exponent, see [`Binary::Pow`].
    pub fn pow(self, exponent: Expr) -> Expr {
        self.binary(Binary::Pow, exponent)
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Query => "q",
            Side::Key => "k",
        })
    }
}
