//! Answers to given prompts.

use super::cells::{Case, close, whole};
use super::{list, number, size};
use farspan::measure::Measured;
use farspan::measure::grid::Axis;
use farspan::measure::task::TaskGrid;
use farspan_datasets::rng::Stream;
use farspan_datasets::tasks::passkey::Passkey;
use farspan_datasets::tasks::{Alphabet, Answer, AnyTask, Card, Example, Factor, Look};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Prompts that are given, in their order.
#[derive(Debug)]
struct Given {
    cells: Value,
    /// Prompts that were handed out.
    taken: AtomicUsize,
}

impl AnyTask for Given {
    fn id(&self) -> &'static str {
        "given"
    }

    fn card(&self) -> &'static Card {
        const { &<Passkey as farspan_datasets::tasks::Task>::CARD }
    }

    fn settings(&self) -> Value {
        json!({})
    }

    fn hash(&self) -> String {
        String::new()
    }

    fn alphabet(&self) -> Alphabet {
        Alphabet::of([(Look::Number, 512)])
    }

    fn vocab(&self) -> usize {
        512
    }

    fn factors(&self) -> Vec<Factor> {
        AnyTask::factors(&Passkey::default())
    }

    fn least(&self, _: &[f64]) -> usize {
        3
    }

    fn most(&self, _: &[f64]) -> usize {
        usize::MAX
    }

    fn why(&self) -> &'static str {
        ""
    }

    fn example(&self, _: &mut Stream, length: usize, at: &[f64]) -> Example {
        let mut cells = list(&self.cells).iter();
        let here = |c: &&Value| size(&c["length"]) == length && number(&c["depth"]) == at[0];
        let cell = cells.find(here).expect("a cell");
        let prompts = list(&cell["prompts"]);
        let number = self.taken.fetch_add(1, Ordering::Relaxed) % prompts.len();
        Example {
            tokens: list(&prompts[number])
                .iter()
                .map(|id| size(id) as u32)
                .collect(),
            answers: vec![Answer::new(length - 2..length + 1)],
            distance: Some(size(&cell["distance"])),
            ..Example::default()
        }
    }

    fn shortest(&self) -> usize {
        3
    }

    fn practice(&self, _: &mut Stream, _: usize) -> Example {
        unreachable!("nothing is trained")
    }

    fn label(&self, length: usize, at: &[f64]) -> String {
        format!("{length} {at:?}")
    }

    fn chance(&self, _: usize, _: &[f64]) -> f64 {
        0.0
    }

    fn ids(&self, _: &str, _: &[u32]) -> Result<Vec<u32>, String> {
        unreachable!()
    }
    fn render(&self, tokens: &[u32]) -> String {
        format!("{tokens:?}")
    }

    fn describe(&self) -> String {
        String::new()
    }
}

#[test]
fn hits_symbols_and_log_probabilities_of_given_prompts() {
    for (tokenizer, scheme) in [
        ("byte", "rope"),
        ("byte", "dynamic-ntk"),
        ("byte", "alibi"),
        ("bpe", "dynamic-ntk"),
    ] {
        let case = Case::new(tokenizer, scheme);
        let cells = &case.expected["passkey"];
        let config = TaskGrid {
            lengths: vec![32, 64],
            prompts: 5,
            grid: [("depth".to_string(), Axis::Shares(2))].into(),
            ..TaskGrid::default()
        };
        let given = Given {
            cells: cells.clone(),
            taken: AtomicUsize::new(0),
        };
        let mut found = Measured::default();
        case.with(|subject| {
            let end = config.measure(subject, "given", &given, 0, &mut found, &mut |_| true);
            assert!(end.expect("answers"));
        });
        let points = &found.records[0].points;
        assert_eq!(points.len(), list(cells).len());
        for (point, expected) in points.iter().zip(list(cells)) {
            let name = format!("{tokenizer} {scheme} at {}", point.length);
            assert_eq!(point.length, size(&expected["length"]));
            assert_eq!(point.at, [number(&expected["depth"])], "{name}");
            assert_eq!(
                point.facts["distance"],
                number(&expected["distance"]),
                "{name}"
            );
            let hits: Vec<bool> = point.value.iter().map(|x| *x == 1.0).collect();
            assert_eq!(json!(hits), expected["hits"], "{name}");
            let symbols = &point.columns["symbols right"].0;
            assert_eq!(whole(symbols), expected["symbols"], "{name}");
            let log_probs = point.columns["log-probability"].0.iter();
            for (log_prob, expected) in log_probs.zip(list(&expected["log_prob"])) {
                close(&name, *log_prob, expected);
            }
        }
    }
}
