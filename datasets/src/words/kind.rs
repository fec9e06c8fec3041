//! What keys and values are: numbers, words or UUIDs.

use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// What a key or a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Seven digits, the first of which is not 0.
    Numbers,
    /// An adjective and a noun, with a hyphen.
    Words,
    /// A random UUID (version 4), 36 characters.
    Uuids,
}

const NUMBERS: std::ops::Range<u64> = 1_000_000..10_000_000;

// No adjective ends in another and no noun begins with another, so that no pair stands inside another pair.
const ADJECTIVES: &str = "amber ample ancient arctic basic blunt bold brave brief bright brisk broad bronze \
    calm careful clever cloudy coarse common copper coral cosmic crimson crisp curious curly daring deep dense distant \
    dusty eager early eastern elegant empty even faint fancy fearless fierce final firm fluent fond foreign formal \
    fragile frozen gentle giant glad golden graceful grand gray happy hardy hasty heavy hollow humble ideal idle \
    jolly keen kind large lavish lazy lively local lofty loyal lucky lunar magic major marble mellow mighty mild misty \
    modest narrow neat noble northern odd olive orange pale patient plain polite proud pure quaint quick quiet rapid \
    rare ready rigid ripe robust rough royal rural rusty sandy secret serene sharp shiny silent silver simple sleepy \
    slim smooth solid southern spare spicy stable steady strong subtle sudden sunny swift tame tender thin tidy \
    timid tiny tough tropic urban useful vague vast vivid warm weary western wise witty wooden young";
const NOUNS: &str = "acorn almond anchor apron arrow atlas autumn badger bakery banner barrel basin beacon beetle bishop \
    blanket blossom bottle boulder bridge bucket butter button cabin cactus camel candle canyon carpet castle cavern \
    cedar chapel cherry circle clover cobra comet compass coral cottage cradle crystal curtain daisy desert diamond \
    dolphin donkey dragon drum eagle ember engine falcon feather fiddle flame forest fossil fountain galaxy garlic \
    geyser ginger glacier goblet granite guitar hammer harbor hazel helmet heron honey island ivory jacket jasmine \
    jungle kettle kitten ladder lagoon lantern lemon leopard lizard lobster locket magnet mango maple marble meadow \
    melon meteor mirror monkey mountain muffin needle nutmeg ocean orchard orchid otter oyster paddle panther parrot \
    pebble pelican pencil pepper piano pigeon pillow pirate planet pocket pony prairie pumpkin puzzle quartz rabbit \
    raven ribbon rocket saddle salmon sapphire satchel scarf shadow shovel sparrow spider sponge squirrel statue sunset \
    swallow temple thimble thunder tiger timber tractor trumpet tulip tunnel turtle valley velvet violin walnut whistle \
    willow window winter zebra";

fn list(words: &'static str) -> Vec<&'static str> {
    words.split_whitespace().collect()
}

impl Kind {
    /// One that is not in `used` yet, and is from now on.
    ///
    /// # Panics
    /// If there is none left.
    pub(super) fn draw(self, rng: &mut Stream, used: &mut HashSet<String>) -> String {
        assert!(used.len() < self.enough(), "another {self:?} than all");
        loop {
            let drawn = match self {
                Kind::Numbers => {
                    (NUMBERS.start + rng.below(NUMBERS.end - NUMBERS.start)).to_string()
                }
                Kind::Words => {
                    let mut of = |words: &'static str| {
                        let words = list(words);
                        words[rng.below(words.len() as u64) as usize]
                    };
                    format!("{}-{}", of(ADJECTIVES), of(NOUNS))
                }
                Kind::Uuids => uuid(rng),
            };
            if used.insert(drawn.clone()) {
                return drawn;
            }
        }
    }

    /// How many are told apart without searching long for a new one.
    pub(super) fn enough(self) -> usize {
        match self {
            Kind::Numbers => (NUMBERS.end - NUMBERS.start) as usize / 2,
            Kind::Words => list(ADJECTIVES).len() * list(NOUNS).len() / 2,
            Kind::Uuids => usize::MAX / 2,
        }
    }

    /// Whether something of the kind stands in a sentence.
    pub(super) fn occurs(self, sentence: &str) -> bool {
        match self {
            Kind::Numbers => has_run(sentence, 7, |c| c.is_ascii_digit()),
            Kind::Words => {
                let lower = sentence.to_lowercase();
                let hyphens = lower.match_indices('-');
                let (adjectives, nouns) = (list(ADJECTIVES), list(NOUNS));
                hyphens.into_iter().any(|(at, _)| {
                    adjectives.iter().any(|word| lower[..at].ends_with(word))
                        && nouns.iter().any(|word| lower[at + 1..].starts_with(word))
                })
            }
            Kind::Uuids => has_run(sentence, 36, |c| c.is_ascii_hexdigit() || c == '-'),
        }
    }

    /// In words, for descriptions.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Numbers => "numbers",
            Kind::Words => "words",
            Kind::Uuids => "UUIDs",
        }
    }

    /// Why there are no more.
    pub(super) fn why_enough(self) -> &'static str {
        match self {
            Kind::Numbers => "it takes more different numbers of seven digits than there are",
            Kind::Words => "it takes more different words than there are (take uuids)",
            Kind::Uuids => "it takes more UUIDs than there are",
        }
    }
}

/// Whether so many characters of a kind follow each other.
pub(super) fn has_run(text: &str, length: usize, is_of: impl Fn(char) -> bool) -> bool {
    let mut run = 0;
    text.chars().any(|c| {
        run = if is_of(c) { run + 1 } else { 0 };
        run >= length
    })
}

/// A UUID of random bits (RFC 9562, section 5.4).
fn uuid(rng: &mut Stream) -> String {
    let bits = (u128::from(rng.bits()) << 64) | u128::from(rng.bits());
    // Version 4 in bits 48 to 51, variant 0b10 in bits 64 and 65, counted from the front.
    let bits = (bits & !(0xf << 76)) | (4 << 76);
    let bits = (bits & !(0b11 << 62)) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    let (a, b, c) = (&hex[..8], &hex[8..12], &hex[12..16]);
    format!("{a}-{b}-{c}-{}-{}", &hex[16..20], &hex[20..])
}

/// A word that no language has: consonants and vowels in turn, six letters, so that none stands inside another.
pub(super) fn coined(rng: &mut Stream, used: &mut HashSet<String>) -> String {
    assert!(used.len() < COINED, "another word than all");
    loop {
        let word: String = (0..6)
            .map(|place| {
                let letters: &[u8] = match place % 2 {
                    0 => b"bdfgklmnprstvz",
                    _ => b"aeiou",
                };
                char::from(letters[rng.below(letters.len() as u64) as usize])
            })
            .collect();
        if used.insert(word.clone()) {
            return word;
        }
    }
}

/// How many coined words are told apart without searching long: half of 14³·5³.
pub(super) const COINED: usize = 171_500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pair_of_words_stands_inside_another() {
        let (adjectives, nouns) = (list(ADJECTIVES), list(NOUNS));
        for (i, word) in adjectives.iter().enumerate() {
            let mut others = adjectives.iter().enumerate();
            assert!(
                !others.any(|(j, other)| i != j && other.ends_with(word)),
                "{word}"
            );
        }
        for (i, word) in nouns.iter().enumerate() {
            let mut others = nouns.iter().enumerate();
            assert!(
                !others.any(|(j, other)| i != j && other.starts_with(word)),
                "{word}"
            );
        }
    }

    #[test]
    fn coined_words_are_told_apart() {
        let mut rng = Stream::new(0, "coined");
        let mut used = HashSet::new();
        let drawn: HashSet<String> = (0..20_000).map(|_| coined(&mut rng, &mut used)).collect();
        assert_eq!(20_000, drawn.len());
    }

    #[test]
    fn kinds_are_seen_where_they_occur() {
        let mut rng = Stream::new(0, "kinds");
        let mut used = HashSet::new();
        for kind in [Kind::Numbers, Kind::Words, Kind::Uuids] {
            for _ in 0..200 {
                let drawn = kind.draw(&mut rng, &mut used);
                assert!(kind.occurs(&format!("It is {drawn}.")), "{drawn}");
            }
            assert!(!kind.occurs("It is 123456, well-known and café-bar."));
        }
        let uuid = Kind::Uuids.draw(&mut rng, &mut used);
        assert_eq!(36, uuid.len());
        assert_eq!(b'4', uuid.as_bytes()[14]);
        assert!(b"89ab".contains(&uuid.as_bytes()[19]));
    }
}
