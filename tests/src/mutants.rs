//! Files with mistakes in them, for the entry functions of the fuzz targets.

use farspan_datasets::rng::Stream;

/// `text` with some of its bytes changed, dropped, doubled or replaced by a word.
fn mutated(text: &[u8], words: &[&[u8]], stream: &mut Stream) -> Vec<u8> {
    let mut bytes = text.to_vec();
    for _ in 0..1 + stream.below(4) {
        let at = stream.below(bytes.len() as u64 + 1) as usize;
        let end = (at + stream.below(12) as usize).min(bytes.len());
        match stream.below(5) {
            0 if at < bytes.len() => bytes[at] ^= 1 << stream.below(8),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            3 => bytes.truncate(at),
            _ => {
                let word = words[stream.below(words.len() as u64) as usize];
                // Mostly in the place of a whole value.
                let next = bytes[at..].iter().position(|b| b",}]".contains(b));
                let start = bytes[..at].iter().rposition(|b| b":,[".contains(b));
                let start = start.map_or(at, |start| start + 1);
                bytes.splice(start..at + next.unwrap_or(0), word.iter().copied());
            }
        }
    }
    bytes
}

/// Runs `entry` over `rounds` mutants of the `seeds`, or over as many as `FARSPAN_MUTANTS` says.
pub fn rounds(label: &str, seeds: &[Vec<u8>], words: &[&[u8]], rounds: usize, entry: fn(&[u8])) {
    let asked = std::env::var("FARSPAN_MUTANTS");
    let rounds = asked.map_or(rounds, |n| n.parse().expect("FARSPAN_MUTANTS is a number"));
    let mut stream = Stream::new(1, label);
    for seed in seeds {
        entry(seed);
        for _ in 0..rounds / seeds.len() {
            entry(&mutated(seed, words, &mut stream));
        }
    }
}
