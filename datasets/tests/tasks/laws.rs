//! The law of each task: what its examples hold and how often.

mod orders;
mod recall;
mod states;

use crate::{Draw, random, task, words};
use farspan_datasets::rng::Stream;
use farspan_datasets::tasks::correlated::Correlated;
use farspan_datasets::tasks::{AnyTask, Example, find, score};
use serde_json::json;
use std::collections::{HashMap, HashSet};

const CASES: usize = 10_000;

/// Cases of a task under random settings: its settings, the words of an example, and where the first question begins.
fn cases(id: &str, mut law: impl FnMut(&dyn AnyTask, &[&str], &Example, usize)) {
    for case in (0..).filter_map(|index| random(id, index)).take(CASES) {
        let text = words(&*case.task, &case.example.tokens);
        let text: Vec<&str> = text.iter().map(String::as_str).collect();
        let asked = case.example.answers[0].at.start;
        law(&*case.task, &text, &case.example, asked);
    }
}

fn count(words: &[&str], word: &str) -> usize {
    words.iter().filter(|other| **other == word).count()
}

fn is_key(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_uppercase())
}

fn setting(task: &dyn AnyTask, key: &str) -> usize {
    task.settings()[key].as_u64().unwrap() as usize
}

/// Sum of squared deviations over expectation, which has mean `cells` and variance twice that, if the law holds.
fn chi_square(found: &[usize], law: impl Fn(usize) -> f64) {
    let total: usize = found.iter().sum();
    let all: f64 = (0..found.len()).map(&law).sum();
    let chi: f64 = found
        .iter()
        .enumerate()
        .map(|(i, &n)| {
            let expected = total as f64 * law(i) / all;
            (n as f64 - expected).powi(2) / expected
        })
        .sum();
    let cells = found.len() as f64;
    assert!(
        chi < cells + 5.0 * (2.0 * cells).sqrt() + 5.0,
        "chi-square {chi} of {cells}: {found:?}"
    );
}
