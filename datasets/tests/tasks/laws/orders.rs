//! Of tasks over places and strings, and of what no symbols suffice for.

use super::*;

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
        let padded = task.settings()["padded"] == true;
        for number in numbers {
            let lead = if task.settings()["reverse"] == true {
                number.last()
            } else {
                number.first()
            };
            assert!(padded || number.len() == 1 || *lead.unwrap() != "0");
        }
        assert_eq!(numbers[0].len(), numbers[1].len());
        let more = numbers[2].len() - numbers[0].len();
        assert!(more == 1 || more == 0 && !padded);
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
