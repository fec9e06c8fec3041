//! What stands around, and what runs out.

use super::*;

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
