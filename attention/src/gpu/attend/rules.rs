//! Operations of formulas in WGSL, each with its derivative. A new operation is one line here.

use crate::expr::{Binary, Unary};

/// f(x), and what its adjoint `D` adds to that of x.
pub(super) fn unary(op: Unary, x: &str) -> (String, String) {
    let (value, slope) = match op {
        Unary::Neg => ("-X", "-D"),
        Unary::Abs => ("abs(X)", "D * sign(X)"),
        Unary::Exp => ("exp(X)", "D * exp(X)"),
        Unary::Ln => ("log(X)", "select(0.0, D / X, X > 0.0)"),
        Unary::Log1p => ("log1p(X)", "select(0.0, D / (1.0 + X), X > -1.0)"),
        Unary::Sqrt => ("sqrt(X)", "select(0.0, 0.5 * D / sqrt(X), X > 0.0)"),
        Unary::Tanh => (
            "steady_tanh(X)",
            "D * (1.0 - steady_tanh(X) * steady_tanh(X))",
        ),
        Unary::Floor => ("floor(X)", "0.0"),
        Unary::Cos => ("cos(X)", "-D * sin(X)"),
    };
    (value.replace('X', x), slope.replace('X', x))
}

/// f(x, y), and what its adjoint `D` adds to those of x and of y.
pub(super) fn binary(op: Binary, x: &str, y: &str) -> (String, String, String) {
    let (value, by_x, by_y) = match op {
        Binary::Add => ("X + Y", "D", "D"),
        Binary::Sub => ("X - Y", "D", "-D"),
        Binary::Mul => ("X * Y", "D * Y", "D * X"),
        Binary::Div => (
            "X / Y",
            "select(0.0, D / Y, Y != 0.0)",
            "select(0.0, -D * X / (Y * Y), Y != 0.0)",
        ),
        Binary::Min => (
            "min(X, Y)",
            "select(0.0, D, X <= Y)",
            "select(D, 0.0, X <= Y)",
        ),
        Binary::Max => (
            "max(X, Y)",
            "select(0.0, D, X >= Y)",
            "select(D, 0.0, X >= Y)",
        ),
        Binary::Pow => (
            "positive_power(X, Y)",
            "select(0.0, D * Y * positive_power(X, Y - 1.0), X > 0.0)",
            "select(0.0, D * positive_power(X, Y) * log(X), X > 0.0)",
        ),
    };
    let put = |text: &str| text.replace('X', x).replace('Y', y);
    (put(value), put(by_x), put(by_y))
}
