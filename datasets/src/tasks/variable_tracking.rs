//! Variable tracking (RULER's vt; Hsieh et al. 2024, arXiv 2404.06654, section 3.2).
//!
//! ```text
//! BOS  filler …  <set> A 7  filler …  <set> B A  filler …  <ask> 7 A B
//! ```
//!
//! A chain is a value, a name bound to it, and names bound each to the one before. Statements stand at random places,
//! those of a chain in order. At the end one value is given and all names of its chain are asked for, in the order of
//! the chain; at each place any name of the chain that has not yet been named is right, as RULER counts the share of
//! names that occur anywhere in what is generated.
//!
//! Published: one chain of four hops. With one chain every name of the prompt is an answer, so a second one is the
//! default here.

use super::draw::{Filler, insert, places};
use super::{Alphabet, Answer, Card, Example, Look, Rule, Task, refuse, within};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const BOS: usize = 0;
const SET: usize = 1;
const ASK: usize = 2;
const NAME: usize = 3;
const VALUE: usize = 4;
const FILLER: usize = 5;

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VariableTracking {
    /// Chains; one of them is asked for.
    pub chains: usize,
    /// Names in a chain that are bound to another name.
    pub hops: usize,
    /// Different names.
    pub names: usize,
    /// Different values.
    pub values: usize,
    /// What stands around the statements.
    pub filler: Filler,
    /// Different filler symbols.
    pub fillers: usize,
}

impl Default for VariableTracking {
    fn default() -> VariableTracking {
        VariableTracking {
            chains: 2,
            hops: 2,
            names: 32,
            values: 32,
            filler: Filler::Random,
            fillers: 50,
        }
    }
}

impl Task for VariableTracking {
    const ID: &'static str = "variable-tracking";
    const CARD: Card = Card {
        title: "Variable tracking",
        paper: "Hsieh et al. 2024 (RULER), arXiv 2404.06654, section 3.2",
        idea: "Names are bound to a value by chains of statements in filler; all names of one value are asked for.",
        longer: "filler",
        reading: "The share of names found. The first needs one step back, each other one a further step: a model that only \
                  looks up names finds the first.",
        rule: Rule::Each,
        quantity: "names found",
    };

    fn check(&self) -> Result<(), DataError> {
        within("chains", self.chains, 1..=1000)?;
        within("hops", self.hops, 0..=1000)?;
        within("names", self.names, 1..=1_000_000)?;
        within("values", self.values, 1..=1_000_000)?;
        within("fillers", self.fillers, 1..=1_000_000)?;
        let names = self.chains * (self.hops + 1);
        if names > self.names {
            return refuse(
                "names",
                format!("at least {names}, one for each statement"),
                self.names,
            );
        }
        if self.chains > self.values {
            let rule = format!("at least {}, one for each chain", self.chains);
            return refuse("values", rule, self.values);
        }
        Ok(())
    }

    fn alphabet(&self) -> Alphabet {
        Alphabet::of([
            (Look::Mark("bos"), 1),
            (Look::Mark("set"), 1),
            (Look::Mark("ask"), 1),
            (Look::Upper, self.names),
            (Look::Number, self.values),
            (Look::Lower, self.fillers),
        ])
    }

    fn least(&self, _at: &[f64]) -> usize {
        1 + 3 * self.chains * (self.hops + 1) + 1 + (self.hops + 1)
    }

    fn why(&self) -> &'static str {
        "three for each statement, and the question"
    }

    fn example(&self, rng: &mut Stream, length: usize, _at: &[f64]) -> Example {
        let abc = self.alphabet();
        let room = length - Task::least(self, &[]);
        let each = self.hops + 1;
        let names = abc.draw_different(rng, NAME, self.chains * each);
        let values = abc.draw_different(rng, VALUE, self.chains);
        let hay = self.filler.fill(rng, &abc, FILLER, room);
        // A shuffled list of chains says whose next statement comes.
        let mut whose: Vec<usize> = (0..self.chains * each).map(|i| i / each).collect();
        rng.shuffle(&mut whose);
        let mut said = vec![0; self.chains];
        let mut statement = |chain: usize| {
            let i = said[chain];
            said[chain] += 1;
            let to = match i {
                0 => values[chain],
                _ => names[chain * each + i - 1],
            };
            vec![abc.id(SET, 0), names[chain * each + i], to]
        };
        let places = places(rng, room, whose.len());
        let what: Vec<(usize, Vec<u32>)> = places
            .into_iter()
            .zip(whose.into_iter().map(&mut statement))
            .collect();
        let mut tokens = vec![abc.id(BOS, 0)];
        insert(&mut tokens, &hay, 1, &what);
        // The chains are alike, so the first will do.
        tokens.extend([abc.id(ASK, 0), values[0]]);
        let asked = tokens.len();
        tokens.extend(&names[..each]);
        Example {
            answers: Answer::any_order(asked, &names[..each]),
            distance: None,
            tokens,
            lures: Vec::new(),
        }
    }

    /// The i-th answer of n may be any of n − i + 1 names.
    fn chance(&self, _length: usize, _at: &[f64]) -> f64 {
        (self.hops + 2) as f64 / (2 * self.names) as f64
    }

    fn describe(&self) -> String {
        format!(
            "one of {} chains of {} hops, {} names, in {} of {} symbols",
            self.chains,
            self.hops,
            self.names,
            self.filler.words(),
            self.fillers
        )
    }
}
