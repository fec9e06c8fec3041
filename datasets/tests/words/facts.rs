//! Stories held against a reader that knows nothing of the simulator: it reads the sentences.

use farspan_datasets::rng::Stream;
use farspan_datasets::words::{Question, Scorer, Sought, Story};
use std::collections::{HashMap, HashSet};

/// The names after the leading word: `the lantern` is `lantern`.
fn bare(name: &str) -> &str {
    name.trim()
        .trim_start_matches("the ")
        .trim_start_matches("The ")
}

/// What a fact says.
enum Fact<'a> {
    Went(&'a str, &'a str),
    Took(&'a str, &'a str),
    Left(&'a str, &'a str),
    Gave(&'a str, &'a str, &'a str),
    Lies(&'a str, &'a str, &'a str),
}

fn read(sentence: &str) -> Fact<'_> {
    let text = sentence.strip_suffix('.').expect("a full stop");
    let split = |by: &str| text.split_once(by).map(|(a, b)| (bare(a), bare(b)));
    if let Some((who, place)) = split(" went to ") {
        return Fact::Went(who, place);
    }
    if let Some((who, what)) = split(" took ") {
        return Fact::Took(who, what);
    }
    if let Some((who, what)) = split(" put down ") {
        return Fact::Left(who, what);
    }
    if let Some((who, rest)) = text.split_once(" gave ") {
        let (what, whom) = rest.split_once(" to ").expect("whom");
        return Fact::Gave(who, bare(what), whom);
    }
    let (what, rest) = split(" is ").expect("a fact");
    let (side, of) = rest.split_once(" of ").expect("a side");
    Fact::Lies(what, side, bare(of))
}

/// Where everything was after each fact, read from the story alone: a thing that is carried is where its carrier is.
fn things(facts: &[String]) -> Vec<HashMap<&str, &str>> {
    let mut people = HashMap::<&str, &str>::new();
    let mut carrier = HashMap::<&str, &str>::new();
    let mut lying = HashMap::<&str, &str>::new();
    let mut after = Vec::new();
    for fact in facts {
        match read(fact) {
            Fact::Went(who, place) => {
                assert_ne!(Some(&place), people.get(who), "{who} was there: {facts:?}");
                people.insert(who, place);
            }
            Fact::Took(who, what) => {
                assert!(!carrier.contains_key(what), "{what} is taken: {facts:?}");
                if let Some(place) = lying.remove(what) {
                    assert_eq!(
                        Some(&place),
                        people.get(who),
                        "{what} is elsewhere: {facts:?}"
                    );
                }
                carrier.insert(what, who);
            }
            Fact::Left(who, what) => {
                assert_eq!(
                    Some(who),
                    carrier.remove(what),
                    "{who} has no {what}: {facts:?}"
                );
                lying.insert(what, people[who]);
            }
            Fact::Gave(who, what, whom) => {
                assert_eq!(
                    Some(who),
                    carrier.insert(what, whom),
                    "{who} has no {what}: {facts:?}"
                );
                assert_ne!(who, whom);
                let (a, b) = (people.get(who), people.get(whom));
                assert!(
                    a.is_none() || b.is_none() || a == b,
                    "they are apart: {facts:?}"
                );
            }
            Fact::Lies(..) => panic!("{fact}"),
        }
        let mut now = people.clone();
        now.extend(&lying);
        let carried = carrier
            .iter()
            .filter_map(|(what, who)| Some((*what, *people.get(who)?)));
        now.extend(carried);
        after.push(now);
    }
    after
}

/// All answers that the facts allow, each with whether it is the only one by construction.
fn solve(question: Question, asked: &str, facts: &[String]) -> Vec<String> {
    let asked = asked.strip_suffix('?').expect("a question mark");
    let one = |answer: &str| vec![answer.to_string()];
    match question {
        Question::Qa1 | Question::Qa2 => {
            let who = bare(asked.strip_prefix("Where is ").unwrap());
            one(things(facts).last().unwrap()[who])
        }
        Question::Qa3 => {
            let (what, place) = asked
                .strip_prefix("Where was ")
                .unwrap()
                .split_once(" before ")
                .unwrap();
            let (what, place) = (bare(what), bare(place));
            let states = things(facts);
            let mut path: Vec<&str> = states.iter().filter_map(|s| s.get(what).copied()).collect();
            path.dedup();
            let last = path
                .iter()
                .rposition(|p| *p == place)
                .expect("it was there");
            one(path[last - 1])
        }
        Question::Qa4 => {
            // Every relation from both ends.
            let other = HashMap::from([
                ("north", "south"),
                ("south", "north"),
                ("east", "west"),
                ("west", "east"),
            ]);
            let mut known = HashSet::new();
            for fact in facts {
                let Fact::Lies(what, side, of) = read(fact) else {
                    panic!("{fact}");
                };
                known.insert((what, side, of));
                known.insert((of, other[side], what));
            }
            let rest = asked.strip_prefix("What is ").unwrap();
            let fits: Vec<String> = match rest.strip_suffix(" of") {
                Some(rest) => {
                    let (what, side) = bare(rest).rsplit_once(' ').unwrap();
                    let fits = known.iter().filter(|k| k.0 == what && k.1 == side);
                    fits.map(|k| k.2.to_string()).collect()
                }
                None => {
                    let (side, of) = rest.split_once(" of ").unwrap();
                    let fits = known.iter().filter(|k| k.2 == bare(of) && k.1 == side);
                    fits.map(|k| k.0.to_string()).collect()
                }
            };
            fits
        }
        Question::Qa5 => {
            let _ = things(facts);
            let gifts = facts.iter().rev().filter_map(|fact| match read(fact) {
                Fact::Gave(who, what, whom) => Some((who, what, whom)),
                _ => None,
            });
            let gifts: Vec<_> = gifts.collect();
            if let Some(rest) = asked.strip_prefix("What did ") {
                let (who, whom) = rest.split_once(" give to ").unwrap();
                return one(gifts.iter().find(|g| g.0 == who && g.2 == whom).unwrap().1);
            }
            if let Some(rest) = asked.strip_prefix("Who gave ") {
                let (what, whom) = rest.split_once(" to ").unwrap();
                return one(gifts
                    .iter()
                    .find(|g| g.1 == bare(what) && g.2 == whom)
                    .unwrap()
                    .0);
            }
            let rest = asked
                .strip_prefix("Who did ")
                .unwrap()
                .strip_suffix(" to")
                .unwrap();
            let (who, what) = rest.split_once(" give ").unwrap();
            one(gifts
                .iter()
                .find(|g| g.1 == bare(what) && g.0 == who)
                .unwrap()
                .2)
        }
    }
}

#[test]
fn stories_are_answered_by_reading_them() {
    for (number, question) in Question::ALL.into_iter().enumerate() {
        let mut answers = HashMap::<String, usize>::new();
        let mut rng = Stream::new(number as u64, "test/stories");
        for round in 0..1000 {
            let most = if question == Question::Qa4 {
                5
            } else {
                question.least() + 12
            };
            let facts = question.least() + round % (most - question.least() + 1);
            let story = Story::draw(&mut rng, question, facts);
            assert_eq!(facts, story.facts.len());
            let Story {
                facts,
                question: asked,
                answer,
                labels,
                deciding,
                ..
            } = &story;
            assert_eq!(
                vec![answer.clone()],
                solve(question, asked, facts),
                "{asked} {facts:?}"
            );
            // The facts that are said to decide are enough, and each is needed.
            let only = |kept: &[usize]| -> Vec<String> {
                kept.iter().map(|&i| facts[i].clone()).collect()
            };
            assert!(deciding.is_sorted() && !deciding.is_empty(), "{deciding:?}");
            let most = match question {
                Question::Qa1 | Question::Qa4 | Question::Qa5 => 1,
                Question::Qa2 => 2,
                Question::Qa3 => 6,
            };
            assert!(deciding.len() <= most + 1, "{asked} {facts:?} {deciding:?}");
            if question == Question::Qa1 || question == Question::Qa4 {
                assert_eq!(
                    vec![answer.clone()],
                    solve(question, asked, &only(deciding))
                );
            }
            // One of the labels that the question leaves open.
            assert!(labels.contains(answer), "{answer} in {labels:?}");
            assert!(labels.iter().all(|label| !asked.contains(label.as_str())));
            let open = [6, 6, 5, 5, 5][number];
            assert_eq!(open, labels.len(), "{asked}");
            // As a model would say it, with its beginning, it is right; and another label is wrong.
            let sought = Sought {
                references: std::slice::from_ref(answer),
                labels,
                question: asked,
            };
            let said = format!("{} {answer}. And so on in the cellar", story.beginning);
            assert_eq!(Some(1.0), Scorer::OnlyLabel.score(sought, &said), "{said}");
            let other = labels.iter().find(|label| *label != answer).unwrap();
            assert_eq!(Some(0.0), Scorer::OnlyLabel.score(sought, other));
            *answers.entry(answer.clone()).or_default() += 1;
        }
        // No label is a good guess: at most one and a half times its share.
        let most = answers.values().max().unwrap();
        let kinds = answers.len();
        assert!(*most < 1000 / kinds * 3 / 2, "{question:?}: {answers:?}");
        assert_eq!([6, 6, 6, 6, 7][number], kinds, "{answers:?}");
    }
}

/// Two facts are needed for a thing: with either left out, the answer is another, or none.
#[test]
fn each_deciding_fact_is_needed() {
    let mut rng = Stream::new(9, "test/needed");
    for _ in 0..500 {
        let story = Story::draw(&mut rng, Question::Qa2, 2);
        assert_eq!(vec![0, 1], story.deciding, "{story:?}");
        let story = Story::draw(&mut rng, Question::Qa3, 3);
        assert_eq!(vec![0, 1, 2], story.deciding, "{story:?}");
    }
}

#[test]
#[should_panic(expected = "Qa3 of 2 facts")]
fn too_few_facts_are_refused() {
    Story::draw(&mut Stream::new(0, "test"), Question::Qa3, 2);
}
