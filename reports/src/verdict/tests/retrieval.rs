//! What is said of retrieval, also where a hole lies before what is found.

use super::*;

#[test]
fn retrieval_is_said_by_effective_length() {
    let summary = summary(&fixture::run(&Options::default()));
    let study = &summary.studies[1];
    let text = study
        .verdict
        .iter()
        .map(|s| s.text.as_str())
        .collect::<Vec<_>>()
        .join("\n");
    assert_eq!(
        effective(study, "rope").map(|e| e.length),
        Some(64),
        "{text}"
    );
    for words in [
        "Passkey retrieval, keys found at the trained length (64 tokens): nope ",
        "Passkey retrieval: keys found at least 80% up to the trained length (64 tokens) by ",
    ] {
        assert!(text.contains(words), "{text}");
    }
    assert!(
        text.contains("learned cannot be read at 128 tokens: its table has 64 positions"),
        "{text}"
    );
}

/// Fine-tuning at a longer length can bring retrieval there and lose it at a shorter one.
#[test]
fn retrieval_behind_a_hole_is_said_as_such() {
    let mut run = fixture::run(&Options {
        language: false,
        ..Options::default()
    });
    let rope = |r: &&mut crate::record::CellRecord| r.scheme.name == "rope";
    for record in run
        .cells
        .iter_mut()
        .filter_map(|c| c.result.as_mut())
        .filter(rope)
    {
        for p in &mut record.measures[0].points {
            p.value.fill(f64::from(u8::from(p.length == 256)));
        }
    }
    let summary = summary(&run);
    let text = findings(
        &summary.studies[0],
        "Passkey retrieval: keys found at least 80% at 256 tokens",
    );
    assert_eq!(text.len(), 1);
    assert!(
        text[0].ends_with(", though not at 64, by rope.") || text[0].contains("though not at 64"),
        "{text:?}"
    );
    let failed = findings(
        &summary.studies[0],
        "Passkey retrieval: keys found at least 80% at no",
    );
    assert!(!failed.iter().any(|t| names(t, "rope")), "{failed:?}");
    // A curve that fails at the trained length already is explained.
    let note = findings(
        &summary.studies[0],
        "Passkey retrieval: keys found at least 80% is not reached even",
    );
    assert!(note.iter().any(|t| names(t, "rope")), "{note:?}");
}
