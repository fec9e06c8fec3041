//! Where facts and answers stand.

use super::*;

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
