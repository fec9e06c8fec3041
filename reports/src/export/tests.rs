use super::*;
use crate::fixture::{self, Options};
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::RowAccessor;
use serde_json::Value;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn run() -> LoadedRun {
    fixture::run(&Options {
        units: 3,
        trials: 2,
        multiples: vec![1, 2],
        ..Options::default()
    })
}

fn only(run: &LoadedRun, format: Format) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut found = files(run, format)?;
    assert_eq!(found.len(), 1, "{format:?} is one file");
    Ok(found.remove(0).1)
}

/// 3 protocols × 2 lengths × 3 units and so on, added up from the records.
fn expected_rows(run: &LoadedRun) -> usize {
    let of = |r: &crate::record::CellRecord| {
        let points = r.measures.iter().flat_map(|m| &m.points);
        points.map(|p| p.value.len()).sum::<usize>() + r.refused.len()
    };
    run.cells
        .iter()
        .map(|c| c.result.as_ref().map_or(1, of))
        .sum()
}

#[test]
fn the_three_row_formats_agree() -> Outcome {
    let run = run();
    let csv = only(&run, Format::Csv)?;
    let mut reader = csv::Reader::from_reader(csv.as_slice());
    let heads = reader.headers()?.clone();
    let at = |name: &str| heads.iter().position(|h| h == name).expect("a column");
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>()?;
    assert_eq!(rows.len(), expected_rows(&run));
    let jsonl = String::from_utf8(only(&run, Format::Jsonl)?)?;
    let lines: Vec<Value> = jsonl
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    assert_eq!(lines.len(), rows.len());
    let parquet = SerializedFileReader::new(bytes(only(&run, Format::Parquet)?)?)?;
    assert_eq!(
        parquet.metadata().file_metadata().num_rows() as usize,
        rows.len()
    );
    for ((row, line), record) in rows.iter().zip(&lines).zip(parquet.get_row_iter(None)?) {
        let record = record?;
        assert_eq!(line["cell"], row[at("cell")]);
        assert_eq!(record.get_string(at("cell"))?, &row[at("cell")]);
        let nll = &row[at("value")];
        match line.get("value") {
            Some(value) => {
                assert_eq!(nll.parse::<f64>().ok(), value.as_f64());
                assert_eq!(record.get_double(at("value")).ok(), value.as_f64());
            }
            None => {
                assert!(nll.is_empty());
                assert!(record.get_double(at("value")).is_err(), "null");
            }
        }
    }
    Ok(())
}

/// The reader wants something it can read from several places.
fn bytes(bytes: Vec<u8>) -> std::io::Result<std::fs::File> {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile()?;
    file.write_all(&bytes)?;
    file.rewind()?;
    Ok(file)
}

#[test]
fn hostile_names_stay_text() -> Outcome {
    let mut run = run();
    for cell in &mut run.cells {
        cell.planned.scheme = "=cmd|' /C calc'!A0".into();
    }
    run.plan.name = "a\",\nb".into();
    let csv = only(&run, Format::Csv)?;
    let mut reader = csv::Reader::from_reader(csv.as_slice());
    for row in reader.records() {
        let row = row?;
        assert_eq!(&row[0], "a\",\nb");
        assert_eq!(&row[4], "'=cmd|' /C calc'!A0");
    }
    Ok(())
}

#[test]
fn non_finite_numbers_are_named() -> Outcome {
    let mut run = run();
    let record = run.cells[0].result.as_mut().expect("has a result");
    record.measures[0].points[0].value[0] = f64::INFINITY;
    record.measures[0].points[0].value[1] = f64::NAN;
    let jsonl = String::from_utf8(only(&run, Format::Jsonl)?)?;
    let lines: Vec<Value> = jsonl
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    assert_eq!(lines[0]["value"], Value::Null);
    assert_eq!(lines[0]["non_finite"]["value"], "inf");
    assert_eq!(lines[1]["non_finite"]["value"], "nan");
    let parquet = SerializedFileReader::new(bytes(only(&run, Format::Parquet)?)?)?;
    let first = parquet.get_row_iter(None)?.next().expect("rows")?;
    assert_eq!(first.get_double(18)?, f64::INFINITY);
    let lm: Value = serde_json::from_slice(&files(&run, Format::LmEval)?[0].1)?;
    assert_eq!(
        lm["results"]["farspan_non_overlap_128"]["perplexity,none"],
        "NaN"
    );
    Ok(())
}

#[test]
fn a_cell_without_a_result_is_a_row_with_a_reason() -> Outcome {
    let run = run();
    let jsonl = String::from_utf8(only(&run, Format::Jsonl)?)?;
    let lines: Vec<Value> = jsonl
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let diverged: Vec<&Value> = lines.iter().filter(|l| l["state"] == "diverged").collect();
    assert_eq!(diverged.len(), 1);
    assert!(
        diverged[0]["reason"]
            .as_str()
            .is_some_and(|r| r.contains("loss inf"))
    );
    let refuses = |l: &&Value| {
        l["reason"]
            .as_str()
            .is_some_and(|r| r.starts_with("refused: "))
    };
    let refused: Vec<&Value> = lines.iter().filter(refuses).collect();
    assert_eq!(
        refused.len(),
        2,
        "the learned table refuses one length in each study"
    );
    Ok(())
}

#[test]
fn lm_eval_layout() -> Outcome {
    let run = run();
    let tmp = tempfile::tempdir()?;
    let written = export(&run, Format::LmEval, tmp.path())?;
    assert_eq!(written.len(), run.results().count());
    assert!(written[0].ends_with("language__nope__trained__s0/results_2026-01-02T03-04-05Z.json"));
    let nope: Value = serde_json::from_slice(&std::fs::read(&written[0])?)?;
    let record = run.cells[0].result.as_ref().expect("has a result");
    let sliding = &record.measures[1].points[0];
    let loss = sliding.value.iter().sum::<f64>() / sliding.weight.iter().sum::<f64>();
    let task = &nope["results"]["farspan_sliding_128"];
    assert!((task["perplexity,none"].as_f64().expect("a number") - loss.exp()).abs() < 1e-9);
    assert!(
        task["perplexity_stderr,none"]
            .as_f64()
            .is_some_and(|e| e > 0.0)
    );
    for key in [
        "configs",
        "versions",
        "n-shot",
        "higher_is_better",
        "n-samples",
        "task_hashes",
    ] {
        assert!(nope[key].get("farspan_sliding_128").is_some(), "{key}");
    }
    assert_eq!(
        nope["higher_is_better"]["farspan_sliding_128"]["perplexity"],
        false
    );
    assert_eq!(nope["config"]["random_seed"], 0);
    let names: Vec<String> = written.iter().map(|p| p.display().to_string()).collect();
    assert!(
        names.iter().any(|n| n.contains("wild_50_")),
        "names are safe for every file system"
    );
    Ok(())
}

#[test]
fn formats_are_found_by_name() -> Outcome {
    for format in Format::ALL {
        assert_eq!(format.name().parse::<Format>()?, format);
    }
    let error = "xlsx".parse::<Format>().expect_err("unknown").to_string();
    assert!(
        error.contains("xlsx") && error.contains("csv, jsonl, parquet"),
        "{error}"
    );
    Ok(())
}

#[test]
fn table_documents_hold_every_table() -> Outcome {
    let run = run();
    let summary = summarise(&run);
    let results: usize = summary.studies.iter().map(|s| s.results.len()).sum();
    let n = results + tables(&summary).len();
    let latex = String::from_utf8(only(&run, Format::Latex)?)?;
    assert_eq!(latex.matches("\\begin{table}").count(), n);
    let markdown = String::from_utf8(only(&run, Format::Markdown)?)?;
    assert_eq!(markdown.matches("### ").count(), n);
    Ok(())
}
