//! Prompts of every task: budgets, places, and that one seed asks the same.

mod budgets;
mod fillers;
mod places;
mod readers;

use farspan_datasets::words::{AnyWordTask, BUILTIN, Point, Prompt, Writer, find, shares};
use farspan_datasets::{DataError, rng::Stream};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Four bytes a token and one for each blank, as real tokenizers roughly count; and one for the whole.
fn count(text: &str) -> Result<usize, DataError> {
    Ok(1 + text
        .split_inclusive(char::is_whitespace)
        .map(|w| w.len().div_ceil(4))
        .sum::<usize>())
}

fn task(id: &str, settings: Value) -> Box<dyn AnyWordTask> {
    find(id).unwrap().parse(settings).unwrap()
}

/// A text with sentences that no task may put into its filler.
fn book() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.txt");
    let text = "It rained all day. Nobody came, as Mr. Fox had said they would not! In 1234567 no one was born.\n\n\
                Was the amber-falcon there? Clara sat in the kitchen and wept. A long sentence follows here, with many \
                words that say little, and it goes on and on. Call me 00000000-0000-4000-8000-000000000000. The key \
                12345 lay there. BCDFG was no word. Then it ended.\n";
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

/// Settings of every task, many of each.
fn many() -> Vec<(&'static str, Value)> {
    let mut all = vec![
        ("passkey", json!({})),
        ("passkey", json!({ "digits": 7, "twice": true })),
        ("passkey", json!({ "digits": 1, "answer_tokens": 10 })),
        // Fewer than the key takes: the prompt has room for the key all the same.
        ("passkey", json!({ "answer_tokens": 1 })),
        ("passkey", json!({ "filler": "text", "text": "book.txt" })),
        ("variables", json!({})),
        ("variables", json!({ "chains": 3, "hops": 2 })),
        (
            "variables",
            json!({ "filler": "text", "text": "book.txt", "hops": 1, "answer_tokens": 30 }),
        ),
        (
            "common-words",
            json!({ "common": 2, "often": 4, "seldom": 1 }),
        ),
        (
            "common-words",
            json!({ "common": 1, "often": 6, "seldom": 2, "answer_tokens": 5 }),
        ),
        ("frequent-words", json!({ "asked": 1 })),
        ("frequent-words", json!({})),
        ("frequent-words", json!({ "asked": 2, "alpha": 1.5 })),
        ("lines", json!({})),
        ("lines", json!({ "name": "numbers" })),
        ("lines", json!({ "name": "uuids", "digits": 8 })),
        // Of three digits, many stand in the names of other lines, too: those prompts are drawn again.
        ("lines", json!({ "name": "uuids", "digits": 3 })),
        ("json-pairs", json!({})),
        ("json-pairs", json!({ "key": "words", "value": "numbers" })),
    ];
    for (around, keys, values, queries, key, value) in [
        ("noise", 1, 1, 1, "words", "numbers"),
        ("text", 1, 1, 1, "words", "numbers"),
        ("text", 1, 1, 1, "words", "uuids"),
        ("text", 4, 1, 1, "words", "numbers"),
        ("needles", 1, 1, 1, "words", "numbers"),
        ("needles", 1, 1, 1, "uuids", "uuids"),
        ("needles", 2, 1, 1, "words", "words"),
        ("text", 1, 4, 1, "words", "numbers"),
        ("text", 4, 1, 4, "words", "numbers"),
        ("noise", 5, 2, 3, "numbers", "words"),
    ] {
        let mut settings = json!({
            "around": around, "keys": keys, "values": values, "queries": queries, "key": key, "value": value,
        });
        if around == "text" {
            settings["text"] = "book.txt".into();
        }
        all.push(("needles", settings));
    }
    for qa in ["qa1", "qa2", "qa3", "qa4", "qa5"] {
        all.push(("facts", json!({ "question": qa })));
        all.push((
            "facts",
            json!({ "question": qa, "filler": "text", "text": "book.txt", "from": 0.2, "to": 0.7 }),
        ));
    }
    all
}

/// Some value of each factor.
fn somewhere(task: &dyn AnyWordTask, rng: &mut Stream) -> Vec<f64> {
    task.factors().iter().map(|_| rng.uniform()).collect()
}

/// The prompt at a point whatever length it takes: the length asked for, or the least that the refusal names.
fn least(writer: &Writer<'_>, seed: u64, at: &[f64], length: usize) -> Option<usize> {
    let point = Point {
        length,
        at: at.to_vec(),
    };
    match writer.prompt(seed, &point, 0) {
        Ok(_) => None,
        Err(error) => {
            let text = error.to_string();
            let least = text.split("it takes at least ").nth(1);
            Some(least.unwrap_or_else(|| panic!("{text}")).parse().unwrap())
        }
    }
}

fn stream(task: &dyn AnyWordTask, seed: u64, point: &Point) -> Stream {
    let at: Vec<String> = point.at.iter().map(f64::to_string).collect();
    let label = format!("words/{}/{}/{}", task.id(), point.length, at.join("/"));
    Stream::at(seed, &label, 0)
}

fn clean(task: &dyn AnyWordTask, folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join(task.text().unwrap())).unwrap();
    let mut found = farspan_datasets::words::sentences(&text);
    found.retain(|sentence| task.may_stand(sentence));
    found
}
