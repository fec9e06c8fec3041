//! Text for a checkpoint: its own tokenizer, and how many bytes each token stands for.

use super::files::regular;
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Bytes of a `tokenizer.json` beyond which it is taken for something else.
const LARGEST: u64 = 1 << 30;

/// A checkpoint's `tokenizer.json`.
#[derive(Debug)]
pub struct Tokenizer {
    file: PathBuf,
    inner: tokenizers::Tokenizer,
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
    let bytes =
        std::fs::read(path).map_err(|e| Error::io(format!("reading {}", path.display()), e))?;
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Error::Data(format!(
            "{}: expected UTF-8, found something else at byte {at}",
            path.display()
        ))
    })
}

impl Tokenizer {
    /// Opens `tokenizer.json` of `dir`.
    pub fn open(dir: &Path) -> Result<Tokenizer> {
        let file = dir.join("tokenizer.json");
        if !file.exists() {
            let hint = match dir.join("tokenizer.model").exists() {
                true => {
                    "only tokenizer.model is there; save the fast tokenizer with the reference library"
                }
                false => "expected a fast tokenizer",
            };
            return Err(Error::Data(format!(
                "{} is not there: {hint}",
                file.display()
            )));
        }
        let size = regular(&file)?;
        if size > LARGEST {
            let text = format!("{}: {size} bytes are no tokenizer", file.display());
            return Err(Error::Data(text));
        }
        let bad = |e: tokenizers::Error| Error::Data(format!("{}: {e}", file.display()));
        let json = std::fs::read(&file)
            .map_err(|e| Error::io(format!("reading {}", file.display()), e))?;
        let mut inner = tokenizers::Tokenizer::from_bytes(json).map_err(bad)?;
        // A file may ask for cut or padded output; texts are taken whole.
        inner.with_truncation(None).map_err(bad)?;
        inner.with_padding(None);
        Ok(Tokenizer { file, inner })
    }

    /// `text` as tokens.
    pub fn document(&self, name: &str, text: &str) -> Result<Document> {
        let encoding = self
            .inner
            .encode(text, true)
            .map_err(|e| Error::Data(format!("{}: encoding {name}: {e}", self.file.display())))?;
        // Tokens of one character may share its span: only what is new counts.
        let mut seen = 0;
        let mut bytes = Vec::with_capacity(encoding.len());
        for &(_, end) in encoding.get_offsets() {
            bytes.push(end.saturating_sub(seen) as u32);
            seen = seen.max(end);
        }
        Ok(Document {
            name: name.to_string(),
            ids: encoding.get_ids().to_vec(),
            bytes,
        })
    }

    /// Tokens of `text`, with those that the tokenizer puts around a text if `around`.
    pub fn ids(&self, text: &str, around: bool) -> Result<Vec<u32>> {
        let encoding = self.inner.encode(text, around);
        let encoding =
            encoding.map_err(|e| Error::Data(format!("{}: encoding: {e}", self.file.display())))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Text of `ids`, without tokens that stand around a text.
    pub fn text(&self, ids: &[u32]) -> Result<String> {
        self.inner
            .decode(ids, true)
            .map_err(|e| Error::Data(format!("{}: decoding: {e}", self.file.display())))
    }
}
