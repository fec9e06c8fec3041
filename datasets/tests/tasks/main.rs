//! The tasks over tokens, against solvers written apart from them, oracles whose score is known, and the law of each.

mod every;
mod ids;
mod laws;
mod passkey;
mod reach;
mod settings;
mod solvers;

use farspan_datasets::DataError;
use farspan_datasets::rng::Stream;
use farspan_datasets::tasks::{AnyTask, BUILTIN, Example, find};
use serde_json::{Value, json};

/// Draws in tests.
trait Draw {
    /// A whole number from one to another.
    fn from(&mut self, low: usize, high: usize) -> usize;
    /// One of several.
    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T;
}

impl Draw for Stream {
    fn from(&mut self, low: usize, high: usize) -> usize {
        low + self.below((high - low + 1) as u64) as usize
    }
    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.from(0, of.len() - 1)]
    }
}

fn try_task(id: &str, settings: Value) -> Result<Box<dyn AnyTask>, DataError> {
    find(id).unwrap().parse(settings)
}

fn task(id: &str, settings: Value) -> Box<dyn AnyTask> {
    try_task(id, settings).unwrap()
}

/// All tasks under their defaults.
fn defaults() -> impl Iterator<Item = Box<dyn AnyTask>> {
    BUILTIN.iter().map(|entry| task(entry.id, json!({})))
}

/// An example of a task under random settings: where it was drawn, and itself. None if these have no example.
struct Case {
    task: Box<dyn AnyTask>,
    length: usize,
    at: Vec<f64>,
    example: Example,
}

fn random(id: &str, index: u64) -> Option<Case> {
    let mut rng = Stream::at(1, id, index);
    let task = find(id)
        .unwrap()
        .parse(settings::random(id, &mut rng))
        .ok()?;
    let factors = task.factors();
    let draw = |share| match share {
        true => *rng.one(&[0.0, 0.01, 0.3, 0.5, 0.77, 1.0]),
        false => rng.from(1, 6) as f64,
    };
    let at: Vec<f64> = factors.iter().map(|f| f.share).map(draw).collect();
    let (least, most) = (task.least(&at), task.most(&at));
    if least == usize::MAX {
        return None;
    }
    let longest = (least + rng.one(&[0, 1, 2, 60])).min(most);
    let length = rng.from(least, longest);
    let example = task.example(&mut rng, length, &at);
    Some(Case {
        task,
        length,
        at,
        example,
    })
}

/// What a reader says after every fed token.
fn read(fed: &[u32], reader: impl Fn(&[u32]) -> u32) -> Vec<u32> {
    (1..=fed.len()).map(|n| reader(&fed[..n])).collect()
}

/// Words of an example.
fn words(task: &dyn AnyTask, tokens: &[u32]) -> Vec<String> {
    let text = task.render(tokens);
    text.split(' ').map(String::from).collect()
}
