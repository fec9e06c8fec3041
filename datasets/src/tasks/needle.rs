//! A needle in a haystack (RULER's niah_single and niah_multikey; Hsieh et al. 2024, arXiv 2404.06654, section 3.1).
//!
//! ```text
//! BOS  hay …  NAME value  hay …  NAME value
//! ```
//!
//! Needles are names with values; one of them, at the depth asked for, is asked for by its name at the end. The others
//! stand at random places. Names and values of the needles are all different.
//!
//! Published variants, over words: one needle in a repeated paragraph (niah_single_1: `hay = "noise"`) or in essays
//! (niah_single_2; here `random`), values of many symbols (niah_single_3: `symbols`), four needles (niah_multikey_1:
//! `keys = 4`), and hay that is itself made of needles (niah_multikey_2 and 3: `hay = "needles"`). In such hay other
//! names can come twice and values are drawn anew each time; the name that is asked for stands in one needle.

use super::draw::{Filler, different_words, insert, places, words};
use super::{Alphabet, Answer, Card, Example, Factor, Look, Rule, Task, refuse, shares, within};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const BOS: usize = 0;
const NAME: usize = 1;
const VALUE: usize = 2;
const FILLER: usize = 3;

/// What the haystack is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Hay {
    /// Filler, each symbol drawn uniformly.
    Random,
    /// All filler symbols in turn, over and over.
    Noise,
    /// Other needles.
    Needles,
}

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Needle {
    /// Needles that are inserted; one of them is asked for.
    pub keys: usize,
    /// Different names.
    pub names: usize,
    /// Different symbols of values.
    pub values: usize,
    /// Symbols of a value.
    pub symbols: usize,
    /// What the haystack is made of.
    pub hay: Hay,
    /// Different filler symbols.
    pub fillers: usize,
}

impl Default for Needle {
    fn default() -> Needle {
        Needle {
            keys: 4,
            names: 32,
            values: 32,
            symbols: 1,
            hay: Hay::Random,
            fillers: 50,
        }
    }
}

impl Task for Needle {
    const ID: &'static str = "needle";
    const CARD: Card = Card {
        title: "Needle in a haystack",
        paper: "Hsieh et al. 2024 (RULER), arXiv 2404.06654, section 3.1",
        idea: "One of several names with values, scattered over a haystack, is asked for its value.",
        longer: "hay",
        reading: "Compare one needle with several: if only several fail, places are found and names are confused. A wall \
                  that moves with the depth is one of distance.",
        rule: Rule::Each,
        quantity: "needles found",
    };

    fn check(&self) -> Result<(), DataError> {
        within("keys", self.keys, 1..=1000)?;
        within("names", self.names, 1..=1_000_000)?;
        within("values", self.values, 1..=1_000_000)?;
        within("symbols", self.symbols, 1..=1000)?;
        within("fillers", self.fillers, 1..=1_000_000)?;
        let hay = usize::from(self.hay == Hay::Needles);
        if self.keys + hay > self.names {
            let rule = format!("at least {}, one for each key and the hay", self.keys + hay);
            return refuse("names", rule, self.names);
        }
        if self.keys > words(self.values, self.symbols) {
            let rule = format!("enough for {} different values", self.keys);
            return refuse("values", rule, self.values);
        }
        Ok(())
    }

    fn alphabet(&self) -> Alphabet {
        Alphabet::of([
            (Look::Mark("bos"), 1),
            (Look::Upper, self.names),
            (Look::Number, self.values),
            (Look::Lower, self.fillers),
        ])
    }

    /// Depth: the share of the hay that stands before the needle that is asked for.
    fn factors(&self) -> Vec<Factor> {
        vec![Factor {
            name: "depth",
            title: "depth of the needle",
            share: true,
            values: shares(11),
        }]
    }

    fn least(&self, _at: &[f64]) -> usize {
        1 + self.keys * (1 + self.symbols) + self.symbols
    }

    fn why(&self) -> &'static str {
        "the needles and the question"
    }

    fn example(&self, rng: &mut Stream, length: usize, at: &[f64]) -> Example {
        self.build(rng, length, self.before(length, at[0]))
    }

    /// Every place of the needle is equally likely.
    fn practice(&self, rng: &mut Stream, length: usize) -> Example {
        let before = rng.below(self.room(length) as u64 + 1) as usize;
        self.build(rng, length, before)
    }

    /// Two depths that put the needle at one place ask the same.
    fn label(&self, length: usize, at: &[f64]) -> String {
        format!("{length}/{}", self.before(length, at[0]))
    }

    fn chance(&self, _length: usize, _at: &[f64]) -> f64 {
        (self.values as f64).powf(-(self.symbols as f64))
    }

    fn describe(&self) -> String {
        let hay = match self.hay {
            Hay::Random => format!("{} of {} symbols", Filler::Random.words(), self.fillers),
            Hay::Noise => format!("{} of {} symbols", Filler::Noise.words(), self.fillers),
            Hay::Needles => "hay of other needles".into(),
        };
        let one = match self.keys {
            1 => "a needle".to_string(),
            keys => format!("one of {keys} needles"),
        };
        format!(
            "{one} of {} names, with a value of {} out of {} symbols, in {hay}",
            self.names, self.symbols, self.values
        )
    }
}

impl Needle {
    /// Tokens of a piece of hay.
    fn unit(&self) -> usize {
        match self.hay {
            Hay::Random | Hay::Noise => 1,
            Hay::Needles => 1 + self.symbols,
        }
    }

    /// Pieces of hay in an example of a length.
    fn room(&self, length: usize) -> usize {
        (length - Task::least(self, &[])) / self.unit()
    }

    fn before(&self, length: usize, depth: f64) -> usize {
        (depth * self.room(length) as f64).round() as usize
    }

    fn build(&self, rng: &mut Stream, length: usize, before: usize) -> Example {
        let abc = self.alphabet();
        let room = self.room(length);
        let names = abc.draw_different(rng, NAME, self.keys);
        let values = (&abc, VALUE, self.values);
        let values = different_words(rng, values, self.symbols, self.keys);
        let hay = match self.hay {
            Hay::Random => Filler::Random.fill(rng, &abc, FILLER, room),
            Hay::Noise => Filler::Noise.fill(rng, &abc, FILLER, room),
            Hay::Needles => self.needles(rng, &abc, names[0], room),
        };
        // The first needle is the one that is asked for.
        let others = places(rng, room, self.keys - 1);
        let pieces = names.iter().zip(&values);
        let pieces = pieces.map(|(name, value)| [&[*name], &value[..]].concat());
        let mut what: Vec<(usize, Vec<u32>)> =
            [before].into_iter().chain(others).zip(pieces).collect();
        // Among needles at one place, it can be any.
        let mine = rng.below(self.keys as u64) as usize;
        what.swap(0, mine);
        let mut tokens = vec![abc.id(BOS, 0)];
        let starts = insert(&mut tokens, &hay, self.unit(), &what);
        tokens.push(names[0]);
        let asked = tokens.len();
        tokens.extend(&values[0]);
        Example {
            answers: vec![Answer::new(asked..tokens.len())],
            distance: Some(asked - (starts[mine] + 1)),
            tokens,
            lures: Vec::new(),
        }
    }

    /// Needles as hay, none of them called `asked`.
    fn needles(&self, rng: &mut Stream, abc: &Alphabet, asked: u32, count: usize) -> Vec<u32> {
        let mut hay = Vec::with_capacity(count * self.unit());
        for _ in 0..count {
            let other = abc.id(NAME, rng.below(self.names as u64 - 1) as usize);
            hay.push(if other == asked {
                abc.ids(NAME).end - 1
            } else {
                other
            });
            hay.extend(abc.draw_many(rng, VALUE, self.symbols));
        }
        hay
    }
}
