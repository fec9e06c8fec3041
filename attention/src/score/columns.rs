//! Expressions over one axis (queries, keys, distances, or nothing), evaluated and differentiated in f64 for all
//! places at once. Agrees with [`Expr::eval`] and [`Expr::backward`], which do one pair at a time.

use super::places::Places;
use crate::expr::{Binary, Expr, ParamValues, Unary};
use crate::span::Span;
use crate::{Error, Result};

/// What is the same at all places.
pub(crate) struct Columns<'a> {
    places: &'a Places,
    n: f64,
    head: usize,
    heads: usize,
    params: &'a ParamValues,
}

/// Values at all places.
#[derive(Clone, Debug)]
pub(crate) enum Column {
    /// The same everywhere.
    One(f64),
    /// One each.
    Many(Vec<f64>),
}

impl Column {
    pub(crate) fn at(&self, place: usize) -> f64 {
        match self {
            Column::One(x) => *x,
            Column::Many(values) => values[place],
        }
    }

    fn map(self, f: impl Fn(f64) -> f64) -> Column {
        match self {
            Column::One(x) => Column::One(f(x)),
            Column::Many(values) => Column::Many(values.into_iter().map(f).collect()),
        }
    }

    fn zip(&self, other: &Column, n: usize, f: impl Fn(f64, f64) -> f64) -> Column {
        match (self, other) {
            (Column::One(x), Column::One(y)) => Column::One(f(*x, *y)),
            _ => Column::Many((0..n).map(|p| f(self.at(p), other.at(p))).collect()),
        }
    }
}

impl<'a> Columns<'a> {
    /// Of one head of a call.
    pub(crate) fn new(
        span: &Span,
        places: &'a Places,
        head: usize,
        params: &'a ParamValues,
    ) -> Columns<'a> {
        Columns {
            places,
            n: span.context_len(),
            head,
            heads: span.geometry().heads,
            params,
        }
    }

    fn len(&self) -> usize {
        self.places.i.len()
    }

    fn param(&self, name: &str, expected: usize) -> Result<&[f64]> {
        match self.params.get(name) {
            Some(values) if expected == 0 || values.len() == expected => Ok(values),
            found => {
                let found = found.map_or(0, Vec::len);
                let why = format!("parameter {name:?}: expected {expected} values, found {found}");
                Err(Error::expr(why))
            }
        }
    }

    /// Place of a table's first row for this head, and its number of rows.
    fn table(&self, name: &str, per_head: bool) -> Result<(usize, usize)> {
        let len = self.param(name, 0)?.len();
        let tables = if per_head { self.heads } else { 1 };
        if len == 0 || !len.is_multiple_of(tables) {
            let why = format!("table {name:?} of {len} values does not split over {tables} heads");
            return Err(Error::expr(why));
        }
        let rows = len / tables;
        Ok((if per_head { self.head * rows } else { 0 }, rows))
    }

    fn network(&self, name: &str) -> Result<[&[f64]; 4]> {
        let part = |part: &str, n| self.param(&format!("{name}.{part}"), n);
        let w1 = part("w1", 0)?;
        let hidden = w1.len();
        let (w2, b2) = (part("w2", hidden * self.heads)?, part("b2", self.heads)?);
        Ok([
            w1,
            part("b1", hidden)?,
            &w2[self.head * hidden..][..hidden],
            &b2[self.head..][..1],
        ])
    }

    /// The values of an expression without raw scores and token vectors.
    pub(crate) fn eval(&self, expr: &Expr) -> Result<Column> {
        Ok(match expr {
            Expr::Number(x) => Column::One(*x),
            Expr::Query => Column::Many(self.places.i.clone()),
            Expr::Key => Column::Many(self.places.j.clone()),
            Expr::Reach => Column::One(self.n),
            Expr::Param(name) => Column::One(self.param(name, self.heads)?[self.head]),
            Expr::Raw(_) | Expr::Token(..) => {
                return Err(Error::expr(format!(
                    "{expr} belongs to a pair, not to a table"
                )));
            }
            Expr::Lookup {
                table,
                per_head,
                index,
            } => {
                let (start, rows) = self.table(table, *per_head)?;
                let values = self.param(table, 0)?;
                self.eval(index)?.map(|x| values[start + row(x, rows)])
            }
            Expr::Net { name, input } => {
                let [w1, b1, w2, b2] = self.network(name)?;
                self.eval(input)?.map(|x| {
                    let unit = |l: usize| w2[l] * rectify(w1[l] * x + b1[l]);
                    (0..w1.len()).map(unit).sum::<f64>() + b2[0]
                })
            }
            Expr::Unary(op, x) => self.eval(x)?.map(|x| op.apply(x)),
            Expr::Binary(op, x, y) => {
                let (x, y) = (self.eval(x)?, self.eval(y)?);
                x.zip(&y, self.len(), |x, y| op.apply(x, y))
            }
            Expr::Select {
                a,
                b,
                then,
                otherwise,
            } => {
                let less =
                    self.eval(a)?.zip(
                        &self.eval(b)?,
                        self.len(),
                        |a, b| {
                            if a < b { 1.0 } else { 0.0 }
                        },
                    );
                let (then, otherwise) = (self.eval(then)?, self.eval(otherwise)?);
                match less {
                    Column::One(1.0) => then,
                    Column::One(_) => otherwise,
                    Column::Many(less) => {
                        let pick = |(p, less): (usize, &f64)| match less {
                            1.0 => then.at(p),
                            _ => otherwise.at(p),
                        };
                        Column::Many(less.iter().enumerate().map(pick).collect())
                    }
                }
            }
        })
    }

    /// Adds Σ `upstream` · ∂expr/∂x over all places to every parameter x that `into` holds.
    pub(crate) fn backward(
        &self,
        expr: &Expr,
        upstream: Vec<f64>,
        into: &mut ParamValues,
    ) -> Result<()> {
        if !expr
            .param_names()
            .iter()
            .any(|name| into.contains_key(name))
        {
            return Ok(());
        }
        match expr {
            Expr::Number(_) | Expr::Query | Expr::Key | Expr::Reach => {}
            Expr::Raw(_) | Expr::Token(..) => {
                return Err(Error::expr(format!(
                    "{expr} belongs to a pair, not to a table"
                )));
            }
            Expr::Param(name) => {
                if let Some(sums) = into.get_mut(&**name) {
                    sums[self.head] += upstream.iter().sum::<f64>();
                }
            }
            Expr::Lookup {
                table,
                per_head,
                index,
            } => {
                let (start, rows) = self.table(table, *per_head)?;
                let index = self.eval(index)?;
                if let Some(sums) = into.get_mut(&**table) {
                    for (p, up) in upstream.iter().enumerate() {
                        sums[start + row(index.at(p), rows)] += up;
                    }
                }
            }
            Expr::Net { name, input } => return self.net(name, input, upstream, into),
            Expr::Unary(Unary::Floor, _) => {}
            Expr::Unary(op, x) => {
                let at = self.eval(x)?;
                let down = weighted(upstream, |p| op.derivative(at.at(p)));
                return self.backward(x, down, into);
            }
            Expr::Binary(Binary::Add, x, y) => {
                self.backward(x, upstream.clone(), into)?;
                return self.backward(y, upstream, into);
            }
            Expr::Binary(op, x, y) => {
                let (at_x, at_y) = (self.eval(x)?, self.eval(y)?);
                let both = |p| op.derivatives(at_x.at(p), at_y.at(p));
                self.backward(x, weighted(upstream.clone(), |p| both(p).0), into)?;
                return self.backward(y, weighted(upstream, |p| both(p).1), into);
            }
            Expr::Select {
                a,
                b,
                then,
                otherwise,
            } => {
                let (a, b) = (self.eval(a)?, self.eval(b)?);
                let side = |yes: bool| {
                    let keep = |p: usize| if (a.at(p) < b.at(p)) == yes { 1.0 } else { 0.0 };
                    upstream
                        .iter()
                        .enumerate()
                        .map(|(p, up)| up * keep(p))
                        .collect()
                };
                self.backward(then, side(true), into)?;
                return self.backward(otherwise, side(false), into);
            }
        }
        Ok(())
    }

    fn net(
        &self,
        name: &str,
        input: &Expr,
        upstream: Vec<f64>,
        into: &mut ParamValues,
    ) -> Result<()> {
        let [w1, b1, w2, _] = self.network(name)?;
        let hidden = w1.len();
        let x = self.eval(input)?;
        let mut down = vec![0.0; upstream.len()];
        let mut sums = vec![[0.0; 3]; hidden];
        for (p, &up) in upstream.iter().enumerate().filter(|(_, up)| **up != 0.0) {
            let x = x.at(p);
            for (l, sums) in sums.iter_mut().enumerate() {
                let before = w1[l] * x + b1[l];
                sums[2] += up * rectify(before);
                // The rectifier's derivative at 0 is 0.
                if before > 0.0 {
                    sums[0] += up * w2[l] * x;
                    sums[1] += up * w2[l];
                    down[p] += up * w2[l] * w1[l];
                }
            }
        }
        let total = upstream.iter().sum::<f64>();
        let mut add = |part: &str, place: usize, x: f64| {
            if let Some(values) = into.get_mut(&format!("{name}.{part}")) {
                values[place] += x;
            }
        };
        for (l, [by_w1, by_b1, by_w2]) in sums.into_iter().enumerate() {
            add("w1", l, by_w1);
            add("b1", l, by_b1);
            add("w2", self.head * hidden + l, by_w2);
        }
        add("b2", self.head, total);
        self.backward(input, down, into)
    }
}

/// `upstream · slope`, where no upstream gives nothing even from an infinite slope.
fn weighted(mut upstream: Vec<f64>, slope: impl Fn(usize) -> f64) -> Vec<f64> {
    for (p, up) in upstream
        .iter_mut()
        .enumerate()
        .filter(|(_, up)| **up != 0.0)
    {
        *up *= slope(p);
    }
    upstream
}

/// Row ⌊x⌋ clamped to the table; NaN reads row 0.
pub(crate) fn row(x: f64, rows: usize) -> usize {
    (x.floor() as usize).min(rows - 1)
}

/// max(x, 0), but NaN stays NaN.
fn rectify(x: f64) -> f64 {
    if x <= 0.0 { 0.0 } else { x }
}
