//! What holds for every task of the list.

use crate::solvers::solve;
use crate::{Case, defaults, random, words};
use farspan_datasets::rng::Stream;
use farspan_datasets::tasks::{AnyTask, BUILTIN, Example, Point, Rule, grid, score, train_batch};
use serde_json::json;
use std::collections::HashSet;

/// Examples of each task, each under other settings.
const CASES: usize = 10_000;

/// All points of a task's default factors at some lengths, those without example left out.
fn points(task: &dyn AnyTask, lengths: &[usize]) -> Vec<Point> {
    let mut all = vec![vec![]];
    for factor in task.factors() {
        let longer = |at: &Vec<f64>| -> Vec<Vec<f64>> {
            factor
                .values
                .iter()
                .map(|v| [&at[..], &[*v]].concat())
                .collect()
        };
        all = all.iter().flat_map(longer).collect();
    }
    let point = |at: &Vec<f64>| -> Vec<Point> {
        let fits = |length: &&usize| (task.least(at)..=task.most(at)).contains(length);
        let lengths = lengths.iter().filter(fits);
        lengths
            .map(|&length| Point {
                length,
                at: at.clone(),
            })
            .collect()
    };
    all.iter().flat_map(point).collect()
}

/// What holds for any example: symbols, places, and what a solver and a fool score.
fn sound(task: &dyn AnyTask, length: usize, example: &Example, solved: bool) {
    let tokens = &example.tokens;
    assert!(
        (2..=length + 1).contains(&tokens.len()),
        "{} tokens at {length}",
        tokens.len()
    );
    assert!(tokens.iter().all(|t| (*t as usize) < task.vocab()));
    assert!(!example.answers.is_empty());
    let mut end = 1;
    for answer in &example.answers {
        assert!(answer.at.start >= end && answer.at.end > answer.at.start);
        end = answer.at.end;
        assert_eq!(answer.at.len(), answer.right(tokens).len());
        assert!(
            answer
                .right(tokens)
                .iter()
                .chain(&answer.or)
                .all(|t| (*t as usize) < task.vocab())
        );
        assert!(answer.right(tokens).iter().all(|t| !answer.or.contains(t)));
    }
    assert!(end <= tokens.len());
    if let Some(distance) = example.distance {
        assert!((1..=example.answers[0].at.start).contains(&distance));
    }
    // An oracle, and one that is wrong everywhere.
    let rule = task.card().rule;
    let len = tokens.len() - 1;
    let (mut right, mut wrong) = (vec![u32::MAX; len], vec![u32::MAX; len]);
    let mut symbols = 0;
    let text = words(task, tokens);
    let text: Vec<&str> = text.iter().map(String::as_str).collect();
    for answer in &example.answers {
        for (place, &symbol) in answer.at.clone().zip(answer.right(tokens)) {
            right[place - 1] = symbol;
            wrong[place - 1] = symbol + 1_000_000;
            symbols += 1;
            if solved {
                let said = solve(task.id(), &task.settings(), &text[..place]);
                assert_eq!(
                    said,
                    task.render(&[symbol]),
                    "after {}",
                    text[..place].join(" ")
                );
            }
        }
    }
    let asked = match rule {
        Rule::All => 1,
        Rule::Each => example.answers.len(),
        Rule::Symbols => symbols,
    };
    let examples = std::slice::from_ref(example);
    let best = score(rule, examples, len, &right)[0];
    assert_eq!(
        (asked, asked, symbols, symbols),
        (best.right, best.asked, best.symbols, best.of)
    );
    let worst = score(rule, examples, len, &wrong)[0];
    assert_eq!(
        (0, asked, 0, symbols),
        (worst.right, worst.asked, worst.symbols, worst.of)
    );
    // One symbol wrong is one symbol, one answer, or the whole.
    let place = example.answers[0].at.start;
    right[place - 1] = wrong[place - 1];
    let less = score(rule, examples, len, &right)[0];
    assert_eq!((asked - 1, symbols - 1), (less.right, less.symbols));
}

fn tried(id: &str) -> impl Iterator<Item = (u64, Case)> {
    let all = (0..).filter_map(move |index| Some((index, random(id, index)?)));
    all.take(CASES)
}

#[test]
fn examples_are_sound_under_random_settings_and_a_solver_is_right() {
    for entry in BUILTIN {
        for (_, case) in tried(entry.id) {
            let note = format!(
                "{} {} at {} {:?}",
                entry.id,
                case.task.settings(),
                case.length,
                case.at
            );
            let run = || {
                sound(
                    &*case.task,
                    case.length,
                    &case.example,
                    entry.id != "correlated",
                )
            };
            if let Err(error) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
                eprintln!("{note}");
                std::panic::resume_unwind(error);
            }
        }
    }
}

#[test]
fn practice_is_sound_under_random_settings() {
    for entry in BUILTIN {
        let mut filled = 0;
        for (index, case) in tried(entry.id).take(2000) {
            let shortest = case.task.shortest();
            if shortest == usize::MAX {
                continue;
            }
            let length = shortest + index as usize % 50;
            let example = case
                .task
                .practice(&mut Stream::at(2, entry.id, index), length);
            sound(&*case.task, length, &example, entry.id != "correlated");
            filled = filled.max(example.tokens.len());
        }
        assert!(filled > 0, "{}", entry.id);
    }
}

#[test]
fn examples_fill_their_length() {
    for task in defaults() {
        let points = points(&*task, &[64, 65, 66, 127, 128, 129, 1024]);
        assert!(points.len() >= 6, "{}", task.id());
        for point in points {
            let mut rng = Stream::new(0, task.id());
            let example = task.example(&mut rng, point.length, &point.at);
            sound(
                &*task,
                point.length,
                &example,
                task.id() != "correlated" && point.length < 1024,
            );
            // One more unit of its structure would take more: three tokens at most under the defaults, and a carry.
            assert!(
                example.tokens.len() + 3 > point.length,
                "{} {point:?}",
                task.id()
            );
        }
    }
}

#[test]
fn the_shortest_example_exists_and_a_shorter_one_does_not() {
    for task in defaults() {
        for point in points(&*task, &[1024]) {
            let least = task.least(&point.at);
            let example = task.example(&mut Stream::new(0, "least"), least, &point.at);
            sound(&*task, least, &example, task.id() != "correlated");
            // Every structure is full there, to the token.
            assert!(example.tokens.len() > least - 1, "{}: {least}", task.id());
            let shorter = || task.example(&mut Stream::new(0, "least"), least - 1, &point.at);
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(shorter)).is_err());
        }
        let shortest = task.shortest();
        assert!(
            shortest <= 64,
            "{}: a window of 64 holds an example, {shortest}",
            task.id()
        );
        for index in 0..100 {
            let example = task.practice(&mut Stream::at(0, "least", index), shortest);
            sound(&*task, shortest, &example, task.id() != "correlated");
        }
        let shorter = || task.practice(&mut Stream::new(0, "least"), shortest - 1);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(shorter)).is_err());
    }
}

#[test]
fn prompts_depend_on_seed_and_point_and_on_nothing_else() {
    for task in defaults() {
        let points = points(&*task, &[64, 128, 1024]);
        let mut labels = HashSet::new();
        let mut prompts = HashSet::new();
        for point in points.iter().filter(|point| point.length < 1024) {
            let asked = grid(&*task, 3, point, 3);
            assert_eq!(asked, grid(&*task, 3, point, 3));
            let more = grid(&*task, 3, point, 5);
            assert_eq!(
                asked.examples,
                more.examples[..3],
                "more examples change none"
            );
            assert_ne!(asked.examples, grid(&*task, 4, point, 3).examples);
            assert_ne!(asked.examples[0], asked.examples[1]);
            let fresh = labels.insert(task.label(point.length, &point.at));
            assert_eq!(
                fresh,
                prompts.insert(asked.examples[0].tokens.clone()),
                "{}",
                task.id()
            );
        }
        let all: HashSet<String> = points.iter().map(|p| task.label(p.length, &p.at)).collect();
        assert!(
            all.len() == points.len() || task.factors()[0].share,
            "{}",
            task.id()
        );
    }
}

#[test]
fn batches_hold_the_examples_and_weigh_the_answers() {
    for task in defaults() {
        let batch = train_batch(&*task, 1, 7, 6, 96);
        assert_eq!(batch, train_batch(&*task, 1, 7, 6, 96));
        assert_ne!(batch, train_batch(&*task, 1, 8, 6, 96));
        assert_ne!(batch, train_batch(&*task, 2, 7, 6, 96));
        assert_eq!(
            (6, 96, 6 * 96),
            (batch.rows, batch.len, batch.targets.len())
        );
        for point in points(&*task, &[96]) {
            let asked = grid(&*task, 1, &point, 4);
            let rows = asked.examples.iter().zip(0..);
            for (example, row) in rows {
                let range = row * 96..row * 96 + example.tokens.len() - 1;
                assert_eq!(
                    example.tokens[..example.tokens.len() - 1],
                    asked.batch.tokens[range.clone()]
                );
                let mut weights = vec![0.0; 96];
                for answer in &example.answers {
                    for (place, symbol) in answer.at.clone().zip(answer.right(&example.tokens)) {
                        weights[place - 1] = 1.0;
                        assert_eq!(*symbol, asked.batch.targets[row * 96 + place - 1]);
                    }
                }
                assert_eq!(weights, asked.batch.weights[row * 96..(row + 1) * 96]);
            }
            let all = score(task.card().rule, &asked.examples, 96, &asked.batch.targets);
            assert!(
                all.iter()
                    .all(|trial| trial.right == trial.asked && trial.asked > 0)
            );
        }
    }
}

/// Guesses uniformly among the symbols of the kind that is right.
#[test]
fn chance_is_what_guessing_scores() {
    for entry in BUILTIN {
        let mut telling = 0;
        for (index, case) in tried(entry.id).take(60) {
            let (task, length) = (&case.task, case.length);
            let mut rng = Stream::at(9, entry.id, index);
            let (mut right, mut asked) = (0, 0);
            for _ in 0..400 {
                let example = task.example(&mut rng, length, &case.at);
                let len = example.tokens.len() - 1;
                let mut guess = vec![0; len];
                for answer in &example.answers {
                    for (place, symbol) in answer.at.clone().zip(answer.right(&example.tokens)) {
                        let kind = task.alphabet().kind(*symbol);
                        guess[place - 1] = kind.start + rng.below(kind.len() as u64) as u32;
                    }
                }
                let trial = score(task.card().rule, &[example], len, &guess)[0];
                right += trial.right;
                asked += trial.asked;
            }
            let (found, chance) = (right as f64 / asked as f64, task.chance(length, &case.at));
            let error = ((chance * (1.0 - chance) + 1.0 / asked as f64) / asked as f64).sqrt();
            // A tenth for keys without repeats and for sums, whose chance is not exact.
            assert!(
                (found - chance).abs() < 5.0 * error + 0.1 * chance,
                "{} {} at {length} {:?}: guessing scores {found}, chance is {chance}",
                entry.id,
                task.settings(),
                case.at
            );
            telling += usize::from((0.004..0.98).contains(&chance));
        }
        assert!(
            telling >= 5,
            "{}: {telling} cases where chance can be measured",
            entry.id
        );
    }
}

#[test]
fn settings_are_told_read_and_refused() {
    let mut ids = HashSet::new();
    let mut hashes = HashSet::new();
    for entry in BUILTIN {
        assert!(ids.insert(entry.id));
        let task = entry.parse(json!({})).unwrap();
        let settings = task.settings();
        assert_eq!(settings, entry.parse(settings.clone()).unwrap().settings());
        assert!(hashes.insert(task.hash()));
        let known = entry.schema()["properties"].as_object().unwrap().clone();
        for (key, value) in settings.as_object().unwrap() {
            let told = known[key]["description"].as_str().unwrap_or_default();
            assert!(told.len() > 10, "{}.{key} is described", entry.id);
            assert_eq!(*value, known[key]["default"]);
            // Zero, a huge number and nonsense are read or refused, by name.
            for bad in [
                json!(0),
                json!(-1),
                json!(u64::MAX),
                json!("nonsense"),
                json!(0.5),
            ] {
                if let Err(error) = entry.parse(json!({ key: bad.clone() })) {
                    assert!(
                        error.to_string().contains(key),
                        "{}.{key} = {bad}: {error}",
                        entry.id
                    );
                }
            }
        }
        assert!(entry.parse(json!({"no_such": 1})).is_err());
        for text in [
            task.describe(),
            task.why().into(),
            entry.card.idea.into(),
            entry.card.reading.into(),
        ] {
            assert!(
                text.len() > 3 && !text.contains("  "),
                "{}: {text}",
                entry.id
            );
        }
        for factor in task.factors() {
            assert!(factor.values.iter().all(|value| factor.takes(*value)));
            assert!(factor.values.is_sorted() && !factor.values.is_empty());
            for value in [f64::NAN, -1.0, 1.5, f64::INFINITY] {
                assert!(!factor.takes(value));
                let draw = || task.example(&mut Stream::new(0, "bad"), 512, &[value]);
                assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(draw)).is_err());
            }
            assert!(factor.takes(1.0) && factor.share == factor.takes(0.5));
        }
        // Every symbol has a name of its own, and a kind that it belongs to.
        let names: HashSet<String> = (0..task.vocab() as u32)
            .map(|t| task.render(&[t]))
            .collect();
        assert_eq!(task.vocab(), names.len(), "{}", entry.id);
        for token in 0..task.vocab() as u32 {
            assert!(task.alphabet().kind(token).contains(&token));
        }
        assert!(task.alphabet().kind(task.vocab() as u32).is_empty());
    }
}
