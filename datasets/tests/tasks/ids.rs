//! Ids that tasks give to tokens beside their order.

use crate::{random, task, words};
use farspan_datasets::tasks::{BUILTIN, COUPLED, PLACES, given_ids, train_batch};
use serde_json::json;

const KINDS: [&str; 2] = [PLACES, COUPLED];

/// An id tells nothing that the tokens up to its own do not tell, or the prompt.
#[test]
fn no_id_of_an_answer_knows_what_follows() {
    let mut given = 0;
    for entry in BUILTIN {
        for case in (0..400).filter_map(|index| random(entry.id, index)) {
            let tokens = &case.example.tokens;
            for kind in KINDS {
                let Ok(ids) = case.task.ids(kind, tokens) else {
                    continue;
                };
                assert_eq!(ids.len(), tokens.len());
                for end in case.example.answers[0].at.start..tokens.len() {
                    let sooner = case.task.ids(kind, &tokens[..end]);
                    assert_eq!(sooner.as_deref(), Ok(&ids[..end]), "{} {kind}", entry.id);
                }
                given += 1;
            }
        }
    }
    assert!(given > 2000, "{given} examples with ids");
}

/// What a person writes over the digits of a sum: the same number over digits of one column.
#[test]
fn digits_of_one_column_have_one_coupled_id() {
    let mut seen = [0, 0];
    for case in (0..2000).filter_map(|index| random("addition", index)) {
        let tokens = &case.example.tokens;
        let Ok(ids) = case.task.ids(COUPLED, tokens) else {
            let settings = case.task.settings();
            assert!(settings["reverse"] == false && settings["padded"].is_null());
            continue;
        };
        let reverse = case.task.settings()["reverse"] == true;
        seen[usize::from(reverse)] += 1;
        let text = words(case.task.as_ref(), tokens);
        let place = |mark: &str| text.iter().position(|word| word == mark).unwrap();
        let (plus, to) = (place("<+>"), place("<to>"));
        for number in [1..plus, plus + 1..to, to + 1..text.len() - 1] {
            let mut found = ids[number].to_vec();
            if !reverse {
                found.reverse();
            }
            let columns: Vec<u32> = (2..2 + found.len() as u32).collect();
            assert_eq!(found, columns, "{}", text.join(" "));
        }
        assert_eq!((ids[0], ids[plus], ids[text.len() - 1]), (0, 1, 0));
        let above = ids[to + 1..].iter().max().unwrap() + 1;
        assert_eq!(ids[to], if reverse { 1 } else { above });
    }
    assert!(seen.iter().all(|&n| n > 100), "{seen:?}");
}

#[test]
fn symbols_that_correspond_have_one_coupled_id() {
    for (id, backwards) in [("copy", false), ("reverse", true)] {
        for case in (0..500).filter_map(|index| random(id, index)) {
            let tokens = &case.example.tokens;
            let ids = case.task.ids(COUPLED, tokens).unwrap();
            let count = (tokens.len() - 3) / 2;
            let (source, target) = (&ids[1..1 + count], &ids[2 + count..2 + 2 * count]);
            let mut target = target.to_vec();
            // The id before that of the first symbol of the target.
            let first = target[0];
            assert_eq!(ids[1 + count].abs_diff(first), 1);
            if backwards {
                target.reverse();
            }
            assert_eq!(source, target);
            assert!(source.windows(2).all(|pair| pair[1] == pair[0] + 1) && source[0] > 0);
            assert_eq!((ids[0], ids[2 * count + 2]), (0, 0));
        }
    }
}

#[test]
fn windows_have_ids_up_to_their_last_answer() {
    let task = task("addition", json!({ "reverse": true }));
    let batch = train_batch(task.as_ref(), 0, 0, 8, 40);
    let ids = given_ids(task.as_ref(), PLACES, &batch).unwrap();
    assert_eq!(ids.len(), batch.tokens.len());
    for (row, ids) in batch.tokens.chunks(40).zip(ids.chunks(40)) {
        for ((&token, &id), before) in row.iter().zip(ids).zip([0.0].iter().chain(ids)) {
            let digit = task.render(&[token]).parse::<u32>().is_ok();
            assert_eq!(id, if digit { before + 1.0 } else { 0.0 });
        }
    }
    let error = given_ids(task.as_ref(), "row", &batch).unwrap_err();
    assert!(
        error.contains("\"row\"") && error.contains("\"coupled\""),
        "{error}"
    );
}
