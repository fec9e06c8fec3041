//! Everything that a cell measures of given weights and text, against numbers that `golden/cells/make.py` computed.

use super::{golden, list, number, numbers, size};
use farspan::measure::perplexity::{Perplexity, Segments, Stride};
use farspan::measure::{Measured, Subject};
use farspan::model::{Architecture, Decoder, Shape, Values};
use farspan_attention::Device;
use farspan_attention::plan::Geometry;
use farspan_datasets::{DataConfig, Segment, TextData, TokenizerConfig};
use farspan_pe::{Len, Registry};
use farspan_reports::fixture;
use farspan_reports::record::{PointRecord, Role};
use farspan_reports::summary::summarise;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;

/// f32 sums of up to 128 losses against f64.
const LOSS: f64 = 2e-5;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/cells")
}

/// Tensors of a safetensors file of 32-bit floats.
fn weights(name: &str) -> Values {
    let path = folder().join(format!("{name}.safetensors"));
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (length, rest) = bytes.split_first_chunk::<8>().expect("a length");
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let header: Value = serde_json::from_slice(header).expect("a header");
    let tensor = |(name, entry): (&String, &Value)| {
        assert_eq!(entry["dtype"], "F32", "{name}");
        let shape: Vec<usize> = list(&entry["shape"]).iter().map(size).collect();
        let [from, to] = [&entry["data_offsets"][0], &entry["data_offsets"][1]].map(size);
        let (floats, _) = data[from..to].as_chunks::<4>();
        let floats = floats.iter().map(|x| f32::from_le_bytes(*x)).collect();
        (name.clone(), (shape, floats))
    };
    let entries = header.as_object().expect("tensors").iter();
    entries
        .filter(|(n, _)| *n != "__metadata__")
        .map(tensor)
        .collect()
}

pub(super) struct Case {
    pub(super) expected: Value,
    file: Value,
    scheme: &'static str,
    settings: Value,
    tokenizer: TokenizerConfig,
    weights: &'static str,
}

impl Case {
    pub(super) fn new(tokenizer: &str, scheme: &'static str) -> Case {
        let file = golden("cells/expected");
        let expected = file["cells"][format!("{tokenizer}-{scheme}")].clone();
        let (settings, weights) = match (scheme, tokenizer) {
            ("alibi", _) => (json!({}), "byte-alibi"),
            ("dynamic-ntk", "byte") => (json!({"factor": 2.0}), "byte-rope"),
            ("dynamic-ntk", _) => (json!({"factor": 2.0}), "bpe-rope"),
            (_, "byte") => (json!({}), "byte-rope"),
            _ => (json!({}), "bpe-rope"),
        };
        let tokenizer = match tokenizer {
            "byte" => TokenizerConfig::Byte,
            _ => TokenizerConfig::File("tokenizer.json".into()),
        };
        Case {
            expected,
            file,
            scheme,
            settings,
            tokenizer,
            weights,
        }
    }

    fn config(&self) -> Perplexity {
        Perplexity {
            lengths: list(&self.file["lengths"]).iter().map(size).collect(),
            segments: Segments::Count(size(&self.file["segments"])),
            stride: Stride::Fraction(number(&self.file["stride"])),
            target: size(&self.file["target"]),
            ..Perplexity::default()
        }
    }

    pub(super) fn data(&self) -> TextData {
        let cache = tempfile::tempdir().expect("a folder");
        let config = DataConfig {
            files: Some(vec!["text.txt".into()]),
            tokenizer: self.tokenizer.clone(),
            validation: 0.1,
            test: number(&self.file["test"]),
            ..DataConfig::default()
        };
        TextData::open(&config, &folder(), cache.path()).expect("the text")
    }

    fn segments(&self) -> Vec<Segment> {
        let (longest, count) = (self.config().lengths[3] + 1, self.config().segments);
        let data = self.data();
        data.test_segments(longest, count.count())
            .expect("segments")
    }

    /// Measures with `read` under the scheme and the committed weights.
    pub(super) fn with<T>(&self, read: impl FnOnce(&Subject<'_>) -> T) -> T {
        let given = weights(self.weights);
        let vocab = given["model.embed_tokens.weight"].0[0];
        let geometry = Geometry {
            layers: 2,
            width: 12,
            heads: 2,
            kv_heads: 2,
            head_dim: 8,
            trained_length: size(&self.file["trained"]),
        };
        let shape = Shape {
            geometry,
            hidden: 24,
            vocab,
        };
        let scheme = Registry::builtin()
            .parse(self.scheme, self.settings.clone())
            .expect("a scheme");
        let recipe = scheme.recipe(&geometry).expect("a recipe");
        let (context_len, given) = (Len(geometry.trained_length), Some(&given));
        let (architecture, device) = (Architecture::plain(&shape), Device::cpu());
        let decoder = Decoder::drawn(
            architecture,
            Arc::from(scheme),
            context_len,
            0,
            given,
            &device,
        );
        let decoder = decoder.expect("a decoder");
        read(&Subject {
            model: &decoder,
            recipe: &recipe,
            seed: 0,
        })
    }

    fn measured(&self) -> Measured {
        let (config, segments) = (self.config(), self.segments());
        self.with(|subject| {
            let measured = config.measure(subject, &segments, None, &mut |_| true);
            measured.expect("losses").expect("an end")
        })
    }
}

pub(super) fn close(what: &str, found: f64, expected: &Value) {
    let expected = number(expected);
    assert!(
        (found - expected).abs() <= LOSS * expected.abs().max(1.0),
        "{what}: {found}, expected {expected}"
    );
}

/// Whole numbers that are held as floats.
pub(super) fn whole(values: &[f64]) -> Value {
    json!(values.iter().map(|x| *x as u64).collect::<Vec<u64>>())
}

/// Records and loss by position, then what the page makes of them.
fn check(tokenizer: &str, scheme: &'static str) {
    let case = Case::new(tokenizer, scheme);
    let found = case.measured();
    let records = list(&case.expected["records"]);
    let by_length = || found.records.iter().filter(|m| m.role == Role::ByLength);
    assert_eq!(by_length().flat_map(|m| &m.points).count(), records.len());
    let of = |expected: &Value| -> (&str, &PointRecord) {
        let mut all = by_length();
        let record = all.find(|m| expected["protocol"] == m.view.as_str());
        let record = record.expect("measured");
        let point = record.at(size(&expected["length"])).next();
        (&record.view, point.expect("measured"))
    };
    for expected in records {
        let (view, point) = of(expected);
        let name = format!("{tokenizer} {scheme} {view} at {}", point.length);
        assert_eq!(point.facts["stride"], number(&expected["stride"]), "{name}");
        assert_eq!(whole(&point.weight), expected["tokens"], "{name}: tokens");
        let bytes = &point.columns["bytes"].0;
        assert_eq!(whole(bytes), expected["bytes"], "{name}: bytes");
        for (i, nll) in list(&expected["nll"]).iter().enumerate() {
            close(&format!("{name}, segment {i}"), point.value[i], nll);
        }
    }
    let mut profiles = found.records.iter().filter(|m| m.role == Role::Profile);
    let position = profiles.next().expect("loss by position");
    let expected = &case.expected["position"];
    assert_eq!(position.lengths(), [size(&expected["length"])]);
    let starts: Vec<f64> = position.points.iter().map(|p| p.at[0]).collect();
    assert_eq!(whole(&starts), expected["starts"]);
    for (s, row) in list(&expected["nll"]).iter().enumerate() {
        assert_eq!(position.points.len(), list(row).len());
        for (point, expected) in position.points.iter().zip(numbers(row)) {
            close(
                &format!("{tokenizer} {scheme}, from position {}", point.at[0]),
                point.value[s] / point.weight[s],
                &json!(expected),
            );
        }
    }
    let mut run = fixture::run(&fixture::Options {
        retrieval: false,
        mishaps: false,
        only: Some("rope"),
        ..fixture::Options::default()
    });
    let record = run.cells[0].result.as_mut().expect("a result");
    record.trained_length = size(&case.file["trained"]);
    record.measures.clone_from(&found.records);
    let summary = summarise(&run);
    for expected in records {
        let (view, point) = of(expected);
        let mut curves = summary.studies[0].curves[0].measured.iter();
        let curve = curves.find(|m| m.key.view == view).expect("a curve");
        let point = curve.at(point.length).expect("a point");
        close(
            "perplexity of the page",
            point.shown.value,
            &expected["perplexity"],
        );
        let bits = point.also[0].expect("bytes were counted");
        close(
            "bits per byte of the page",
            bits.value,
            &expected["bits_per_byte"],
        );
    }
}

#[test]
fn a_cell_of_bytes_under_rope() {
    check("byte", "rope");
}

/// The plan follows the length that is read.
#[test]
fn a_cell_of_bytes_under_dynamic_ntk() {
    check("byte", "dynamic-ntk");
}

#[test]
fn a_cell_of_bytes_under_alibi() {
    check("byte", "alibi");
}

/// Tokens of several bytes, in five scripts.
#[test]
fn a_cell_of_byte_pairs_under_rope() {
    check("bpe", "rope");
}

#[test]
fn a_cell_of_byte_pairs_under_dynamic_ntk() {
    check("bpe", "dynamic-ntk");
}
