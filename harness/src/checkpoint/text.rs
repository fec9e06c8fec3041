//! Text for a checkpoint: its own tokenizer, and how many bytes each token stands for.

use crate::{Error, Result};
use farspan_datasets::{Around, TokenizerFile, Tokens, foreign};
use std::path::Path;

/// Bytes of the largest text that is read at once.
const LARGEST: u64 = 1 << 32;

/// A checkpoint's `tokenizer.json`.
#[derive(Debug)]
pub struct Tokenizer {
    file: TokenizerFile,
}

/// A document as tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Where it comes from.
    pub name: String,
    /// Token ids, with those that the tokenizer puts around a text.
    pub ids: Vec<u32>,
    /// Bytes that each token stands for; 0 for those that stand around. They sum to the length of the text.
    pub bytes: Vec<u32>,
}

/// The text of a file.
pub fn utf8(path: &Path) -> Result<String> {
    Ok(foreign::read_text(path, "text", LARGEST)?)
}

impl Tokenizer {
    /// Opens `tokenizer.json` of `dir`.
    pub fn open(dir: &Path) -> Result<Tokenizer> {
        let path = dir.join("tokenizer.json");
        if !path.exists() {
            let hint = match dir.join("tokenizer.model").exists() {
                true => {
                    "only tokenizer.model is there; save the fast tokenizer with the reference library"
                }
                false => "expected a fast tokenizer",
            };
            return Err(Error::Data(format!(
                "{} is not there: {hint}",
                path.display()
            )));
        }
        let file = TokenizerFile::open(&path)?;
        Ok(Tokenizer { file })
    }

    /// Whether it is the tokenizer that this `tokenizer.json` describes.
    pub fn is(&self, json: &[u8]) -> Result<bool> {
        let other = TokenizerFile::from_bytes(Path::new("tokenizer.json"), json)?;
        Ok(self.file.json()? == other.json()?)
    }

    /// `text` as tokens.
    pub fn document(&self, name: &str, text: &str) -> Result<Document> {
        let Tokens { ids, bytes, .. } = self.file.encode(name, text, Around::All)?;
        Ok(Document {
            name: name.to_string(),
            ids,
            bytes,
        })
    }

    /// Tokens of a text that is to go on: with what the tokenizer puts before it and without what it puts behind it.
    pub fn beginning(&self, name: &str, text: &str) -> Result<Tokens> {
        Ok(self.file.encode(name, text, Around::Before)?)
    }

    /// The id of a token, if there is such a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.file.id(token)
    }

    /// Whether a model with `vocab` embeddings can read the tokens of `place`. A tokenizer may know more tokens than the
    /// model, as long as none of them occurs.
    pub fn fits(&self, ids: &[u32], vocab: usize, place: &str) -> Result<()> {
        Ok(self.file.fits(ids, vocab, place)?)
    }

    /// Text of each id below `vocab`.
    pub fn texts(&self, vocab: usize) -> Result<Vec<String>> {
        let text = |id| Ok(self.file.decode(&[id], false)?);
        (0..vocab as u32).map(text).collect()
    }

    /// Text of `ids`, without tokens that stand around a text.
    pub fn text(&self, ids: &[u32]) -> Result<String> {
        Ok(self.file.decode(ids, true)?)
    }
}
