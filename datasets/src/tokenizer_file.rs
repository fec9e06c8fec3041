//! A `tokenizer.json`: whole texts to ids and back, with what it puts around a text, behind a wall.

use crate::error::DataError;
use crate::foreign::{self, ends};
use std::path::{Path, PathBuf};

/// Bytes of a `tokenizer.json` beyond which it is taken for something else.
const LARGEST: u64 = 1 << 30;

/// A tokenizer of a file.
#[derive(Debug)]
pub struct TokenizerFile {
    path: PathBuf,
    inner: tokenizers::Tokenizer,
}

/// What a tokenizer puts around a text (marks of its beginning and its end) and how much of that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Around {
    /// The text alone.
    Nothing,
    /// What stands before it: for a text that goes on.
    Before,
    /// All: for a text that is complete.
    All,
}

/// A text as tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Ids.
    pub ids: Vec<u32>,
    /// Where each token ends in the text, bytes; of what stands around the text nothing is said (0).
    pub ends: Vec<usize>,
    /// Bytes that each token stands for; 0 for those that stand around. They sum to the length of the text.
    pub bytes: Vec<u32>,
}

impl TokenizerFile {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<TokenizerFile, DataError> {
        TokenizerFile::from_bytes(path, &TokenizerFile::read(path)?)
    }

    /// The bytes of a file.
    pub(crate) fn read(path: &Path) -> Result<Vec<u8>, DataError> {
        foreign::read(path, "a tokenizer", LARGEST)
    }

    /// The tokenizer that these bytes describe; `path` names it in errors.
    pub fn from_bytes(path: &Path, json: &[u8]) -> Result<TokenizerFile, DataError> {
        let bad = |reason: String| DataError::Tokenizer {
            name: path.display().to_string(),
            reason: format!("expected a tokenizer.json, found {}", ends(&reason, 500)),
        };
        let parsed = foreign::guarded(|| tokenizers::Tokenizer::from_bytes(json));
        let mut inner = parsed.map_err(bad)?.map_err(|e| bad(e.to_string()))?;
        if let tokenizers::ModelWrapper::BPE(bpe) = inner.get_model()
            && let Some(dropout) = bpe.dropout.filter(|dropout| *dropout != 0.0)
        {
            return Err(bad(format!(
                "\"dropout\": {dropout}, under which the same text has other tokens each time; set it to null"
            )));
        }
        // A file may ask for cut or padded output; texts are taken whole.
        inner
            .with_truncation(None)
            .map_err(|e| bad(e.to_string()))?;
        inner.with_padding(None);
        let file = TokenizerFile {
            path: path.into(),
            inner,
        };
        if file.vocab() == 0 {
            return Err(bad("an empty vocabulary".into()));
        }
        Ok(file)
    }

    /// The highest id and one more.
    pub fn vocab(&self) -> usize {
        let highest = self.inner.get_vocab(true).into_values().max();
        highest.map_or(0, |id| id as usize + 1)
    }

    /// The tokenizer as a `tokenizer.json`: the same bytes for the same tokenizer, however its file was laid out.
    pub fn json(&self) -> Result<Vec<u8>, DataError> {
        let written = self.inner.to_string(false).map(String::into_bytes);
        written.map_err(|e| self.failed(e.to_string()))
    }

    /// The id of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// A whole text as tokens; `name` stands in errors.
    pub fn encode(&self, name: &str, text: &str, around: Around) -> Result<Tokens, DataError> {
        let encoded = foreign::guarded(|| self.inner.encode(text, around != Around::Nothing));
        let encoding = encoded
            .and_then(|encoding| encoding.map_err(|e| e.to_string()))
            .map_err(|reason| self.failed(format!("encoding {name}: {reason}")))?;
        let is_around = |at: usize| encoding.get_special_tokens_mask()[at] == 1;
        let mut length = encoding.len();
        if around == Around::Before {
            while length > 0 && is_around(length - 1) {
                length -= 1;
            }
        }
        let ends = encoding.get_offsets()[..length].iter().map(|&(_, end)| end);
        let ends: Vec<usize> = (0..)
            .zip(ends)
            .map(|(at, end)| if is_around(at) { 0 } else { end })
            .collect();
        // What is behind the last token of the text is its own.
        let last = (0..length).rev().find(|&at| !is_around(at));
        Ok(Tokens {
            ids: encoding.get_ids()[..length].to_vec(),
            bytes: widths(&ends, last, text.len()),
            ends,
        })
    }

    /// Text of tokens, without what stands around a text if `plain`.
    pub fn decode(&self, ids: &[u32], plain: bool) -> Result<String, DataError> {
        foreign::guarded(|| self.inner.decode(ids, plain))
            .and_then(|text| text.map_err(|e| e.to_string()))
            .map_err(|reason| self.failed(format!("decoding: {reason}")))
    }

    /// Whether a model with `vocab` embeddings can read these tokens of `place`. A tokenizer may know more tokens than a
    /// model, as long as none of them occurs.
    pub fn fits(&self, ids: &[u32], vocab: usize, place: &str) -> Result<(), DataError> {
        let Some(&id) = ids.iter().find(|&&id| id as usize >= vocab) else {
            return Ok(());
        };
        let token = self.inner.id_to_token(id).unwrap_or_default();
        Err(DataError::BeyondVocabulary {
            tokenizer: self.path.display().to_string(),
            token,
            id,
            vocab,
            place: place.into(),
        })
    }

    fn failed(&self, reason: String) -> DataError {
        DataError::Tokenizer {
            name: self.path.display().to_string(),
            reason,
        }
    }
}

/// Bytes of each token from its place in the text: from where the token before it ended to its own end, so that
/// skipped blanks count for the token after them, and of tokens that share a character the first has its bytes. What
/// is left at the end belongs to the token `last`.
fn widths(ends: &[usize], last: Option<usize>, length: usize) -> Vec<u32> {
    let mut done = 0;
    let mut widths: Vec<u32> = ends
        .iter()
        .map(|&end| {
            let end = end.clamp(done, length);
            let width = end - done;
            done = end;
            width as u32
        })
        .collect();
    if let Some(last) = last {
        widths[last] += (length - done) as u32;
    }
    widths
}
