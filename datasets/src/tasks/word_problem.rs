//! The word problem of a group (Merrill et al. 2024, The illusion of state, arXiv 2404.08819, section 6; as a test of
//! encodings Yang et al. 2025, PaTH, arXiv 2505.16381).
//!
//! ```text
//! fed       BOS   g₁    g₂     g₃      …
//! asked           g₁    g₁g₂   g₁g₂g₃  …
//! ```
//!
//! After each element of a group the product of all so far is asked for; it is not fed. A product of permutations
//! applies the right one first. A₅ and S₅ cannot be solved by a fixed number of layers at all lengths (unless TC⁰ =
//! NC¹), the cyclic group of 60 elements can.
//!
//! Published: all elements as inputs, or generators and their inverses alone (`inputs = "generators"`; here (1 2 3 4 5)
//! and (1 2 3) for A₅, (1 2 3 4 5) and (1 2) for S₅, 1 for the cyclic group). A model succeeds at a length from 90 %
//! upwards, and the fewest layers that do are reported.

use super::{Alphabet, Answer, Card, Example, Look, Rule, Task};
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const BOS: usize = 0;
const ELEMENT: usize = 1;
const END: usize = 2;

/// Which group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Even permutations of five: 60 elements.
    A5,
    /// All permutations of five: 120 elements.
    S5,
    /// Addition modulo 60.
    Z60,
}

/// Which elements are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Inputs {
    /// All, uniformly.
    All,
    /// Generators and their inverses, uniformly.
    Generators,
}

/// The task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WordProblem {
    /// Which group.
    pub group: Group,
    /// Which elements are multiplied.
    pub inputs: Inputs,
}

impl Default for WordProblem {
    fn default() -> WordProblem {
        WordProblem {
            group: Group::A5,
            inputs: Inputs::All,
        }
    }
}

impl Task for WordProblem {
    const ID: &'static str = "word-problem";
    const CARD: Card = Card {
        title: "Word problem of a group",
        paper: "Merrill et al. 2024, arXiv 2404.08819, section 6; Yang et al. 2025 (PaTH), arXiv 2505.16381, \
                section 4.1",
        idea: "After each element of a group the product of all so far is asked for.",
        longer: "elements",
        reading: "The first places are easy and the rest show how far state is tracked; compare the same model on \
                  the cyclic group, which needs no depth.",
        rule: Rule::Symbols,
        quantity: "products right",
    };

    fn alphabet(&self) -> Alphabet {
        Alphabet::of([
            (Look::Mark("bos"), 1),
            (Look::Named("g"), self.order()),
            (Look::Mark("end"), 1),
        ])
    }

    fn least(&self, _at: &[f64]) -> usize {
        2
    }

    fn why(&self) -> &'static str {
        "one element"
    }

    fn example(&self, rng: &mut Stream, length: usize, _at: &[f64]) -> Example {
        let abc = self.alphabet();
        let inputs = self.inputs();
        let mut product = 0;
        let mut tokens = vec![abc.id(BOS, 0)];
        let mut say = Vec::with_capacity(length - 1);
        for _ in 1..length {
            let next = inputs[rng.below(inputs.len() as u64) as usize];
            product = self.times(product, next);
            tokens.push(abc.id(ELEMENT, next));
            say.push(abc.id(ELEMENT, product));
        }
        tokens.push(abc.id(END, 0));
        Example {
            answers: vec![Answer {
                at: 2..length + 1,
                say,
                ..Answer::default()
            }],
            tokens,
            ..Example::default()
        }
    }

    fn chance(&self, _length: usize, _at: &[f64]) -> f64 {
        1.0 / self.order() as f64
    }

    fn describe(&self) -> String {
        let group = match self.group {
            Group::A5 => "even permutations of five",
            Group::S5 => "permutations of five",
            Group::Z60 => "numbers modulo 60",
        };
        let inputs = match self.inputs {
            Inputs::All => "all elements",
            Inputs::Generators => "generators and inverses",
        };
        format!("running products of {group}, {inputs} as inputs")
    }
}

impl WordProblem {
    /// Elements of the group; 0 is the identity.
    fn order(&self) -> usize {
        match self.group {
            Group::S5 => 120,
            Group::A5 | Group::Z60 => 60,
        }
    }

    fn times(&self, a: usize, b: usize) -> usize {
        if self.group == Group::Z60 {
            return (a + b) % 60;
        }
        let (a, b) = (self.permutation(a), self.permutation(b));
        self.element(b.map(|x| a[x]))
    }

    fn inputs(&self) -> Vec<usize> {
        if self.inputs == Inputs::All {
            return (0..self.order()).collect();
        }
        // Each as the images of 0 to 4, and its inverse.
        let cycle = [[1, 2, 3, 4, 0], [4, 0, 1, 2, 3]];
        match self.group {
            Group::A5 => cycle.into_iter().chain([[1, 2, 0, 3, 4], [2, 0, 1, 3, 4]]),
            // A swap is its own inverse, and comes twice, so that each generator has one share.
            Group::S5 => cycle.into_iter().chain([[1, 0, 2, 3, 4]; 2]),
            Group::Z60 => return vec![1, 59],
        }
        .map(|images| self.element(images))
        .collect()
    }

    /// Images of 0 to 4 under an element. Permutations are numbered in the order of a dictionary, where of each two that
    /// follow each other, from the first on, one is even.
    fn permutation(&self, element: usize) -> [usize; 5] {
        if self.group == Group::S5 {
            return nth(element);
        }
        let first = nth(2 * element);
        if even(first) {
            first
        } else {
            nth(2 * element + 1)
        }
    }

    fn element(&self, images: [usize; 5]) -> usize {
        let place = |i: usize| images[i + 1..].iter().filter(|x| **x < images[i]).count();
        let rank = (0..5).fold(0, |rank, i| rank * (5 - i) + place(i));
        if self.group == Group::S5 {
            rank
        } else {
            rank / 2
        }
    }
}

/// The n-th permutation of 0 to 4 in the order of a dictionary.
fn nth(mut n: usize) -> [usize; 5] {
    let mut left = vec![0, 1, 2, 3, 4];
    [24, 6, 2, 1, 1].map(|block| {
        let next = left.remove(n / block);
        n %= block;
        next
    })
}

fn even(images: [usize; 5]) -> bool {
    let pairs = (0..5).flat_map(|i| (0..i).map(move |j| (j, i)));
    let turned = pairs.filter(|&(j, i)| images[j] > images[i]).count();
    turned.is_multiple_of(2)
}
