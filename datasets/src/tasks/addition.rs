//! Addition (Kazemnejad et al. 2023, arXiv 2305.19466, appendix on tasks; binary addition: Delétang et al. 2022, arXiv
//! 2207.02098).
//!
//! ```text
//! BOS  7 5 + 4 8 <to> 1 2 3 <end>
//! ```
//!
//! Two whole numbers, digit by digit, without leading zeros. A length is filled by two numbers of as many digits each
//! as fit: d digits take at most 3d + 4 tokens. Training draws the digits of both apart.
//!
//! Ids for encodings that read them: the place of a digit in its number, from 1 (Abacus: McLeish et al. 2024, arXiv
//! 2405.17399, with `reverse`); one id for digits of equal significance, `+` and `<to>` taking the ids next to them as in the
//! code of Cho et al. 2024, arXiv 2405.20671 (`padded`). Digits of a sum that begins with its most significant one have
//! a known significance only where its length is known.
//!
//! Published (Kazemnejad): numbers of up to 8 digits in training and of up to 16 in the test, all of the sum right.
//! Published (Delétang): `base = 2`, the least significant digit first (`reverse`), inputs of up to 40 and up to 500
//! tokens, counted by symbol.

use super::draw::size;
use super::ids::runs;
use super::strings::{END, TO, line};
use super::{Alphabet, COUPLED, Card, Example, Look, PLACES, Rule, Task, no_ids, within};
use crate::error::DataError;
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const PLUS: usize = 3;
const DIGIT: usize = 4;

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Addition {
    /// Base of the numbers.
    pub base: usize,
    /// Whether all numbers begin with their least significant digit.
    pub reverse: bool,
    /// Digits of the shortest number in training.
    pub shortest: usize,
    /// Whether zeros make both numbers as long as the longer one, and the sum a digit longer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub padded: bool,
}

impl Default for Addition {
    fn default() -> Addition {
        Addition {
            base: 10,
            reverse: false,
            shortest: 1,
            padded: false,
        }
    }
}

impl Task for Addition {
    const ID: &'static str = "addition";
    const CARD: Card = Card {
        title: "Addition",
        paper: "Kazemnejad et al. 2023, arXiv 2305.19466; Delétang et al. 2022, arXiv 2207.02098",
        idea: "The sum of two numbers is asked for, digit by digit.",
        longer: "digits of both numbers",
        reading: "Near zero beyond the trained length for every scheme at small sizes, since digits of equal weight \
                  must be found: a negative control.",
        rule: Rule::All,
        quantity: "sums right",
    };

    fn check(&self) -> Result<(), DataError> {
        within("base", self.base, 2..=1_000_000)?;
        within("shortest", self.shortest, 1..=1_000_000)
    }

    fn alphabet(&self) -> Alphabet {
        Alphabet::of([
            (Look::Mark("bos"), 1),
            (Look::Mark("to"), 1),
            (Look::Mark("end"), 1),
            (Look::Mark("+"), 1),
            (Look::Number, self.base),
        ])
    }

    fn least(&self, _at: &[f64]) -> usize {
        7
    }

    fn why(&self) -> &'static str {
        "a digit each, two of the sum, and the marks"
    }

    fn example(&self, rng: &mut Stream, length: usize, _at: &[f64]) -> Example {
        let digits = longest(length);
        self.build(rng, digits, digits)
    }

    /// Numbers of all lengths, each its own.
    fn practice(&self, rng: &mut Stream, length: usize) -> Example {
        let mut digits = || size(rng, self.shortest, longest(length));
        let (a, b) = (digits(), digits());
        self.build(rng, a, b)
    }

    /// A sum has a digit more than the numbers if it reaches the next power of the base.
    fn chance(&self, length: usize, _at: &[f64]) -> f64 {
        let (base, digits) = (self.base as f64, longest(length));
        if self.padded {
            return base.powf(-(digits as f64) - 1.0);
        }
        let carry = match digits {
            1 => (base - 1.0) / (2.0 * base),
            // Of numbers from 1 to the base, drawn as if they were continuous.
            _ => 1.0 - 0.5 * ((base - 2.0) / (base - 1.0)).powi(2),
        };
        base.powf(-(digits as f64)) * (1.0 - carry + carry / base)
    }

    fn ids(&self, kind: &str, tokens: &[u32]) -> Result<Vec<u32>, String> {
        let digits = self.alphabet().ids(DIGIT);
        let places = runs(tokens, |token| digits.contains(&token));
        match kind {
            PLACES => Ok(places),
            COUPLED if self.reverse => Ok(self.ascending(tokens, &places)),
            COUPLED if self.padded => Ok(self.descending(tokens, &places)),
            COUPLED => no_ids(Self::ID, kind, "expected reverse = true or padded = true"),
            _ => no_ids(Self::ID, kind, "it has \"place\" and \"coupled\""),
        }
    }

    fn describe(&self) -> String {
        let order = match self.reverse {
            true => "least significant digit first",
            false => "most significant digit first",
        };
        let padded = if self.padded {
            ", padded with zeros"
        } else {
            ""
        };
        format!("addition in base {}, {order}{padded}", self.base)
    }
}

/// Digits of each number in an example of a length.
fn longest(length: usize) -> usize {
    (length - 4) / 3
}

impl Addition {
    fn build(&self, rng: &mut Stream, a: usize, b: usize) -> Example {
        let abc = self.alphabet();
        let (mut a, mut b) = (self.number(rng, a), self.number(rng, b));
        let mut sum = self.sum(&a, &b);
        if self.padded {
            let digits = a.len().max(b.len());
            a.resize(digits, 0);
            b.resize(digits, 0);
            sum.resize(digits + 1, 0);
        }
        let spell = |number: &[usize]| -> Vec<u32> {
            let digits = number.iter().map(|&digit| abc.id(DIGIT, digit));
            match self.reverse {
                true => digits.collect(),
                false => digits.rev().collect(),
            }
        };
        let source = [spell(&a), vec![abc.id(PLUS, 0)], spell(&b)].concat();
        let mut target = spell(&sum);
        target.push(abc.id(END, 0));
        line(&abc, &source, &target)
    }

    /// Coupled ids where numbers begin with their least significant digit, whose id is 2; that of + and <to> is 1.
    fn ascending(&self, tokens: &[u32], places: &[u32]) -> Vec<u32> {
        let abc = self.alphabet();
        let marks = [abc.id(PLUS, 0), abc.id(TO, 0)];
        let id = |(token, &place): (&u32, &u32)| match place {
            0 => u32::from(marks.contains(token)),
            place => place + 1,
        };
        tokens.iter().zip(places).map(id).collect()
    }

    /// Where they end with it, and a sum has a digit more than its numbers: <to> stands above its first digit.
    fn descending(&self, tokens: &[u32], places: &[u32]) -> Vec<u32> {
        let abc = self.alphabet();
        let (plus, to) = (abc.id(PLUS, 0), abc.id(TO, 0));
        // Numbers are equally long, and the first one ends at +.
        let end = tokens.iter().position(|&token| token == plus);
        let longest = places[end.map_or(tokens.len(), |end| end) - 1];
        let asked = tokens.iter().position(|&token| token == to);
        let asked = asked.unwrap_or(tokens.len());
        let id = |(at, &place): (usize, &u32)| match (place, tokens[at]) {
            (0, token) if token == plus => 1,
            (0, token) if token == to => longest + 3,
            (0, _) => 0,
            (place, _) if at < asked => longest + 2 - place,
            (place, _) => longest + 3 - place,
        };
        places.iter().enumerate().map(id).collect()
    }

    /// A number of so many digits, the least significant first.
    fn number(&self, rng: &mut Stream, digits: usize) -> Vec<usize> {
        let mut number: Vec<usize> = (0..digits)
            .map(|_| rng.below(self.base as u64) as usize)
            .collect();
        if digits > 1 {
            number[digits - 1] = 1 + rng.below(self.base as u64 - 1) as usize;
        }
        number
    }

    fn sum(&self, a: &[usize], b: &[usize]) -> Vec<usize> {
        let mut carry = 0;
        let mut sum = Vec::with_capacity(a.len().max(b.len()) + 1);
        for place in 0..a.len().max(b.len()) {
            let digit = |number: &[usize]| number.get(place).copied().unwrap_or(0);
            let all = digit(a) + digit(b) + carry;
            sum.push(all % self.base);
            carry = all / self.base;
        }
        if carry > 0 {
            sum.push(carry);
        }
        sum
    }
}
