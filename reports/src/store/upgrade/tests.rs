use crate::fixture::{self, Options};
use crate::record::{Samples, Scale, Served};
use crate::store::RunDir;
use serde_json::{Value, json};

/// A result as version 1 wrote it, without a hash, in a folder of that version.
#[test]
fn a_result_of_the_earlier_form_is_read() -> Result<(), Box<dyn std::error::Error>> {
    let tmp = tempfile::tempdir()?;
    let options = Options {
        units: 2,
        trials: 2,
        multiples: vec![1, 2],
        ..Options::default()
    };
    let dir = fixture::write(&tmp.path().join("run"), &options)?;
    let plan = dir.plan()?;
    let cell = plan
        .cells
        .iter()
        .find(|c| c.scheme == "learned")
        .ok_or("no cell")?;
    let change = |path: &std::path::Path, change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_slice(&std::fs::read(path)?)?;
        value.as_object_mut().ok_or("a table")?.remove("blake3");
        value["schema_version"] = json!(1);
        change(&mut value);
        std::fs::write(path, value.to_string())?;
        Ok::<(), Box<dyn std::error::Error>>(())
    };
    change(&dir.path().join("plan.json"), &|plan| {
        plan["passkey_threshold"] = json!(0.7)
    })?;
    let path = dir.cell_dir(&cell.id).join("result.json");
    change(&path, &|record| {
        record.as_object_mut().map(|table| table.remove("measures"));
        record["perplexity"] = json!([
            {"protocol": "sliding", "length": 128, "stride": 32, "nll": [64.5, "inf"], "tokens": [32, 30], "bytes": [70, 61]},
            {"protocol": "fixed-target", "length": 128, "stride": 16, "nll": [30.25, 20.0], "tokens": [16, 16], "bytes": [40, 30]},
            {"protocol": "fixed-target", "length": 256, "stride": 16, "nll": [31.5, 21.0], "tokens": [16, 16], "bytes": [40, 30]},
        ]);
        record["position"] = json!({"length": 128, "starts": [0, 1, 64], "nll": [[5.0, 3.0, 2.0], [5.5, "nan", 2.5]]});
        record["passkey"] = json!([
            {"length": 64, "depth": 1.0, "distance": 4, "hits": [true, false], "symbols": [5, 1], "log_prob": [-0.5, -9.0]},
            {"length": 64, "depth": 0.0, "distance": 60, "hits": [false, true], "symbols": [0, 5], "log_prob": [-8.0, -0.25]},
        ]);
        record["refused"] =
            json!([{"measure": "passkey", "length": 128, "reason": "its table ends"}]);
    })?;
    let record = RunDir::open(dir.path())?
        .result(&cell.id)?
        .ok_or("no result")?;
    assert_eq!(record.schema_version, 1, "it stays what it was");
    let keys: Vec<_> = record.measures.iter().map(|m| m.key()).collect();
    assert_eq!(
        keys,
        [
            ("perplexity", "", "sliding"),
            ("perplexity", "", "fixed-target"),
            ("position", "", ""),
            ("task", "passkey", ""),
        ]
    );
    let [sliding, fixed, position, passkey] = &record.measures[..] else {
        panic!("four measures");
    };
    assert_eq!((sliding.preference, fixed.preference), (1, 0));
    let first = &sliding.points[0];
    assert_eq!((first.value[0], first.value[1]), (64.5, f64::INFINITY));
    assert_eq!(
        (first.weight.as_slice(), first.facts["stride"]),
        (&[32.0, 30.0][..], 32.0)
    );
    assert_eq!(first.columns["bytes"].0, [70.0, 61.0]);
    assert_eq!(fixed.lengths(), [128, 256]);
    assert_eq!((position.points.len(), position.points[2].at[0]), (3, 64.0));
    assert!(position.points[1].value[0] == 3.0 && position.points[1].value[1].is_nan());
    assert_eq!(
        (passkey.samples, passkey.scale, passkey.served),
        (Samples::Trials, Scale::Share, Served::AtLeast(0.7))
    );
    let start = &passkey.points[0];
    assert_eq!(
        (start.at[0], start.facts["distance"], start.value.as_slice()),
        (0.0, 60.0, &[0.0, 1.0][..])
    );
    assert_eq!(start.columns["log-probability"].0, [-8.0, -0.25]);
    assert_eq!(
        (
            record.refused[0].measure.as_str(),
            record.refused[0].of.as_str()
        ),
        ("task", "passkey")
    );
    Ok(())
}
