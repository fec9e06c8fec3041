//! Derivatives of an expression with respect to raw scores, parameters and token vectors, in f64.
//!
//! At the edge of an operation's domain and beyond (√x, ln x, pow at x ≤ 0, log1p at x ≤ −1, x / 0) the derivative is 0, so that
//! distance 0 and hidden pairs never spoil a gradient. No derivative flows into a Select's comparison, a Floor, or the
//! index of a table; none flows out of the branch that was not taken.

use super::eval::{Network, ParamValues, TokenValues, rectify};
use super::{Binary, Env, Expr, Unary};
use crate::Result;

/// Accumulated derivatives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Partials {
    /// By raw score.
    pub raw: Vec<f64>,
    /// By parameter, in the parameter's shape.
    pub params: ParamValues,
    /// By token vector: at the query, at the key.
    pub tokens: TokenValues,
}

impl Partials {
    /// Zeros for everything that `env` holds.
    pub fn zeros(env: &Env) -> Partials {
        let params = env
            .params
            .iter()
            .map(|(name, values)| (name.clone(), vec![0.0; values.len()]));
        Partials {
            raw: vec![0.0; env.raw.len()],
            params: params.collect(),
            tokens: env
                .tokens
                .keys()
                .map(|name| (name.clone(), [0.0; 2]))
                .collect(),
        }
    }

    fn add(&mut self, name: &str, place: usize, amount: f64) {
        if let Some(values) = self.params.get_mut(name) {
            values[place] += amount;
        }
    }
}

impl Expr {
    /// Adds `upstream` · ∂self/∂x to `into` for every raw score, parameter and token vector x that `into` holds.
    /// A parameter or token vector that `into` lacks is a constant.
    pub fn backward(&self, env: &Env, upstream: f64, into: &mut Partials) -> Result<()> {
        // A pair without weight must not turn an infinite derivative into NaN.
        if upstream == 0.0 {
            return Ok(());
        }
        match self {
            Expr::Number(_) | Expr::Query | Expr::Key | Expr::Reach => {}
            Expr::Raw(turn) => {
                env.raw(*turn)?;
                if let Some(sum) = into.raw.get_mut(*turn) {
                    *sum += upstream;
                }
            }
            Expr::Param(name) => into.add(name, env.per_head(name)?, upstream),
            Expr::Lookup {
                table,
                per_head,
                index,
            } => {
                let row = index.eval(env)?;
                into.add(table, env.cell(table, *per_head, row)?, upstream);
            }
            Expr::Token(name, side) => {
                env.token(name)?;
                if let Some(values) = into.tokens.get_mut(&**name) {
                    values[side.index()] += upstream;
                }
            }
            Expr::Net { name, input } => return backward_net(name, input, env, upstream, into),
            Expr::Unary(op, x) => {
                let slope = op.derivative(x.eval(env)?);
                return x.backward(env, upstream * slope, into);
            }
            Expr::Binary(op, x, y) => {
                let (by_x, by_y) = op.derivatives(x.eval(env)?, y.eval(env)?);
                x.backward(env, upstream * by_x, into)?;
                return y.backward(env, upstream * by_y, into);
            }
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
                return chosen.backward(env, upstream, into);
            }
        }
        Ok(())
    }
}

impl Unary {
    /// f′(x).
    pub fn derivative(self, x: f64) -> f64 {
        match self {
            Unary::Neg => -1.0,
            Unary::Abs => unless(x == 0.0, x.signum()),
            Unary::Exp => x.exp(),
            Unary::Ln => unless(x <= 0.0, 1.0 / x),
            Unary::Log1p => unless(x <= -1.0, 1.0 / (1.0 + x)),
            Unary::Sqrt => unless(x <= 0.0, 0.5 / x.sqrt()),
            Unary::Tanh => 1.0 - x.tanh().powi(2),
            Unary::Floor => 0.0,
            Unary::Cos => -x.sin(),
        }
    }
}

impl Binary {
    /// ∂f/∂x and ∂f/∂y.
    pub fn derivatives(self, x: f64, y: f64) -> (f64, f64) {
        match self {
            Binary::Add => (1.0, 1.0),
            Binary::Sub => (1.0, -1.0),
            Binary::Mul => (y, x),
            Binary::Div => unless_both(y == 0.0, (1.0 / y, -x / (y * y))),
            Binary::Min => choose(x <= y),
            Binary::Max => choose(x >= y),
            Binary::Pow => unless_both(x <= 0.0, (y * x.powf(y - 1.0), x.powf(y) * x.ln())),
        }
    }
}

fn unless(outside: bool, slope: f64) -> f64 {
    if outside { 0.0 } else { slope }
}

fn unless_both(outside: bool, slopes: (f64, f64)) -> (f64, f64) {
    if outside { (0.0, 0.0) } else { slopes }
}

fn choose(first: bool) -> (f64, f64) {
    if first { (1.0, 0.0) } else { (0.0, 1.0) }
}

fn backward_net(
    name: &str,
    input: &Expr,
    env: &Env,
    upstream: f64,
    into: &mut Partials,
) -> Result<()> {
    let x = input.eval(env)?;
    let net = Network::of(name, env)?;
    let hidden = net.w1.len();
    let [w1, b1, w2, b2] = ["w1", "b1", "w2", "b2"].map(|part| format!("{name}.{part}"));
    let mut by_x = 0.0;
    for l in 0..hidden {
        let before = net.before(l, x);
        into.add(&w2, env.head * hidden + l, upstream * rectify(before));
        // The rectifier's derivative at 0 is 0.
        if before > 0.0 {
            into.add(&w1, l, upstream * net.w2[l] * x);
            into.add(&b1, l, upstream * net.w2[l]);
            by_x += net.w2[l] * net.w1[l];
        }
    }
    into.add(&b2, env.head, upstream);
    input.backward(env, upstream * by_x, into)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> (ParamValues, TokenValues, Vec<f64>) {
        let params = ParamValues::from([
            ("a".into(), vec![0.7, 1.3]),
            ("b".into(), vec![0.4, -0.6]),
            ("t".into(), vec![0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
            ("f.w1".into(), vec![0.9, -0.3, 0.5]),
            ("f.b1".into(), vec![0.1, 2.0, -0.2]),
            ("f.w2".into(), vec![0.3, -0.2, 0.7, 1.1, 0.6, -0.4]),
            ("f.b2".into(), vec![0.0, 0.5]),
        ]);
        (
            params,
            TokenValues::from([("g".into(), [0.8, -0.35])]),
            vec![0.6, -1.1],
        )
    }

    /// Compares every derivative of `text` with central differences at head 1, i = 9, j = 4.
    fn check(text: &str) {
        let expr: Expr = text.parse().unwrap();
        let (params, tokens, raw) = example();
        let value = |params: &ParamValues, tokens: &TokenValues, raw: &[f64]| {
            let env = Env {
                i: 9.0,
                j: 4.0,
                n: 16.0,
                head: 1,
                heads: 2,
                raw,
                params,
                tokens,
            };
            expr.eval(&env).unwrap()
        };
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
        let mut found = Partials::zeros(&env);
        expr.backward(&env, 1.0, &mut found).unwrap();
        let step = 1e-6;
        let close = |found: f64, up: f64, down: f64, what: &str| {
            let expected = (up - down) / (2.0 * step);
            // Central differences lose about half of the digits.
            let tolerance = 1e-7 * (1.0 + expected.abs());
            assert!(
                (found - expected).abs() < tolerance,
                "{text} by {what}: {found}, expected {expected}"
            );
        };
        for turn in 0..raw.len() {
            let at = |h: f64| {
                let mut moved = raw.clone();
                moved[turn] += h;
                value(&params, &tokens, &moved)
            };
            close(found.raw[turn], at(step), at(-step), &format!("raw{turn}"));
        }
        for (name, values) in &params {
            for place in 0..values.len() {
                let at = |h: f64| {
                    let mut moved = params.clone();
                    moved.get_mut(name).unwrap()[place] += h;
                    value(&moved, &tokens, &raw)
                };
                close(
                    found.params[name][place],
                    at(step),
                    at(-step),
                    &format!("{name}[{place}]"),
                );
            }
        }
        for side in 0..2 {
            let at = |h: f64| {
                let mut moved = tokens.clone();
                moved.get_mut("g").unwrap()[side] += h;
                value(&params, &moved, &raw)
            };
            close(
                found.tokens["g"][side],
                at(step),
                at(-step),
                &format!("g at {side}"),
            );
        }
    }

    #[test]
    fn every_operation_agrees_with_finite_differences() {
        for op in Unary::ALL {
            let inner = [
                "a[h] * 1.7",
                "abs(raw1) + a[h]",
                "t[h, q - k] * 3",
                "g@q + 0.1",
                "net f(a[h]) + 3",
            ];
            for x in inner {
                check(&format!("{}({x})", op.name()));
            }
        }
        for op in Binary::ALL {
            for (x, y) in [
                ("a[h]", "b[h]"),
                ("g@q", "raw"),
                ("abs(g@k)", "a[h]"),
                ("net f(raw)", "t[2]"),
            ] {
                match op {
                    Binary::Min | Binary::Max | Binary::Pow => {
                        check(&format!("{}({x}, {y})", op.name()))
                    }
                    _ => check(&format!("({x}) {} ({y})", op.name())),
                }
            }
        }
        check("select(raw < raw1, a[h], raw * b[h])");
        check("net f(net f(g@k * raw1))");
        check("raw - a[h] * log1p(exp(b[h]) * (q - k))");
    }

    #[test]
    fn gradients_are_finite_at_distance_zero_and_behind_the_mask() {
        let (params, tokens, raw) = example();
        for text in [
            "raw - a[h] * pow(q - k, b[h])",
            "raw - a[h] * pow(max(q - k, 0), a[h])",
            "raw - sqrt(a[h] * (q - k))",
            "raw - abs(b[h] * (q - k))",
            "raw - log1p(a[h] * (q - k))",
            "raw - ln(a[h] * (q - k))",
            "select(0 < q - k, ln(a[h] * (q - k)), raw)",
        ] {
            let expr: Expr = text.parse().unwrap();
            for j in [3.0, 8.0] {
                let env = Env {
                    i: 3.0,
                    j,
                    n: 9.0,
                    head: 0,
                    heads: 2,
                    raw: &raw,
                    params: &params,
                    tokens: &tokens,
                };
                let mut found = Partials::zeros(&env);
                expr.backward(&env, 1.0, &mut found).unwrap();
                let all = found.params.values().flatten().chain(&found.raw);
                assert!(all.copied().all(f64::is_finite), "{text} at {j}: {found:?}");
            }
        }
    }
}
