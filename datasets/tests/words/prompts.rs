//! Prompts of every task: budgets, places, and that one seed asks the same.

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

#[test]
fn every_task_is_listed_once_and_says_what_it_is() {
    let ids: HashSet<&str> = BUILTIN.iter().map(|entry| entry.id).collect();
    assert_eq!(BUILTIN.len(), ids.len());
    let tested: HashSet<&str> = many().iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, tested, "tasks that no test of this file asks for");
    for entry in BUILTIN {
        let task = entry.parse(json!({})).unwrap();
        assert_eq!(entry.id, task.id());
        let schema = entry.schema();
        assert_eq!(entry.card.title, schema["title"]);
        for (key, about) in schema["properties"].as_object().unwrap() {
            assert!(about["description"].is_string(), "{}: {key}", entry.id);
        }
        // Settings that are written out are read back as what they were.
        let again = entry.parse(task.settings()).unwrap();
        assert_eq!(task.hash(), again.hash());
        assert!((0.0..0.5).contains(&task.chance()), "{}", entry.id);
        for factor in task.factors() {
            assert!(factor.values.is_sorted() && !factor.values.is_empty());
        }
    }
}

#[test]
fn what_cannot_be_set_is_refused_by_its_key() {
    for (id, settings, words) in [
        (
            "passkey",
            json!({ "digits": 0 }),
            "digits: expected 1 to 18, found 0",
        ),
        (
            "passkey",
            json!({ "digit": 3 }),
            "passkey: digit: expected one of its settings (digits, twice,",
        ),
        (
            "passkey",
            json!({ "digits": "x" }),
            "passkey: digits: expected",
        ),
        ("passkey", json!([]), "a table of settings"),
        (
            "passkey",
            json!({ "filler": "text" }),
            "text: expected a file, as filler = \"text\", found none",
        ),
        (
            "passkey",
            json!({ "text": "a.txt" }),
            "text: expected none, as filler = \"noise\", found \"a.txt\"",
        ),
        (
            "needles",
            json!({ "around": "text" }),
            "text: expected a file, as around = \"text\", found none",
        ),
        (
            "needles",
            json!({ "text": "a.txt" }),
            "text: expected none, as around is no text",
        ),
        (
            "needles",
            json!({ "keys": 2, "queries": 3 }),
            "keys: expected 3 to 1000, found 2",
        ),
        ("variables", json!({ "hops": 0 }), "hops: expected 1 to 100"),
        (
            "common-words",
            json!({ "often": 3 }),
            "often: expected 4 to",
        ),
        (
            "frequent-words",
            json!({ "alpha": 1.0 }),
            "alpha: expected 1.1 to 4, found 1",
        ),
        ("lines", json!({ "digits": 1 }), "digits: expected 2 to 18"),
        (
            "facts",
            json!({ "question": "qa3", "facts": 2 }),
            "facts: expected 3 to 1000, found 2",
        ),
        (
            "facts",
            json!({ "question": "qa4", "facts": 6 }),
            "facts: expected 1 to 5, found 6",
        ),
        (
            "facts",
            json!({ "from": 0.8, "to": 0.2 }),
            "from, to: expected 0 <= from <= to <= 1",
        ),
        (
            "facts",
            json!({ "question": "qa6" }),
            "facts: question: expected",
        ),
    ] {
        let error = find(id).unwrap().parse(settings).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    assert!(find("niah").is_none());
}

/// A thousand settings, lengths and places: never above the budget, and one unit more is above it.
#[test]
fn prompts_fill_their_budget_and_never_more() {
    let (folder, _) = book();
    let all = many();
    let mut rng = Stream::new(0, "test/budget");
    let mut written = 0;
    for round in 0..1000 {
        let (id, settings) = &all[round % all.len()];
        let task = task(id, settings.clone());
        let writer = Writer::open(task.as_ref(), folder.path(), &count).unwrap();
        let at = somewhere(task.as_ref(), &mut rng);
        let length = 64 + rng.below(if round % 10 == 0 { 4000 } else { 600 }) as usize;
        let seed = rng.below(100);
        let point = Point {
            length,
            at: at.clone(),
        };
        let Ok(prompt) = writer.prompt(seed, &point, 0) else {
            let least = least(&writer, seed, &at, length).unwrap();
            assert!(least > length, "{id}: {least} fit {length}");
            continue;
        };
        written += 1;
        assert!(
            prompt.tokens <= length,
            "{id} {settings}: {} of {length}",
            prompt.tokens
        );
        // As RULER counts: the prompt and what is left for the answer. And the answer itself fits, too.
        let bare = count(&prompt.whole()).unwrap();
        assert!(bare + prompt.answer_tokens <= length, "{id}");
        assert!(
            count(&prompt.answered(&prompt.answer())).unwrap() <= length,
            "{id}"
        );
        // One more unit, by the task's own hand.
        let mut again = stream(task.as_ref(), seed, &point);
        let text: Vec<String> = match task.text() {
            Some(_) => clean(task.as_ref(), folder.path()),
            None => Vec::new(),
        };
        let draft = task.draft(&mut again, &at, &text).unwrap();
        let same = (draft.write)(prompt.units);
        if same.text == prompt.text {
            let more = (draft.write)(prompt.units + 1);
            let bare_more = count(&more.whole()).unwrap();
            let answered = count(&more.answered(&more.answer())).unwrap();
            let budget = match task.answer_tokens() {
                Some(tokens) => tokens,
                None => answered - bare_more + 4,
            };
            assert!(
                answered.max(bare_more + budget) > length,
                "{id} {settings}: room for more"
            );
        }
    }
    assert!(written > 700, "only {written} prompts were written");
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

/// The least that a refusal names is enough, and one token less is not. The same prompt is drawn for every length by a
/// draft of its own, so its least is that of the draft.
#[test]
fn what_does_not_fit_is_refused_with_the_least_that_does() {
    let (folder, _) = book();
    for (id, settings) in many() {
        let task = task(id, settings.clone());
        let writer = Writer::open(task.as_ref(), folder.path(), &count).unwrap();
        let at = vec![0.5; task.factors().len()];
        let named = least(&writer, 1, &at, 10).unwrap();
        // Lengths have draws of their own: keys differ in tokens by a few.
        let point = Point {
            length: named + 40,
            at: at.clone(),
        };
        let prompt = writer.prompt(1, &point, 0).unwrap();
        assert!(!prompt.references.is_empty());
        assert!(
            least(&writer, 1, &at, named - 40.min(named - 1)).is_some(),
            "{id} {settings}"
        );
    }
    // What they take at the least, in tokens of four bytes: a new wording must not grow unseen.
    for (id, settings, most) in [
        ("passkey", json!({}), 64),
        ("needles", json!({}), 64),
        ("lines", json!({}), 80),
        (
            "json-pairs",
            json!({ "key": "words", "value": "numbers" }),
            64,
        ),
        ("facts", json!({ "question": "qa1", "facts": 2 }), 64),
        ("facts", json!({ "question": "qa4" }), 80),
        ("variables", json!({ "hops": 1 }), 80),
        (
            "common-words",
            json!({ "common": 1, "often": 2, "seldom": 1 }),
            64,
        ),
        ("frequent-words", json!({ "asked": 1 }), 80),
    ] {
        let task = task(id, settings);
        let writer = Writer::open(task.as_ref(), Path::new("."), &count).unwrap();
        let at = vec![0.5; task.factors().len()];
        let named = least(&writer, 1, &at, 10).unwrap();
        assert!(named <= most, "{id} takes {named}");
    }
}

#[test]
fn one_seed_asks_the_same() {
    let (folder, _) = book();
    for (id, settings) in many() {
        let task = task(id, settings);
        let writer = Writer::open(task.as_ref(), folder.path(), &count).unwrap();
        let point = Point {
            length: 700,
            at: vec![0.25; task.factors().len()],
        };
        let draw = |seed: u64, index: u64| writer.prompt(seed, &point, index).unwrap();
        let first = draw(5, 3);
        let other = Writer::open(task.as_ref(), folder.path(), &count).unwrap();
        // In any order, and by any writer.
        let _ = other.prompt(5, &point, 7);
        assert_eq!(first, other.prompt(5, &point, 3).unwrap());
        assert_ne!(first.text, draw(5, 4).text, "{id}");
        assert_ne!(first.text, draw(6, 3).text, "{id}");
    }
}

#[test]
fn deeper_facts_stand_later() {
    for (id, settings) in many() {
        let task = task(id, settings);
        if task.factors().is_empty() || task.text().is_some() {
            continue;
        }
        for length in [200, 800] {
            // One draft for all depths, so that nothing but the depth differs.
            let place = |depth: f64| {
                let mut rng = Stream::new(3, "test/depth");
                let draft = task.draft(&mut rng, &[depth], &[]).unwrap();
                let prompt = (draft.write)(length / 10);
                (prompt.facts[0].start, prompt.text.len())
            };
            let places: Vec<usize> = shares(21).into_iter().map(|d| place(d).0).collect();
            assert!(places.is_sorted(), "{id}: {places:?}");
            let (start, end) = (places[0], places[20]);
            // At the two ends nothing of the filler stands before, or behind.
            assert!(start < 200, "{id}: {start}");
            assert!(place(1.0).1 - end < 200, "{id}: {end}");
            assert!(
                places.windows(2).filter(|w| w[0] == w[1]).count() < 5,
                "{id}"
            );
        }
    }
}

/// A thousand prompts: what is sought stands where the fact is, and nowhere else.
#[test]
fn answers_stand_where_they_should() {
    let (folder, _) = book();
    let all: Vec<_> = many()
        .into_iter()
        .filter(|(id, _)| ["passkey", "needles", "lines", "json-pairs"].contains(id))
        .collect();
    let mut rng = Stream::new(1, "test/answers");
    for round in 0..1000 {
        let (id, settings) = &all[round % all.len()];
        let task = task(id, settings.clone());
        let writer = Writer::open(task.as_ref(), folder.path(), &count).unwrap();
        let at = somewhere(task.as_ref(), &mut rng);
        let length = 400 + rng.below(800) as usize;
        let prompt = writer
            .prompt(rng.below(1000), &Point { length, at }, 0)
            .unwrap();
        assert_eq!(
            prompt.references.len(),
            prompt.facts.len(),
            "{id} {settings}"
        );
        let whole = prompt.whole().to_lowercase();
        let twice = settings["twice"] == true;
        for reference in &prompt.references {
            let found: Vec<usize> = whole
                .match_indices(&reference.to_lowercase())
                .map(|m| m.0)
                .collect();
            assert_eq!(
                1 + usize::from(twice),
                found.len(),
                "{id} {settings}: {reference} in {whole}"
            );
            let last = found[found.len() - 1];
            assert!(
                prompt.facts.contains(&(last..last + reference.len())),
                "{id}"
            );
        }
        assert!(prompt.facts.is_sorted_by_key(|fact| fact.start));
        assert!(prompt.text.ends_with(&prompt.question), "{id}");
    }
}

#[test]
fn only_whole_sentences_stand_around() {
    let (folder, path) = book();
    let text = std::fs::read_to_string(&path).unwrap();
    let sentences = farspan_datasets::words::sentences(&text);
    for (id, settings) in many() {
        let task = task(id, settings);
        if task.text().is_none() {
            continue;
        }
        let writer = Writer::open(task.as_ref(), folder.path(), &count).unwrap();
        assert_eq!(64, writer.text_hash().unwrap().len());
        let kept = clean(task.as_ref(), folder.path());
        let left_out: Vec<&String> = sentences.iter().filter(|s| !kept.contains(s)).collect();
        assert!(!left_out.is_empty() && kept.len() > 4, "{id}: {kept:?}");
        let at = vec![0.5; task.factors().len()];
        let prompt = writer.prompt(0, &Point { length: 500, at }, 0).unwrap();
        for sentence in left_out {
            assert!(!prompt.text.contains(sentence.as_str()), "{id}: {sentence}");
        }
        // The sentences in the order of the text, from some place on, around and around.
        let body = prompt.text.split("\n\n").nth(1).unwrap();
        let mut next = None;
        let mut seen = 0;
        let mut rest = body;
        while !rest.is_empty() {
            let sentence = kept.iter().position(|s| rest.starts_with(s.as_str()));
            let length = match sentence {
                Some(index) => {
                    assert!(next.is_none_or(|next| next == index), "{id}: {body}");
                    next = Some((index + 1) % kept.len());
                    seen += 1;
                    kept[index].len()
                }
                None => rest.find(". ").map_or(rest.len(), |at| at + 1),
            };
            rest = rest[length..].trim_start();
        }
        assert_eq!(prompt.units, seen, "{id}");
    }
}

#[test]
fn a_text_without_sentences_to_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (text, words) in [
        ("", "found no text"),
        (
            "In 12345 it was. In 54321 it was not.",
            "found none among 2",
        ),
    ] {
        std::fs::write(folder.path().join("book.txt"), text).unwrap();
        let task = task("passkey", json!({ "filler": "text", "text": "book.txt" }));
        let error = Writer::open(task.as_ref(), folder.path(), &count)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(words) && error.contains("book.txt"),
            "{error}"
        );
    }
    let none = task("passkey", json!({ "filler": "text", "text": "none.txt" }));
    let error = Writer::open(none.as_ref(), folder.path(), &count)
        .unwrap_err()
        .to_string();
    assert!(error.contains("none.txt: cannot be read"), "{error}");
}

#[test]
fn a_tokenizer_that_cannot_count_is_an_error() {
    let task = task("passkey", json!({}));
    let at = vec![0.5];
    // Its tokens do not grow with the text.
    let constant = |_: &str| Ok(1);
    let writer = Writer::open(task.as_ref(), Path::new("."), &constant).unwrap();
    let error = writer
        .prompt(
            0,
            &Point {
                length: 100,
                at: at.clone(),
            },
            0,
        )
        .unwrap_err()
        .to_string();
    assert!(error.contains("fewer than its words"), "{error}");
    let broken = |_: &str| {
        Err(DataError::Tokenizer {
            name: "x".into(),
            reason: "no".into(),
        })
    };
    let writer = Writer::open(task.as_ref(), Path::new("."), &broken).unwrap();
    let error = writer
        .prompt(
            0,
            &Point {
                length: 100,
                at: at.clone(),
            },
            0,
        )
        .unwrap_err()
        .to_string();
    assert!(error.contains("tokenizer x: no"), "{error}");
    let writer = Writer::open(task.as_ref(), Path::new("."), &count).unwrap();
    for (at, words) in [
        (vec![], "expected 1 factors, found 0"),
        (vec![1.5], "expected depth from 0 to 1, found 1.5"),
        (vec![f64::NAN], "found NaN"),
    ] {
        let error = writer
            .prompt(0, &Point { length: 100, at }, 0)
            .unwrap_err()
            .to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn sentences_that_could_be_the_answer_are_left_out() {
    for (id, settings, sentence, may) in [
        ("passkey", json!({}), "In 1234 it was.", true),
        ("passkey", json!({}), "In 12345 it was.", false),
        ("passkey", json!({ "digits": 3 }), "In 1234 it was.", false),
        ("needles", json!({}), "The year 1234567.", false),
        ("needles", json!({}), "The year 123456.", true),
        ("needles", json!({}), "The Amber-Falcon flew.", false),
        ("needles", json!({}), "A well-known falcon.", true),
        (
            "needles",
            json!({ "key": "uuids", "value": "words" }),
            "The year 1234567.",
            true,
        ),
        (
            "needles",
            json!({ "key": "uuids", "value": "words" }),
            "The amber-falcon flew.",
            false,
        ),
        (
            "needles",
            json!({ "value": "uuids" }),
            "00000000-0000-4000-8000-000000000000",
            false,
        ),
        ("variables", json!({}), "A bcdfg.", false),
        ("variables", json!({}), "It held 10000.", false),
        ("variables", json!({}), "The length is 9999.", true),
        ("facts", json!({}), "The officer came.", false),
        ("facts", json!({}), "CLARA came.", false),
        ("facts", json!({}), "By the lanterns.", false),
        ("facts", json!({}), "Nobody came.", true),
    ] {
        let task = task(id, settings.clone());
        assert_eq!(may, task.may_stand(sentence), "{id} {settings} {sentence}");
    }
}

#[test]
fn facts_stand_in_their_window() {
    for seed in 0..50 {
        let settings = json!({ "question": "qa2", "from": 0.4, "to": 0.6 });
        let task = task("facts", settings);
        let writer = Writer::open(task.as_ref(), Path::new("."), &count).unwrap();
        let point = Point {
            length: 3000,
            at: vec![],
        };
        let prompt = writer.prompt(seed, &point, 0).unwrap();
        for fact in prompt.facts {
            let share = fact.start as f64 / prompt.text.len() as f64;
            assert!((0.38..0.62).contains(&share), "{share}");
        }
    }
}

#[test]
fn texts_begin_anywhere() {
    let (folder, _) = book();
    let task = task("passkey", json!({ "filler": "text", "text": "book.txt" }));
    let writer = Writer::open(task.as_ref(), folder.path(), &count).unwrap();
    let point = Point {
        length: 100,
        at: vec![1.0],
    };
    let first = |index: u64| {
        let prompt = writer.prompt(0, &point, index).unwrap();
        let body = prompt.text.split("\n\n").nth(1).unwrap().to_string();
        body.chars().take(12).collect::<String>()
    };
    let beginnings: HashSet<String> = (0..50).map(first).collect();
    assert!(beginnings.len() > 4, "{beginnings:?}");
}

#[test]
fn what_runs_out_is_said() {
    // Three digits stand in some of very many UUIDs.
    let crowded = task("lines", json!({ "name": "uuids", "digits": 3 }));
    let writer = Writer::open(crowded.as_ref(), Path::new("."), &count).unwrap();
    let point = Point {
        length: 20_000,
        at: vec![0.5],
    };
    let error = writer.prompt(0, &point, 0).unwrap_err().to_string();
    assert!(
        error.contains("its filler holds the answer, however it is drawn"),
        "{error}"
    );

    let task = task("lines", json!({ "name": "numbers", "digits": 2 }));
    let writer = Writer::open(task.as_ref(), Path::new("."), &count).unwrap();
    let error = writer
        .prompt(
            0,
            &Point {
                length: 5000,
                at: vec![0.5],
            },
            0,
        )
        .unwrap_err()
        .to_string();
    assert!(error.contains("raise digits"), "{error}");
}

/// Few countings for a long prompt: they are what takes time.
#[test]
fn long_prompts_are_found_in_few_steps() {
    use std::cell::Cell;
    for (id, settings) in many() {
        let task = task(id, settings.clone());
        let is_never_alone = settings["name"] == "uuids" && settings["digits"] == 3;
        if task.text().is_some() || is_never_alone {
            continue;
        }
        let counted = Cell::new(0);
        let counting = |text: &str| {
            counted.set(counted.get() + 1);
            count(text)
        };
        let writer = Writer::open(task.as_ref(), Path::new("."), &counting).unwrap();
        let at = vec![0.3; task.factors().len()];
        let prompt = writer.prompt(0, &Point { length: 20_000, at }, 0);
        match prompt {
            Ok(prompt) => assert!(prompt.tokens > 19_900, "{id} {settings}: {}", prompt.tokens),
            Err(error) => panic!("{id} {settings}: {error}"),
        }
        assert!(
            counted.get() <= 30,
            "{id} {settings}: {} countings",
            counted.get()
        );
    }
}

/// Variables: the names of the chain, and no others, follow from the number.
#[test]
fn chains_of_variables_can_be_followed() {
    for seed in 0..300 {
        let task = task(
            "variables",
            json!({ "chains": 1 + seed % 4, "hops": 1 + seed % 5 }),
        );
        let writer = Writer::open(task.as_ref(), Path::new("."), &count).unwrap();
        let Prompt {
            text,
            question,
            references,
            facts,
            ..
        } = writer
            .prompt(
                seed,
                &Point {
                    length: 900,
                    at: vec![],
                },
                0,
            )
            .unwrap();
        let number = question
            .trim_start_matches("Which variables hold ")
            .trim_end_matches('?');
        let mut holds = std::collections::HashMap::new();
        for line in text.split(['.', '\n']) {
            if let Some((name, from)) = line
                .trim()
                .strip_prefix("Set ")
                .and_then(|l| l.split_once(" to "))
            {
                let value = holds.get(from).unwrap_or(&from).to_string();
                // A name is told before it is used, so that one reading is enough.
                assert!(value.parse::<u32>().is_ok(), "{line} in {text}");
                holds.insert(name, value.leak() as &str);
            }
        }
        let mut held: Vec<&str> = holds
            .iter()
            .filter(|h| *h.1 == number)
            .map(|h| *h.0)
            .collect();
        let mut sought: Vec<&str> = references.iter().map(String::as_str).collect();
        held.sort_unstable();
        sought.sort_unstable();
        assert_eq!(held, sought, "{text}");
        assert_eq!(facts.len(), references.len());
    }
}

/// Words: those that are sought are the most frequent ones, by counting.
#[test]
fn frequent_words_are_the_most_frequent() {
    for seed in 0..200 {
        for (id, settings) in [
            (
                "common-words",
                json!({ "common": 3, "often": 5, "seldom": 2 }),
            ),
            ("frequent-words", json!({ "asked": 3 })),
        ] {
            let task = task(id, settings);
            let writer = Writer::open(task.as_ref(), Path::new("."), &count).unwrap();
            let length = 600 + 7 * seed as usize;
            let prompt = writer
                .prompt(seed, &Point { length, at: vec![] }, 0)
                .unwrap();
            let list = &prompt.text[prompt.facts[0].clone()];
            let mut counts = std::collections::HashMap::<&str, usize>::new();
            for word in list
                .split(' ')
                .filter(|w| w.chars().all(char::is_alphabetic))
            {
                *counts.entry(word).or_default() += 1;
            }
            let mut ranked: Vec<_> = counts.into_iter().collect();
            ranked.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            let found: HashSet<&str> = ranked[..3].iter().map(|(word, _)| *word).collect();
            let sought: HashSet<&str> = prompt.references.iter().map(String::as_str).collect();
            assert_eq!(sought, found, "{id}");
            assert!(ranked[2].1 > ranked[3].1, "{id}: {ranked:?}");
        }
    }
}

/// Needles among needles are what they say: a reader of the sentences finds all that is sought.
#[test]
fn needles_can_be_found() {
    let mut rng = Stream::new(2, "test/needles");
    for round in 0..300 {
        let queries = 1 + rng.below(3);
        let settings = json!({
            "around": if round % 2 == 0 { "noise" } else { "needles" },
            "queries": queries, "keys": queries + rng.below(3), "values": 1 + rng.below(3),
        });
        let task = task("needles", settings);
        let writer = Writer::open(task.as_ref(), Path::new("."), &count).unwrap();
        let at = somewhere(task.as_ref(), &mut rng);
        let prompt = writer
            .prompt(7, &Point { length: 500, at }, round as u64)
            .unwrap();
        let asked = prompt
            .question
            .trim_end_matches('?')
            .replace(" and ", " ")
            .replace(',', "");
        let asked: HashSet<&str> = asked.split(' ').filter(|word| word.contains('-')).collect();
        assert_eq!(queries as usize, asked.len(), "{}", prompt.question);
        let codes = prompt.text.split("The code of ").skip(1);
        let found: HashSet<&str> = codes
            .filter_map(|code| code.split('.').next()?.split_once(" is "))
            .filter(|(key, _)| asked.contains(key))
            .map(|(_, value)| value)
            .collect();
        let sought: HashSet<&str> = prompt.references.iter().map(String::as_str).collect();
        assert_eq!(sought, found, "{}", prompt.text);
    }
}

/// The wording of each task, whole. A change of these is a change of the data: raise the task's version.
#[test]
fn wording_is_what_it_was() {
    let mut all = String::new();
    for (id, settings, length) in [
        ("passkey", json!({}), 80),
        ("needles", json!({ "queries": 2, "keys": 2 }), 110),
        ("variables", json!({ "hops": 1 }), 90),
        (
            "common-words",
            json!({ "common": 1, "often": 3, "seldom": 1 }),
            90,
        ),
        ("frequent-words", json!({ "asked": 1 }), 100),
        ("lines", json!({}), 100),
        (
            "json-pairs",
            json!({ "key": "words", "value": "numbers" }),
            80,
        ),
        ("facts", json!({ "question": "qa2", "facts": 3 }), 90),
    ] {
        let task = task(id, settings);
        let writer = Writer::open(task.as_ref(), Path::new("."), &count).unwrap();
        let at = vec![0.5; task.factors().len()];
        let prompt = writer.prompt(0, &Point { length, at }, 0).unwrap();
        all += &format!("== {id}\n{}\n-> {}\n", prompt.whole(), prompt.answer());
    }
    let golden = include_str!("wording.txt");
    assert_eq!(golden, all, "\n{all}");
}

/// With a real tokenizer, whose tokens join letters across what is written: the same budget, kept as exactly.
#[test]
fn budgets_hold_for_byte_pairs() {
    use tokenizers::Tokenizer;
    use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;
    let mut tokenizer = Tokenizer::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    let mut trainer: tokenizers::models::TrainerWrapper = BpeTrainerBuilder::new()
        .vocab_size(600)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .show_progress(false)
        .build()
        .into();
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.txt");
    std::fs::write(&text, include_str!("wording.txt").repeat(3)).unwrap();
    tokenizer
        .train_from_files(&mut trainer, vec![text.display().to_string()])
        .unwrap();
    let count = |text: &str| Ok(tokenizer.encode(text, false).unwrap().len());
    for (id, settings) in many() {
        let task = task(id, settings.clone());
        if task.text().is_some() {
            continue;
        }
        let writer = Writer::open(task.as_ref(), Path::new("."), &count).unwrap();
        for (round, length) in [300, 700, 1100, 2000].into_iter().enumerate() {
            let at = vec![round as f64 / 3.0; task.factors().len()];
            let point = Point { length, at };
            let Ok(prompt) = writer.prompt(0, &point, 0) else {
                continue;
            };
            let whole = count(&prompt.whole()).unwrap();
            assert!(whole + prompt.answer_tokens <= length, "{id}");
            let draft = task
                .draft(&mut stream(task.as_ref(), 0, &point), &point.at, &[])
                .unwrap();
            let more = (draft.write)(prompt.units + 1);
            let answered = count(&more.answered(&more.answer())).unwrap();
            let spare = if task.answer_tokens().is_some() { 0 } else { 4 };
            let is_full = answered + spare > length
                || count(&more.whole()).unwrap() + prompt.answer_tokens > length;
            assert!(is_full, "{id} {settings}: room for more");
        }
    }
}
