//! Rewrites that never change a value (−0 counts as 0).

use super::{Binary, Expr, Unary};
use std::sync::Arc;

impl Expr {
    /// An equal expression, often smaller: constants folded, neutral elements and double negations dropped. Products
    /// with 0 stay, since 0 · NaN must remain NaN.
    pub fn simplified(&self) -> Expr {
        match self {
            Expr::Unary(op, x) => simple_unary(*op, x.simplified()),
            Expr::Binary(op, x, y) => simple_binary(*op, x.simplified(), y.simplified()),
            Expr::Select {
                a,
                b,
                then,
                otherwise,
            } => {
                let (a, b) = (a.simplified(), b.simplified());
                let (then, otherwise) = (then.simplified(), otherwise.simplified());
                match (&a, &b) {
                    (Expr::Number(x), Expr::Number(y)) => {
                        if x < y {
                            then
                        } else {
                            otherwise
                        }
                    }
                    _ if then == otherwise => then,
                    _ => super::select_less(a, b, then, otherwise),
                }
            }
            Expr::Lookup {
                table,
                per_head,
                index,
            } => {
                let index = Arc::new(index.simplified());
                Expr::Lookup {
                    table: table.clone(),
                    per_head: *per_head,
                    index,
                }
            }
            Expr::Net { name, input } => Expr::Net {
                name: name.clone(),
                input: Arc::new(input.simplified()),
            },
            leaf => leaf.clone(),
        }
    }

    /// Direct sub-expressions, in reading order.
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Lookup { index, .. } => vec![index],
            Expr::Net { input, .. } => vec![input],
            Expr::Unary(_, x) => vec![x],
            Expr::Binary(_, x, y) => vec![x, y],
            Expr::Select {
                a,
                b,
                then,
                otherwise,
            } => vec![a, b, then, otherwise],
            Expr::Number(_) | Expr::Raw(_) | Expr::Query | Expr::Key | Expr::Reach => vec![],
            Expr::Param(_) | Expr::Token(..) => vec![],
        }
    }

    /// The same expression with `query` and `key` in the place of the two positions.
    pub fn at(&self, query: &Expr, key: &Expr) -> Expr {
        let part = |part: &Expr| part.at(query, key);
        match self {
            Expr::Query => query.clone(),
            Expr::Key => key.clone(),
            Expr::Lookup {
                table,
                per_head,
                index,
            } => Expr::Lookup {
                table: table.clone(),
                per_head: *per_head,
                index: Arc::new(part(index)),
            },
            Expr::Net { name, input } => Expr::Net {
                name: name.clone(),
                input: Arc::new(part(input)),
            },
            Expr::Unary(op, x) => part(x).unary(*op),
            Expr::Binary(op, x, y) => part(x).binary(*op, part(y)),
            Expr::Select {
                a,
                b,
                then,
                otherwise,
            } => super::select_less(part(a), part(b), part(then), part(otherwise)),
            Expr::Number(_) | Expr::Raw(_) | Expr::Reach | Expr::Param(_) | Expr::Token(..) => {
                self.clone()
            }
        }
    }

    /// Whether `found` holds for this expression or any part of it.
    pub fn any(&self, found: &dyn Fn(&Expr) -> bool) -> bool {
        found(self) || self.children().iter().any(|child| child.any(found))
    }
}

fn simple_unary(op: Unary, x: Expr) -> Expr {
    match (op, x) {
        (op, Expr::Number(x)) => Expr::Number(op.apply(x)),
        (Unary::Neg, Expr::Unary(Unary::Neg, x)) => (*x).clone(),
        (op, x) => x.unary(op),
    }
}

fn simple_binary(op: Binary, x: Expr, y: Expr) -> Expr {
    match (op, x, y) {
        (op, Expr::Number(x), Expr::Number(y)) => Expr::Number(op.apply(x, y)),
        (Binary::Add, x, Expr::Number(0.0)) => x,
        (Binary::Add, Expr::Number(0.0), y) => y,
        (Binary::Sub, x, Expr::Number(0.0)) => x,
        (Binary::Sub, Expr::Number(0.0), y) => simple_unary(Unary::Neg, y),
        (Binary::Mul | Binary::Div, x, Expr::Number(1.0)) => x,
        (Binary::Mul, Expr::Number(1.0), y) => y,
        (Binary::Mul, Expr::Number(-1.0), y) => simple_unary(Unary::Neg, y),
        (Binary::Add, x, Expr::Unary(Unary::Neg, y)) => x - (*y).clone(),
        (Binary::Sub, x, Expr::Unary(Unary::Neg, y)) => x + (*y).clone(),
        (op, x, y) => x.binary(op, y),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_can_be_put_in_anywhere() {
        let text = "raw + select(q - k < n, t[h, q - k], a[h] * log1p(q - k)) + max(q, 4)";
        let (query, key) = ("(q - k) / 2".parse().unwrap(), Expr::Number(0.0));
        let found = text.parse::<Expr>().unwrap().at(&query, &key).simplified();
        let expected = "raw + select((q - k) / 2 < n, t[h, (q - k) / 2], a[h] * log1p((q - k) / 2)) + max((q - k) / 2, 4)";
        assert_eq!(found.to_string(), expected);
    }

    #[test]
    fn neutral_elements_go_and_products_with_zero_stay() {
        for (text, expected) in [
            ("raw + 0 * q", "raw + 0 * q"),
            ("1 * (raw - 0) / 1 + (0 - -q)", "raw + q"),
            ("select(1 < 2, raw, raw1)", "raw"),
            ("select(q < k, raw, raw)", "raw"),
            ("raw + max(2, 3) * sqrt(4)", "raw + 6"),
            ("t[h, 1 + 1]", "t[h, 2]"),
        ] {
            let simple = text.parse::<Expr>().unwrap().simplified();
            assert_eq!(simple.to_string(), expected, "{text}");
        }
    }
}
