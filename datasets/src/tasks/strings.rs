//! What the tasks over strings share.
//!
//! ```text
//! BOS  source …  <to>  target …
//! ```
//!
//! Each fills a length by the longest source that fits, and trains on sources of all lengths from its setting
//! `shortest` to that, as both published batteries do: Kazemnejad et al. 2023, arXiv 2305.19466 (their sources are
//! words behind an instruction, read to an end mark, all of the target to be right), and Delétang et al. 2022, arXiv
//! 2207.02098 (the target is predicted at empty places behind the source all at once and counted by symbol). Here all
//! targets are predicted one after the other.

use super::draw::size;
use super::ids::runs;
use super::{Alphabet, Answer, COUPLED, Card, Example, Look, PLACES, Rule, Task, no_ids, within};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

pub(crate) const BOS: usize = 0;
pub(crate) const TO: usize = 1;
pub(crate) const END: usize = 2;
pub(crate) const SYMBOL: usize = 3;

/// BOS, <to>, <end> and symbols.
pub(crate) fn alphabet(symbols: usize) -> Alphabet {
    Alphabet::of([
        (Look::Mark("bos"), 1),
        (Look::Mark("to"), 1),
        (Look::Mark("end"), 1),
        (Look::Lower, symbols),
    ])
}

pub(crate) fn check(symbols: usize, shortest: usize) -> Result<(), DataError> {
    within("symbols", symbols, 1..=1_000_000)?;
    within("shortest", shortest, 1..=1_000_000)
}

/// A source of uniform symbols.
pub(crate) fn source(rng: &mut Stream, symbols: usize, count: usize) -> Vec<u32> {
    alphabet(symbols).draw_many(rng, SYMBOL, count)
}

/// BOS, the source, <to>, and the target as one answer.
pub(crate) fn line(alphabet: &Alphabet, source: &[u32], target: &[u32]) -> Example {
    let mut tokens = vec![alphabet.id(BOS, 0)];
    tokens.extend(source);
    tokens.push(alphabet.id(TO, 0));
    let asked = tokens.len();
    tokens.extend(target);
    Example {
        answers: vec![Answer::new(asked..tokens.len())],
        tokens,
        ..Example::default()
    }
}

/// A task that asks for a source of uniform symbols in another order, once or more often. Every one is a [`Task`].
pub trait Rewrite:
    Clone
    + Debug
    + Default
    + PartialEq
    + Serialize
    + DeserializeOwned
    + JsonSchema
    + Send
    + Sync
    + 'static
{
    /// [`Task::ID`].
    const ID: &'static str;
    /// [`Task::CARD`].
    const CARD: Card;
    /// How often each symbol of the source stands in the target.
    const TIMES: usize;
    /// Tokens beside those symbols that are fed.
    const MARKS: usize;

    /// Different symbols, and those of the shortest source in training.
    fn sizes(&self) -> (usize, usize);

    /// The source as it is shown, from symbols drawn uniformly.
    fn shown(&self, source: Vec<u32>) -> Vec<u32> {
        source
    }

    /// Which symbol of the source one of the target is, where its place alone tells.
    const ORDER: Option<Order> = None;

    /// What is asked for.
    fn target(&self, abc: &Alphabet, source: &[u32]) -> Vec<u32>;

    /// [`Task::describe`].
    fn describe(&self) -> String;
}

/// Order of a target whose symbols are those of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// That of the source.
    Same,
    /// From its last to its first.
    Backwards,
}

impl Order {
    /// Coupled ids of `places` of symbols in source and target, as the code of Cho et al. 2024 (arXiv 2405.20671) has
    /// them: <to> takes the id before that of the target's first symbol.
    fn coupled(self, to: Option<usize>, places: &[u32]) -> Vec<u32> {
        let source = to.map_or(places.len(), |to| to);
        let count = places[..source].last().map_or(0, |&place| place);
        let id = |(at, &place): (usize, &u32)| match (self, place) {
            (Order::Same, 0) => u32::from(Some(at) == to),
            (Order::Same, place) => place + 1,
            (Order::Backwards, 0) if Some(at) == to => count + 1,
            (Order::Backwards, place) if at > source && place > 0 => count + 1 - place,
            (Order::Backwards, place) => place,
        };
        places.iter().enumerate().map(id).collect()
    }
}

/// Symbols of the source in an example of a length.
fn longest<T: Rewrite>(length: usize) -> usize {
    (length - T::MARKS) / (1 + T::TIMES)
}

fn build<T: Rewrite>(task: &T, rng: &mut Stream, count: usize) -> Example {
    let (symbols, _) = task.sizes();
    let abc = alphabet(symbols);
    let source = task.shown(source(rng, symbols, count));
    line(&abc, &source, &task.target(&abc, &source))
}

impl<T: Rewrite> Task for T {
    const ID: &'static str = T::ID;
    const CARD: Card = T::CARD;

    fn check(&self) -> Result<(), DataError> {
        let (symbols, shortest) = self.sizes();
        check(symbols, shortest)
    }

    fn alphabet(&self) -> Alphabet {
        alphabet(self.sizes().0)
    }

    fn least(&self, _at: &[f64]) -> usize {
        T::MARKS + 1 + T::TIMES
    }

    fn why(&self) -> &'static str {
        match T::TIMES {
            1 => "a symbol twice, and the marks",
            _ => "a symbol three times, and the marks",
        }
    }

    fn example(&self, rng: &mut Stream, length: usize, _at: &[f64]) -> Example {
        build(self, rng, longest::<T>(length))
    }

    /// Sources of all lengths.
    fn practice(&self, rng: &mut Stream, length: usize) -> Example {
        let count = size(rng, self.sizes().1, longest::<T>(length));
        build(self, rng, count)
    }

    fn chance(&self, length: usize, _at: &[f64]) -> f64 {
        let symbols = self.sizes().0 as f64;
        match T::CARD.rule {
            Rule::All => symbols.powf(-((T::TIMES * longest::<T>(length)) as f64)),
            Rule::Each | Rule::Symbols => 1.0 / symbols,
        }
    }

    fn ids(&self, kind: &str, tokens: &[u32]) -> Result<Vec<u32>, String> {
        let abc = alphabet(self.sizes().0);
        let places = runs(tokens, |token| token >= abc.id(SYMBOL, 0));
        match (kind, T::ORDER) {
            (PLACES, _) => Ok(places),
            (COUPLED, Some(order)) => {
                let to = tokens.iter().position(|&token| token == abc.id(TO, 0));
                Ok(order.coupled(to, &places))
            }
            (COUPLED, None) => no_ids(T::ID, kind, "places do not tell what corresponds"),
            _ => no_ids(T::ID, kind, "it has \"place\""),
        }
    }

    fn describe(&self) -> String {
        Rewrite::describe(self)
    }
}
