//! A formula of the plan as WGSL: one line per operation, and backwards one rule per operation.
//!
//! Tables are computed in f64 on the host; what is learned is read as it was given. The rest runs per pair in f32: steps
//! `s0`, `s1`, … forward, their adjoints `d0`, … backward. In templates `$` stands for a step and `D` for its adjoint.

mod learned;

use super::rules::{binary, unary};
use super::text::mentions;
use super::words::{Data, Words};
use crate::expr::{Expr, Side};
use crate::score::{Axis, Columns, Learned, Places as At, Program, Step, Tabled};
use crate::tables::Tables;
use crate::{Error, Result};
use std::collections::BTreeMap;

/// Where parameters and token vectors lie in the flat vector of all that is learned.
pub(super) type Places = BTreeMap<String, usize>;

/// One step: its text, and what gradients need.
#[derive(Debug)]
struct Written {
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
    tables: &'a Tables,
    places: &'a Places,
    data: &'a mut Data,
    words: &'a mut Words,
    program: Program,
    steps: Vec<Written>,
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
        tables: &'a Tables,
        places: &'a Places,
        data: &'a mut Data,
        words: &'a mut Words,
    ) -> Lowering<'a> {
        Lowering {
            tables,
            places,
            data,
            words,
            program: Program::default(),
            steps: Vec::new(),
            fixed: Vec::new(),
        }
    }

    /// Lowers a formula over all tokens of the call.
    pub(super) fn formula(&mut self, expr: &Expr) -> Result<Formula> {
        let (constants, regular) = (self.tables.constants(), self.tables.is_regular());
        let mut builder = Program::builder(constants, regular, Learned::AsGiven);
        let last = builder.lower(&expr.simplified())?;
        self.program = builder.done();
        self.steps.clear();
        for step in self.program.steps.clone() {
            let (text, back) = self.write(step)?;
            let raw = back.iter().any(|rule| self.is_toward_raws(rule));
            self.steps.push(Written { text, back, raw });
        }
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

    /// Text and backward rules of a step.
    fn write(&mut self, step: Step) -> Result<(String, Vec<Rule>)> {
        match step {
            Step::Table(table) => self.table(&self.program.tables[table].clone()),
            Step::Raw(turn) => {
                let turn = self.program.turns[turn];
                let back = Rule::Raw(format!("raws_back[{turn}] += D;"));
                Ok((set(&format!("raws[{turn}]"), ""), vec![back]))
            }
            Step::Lookup {
                weight,
                per_head,
                index,
            } => {
                let (name, learned) = self.program.weights[weight].clone();
                self.lookup((&name, learned), per_head, index)
            }
            Step::Net { network, input } => {
                let first = self.program.networks[network];
                let weights = self.program.weights[first..first + 4].to_vec();
                self.net(&weights, input)
            }
            Step::Unary(op, x) => {
                let (text, slope) = unary(op, &format!("s{x}"));
                Ok((set(&text, ""), self.toward([(x, &slope)])))
            }
            Step::Binary(op, x, y) => {
                let (text, by_x, by_y) = binary(op, &format!("s{x}"), &format!("s{y}"));
                Ok((set(&text, ""), self.toward([(x, &by_x), (y, &by_y)])))
            }
            Step::Select {
                a,
                b,
                then,
                otherwise,
            } => {
                let back = self.toward([
                    (then, &format!("select(0.0, D, s{a} < s{b})")),
                    (otherwise, &format!("select(D, 0.0, s{a} < s{b})")),
                ]);
                let text = format!("select(s{otherwise}, s{then}, s{a} < s{b})");
                Ok((set(&text, ""), back))
            }
        }
    }

    fn table(&mut self, table: &Tabled) -> Result<(String, Vec<Rule>)> {
        match &table.expr {
            Expr::Param(name) if table.learned => {
                let at = format!("{} + head", self.learned(name)?);
                let back = self.gather(&at);
                Ok((set(&format!("learned[{at}]"), name), vec![back]))
            }
            Expr::Token(name, side) => self.token(name, *side),
            _ => Ok((self.constant(table)?, Vec::new())),
        }
    }

    /// A token vector at one end of the pair.
    fn token(&mut self, name: &str, side: Side) -> Result<(String, Vec<Rule>)> {
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

    /// Tabulates in f64; the text reads the table.
    fn constant(&mut self, table: &Tabled) -> Result<String> {
        let places = At::of(self.tables, table.axis);
        let count = places.i.len();
        let heads = self.tables.geometry().heads;
        let rows = if table.per_head { heads } else { 1 };
        let mut values = Vec::with_capacity(rows * count);
        for head in 0..rows {
            let columns = Columns::new(self.tables, &places, head, self.tables.constants());
            let column = columns.eval(&table.expr)?;
            values.extend((0..count).map(|place| column.at(place)));
        }
        let start = self.words.add(self.data.add(&values));
        let row = match rows {
            1 => String::new(),
            _ => format!(" + head * {}", self.words.add(count)),
        };
        let (place, what) = match table.axis {
            Axis::Fixed => ("", "a constant"),
            Axis::Query => (" + qi", "a table by query"),
            Axis::Key => (" + kj", "a table by key"),
            Axis::Distance => (" + kj + queries() - 1u - qi", "a table by distance"),
        };
        Ok(set(&format!("datum({start}{row}{place})"), what))
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
