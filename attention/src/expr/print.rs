//! `Expr` to text that parses back, and to LaTeX.

use super::{Binary, Expr, Unary};
use std::fmt;

impl Unary {
    /// All of them, in declaration order.
    pub const ALL: [Unary; 9] = [
        Unary::Neg,
        Unary::Abs,
        Unary::Exp,
        Unary::Ln,
        Unary::Log1p,
        Unary::Sqrt,
        Unary::Tanh,
        Unary::Floor,
        Unary::Cos,
    ];

    /// Its name in the text form (`-` for a negation).
    pub fn name(self) -> &'static str {
        match self {
            Unary::Neg => "-",
            Unary::Abs => "abs",
            Unary::Exp => "exp",
            Unary::Ln => "ln",
            Unary::Log1p => "log1p",
            Unary::Sqrt => "sqrt",
            Unary::Tanh => "tanh",
            Unary::Floor => "floor",
            Unary::Cos => "cos",
        }
    }
}

impl Binary {
    /// All of them, in declaration order.
    pub const ALL: [Binary; 7] = [
        Binary::Add,
        Binary::Sub,
        Binary::Mul,
        Binary::Div,
        Binary::Min,
        Binary::Max,
        Binary::Pow,
    ];

    /// Its name or symbol in the text form.
    pub fn name(self) -> &'static str {
        match self {
            Binary::Add => "+",
            Binary::Sub => "-",
            Binary::Mul => "*",
            Binary::Div => "/",
            Binary::Min => "min",
            Binary::Max => "max",
            Binary::Pow => "pow",
        }
    }
}

/// How tightly an expression holds together: sum 1, product 2, negation 3, all else 4.
fn strength(expr: &Expr) -> u8 {
    match expr {
        Expr::Binary(Binary::Add | Binary::Sub, ..) => 1,
        Expr::Binary(Binary::Mul | Binary::Div, ..) => 2,
        Expr::Unary(Unary::Neg, _) => 3,
        Expr::Number(x) if x.is_sign_negative() => 3,
        _ => 4,
    }
}

impl fmt::Display for Expr {
    /// The text form; [`str::parse`] reads it back to an equal tree (a NaN to a NaN).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Number(x) if x.is_nan() => f.write_str("nan"),
            Expr::Number(x) => write_number(f, *x),
            Expr::Raw(0) => f.write_str("raw"),
            Expr::Raw(turn) => write!(f, "raw{turn}"),
            Expr::Query => f.write_str("q"),
            Expr::Key => f.write_str("k"),
            Expr::Reach => f.write_str("n"),
            Expr::Param(name) => write!(f, "{name}[h]"),
            Expr::Lookup {
                table,
                per_head: true,
                index,
            } => write!(f, "{table}[h, {index}]"),
            // A bare `h` cannot be an index, so the two forms of table differ.
            Expr::Lookup {
                table,
                per_head: false,
                index,
            } => write!(f, "{table}[{index}]"),
            Expr::Token(name, side) => write!(f, "{name}@{side}"),
            Expr::Net { name, input } => write!(f, "net {name}({input})"),
            // Parentheses keep −(3) apart from the literal −3.
            Expr::Unary(Unary::Neg, x) if matches!(**x, Expr::Number(_)) => write!(f, "-({x})"),
            Expr::Unary(Unary::Neg, x) => write!(f, "-{}", Held(x, 3)),
            Expr::Unary(op, x) => write!(f, "{}({x})", op.name()),
            Expr::Binary(op @ (Binary::Min | Binary::Max | Binary::Pow), x, y) => {
                write!(f, "{}({x}, {y})", op.name())
            }
            Expr::Binary(op, x, y) => {
                let own = strength(self);
                write!(f, "{} {} {}", Held(x, own), op.name(), Held(y, own + 1))
            }
            Expr::Select {
                a,
                b,
                then,
                otherwise,
            } => {
                write!(f, "select({a} < {b}, {then}, {otherwise})")
            }
        }
    }
}

fn write_number(f: &mut fmt::Formatter<'_>, x: f64) -> fmt::Result {
    let size = x.abs();
    let plain = size == 0.0 || (1e-5..1e16).contains(&size) || !size.is_finite();
    if plain {
        write!(f, "{x}")
    } else {
        write!(f, "{x:e}")
    }
}

/// An operand, in parentheses if it holds together less tightly than its place demands.
struct Held<'a>(&'a Expr, u8);

impl fmt::Display for Held<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if strength(self.0) < self.1 {
            write!(f, "({})", self.0)
        } else {
            self.0.fmt(f)
        }
    }
}

impl Expr {
    /// The formula in LaTeX (maths mode): i and j are the positions of query and key, s_{ij} is the raw score.
    pub fn latex(&self) -> String {
        Latex(self).to_string()
    }
}

/// An expression that is written as LaTeX.
struct Latex<'a>(&'a Expr);

impl fmt::Display for Latex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Expr::Number(x) => f.write_str(&latex_number(*x)),
            Expr::Raw(0) => f.write_str("s_{ij}"),
            Expr::Raw(turn) => write!(f, "s^{{({turn})}}_{{ij}}"),
            Expr::Query => f.write_str("i"),
            Expr::Key => f.write_str("j"),
            Expr::Reach => f.write_str("n"),
            Expr::Param(name) => write!(f, "{}_{{h}}", latex_name(name)),
            Expr::Lookup {
                table,
                per_head,
                index,
            } => {
                let head = if *per_head { "_{h}" } else { "" };
                let (table, index) = (latex_name(table), Latex(index));
                write!(f, "{table}{head}\\left[{index}\\right]")
            }
            Expr::Token(name, side) => {
                let at = if side == &super::Side::Query {
                    "i"
                } else {
                    "j"
                };
                write!(f, "{}_{{h,{at}}}", latex_name(name))
            }
            Expr::Net { name, input } => {
                let (name, input) = (latex_name(name), Latex(input));
                write!(f, "{name}_{{h}}\\left({input}\\right)")
            }
            Expr::Unary(op, x) => latex_unary(f, *op, x),
            Expr::Binary(op, x, y) => latex_binary(f, strength(self.0), *op, (x, y)),
            Expr::Select {
                a,
                b,
                then,
                otherwise,
            } => {
                let (a, b, then, otherwise) = (Latex(a), Latex(b), Latex(then), Latex(otherwise));
                write!(
                    f,
                    "\\begin{{cases}} {then} & \\text{{if }} {a} < {b} \\\\ {otherwise} & \\text{{otherwise}} \\end{{cases}}"
                )
            }
        }
    }
}

fn latex_number(x: f64) -> String {
    if x.is_infinite() {
        return if x > 0.0 {
            "\\infty".into()
        } else {
            "-\\infty".into()
        };
    }
    if x.is_nan() {
        return "\\mathrm{NaN}".into();
    }
    let size = x.abs();
    if size == 0.0 || (1e-3..1e7).contains(&size) {
        return format!("{x}");
    }
    let text = format!("{x:e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => format!("{mantissa} \\cdot 10^{{{exponent}}}"),
        None => text,
    }
}

fn latex_name(name: &str) -> String {
    format!("\\mathrm{{{}}}", name.replace('_', "\\_"))
}

/// As [`Held`].
struct LatexHeld<'a>(&'a Expr, u8);

impl fmt::Display for LatexHeld<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = Latex(self.0);
        if strength(self.0) < self.1 {
            write!(f, "\\left({inner}\\right)")
        } else {
            inner.fmt(f)
        }
    }
}

fn latex_unary(f: &mut fmt::Formatter<'_>, op: Unary, x: &Expr) -> fmt::Result {
    let inner = Latex(x);
    match op {
        Unary::Neg => write!(f, "-{}", LatexHeld(x, 3)),
        Unary::Abs => write!(f, "\\left|{inner}\\right|"),
        Unary::Exp => write!(f, "e^{{{inner}}}"),
        Unary::Ln => write!(f, "\\ln\\left({inner}\\right)"),
        Unary::Log1p => write!(f, "\\ln\\left(1 + {inner}\\right)"),
        Unary::Sqrt => write!(f, "\\sqrt{{{inner}}}"),
        Unary::Tanh => write!(f, "\\tanh\\left({inner}\\right)"),
        Unary::Floor => write!(f, "\\left\\lfloor {inner} \\right\\rfloor"),
        Unary::Cos => write!(f, "\\cos\\left({inner}\\right)"),
    }
}

fn latex_binary(
    f: &mut fmt::Formatter<'_>,
    own: u8,
    op: Binary,
    (x, y): (&Expr, &Expr),
) -> fmt::Result {
    let (first, second) = (Latex(x), Latex(y));
    let sign = match op {
        Binary::Add => "+",
        Binary::Sub => "-",
        Binary::Mul => "\\cdot",
        Binary::Div => return write!(f, "\\frac{{{first}}}{{{second}}}"),
        Binary::Min => return write!(f, "\\min\\left({first}, {second}\\right)"),
        Binary::Max => return write!(f, "\\max\\left({first}, {second}\\right)"),
        Binary::Pow => return write!(f, "{{{}}}^{{{second}}}", LatexHeld(x, 4)),
    };
    write!(f, "{} {sign} {}", LatexHeld(x, own), LatexHeld(y, own + 1))
}

#[cfg(test)]
mod tests {
    use crate::expr::{distance, number, param, raw};

    #[test]
    fn text_shows_only_the_parentheses_it_needs() {
        let alibi = raw() - param("slope") * distance().max(number(0.0));
        assert_eq!(alibi.to_string(), "raw - slope[h] * max(q - k, 0)");
        assert_eq!(
            (raw() - (raw() - number(1.0))).to_string(),
            "raw - (raw - 1)"
        );
        assert_eq!((-(raw() * 2.0)).to_string(), "-(raw * 2)");
        assert_eq!((raw() - number(-3.0)).to_string(), "raw - -3");
        assert_eq!((-number(3.0)).to_string(), "-(3)");
        assert_eq!(number(1e-9).to_string(), "1e-9");
    }

    #[test]
    fn latex_of_kerple() {
        let kerple = raw() - param("p") * (param("a") * distance()).log1p();
        let text = r"s_{ij} - \mathrm{p}_{h} \cdot \ln\left(1 + \mathrm{a}_{h} \cdot \left(i - j\right)\right)";
        assert_eq!(kerple.latex(), text);
    }
}
