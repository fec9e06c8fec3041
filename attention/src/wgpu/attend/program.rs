//! A formula of the plan as WGSL: one line per operation, and backwards one rule per operation.
//!
//! What depends on constants and on one place only (the query's, the key's, their distance, or none) is a table, computed
//! in f64 on the host. The rest runs per pair in f32: steps `s0`, `s1`, … forward, their adjoints `d0`, … backward.
//! In templates `$` stands for a step and `D` for its adjoint.

mod learned;

use super::rules::{binary, unary};
use super::text::mentions;
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
    /// Statements that give it its value, `$` in them.
    text: String,
    /// What carries its adjoint on; nothing below a constant.
    back: Vec<Rule>,
    /// Whether its adjoint reaches a raw score.
    raw: bool,
}

/// A statement that carries the adjoint `D` of a step on.
#[derive(Clone, Debug)]
enum Rule {
    /// To `raws_back`.
    Raw(String),
    /// To the adjoint of an operand, a step.
    Operand(usize, String),
    /// To what is learned.
    Learned(String),
}

impl Rule {
    fn text(&self) -> &str {
        match self {
            Rule::Raw(text) | Rule::Operand(_, text) | Rule::Learned(text) => text,
        }
    }
}

/// Lowers the formulas of one plan; they share accumulators.
#[derive(Debug)]
pub(super) struct Lowering<'a> {
    prepared: &'a Prepared,
    places: &'a Places,
    data: &'a mut Data,
    words: &'a mut Words,
    steps: Vec<Step>,
    /// Addresses of what is learned that stay the same for all pairs of a query; their gradients are gathered per query.
    pub(super) fixed: Vec<String>,
}

/// A lowered formula.
#[derive(Debug)]
pub(super) struct Formula {
    /// Statements that compute the steps.
    pub(super) forward: String,
    /// Expression of the value.
    pub(super) value: String,
    /// Statements from `up` to `raws_back` and to what is learned.
    pub(super) backward: String,
    /// The same to `raws_back` alone.
    pub(super) to_raws: String,
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
        Ok(Formula {
            forward: self.forward(|_| true),
            value: format!("s{last}"),
            backward: self.backward(last, |_| true),
            to_raws: self.backward(last, |rule| self.is_toward_raws(rule)),
        })
    }

    fn is_toward_raws(&self, rule: &Rule) -> bool {
        match rule {
            Rule::Raw(_) => true,
            Rule::Operand(step, _) => self.steps[*step].raw,
            Rule::Learned(_) => false,
        }
    }

    /// The steps that are `wanted`, in order.
    fn forward(&self, wanted: impl Fn(usize) -> bool) -> String {
        let wanted = (0..self.steps.len()).filter(|k| wanted(*k));
        let lines = wanted.map(|k| self.steps[k].text.replace('$', &format!("s{k}")));
        lines.collect()
    }

    /// The steps that rules read, then the rules that are `kept`, from the `last` step down.
    fn backward(&self, last: usize, kept: impl Fn(&Rule) -> bool) -> String {
        let (mut starts, mut rules) = (String::new(), String::new());
        for (k, step) in self.steps.iter().enumerate().rev() {
            let texts = step.back.iter().filter(|rule| kept(rule)).map(Rule::text);
            let texts: Vec<&str> = texts.collect();
            if texts.is_empty() {
                continue;
            }
            let start = if k == last { "up" } else { "0.0" };
            starts += &format!("    var d{k} = {start};\n");
            let texts = texts.join(" ").replace(" \n", "\n");
            let texts = texts.replace('D', &format!("d{k}"));
            // A pair without weight must not turn an infinite derivative into NaN.
            rules += &match texts.contains('\n') {
                true => format!("    if (d{k} != 0.0) {{{texts}\n    }}\n"),
                false => format!("    if (d{k} != 0.0) {{ {texts} }}\n"),
            };
        }
        let mut read = rules.clone();
        let mut wanted = vec![false; self.steps.len()];
        for k in (0..self.steps.len()).rev() {
            wanted[k] = mentions(&read, &format!("s{k}"));
            if wanted[k] {
                read += &self.steps[k].text;
            }
        }
        self.forward(|k| wanted[k]) + &starts + &rules
    }

    fn lower(&mut self, expr: &Expr) -> Result<usize> {
        if let Some(known) = self.steps.iter().position(|step| step.expr == *expr) {
            return Ok(known);
        }
        let (text, back) = match self.axis(expr) {
            Some(axis) => (self.table(expr, axis)?, Vec::new()),
            None => self.operation(expr)?,
        };
        let raw = back.iter().any(|rule| self.is_toward_raws(rule));
        self.steps.push(Step {
            expr: expr.clone(),
            text,
            back,
            raw,
        });
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
                    n: prepared.context_len(),
                    head,
                    heads,
                    raw: &[],
                    params: prepared.constants(),
                    tokens: &tokens,
                })?);
            }
        }
        let start = self.words.add(self.data.add(&values));
        let row = match rows {
            1 => String::new(),
            _ => format!(" + head * {}", self.words.add(places.len())),
        };
        let (place, what) = match axis {
            Axis::Nothing => ("", "a constant"),
            Axis::Query => (" + qi", "a table by query"),
            Axis::Key => (" + kj", "a table by key"),
            Axis::Distance => (" + qi + keys() - 1u - kj", "a table by distance"),
        };
        Ok(set(&format!("datum({start}{row}{place})"), what))
    }

    /// Text and backward rules of an operation that runs per pair.
    fn operation(&mut self, expr: &Expr) -> Result<(String, Vec<Rule>)> {
        match expr {
            Expr::Raw(turn) => {
                let back = Rule::Raw(format!("raws_back[{turn}] += D;"));
                Ok((set(&format!("raws[{turn}]"), ""), vec![back]))
            }
            Expr::Param(name) => {
                let at = format!("{} + head", self.learned(name)?);
                let back = self.gather(&at);
                Ok((set(&format!("learned[{at}]"), name), vec![back]))
            }
            Expr::Token(name, side) => {
                let start = self.learned(&format!("{name}@{side}"))?;
                let line = "(batch * heads() + head)";
                let (at, what) = match side {
                    Side::Query => (format!("{start} + {line} * queries() + qi"), "query"),
                    Side::Key => (format!("{start} + {line} * keys() + kj"), "key"),
                };
                let back = match side {
                    Side::Query => self.gather(&at),
                    Side::Key => Rule::Learned(format!("give({at}, D);")),
                };
                let what = format!("{name} of the {what}");
                Ok((set(&format!("learned[{at}]"), &what), vec![back]))
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
                Ok((set(&text, ""), self.toward([(x, &slope)])))
            }
            Expr::Binary(op, x, y) => {
                let (x, y) = (self.lower(x)?, self.lower(y)?);
                let (text, by_x, by_y) = binary(*op, &format!("s{x}"), &format!("s{y}"));
                Ok((set(&text, ""), self.toward([(x, &by_x), (y, &by_y)])))
            }
            Expr::Select {
                a,
                b,
                then,
                otherwise,
            } => {
                let [a, b] = [self.lower(a)?, self.lower(b)?];
                let [then, otherwise] = [self.lower(then)?, self.lower(otherwise)?];
                let back = self.toward([
                    (then, &format!("select(0.0, D, s{a} < s{b})")),
                    (otherwise, &format!("select(D, 0.0, s{a} < s{b})")),
                ]);
                let text = format!("select(s{otherwise}, s{then}, s{a} < s{b})");
                Ok((set(&text, ""), back))
            }
            // These are tables by nothing, query or key.
            Expr::Number(_) | Expr::Query | Expr::Key | Expr::Reach => {
                Err(Error::expr(format!("{expr} is no operation")))
            }
        }
    }

    /// Adds slopes to the adjoints of those operands that have one.
    fn toward<const N: usize>(&self, operands: [(usize, &str); N]) -> Vec<Rule> {
        let wanted = operands
            .into_iter()
            .filter(|(step, slope)| !self.steps[*step].back.is_empty() && *slope != "0.0");
        let rule = |(step, slope)| Rule::Operand(step, format!("d{step} += {slope};"));
        wanted.map(rule).collect()
    }

    /// Start of a parameter in the flat vector, as text.
    fn learned(&mut self, name: &str) -> Result<String> {
        let place = self.places.get(name);
        let place = place.ok_or_else(|| Error::expr(format!("no parameter {name:?}")))?;
        Ok(self.words.add(*place))
    }

    /// Keeps the gradient of an address that all pairs of a query share.
    fn gather(&mut self, at: &str) -> Rule {
        Rule::Learned(format!("fixed[{}] += D;", self.slot(at)))
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
}

/// A line that gives a step its value, and says in words what is read.
fn set(value: &str, what: &str) -> String {
    let what = match what {
        "" => String::new(),
        what => format!(" // {what}"),
    };
    format!("    let $ = {value};{what}\n")
}

/// The number at an address, learned or constant.
fn read(learned: bool, at: &str) -> String {
    match learned {
        true => format!("learned[{at}]"),
        false => format!("datum({at})"),
    }
}
