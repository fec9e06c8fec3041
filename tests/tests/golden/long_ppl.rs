//! LongPPL against numbers that `golden/cells/long_ppl.py` computed: by the model itself, by an evaluator with its tokenizer,
//! and by one with another.

use super::cells::{Case, close};
use super::{golden, list, number, size};
use farspan::checkpoint::save::{Beside, Form, save_own};
use farspan::measure::long_ppl::LongPpl;
use farspan::measure::perplexity::Segments;
use farspan::measure::{Given, Measure, Measured};
use farspan::source::Source;
use farspan_pe::Registry;
use farspan_reports::record::Samples;
use serde_json::{Value, json};
use std::path::Path;

/// An evaluator as a checkpoint folder.
fn save(tokenizer: &str, out: &Path) {
    let case = Case::new(tokenizer, "rope");
    let beside = case.data().tokenizer_json().expect("a tokenizer");
    case.with(|subject| {
        let beside = Beside::Tokenizer(Some(beside));
        save_own(subject.model, &beside, Form::default(), out).expect("a folder");
    });
}

fn measured(asked: &LongPpl) -> Measured {
    let case = Case::new("byte", "alibi");
    let registry = Registry::builtin();
    let given = Given {
        source: &Source::Text(Box::new(case.data())),
        registry: &registry,
        root: Path::new("."),
        checkpoint: None,
        vocab: 256,
        seed: 0,
    };
    case.with(|subject| {
        let end = asked.run(subject, &given, &mut |_| true);
        end.expect("losses").expect("an end")
    })
}

fn asked(file: &Value, evaluator: Option<&Path>, long_context: usize) -> LongPpl {
    LongPpl {
        lengths: list(&file["lengths"]).iter().map(size).collect(),
        segments: Segments::Count(size(&file["segments"])),
        evaluator: evaluator.map(|path| path.display().to_string()),
        long_context,
        short_context: size(&file["short"]),
        stride: size(&file["stride"]),
        alpha: number(&file["alpha"]),
        beta: number(&file["beta"]),
        ..LongPpl::default()
    }
}

#[test]
fn long_ppl_by_each_evaluator() {
    let file = golden("cells/long_ppl");
    for expected in list(&file["evaluators"]) {
        let folder = tempfile::tempdir().expect("a folder");
        let of = |key: &str| expected[key].as_str().expect("a word");
        let out = folder.path().join("evaluator");
        let own = of("scheme") == "alibi";
        if !own {
            save(of("tokenizer"), &out);
        }
        let evaluator = (!own).then_some(out.as_path());
        let found = measured(&asked(&file, evaluator, size(&expected["long"])));
        assert!(found.refused.is_empty(), "{:?}", found.refused);
        let [record] = found.records.as_slice() else {
            panic!("one record")
        };
        assert_eq!(record.samples, Samples::Panel);
        assert_eq!(record.about.contains("the model itself"), own);
        let keys = list(&expected["keys"]);
        let counts: Vec<f64> = keys.iter().map(|k| list(k).len() as f64).collect();
        let curve = list(&expected["curve"]);
        assert_eq!(record.points.len(), curve.len());
        for (point, expected) in record.points.iter().zip(curve) {
            let name = format!("{} {} at {}", of("tokenizer"), of("scheme"), point.length);
            assert_eq!(point.length, size(&expected["length"]), "{name}");
            assert_eq!(point.weight, counts, "{name}");
            assert_eq!(point.columns["key tokens"].0, counts, "{name}");
            assert_eq!(point.columns["targets"].0, [128.0; 6], "{name}");
            for (nll, expected) in point.value.iter().zip(list(&expected["nll"])) {
                close(&name, *nll, expected);
            }
            let mean = point.value.iter().sum::<f64>() / counts.iter().sum::<f64>();
            close(&name, mean.exp(), &expected["long_ppl"]);
        }
        // Where they stand is told, as places in the document.
        for (sample, keys) in found.samples.iter().zip(keys) {
            let offset = size(&sample["offset"]);
            let keys: Vec<usize> = list(keys).iter().map(|k| offset + size(k)).collect();
            assert_eq!(sample["key_tokens"], json!(keys));
        }
    }
}

/// Nothing is shown that is no number: without key tokens every length says why.
#[test]
fn no_key_token_is_said() {
    let file = golden("cells/long_ppl");
    let strict = LongPpl {
        alpha: 50.0,
        ..asked(&file, None, 32)
    };
    let found = measured(&strict);
    assert!(found.records.is_empty() && found.samples.is_empty());
    let lengths: Vec<usize> = found.refused.iter().map(|r| r.length).collect();
    assert_eq!(lengths, strict.lengths);
    let reason = &found.refused[0].reason;
    assert!(
        reason.starts_with(
            "no token is key: told by the model itself, none of 768 gains more than 50 nats"
        ),
        "{reason}"
    );
}
