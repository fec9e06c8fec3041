//! Key tokens of LongPPL.

use farspan_datasets::rng::Stream;
use farspan_datasets::words::key_tokens::{KeyRule, inside, intervals, key_tokens, long_ppl};

#[test]
fn key_tokens_gain_much_and_are_predicted_well() {
    let short = [5.0, 3.0, 3.5, 9.0, 4.0, f32::NAN, 3.9, 4.1, f32::INFINITY];
    let full = [1.0, 1.0, 1.0, 6.0, 2.0, 0.0, 1.9, f32::NAN, 0.5];
    // The second gains just 2, the fourth is predicted badly, the fifth has a loss of just 2.
    let rule = KeyRule::default();
    assert_eq!(
        Some(vec![0, 2, 8]),
        key_tokens(rule, &short, &full).map(|k| { k.into_iter().filter(|&i| i != 6).collect() })
    );
    let later = KeyRule { from: 1, ..rule };
    assert_eq!(2, key_tokens(later, &short, &full).unwrap()[0]);
    let none = KeyRule { from: 100, ..rule };
    assert_eq!(None, key_tokens(none, &short, &full));
    assert_eq!(None, key_tokens(rule, &[], &[]));
    assert_eq!(None, key_tokens(rule, &full, &full));
    let lenient = KeyRule {
        alpha: 1.9,
        beta: -10.0,
        ..rule
    };
    assert_eq!(
        Some(vec![0, 1, 2, 3, 4, 6, 8]),
        key_tokens(lenient, &short, &full)
    );
    let settings: KeyRule = serde_json::from_str("{}").unwrap();
    assert_eq!(rule, settings);
}

#[test]
#[should_panic(expected = "losses of the same tokens")]
fn arrays_of_different_texts_are_refused() {
    key_tokens(KeyRule::default(), &[1.0], &[]);
}

#[test]
fn intervals_carry_keys_to_another_tokenizer() {
    // "the", " long", " con", "text" and an end of text that has none.
    let spans = [0..3, 3..8, 8..12, 12..16, 16..16];
    assert_eq!(vec![3..8, 12..16], intervals(&[1, 3], &spans));
    assert_eq!(vec![3..16], intervals(&[1, 2, 3], &spans));
    assert!(intervals(&[], &spans).is_empty());
    // The same tokens are found again, whatever is key.
    for set in 0..16_u32 {
        let keys: Vec<usize> = (0..4).filter(|bit| set >> bit & 1 == 1).collect();
        assert_eq!(keys, inside(&spans, &intervals(&keys, &spans)));
    }
    // Of another tokenizer's tokens those that lie whole inside.
    let others = [0..2, 2..4, 4..8, 8..16, 12..14, 14..16, 15..17, 16..16];
    assert_eq!(vec![2, 4, 5], inside(&others, &intervals(&[1, 3], &spans)));
    assert_eq!(
        vec![0, 1, 2, 3, 4, 5],
        inside(&others, &intervals(&[0, 1, 2, 3], &spans))
    );
    assert!(inside(&others, &[]).is_empty());
}

/// Against a search over all intervals.
#[test]
fn inside_is_inside() {
    let mut rng = Stream::new(0, "test/inside");
    for _ in 0..500 {
        let mut cuts: Vec<usize> = rng.choose_distinct(100, 12);
        cuts.sort_unstable();
        let within: Vec<_> = cuts.chunks(2).map(|c| c[0]..c[1]).collect();
        let spans: Vec<_> = (0..50)
            .map(|_| {
                let start = rng.below(100) as usize;
                start..start + rng.below(6) as usize
            })
            .collect();
        let slow: Vec<usize> = (0..spans.len())
            .filter(|&i| !spans[i].is_empty())
            .filter(|&i| {
                within
                    .iter()
                    .any(|w| w.start <= spans[i].start && spans[i].end <= w.end)
            })
            .collect();
        assert_eq!(slow, inside(&spans, &within));
    }
}

#[test]
fn long_perplexity_is_over_keys_alone() {
    let nll = [9.0, 1.0, 3.0];
    assert_eq!(Some(2.0_f64.exp()), long_ppl(&nll, &[1, 2]));
    assert_eq!(None, long_ppl(&nll, &[]));
}
