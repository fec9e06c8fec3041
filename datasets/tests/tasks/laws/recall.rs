//! Of tasks that ask for what was said.

use super::*;

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
