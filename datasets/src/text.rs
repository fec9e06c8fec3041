//! Real text as windows of tokens.

use crate::batch::{Batch, Documents};
use crate::config::{DataConfig, Packed};
use crate::corpus;
use crate::error::DataError;
use crate::overlap;
use crate::part::Part;
use crate::rng::Stream;
use crate::split::{Whole, split};
use crate::tokenizer::Tokenizer;
use std::path::Path;

/// Text of a config, tokenised and split into training, validation and test parts.
///
/// The split is by whole packages (of a corpus that has them) or else whole documents where there are enough of them, and
/// the same for every run on the same text. No document is in two parts, of documents that are exact copies only the
/// first is kept, and near copies of training are left out of validation and test (`data.max_overlap`); the description
/// says how much of these parts still stands in training. A document is tokenised once and whole; windows are cut from
/// its tokens.
#[derive(Debug)]
pub struct TextData {
    tokenizer: Tokenizer,
    train: Part,
    validation: Part,
    test: Part,
    documents: Packed,
    /// Text of the test part, document after document.
    read: String,
    hash: String,
    description: String,
}

/// Size of one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartInfo {
    /// `train`, `validation` or `test`.
    pub name: &'static str,
    /// Documents, or pieces of documents where those were cut.
    pub documents: usize,
    /// Tokens.
    pub tokens: usize,
    /// Bytes of text.
    pub bytes: u64,
}

/// A stretch of the test part, for measuring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Document of the test part, from 0; 0 throughout if documents are packed.
    pub document: usize,
    /// Place of the first token in its document, from 0.
    pub offset: usize,
    /// Token ids.
    pub tokens: Vec<u32>,
    /// UTF-8 bytes of text that each token stands for; 0 for the separator. Over a document they sum to its length.
    pub bytes: Vec<u32>,
}

impl TextData {
    /// Reads, splits and tokenises. Relative paths start from `base`; trained tokenizers and slow encodings are kept
    /// in the folder `cache`, which may be deleted at any time.
    pub fn open(config: &DataConfig, base: &Path, cache: &Path) -> Result<TextData, DataError> {
        let corpus = corpus::read(config, base)?;
        let mut parts = split(corpus.documents, config.validation, config.test);
        let overlap = overlap::leave_out(&mut parts, config.max_overlap(), cache)?;
        let tokenizer = Tokenizer::open(config, base, cache, &parts.train)?;
        let train = Part::encode(&parts.train, &tokenizer, cache, false)?;
        let validation = Part::encode(&parts.validation, &tokenizer, cache, false)?;
        let test = Part::encode(&parts.test, &tokenizer, cache, true)?;
        let mut hasher = blake3::Hasher::new_derive_key("farspan 2026 text v1");
        for part in [&train, &validation, &test] {
            part.hash_into(&mut hasher);
        }
        let total = (train.bytes + validation.bytes + test.bytes) as f64 / 100.0;
        let share = |part: &Part| format!("{:.1} %", part.bytes as f64 / total);
        let how = match parts.whole {
            Whole::Groups => {
                let mut tested: Vec<_> = parts.test.iter().filter_map(|d| d.group).collect();
                tested.dedup();
                let names: Vec<_> = tested
                    .iter()
                    .map(|&group| corpus.groups[group as usize].as_str())
                    .collect();
                format!(
                    "split by whole packages into training, validation and test ({})",
                    names.join(", ")
                )
            }
            Whole::Documents => {
                "split by whole documents into training, validation and test".to_string()
            }
            Whole::Measured => "all of it measured on, nothing trained".to_string(),
            Whole::Nothing => {
                "few documents, so each is cut into training, validation and test in this order"
                    .to_string()
            }
        };
        let mut description = format!(
            "{}; {how}: {}, {}, {}; {overlap}{}{}",
            corpus.description,
            share(&train),
            share(&validation),
            share(&test),
            if config.pack { "; packed" } else { "" },
            config.documents.words(),
        );
        if config.sources().is_empty() {
            description = corpus.description;
        }
        let hash = hasher.finalize().to_hex().to_string();
        Ok(TextData {
            tokenizer,
            train,
            validation,
            test,
            documents: config.documents,
            read: parts.test.iter().map(|d| d.text.as_str()).collect(),
            hash,
            description,
        })
    }

    /// Number of token ids.
    pub fn vocab(&self) -> usize {
        self.tokenizer.vocab
    }

    /// blake3 of the tokens of all parts, hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// blake3 of all that decides how text becomes ids, hexadecimal.
    pub fn tokenizer_hash(&self) -> &str {
        &self.tokenizer.hash
    }

    /// Source, size, what was left out, and the split, in words.
    pub fn description(&self) -> String {
        self.description.clone()
    }

    /// The tokenizer in words.
    pub fn tokenizer_description(&self) -> String {
        self.tokenizer.description.clone()
    }

    /// Sizes of the training, validation and test parts.
    pub fn parts(&self) -> [PartInfo; 3] {
        [
            ("train", &self.train),
            ("validation", &self.validation),
            ("test", &self.test),
        ]
        .map(|(name, part)| PartInfo {
            name,
            documents: part.documents,
            tokens: part.ids.len(),
            bytes: part.bytes,
        })
    }

    /// Text of tokens. Bytes that are no UTF-8 show as �, the separator as `<sep>`.
    pub fn decode(&self, ids: &[u32]) -> String {
        self.tokenizer.decode(ids)
    }

    /// Whether there is text enough to train with windows of `train_len` fed tokens. To be asked before training; the error
    /// says what is needed, what there is, and which keys to change.
    pub fn check_training(&self, train_len: usize) -> Result<(), DataError> {
        for (name, part) in [("training", &self.train), ("validation", &self.validation)] {
            if part.starts(train_len + 1).total() == 0 {
                let needed = format!(
                    "a document of at least {} tokens (train.length + 1)",
                    train_len + 1
                );
                let key = if name == "training" {
                    ""
                } else {
                    "a larger data.validation, "
                };
                let hint = format!(
                    "use more text, longer documents, {key}a smaller train.length, or data.pack = true"
                );
                return Err(part.too_little(name, needed, hint));
            }
        }
        Ok(())
    }

    /// The tokenizer as a `tokenizer.json`.
    pub fn tokenizer_json(&self) -> Result<Vec<u8>, DataError> {
        self.tokenizer.json()
    }

    /// What the tokenizer puts before a text.
    pub fn bos(&self) -> Result<Vec<u32>, DataError> {
        self.tokenizer.before()
    }

    /// Whether a model with `vocab` embeddings can read this text. Its tokenizer may know more tokens, as long as none of
    /// them occurs.
    pub fn check_vocab(&self, vocab: usize) -> Result<(), DataError> {
        if self.vocab() <= vocab {
            return Ok(());
        }
        for (name, part) in [
            ("training", &self.train),
            ("validation", &self.validation),
            ("test", &self.test),
        ] {
            for range in part.pieces() {
                let place = format!("{name} part");
                self.tokenizer.fits(&part.ids.slice(range), vocab, &place)?;
            }
        }
        Ok(())
    }

    /// Whether the validation part has a window of `len` fed tokens; the error says what is needed and what there is.
    pub fn check_validation(&self, len: usize) -> Result<(), DataError> {
        if self.validation.starts(len + 1).total() > 0 {
            return Ok(());
        }
        let needed = format!("a document of at least {} tokens", len + 1);
        let hint = "use more text, longer documents, a larger data.validation, or data.pack = true";
        Err(self
            .validation
            .too_little("validation", needed, hint.into()))
    }

    /// The training batch of a step: `rows` windows of `len` + 1 consecutive tokens, each start drawn uniformly from
    /// all that leave room for a window. A pure function of its arguments.
    ///
    /// # Panics
    /// If no document of the training part has `len` + 1 tokens; [`check_training`](TextData::check_training) tells beforehand.
    pub fn train_batch(&self, seed: u64, step: u64, rows: usize, len: usize) -> Batch {
        let starts = self.train.starts(len + 1);
        let mut stream = Stream::at(seed, "text/train", step);
        let drawn = (0..rows).map(|_| starts.nth(stream.below(starts.total())));
        self.windows(&self.train, drawn, len)
    }

    /// Windows of `len` + 1 tokens of `part` that begin at `starts`.
    fn windows(&self, part: &Part, starts: impl Iterator<Item = usize>, len: usize) -> Batch {
        let mut batch = Batch::with_capacity(starts.size_hint().0, len);
        let mut documents = Vec::new();
        for start in starts {
            batch.push(&part.ids.slice(start..start + len + 1), len);
            if !self.documents.is_join() {
                documents.push(part.documents_in(start..start + len));
            }
        }
        batch.documents = (!self.documents.is_join()).then_some(Documents {
            starts: documents,
            restart: self.documents == Packed::Restart,
        });
        batch
    }

    /// The same with windows put together out of longer texts. `cut` is given the tokens of such a text, `len` to
    /// `longest` (fewer than `longest` if no document is that long), and says which `len` of them are fed, in order, and
    /// where they stand; the target of each is the next fed one, and of the last the token that follows it.
    ///
    /// # Panics
    /// As [`train_batch`](TextData::train_batch).
    pub fn train_cuts(
        &self,
        (seed, step): (u64, u64),
        rows: usize,
        len: usize,
        longest: usize,
        cut: &mut dyn FnMut(usize) -> (Vec<usize>, Vec<f64>),
    ) -> Batch {
        let document = self
            .train
            .windows
            .iter()
            .map(|range| range.len())
            .max()
            .unwrap_or(0);
        let text = longest.min(document.saturating_sub(1)).max(len);
        let starts = self.train.starts(text + 1);
        let mut stream = Stream::at(seed, "text/train", step);
        let mut batch = Batch::with_capacity(rows, len);
        let mut places = Vec::with_capacity(rows * len);
        for _ in 0..rows {
            let start = starts.nth(stream.below(starts.total()));
            let text_ids = self.train.ids.slice(start..start + text + 1);
            let (tokens, positions) = cut(text);
            let after = tokens.last().map_or(0, |last| last + 1);
            let window: Vec<u32> = tokens
                .iter()
                .chain([&after])
                .map(|&t| text_ids[t])
                .collect();
            batch.push(&window, len);
            places.extend(positions);
        }
        batch.positions = Some(places);
        batch
    }

    /// `count` batches of `rows` windows spread evenly over the validation part; the same for every run. Windows
    /// overlap where the part is short.
    ///
    /// # Panics
    /// If no document of the validation part has `len` + 1 tokens; [`check_training`](TextData::check_training) tells beforehand.
    pub fn validation_batches(&self, rows: usize, len: usize, count: usize) -> Vec<Batch> {
        let starts = self.validation.starts(len + 1);
        assert!(
            starts.total() > 0,
            "the validation part has no window of {} tokens",
            len + 1
        );
        let windows = (rows * count) as u128;
        let batch = |index: usize| {
            let start = |row: usize| {
                let place = 2 * (index * rows + row) as u128 + 1;
                // Below `total`, hence a u64.
                let nth = (place * u128::from(starts.total()) / (2 * windows)) as u64;
                starts.nth(nth)
            };
            self.windows(&self.validation, (0..rows).map(start), len)
        };
        (0..count).map(batch).collect()
    }

    /// `count` stretches of exactly `tokens` tokens, or as many as there are, none overlapping another, each inside one
    /// test document (or the packed test stream), spread evenly over the test part; the same for every run. The error says
    /// how many there are.
    pub fn test_segments(
        &self,
        tokens: usize,
        count: Option<usize>,
    ) -> Result<Vec<Segment>, DataError> {
        let slots = self.test.slots(tokens, count)?.into_iter();
        Ok(slots
            .map(|(document, offset)| self.segment(document, offset, tokens))
            .collect())
    }

    /// The first `count` whole test documents of at least `tokens` tokens, or all of them. The error says how many there
    /// are.
    pub fn test_documents(
        &self,
        tokens: usize,
        count: Option<usize>,
    ) -> Result<Vec<Segment>, DataError> {
        let documents = self
            .test
            .windows
            .iter()
            .map(|range| range.len())
            .enumerate();
        let mut long: Vec<_> = documents.filter(|(_, len)| *len >= tokens).collect();
        let wanted = count.unwrap_or(long.len().max(1));
        if long.len() < wanted {
            let needed = format!("{wanted} documents of at least {tokens} tokens");
            let hint =
                "use longer documents, or fewer segments or smaller lengths in evaluate.perplexity";
            return Err(self.test.too_little("test", needed, hint.into()));
        }
        long.truncate(wanted);
        Ok(long
            .into_iter()
            .map(|(document, len)| self.segment(document, 0, len))
            .collect())
    }

    /// The text of a segment, whole characters only, and how many bytes at its beginning belong to a character that began
    /// before it.
    ///
    /// # Panics
    /// If the segment is none of this text.
    pub fn text_of(&self, segment: &Segment) -> (usize, &str) {
        let first = self.test.windows[segment.document].start + segment.offset;
        let sum = |widths: &[u32]| widths.iter().map(|&w| w as usize).sum::<usize>();
        let start = sum(&self.test.widths[..first]);
        let end = self.read.floor_char_boundary(start + sum(&segment.bytes));
        let whole = self.read.ceil_char_boundary(start).min(end);
        (whole - start, &self.read[whole..end])
    }

    fn segment(&self, document: usize, offset: usize, tokens: usize) -> Segment {
        let start = self.test.windows[document].start + offset;
        let range = start..start + tokens;
        Segment {
            document,
            offset,
            tokens: self.test.ids.slice(range.clone()),
            bytes: self.test.widths[range].to_vec(),
        }
    }
}
