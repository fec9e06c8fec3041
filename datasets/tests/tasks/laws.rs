//! The law of each task: what its examples hold and how often.

use crate::{Draw, random, task, words};
use farspan_datasets::rng::Stream;
use farspan_datasets::tasks::correlated::Correlated;
use farspan_datasets::tasks::{AnyTask, Example, find, score};
use serde_json::json;
use std::collections::{HashMap, HashSet};

const CASES: usize = 10_000;

/// Cases of a task under random settings: its settings, the words of an example, and where the first question begins.
fn cases(id: &str, mut law: impl FnMut(&dyn AnyTask, &[&str], &Example, usize)) {
    for case in (0..).filter_map(|index| random(id, index)).take(CASES) {
        let text = words(&*case.task, &case.example.tokens);
        let text: Vec<&str> = text.iter().map(String::as_str).collect();
        let asked = case.example.answers[0].at.start;
        law(&*case.task, &text, &case.example, asked);
    }
}

fn count(words: &[&str], word: &str) -> usize {
    words.iter().filter(|other| **other == word).count()
}

fn is_key(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_uppercase())
}

fn setting(task: &dyn AnyTask, key: &str) -> usize {
    task.settings()[key].as_u64().unwrap() as usize
}

/// Sum of squared deviations over expectation, which has mean `cells` and variance twice that, if the law holds.
fn chi_square(found: &[usize], law: impl Fn(usize) -> f64) {
    let total: usize = found.iter().sum();
    let all: f64 = (0..found.len()).map(&law).sum();
    let chi: f64 = found
        .iter()
        .enumerate()
        .map(|(i, &n)| {
            let expected = total as f64 * law(i) / all;
            (n as f64 - expected).powi(2) / expected
        })
        .sum();
    let cells = found.len() as f64;
    assert!(
        chi < cells + 5.0 * (2.0 * cells).sqrt() + 5.0,
        "chi-square {chi} of {cells}: {found:?}"
    );
}

#[test]
fn needles_stand_once() {
    cases("needle", |task, w, example, asked| {
        let name = w[asked - 1];
        assert_eq!(2, count(w, name), "in the hay and in the question");
        let value = &w[asked..];
        let before = &w[..asked - 1];
        let settings = task.settings();
        if settings["hay"] != "needles" {
            let needles: Vec<usize> = (0..asked - 1).filter(|&i| is_key(w[i])).collect();
            assert_eq!(setting(task, "keys"), needles.len());
            let values: HashSet<&[&str]> = needles
                .iter()
                .map(|i| &w[i + 1..i + 1 + value.len()])
                .collect();
            assert_eq!(
                needles.len(),
                values.len(),
                "every needle has another value"
            );
            let filler = before
                .iter()
                .filter(|w| w.starts_with(|c: char| c.is_ascii_lowercase()));
            let fed = example.tokens.len() - 1;
            assert_eq!(fed - task.least(&[0.0]), filler.count());
        } else {
            assert!(
                before[1..]
                    .chunks(1 + value.len())
                    .all(|needle| is_key(needle[0]))
            );
        }
        let found = asked - example.distance.unwrap();
        assert_eq!(
            (name, value),
            (w[found - 1], &w[found..found + value.len()])
        );
    });
    cases("multi-value", |task, w, example, asked| {
        let name = w[asked - 1];
        assert_eq!(setting(task, "asked") + 1, count(w, name));
        assert!(
            w[asked..]
                .iter()
                .all(|value| count(&w[..asked], value) == 1)
        );
        assert_eq!(example.answers.len(), w.len() - asked);
    });
    cases("multi-query", |task, w, example, asked| {
        let keys = w[..asked - 1].iter().filter(|word| is_key(word)).count();
        assert_eq!(
            (setting(task, "keys"), setting(task, "queries")),
            (keys, example.answers.len())
        );
        let values: HashSet<&str> = w[asked..].iter().step_by(2).copied().collect();
        assert_eq!(example.answers.len(), values.len());
        assert!(
            values
                .iter()
                .all(|value| count(&w[..asked - 1], value) == 1)
        );
    });
}

#[test]
fn the_depth_moves_the_needle() {
    for (id, settings) in [
        ("passkey", json!({})),
        ("needle", json!({"keys": 1})),
        ("needle", json!({"hay": "needles"})),
        ("key-value", json!({})),
    ] {
        let task = task(id, settings);
        let distance = |depth: f64| {
            let example = task.example(&mut Stream::new(0, "depth"), 257, &[depth]);
            (example.distance.unwrap(), example.answers[0].at.start)
        };
        let distances: Vec<usize> = (0..=20).map(|i| distance(f64::from(i) / 20.0).0).collect();
        assert!(distances.is_sorted_by(|a, b| a > b), "{id}: {distances:?}");
        let ((first, start), (last, _)) = (distance(0.0), distance(1.0));
        assert!(
            first >= start - 9 && last <= 16,
            "{id}: {first} of {start}, {last}"
        );
    }
}

#[test]
fn values_are_any_order_and_once() {
    let task = task("multi-value", json!({"asked": 3}));
    let example = task.example(&mut Stream::new(0, "order"), 40, &[]);
    let at = example.answers[0].at.start;
    let [a, b, c] = [0, 1, 2].map(|i| example.tokens[at + i]);
    for (said, right) in [
        ([a, b, c], 3),
        ([c, b, c], 3),
        ([b, c, c], 3),
        ([a, a, c], 2),
        ([b, b, b], 2),
        ([a, b, a], 2),
    ] {
        let mut argmax = vec![0; example.tokens.len() - 1];
        argmax[at - 1..].copy_from_slice(&said);
        let trial = score(
            task.card().rule,
            std::slice::from_ref(&example),
            argmax.len(),
            &argmax,
        )[0];
        assert_eq!(
            (right, 3),
            (trial.right, trial.asked),
            "{said:?} of {a} {b} {c}"
        );
    }
}

#[test]
fn chains_keep_their_order() {
    cases("variable-tracking", |task, w, example, asked| {
        let (hops, chains) = (setting(task, "hops"), setting(task, "chains"));
        let statements: Vec<&[&str]> = w[..asked - 2]
            .windows(3)
            .filter(|s| s[0] == "<set>")
            .collect();
        assert_eq!(
            (chains * (hops + 1), hops + 1),
            (statements.len(), example.answers.len())
        );
        let mut known = HashSet::new();
        for statement in statements {
            assert!(
                known.insert(statement[1]),
                "every statement binds a new name"
            );
            assert!(
                !is_key(statement[2]) || known.contains(statement[2]),
                "to one that is bound"
            );
        }
    });
}

#[test]
fn words_come_as_often_as_they_should() {
    cases("common-words", |task, w, example, asked| {
        let (often, seldom) = (setting(task, "often"), setting(task, "seldom"));
        let common: HashSet<&str> = w[asked..].iter().copied().collect();
        assert_eq!(
            (example.answers.len(), setting(task, "common")),
            (common.len(), common.len())
        );
        for word in &w[1..asked - 1] {
            let times = if common.contains(word) { often } else { seldom };
            assert_eq!(times, count(&w[1..asked - 1], word));
        }
        assert!(
            w[1..asked - 1]
                .iter()
                .copied()
                .collect::<HashSet<_>>()
                .len()
                >= 2 * common.len()
        );
    });
    let task = task("frequent-words", json!({}));
    let zeta = std::f64::consts::PI.powi(2) / 6.0;
    for length in [64, 100, 333, 1024] {
        let example = task.example(&mut Stream::new(0, "words"), length, &[]);
        let text = words(&*task, &example.tokens);
        let text: Vec<&str> = text.iter().map(String::as_str).collect();
        let list = &text[1..length - 3];
        assert_eq!("<ask>", text[length - 3]);
        let mut counts: Vec<usize> = list
            .iter()
            .copied()
            .collect::<HashSet<_>>()
            .iter()
            .filter(|word| **word != "<dot>")
            .map(|word| count(list, word))
            .collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let times = |rank: usize| (list.len() as f64 / (zeta * (rank * rank) as f64)) as usize;
        let law: Vec<usize> = (2..).map(times).take_while(|n| *n > 0).take(64).collect();
        assert_eq!(law, counts);
    }
}

#[test]
fn every_key_is_asked_once_and_answered_only_then() {
    cases("mqar", |task, w, example, _| {
        let pairs = example.answers.len();
        let keys: Vec<&str> = w[1..1 + 2 * pairs].iter().step_by(2).copied().collect();
        assert_eq!(pairs, keys.iter().collect::<HashSet<_>>().len());
        for (i, key) in keys.iter().enumerate() {
            assert_eq!((2, 2), (count(w, key), count(w, w[2 + 2 * i])));
        }
        for answer in &example.answers {
            assert!(answer.at.start > 2 * pairs && answer.at.start % 2 == 0);
            assert!(
                keys.contains(&w[answer.at.start - 1]),
                "the key stands before its answer"
            );
        }
        if task.settings()["others"] == "blank" {
            let rest = w.len() - 1 - 4 * pairs;
            assert_eq!(rest, count(w, "<blank>"));
        }
    });
}

#[test]
fn gaps_follow_the_power_law() {
    for a in [0.01, 0.5, 1.0] {
        let task = task("mqar", json!({ "a": a }));
        let (mut one, mut first) = (vec![0; 31], vec![0; 31]);
        for index in 0..20_000 {
            let mut rng = Stream::at(5, "gaps", index);
            let example = task.example(&mut rng, 64, &[1.0]);
            one[(example.answers[0].at.start - 2) / 2 - 1] += 1;
            // Whichever of two pairs comes first, each place is taken as often as drawing without replacement says.
            let example = task.example(&mut rng, 66, &[2.0]);
            for answer in &example.answers {
                first[(answer.at.start - 4) / 2 - 1] += 1;
            }
        }
        let weight = |i: usize| ((i + 1) as f64).powf(a - 1.0);
        chi_square(&one, weight);
        let all: f64 = (0..31).map(weight).sum();
        let second = |i: usize| -> f64 {
            let others = (0..31).filter(|&j| j != i);
            others
                .map(|j| weight(j) / all * weight(i) / (all - weight(j)))
                .sum()
        };
        chi_square(&first, |i| weight(i) / all + second(i));
    }
}

#[test]
fn rewritten_keys_answer_with_the_last_and_lure_with_the_earlier() {
    cases("rewritten-keys", |task, w, example, asked| {
        let stream = &w[..asked - 2];
        let values: Vec<&str> = (1..stream.len())
            .filter(|i| is_key(w[i - 1]))
            .map(|i| w[i])
            .collect();
        assert_eq!(
            values.len(),
            values.iter().collect::<HashSet<_>>().len(),
            "all values differ"
        );
        let keys = setting(task, "keys");
        assert_eq!(keys, example.answers.len());
        for answer in &example.answers {
            let at = answer.at.start;
            let last = stream.iter().rposition(|word| *word == w[at - 1]).unwrap();
            assert_eq!(w[last + 1], w[at]);
            assert_eq!(
                values.len() / keys,
                count(stream, w[at - 1]),
                "every key has as many updates"
            );
        }
        let key = w[asked - 1];
        let mine: Vec<&str> = (1..stream.len())
            .rev()
            .filter(|i| w[i - 1] == key)
            .map(|i| w[i])
            .collect();
        let lures: Vec<(String, f64)> = example
            .lures
            .iter()
            .map(|(t, ago)| (task.render(&[*t]), *ago))
            .collect();
        let law: Vec<(String, f64)> = (1..mine.len())
            .map(|ago| (mine[ago].to_string(), ago as f64))
            .collect();
        assert_eq!(law, lures);
        if task.settings()["order"] == "blocks" {
            let order: Vec<&str> = stream.iter().filter(|word| is_key(word)).copied().collect();
            assert_eq!(
                keys,
                1 + order.windows(2).filter(|pair| pair[0] != pair[1]).count()
            );
        }
        // A wrong answer is told by how far off it is.
        if let Some((lure, ago)) = example.lures.last() {
            let mut argmax = vec![0; w.len() - 1];
            argmax[asked - 1] = *lure;
            let trial = score(
                task.card().rule,
                std::slice::from_ref(example),
                w.len() - 1,
                &argmax,
            )[0];
            assert_eq!((0, Some(*ago)), (trial.right, trial.off));
        }
    });
}

#[test]
fn occurrences_are_counted_from_the_right_end() {
    for id in ["kth-occurrence", "n-back"] {
        cases(id, |task, w, example, asked| {
            let ask = w.iter().position(|word| *word == "<ask>").unwrap();
            let mut mine: Vec<&str> = (1..ask)
                .filter(|&i| w[i - 1] == w[asked - 1])
                .map(|i| w[i])
                .collect();
            if id == "n-back" {
                mine.reverse();
                mine.truncate(setting(task, "back"));
            } else {
                assert_eq!(setting(task, "times"), mine.len());
            }
            assert_eq!(
                mine.len(),
                mine.iter().collect::<HashSet<_>>().len(),
                "no other k has the same answer"
            );
            let right = mine.iter().position(|value| *value == w[asked]).unwrap();
            assert_eq!(format!("#{}", right + 1), w[ask + 1]);
            let lures: HashMap<String, f64> = example
                .lures
                .iter()
                .map(|(t, off)| (task.render(&[*t]), *off))
                .collect();
            assert_eq!(mine.len() - 1, lures.len());
            for (i, value) in mine.iter().enumerate().filter(|(i, _)| *i != right) {
                assert_eq!(i.abs_diff(right) as f64, lures[*value]);
            }
        });
    }
}

#[test]
fn every_read_gives_the_last_write() {
    let (mut ignored, mut free) = (0, 0);
    cases("flip-flop", |task, w, example, _| {
        assert_eq!(("<w>", "<r>"), (w[0], w[w.len() - 2]));
        let mut written = "";
        for (i, pair) in w.chunks(2).enumerate() {
            let scored = example
                .answers
                .iter()
                .any(|answer| answer.at == (2 * i + 1..2 * i + 2));
            assert_eq!(scored, pair[0] == "<r>");
            match pair[0] {
                "<w>" => written = pair[1],
                "<r>" => assert_eq!(written, pair[1]),
                other => assert_eq!("<i>", other),
            }
        }
        if task.settings()["ignore"] == 0.8 {
            free += w.len() / 2 - 2;
            ignored += count(w, "<i>");
        }
    });
    let share = f64::from(ignored as u32) / free as f64;
    assert!(
        (share - 0.8).abs() < 0.02,
        "{share} of {free} to be ignored"
    );
}

#[test]
fn programs_print_what_exists_and_stay_below_the_cap() {
    cases("counting", |task, w, _, asked| {
        let mut values: HashMap<&str, usize> = HashMap::new();
        for pair in w[1..asked - 2].windows(2).filter(|pair| is_key(pair[1])) {
            match pair[0] {
                "<set>" => assert!(values.insert(pair[1], 0).is_none_or(|_| true)),
                _ => {
                    *values
                        .get_mut(pair[1])
                        .expect("only what is set is incremented") += 1
                }
            }
        }
        assert_eq!("<set>", w[1]);
        assert!(values.values().all(|value| *value <= setting(task, "cap")));
        assert_eq!(values[w[asked - 1]].to_string(), w[asked]);
    });
}

#[test]
fn inputs_of_a_group_generate_it() {
    for (group, order, inputs) in [("a5", 60, 4), ("s5", 120, 3), ("z60", 60, 2)] {
        let run = |kind: &str| {
            let task = task("word-problem", json!({"group": group, "inputs": kind}));
            let example = task.example(&mut Stream::new(0, group), 6000, &[]);
            let fed: HashSet<u32> = example.tokens[1..6000].iter().copied().collect();
            let said: HashSet<u32> = example.answers[0].say.iter().copied().collect();
            (fed.len(), said.len())
        };
        assert_eq!((inputs, order), run("generators"));
        assert_eq!((order, order), run("all"));
    }
}

#[test]
fn strings_have_all_their_blocks() {
    let mut starts = vec![0; 9];
    cases("alternating-blocks", |task, w, _, _| {
        let string = &w[1..w.len() - 1];
        let turns = string.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!(("a", setting(task, "blocks")), (string[0], turns + 1));
    });
    // Two blocks of ten symbols: the second begins anywhere, equally often.
    let task = task("alternating-blocks", json!({"blocks": 2}));
    for index in 0..9000 {
        let example = task.example(&mut Stream::at(0, "blocks", index), 11, &[]);
        let marks = &example.answers[0].say;
        starts[marks.iter().position(|mark| *mark == marks[9]).unwrap() - 1] += 1;
    }
    chi_square(&starts, |_| 1.0);
}

#[test]
fn places_are_uniform() {
    let copy = task("selective-copy", json!({"items": 3}));
    let access = task("random-access", json!({"from": "end"}));
    let hole = task("missing-duplicate", json!({}));
    let needle = task("needle", json!({"keys": 3}));
    let (mut items, mut holes, mut others) = (vec![0; 10], vec![0; 20], vec![0; 10]);
    let (mut lengths, mut indices) = (vec![0; 20], vec![0; 20]);
    for index in 0..10_000 {
        let mut rng = Stream::at(0, "places", index);
        let example = copy.example(&mut rng, 14, &[]);
        for (place, token) in example.tokens[1..11].iter().enumerate() {
            items[place] += usize::from(*token > 2);
        }
        let example = hole.example(&mut rng, 22, &[]);
        holes[example.tokens.iter().position(|t| *t == 2).unwrap() - 1] += 1;
        let example = access.practice(&mut rng, 23);
        lengths[example.tokens.len() - 5] += 1;
        if example.tokens.len() == 24 {
            indices[example.distance.unwrap() - 3] += 1;
        }
        // The asked needle in front: of nine tokens of filler the other two take any of ten gaps.
        let example = needle.example(&mut rng, 17, &[0.0]);
        let text = words(&*needle, &example.tokens);
        let mut filler = 0;
        for i in 1..16 {
            let asked = text[i] == text[16];
            others[filler] += usize::from(is_key(&text[i]) && !asked);
            filler += usize::from(text[i].starts_with(|c: char| c.is_ascii_lowercase()));
        }
    }
    for counts in [items, holes, lengths, indices, others] {
        chi_square(&counts, |_| 1.0);
    }
}

#[test]
fn trainings_of_strings_draw_all_lengths() {
    for id in [
        "copy",
        "reverse",
        "sort",
        "odds-first",
        "parity",
        "summation",
        "counting",
        "alternating-blocks",
    ] {
        let task = task(id, json!({}));
        let draw = |index| {
            task.practice(&mut Stream::at(0, id, index), 41)
                .tokens
                .len()
        };
        let lengths: HashSet<usize> = (0..2000).map(draw).collect();
        let longest = *lengths.iter().max().unwrap();
        assert!(lengths.len() >= 19 && longest >= 41, "{id}: {lengths:?}");
        if id == "counting" {
            continue;
        }
        let settings = json!({"shortest": 12});
        let task = crate::task(id, settings);
        let draw = |index| {
            task.practice(&mut Stream::at(0, id, index), 41)
                .tokens
                .len()
        };
        let shortest = (0..500).map(draw).min().unwrap();
        assert!((14..=27).contains(&shortest), "{id}: {shortest}");
    }
}

#[test]
fn copies_are_alike_or_not_and_numbers_have_no_leading_zeros() {
    cases("copy", |task, w, _, asked| {
        let source = &w[1..asked - 1];
        if task.settings()["alike"] == true {
            assert_eq!(source.len(), count(source, source[0]));
        }
    });
    cases("addition", |task, w, _, asked| {
        let plus = w.iter().position(|word| *word == "<+>").unwrap();
        let numbers = [&w[1..plus], &w[plus + 1..asked - 1], &w[asked..w.len() - 1]];
        for number in numbers {
            let lead = if task.settings()["reverse"] == true {
                number.last()
            } else {
                number.first()
            };
            assert!(number.len() == 1 || *lead.unwrap() != "0");
        }
        assert_eq!(numbers[0].len(), numbers[1].len());
        assert!((0..=1).contains(&(numbers[2].len() - numbers[0].len())));
    });
}

#[test]
fn a_language_is_as_predictable_as_it_says() {
    let mut rng = Stream::new(0, "language");
    for (range, copies, symbols) in [(1, 0.5, 2), (16, 0.9, 16), (7, 0.0, 5), (3, 1.0, 4)] {
        let language = Correlated {
            range,
            copies,
            symbols,
        };
        let task = task(
            "correlated",
            json!({"range": range, "copies": copies, "symbols": symbols}),
        );
        let (length, mut hits, mut loss, mut all) = (20 + 3 * range, 0, 0.0, 0);
        for _ in 0..4000 {
            let tokens = task.example(&mut rng, length, &[]).tokens;
            for place in 1..=length {
                let known = place >= range;
                let same = known && tokens[place - range] == tokens[place];
                let guess = if known { tokens[place - range] } else { 0 };
                hits += usize::from(tokens[place] == guess);
                let other = (1.0 - if known { copies } else { 0.0 }) / symbols as f64;
                loss -= (other + if same { copies } else { 0.0 }).ln();
                loss -= language.entropy(place);
                all += 1;
            }
        }
        let share = hits as f64 / all as f64;
        assert!(
            (share - language.best(length)).abs() < 0.01,
            "{share} {}",
            language.best(length)
        );
        assert!(
            (loss / all as f64).abs() < 0.02,
            "{language:?}: {}",
            loss / all as f64
        );
    }
    let fair = Correlated {
        range: 4,
        copies: 0.5,
        symbols: 2,
    };
    assert!((fair.entropy(4) - 0.562_335_144_6).abs() < 1e-9);
    assert!((fair.entropy(3) - 2f64.ln()).abs() < 1e-12);
}

#[test]
fn what_symbols_do_not_suffice_for_is_refused() {
    for (id, settings, key) in [
        ("needle", json!({"keys": 33}), "names"),
        (
            "needle",
            json!({"keys": 5, "values": 2, "symbols": 2}),
            "values",
        ),
        ("needle", json!({"keys": 32, "hay": "needles"}), "names"),
        ("multi-value", json!({"asked": 33}), "values"),
        ("multi-query", json!({"queries": 5}), "queries"),
        ("multi-query", json!({"keys": 33}), "names"),
        ("variable-tracking", json!({"chains": 11}), "names"),
        ("common-words", json!({"words": 7}), "words"),
        ("frequent-words", json!({"words": 3}), "words"),
        ("kth-occurrence", json!({"times": 33}), "values"),
        ("n-back", json!({"values": 4}), "values"),
        ("rewritten-keys", json!({"values": 3}), "values"),
        (
            "counting",
            json!({"set": 0, "increment": 0, "pass": 0}),
            "pass",
        ),
        ("mqar", json!({"a": 0}), "a"),
    ] {
        let error = find(id).unwrap().parse(settings).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{key}: expected ")),
            "{id}: {error}"
        );
    }
    for (id, settings, at, least) in [
        ("mqar", json!({"keys": 8}), 8.0, 32),
        ("rewritten-keys", json!({"keys": 2, "values": 8}), 4.0, 21),
        ("kth-occurrence", json!({"times": 3}), 3.0, 16),
        ("n-back", json!({"back": 3}), 3.0, 34),
        ("random-access", json!({"indices": 9}), 9.0, 12),
    ] {
        let task = task(id, settings);
        assert_eq!(
            (least, usize::MAX),
            (task.least(&[at]), task.least(&[at + 1.0])),
            "{id}"
        );
    }
    for (id, settings, most) in [
        (
            "key-value",
            json!({"keys": 3, "key_symbols": 2, "value_symbols": 2}),
            43,
        ),
        ("key-value", json!({"keys": 5}), 13),
        (
            "common-words",
            json!({"words": 10, "common": 2, "often": 3, "seldom": 2}),
            26,
        ),
    ] {
        let task = task(id, settings);
        assert_eq!(most, task.most(&[0.0]), "{id}");
        let example = task.example(&mut Stream::new(0, "most"), most, &[0.0]);
        let more = || task.example(&mut Stream::new(0, "most"), most + 1, &[0.0]);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(more)).is_err());
        // A training window may be longer; it is filled as far as it can be.
        let practice = task.practice(&mut Stream::new(0, "most"), most + 100);
        assert_eq!(example.tokens.len(), practice.tokens.len());
    }
    let mut rng = Stream::new(0, "draw");
    assert!((0..100).all(|_| (2..=4).contains(&rng.from(2, 4))));
}
