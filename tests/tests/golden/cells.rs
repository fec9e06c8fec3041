//! Everything that a cell measures of given weights and text, against numbers that `golden/cells/make.py` computed.

use super::{golden, list, number, numbers, size};
use farspan::config::types::{PasskeyGridConfig, PerplexityConfig, Segments, Stride};
use farspan::evaluate::{Subject, passkey, perplexity};
use farspan::model::{Architecture, Decoder, Shape, Values};
use farspan_attention::Device;
use farspan_attention::plan::Geometry;
use farspan_datasets::tasks::passkey::Cell;
use farspan_datasets::{Batch, DataConfig, Segment, TextData, TokenizerConfig};
use farspan_pe::{Len, Registry};
use farspan_reports::fixture;
use farspan_reports::record::{PerplexityRecord, Protocol};
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

struct Case {
    expected: Value,
    file: Value,
    scheme: &'static str,
    settings: Value,
    tokenizer: TokenizerConfig,
    weights: &'static str,
}

impl Case {
    fn new(tokenizer: &str, scheme: &'static str) -> Case {
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

    fn config(&self) -> PerplexityConfig {
        PerplexityConfig {
            lengths: list(&self.file["lengths"]).iter().map(size).collect(),
            segments: Segments::Count(size(&self.file["segments"])),
            stride: Stride::Fraction(number(&self.file["stride"])),
            target: size(&self.file["target"]),
            ..PerplexityConfig::default()
        }
    }

    fn segments(&self) -> Vec<Segment> {
        let cache = tempfile::tempdir().expect("a folder");
        let config = DataConfig {
            files: Some(vec!["text.txt".into()]),
            tokenizer: self.tokenizer.clone(),
            validation: 0.1,
            test: number(&self.file["test"]),
            ..DataConfig::default()
        };
        let data = TextData::open(&config, &folder(), cache.path()).expect("the text");
        let (longest, count) = (self.config().lengths[3] + 1, self.config().segments);
        data.test_segments(longest, count.count())
            .expect("segments")
    }

    /// Measures with `read` under the scheme and the committed weights.
    fn with<T>(&self, read: impl FnOnce(&Subject<'_>) -> T) -> T {
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
        let (reach, given) = (Len(geometry.trained_length), Some(&given));
        let (architecture, device) = (Architecture::plain(&shape), Device::cpu());
        let decoder = Decoder::drawn(architecture, Arc::from(scheme), reach, 0, given, &device);
        let decoder = decoder.expect("a decoder");
        read(&Subject {
            model: &decoder,
            recipe: &recipe,
            seed: 0,
        })
    }

    fn measured(&self) -> perplexity::Measured {
        let (config, segments) = (self.config(), self.segments());
        self.with(|subject| {
            let measured = perplexity::measure(subject, &config, &segments, None, &mut |_| true);
            measured.expect("losses").expect("an end")
        })
    }
}

fn close(what: &str, found: f64, expected: &Value) {
    let expected = number(expected);
    assert!(
        (found - expected).abs() <= LOSS * expected.abs().max(1.0),
        "{what}: {found}, expected {expected}"
    );
}

fn whole(values: &[u64]) -> Value {
    json!(values)
}

/// Records and loss by position, then what the page makes of them.
fn check(tokenizer: &str, scheme: &'static str) {
    let case = Case::new(tokenizer, scheme);
    let found = case.measured();
    let records = list(&case.expected["records"]);
    assert_eq!(found.records.len(), records.len());
    let of = |expected: &Value| -> &PerplexityRecord {
        let protocol: Protocol =
            serde_json::from_value(expected["protocol"].clone()).expect("a protocol");
        let length = size(&expected["length"]);
        let mut all = found.records.iter();
        all.find(|r| (r.protocol, r.length) == (protocol, length))
            .expect("measured")
    };
    for expected in records {
        let record = of(expected);
        let name = format!(
            "{tokenizer} {scheme} {:?} at {}",
            record.protocol, record.length
        );
        assert_eq!(record.stride, size(&expected["stride"]), "{name}");
        assert_eq!(whole(&record.tokens), expected["tokens"], "{name}: tokens");
        assert_eq!(whole(&record.bytes), expected["bytes"], "{name}: bytes");
        for (i, nll) in list(&expected["nll"]).iter().enumerate() {
            close(&format!("{name}, segment {i}"), record.nll[i], nll);
        }
    }
    let position = found.position.as_ref().expect("loss by position");
    let expected = &case.expected["position"];
    assert_eq!(position.length, size(&expected["length"]));
    assert_eq!(json!(position.starts), expected["starts"]);
    for (row, expected) in position.nll.iter().zip(list(&expected["nll"])) {
        assert_eq!(row.len(), list(expected).len());
        for (i, (nll, expected)) in row.iter().zip(numbers(expected)).enumerate() {
            close(
                &format!("{tokenizer} {scheme}, bucket {i}"),
                *nll,
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
    record.perplexity.clone_from(&found.records);
    record.position = found.position;
    let summary = summarise(&run);
    for expected in records {
        let record = of(expected);
        let mut curves = summary.studies[0].curves[0].perplexity.iter();
        let curve = curves.find(|c| c.protocol == record.protocol);
        let mut points = curve.expect("a curve").points.iter();
        let point = points.find(|p| p.length == record.length).expect("a point");
        close(
            "perplexity of the page",
            point.perplexity.value,
            &expected["perplexity"],
        );
        let bits = point.bits_per_byte.expect("bytes were counted");
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

/// Prompts that are given.
struct Given<'a>(&'a Value);

impl passkey::Prompts for Given<'_> {
    fn grid(
        &self,
        _seed: u64,
        length: usize,
        _depths: usize,
        _trials: usize,
    ) -> farspan::Result<Vec<Cell>> {
        let here = list(self.0).iter().filter(|c| size(&c["length"]) == length);
        let cell = |c: &Value| {
            let windows: Vec<Vec<u32>> = list(&c["prompts"])
                .iter()
                .map(|w| list(w).iter().map(|id| size(id) as u32).collect())
                .collect();
            let weights = windows
                .iter()
                .flat_map(|_| (0..length).map(|t| if t + 3 < length { 0.0 } else { 1.0 }));
            Cell {
                depth: number(&c["depth"]),
                distance: size(&c["distance"]),
                batch: Batch {
                    tokens: windows.iter().flat_map(|w| w[..length].to_vec()).collect(),
                    targets: windows.iter().flat_map(|w| w[1..].to_vec()).collect(),
                    weights: weights.collect(),
                    positions: None,
                    rows: windows.len(),
                    len: length,
                },
            }
        };
        Ok(here.map(cell).collect())
    }

    fn render(&self, tokens: &[u32]) -> String {
        format!("{tokens:?}")
    }

    fn least(&self) -> farspan::Result<usize> {
        Ok(3)
    }
}

#[test]
fn hits_symbols_and_log_probabilities_of_given_prompts() {
    for (tokenizer, scheme) in [
        ("byte", "rope"),
        ("byte", "dynamic-ntk"),
        ("byte", "alibi"),
        ("bpe", "dynamic-ntk"),
    ] {
        let case = Case::new(tokenizer, scheme);
        let cells = &case.expected["passkey"];
        let config = PasskeyGridConfig {
            lengths: vec![32, 64],
            depths: 2,
            trials: 5,
            threshold: 0.8,
        };
        let found = case.with(|subject| {
            let measured = passkey::measure(subject, &config, &Given(cells), 0, &mut |_| true);
            measured.expect("answers").expect("an end")
        });
        assert_eq!(found.records.len(), list(cells).len());
        for (record, expected) in found.records.iter().zip(list(cells)) {
            let name = format!("{tokenizer} {scheme} at {}", record.length);
            assert_eq!(record.length, size(&expected["length"]));
            assert_eq!(record.depth, number(&expected["depth"]), "{name}");
            assert_eq!(record.distance, size(&expected["distance"]), "{name}");
            assert_eq!(json!(record.hits), expected["hits"], "{name}");
            assert_eq!(json!(record.symbols), expected["symbols"], "{name}");
            for (log_prob, expected) in record.log_prob.iter().zip(list(&expected["log_prob"])) {
                close(&name, *log_prob, expected);
            }
        }
    }
}
