//! The one error type of this crate.

use crate::foreign::excerpt;
use std::path::PathBuf;

/// Why data could not be had. Every message says where, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A setting that no data could satisfy.
    #[error("{key}: expected {expected}, found {found}")]
    Setting {
        /// Key, as it stands in the config (`data.validation`).
        key: &'static str,
        /// The rule.
        expected: String,
        /// The value.
        found: String,
    },
    /// A setting of a task that cannot be read.
    #[error("{task}: {key}: expected {expected}, found {found}")]
    TaskSetting {
        /// Task.
        task: &'static str,
        /// Its setting.
        key: String,
        /// The rule.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A prompt in words that cannot be had at its length.
    #[error("{task}: no prompt of {length} tokens with its answer: {reason}")]
    Prompt {
        /// Task.
        task: &'static str,
        /// Tokens of prompt and answer.
        length: usize,
        /// Why, with the least that it takes.
        reason: String,
    },
    /// A path or pattern that names no file.
    #[error("{key}: expected at least one file for \"{pattern}\" (looked in {}), found none", base.display())]
    NoFile {
        /// Key that holds the pattern.
        key: &'static str,
        /// The pattern as given.
        pattern: String,
        /// Folder that relative patterns start from.
        base: PathBuf,
    },
    /// A file that cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// File.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that is not what its name or place says.
    #[error("{}: expected {expected}, found {found}", path.display())]
    File {
        /// File.
        path: PathBuf,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Bytes that are not UTF-8.
    #[error("{}: expected UTF-8 text, found an invalid byte at offset {offset}", path.display())]
    Utf8 {
        /// File.
        path: PathBuf,
        /// Offset of the first invalid byte, from 0, in the decompressed file.
        offset: u64,
    },
    /// A record (a line of JSON, a row of a table) that cannot be used.
    #[error("{}: {unit} {number}: expected {expected}, found {found}", path.display())]
    Record {
        /// File.
        path: PathBuf,
        /// `line` or `row`.
        unit: &'static str,
        /// Number of the record, from 1.
        number: u64,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A column that the file does not have.
    #[error(
        "{}: {place}: expected a column \"{column}\" (data.column), found the columns {}",
        path.display(), list(columns)
    )]
    Column {
        /// File.
        path: PathBuf,
        /// `line N` or `schema`.
        place: String,
        /// The column asked for.
        column: String,
        /// The columns there are.
        columns: Vec<String>,
    },
    /// More bad records than `data.skip_bad` allows.
    #[error(
        "{bad} bad records, and data.skip_bad = {allowed} allows no more; the last one: {last}"
    )]
    TooManyBad {
        /// Records that were bad.
        bad: usize,
        /// Records that may be bad.
        allowed: usize,
        /// The error of the last of them.
        last: Box<DataError>,
    },
    /// Input beyond a cap that guards the memory.
    #[error("{}: expected at most {limit} bytes of {what}, found more; {hint}", path.display())]
    TooLarge {
        /// File.
        path: PathBuf,
        /// What is too large.
        what: &'static str,
        /// The cap, bytes.
        limit: u64,
        /// What to do.
        hint: &'static str,
    },
    /// More documents than are held at a time.
    #[error(
        "{}: expected at most {limit} documents in all, found more; join short ones, read a part (data.max_bytes), or \
         leave out the shortest (data.min_document_bytes)", path.display()
    )]
    TooMany {
        /// File that has one too many.
        path: PathBuf,
        /// The cap.
        limit: usize,
    },
    /// A package archive of a corpus that is not on this machine.
    #[error(
        "corpus {corpus:?}: expected {name}-{version}.crate with sha256 {sha256} in {}, found {found}; \
         `cargo fetch` in the project folder (or building the project) restores it", looked.display()
    )]
    Archive {
        /// Name of the corpus.
        corpus: &'static str,
        /// Package.
        name: Box<str>,
        /// Locked version.
        version: Box<str>,
        /// Locked checksum.
        sha256: Box<str>,
        /// Folder pattern that was searched.
        looked: PathBuf,
        /// What was there instead.
        found: Box<str>,
    },
    /// Package archives of a corpus that cargo could not bring.
    #[error(
        "corpus {corpus:?}: {packages} of its packages are not in cargo's cache, and `cargo fetch` did not bring them: \
         {found}"
    )]
    Fetch {
        /// Name of the corpus.
        corpus: &'static str,
        /// How many are missing.
        packages: usize,
        /// What cargo said.
        found: Box<str>,
    },
    /// Text that is too short for what is asked.
    #[error("{part} part: expected {needed}, found {found}; {hint}")]
    TooLittle {
        /// `training`, `validation` or `test`.
        part: &'static str,
        /// What is needed.
        needed: String,
        /// What there is.
        found: String,
        /// Keys to change.
        hint: String,
    },
    /// No text at all after reading.
    #[error("{source_name}: expected text, found none ({found})")]
    Empty {
        /// The source, in words.
        source_name: String,
        /// What was dropped, in words.
        found: String,
    },
    /// A tokenizer that cannot be loaded, trained or applied.
    #[error("tokenizer {name}: {reason}")]
    Tokenizer {
        /// Tokenizer, in words.
        name: String,
        /// What happened.
        reason: String,
    },
    /// A token that a model has no embedding for.
    #[error(
        "{place}: token {token:?} has id {id} in {tokenizer}, and the model knows ids below {vocab}; use the model's own \
         tokenizer, or text without that token"
    )]
    BeyondVocabulary {
        /// Tokenizer, in words.
        tokenizer: String,
        /// The token as the tokenizer spells it.
        token: String,
        /// Its id.
        id: u32,
        /// Embeddings of the model.
        vocab: usize,
        /// Document or part in which it occurs.
        place: String,
    },
    /// The cache folder cannot be written.
    #[error("cache {}: cannot be written: {source}", path.display())]
    Cache {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Names in quotes, at most twenty of them.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 20;
    if names.is_empty() {
        return "(none)".into();
    }
    let mut text = names
        .iter()
        .take(SHOWN)
        .map(|n| format!("{:?}", excerpt(n)))
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        text += &format!(" and {} more", names.len() - SHOWN);
    }
    text
}
