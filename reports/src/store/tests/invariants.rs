//! Records and plans that cannot be are refused when they are written.

use super::*;
use crate::record::{Samples, Served};

#[test]
fn a_record_that_breaks_an_invariant_is_refused() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let dir = fixture::write(&tmp.path().join("run"), &small())?;
    let mut record = fixture::run(&small()).cells[0]
        .result
        .clone()
        .ok_or("no result")?;
    let id = record.id.clone();
    record.measures[0].points[0].weight.pop();
    let error = dir
        .write_result(&id, &record)
        .expect_err("a token count is missing")
        .to_string();
    assert!(
        error.contains("(non-overlap), length 128") && error.contains("3 weights"),
        "{error}"
    );
    let mut record = fixture::run(&small()).cells[0]
        .result
        .clone()
        .ok_or("no result")?;
    let twice = record.measures[1].clone();
    record.measures.push(twice);
    let error = dir
        .write_result(&id, &record)
        .expect_err("recorded twice")
        .to_string();
    assert!(error.contains("recorded twice"), "{error}");
    Ok(())
}

#[test]
fn numbers_that_cannot_be_are_refused() -> Outcome {
    let tmp = tempfile::tempdir()?;
    let dir = fixture::write(&tmp.path().join("run"), &small())?;
    let run = fixture::run(&small());
    let of = |study: &str| {
        let cells = run.cells.iter().filter_map(|cell| cell.result.clone());
        cells.into_iter().find(|result| result.study == study)
    };
    let (language, retrieval) = (of("language").ok_or("no")?, of("retrieval").ok_or("no")?);
    type Change = fn(&mut CellRecord);
    fn first_of<'a>(r: &'a mut CellRecord, column: &str) -> &'a mut Vec<f64> {
        &mut r.measures[0].points[0]
            .columns
            .get_mut(column)
            .expect("a column")
            .0
    }
    let changes: [(&CellRecord, Change, &str); 25] = [
        (
            &language,
            |r| r.measures[0].points[0].value[1] *= -1.0,
            "below 0",
        ),
        (
            &language,
            |r| r.measures[1].points[0].value[0] = f64::NEG_INFINITY,
            "below 0",
        ),
        (
            &language,
            |r| r.measures[0].points[0].weight[0] = 2f64.powi(54),
            "a weight of",
        ),
        (
            &language,
            |r| r.measures[0].points[0].weight[0] = -1.0,
            "a weight of",
        ),
        (
            &language,
            |r| r.measures[0].points[0].weight[0] = f64::NAN,
            "a weight of",
        ),
        (
            &language,
            |r| r.measures[0].points[0].weight[0] = 0.0,
            "of nothing",
        ),
        (
            &language,
            |r| r.measures[0].points[0].weight.truncate(2),
            "2 weights",
        ),
        (
            &language,
            |r| r.measures[0].points[0].at = vec![0.5],
            "1 values of 0 factors",
        ),
        (
            &language,
            |r| first_of(r, "bytes")[2] = f64::INFINITY,
            "a bytes of",
        ),
        (
            &language,
            |r| {
                first_of(r, "bytes").pop();
            },
            "3 of bytes",
        ),
        (&language, |r| r.measures[0].points.clear(), "no points"),
        (
            &language,
            |r| r.measures[0].also[0].times = f64::NAN,
            "cannot be",
        ),
        (
            &language,
            |r| r.train.curve[2].1 = -1.5,
            "curve: a loss is below 0",
        ),
        (&language, |r| r.train.curve[3].0 = 0, "steps do not ascend"),
        (&language, |r| r.train.steps = u64::MAX, "cannot be"),
        (
            &language,
            |r| r.model.parameters = u64::MAX,
            "parameters cannot be",
        ),
        (
            &language,
            |r| r.data.parts[0].tokens = u64::MAX,
            "tokens cannot be",
        ),
        (
            &language,
            |r| r.measures[3].points[3].value[0] = -0.5,
            "position, length 256, at [3.0]: a value of -0.5, of 1, is below 0",
        ),
        (
            &language,
            |r| r.measures[3].points[3].length = 128,
            "one length and one factor",
        ),
        (
            &retrieval,
            |r| r.measures[0].points[0].value[0] = 0.5,
            "is no trial",
        ),
        (
            &retrieval,
            |r| r.measures[0].points[0].at[0] = 1.5,
            "cannot have this value",
        ),
        (
            &retrieval,
            |r| r.measures[0].points[1].at[0] = 0.0,
            "recorded twice",
        ),
        (
            &retrieval,
            |r| {
                r.measures[0].points[0]
                    .facts
                    .extend([("distance".into(), 1e9)])
            },
            "tokens back",
        ),
        (
            &retrieval,
            |r| r.measures[0].served = Served::AtLeast(1.5),
            "cannot be",
        ),
        (
            &retrieval,
            |r| {
                r.measures[0].samples = Samples::Sums;
                r.measures[0].points[0].value[0] = 1.5;
            },
            "is no part of it",
        ),
    ];
    for (record, change, words) in changes {
        let mut record = record.clone();
        let id = record.id.clone();
        dir.write_result(&id, &record)?;
        change(&mut record);
        let error = dir.write_result(&id, &record).expect_err(words).to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
    let mut plan = dir.plan()?;
    for confidence in [0.0, 1.0, 9.5, f64::NAN] {
        plan.confidence = confidence;
        assert!(dir.write_plan(&plan, "", "").is_err(), "{confidence}");
    }
    Ok(())
}
