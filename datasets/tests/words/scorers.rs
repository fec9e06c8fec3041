//! Scorers on cases made by hand, most of them traps.

use farspan_datasets::words::{Scorer, Sought, clean};

fn strings(of: &[&str]) -> Vec<String> {
    of.iter().map(|s| (*s).to_string()).collect()
}

fn score(scorer: Scorer, references: &[&str], said: &str) -> f64 {
    let references = strings(references);
    let sought = Sought {
        references: &references,
        ..Sought::default()
    };
    scorer.score(sought, said).unwrap()
}

#[test]
fn names_are_those_of_configs() {
    for scorer in Scorer::ALL {
        assert_eq!(Some(scorer), Scorer::find(scorer.id()));
        assert_eq!(scorer.id(), serde_json::to_value(scorer).unwrap());
    }
    assert_eq!(None, Scorer::find("bleu"));
}

#[test]
fn all_counts_what_occurs() {
    for (references, said, expected) in [
        (&["12"][..], "123", 1.0),
        (&["123"], "12", 0.0),
        (
            &["Alpha", "BETA", "gamma", "delta"],
            "It is alpha, then beta.",
            0.5,
        ),
        (&["Alpha"], "", 0.0),
        (&["Alpha"], " \n", 0.0),
        (&["ÄPFEL"], "äpfel", 1.0),
        // The same one twice is found twice: so RULER counts.
        (&["a", "a", "b"], "a", 2.0 / 3.0),
        (&["two words"], "two\u{1}words", 0.0),
        (&[" 12 "], "12", 1.0),
    ] {
        assert_eq!(
            expected,
            score(Scorer::All, references, said),
            "{references:?} {said:?}"
        );
    }
}

#[test]
fn part_asks_for_any() {
    assert_eq!(1.0, score(Scorer::Part, &["no", "PARIS"], "in paris"));
    assert_eq!(0.0, score(Scorer::Part, &["rome", "paris"], "in london"));
    assert_eq!(0.0, score(Scorer::Part, &["rome"], ""));
}

#[test]
fn integers_are_whole_numbers() {
    for (scorer, said, expected) in [
        (Scorer::FirstInteger, " 12345.", 1.0),
        (Scorer::FirstInteger, "123456", 0.0),
        (Scorer::FirstInteger, "1234", 0.0),
        (Scorer::FirstInteger, "is 12345 or 54321", 1.0),
        (Scorer::FirstInteger, "is 54321 or 12345", 0.0),
        (Scorer::FirstInteger, "0012345", 1.0),
        (Scorer::FirstInteger, "12,345", 0.0),
        (Scorer::FirstInteger, "", 0.0),
        (Scorer::FirstInteger, "none", 0.0),
        (Scorer::LastInteger, "line 7 holds 12345", 1.0),
        (Scorer::LastInteger, "12345 in line 7", 0.0),
        (Scorer::LastInteger, "12345.", 1.0),
        (Scorer::LastInteger, "", 0.0),
    ] {
        assert_eq!(
            expected,
            score(scorer, &["12345"], said),
            "{scorer:?} {said:?}"
        );
    }
    assert_eq!(1.0, score(Scorer::FirstInteger, &["1", "2"], "2"));
    assert_eq!(1.0, score(Scorer::FirstInteger, &["0"], "000"));
    // A reference that is no number is never said.
    assert_eq!(0.0, score(Scorer::FirstInteger, &["12a"], "12"));
    assert_eq!(0.0, score(Scorer::FirstInteger, &["x"], "x"));
}

#[test]
fn only_label_wants_one_label_in_the_first_sentence() {
    let labels = strings(&["bathroom", "Garden", "office", "kitchen"]);
    let sought = |references: &'static [&'static str], question: &'static str| {
        (strings(references), question)
    };
    for ((references, question), said, expected) in [
        (sought(&["garden"], "Where is Mary?"), "The garden.", 1.0),
        (sought(&["garden"], "Where is Mary?"), "GARDEN", 1.0),
        (
            sought(&["garden"], "Where is Mary?"),
            "garden or office",
            0.0,
        ),
        (
            sought(&["garden"], "Where is Mary?"),
            "She left. The garden.",
            0.0,
        ),
        (
            sought(&["garden"], "Where is Mary?"),
            "garden. Then the office.",
            1.0,
        ),
        (
            sought(&["garden"], "Where is Mary?"),
            "garden<example> office",
            1.0,
        ),
        (
            sought(&["garden"], "Where is Mary?"),
            "garden <CONTEXT> office",
            1.0,
        ),
        // What BABILong's code does, against what it means to.
        (
            sought(&["garden"], "Where is Mary?"),
            "garden\nQuestion: the office?",
            0.0,
        ),
        (sought(&["garden"], "Where is Mary?"), "", 0.0),
        (sought(&["garden"], "Where is Mary?"), "cellar", 0.0),
        // Labels of the question are left out, the target with them.
        (
            sought(&["garden"], "What is north of the office?"),
            "north of the office is the garden",
            1.0,
        ),
        (
            sought(&["office"], "What is north of the office?"),
            "office",
            0.0,
        ),
        // A label inside a word is a label.
        (sought(&["office"], "Where?"), "officer", 1.0),
    ] {
        let with = Sought {
            references: &references,
            labels: &labels,
            question,
        };
        assert_eq!(
            Some(expected),
            Scorer::OnlyLabel.score(with, said),
            "{references:?} {question} {said:?}"
        );
        let without = Sought {
            labels: &[],
            ..with
        };
        assert_eq!(None, Scorer::OnlyLabel.score(without, said));
    }
}

#[test]
fn label_anywhere_is_lenient() {
    assert_eq!(
        1.0,
        score(
            Scorer::LabelAnywhere,
            &["garden"],
            "Office. Then the Garden"
        )
    );
    assert_eq!(0.0, score(Scorer::LabelAnywhere, &["garden"], "Office"));
    assert_eq!(0.0, score(Scorer::LabelAnywhere, &["garden"], ""));
}

#[test]
fn exact_is_exact() {
    assert_eq!(1.0, score(Scorer::Exact, &["x", " Abc "], "\tAbc\n"));
    assert_eq!(0.0, score(Scorer::Exact, &["Abc"], "abc"));
    assert_eq!(0.0, score(Scorer::Exact, &["Abc"], "Abc."));
    assert_eq!(0.0, score(Scorer::Exact, &["Abc"], ""));
}

#[test]
fn sub_em_forgives_articles_and_punctuation() {
    for (reference, said, expected) in [
        ("The Beatles", "it was beatles!", 1.0),
        ("U.S.", "in the US of A", 1.0),
        ("a dog", "A big dog", 1.0),
        ("big  dog", "the Big, dog", 1.0),
        ("The", "anything", 0.0),
        ("theatre", "atre", 0.0),
        ("x", "", 0.0),
        ("12", "123", 1.0),
    ] {
        assert_eq!(
            expected,
            score(Scorer::SubEm, &[reference], said),
            "{reference:?} {said:?}"
        );
    }
    assert_eq!(1.0, score(Scorer::SubEm, &["no", "An Apple"], "apple"));
}

#[test]
fn without_references_nothing_is_scored() {
    for scorer in Scorer::ALL {
        assert_eq!(None, scorer.score(Sought::default(), "x"));
    }
}

#[test]
fn predictions_are_cleaned_as_ruler_does() {
    assert_eq!("a\nb", clean(" \t\na\u{0}b\u{1f} "));
    assert_eq!("a\n\nb", clean("a\r\nb"));
    assert_eq!("", clean("\u{0}\u{1} "));
    assert_eq!("é b", clean("é b"));
}
