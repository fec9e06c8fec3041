use super::*;
use crate::fixture::{self, Options};
use crate::record::Cost;
use crate::store::{LoadedRun, upgrade};
use crate::summary::{Summary, summarise};

/// A run of the fixture whose losses are known: `far` nats at 1024 for each scheme, 2.0 at 128, spread over segments.
fn run(seeds: u64, far: &[(&str, f64)]) -> LoadedRun {
    let mut run = fixture::run(&Options {
        retrieval: false,
        seeds: (0..seeds).collect(),
        ..Options::default()
    });
    for (i, cell) in run.cells.iter_mut().enumerate() {
        let Some(record) = &mut cell.result else {
            continue;
        };
        let (name, seed) = (record.scheme.name.clone(), record.seed as f64);
        let Some((_, far)) = far.iter().find(|f| f.0 == name) else {
            record.measures.clear();
            continue;
        };
        let point = |length: usize, level: f64| {
            // Segments differ by much, what schemes add to them by little.
            let nats = (0..24).map(|u| {
                level
                    + 0.2 * f64::from(u % 5)
                    + 0.004 * f64::from((u * 7 + i as i32) % 3)
                    + 0.003 * seed
            });
            let nll: Vec<f64> = nats.map(|x| 32.0 * x).collect();
            fixture::segments(length, &nll, &[32.0; 24], &[64.0; 24])
        };
        let points = vec![point(128, 2.0), point(1024, *far)];
        record.measures = vec![upgrade::perplexity("fixed-target", points)];
        record.refused.clear();
        cell.cost = Some(Cost {
            train_seconds: 1.0,
            evaluate_seconds: 1.0,
            train_tokens_per_second: if name == "rope" { 1000.0 } else { 900.0 },
            peak_memory_bytes: 1 << 20,
            threads: 1,
            jobs: 1,
            ..Cost::default()
        });
    }
    run
}

const FAR: [(&str, f64); 4] = [
    ("rope", 3.0),
    ("nope", 2.0),
    ("alibi", 2.0),
    ("learned", 2.3),
];

fn first(summary: &Summary) -> Sheet {
    sheets(&summary.studies[0], &summary.run).remove(0)
}

fn row<'a>(sheet: &'a Sheet, label: &str) -> &'a Row {
    let mut rows = sheet.rows.iter();
    rows.find(|r| r.cells[0].text == label).expect("a row")
}

#[test]
fn best_and_what_does_not_differ_from_it_is_bold() {
    for (seeds, only) in [(1, true), (5, false)] {
        let summary = summarise(&run(seeds, &FAR));
        let sheet = first(&summary);
        let heads: Vec<(&str, &str)> = sheet
            .columns
            .iter()
            .map(|c| (c.group.as_str(), c.head.as_str()))
            .collect();
        assert_eq!(
            heads,
            [
                ("", "scheme"),
                ("perplexity at length (tokens)", "128"),
                ("perplexity at length (tokens)", "1024"),
                ("effective", "length"),
                ("loss (nats) against rope", "at 1024"),
                ("cost over rope's", "speed"),
                ("cost over rope's", "memory"),
            ]
        );
        let marks = |label: &str| {
            row(&sheet, label)
                .cells
                .iter()
                .map(|c| (c.best, c.served))
                .collect::<Vec<_>>()
        };
        // At the trained length nobody differs; at 1024 alibi and nope do not, the others are far behind.
        for (label, far) in [
            ("alibi", (true, true)),
            ("nope", (true, true)),
            ("rope", (false, false)),
            ("learned", (false, false)),
        ] {
            assert_eq!(
                marks(label)[1..3],
                [(true, true), far],
                "{label}, {seeds} seeds"
            );
        }
        assert_eq!(row(&sheet, "alibi").cells[3].text, "≥1024");
        assert_eq!(row(&sheet, "rope").cells[3].text, "128");
        assert_eq!(row(&sheet, "rope").cells[4].text, "reference");
        assert_eq!(row(&sheet, "nope").cells[5].text, "0.90");
        assert_eq!(row(&sheet, "wild_50%").cells[1].text, "diverged");
        // The interval of a difference and the bold type are one test.
        for r in &sheet.rows {
            if let Some(interval) = r.cells[4].interval {
                let study = &summary.studies[0];
                let found = study
                    .differences
                    .iter()
                    .find(|d| d.label == r.cells[0].text && d.length == 1024);
                assert_eq!(
                    found.expect("compared").outcome.significant(),
                    !interval.contains(0.0)
                );
            }
        }
        let note = "with one seed, of these trainings only";
        assert_eq!(sheet.notes[0].contains(note), only, "{:?}", sheet.notes);
        assert!(
            sheet
                .notes
                .iter()
                .any(|n| n.contains("simultaneous over 6 comparisons")),
            "{:?}",
            sheet.notes
        );
    }
}

#[test]
fn latex_is_what_one_would_print() {
    let sheet = first(&summarise(&run(5, &FAR)));
    let latex = sheet.latex();
    for wanted in [
        "\\toprule",
        "\\multicolumn{2}{c}{perplexity at length (tokens)}",
        "\\cmidrule(lr){2-3}",
        "scheme & 128 & 1024 & length & at 1024 & speed & memory \\\\",
        "\\textbf{\\underline{",
        "$\\geq$1024",
        "wild\\_50\\% & diverged",
        "\\bottomrule",
    ] {
        assert!(latex.contains(wanted), "{wanted} in {latex}");
    }
    let rows: Vec<&str> = latex.lines().filter(|l| l.ends_with("\\\\")).collect();
    let cells = |l: &&str| l.matches(" & ").count();
    // The line of groups has fewer cells, as some span several.
    assert!(rows[1..].iter().all(|l| cells(l) == 6), "{latex}");
    assert!(
        !latex.replace("\\%", "").contains('%'),
        "an unescaped % hides the rest of its line"
    );
    assert!(
        latex.is_ascii() || !latex.contains(['≥', '−', '×']),
        "{latex}"
    );
}

#[test]
fn other_ways_to_write_it_say_the_same() -> Result<(), Box<dyn std::error::Error>> {
    let summary = summarise(&run(5, &FAR));
    let sheet = first(&summary);
    let point = |label: &str| {
        let study = &summary.studies[0];
        let curve = study
            .curves
            .iter()
            .find(|c| c.label == label)
            .expect("a curve");
        curve.measured[0].at(1024).expect("measured").shown
    };
    let csv = sheet.csv();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let heads = reader.headers()?.clone();
    let at = |name: &str| heads.iter().position(|h| h == name).expect("a column");
    let (value, low) = (
        at("perplexity at length (tokens), 1024"),
        at("perplexity at length (tokens), 1024 low"),
    );
    for record in reader.records() {
        let record = record?;
        if record[0] == *"alibi" {
            assert_eq!(
                record[value].parse::<f64>().ok(),
                Some(point("alibi").value)
            );
            assert_eq!(
                record[low].parse::<f64>().ok(),
                point("alibi").interval.map(|i| i.low)
            );
        }
    }
    let bold = format!(
        "**{}**",
        sheet
            .rows
            .iter()
            .find(|r| r.cells[0].text == "alibi")
            .expect("a row")
            .cells[2]
            .text
    );
    assert!(sheet.markdown().contains(&bold), "{}", sheet.markdown());
    let text = sheet.text();
    let widths: Vec<usize> = text.lines().map(|l| l.chars().count()).collect();
    assert_eq!(widths.len(), sheet.rows.len() + 1);
    assert!(text.contains("alibi") && text.contains('*'), "{text}");
    let html = sheet.html("table")?;
    assert!(
        html.contains("<th scope=\"row\">wild_50%</th>")
            && html.contains("class=\"n best served\""),
        "{html}"
    );
    assert!(
        html.contains(&format!("data-value=\"{}\"", point("alibi").value)),
        "{html}"
    );
    Ok(())
}

/// Several tasks: their average comes first, and is not called served.
#[test]
fn the_average_over_tasks_comes_first() {
    let mut run = fixture::run(&Options {
        language: false,
        mishaps: false,
        seeds: vec![0, 1, 2],
        ..Options::default()
    });
    for record in run.cells.iter_mut().filter_map(|c| c.result.as_mut()) {
        let mut second = record.measures[0].clone();
        second.of = "another".into();
        second.title = "Another".into();
        record.measures.push(second);
        let refused = record.refused.clone();
        record
            .refused
            .extend(refused.into_iter().map(|r| crate::record::Refusal {
                of: "another".into(),
                ..r
            }));
    }
    let summary = summarise(&run);
    let study = &summary.studies[0];
    let all = sheets(study, &summary.run);
    assert_eq!(all.len(), 3);
    assert_eq!(all[0].slug, "retrieval-results-average");
    assert_eq!(study.results[0].title, "Average of 2 tasks");
    let cell = |sheet: &Sheet, label: &str, i: usize| row(sheet, label).cells[i].clone();
    // Both tasks have the same samples, so the average is either's.
    let (average, one) = (cell(&all[0], "alibi", 2), cell(&all[1], "alibi", 2));
    assert!((average.value.expect("scored") - one.value.expect("scored")).abs() < 1e-12);
    assert!(!average.served && average.interval.is_some());
    assert_eq!(
        cell(&all[0], "learned", 2).value,
        Some(0.0),
        "refused counts as 0"
    );
    assert_eq!(cell(&all[1], "learned", 2).text, "refused");
}
