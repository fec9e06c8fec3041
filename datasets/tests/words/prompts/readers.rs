//! What a reader of the prompts finds, and their wording.

use super::*;

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
    let golden = include_str!("../wording.txt");
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
    std::fs::write(&text, include_str!("../wording.txt").repeat(3)).unwrap();
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
