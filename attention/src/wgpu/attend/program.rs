//! A formula of the plan as WGSL: one line per operation, and backwards one rule per operation.
//!
//! What depends on constants and on one place only (the query's, the key's, their distance, or none) is a table, computed
//! in f64 on the host. The rest runs per pair in f32: steps `s0`, `s1`, … forward, their adjoints `d0`, … backward.

use super::rules::{binary, unary};
use super::words::{Data, Words};
use crate::expr::{Env, Expr, Side, TokenValues};
use crate::prepared::Prepared;
use crate::{Error, Result};
use std::collections::BTreeMap;

/// Where parameters and token vectors lie in the flat vector of all that is learned.
pub(super) type Places = BTreeMap<String, usize>;

/// What a table is indexed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    Nothing,
    Query,
    Key,
    Distance,
}

/// One operation: its text, and what gradients need.
#[derive(Debug)]
struct Step {
    expr: Expr,
    /// Value.
    text: String,
    /// Statements that carry the adjoint `D` to operands, to `raws_back`, or to what is learned.
    back: Option<String>,
}

/// Lowers the formulas of one plan; they share accumulators.
#[derive(Debug)]
pub(super) struct Lowering<'a> {
    prepared: &'a Prepared,
    places: &'a Places,
    data: &'a mut Data,
    words: &'a mut Words,
    steps: Vec<Step>,
    /// Addresses in the flat vector that stay the same for all pairs of a query; their gradients are gathered per query.
    pub(super) fixed: Vec<String>,
}

/// A lowered formula.
#[derive(Debug)]
pub(super) struct Formula {
    /// Statements that compute the steps.
    pub(super) forward: String,
    /// Expression of the value.
    pub(super) value: String,
    /// Statements from `up` to `raws_back`, and, between lines that `learned` wraps, to what is learned.
    pub(super) backward: String,
}

impl<'a> Lowering<'a> {
    pub(super) fn new(
        prepared: &'a Prepared,
        places: &'a Places,
        data: &'a mut Data,
        words: &'a mut Words,
    ) -> Lowering<'a> {
        Lowering {
            prepared,
            places,
            data,
            words,
            steps: Vec::new(),
            fixed: Vec::new(),
        }
    }

    /// Lowers a formula over all tokens of the call.
    pub(super) fn formula(&mut self, expr: &Expr) -> Result<Formula> {
        self.steps.clear();
        let last = self.lower(&expr.simplified())?;
        let lines = self.steps.iter().enumerate();
        let forward = lines.map(|(k, step)| format!("    let s{k} = {};\n", step.text));
        let forward = forward.collect();
        let mut backward = String::new();
        for (k, step) in self.steps.iter().enumerate() {
            if step.back.is_some() {
                let start = if k == last { "up" } else { "0.0" };
                backward += &format!("    var d{k} = {start};\n");
            }
        }
        for (k, step) in self.steps.iter().enumerate().rev() {
            if let Some(back) = &step.back {
                let rule = back.replace("D", &format!("d{k}"));
                // A pair without weight must not turn an infinite derivative into NaN.
                backward += &format!("    if (d{k} != 0.0) {{ {rule} }}\n");
            }
        }
        Ok(Formula {
            forward,
            value: format!("s{last}"),
            backward,
        })
    }

    fn lower(&mut self, expr: &Expr) -> Result<usize> {
        if let Some(known) = self.steps.iter().position(|step| step.expr == *expr) {
            return Ok(known);
        }
        let (text, back) = match self.axis(expr) {
            Some(axis) => (self.table(expr, axis)?, None),
            None => self.operation(expr)?,
        };
        let expr = expr.clone();
        self.steps.push(Step { expr, text, back });
        Ok(self.steps.len() - 1)
    }

    /// What a table of the expression would be indexed by; `None` if it is none.
    fn axis(&self, expr: &Expr) -> Option<Axis> {
        let learned = |part: &Expr| {
            let constants = self.prepared.constants();
            let names = part.param_names();
            matches!(part, Expr::Raw(_) | Expr::Token(..))
                || names.iter().any(|name| !constants.contains_key(name))
        };
        if expr.any(&learned) {
            return None;
        }
        let has = |position: Expr| expr.any(&|part| *part == position);
        match (has(Expr::Query), has(Expr::Key)) {
            (false, false) => Some(Axis::Nothing),
            (true, false) => Some(Axis::Query),
            (false, true) => Some(Axis::Key),
            (true, true) if self.prepared.is_regular() && expr.is_shift_invariant() => {
                Some(Axis::Distance)
            }
            (true, true) => None,
        }
    }

    /// Tabulates in f64; the text reads the table.
    fn table(&mut self, expr: &Expr, axis: Axis) -> Result<String> {
        let prepared = self.prepared;
        let (queries, keys) = (prepared.queries(), prepared.keys());
        let position = |t: usize| prepared.position(t);
        let places: Vec<(f64, f64)> = match axis {
            Axis::Nothing => vec![(0.0, 0.0)],
            Axis::Query => queries.map(|t| (position(t), 0.0)).collect(),
            Axis::Key => keys.map(|t| (0.0, position(t))).collect(),
            Axis::Distance => prepared
                .distances()
                .map(|x| (x.max(0) as f64, (-x).max(0) as f64))
                .collect(),
        };
        let heads = prepared.geometry().heads;
        let rows = if expr.depends_on_head() { heads } else { 1 };
        let tokens = TokenValues::new();
        let mut values = Vec::with_capacity(rows * places.len());
        for head in 0..rows {
            for &(i, j) in &places {
                values.push(expr.eval(&Env {
                    i,
                    j,
                    n: prepared.reach(),
                    head,
                    heads,
                    raw: &[],
                    params: prepared.constants(),
                    tokens: &tokens,
                })?);
            }
        }
        let stride = if rows == 1 { 0 } else { places.len() };
        let start = self.words.add(self.data.add(&values));
        let place = match axis {
            Axis::Nothing => "0u",
            Axis::Query => "qi",
            Axis::Key => "kj",
            Axis::Distance => "(qi + keys() - 1u - kj)",
        };
        let stride = self.words.add(stride);
        Ok(format!("datum({start} + head * {stride} + {place})"))
    }

    /// Text and backward rule of an operation that runs per pair.
    fn operation(&mut self, expr: &Expr) -> Result<(String, Option<String>)> {
        match expr {
            Expr::Raw(turn) => {
                let back = format!("raws_back[{turn}] += D;");
                Ok((format!("raws[{turn}]"), Some(back)))
            }
            Expr::Param(name) => {
                let at = format!("({} + head)", self.learned(name)?);
                let back = self.gather(&at);
                Ok((format!("learned[{at}]"), Some(back)))
            }
            Expr::Token(name, side) => {
                let start = self.learned(&format!("{name}@{side}"))?;
                let line = "(batch * heads() + head)";
                Ok(match side {
                    Side::Query => {
                        let at = format!("({start} + {line} * queries() + qi)");
                        let back = self.gather(&at);
                        (format!("learned[{at}]"), Some(back))
                    }
                    Side::Key => {
                        let at = format!("({start} + {line} * keys() + kj)");
                        let back = format!("give({at}, D);");
                        (format!("learned[{at}]"), Some(back))
                    }
                })
            }
            Expr::Lookup {
                table,
                per_head,
                index,
            } => self.lookup(table, *per_head, index),
            Expr::Net { name, input } => self.net(name, input),
            Expr::Unary(op, x) => {
                let x = self.lower(x)?;
                let (text, slope) = unary(*op, &format!("s{x}"));
                let back = self.toward(x, &slope);
                Ok((text, back))
            }
            Expr::Binary(op, x, y) => {
                let (x, y) = (self.lower(x)?, self.lower(y)?);
                let (text, by_x, by_y) = binary(*op, &format!("s{x}"), &format!("s{y}"));
                let back = [self.toward(x, &by_x), self.toward(y, &by_y)];
                let back: Vec<String> = back.into_iter().flatten().collect();
                Ok((text, (!back.is_empty()).then(|| back.join(" "))))
            }
            Expr::Select {
                a,
                b,
                then,
                otherwise,
            } => {
                let [a, b] = [self.lower(a)?, self.lower(b)?];
                let [then, otherwise] = [self.lower(then)?, self.lower(otherwise)?];
                let back = [
                    self.toward(then, &format!("select(0.0, D, s{a} < s{b})")),
                    self.toward(otherwise, &format!("select(D, 0.0, s{a} < s{b})")),
                ];
                let back: Vec<String> = back.into_iter().flatten().collect();
                let text = format!("select(s{otherwise}, s{then}, s{a} < s{b})");
                Ok((text, (!back.is_empty()).then(|| back.join(" "))))
            }
            // These are tables by nothing, query or key.
            Expr::Number(_) | Expr::Query | Expr::Key | Expr::Reach => {
                Err(Error::expr(format!("{expr} is no operation")))
            }
        }
    }

    /// Adds `slope` to the adjoint of a step, if that step has one.
    fn toward(&self, step: usize, slope: &str) -> Option<String> {
        let wanted = self.steps[step].back.is_some() && slope != "0.0";
        wanted.then(|| format!("d{step} += {slope};"))
    }

    /// Start of a parameter in the flat vector, as text.
    fn learned(&mut self, name: &str) -> Result<String> {
        let place = self.places.get(name);
        let place = place.ok_or_else(|| Error::expr(format!("no parameter {name:?}")))?;
        Ok(self.words.add(*place))
    }

    /// Statement that keeps the gradient of an address that all pairs of a query share.
    fn gather(&mut self, at: &str) -> String {
        format!("fixed[{}] += D;", self.slot(at))
    }

    fn slot(&mut self, at: &str) -> usize {
        match self.fixed.iter().position(|known| known == at) {
            Some(known) => known,
            None => {
                self.fixed.push(at.to_string());
                self.fixed.len() - 1
            }
        }
    }

    fn lookup(
        &mut self,
        table: &str,
        per_head: bool,
        index: &Expr,
    ) -> Result<(String, Option<String>)> {
        let index = self.lower(index)?;
        let constant = self.prepared.constants().get(table);
        let heads = if per_head {
            self.prepared.geometry().heads
        } else {
            1
        };
        let (start, len) = match constant {
            Some(values) => (self.words.add(self.data.add(values)), values.len()),
            None => {
                let spec = self.prepared.plan().param(table);
                (self.learned(table)?, spec.map_or(0, |spec| spec.len()))
            }
        };
        let rows = self.words.add(len / heads);
        let head = match per_head {
            true => format!("head * {rows} + "),
            false => String::new(),
        };
        let at = format!("({start} + {head}row(s{index}, {rows}))");
        Ok(match constant {
            Some(_) => (format!("datum({at})"), None),
            None => (format!("learned[{at}]"), Some(format!("give({at}, D);"))),
        })
    }

    fn net(&mut self, name: &str, input: &Expr) -> Result<(String, Option<String>)> {
        let input = self.lower(input)?;
        let spec = self.prepared.plan().param(&format!("{name}.w1"));
        let hidden = spec.map_or(0, |spec| spec.len());
        let mut text = String::new();
        let mut back = format!("var by_input = 0.0;\n    let x = s{input};\n");
        let mut starts = Vec::new();
        for part in ["w1", "b1", "w2", "b2"] {
            let name = format!("{name}.{part}");
            let values = self.prepared.constants().get(&name);
            starts.push(match values {
                Some(values) => (false, self.words.add(self.data.add(values))),
                None => (true, self.learned(&name)?),
            });
        }
        let read = |(learned, at): &(bool, String)| match learned {
            true => format!("learned[{at}]"),
            false => format!("datum({at})"),
        };
        for l in 0..hidden {
            let at = |part: usize, place: String| {
                let (learned, start): &(bool, String) = &starts[part];
                (*learned, format!("({start} + {place})"))
            };
            let w1 = at(0, format!("{l}u"));
            let b1 = at(1, format!("{l}u"));
            let w2 = at(2, format!("head * {hidden}u + {l}u"));
            let before = format!("({} * s{input} + {})", read(&w1), read(&b1));
            text += &format!("{} * max({before}, 0.0) + ", read(&w2));
            back += &format!(
                "    if ({before} > 0.0) {{ by_input += {} * {}; ",
                read(&w2),
                read(&w1)
            );
            let slopes = [
                (w1, format!("D * {} * x", read(&w2))),
                (b1, format!("D * {}", read(&w2))),
                (w2.clone(), format!("D * {before}")),
            ];
            for ((learned, at), slope) in slopes {
                if learned {
                    back += &format!("fixed[{}] += {slope}; ", self.slot(&at));
                }
            }
            back += "}\n";
        }
        let (learned, start) = &starts[3];
        let b2 = (*learned, format!("({start} + head)"));
        text += &read(&b2);
        if b2.0 {
            back += &format!("    fixed[{}] += D;\n", self.slot(&b2.1));
        }
        back += &self.toward(input, "D * by_input").unwrap_or_default();
        Ok((text, Some(back)))
    }
}
