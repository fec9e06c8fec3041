//! What follows from a task's examples: batches for training, the prompts of a grid, and how they were answered.

use super::{AnyTask, Example, Rule};
use crate::batch::Batch;
use crate::rng::Stream;

/// Prompts of one length and one value of each factor, put to a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Where on the grid.
    pub point: Point,
    /// The prompts, one a row, filled up behind their end, where nothing that is scored can see; weight 1 on the targets
    /// that are answers.
    pub batch: Batch,
    /// The same prompts as they were drawn.
    pub examples: Vec<Example>,
}

/// A place of the grid.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    /// Tokens fed.
    pub length: usize,
    /// A value of each factor.
    pub at: Vec<f64>,
}

/// How one prompt was answered.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Trial {
    /// What was right, by the task's [`Rule`].
    pub right: usize,
    /// Out of how many.
    pub asked: usize,
    /// Symbols that were right, each given the true ones before it.
    pub symbols: usize,
    /// Out of how many: symbols / of is the accuracy per symbol under every rule.
    pub of: usize,
    /// How far off a wrong first answer is, where the task can tell.
    pub off: Option<f64>,
}

/// The training batch of a step; weight 1 on the answers only. A pure function of its arguments.
///
/// # Panics
/// If `len` is below [`AnyTask::shortest`].
pub fn train_batch(task: &dyn AnyTask, seed: u64, step: u64, rows: usize, len: usize) -> Batch {
    let mut stream = Stream::at(seed, &format!("{}/train", task.id()), step);
    let examples: Vec<Example> = (0..rows).map(|_| task.practice(&mut stream, len)).collect();
    batch(&examples, len)
}

/// `count` prompts at a point. They depend on seed, task, point and their number, and on nothing else: every scheme is
/// asked the same, and more points or prompts change none of those that were there.
///
/// # Panics
/// If the task has no example of that length there.
pub fn grid(task: &dyn AnyTask, seed: u64, point: &Point, count: usize) -> Asked {
    let label = format!("{}/grid/{}", task.id(), task.label(point.length, &point.at));
    let draw = |index: usize| {
        let mut stream = Stream::at(seed, &label, index as u64);
        task.example(&mut stream, point.length, &point.at)
    };
    let examples: Vec<Example> = (0..count).map(draw).collect();
    Asked {
        point: point.clone(),
        batch: batch(&examples, point.length),
        examples,
    }
}

fn batch(examples: &[Example], len: usize) -> Batch {
    let mut batch = Batch::with_capacity(examples.len(), len);
    for example in examples {
        let mut window = example.tokens.clone();
        assert!(
            (2..=len + 1).contains(&window.len()),
            "an example of {} tokens in a window of {len}",
            window.len()
        );
        window.resize(len + 1, window[window.len() - 1]);
        batch.push(&window, 0);
        let row = batch.weights.len() - len;
        for answer in &example.answers {
            let right = answer.right(&example.tokens);
            for (place, &symbol) in answer.at.clone().zip(right) {
                batch.targets[row + place - 1] = symbol;
                batch.weights[row + place - 1] = 1.0;
            }
        }
    }
    batch
}

/// Compares the arg-max at every fed token (row-major, as the batch) with the answers.
///
/// # Panics
/// If there is not one arg-max per fed token.
pub fn score(rule: Rule, examples: &[Example], len: usize, argmax: &[u32]) -> Vec<Trial> {
    assert_eq!(examples.len() * len, argmax.len(), "one arg-max per token");
    let rows = examples.iter().zip(argmax.chunks(len));
    rows.map(|(example, argmax)| trial(rule, example, argmax))
        .collect()
}

fn trial(rule: Rule, example: &Example, argmax: &[u32]) -> Trial {
    let (mut whole, mut symbols, mut all) = (0, 0, 0);
    for answer in &example.answers {
        let places = answer.at.clone().zip(answer.right(&example.tokens));
        let fits = |(place, symbol): &(usize, &u32)| {
            let said = argmax[place - 1];
            said == **symbol || answer.or.contains(&said)
        };
        let right = places.filter(fits).count();
        symbols += right;
        all += answer.at.len();
        whole += usize::from(right == answer.at.len());
    }
    let answers = example.answers.len();
    let (right, asked) = match rule {
        Rule::All => (usize::from(whole == answers && answers > 0), 1),
        Rule::Each => (whole, answers),
        Rule::Symbols => (symbols, all),
    };
    let said = example.answers.first().map(|a| argmax[a.at.start - 1]);
    let lure = |said: u32| example.lures.iter().find(|(token, _)| *token == said);
    Trial {
        right,
        asked,
        symbols,
        of: all,
        off: said.and_then(lure).map(|(_, off)| *off),
    }
}
