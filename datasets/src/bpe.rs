//! Learning byte-pair merges (Sennrich et al. 2016, arXiv 1508.07909, section 3.2, on bytes).
//!
//! Only the learning is here; the result is a `tokenizer.json` that the `tokenizers` crate applies. Its own trainer
//! walks hash tables in an order that changes from process to process, and where two merges spell the same token that
//! order can decide a merge. Here every order is fixed: of two pairs that are equally frequent the one with the lower
//! ids is merged first.

pub(crate) mod words;

use crate::error::DataError;
use crate::parallel;
use serde::Deserialize;
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};
use words::ascii_words;

/// A pair is merged only if it occurs this often.
const MIN_COUNT: i64 = 2;

type Pair = (u32, u32);

/// Learns a tokenizer with at most `vocab` ids from texts and gives it as `tokenizer.json`. Texts are split into words
/// as GPT-2 does (letters, digits, other signs, blanks).
pub(crate) fn train(texts: &[&str], vocab: usize) -> Result<String, DataError> {
    let splitter = ByteLevel::new(false, true, true);
    let counted = parallel::map(texts, |text| count_words(&splitter, text));
    let mut words: HashMap<String, i64> = HashMap::new();
    for counts in counted {
        for (word, count) in counts? {
            *words.entry(word).or_default() += count;
        }
    }
    let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    alphabet.sort_unstable();
    let tokens: Vec<String> = alphabet.iter().map(char::to_string).collect();
    let ids: HashMap<char, u32> = alphabet.into_iter().zip(0..).collect();
    let mut words: Vec<(String, i64)> = words.into_iter().collect();
    words.sort_unstable();
    let words = words
        .into_iter()
        .map(|(word, count)| Word {
            ids: word.chars().map(|c| ids[&c]).collect(),
            count,
        })
        .collect();
    let mut learner = Learner::new(tokens, words);
    learner.learn(vocab);
    Ok(learner.into_json())
}

/// Words of a text, each byte as the letter that stands for it.
fn count_words(splitter: &ByteLevel, text: &str) -> Result<HashMap<String, i64>, DataError> {
    let mut counts = HashMap::new();
    if text.is_ascii() {
        let mut plain: HashMap<&str, i64> = HashMap::new();
        for word in ascii_words(text) {
            *plain.entry(word).or_default() += 1;
        }
        let spell = |word: &str| word.bytes().map(letter).collect();
        counts.extend(plain.into_iter().map(|(word, count)| (spell(word), count)));
        return Ok(counts);
    }
    let mut split = PreTokenizedString::from(text);
    splitter
        .pre_tokenize(&mut split)
        .map_err(|e| DataError::Tokenizer {
            name: "bpe".into(),
            reason: e.to_string(),
        })?;
    for (word, _, _) in split.get_splits(OffsetReferential::Original, OffsetType::None) {
        match counts.get_mut(word) {
            Some(count) => *count += 1,
            None => {
                counts.insert(word.to_string(), 1);
            }
        }
    }
    Ok(counts)
}

/// The letter that stands for an ASCII byte: itself if it can be seen, else one from 256 on (GPT-2's spelling, in which
/// the bytes that cannot be seen are numbered in order; all those in ASCII but the last come first).
fn letter(byte: u8) -> char {
    match byte {
        b'!'..=b'~' => char::from(byte),
        0..=b' ' => char::from_u32(256 + u32::from(byte)).unwrap_or_default(),
        _ => '\u{121}',
    }
}

/// Applies learned merges to ASCII words, as the crate would.
#[derive(Debug)]
pub(crate) struct AsciiEncoder {
    bytes: Vec<u32>,
    /// Rank and result of each merge.
    rules: HashMap<Pair, (usize, u32)>,
}

impl AsciiEncoder {
    /// Longest word, bytes: the time grows with the square of it.
    pub(crate) const LONGEST: usize = 64;

    /// Reads what [`train`] has made.
    pub(crate) fn from_json(json: &[u8]) -> Result<AsciiEncoder, DataError> {
        #[derive(Deserialize)]
        struct File {
            model: Model,
        }
        #[derive(Deserialize)]
        struct Model {
            vocab: HashMap<String, u32>,
            merges: Vec<(String, String)>,
        }
        let wrong = |reason: String| DataError::Tokenizer {
            name: "bpe".into(),
            reason,
        };
        let Model { vocab, merges } = serde_json::from_slice::<File>(json)
            .map_err(|e| wrong(e.to_string()))?
            .model;
        let id = |token: &str| {
            let id = vocab.get(token).copied();
            id.ok_or_else(|| wrong(format!("expected {token:?} in the vocabulary, found none")))
        };
        let bytes = (0..128)
            .map(|byte| id(&letter(byte).to_string()))
            .collect::<Result<_, _>>()?;
        let mut rules = HashMap::new();
        for (rank, (a, b)) in merges.iter().enumerate() {
            rules.insert((id(a)?, id(b)?), (rank, id(&format!("{a}{b}"))?));
        }
        Ok(AsciiEncoder { bytes, rules })
    }

    /// Ids of one ASCII word: again and again the first of the pairs that was learned earliest is merged.
    pub(crate) fn encode(&self, word: &str) -> Vec<u32> {
        let mut ids: Vec<u32> = word
            .bytes()
            .map(|byte| self.bytes[usize::from(byte)])
            .collect();
        let best = |ids: &[u32]| {
            let pairs = ids.windows(2).enumerate();
            pairs
                .filter_map(|(at, p)| {
                    self.rules
                        .get(&(p[0], p[1]))
                        .map(|(rank, id)| (*rank, at, *id))
                })
                .min()
        };
        while let Some((_, at, new)) = best(&ids) {
            ids[at] = new;
            ids.remove(at + 1);
        }
        ids
    }
}

struct Word {
    ids: Vec<u32>,
    count: i64,
}

impl Word {
    fn pairs(&self) -> impl Iterator<Item = Pair> {
        self.ids.windows(2).map(|pair| (pair[0], pair[1]))
    }

    /// Replaces the pair from left to right.
    fn merge(&mut self, pair: Pair, new: u32) {
        let mut kept = 0;
        let mut at = 0;
        while at < self.ids.len() {
            let is_pair = self.ids[at] == pair.0 && self.ids.get(at + 1) == Some(&pair.1);
            self.ids[kept] = if is_pair { new } else { self.ids[at] };
            kept += 1;
            at += if is_pair { 2 } else { 1 };
        }
        self.ids.truncate(kept);
    }
}

struct Learner {
    tokens: Vec<String>,
    ids: HashMap<String, u32>,
    merges: Vec<Pair>,
    /// Merged pairs and what they give.
    rules: HashMap<Pair, u32>,
    words: Vec<Word>,
    counts: HashMap<Pair, i64>,
    /// Words that have, or once had, the pair.
    places: HashMap<Pair, Vec<usize>>,
    /// Counts as they were when a pair last changed; a stale entry is seen by its count.
    queue: BinaryHeap<(i64, Reverse<Pair>)>,
}

impl Learner {
    fn new(tokens: Vec<String>, words: Vec<Word>) -> Learner {
        let ids = tokens.iter().cloned().zip(0..).collect();
        let mut counts: HashMap<Pair, i64> = HashMap::new();
        let mut places: HashMap<Pair, Vec<usize>> = HashMap::new();
        for (index, word) in words.iter().enumerate() {
            for pair in word.pairs() {
                *counts.entry(pair).or_default() += word.count;
                places.entry(pair).or_default().push(index);
            }
        }
        let queue = counts
            .iter()
            .map(|(pair, count)| (*count, Reverse(*pair)))
            .collect();
        let (merges, rules) = (Vec::new(), HashMap::new());
        Learner {
            tokens,
            ids,
            merges,
            rules,
            words,
            counts,
            places,
            queue,
        }
    }

    fn learn(&mut self, vocab: usize) {
        while self.tokens.len() < vocab {
            let Some((count, Reverse(pair))) = self.queue.pop() else {
                break;
            };
            if self.counts.get(&pair) != Some(&count) {
                continue;
            }
            if count < MIN_COUNT {
                break;
            }
            // A pair can come back when another merge spells the same token; its rule stands.
            let new = match self.rules.get(&pair) {
                Some(id) => *id,
                None => self.add_rule(pair),
            };
            self.apply(pair, new);
        }
    }

    fn add_rule(&mut self, pair: Pair) -> u32 {
        let spelling = format!(
            "{}{}",
            self.tokens[pair.0 as usize], self.tokens[pair.1 as usize]
        );
        let next = self.tokens.len() as u32;
        let id = *self.ids.entry(spelling.clone()).or_insert(next);
        if id == next {
            self.tokens.push(spelling);
        }
        self.merges.push(pair);
        self.rules.insert(pair, id);
        id
    }

    fn apply(&mut self, pair: Pair, new: u32) {
        let mut places = self.places.remove(&pair).unwrap_or_default();
        places.sort_unstable();
        places.dedup();
        let mut changes: HashMap<Pair, i64> = HashMap::new();
        for index in places {
            let word = &mut self.words[index];
            for old in word.pairs() {
                *changes.entry(old).or_default() -= word.count;
            }
            word.merge(pair, new);
            for now in word.pairs() {
                *changes.entry(now).or_default() += word.count;
                if now.0 == new || now.1 == new {
                    self.places.entry(now).or_default().push(index);
                }
            }
        }
        for (pair, change) in changes {
            if change == 0 {
                continue;
            }
            let count = self.counts.entry(pair).or_default();
            *count += change;
            if *count > 0 {
                self.queue.push((*count, Reverse(pair)));
            }
        }
    }

    fn into_json(self) -> String {
        let vocab: serde_json::Map<String, Value> = self
            .tokens
            .iter()
            .cloned()
            .zip((0_u32..).map(Value::from))
            .collect();
        let merges: Vec<[&str; 2]> = self
            .merges
            .iter()
            .map(|&(a, b)| [&*self.tokens[a as usize], &*self.tokens[b as usize]])
            .collect();
        written(vocab, &merges)
    }
}

/// One token per byte, whose id is the byte, as a `tokenizer.json`.
pub(crate) fn bytes() -> String {
    // GPT-2's spelling: bytes that cannot be seen are numbered from 256 on, in order.
    let seen = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut unseen = 256..;
    let letter = |byte: u8| match seen(&byte) {
        true => u32::from(byte),
        false => unseen.next().unwrap_or_default(),
    };
    let letters: Vec<u32> = (0..=255).map(letter).collect();
    let entry = |(byte, letter): (u32, &u32)| {
        let letter = char::from_u32(*letter).unwrap_or_default();
        (letter.to_string(), Value::from(byte))
    };
    written((0..).zip(&letters).map(entry).collect(), &[])
}

/// Byte-level BPE as a `tokenizer.json`.
fn written(vocab: serde_json::Map<String, Value>, merges: &[[&str; 2]]) -> String {
    let byte_level = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
    });
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": byte_level,
        "post_processor": null,
        "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null,
            "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": merges,
        },
    })
    .to_string()
}

#[cfg(test)]
mod tests;
