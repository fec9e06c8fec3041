use super::*;
use crate::fixture::{self, Options};
use crate::summary::summarise;

fn find<'a>(tables: &'a [Table], slug: &str) -> &'a Table {
    tables
        .iter()
        .find(|t| t.slug == slug)
        .expect("the fixture has it")
}

#[test]
fn every_curve_and_length_is_in_the_table() -> Result<(), csv::Error> {
    let summary = summarise(&fixture::run(&Options::default()));
    let tables = tables(&summary);
    let table = find(&tables, "language-perplexity-sliding");
    let heads: Vec<&str> = table.wide.columns.iter().map(|c| c.0.as_str()).collect();
    assert_eq!(heads, ["scheme", "128", "256", "512", "1024"]);
    let row = |label: &str| {
        table
            .wide
            .rows
            .iter()
            .find(|r| r[0] == label)
            .expect("has a row")
            .clone()
    };
    assert_eq!(row("learned")[2..], ["refused", "refused", "refused"]);
    assert_eq!(
        row("wild_50%")[1..],
        ["diverged", "diverged", "diverged", "diverged"]
    );
    let mut reader = csv::Reader::from_reader(table.long.csv().into_bytes().leak() as &[u8]);
    let mut seen = 0;
    for record in reader.records() {
        let record = record?;
        let curve = summary.studies[0]
            .curves
            .iter()
            .find(|c| c.label == record[0])
            .expect("known");
        let sliding = curve
            .measured
            .iter()
            .find(|m| m.key.view == "sliding")
            .expect("measured");
        let point = sliding
            .points
            .iter()
            .find(|p| p.length.to_string() == record[1])
            .expect("measured");
        assert_eq!(
            record[2].parse::<f64>().ok(),
            Some(point.shown.value),
            "not rounded"
        );
        seen += 1;
    }
    assert_eq!(seen, 7 * 4 + 1);
    Ok(())
}

#[test]
fn latex_is_escaped_and_has_rules() {
    let tables = tables(&summarise(&fixture::run(&Options::default())));
    let latex = find(&tables, "language-perplexity-fixed-target").latex();
    assert!(latex.contains("\\toprule") && latex.contains("\\bottomrule"));
    assert!(latex.contains("wild\\_50\\% & diverged"), "{latex}");
    assert!(
        !latex.replace("\\%", "").contains('%'),
        "an unescaped % hides the rest of its line: {latex}"
    );
}

#[test]
fn what_lies_beyond_the_evaluated_lengths_is_marked() {
    let tables = tables(&summarise(&fixture::run(&Options::default())));
    let table = find(&tables, "language-effective-length");
    let of = |label: &str| {
        table
            .wide
            .rows
            .iter()
            .find(|r| r[0] == label)
            .expect("has a row")[2]
            .clone()
    };
    assert_eq!(of("alibi"), "≥1024");
    assert_eq!(of("rope"), "128");
    assert_eq!(of("learned"), "128", "it ends by refusal, so 128 is exact");
}
