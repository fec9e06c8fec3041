//! What a config says about text: the `[data]` table.

mod packed;

pub use packed::Packed;

use crate::error::DataError;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// A corpus that needs no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NamedCorpus {
    /// Sources and documents of the project's own locked dependencies, from the local package cache of cargo. Present
    /// on every machine that has built the project, and the same bytes on each: archives are checked against
    /// `Cargo.lock`.
    Cargo,
    /// The same kind of text for good: packages whose versions and checksums are listed in
    /// `datasets/corpora/standard-1.toml` and follow no lock. What is not in cargo's cache is had by `cargo fetch`.
    #[serde(rename = "standard-1")]
    Standard1,
}

/// Where text comes from and how it becomes tokens. Exactly one of `corpus`, `files`, `jsonl` and `parquet` is given, or none
/// where prompts in words are all that is read (`validation = 0`, `test = 1`).
///
/// Text is UTF-8. A byte-order mark is removed and CRLF becomes LF; nothing else is changed. Empty documents and exact
/// copies of earlier documents are dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// A corpus that needs no path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corpus: Option<NamedCorpus>,
    /// Text files, one document each: paths or globs, one or a list. A name ending in `.zst` is decompressed.
    #[serde(
        deserialize_with = "one_or_many",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<OneOrMany>")]
    pub files: Option<Vec<String>>,
    /// JSON Lines files (`.jsonl`, `.jsonl.zst`), one document per line.
    #[serde(
        deserialize_with = "one_or_many",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<OneOrMany>")]
    pub jsonl: Option<Vec<String>>,
    /// Parquet files, one document per row.
    #[serde(
        deserialize_with = "one_or_many",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<OneOrMany>")]
    pub parquet: Option<Vec<String>>,
    /// Column of `jsonl` and `parquet` that holds the text. Default: `text`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// `"byte"`, a path ending in `.json` (a `tokenizer.json`), or `{ bpe = N }`: trained on the training part.
    pub tokenizer: TokenizerConfig,
    /// `false`: a window lies inside one document. `true`: the documents of a part are joined, with a separator token
    /// between them, which belongs to the document before it.
    pub pack: bool,
    /// What the documents of a packed window are to each other, in training and in validation losses; measurements read a
    /// stretch as one text. Default: `join`.
    #[serde(skip_serializing_if = "Packed::is_join")]
    pub documents: Packed,
    /// Whether every document begins with what its `tokenizer.json` puts before a text (BOS). Default: as a
    /// `model.checkpoint` reads texts, else `false`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub bos: bool,
    /// Shorter documents are dropped. Default: 16384 for `corpus`, else 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_document_bytes: Option<usize>,
    /// Reading stops after this many bytes of text. Without it, more than 1 GiB is an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// Part of the bytes that validation losses are taken on.
    pub validation: f64,
    /// Part of the bytes that measurements are taken on. 1, with `validation = 0`: all of them, and nothing is trained.
    pub test: f64,
    /// Largest share of a validation or test document that may stand in the training part, in matches of 48 bytes; near
    /// copies beyond it are left out. 1 keeps all. Default: 0.25.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_overlap: Option<f64>,
    /// Bad files, lines or rows (not UTF-8, not JSON, no such column, no string) that are left out and counted before
    /// one more is an error. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_bad: Option<usize>,
}

impl Default for DataConfig {
    /// No source yet; the other keys at their defaults.
    fn default() -> DataConfig {
        DataConfig {
            corpus: None,
            files: None,
            jsonl: None,
            parquet: None,
            column: None,
            tokenizer: TokenizerConfig::Byte,
            pack: false,
            documents: Packed::Join,
            bos: false,
            min_document_bytes: None,
            max_bytes: None,
            validation: 0.05,
            test: 0.10,
            max_overlap: None,
            skip_bad: None,
        }
    }
}

impl DataConfig {
    /// Documents shorter than this are dropped.
    pub fn min_document_bytes(&self) -> usize {
        let default = if self.corpus.is_some() { 16 * 1024 } else { 1 };
        self.min_document_bytes.unwrap_or(default)
    }

    /// Documents with a larger share of training text in them are left out of validation and test.
    pub fn max_overlap(&self) -> f64 {
        self.max_overlap.unwrap_or(0.25)
    }

    /// Whether all text is measured on.
    pub fn only_measured(&self) -> bool {
        self.test == 1.0 && self.validation == 0.0
    }

    /// Keys of the sources that are given.
    pub fn sources(&self) -> Vec<&'static str> {
        [
            ("corpus", self.corpus.is_some()),
            ("files", self.files.is_some()),
            ("jsonl", self.jsonl.is_some()),
            ("parquet", self.parquet.is_some()),
        ]
        .into_iter()
        .filter_map(|(key, is_given)| is_given.then_some(key))
        .collect()
    }

    /// Checks every rule that needs no file.
    pub fn validate(&self) -> Result<(), DataError> {
        let given = self.sources();
        if given.len() != 1 && !(given.is_empty() && self.only_measured()) {
            let found = if given.is_empty() {
                "none of them".to_string()
            } else {
                given.join(" and ")
            };
            return setting(
                "data",
                "exactly one of corpus, files, jsonl and parquet",
                found,
            );
        }
        for (key, paths) in [
            ("data.files", &self.files),
            ("data.jsonl", &self.jsonl),
            ("data.parquet", &self.parquet),
        ] {
            match paths {
                Some(paths) if paths.is_empty() => {
                    return setting(key, "at least one path", "an empty list");
                }
                Some(paths) if paths.iter().any(|p| p.is_empty()) => {
                    return setting(key, "a path", "an empty string");
                }
                _ => {}
            }
        }
        if self.column.is_some() && self.jsonl.is_none() && self.parquet.is_none() {
            let found = given.first().copied().unwrap_or("neither");
            return setting("data.column", "to stand beside jsonl or parquet", found);
        }
        for (key, part) in [
            ("data.validation", self.validation),
            ("data.test", self.test),
        ] {
            if self.only_measured() {
                break;
            }
            if !(part > 0.0 && part < 1.0) {
                return setting(key, "a number between 0 and 1, both excluded", part);
            }
        }
        let held_out = self.validation + self.test;
        if held_out > 0.9 && !self.only_measured() {
            let expected = "validation + test to leave at least a tenth for training";
            return setting("data.test", expected, format!("{held_out} held out"));
        }
        let overlap = self.max_overlap();
        if !(0.0..=1.0).contains(&overlap) {
            return setting("data.max_overlap", "a number from 0 to 1", overlap);
        }
        if !self.pack && !self.documents.is_join() {
            let found = format!("{:?} without packing", self.documents).to_lowercase();
            return setting(
                "data.documents",
                "\"join\", or pack = true beside it",
                found,
            );
        }
        if self.max_bytes == Some(0) {
            return setting("data.max_bytes", "at least 1", 0);
        }
        let known = matches!(self.tokenizer, TokenizerConfig::File(_));
        if self.bos && !known {
            let expected = "false, or a tokenizer.json, which alone says what stands before a text";
            return setting("data.bos", expected, "true");
        }
        if let TokenizerConfig::Bpe(vocab) = self.tokenizer
            && !(257..=1_000_000).contains(&vocab)
        {
            let expected = "a vocabulary of 257 to 1000000 (256 of them are the single bytes)";
            return setting("data.tokenizer.bpe", expected, vocab);
        }
        Ok(())
    }
}

/// The error of a setting.
fn setting<T>(key: &'static str, expected: &str, found: impl fmt::Display) -> Result<T, DataError> {
    Err(DataError::Setting {
        key,
        expected: expected.into(),
        found: found.to_string(),
    })
}

/// How text becomes tokens: `"byte"`, a path ending in `.json`, or `{ bpe = N }`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TokenizerConfig {
    /// One token per byte: 256 ids.
    #[default]
    Byte,
    /// Byte-level byte-pair encoding with this many ids, trained on the training part.
    Bpe(usize),
    /// A `tokenizer.json` file.
    File(String),
}

impl Serialize for TokenizerConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            TokenizerConfig::Byte => serializer.serialize_str("byte"),
            TokenizerConfig::File(path) => serializer.serialize_str(path),
            TokenizerConfig::Bpe(vocab) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("bpe", vocab)?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for TokenizerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TokenizerConfig, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = TokenizerConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"byte\", a path ending in .json, or { bpe = N }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TokenizerConfig, E> {
                match text {
                    "byte" => Ok(TokenizerConfig::Byte),
                    path if path.ends_with(".json") => Ok(TokenizerConfig::File(path.into())),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TokenizerConfig, A::Error> {
                let mut vocab = None;
                while let Some(key) = map.next_key::<String>()? {
                    match (key.as_str(), vocab) {
                        ("bpe", None) => vocab = Some(map.next_value::<usize>()?),
                        ("bpe", Some(_)) => return Err(de::Error::duplicate_field("bpe")),
                        _ => return Err(de::Error::unknown_field(&key, &["bpe"])),
                    }
                }
                vocab
                    .map(TokenizerConfig::Bpe)
                    .ok_or_else(|| de::Error::missing_field("bpe"))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl JsonSchema for TokenizerConfig {
    fn schema_name() -> Cow<'static, str> {
        "TokenizerConfig".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "\"byte\", a path ending in .json, or { bpe = N }",
            "oneOf": [
                { "const": "byte" },
                { "type": "string", "pattern": "\\.json$" },
                {
                    "type": "object",
                    "properties": { "bpe": { "type": "integer", "minimum": 257, "maximum": 1000000 } },
                    "required": ["bpe"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

/// Schema of a string or a list of strings; the value itself is always a list.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Reads a string or a list of strings.
fn one_or_many<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
    struct Reader;
    impl<'de> Visitor<'de> for Reader {
        type Value = Option<Vec<String>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a path or a list of paths")
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Self::Value, D::Error> {
            inner.deserialize_any(Reader)
        }

        fn visit_str<E: de::Error>(self, path: &str) -> Result<Self::Value, E> {
            Ok(Some(vec![path.to_string()]))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut paths = Vec::new();
            while let Some(path) = seq.next_element::<String>()? {
                paths.push(path);
            }
            Ok(Some(paths))
        }
    }
    deserializer.deserialize_any(Reader)
}

#[cfg(test)]
mod tests;
