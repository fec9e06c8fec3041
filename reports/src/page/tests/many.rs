//! What keeps the page of many curves small: half of the mirrored differences, and no long tables.

use super::*;
use crate::summary::{Difference, Outcome};

#[test]
fn the_data_of_the_script_hold_every_reference_both_ways() {
    let summary = sample(|o| o.seeds = vec![0, 1, 2]);
    let page = page(summary.clone());
    let text = between(
        &page,
        "<script type=\"application/json\" id=\"data\">",
        "</script>",
    );
    let data: serde_json::Value = serde_json::from_str(text).expect("the data are JSON");
    let comparison = &data["comparisons"][0];
    let study = &summary.studies[0];
    let index = |label: &str| {
        let curve = study.curves.iter().find(|c| c.label == label);
        curve.expect("a curve of the study").index.to_string()
    };
    let row = |reference: &str, of: &str| &comparison["against"][reference][index(of)];
    // What says the same from both sides stands there once.
    for (i, curve) in study.curves.iter().enumerate() {
        for later in &study.curves[i + 1..] {
            assert!(row(&curve.label, &later.label).is_array());
            assert!(row(&later.label, &curve.label).is_null());
        }
    }
    assert_eq!(
        comparison["against"].as_object().map(|o| o.len()),
        Some(study.curves.len())
    );
    // A pair that differs shows whether the other side is turned.
    let key = &study.compared().next().expect("a measure").key;
    let differs = |d: &&Difference| d.key == *key && d.outcome == Outcome::Worse;
    let declared = study.differences.iter().find(differs);
    let declared = declared.expect("one scheme is worse somewhere");
    let lengths = comparison["lengths"].as_array().expect("lengths");
    let column = lengths.iter().position(|l| *l == declared.length);
    let found = &row("rope", &declared.label)[column.expect("its length")];
    let value = found[0].as_f64().expect("a difference");
    assert!((value - declared.difference.value).abs() < 1e-3 * value.abs());
    let told = |place: &serde_json::Value| {
        let place = place.as_u64().expect("a number of an outcome") as usize;
        (
            comparison["outcomes"][place].as_str(),
            &comparison["turned"][place],
        )
    };
    let (words, turned) = told(&found[3]);
    assert_eq!(words, Some(Outcome::Worse.words()));
    let against = study.against.iter().find(|a| a.reference == declared.label);
    let all = &against.expect("every curve is a reference").differences;
    let back = |d: &&Difference| (&d.key, d.length) == (key, declared.length) && d.label == "rope";
    let back = all.iter().find(back).expect("it was compared");
    assert_eq!(told(turned).0, Some(back.outcome.words()));
    assert_eq!(back.outcome, Outcome::Better);
}

#[test]
fn long_tables_stand_beside_the_page() {
    let summary = sample(|o| o.schemes = Some(84));
    let alone = render(std::slice::from_ref(&summary)).expect("a page");
    let training = between(&alone, "id=\"run1-language-training\"", "</figure>");
    assert!(!training.contains("<table") && training.contains("<code>farspan report</code>"));
    let place = tempfile::tempdir().expect("a folder for the test");
    let written = write_summaries(&[summary], place.path()).expect("a report");
    let page = std::fs::read_to_string(&written.page).expect("the page");
    let training = between(&page, "id=\"run1-language-training\"", "</figure>");
    let file = between(training, "<a href=\"", "\"");
    let table = std::fs::read_to_string(place.path().join(file)).expect("the file of the link");
    assert!(table.lines().count() > 1000, "{}", table.lines().count());
    assert!(page.contains("Table of the numbers"), "short ones stay");
}
