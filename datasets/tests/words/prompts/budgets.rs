//! Settings, and how full a prompt is.

use super::*;

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
