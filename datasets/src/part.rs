//! The tokens of one part of a text, and where windows may lie in them.

use crate::cache;
use crate::corpus::{Document, count as counted};
use crate::error::DataError;
use crate::tokenizer::Tokenizer;
use std::ops::Range;
use std::path::Path;

/// Documents that are encoded at a time: bounds the memory that encoding takes beside the tokens.
const AT_ONCE: usize = 64;

/// Token ids, as small as the vocabulary allows.
#[derive(Debug)]
pub(crate) enum Ids {
    Short(Vec<u16>),
    Long(Vec<u32>),
}

impl Ids {
    fn new(vocab: usize) -> Ids {
        if vocab <= 1 << 16 {
            Ids::Short(Vec::new())
        } else {
            Ids::Long(Vec::new())
        }
    }

    fn extend(&mut self, ids: impl Iterator<Item = u32>) {
        match self {
            // Ids are below the vocabulary, which was looked at in `new`.
            Ids::Short(short) => short.extend(ids.map(|id| id as u16)),
            Ids::Long(long) => long.extend(ids),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Ids::Short(ids) => ids.len(),
            Ids::Long(ids) => ids.len(),
        }
    }

    pub(crate) fn slice(&self, range: Range<usize>) -> Vec<u32> {
        match self {
            Ids::Short(ids) => ids[range].iter().map(|&id| u32::from(id)).collect(),
            Ids::Long(ids) => ids[range].to_vec(),
        }
    }
}

/// One part of a text.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) ids: Ids,
    /// Stretches that a window must not leave: the documents, or all of a packed stream.
    pub(crate) windows: Vec<Range<usize>>,
    /// First tokens of packed documents, if these make one window; the separator belongs to the document before it.
    pub(crate) firsts: Vec<usize>,
    /// Bytes of each token; empty unless asked for.
    pub(crate) widths: Vec<u32>,
    /// Documents.
    pub(crate) documents: usize,
    /// Bytes of text.
    pub(crate) bytes: u64,
}

impl Part {
    /// Tokens of documents in order, joined by the tokenizer's separator if it has one.
    pub(crate) fn encode(
        documents: &[Document],
        tokenizer: &Tokenizer,
        folder: &Path,
        want_widths: bool,
    ) -> Result<Part, DataError> {
        let bytes = documents.iter().map(|d| d.text.len() as u64).sum();
        let mut part = Part {
            ids: Ids::new(tokenizer.vocab),
            windows: Vec::new(),
            firsts: Vec::new(),
            widths: Vec::new(),
            documents: documents.len(),
            bytes,
        };
        let name = tokenizer
            .is_slow()
            .then(|| cache_name(documents, tokenizer));
        let cached = name
            .as_ref()
            .and_then(|name| unpack(&cache::load(folder, name)?));
        if let Some(encoded) = cached.filter(|encoded| encoded.len() == documents.len()) {
            encoded
                .iter()
                .for_each(|(ids, widths)| part.push(ids, widths, tokenizer, want_widths));
        } else {
            let mut content = Vec::new();
            for some in documents.chunks(AT_ONCE) {
                for encoded in tokenizer.encode(some)? {
                    part.push(&encoded.ids, &encoded.widths, tokenizer, want_widths);
                    if name.is_some() {
                        pack(&mut content, &encoded.ids, &encoded.widths);
                    }
                }
            }
            if let Some(name) = name {
                cache::store(folder, &name, &content)?;
            }
        }
        if tokenizer.separator.is_some() {
            part.firsts = part.windows.drain(..).map(|range| range.start).collect();
            part.windows.push(0..part.ids.len());
        }
        Ok(part)
    }

    fn push(&mut self, ids: &[u32], widths: &[u32], tokenizer: &Tokenizer, want_widths: bool) {
        if let Some(separator) = tokenizer.separator.filter(|_| !self.windows.is_empty()) {
            self.ids.extend(std::iter::once(separator));
            self.widths.extend(want_widths.then_some(0));
        }
        let start = self.ids.len();
        self.ids.extend(tokenizer.bos.iter().chain(ids).copied());
        self.windows.push(start..self.ids.len());
        if want_widths {
            self.widths.extend(tokenizer.bos.iter().map(|_| 0));
            self.widths.extend(widths);
        }
    }

    /// Places in `range` where a document begins, counted from its first token, which begins what stands there.
    pub(crate) fn documents_in(&self, range: Range<usize>) -> Vec<usize> {
        let from = self.firsts.partition_point(|first| *first <= range.start);
        let inside = self.firsts[from..]
            .iter()
            .take_while(|first| **first < range.end);
        let inside = inside.map(|first| first - range.start);
        [0].into_iter().chain(inside).collect()
    }

    /// All ids in stretches that are small enough to be looked at one by one.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Range<usize>> {
        const IDS: usize = 1 << 16;
        let length = self.ids.len();
        (0..length)
            .step_by(IDS)
            .map(move |start| start..length.min(start + IDS))
    }

    /// Adds all that a window can show to a hash.
    pub(crate) fn hash_into(&self, hasher: &mut blake3::Hasher) {
        hasher.update(&(self.windows.len() as u64).to_le_bytes());
        for range in &self.windows {
            hasher.update(&(range.len() as u64).to_le_bytes());
        }
        hasher.update(&(self.ids.len() as u64).to_le_bytes());
        for range in self.pieces() {
            let ids = self.ids.slice(range);
            let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            hasher.update(&bytes);
        }
    }

    /// All places where a window of `tokens` tokens may start.
    pub(crate) fn starts(&self, tokens: usize) -> Starts<'_> {
        let mut total = 0;
        let mut ends = Vec::with_capacity(self.windows.len());
        for range in &self.windows {
            total += (range.len() + 1).saturating_sub(tokens) as u64;
            ends.push(total);
        }
        Starts {
            windows: &self.windows,
            ends,
        }
    }

    /// `count` places (window range, offset), or all, for stretches of `tokens` tokens that do not overlap, spread evenly.
    ///
    /// Each range is filled with as many stretches as fit, with equal gaps before, between and behind them; of all
    /// stretches in a row every so-many-th is taken.
    pub(crate) fn slots(
        &self,
        tokens: usize,
        count: Option<usize>,
    ) -> Result<Vec<(usize, usize)>, DataError> {
        let mut all = Vec::new();
        for (document, range) in self.windows.iter().enumerate() {
            let fit = range.len() / tokens.max(1);
            let slack = range.len() - fit * tokens;
            all.extend((0..fit).map(|k| (document, k * tokens + slack * (k + 1) / (fit + 1))));
        }
        let count = count.unwrap_or(all.len().max(1));
        if all.len() < count {
            let needed = format!("{count} stretches of {tokens} tokens that do not overlap");
            let hint = "use more text, longer documents, a larger data.test, data.pack = true, \
                        or fewer segments or smaller lengths in evaluate.perplexity";
            let found = format!("room for {}", all.len());
            return Err(match self.too_little("test", needed, hint.into()) {
                DataError::TooLittle {
                    part,
                    needed,
                    found: size,
                    hint,
                } => DataError::TooLittle {
                    part,
                    needed,
                    found: format!("{found} in {size}"),
                    hint,
                },
                other => other,
            });
        }
        Ok((0..count)
            .map(|i| all[(2 * i + 1) * all.len() / (2 * count)])
            .collect())
    }

    /// The error that says how small this part is.
    pub(crate) fn too_little(&self, part: &'static str, needed: String, hint: String) -> DataError {
        let longest = self
            .windows
            .iter()
            .map(ExactSizeIterator::len)
            .max()
            .unwrap_or(0);
        let found = if self.windows.len() == 1 && self.documents > 1 {
            format!(
                "{} packed into {longest} tokens",
                counted(self.documents, "document")
            )
        } else {
            format!(
                "{}, the longest of {longest} tokens",
                counted(self.documents, "document")
            )
        };
        DataError::TooLittle {
            part,
            needed,
            found,
            hint,
        }
    }
}

/// Places where a window may start, numbered through.
pub(crate) struct Starts<'a> {
    windows: &'a [Range<usize>],
    /// How many starts there are up to the end of each range.
    ends: Vec<u64>,
}

impl Starts<'_> {
    pub(crate) fn total(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The n-th start, n below the total.
    pub(crate) fn nth(&self, n: u64) -> usize {
        let index = self.ends.partition_point(|end| *end <= n);
        let before = if index == 0 { 0 } else { self.ends[index - 1] };
        self.windows[index].start + (n - before) as usize
    }
}

/// Name of the file that keeps the tokens of documents.
fn cache_name(documents: &[Document], tokenizer: &Tokenizer) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("farspan 2026 encoded text v1");
    hasher.update(tokenizer.hash.as_bytes());
    for document in documents {
        hasher.update(&(document.text.len() as u64).to_le_bytes());
        hasher.update(document.text.as_bytes());
    }
    format!("tokens-{}", &hasher.finalize().to_hex()[..32])
}

/// Appends a document: number of tokens (u64), ids and widths (u32 each), all little-endian.
fn pack(content: &mut Vec<u8>, ids: &[u32], widths: &[u32]) {
    content.extend((ids.len() as u64).to_le_bytes());
    for values in [ids, widths] {
        content.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
}

/// Reads what [`pack`] has written; none if it is anything else.
fn unpack(mut content: &[u8]) -> Option<Vec<(Vec<u32>, Vec<u32>)>> {
    fn values(content: &mut &[u8], n: usize) -> Option<Vec<u32>> {
        let (head, tail) = content.split_at_checked(n.checked_mul(4)?)?;
        *content = tail;
        Some(
            head.as_chunks::<4>()
                .0
                .iter()
                .map(|bytes| u32::from_le_bytes(*bytes))
                .collect(),
        )
    }
    let mut documents = Vec::new();
    while let Some((head, tail)) = content.split_first_chunk::<8>() {
        content = tail;
        let n = usize::try_from(u64::from_le_bytes(*head)).ok()?;
        documents.push((values(&mut content, n)?, values(&mut content, n)?));
    }
    content.is_empty().then_some(documents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(lengths: &[usize]) -> Part {
        let mut windows = Vec::new();
        let mut start = 0;
        for length in lengths {
            windows.push(start..start + length);
            start += length;
        }
        let ids = Ids::Short((0..start as u16).collect());
        Part {
            ids,
            windows,
            firsts: vec![],
            widths: vec![],
            documents: lengths.len(),
            bytes: start as u64,
        }
    }

    #[test]
    fn starts_are_all_places_and_no_others() {
        let part = part(&[3, 10, 2, 3, 0, 4]);
        let starts = part.starts(3);
        let all: Vec<_> = (0..starts.total()).map(|n| starts.nth(n)).collect();
        assert_eq!([0, 3, 4, 5, 6, 7, 8, 9, 10, 15, 18, 19], all[..]);
        assert_eq!(0, part.starts(11).total());
    }

    #[test]
    fn documents_of_a_window_begin_where_they_do() {
        let mut part = part(&[30]);
        part.firsts = vec![0, 5, 12, 13, 29];
        assert_eq!(part.documents_in(0..12), [0, 5]);
        assert_eq!(part.documents_in(5..13), [0, 7]);
        assert_eq!(part.documents_in(6..14), [0, 6, 7]);
        assert_eq!(part.documents_in(14..29), [0]);
    }

    #[test]
    fn slots_do_not_overlap_and_are_spread() {
        let part = part(&[25, 9, 10, 40]);
        assert_eq!(
            [(0, 1), (0, 13), (2, 0), (3, 0), (3, 10), (3, 20), (3, 30)],
            part.slots(10, Some(7)).unwrap()[..]
        );
        assert_eq!(
            [(0, 13), (3, 0), (3, 20)],
            part.slots(10, Some(3)).unwrap()[..]
        );
        let error = part.slots(10, Some(8)).unwrap_err().to_string();
        assert!(
            error.contains("test part: expected 8 stretches of 10 tokens that do not overlap")
                && error.contains("found room for 7 in 4 documents, the longest of 40 tokens"),
            "{error}"
        );
    }

    #[test]
    fn packed_documents_are_read_back_or_refused() {
        let mut content = Vec::new();
        pack(&mut content, &[1, 2, 70_000], &[1, 1, 5]);
        pack(&mut content, &[], &[]);
        let expected = vec![(vec![1, 2, 70_000], vec![1, 1, 5]), (vec![], vec![])];
        assert_eq!(Some(expected), unpack(&content));
        assert_eq!(None, unpack(&content[..content.len() - 1]));
        assert_eq!(None, unpack(&[255; 8]));
    }
}
