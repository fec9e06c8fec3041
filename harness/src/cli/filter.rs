//! Which cells of a plan are meant: at most so many, and by `-k`, pytest's expressions over their labels.
//!
//! ```text
//! expression = conjunction { "or" conjunction }
//! conjunction = negation { "and" negation }
//! negation = "not" negation | "(" expression ")" | word
//! ```
//! A word holds if it is part of the label, upper and lower case alike.

use clap::Args;
use farspan_reports::record::{PlannedCell, RunPlan};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Labels that are told where none agrees.
const SHOWN: usize = 4;

/// Which cells; by default all.
#[derive(Clone, Debug, Default, Args)]
pub struct Choice {
    /// Only cells whose label agrees: words with `and`, `or`, `not`, parentheses
    #[arg(short, value_name = "EXPR")]
    pub k: Option<Filter>,
    /// At most this many cells
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

impl Choice {
    /// Fails if `-k` is given and names no cell of the plan.
    pub fn check(&self, plan: &RunPlan) -> crate::Result<()> {
        let Some(filter) = &self.k else { return Ok(()) };
        if plan.cells.iter().any(|cell| filter.matches(&cell.label)) {
            return Ok(());
        }
        let some = plan.cells.iter().map(|cell| cell.label.as_str());
        let some: Vec<&str> = some.take(SHOWN).collect();
        Err(crate::Error::Config(format!(
            "-k: no label of the {} cells agrees with it; labels are such as {}",
            plan.cells.len(),
            some.join(", ")
        )))
    }

    /// Identities of the cells that are meant, with their bases.
    pub fn of(&self, plan: &RunPlan) -> BTreeSet<String> {
        let matches = |cell: &&PlannedCell| self.k.as_ref().is_none_or(|k| k.matches(&cell.label));
        let wanted = plan.cells.iter().filter(matches);
        let wanted = wanted.take(self.limit.unwrap_or(usize::MAX));
        let with_base = |cell: &PlannedCell| {
            cell.base
                .iter()
                .chain([&cell.id])
                .cloned()
                .collect::<Vec<_>>()
        };
        wanted.flat_map(with_base).collect()
    }
}

/// Which cells, by label.
///
/// ```
/// use farspan::cli::filter::Filter;
///
/// let filter: Filter = "yarn and not (finetuned or retrieval/)".parse()?;
/// assert!(filter.matches("language/yarn-x4/s0"));
/// assert!(!filter.matches("language/yarn-x4+finetuned/s0"));
/// assert!(!filter.matches("retrieval/yarn-x4/s0"));
/// # Ok::<(), farspan::cli::filter::FilterError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(Term);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Word(String),
    Not(Box<Term>),
    And(Vec<Term>),
    Or(Vec<Term>),
}

/// An expression that cannot be read; displays it with a caret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    text: String,
    /// Byte where it goes wrong.
    at: usize,
    what: String,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indent = self
            .text
            .get(..self.at)
            .unwrap_or(&self.text)
            .chars()
            .count();
        write!(f, "{}\n  {}\n  {:indent$}^", self.what, self.text, "")
    }
}

impl std::error::Error for FilterError {}

impl Filter {
    /// Whether a cell with this label is meant.
    pub fn matches(&self, label: &str) -> bool {
        self.0.holds(&label.to_lowercase())
    }
}

impl Term {
    fn holds(&self, label: &str) -> bool {
        match self {
            Term::Word(word) => label.contains(word),
            Term::Not(term) => !term.holds(label),
            Term::And(terms) => terms.iter().all(|term| term.holds(label)),
            Term::Or(terms) => terms.iter().any(|term| term.holds(label)),
        }
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Filter, FilterError> {
        let mut reader = Reader {
            text,
            tokens: tokens(text),
            next: 0,
            depth: 0,
        };
        let term = reader.expression()?;
        match reader.peek() {
            None => Ok(Filter(term)),
            Some(token) => {
                Err(reader.error(format!("expected `and`, `or` or the end, found `{token}`")))
            }
        }
    }
}

/// Words and parentheses with their places.
fn tokens(text: &str) -> Vec<(usize, &str)> {
    let mut tokens = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices() {
        if c.is_whitespace() || c == '(' || c == ')' {
            tokens.extend(start.take().map(|s| (s, &text[s..at])));
            if !c.is_whitespace() {
                tokens.push((at, &text[at..at + 1]));
            }
        } else {
            start.get_or_insert(at);
        }
    }
    tokens.extend(start.map(|s| (s, &text[s..])));
    tokens
}

/// Parentheses deeper than this are refused.
const DEEPEST: usize = 50;

struct Reader<'a> {
    text: &'a str,
    tokens: Vec<(usize, &'a str)>,
    next: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.tokens.get(self.next).map(|(_, token)| *token)
    }

    fn take(&mut self, wanted: &str) -> bool {
        let found = self.peek() == Some(wanted);
        self.next += usize::from(found);
        found
    }

    fn error(&self, what: String) -> FilterError {
        let at = self
            .tokens
            .get(self.next)
            .map_or(self.text.len(), |(at, _)| *at);
        FilterError {
            text: self.text.to_string(),
            at,
            what,
        }
    }

    fn expression(&mut self) -> Result<Term, FilterError> {
        let mut terms = vec![self.conjunction()?];
        while self.take("or") {
            terms.push(self.conjunction()?);
        }
        Ok(one_or(terms, Term::Or))
    }

    fn conjunction(&mut self) -> Result<Term, FilterError> {
        let mut terms = vec![self.negation()?];
        while self.take("and") {
            terms.push(self.negation()?);
        }
        Ok(one_or(terms, Term::And))
    }

    fn negation(&mut self) -> Result<Term, FilterError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error(format!("expected at most {DEEPEST} levels")));
        }
        let term = if self.take("not") {
            Term::Not(Box::new(self.negation()?))
        } else if self.take("(") {
            let term = self.expression()?;
            if !self.take(")") {
                return Err(self.error("expected `)`".into()));
            }
            term
        } else {
            match self.peek() {
                Some(word) if !["and", "or", "not", "(", ")"].contains(&word) => {
                    self.next += 1;
                    Term::Word(word.to_lowercase())
                }
                Some(other) => return Err(self.error(format!("expected a word, found `{other}`"))),
                None => return Err(self.error("expected a word, found the end".into())),
            }
        };
        self.depth -= 1;
        Ok(term)
    }
}

fn one_or(mut terms: Vec<Term>, many: fn(Vec<Term>) -> Term) -> Term {
    if terms.len() == 1 {
        terms.remove(0)
    } else {
        many(terms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: [&str; 5] = [
        "language/rope/s0",
        "language/yarn-x4/s0",
        "language/yarn-x4+finetuned/s1",
        "retrieval/rope/s0",
        "retrieval/alibi/s1",
    ];

    fn chosen(expression: &str) -> Vec<usize> {
        let filter: Filter = expression.parse().unwrap();
        (0..LABELS.len())
            .filter(|&i| filter.matches(LABELS[i]))
            .collect()
    }

    #[test]
    fn expressions_choose_as_pytest_does() {
        for (expression, expected) in [
            ("rope", vec![0, 3]),
            ("ROPE", vec![0, 3]),
            ("language and rope", vec![0]),
            ("rope or alibi", vec![0, 3, 4]),
            ("not language", vec![3, 4]),
            ("not rope and language", vec![1, 2]),
            ("not (rope or alibi)", vec![1, 2]),
            ("language and not (rope or finetuned)", vec![1]),
            // `and` binds closer than `or`, `not` closer than both.
            ("alibi or language and rope", vec![0, 4]),
            ("(alibi or language) and rope", vec![0]),
            ("not not s1", vec![2, 4]),
            ("yarn-x4+finetuned", vec![2]),
            ("(rope)and(language)", vec![0]),
            ("nothing-like-it", vec![]),
        ] {
            assert_eq!(chosen(expression), expected, "{expression}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_pointed_at() {
        for (expression, message) in [
            ("", "expected a word, found the end\n  \n  ^"),
            (
                "rope and",
                "expected a word, found the end\n  rope and\n          ^",
            ),
            (
                "rope yarn",
                "expected `and`, `or` or the end, found `yarn`\n  rope yarn\n       ^",
            ),
            (
                "(rope or alibi",
                "expected `)`\n  (rope or alibi\n                ^",
            ),
            (
                "rope)",
                "expected `and`, `or` or the end, found `)`\n  rope)\n      ^",
            ),
            ("or rope", "expected a word, found `or`\n  or rope\n  ^"),
        ] {
            assert_eq!(
                expression.parse::<Filter>().unwrap_err().to_string(),
                message
            );
        }
        let deep = "(".repeat(10_000);
        assert!(
            deep.parse::<Filter>()
                .unwrap_err()
                .to_string()
                .starts_with("expected at most 50")
        );
    }
}
