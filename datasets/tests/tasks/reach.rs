//! Oracles of limited sight score exactly where the distance says so.

use crate::{read, task};
use farspan_datasets::tasks::{AnyTask, Point, grid, score};
use serde_json::json;

/// What followed the last earlier occurrence of the present token, among the places that are seen.
fn induction(fed: &[u32], seen: impl Fn(usize) -> bool) -> u32 {
    let now = fed.len() - 1;
    let earlier = (0..now).rev().find(|&at| fed[at] == fed[now]);
    earlier
        .filter(|at| seen(at + 1))
        .map_or(u32::MAX, |at| fed[at + 1])
}

/// All tasks in which one symbol after the question says it all.
fn recalls() -> Vec<Box<dyn AnyTask>> {
    vec![
        task("passkey", json!({})),
        task("needle", json!({})),
        task("needle", json!({"keys": 1, "hay": "noise"})),
        task("needle", json!({"hay": "needles", "names": 1000})),
        task("key-value", json!({})),
        task("mqar", json!({})),
        task("multi-query", json!({"queries": 1})),
    ]
}

fn points(task: &dyn AnyTask, length: usize) -> Vec<Point> {
    let factors = task.factors();
    let values = factors.first().map_or(vec![vec![]], |f| {
        f.values.iter().map(|v| vec![*v]).collect()
    });
    let fits = |at: &Vec<f64>| (task.least(at)..=task.most(at)).contains(&length);
    values
        .into_iter()
        .filter(fits)
        .map(|at| Point { length, at })
        .collect()
}

#[test]
fn induction_recalls_everything() {
    for task in recalls() {
        for length in [64, 65, 300] {
            for point in points(&*task, length) {
                let asked = grid(&*task, 0, &point, 8);
                let argmax: Vec<u32> = asked
                    .batch
                    .tokens
                    .chunks(length)
                    .flat_map(|row| read(row, |fed| induction(fed, |_| true)))
                    .collect();
                for trial in score(task.card().rule, &asked.examples, length, &argmax) {
                    assert_eq!(trial.asked, trial.right, "{} {point:?}", task.id());
                }
            }
        }
    }
}

#[test]
fn a_short_reach_recalls_what_is_within_the_distance() {
    for task in recalls() {
        let (mut near, mut far) = (0, 0);
        for reach in [20, 64, 100, 200] {
            for point in points(&*task, 256) {
                let asked = grid(&*task, 0, &point, 8);
                for example in asked.examples {
                    let argmax = read(&example.tokens[..example.tokens.len() - 1], |fed| {
                        induction(fed, |at| fed.len() - at <= reach)
                    });
                    let len = argmax.len();
                    let trial = score(
                        task.card().rule,
                        std::slice::from_ref(&example),
                        len,
                        &argmax,
                    )[0];
                    let within = match example.distance {
                        Some(distance) => usize::from(distance <= reach),
                        // Pairs stand before all questions, and the value follows its key.
                        None => example
                            .answers
                            .iter()
                            .filter(|answer| {
                                let place = answer.at.start;
                                let found = (0..place - 1)
                                    .find(|&i| example.tokens[i] == example.tokens[place - 1]);
                                place - (found.unwrap() + 1) <= reach
                            })
                            .count(),
                    };
                    assert_eq!(
                        within,
                        trial.right,
                        "{} {point:?}, reach {reach}",
                        task.id()
                    );
                    near += within;
                    far += trial.asked - within;
                }
            }
        }
        assert!(
            near > 5 && far > 5,
            "{}: {near} within reach, {far} beyond",
            task.id()
        );
    }
}

#[test]
fn an_eye_for_the_beginning_recalls_what_is_early() {
    for task in recalls() {
        for seen in [10, 50, 128] {
            for point in points(&*task, 256) {
                for example in grid(&*task, 0, &point, 8).examples {
                    let argmax = read(&example.tokens[..example.tokens.len() - 1], |fed| {
                        induction(fed, |at| at < seen)
                    });
                    let len = argmax.len();
                    let trial = score(
                        task.card().rule,
                        std::slice::from_ref(&example),
                        len,
                        &argmax,
                    )[0];
                    let Some(distance) = example.distance else {
                        continue;
                    };
                    // The last symbol of what was found stands so far after its first as that of the answer.
                    let answer = &example.answers[0].at;
                    let last = answer.start - distance + answer.len() - 1;
                    assert_eq!(
                        usize::from(last < seen),
                        trial.right,
                        "{} {point:?}",
                        task.id()
                    );
                }
            }
        }
    }
}
