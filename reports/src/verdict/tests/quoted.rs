//! What is quoted, and what one seed may be quoted for.

use super::*;
use crate::summary::{ResultCell, ResultRow, ToBest};

/// One seed says which training was better, never which scheme.
#[test]
fn one_seed_speaks_of_trainings() {
    let said = |seeds: u64| {
        let summary = summary(&stretched(1.0, seeds));
        summary.studies[0].verdict.clone()
    };
    let of = |seeds: u64| -> Vec<String> {
        let all = said(seeds)
            .into_iter()
            .filter(|s| matches!(s.kind, SentenceKind::Quotable | SentenceKind::Finding));
        all.map(|s| s.text)
            .filter(|t| t.contains("better") || t.contains("worse"))
            .collect()
    };
    let (one, five) = (of(1), of(5));
    assert!(!one.is_empty() && !five.is_empty());
    let limited = |t: &String| t.contains("of these trainings (one seed), not of the schemes");
    assert!(one.iter().all(limited), "{one:#?}");
    assert!(!five.iter().any(limited), "{five:#?}");
}

/// At most three sentences to be quoted, and they agree with the table that stands beside them.
#[test]
fn what_is_quoted_agrees_with_the_table() {
    for seeds in [1, 2, 5] {
        let summary = summary(&stretched(1.0, seeds));
        let study = &summary.studies[0];
        let quoted: Vec<&str> = study
            .verdict
            .iter()
            .filter(|s| s.kind == SentenceKind::Quotable)
            .map(|s| s.text.as_str())
            .collect();
        assert_eq!(quoted.len(), 3, "{quoted:#?}");
        let table = &study.results[0];
        let best: Vec<&ResultRow> = table
            .rows
            .iter()
            .filter(|r| {
                matches!(
                    r.cells.last(),
                    Some(ResultCell::Found {
                        best: ToBest::Best,
                        ..
                    })
                )
            })
            .collect();
        assert_eq!(best.len(), 1);
        let start = format!(
            "At 8× the trained length (1024 tokens) {} has the lowest perplexity, ",
            best[0].label
        );
        assert!(quoted[0].starts_with(&start), "{quoted:#?}");
        let compared = best[0]
            .difference
            .as_ref()
            .expect("it is not the reference");
        assert_eq!(
            quoted[0].contains(", against "),
            compared.outcome.significant(),
            "{}",
            quoted[0]
        );
        // The reference cannot be worse than the best and yet not differ from it, nor the other way round.
        let reference = table.rows.iter().find(|r| r.reference).expect("rope");
        let Some(ResultCell::Found { best: mark, .. }) = reference.cells.last() else {
            panic!("rope was read at 1024");
        };
        assert_eq!(*mark == ToBest::Worse, compared.outcome.significant());
        assert!(
            quoted[1].starts_with("The loss is shown to rise by less than 0.05 nats up to "),
            "{quoted:#?}"
        );
        assert!(
            quoted[2].starts_with("At the trained length (128 tokens) "),
            "{quoted:#?}"
        );
    }
}
