//! Documents from wherever a config says, cleaned, counted and capped.

mod archives;
mod cargo;
mod files;
mod jsonl;
mod parquet;
mod standard;

use crate::config::{DataConfig, NamedCorpus};
use crate::error::DataError;
use std::collections::HashSet;
use std::path::Path;

/// Text that is read without `data.max_bytes`.
const DEFAULT_LIMIT: u64 = 1 << 30;

/// Most documents that are held: each takes some hundred bytes beside its text.
const MOST_DOCUMENTS: usize = 10_000_000;

/// One text that is continuous in itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Document {
    /// File, line or row it came from.
    pub(crate) name: String,
    /// Text without byte-order mark, lines ended by LF.
    pub(crate) text: String,
    /// Group of the corpus that it belongs to; none is a group of its own.
    pub(crate) group: Option<u32>,
}

/// All documents of a config, in a fixed order.
#[derive(Debug)]
pub(crate) struct Corpus {
    /// At least one document where there is a source; none is empty, no two are equal.
    pub(crate) documents: Vec<Document>,
    /// Names of the groups of documents that have more in common with each other than with the rest.
    pub(crate) groups: Vec<String>,
    /// Source and what was left out, in words.
    pub(crate) description: String,
}

/// Reads all text of a config. Relative paths start from `base`.
pub(crate) fn read(config: &DataConfig, base: &Path) -> Result<Corpus, DataError> {
    config.validate()?;
    if config.sources().is_empty() {
        return Ok(Corpus {
            documents: Vec::new(),
            groups: Vec::new(),
            description: "no text".into(),
        });
    }
    let mut gather = Gather::new(config);
    let column = config.column.as_deref().unwrap_or("text");
    let source = if let Some(corpus) = config.corpus {
        match corpus {
            NamedCorpus::Cargo => cargo::read(&mut gather)?,
            NamedCorpus::Standard1 => standard::read(&mut gather)?,
        }
    } else if let Some(patterns) = &config.files {
        let paths = files::find("data.files", patterns, base)?;
        files::read(&paths, &mut gather)?;
        format!("{} of text", count(paths.len(), "file"))
    } else if let Some(patterns) = &config.jsonl {
        let paths = files::find("data.jsonl", patterns, base)?;
        jsonl::read(&paths, column, &mut gather)?;
        format!(
            "{} of JSON Lines, column \"{column}\"",
            count(paths.len(), "file")
        )
    } else {
        let patterns = config.parquet.as_deref().unwrap_or_default();
        let paths = files::find("data.parquet", patterns, base)?;
        parquet::read(&paths, column, &mut gather)?;
        format!(
            "{} of Parquet, column \"{column}\"",
            count(paths.len(), "file")
        )
    };
    gather.finish(source)
}

/// `1 file`, `2 files`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    if n == 1 {
        format!("1 {noun}")
    } else if let Some(stem) = noun.strip_suffix('y') {
        format!("{n} {stem}ies")
    } else {
        format!("{n} {noun}s")
    }
}

/// Whether a reader should go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    More,
    Full,
}

/// Takes documents one after the other, and keeps count of what is left out.
#[derive(Debug)]
struct Gather {
    documents: Vec<Document>,
    groups: Vec<String>,
    /// Group of the documents that come next.
    group: Option<u32>,
    seen: HashSet<[u8; 32]>,
    bytes: u64,
    limit: u64,
    /// Whether text beyond the limit is cut off (`max_bytes`) and not an error.
    cut: bool,
    min_bytes: usize,
    allowed_bad: usize,
    bad: usize,
    missing: usize,
    empty: usize,
    short: usize,
    copies: usize,
    tables: usize,
}

impl Gather {
    fn new(config: &DataConfig) -> Gather {
        Gather {
            documents: Vec::new(),
            groups: Vec::new(),
            group: None,
            seen: HashSet::new(),
            bytes: 0,
            limit: config.max_bytes.unwrap_or(DEFAULT_LIMIT),
            cut: config.max_bytes.is_some(),
            min_bytes: config.min_document_bytes(),
            allowed_bad: config.skip_bad.unwrap_or(0),
            bad: 0,
            missing: 0,
            empty: 0,
            short: 0,
            copies: 0,
            tables: 0,
        }
    }

    /// Bytes of text that may still be taken.
    fn room(&self) -> u64 {
        self.limit - self.bytes
    }

    /// Puts the documents that follow into a group, which may have been begun before.
    fn begin_group(&mut self, name: &str) {
        let known = self.groups.iter().position(|group| group == name);
        let place = known.unwrap_or_else(|| {
            self.groups.push(name.into());
            self.groups.len() - 1
        });
        // There are fewer groups than files, hence a u32.
        self.group = Some(place as u32);
    }

    /// Takes a document, or counts why not. `path` is for the error.
    fn push(&mut self, path: &Path, name: String, text: String) -> Result<Flow, DataError> {
        let mut text = clean(text);
        let group = self.group;
        if text.trim().is_empty() {
            self.empty += 1;
            return Ok(Flow::More);
        }
        if text.len() < self.min_bytes {
            self.short += 1;
            return Ok(Flow::More);
        }
        if !self.seen.insert(*blake3::hash(text.as_bytes()).as_bytes()) {
            self.copies += 1;
            return Ok(Flow::More);
        }
        if self.documents.len() == MOST_DOCUMENTS {
            return Err(DataError::TooMany {
                path: path.into(),
                limit: MOST_DOCUMENTS,
            });
        }
        if text.len() as u64 > self.room() {
            if !self.cut {
                return Err(self.too_large(path));
            }
            // The room is below the length of a text in memory, hence a usize.
            text.truncate(text.floor_char_boundary(self.room() as usize));
            self.bytes = self.limit;
            if text.len() >= self.min_bytes && !text.trim().is_empty() {
                self.documents.push(Document { name, text, group });
            }
            return Ok(Flow::Full);
        }
        self.bytes += text.len() as u64;
        self.documents.push(Document { name, text, group });
        Ok(if self.room() == 0 {
            Flow::Full
        } else {
            Flow::More
        })
    }

    /// Counts a record that says it has no text: a null, or the NaN that Python writes in its place.
    fn missing(&mut self) -> Flow {
        self.missing += 1;
        Flow::More
    }

    /// Counts a record that cannot be used; an error when that is one too many.
    fn bad(&mut self, error: DataError) -> Result<(), DataError> {
        self.bad += 1;
        match (self.bad > self.allowed_bad, self.allowed_bad) {
            (false, _) => Ok(()),
            (true, 0) => Err(error),
            (true, allowed) => Err(DataError::TooManyBad {
                bad: self.bad,
                allowed,
                last: Box::new(error),
            }),
        }
    }

    fn too_large(&self, path: &Path) -> DataError {
        DataError::TooLarge {
            path: path.into(),
            what: "text in all",
            limit: self.limit,
            hint: "set data.max_bytes to read a part, or to allow more",
        }
    }

    fn finish(self, source: String) -> Result<Corpus, DataError> {
        let left_out: Vec<String> = [
            (self.missing, "record without text"),
            (self.empty, "empty document"),
            (self.short, "document below min_document_bytes"),
            (self.copies, "copy"),
            (self.tables, "generated table"),
            (self.bad, "bad record"),
        ]
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, noun)| match noun.split_once(' ') {
            Some((thing @ ("document" | "record"), rest)) => format!("{} {rest}", count(n, thing)),
            _ => count(n, noun),
        })
        .collect();
        if self.documents.is_empty() {
            let found = if left_out.is_empty() {
                "no document at all".to_string()
            } else {
                format!("left out: {}", left_out.join(", "))
            };
            return Err(DataError::Empty {
                source_name: source,
                found,
            });
        }
        let mut description = format!(
            "{source}: {}, {:.2} MB",
            count(self.documents.len(), "document"),
            self.bytes as f64 / 1e6
        );
        if self.bytes == self.limit {
            description += ", cut at max_bytes";
        }
        if !left_out.is_empty() {
            description += &format!(" (left out: {})", left_out.join(", "));
        }
        Ok(Corpus {
            documents: self.documents,
            groups: self.groups,
            description,
        })
    }
}

/// Removes a byte-order mark and turns CRLF into LF.
fn clean(mut text: String) -> String {
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    if text.contains('\r') {
        text.replace("\r\n", "\n")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gather(max_bytes: Option<u64>, min: usize) -> Gather {
        Gather::new(&DataConfig {
            max_bytes,
            min_document_bytes: Some(min),
            ..DataConfig::default()
        })
    }

    fn push(gather: &mut Gather, text: &str) -> Flow {
        gather
            .push(Path::new("f"), text.into(), text.into())
            .unwrap()
    }

    #[test]
    fn text_is_cleaned_and_nothing_else() {
        assert_eq!(
            "a\nb\rc\n\td\u{feff}",
            clean("\u{feff}a\r\nb\rc\n\td\u{feff}".into())
        );
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let mut g = gather(None, 3);
        for text in ["", " \n", "ab", "abc", "abc", "\u{feff}abc", "abcd"] {
            assert_eq!(Flow::More, push(&mut g, text));
        }
        let corpus = g.finish("f".into()).unwrap();
        assert_eq!(2, corpus.documents.len());
        assert_eq!(
            "f: 2 documents, 0.00 MB (left out: 2 empty documents, \
             1 document below min_document_bytes, 2 copies)",
            corpus.description
        );
        let error = gather(None, 1).finish("f".into()).unwrap_err().to_string();
        assert_eq!("f: expected text, found none (no document at all)", error);
    }

    #[test]
    fn the_cap_cuts_between_characters() {
        let mut g = gather(Some(6), 1);
        assert_eq!(Flow::More, push(&mut g, "abc"));
        assert_eq!(Flow::Full, push(&mut g, "dé😀"));
        let corpus = g.finish("f".into()).unwrap();
        assert_eq!("dé", corpus.documents[1].text);
        assert!(corpus.description.contains("cut at max_bytes"));
    }
}
