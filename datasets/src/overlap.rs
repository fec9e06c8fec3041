//! How much of held-out text stands word for word in the training text, and which documents are near copies of it.
//!
//! Two places match where 48 bytes in a row are equal. Of a document that is looked at, the *share* is the part of its
//! windows of 48 bytes that stand anywhere in the training text, and the *bytes* are those that lie in such a window.

use crate::cache;
use crate::corpus::{Document, count};
use crate::error::DataError;
use crate::parallel;
use crate::split::{Split, Whole};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes of a match: half a line of source, eight words of prose.
pub(crate) const WINDOW: usize = 48;
/// Bytes of text that are measured faster than a file is written.
const SMALL: usize = 1 << 20;
/// Bits of the filter for each held-out window: one training window in sixteen passes it by chance.
const FILTER_BITS: usize = 16;
/// Multiplier of the rolling hash, and of its last mixing: odd, with bits all over.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

/// What of one document stands in the training text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overlap {
    /// Windows that do.
    pub(crate) windows: u64,
    /// Bytes that lie in such windows.
    pub(crate) bytes: u64,
}

impl Overlap {
    /// Windows that do as a part of all windows of a text of this many bytes; 0 of a text without a window.
    pub(crate) fn share(&self, length: usize) -> f64 {
        self.windows as f64 / (length + 1).saturating_sub(WINDOW).max(1) as f64
    }
}

/// Leaves documents out of validation and test of which more than `limit` stands in training, and says how many, and how
/// much of what is left does. Pieces of documents that were cut are all kept: they are what there is.
pub(crate) fn leave_out(split: &mut Split, limit: f64, cache: &Path) -> Result<String, DataError> {
    if split.whole == Whole::Measured {
        return Ok("no text of training to compare with".into());
    }
    let overlaps = measured(&[&split.validation, &split.test], &split.train, cache)?;
    let mut overlaps = overlaps.into_iter();
    let mut left_out = Vec::new();
    let mut shares = Vec::new();
    for (name, part) in [
        ("validation", &mut split.validation),
        ("test", &mut split.test),
    ] {
        let before = part.len();
        let (mut copied, mut total) = (0, 0);
        part.retain(|document| {
            let overlap = overlaps.next().unwrap_or_default();
            let is_kept =
                split.whole == Whole::Nothing || overlap.share(document.text.len()) <= limit;
            if is_kept {
                copied += overlap.bytes;
                total += document.text.len() as u64;
            }
            is_kept
        });
        if part.is_empty() && before > 0 {
            return Err(DataError::TooLittle {
                part: name,
                needed: format!(
                    "a document of which at most {} % stands in training, in matches of {WINDOW} bytes",
                    100.0 * limit
                ),
                found: format!("{} and none like that", count(before, "document")),
                hint: "use text that repeats itself less, or set data.max_overlap higher (1 keeps all)"
                    .into(),
            });
        }
        if part.len() < before {
            left_out.push(format!("{} from {name}", before - part.len()));
        }
        shares.push(format!(
            "{:.1} % of {name}",
            100.0 * copied as f64 / total.max(1) as f64
        ));
    }
    let mut words = format!(
        "{} stand in training, in matches of {WINDOW} bytes or more",
        shares.join(" and ")
    );
    if !left_out.is_empty() {
        words = format!(
            "near copies of training left out: {}; {words}",
            left_out.join(", ")
        );
    }
    Ok(words)
}

/// [`measure`], for much text kept in the folder of things that can be made again.
pub(crate) fn measured(
    held: &[&[Document]],
    train: &[Document],
    folder: &Path,
) -> Result<Vec<Overlap>, DataError> {
    let bytes: usize = held
        .iter()
        .chain([&train])
        .copied()
        .flatten()
        .map(|d| d.text.len())
        .sum();
    if bytes < SMALL {
        return Ok(measure(held, train));
    }
    let mut hasher = blake3::Hasher::new_derive_key("farspan 2026 overlap v1");
    for part in held.iter().chain([&train]) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        for document in *part {
            hasher.update(&(document.text.len() as u64).to_le_bytes());
            hasher.update(document.text.as_bytes());
        }
    }
    let name = format!("overlap-{}", &hasher.finalize().to_hex()[..32]);
    let documents = held.iter().map(|part| part.len()).sum::<usize>();
    if let Some(content) = cache::load(folder, &name)
        && let (pairs, []) = content.as_chunks::<16>()
        && pairs.len() == documents
    {
        let pair = |pair: &[u8; 16]| {
            let both = u128::from_le_bytes(*pair);
            // The lower half, then the upper.
            let (windows, bytes) = (both as u64, (both >> 64) as u64);
            Overlap { windows, bytes }
        };
        return Ok(pairs.iter().map(pair).collect());
    }
    let overlaps = measure(held, train);
    let content: Vec<u8> = overlaps
        .iter()
        .flat_map(|o| [o.windows.to_le_bytes(), o.bytes.to_le_bytes()])
        .flatten()
        .collect();
    cache::store(folder, &name, &content)?;
    Ok(overlaps)
}

/// Overlap of each held-out document, in order, with the training text. Windows are compared by hashes of 64 bits.
pub(crate) fn measure(held: &[&[Document]], train: &[Document]) -> Vec<Overlap> {
    let held: Vec<&Document> = held.iter().copied().flatten().collect();
    let mut known: Vec<u64> = held.iter().flat_map(|d| hashes(&d.text)).collect();
    known.sort_unstable();
    known.dedup();
    let known = Known::new(known);
    parallel::map(train, |document| {
        hashes(&document.text).for_each(|hash| known.see(hash));
    });
    let overlap = |document: &&Document| {
        let mut overlap = Overlap::default();
        let mut end = 0;
        for (start, hash) in hashes(&document.text).enumerate() {
            if known.was_seen(hash) {
                overlap.windows += 1;
                overlap.bytes += (start + WINDOW - end.max(start)) as u64;
                end = start + WINDOW;
            }
        }
        overlap
    };
    parallel::map(&held, overlap)
}

/// Hashes of the held-out windows, sorted, and which of them were seen.
struct Known {
    hashes: Vec<u64>,
    seen: Vec<AtomicU64>,
    /// Bits of those that occur, by the upper bits of a hash: nearly all of other text ends here.
    filter: Vec<u64>,
    shift: u32,
}

impl Known {
    fn new(hashes: Vec<u64>) -> Known {
        let bits = (hashes.len() * FILTER_BITS).next_power_of_two().max(64);
        let shift = 64 - bits.trailing_zeros();
        let mut filter = vec![0; bits / 64];
        for hash in &hashes {
            let bit = (hash >> shift) as usize;
            filter[bit / 64] |= 1 << (bit % 64);
        }
        let seen = (0..hashes.len().div_ceil(64)).map(|_| AtomicU64::new(0));
        Known {
            seen: seen.collect(),
            hashes,
            filter,
            shift,
        }
    }

    fn place(&self, hash: u64) -> Option<usize> {
        let bit = (hash >> self.shift) as usize;
        if self.filter[bit / 64] & (1 << (bit % 64)) == 0 {
            return None;
        }
        self.hashes.binary_search(&hash).ok()
    }

    fn see(&self, hash: u64) {
        if let Some(place) = self.place(hash) {
            self.seen[place / 64].fetch_or(1 << (place % 64), Relaxed);
        }
    }

    fn was_seen(&self, hash: u64) -> bool {
        self.place(hash)
            .is_some_and(|place| self.seen[place / 64].load(Relaxed) & (1 << (place % 64)) != 0)
    }
}

/// Hash of every window of a text, by where it starts.
fn hashes(text: &str) -> impl Iterator<Item = u64> {
    let bytes = text.as_bytes();
    // What the oldest byte of a window weighs when the next one comes.
    let oldest = (0..WINDOW).fold(1_u64, |power, _| power.wrapping_mul(BASE));
    let mut hash = 0_u64;
    bytes.iter().enumerate().filter_map(move |(index, &byte)| {
        hash = hash.wrapping_mul(BASE).wrapping_add(u64::from(byte) + 1);
        if let Some(gone) = index.checked_sub(WINDOW) {
            hash = hash.wrapping_sub(oldest.wrapping_mul(u64::from(bytes[gone]) + 1));
        }
        let mixed = (hash ^ (hash >> 32)).wrapping_mul(BASE);
        (index + 1 >= WINDOW).then_some(mixed ^ (mixed >> 29))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;
    use std::collections::HashSet;

    fn document(text: &str) -> Document {
        Document {
            name: "d".into(),
            text: text.into(),
            group: None,
        }
    }

    fn noise(label: &'static str, n: usize) -> String {
        let mut stream = Stream::new(0, label);
        (0..n)
            .map(|_| char::from(b'a' + stream.below(26) as u8))
            .collect()
    }

    /// Against sets of the windows themselves.
    #[test]
    fn overlaps_equal_a_plain_count() {
        let (a, b, c) = (noise("a", 5000), noise("b", 3000), noise("c", 400));
        let train = [document(&a), document(&format!("{b}é")), document("short")];
        let held = [
            document(&noise("d", 700)),
            document(&format!("{}{c}{}", &a[100..147], &a[200..248])),
            document(&format!("{c}{}{c}{}{}é", &a[4000..], &b[..49], &b[2960..])),
            document(&a[17..90]),
            document("short"),
            document(&"=".repeat(300)),
        ];
        let windows: HashSet<&[u8]> = train
            .iter()
            .flat_map(|d| d.text.as_bytes().windows(WINDOW))
            .collect();
        let expected: Vec<Overlap> = held
            .iter()
            .map(|d| {
                let mut is_covered = vec![false; d.text.len()];
                let mut n = 0;
                for (start, window) in d.text.as_bytes().windows(WINDOW).enumerate() {
                    if windows.contains(window) {
                        n += 1;
                        is_covered[start..start + WINDOW].fill(true);
                    }
                }
                let bytes = is_covered.iter().filter(|c| **c).count() as u64;
                Overlap { windows: n, bytes }
            })
            .collect();
        let found = measure(&[&held[..2], &held[2..]], &train);
        assert_eq!(expected, found);
        assert_eq!(
            [0, 1, 953 + 2],
            [found[0].windows, found[1].windows, found[2].windows]
        );
        assert_eq!(1.0, found[3].share(held[3].text.len()));
        assert_eq!(0.0, found[4].share(held[4].text.len()));

        let folder = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let kept = measured(&[&held[..2], &held[2..]], &train, folder.path()).unwrap();
            assert_eq!(expected, kept);
        }
        let moved = measured(&[&held[..1], &held[1..]], &train[..1], folder.path()).unwrap();
        assert_ne!(expected, moved);
    }
}
