//! What several tasks draw: filler, places in it, different words, lengths, powers.

use super::Alphabet;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// What stands around that which matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Filler {
    /// Each symbol drawn uniformly.
    Random,
    /// All filler symbols in turn, over and over, as the repeated paragraph of the original prompt.
    Noise,
}

impl Filler {
    /// In words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Filler::Random => "random filler",
            Filler::Noise => "cyclic filler",
        }
    }

    /// `count` tokens of filler, of the symbols of a kind.
    pub(crate) fn fill(
        self,
        rng: &mut Stream,
        alphabet: &Alphabet,
        kind: usize,
        count: usize,
    ) -> Vec<u32> {
        match self {
            Filler::Random => alphabet.draw_many(rng, kind, count),
            Filler::Noise => alphabet.ids(kind).cycle().take(count).collect(),
        }
    }
}

/// Places of `pieces` pieces among `room` pieces of hay: of each, how many of hay stand before it, rising. All
/// arrangements are equally likely.
pub(crate) fn places(rng: &mut Stream, room: usize, pieces: usize) -> Vec<usize> {
    let mut at = rng.choose_distinct(room + pieces, pieces);
    at.sort_unstable();
    at.iter().enumerate().map(|(i, at)| at - i).collect()
}

/// Appends hay, in pieces of `unit` tokens, with something inserted: (pieces of hay before it, tokens). What has the same
/// place keeps its order. Returns where each insertion begins.
pub(crate) fn insert(
    tokens: &mut Vec<u32>,
    hay: &[u32],
    unit: usize,
    what: &[(usize, Vec<u32>)],
) -> Vec<usize> {
    let mut order: Vec<usize> = (0..what.len()).collect();
    order.sort_by_key(|&i| what[i].0);
    let mut starts = vec![0; what.len()];
    let mut done = 0;
    for i in order {
        let (place, piece) = &what[i];
        tokens.extend(&hay[done..place * unit]);
        done = place * unit;
        starts[i] = tokens.len();
        tokens.extend(piece);
    }
    tokens.extend(&hay[done..]);
    starts
}

/// How many words of `length` symbols there are, at most usize::MAX.
pub(crate) fn words(symbols: usize, length: usize) -> usize {
    symbols.saturating_pow(u32::try_from(length).unwrap_or(u32::MAX))
}

/// `count` different words of `length` symbols of a kind that has `symbols` of them.
pub(crate) fn different_words(
    rng: &mut Stream,
    (alphabet, kind, symbols): (&Alphabet, usize, usize),
    length: usize,
    count: usize,
) -> Vec<Vec<u32>> {
    let all = words(symbols, length);
    if length == 1 || all <= 1 << 12 || count > all / 2 {
        let spell = |mut n: usize| -> Vec<u32> {
            let mut word = Vec::with_capacity(length);
            for _ in 0..length {
                word.push(alphabet.id(kind, n % symbols));
                n /= symbols;
            }
            word
        };
        let drawn = rng.choose_distinct(all, count);
        return drawn.into_iter().map(spell).collect();
    }
    let mut seen = HashSet::new();
    let mut words = Vec::with_capacity(count);
    while words.len() < count {
        let word = alphabet.draw_many(rng, kind, length);
        if seen.insert(word.clone()) {
            words.push(word);
        }
    }
    words
}

/// Uniform in shortest..=longest; longest if that is below.
pub(crate) fn size(rng: &mut Stream, shortest: usize, longest: usize) -> usize {
    let shortest = shortest.min(longest);
    shortest + rng.below((longest - shortest) as u64 + 1) as usize
}

/// Index drawn with probability in proportion to the weights, of which one at least is above 0.
pub(crate) fn weighted(rng: &mut Stream, weights: &[f64]) -> usize {
    let total: f64 = weights.iter().sum();
    let mut left = rng.uniform() * total;
    let mut last = 0;
    for (i, &weight) in weights.iter().enumerate() {
        if weight > 0.0 {
            if left < weight {
                return i;
            }
            left -= weight;
            last = i;
        }
    }
    // Only what the sums were rounded by leads here.
    last
}

/// xᵉ to about nine digits, for x ≥ 1: from products and square roots, which IEEE rounds alike everywhere, so that draws
/// do not depend on a system's mathematics library.
pub(crate) fn power(x: f64, exponent: f64) -> f64 {
    let mut rest = exponent.abs();
    let mut result = 1.0;
    while rest >= 1.0 {
        result *= x;
        rest -= 1.0;
    }
    let mut root = x;
    for _ in 0..32 {
        root = root.sqrt();
        rest *= 2.0;
        if rest >= 1.0 {
            result *= root;
            rest -= 1.0;
        }
    }
    if exponent < 0.0 { 1.0 / result } else { result }
}
