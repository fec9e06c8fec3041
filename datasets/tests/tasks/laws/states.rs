//! Of tasks that ask for what is the case by now.

use super::*;

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
