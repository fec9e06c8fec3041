//! From text to token ids and back, with the number of bytes that each token stands for.

use crate::bpe::words::{ascii_words, pieces};
use crate::config::{DataConfig, TokenizerConfig};
use crate::corpus::Document;
use crate::error::DataError;
use crate::tokenizer_file::{Around, TokenizerFile};
use crate::{bpe, cache, parallel};
use std::collections::HashMap;
use std::path::Path;

/// Names that real tokenizers give to their end-of-text token.
const END_OF_TEXT: [&str; 6] = [
    "<|endoftext|>",
    "<|end_of_text|>",
    "</s>",
    "<|eot_id|>",
    "<eos>",
    "[SEP]",
];

/// A tokenizer that is ready to use.
#[derive(Debug)]
pub(crate) struct Tokenizer {
    kind: Kind,
    /// Ids, the separator's included.
    pub(crate) vocab: usize,
    /// Ids that stand before every document.
    pub(crate) bos: Vec<u32>,
    /// Id that stands between documents in a packed stream.
    pub(crate) separator: Option<u32>,
    /// blake3 of all that decides the ids.
    pub(crate) hash: String,
    /// In words.
    pub(crate) description: String,
}

#[derive(Debug)]
enum Kind {
    Byte,
    /// Every token is a run of bytes, whose lengths are listed by id.
    Trained {
        inner: Box<tokenizers::Tokenizer>,
        ascii: bpe::AsciiEncoder,
        widths: Vec<u32>,
    },
    File(Box<TokenizerFile>),
}

/// Tokens of a text, and how many bytes of it each stands for. The widths sum to the length of the text.
pub(crate) struct Encoded {
    pub(crate) ids: Vec<u32>,
    pub(crate) widths: Vec<u32>,
}

impl Tokenizer {
    /// Loads or trains the tokenizer of a config. Relative paths start from `base`.
    pub(crate) fn open(
        config: &DataConfig,
        base: &Path,
        cache: &Path,
        train: &[Document],
    ) -> Result<Tokenizer, DataError> {
        let mut tokenizer = match &config.tokenizer {
            TokenizerConfig::Byte => Tokenizer {
                kind: Kind::Byte,
                vocab: 256,
                bos: Vec::new(),
                separator: None,
                hash: hash_of("byte", b""),
                description: "bytes".into(),
            },
            TokenizerConfig::Bpe(vocab) => Tokenizer::trained(*vocab, cache, train)?,
            TokenizerConfig::File(path) => Tokenizer::file(path, &base.join(path))?,
        };
        if config.pack {
            tokenizer.add_separator();
        }
        if config.bos {
            tokenizer.add_bos()?;
        }
        Ok(tokenizer)
    }

    fn trained(vocab: usize, folder: &Path, train: &[Document]) -> Result<Tokenizer, DataError> {
        let mut hasher = blake3::Hasher::new_derive_key("farspan 2026 bpe training text v1");
        hasher.update(&(vocab as u64).to_le_bytes());
        for document in train {
            hasher.update(&(document.text.len() as u64).to_le_bytes());
            hasher.update(document.text.as_bytes());
        }
        let name = format!("bpe-{}", &hasher.finalize().to_hex()[..32]);
        let json = match cache::load(folder, &name) {
            Some(json) => json,
            None => {
                let pieces: Vec<&str> = train.iter().flat_map(|d| pieces(&d.text)).collect();
                let json = bpe::train(&pieces, vocab)?.into_bytes();
                cache::store(folder, &name, &json)?;
                json
            }
        };
        let inner = parse("bpe", &json)?;
        let ascii = bpe::AsciiEncoder::from_json(&json)?;
        let vocab = inner.get_vocab_size(true);
        // In byte-level spelling one letter stands for one byte.
        let widths = (0..vocab as u32)
            .map(|id| {
                inner
                    .id_to_token(id)
                    .map_or(0, |token| token.chars().count() as u32)
            })
            .collect();
        Ok(Tokenizer {
            kind: Kind::Trained {
                inner: Box::new(inner),
                ascii,
                widths,
            },
            vocab,
            bos: Vec::new(),
            separator: None,
            hash: hash_of("bpe", &json),
            description: format!("byte-level BPE trained on the training part, {vocab} ids"),
        })
    }

    fn file(name: &str, path: &Path) -> Result<Tokenizer, DataError> {
        let json = TokenizerFile::read(path)?;
        let file = TokenizerFile::from_bytes(Path::new(name), &json)?;
        let vocab = file.vocab();
        Ok(Tokenizer {
            kind: Kind::File(Box::new(file)),
            vocab,
            bos: Vec::new(),
            separator: None,
            hash: hash_of("file", &json),
            description: format!("{name}, {vocab} ids"),
        })
    }

    /// The file's own end-of-text token, or else one more id.
    fn add_separator(&mut self) {
        let own = match &self.kind {
            Kind::File(file) => END_OF_TEXT
                .iter()
                .find_map(|token| file.id(token).map(|id| (id, format!("{token:?}")))),
            _ => None,
        };
        let (id, name) = own.unwrap_or_else(|| {
            self.vocab += 1;
            ((self.vocab - 1) as u32, "one more id".to_string())
        });
        self.separator = Some(id);
        self.description += &format!("; separator {id} ({name})");
        self.hash = hash_of(&format!("separator {id}"), self.hash.as_bytes());
    }

    /// As a `tokenizer.json`.
    pub(crate) fn json(&self) -> Result<Vec<u8>, DataError> {
        let written = match &self.kind {
            Kind::Byte => return Ok(bpe::bytes().into_bytes()),
            Kind::Trained { inner, .. } => inner.to_string(false),
            Kind::File(file) => return file.json(),
        };
        written
            .map(String::into_bytes)
            .map_err(|e| DataError::Tokenizer {
                name: self.description.clone(),
                reason: e.to_string(),
            })
    }

    /// What the file puts before a text.
    fn add_bos(&mut self) -> Result<(), DataError> {
        self.bos = self.before()?;
        self.description += &format!("; {:?} before every document", self.decode(&self.bos));
        self.hash = hash_of(&format!("bos {:?}", self.bos), self.hash.as_bytes());
        Ok(())
    }

    /// Ids that stand before a text that begins, if the tokenizer says so.
    pub(crate) fn before(&self) -> Result<Vec<u32>, DataError> {
        let Kind::File(file) = &self.kind else {
            return Ok(Vec::new());
        };
        // Around an empty text there is no telling what stands before it.
        let tokens = file.encode("a letter", "a", Around::Before)?;
        let before = tokens.bytes.iter().take_while(|bytes| **bytes == 0);
        Ok(tokens.ids[..before.count()].to_vec())
    }

    /// Whether encoding costs so much that its result is worth a file.
    pub(crate) fn is_slow(&self) -> bool {
        !matches!(self.kind, Kind::Byte)
    }

    /// Encodes documents, each on its own and whole.
    pub(crate) fn encode(&self, documents: &[Document]) -> Result<Vec<Encoded>, DataError> {
        let failed = |name: &str, reason: String| DataError::Tokenizer {
            name: self.description.clone(),
            reason: format!("{name}: {reason}"),
        };
        match &self.kind {
            Kind::Byte => Ok(documents
                .iter()
                .map(|document| Encoded {
                    ids: document.text.bytes().map(u32::from).collect(),
                    widths: vec![1; document.text.len()],
                })
                .collect()),
            Kind::Trained {
                inner,
                ascii,
                widths,
            } => parallel::map(documents, |document| {
                let ids = encode_trained(inner, ascii, &document.text)
                    .map_err(|e| failed(&document.name, e))?;
                let widths = ids.iter().map(|&id| widths[id as usize]).collect();
                Ok(Encoded { ids, widths })
            })
            .into_iter()
            .collect(),
            Kind::File(file) => parallel::map(documents, |document| {
                let tokens = file.encode(&document.name, &document.text, Around::Nothing)?;
                Ok(Encoded {
                    ids: tokens.ids,
                    widths: tokens.bytes,
                })
            })
            .into_iter()
            .collect(),
        }
    }

    /// Whether a model with `vocab` embeddings can read these tokens of `place`.
    pub(crate) fn fits(&self, ids: &[u32], vocab: usize, place: &str) -> Result<(), DataError> {
        if let Kind::File(file) = &self.kind {
            file.fits(ids, vocab, place)?;
        }
        // Only a separator or a tokenizer trained here is left, whose ids have no names of their own.
        match ids.iter().find(|&&id| id as usize >= vocab) {
            None => Ok(()),
            Some(&id) => Err(DataError::BeyondVocabulary {
                tokenizer: self.description.clone(),
                token: self.decode(&[id]),
                id,
                vocab,
                place: place.into(),
            }),
        }
    }

    /// Text of tokens. Bytes that are no UTF-8 show as �, the separator as `<sep>`.
    pub(crate) fn decode(&self, ids: &[u32]) -> String {
        let parts: Vec<String> = ids
            .split(|id| Some(*id) == self.separator)
            .map(|ids| match &self.kind {
                Kind::Byte => {
                    let bytes: Vec<u8> = ids.iter().map(|&id| id.min(255) as u8).collect();
                    String::from_utf8_lossy(&bytes).into_owned()
                }
                Kind::Trained { inner, .. } => inner
                    .decode(ids, false)
                    .unwrap_or_else(|_| "\u{fffd}".into()),
                Kind::File(file) => file
                    .decode(ids, false)
                    .unwrap_or_else(|_| "\u{fffd}".into()),
            })
            .collect();
        parts.join("<sep>")
    }
}

fn parse(name: &str, json: &[u8]) -> Result<tokenizers::Tokenizer, DataError> {
    tokenizers::Tokenizer::from_bytes(json).map_err(|e| DataError::Tokenizer {
        name: name.into(),
        reason: format!("expected a tokenizer.json, found: {e}"),
    })
}

/// Ids of a text under a tokenizer trained here: ASCII by the quick path, all else by the crate.
fn encode_trained(
    inner: &tokenizers::Tokenizer,
    ascii: &bpe::AsciiEncoder,
    text: &str,
) -> Result<Vec<u32>, String> {
    let mut ids = Vec::new();
    let mut known = HashMap::new();
    let slow = |text: &str, ids: &mut Vec<u32>| {
        let encoding = inner.encode_fast(text, false).map_err(|e| e.to_string())?;
        ids.extend(encoding.get_ids());
        Ok::<(), String>(())
    };
    for piece in pieces(text) {
        if !piece.is_ascii() {
            slow(piece, &mut ids)?;
            continue;
        }
        for word in ascii_words(piece) {
            if word.len() > bpe::AsciiEncoder::LONGEST {
                slow(word, &mut ids)?;
            } else {
                ids.extend(
                    known
                        .entry(word)
                        .or_insert_with(|| ascii.encode(word))
                        .iter(),
                );
            }
        }
    }
    Ok(ids)
}

fn hash_of(kind: &str, content: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("farspan 2026 tokenizer v1");
    hasher.update(&(kind.len() as u64).to_le_bytes());
    hasher.update(kind.as_bytes());
    hasher.update(content);
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests;
