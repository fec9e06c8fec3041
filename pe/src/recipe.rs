//! `Recipe`: what a scheme does to training, beyond what its plan does to the decoder.

mod added;
mod shift;

pub use added::{AddedLoss, AddedRef, Learned};
pub use shift::Shift;

use crate::error::{PlanError, check};
use crate::search::Search;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What training does differently. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recipe {
    /// Where the tokens of a training window stand, if not at their indices.
    pub positions: Option<Sampler>,
    /// How the ids that a task gives are moved in training, for a plan that reads them.
    pub shift: Option<Shift>,
    /// Whether measurements draw positions too, as training does.
    pub in_evaluation: bool,
    /// Lengths of training windows; empty: one length from the first step to the last.
    pub stages: Vec<LengthStage>,
    /// Whether only the scheme's own parameters learn.
    pub only_scheme: bool,
    /// What is added to the loss of every batch in training.
    pub added: Option<AddedRef>,
    /// Settings that are found by trying them on the base's weights, before they are measured or trained on.
    pub search: Option<Search>,
}

/// A share of the steps, at a share of the length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LengthStage {
    /// Where it ends, as a share of all steps; the last one ends at 1.
    pub until: f64,
    /// Length of its windows as a share of the full length.
    pub length: f64,
}

/// Draws the positions of a training window, and which tokens of a longer text stand there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sampler {
    /// Two pieces of the text, the second moved away (PoSE, Zhu et al. 2023, arXiv 2309.10400, section 3.2).
    Skip {
        /// Length whose positions are to be seen.
        #[schemars(range(min = 2))]
        target: usize,
    },
    /// Head, middle and tail, the middle drawn from a truncated normal distribution (CREAM, Wu et al. 2024,
    /// arXiv 2406.07138, section 3).
    Middle {
        /// Target length over training length.
        #[schemars(range(min = 2))]
        factor: usize,
    },
    /// A sorted random subset (randomised encodings, Ruoss et al. 2023, arXiv 2305.16843, section 3).
    Subset {
        /// Positions are drawn from 0 to this, exclusive.
        #[schemars(range(min = 1))]
        range: usize,
    },
    /// Pieces of a longer text at their true places (segmented training, NAACL Findings 2024.191).
    Pieces {
        /// Length of the text that pieces are taken from.
        #[schemars(range(min = 2))]
        target: usize,
        /// Length of a piece as a share of the window.
        #[schemars(extend("exclusiveMinimum" = 0), range(max = 1))]
        share: f64,
    },
    /// Neighbours at random real distances from 0 to 2 (Giraffe, Pal et al. 2023, arXiv 2308.10882, section 3).
    Steps,
}

/// One window.
#[derive(Clone, Debug, PartialEq)]
pub struct Draw {
    /// Index of each token in the text, increasing.
    pub tokens: Vec<usize>,
    /// Position of each token, increasing.
    pub positions: Vec<f64>,
}

/// Numbers from 0 to 1, exclusive.
pub type Uniform<'a> = &'a mut dyn FnMut() -> f64;

/// A whole number from `low` to `high`, both included.
fn whole(uniform: Uniform<'_>, low: usize, high: usize) -> usize {
    low + ((uniform() * (high - low + 1) as f64) as usize).min(high - low)
}

impl Sampler {
    /// Whether the settings make sense by themselves.
    pub fn check(&self) -> Result<(), PlanError> {
        match *self {
            Sampler::Skip { target } => check("target", target, "at least 2", target >= 2),
            Sampler::Middle { factor } => check("factor", factor, "at least 2", factor >= 2),
            Sampler::Subset { range } => check("range", range, "at least 1", range >= 1),
            Sampler::Pieces { target, share } => {
                check("target", target, "at least 2", target >= 2)?;
                check(
                    "share",
                    share,
                    "above 0 and at most 1",
                    share > 0.0 && share <= 1.0,
                )
            }
            Sampler::Steps => Ok(()),
        }
    }

    /// Whether windows of `length` tokens can be drawn; the error names the setting.
    pub fn check_length(&self, length: usize) -> Result<(), PlanError> {
        self.check()?;
        let rule = format!("at least the length of a window, {length}");
        match *self {
            Sampler::Skip { target } | Sampler::Pieces { target, .. } => {
                check("target", target, &rule, target >= length)
            }
            Sampler::Subset { range } => check("range", range, &rule, range >= length),
            Sampler::Middle { factor } => {
                let rule = format!("at most {} for windows of {length} tokens", length / 12);
                check("factor", factor, &rule, 12 * factor <= length)
            }
            Sampler::Steps => Ok(()),
        }
    }

    /// Positions that windows of `length` tokens may take, counted from 0.
    pub fn context_len(&self, length: usize) -> usize {
        match *self {
            Sampler::Skip { target } | Sampler::Pieces { target, .. } => target,
            Sampler::Middle { factor } => factor * length,
            Sampler::Subset { range } => range,
            Sampler::Steps => length,
        }
    }

    /// The longest text that a window of `length` tokens is cut from.
    pub fn text(&self, length: usize) -> usize {
        match *self {
            Sampler::Skip { .. } => 5 * length,
            Sampler::Middle { factor } => factor * length,
            Sampler::Subset { .. } | Sampler::Steps => length,
            Sampler::Pieces { target, .. } => target,
        }
    }

    /// A window of `length` tokens out of a text of `text` tokens (at least `length`). Needs
    /// [`check_length`](Sampler::check_length).
    pub fn draw(&self, length: usize, text: usize, uniform: Uniform<'_>) -> Draw {
        match *self {
            Sampler::Skip { target } => skip(length, text, target, uniform),
            Sampler::Middle { factor } => middle(length, text, factor, uniform),
            Sampler::Subset { range } => Draw {
                tokens: (0..length).collect(),
                positions: subset(length, range, uniform),
            },
            Sampler::Pieces { target, share } => pieces(length, text.min(target), share, uniform),
            Sampler::Steps => Draw {
                tokens: (0..length).collect(),
                positions: steps(length, uniform),
            },
        }
    }
}

/// As the authors' code does it: the first piece starts at 0, and cut and jump are drawn independently.
fn skip(length: usize, text: usize, target: usize, uniform: Uniform<'_>) -> Draw {
    let first = whole(uniform, 1, length.div_ceil(2)).min(length);
    let end = whole(uniform, length, text);
    let jump = whole(uniform, 0, target - length);
    let rest = length - first;
    Draw {
        tokens: (0..first).chain(end - rest..end).collect(),
        positions: (0..first)
            .chain(first + jump..length + jump)
            .map(|x| x as f64)
            .collect(),
    }
}

/// As the authors' code does it; head and tail are a third of the window or 4·factor tokens.
fn middle(length: usize, text: usize, factor: usize, uniform: Uniform<'_>) -> Draw {
    let ends = if uniform() < 0.5 {
        length / 3
    } else {
        4 * factor
    };
    let inner = length - 2 * ends;
    let target = factor * length;
    let center = middle_factor(factor, uniform()) as f64;
    let low = (ends as f64 + (inner as f64 - 1.0) * center / 2.0).floor() as usize;
    let high = ((center / 2.0 * length as f64) as usize).saturating_sub(ends + 1);
    let last = whole(uniform, low.min(high), high.max(low));
    // Head, middle and tail must not overlap.
    let last = last.clamp(ends + inner - 1, target - ends - 1);
    let start = last + 1 - inner;
    let tail = target - ends;
    let positions = (0..ends).chain(start..start + inner).chain(tail..target);
    let positions: Vec<usize> = positions.collect();
    // The same places of the text as far as it reaches, else those nearest to its end.
    let inside = |at: usize, after: usize| at.min(text - after);
    let from = inside(start, inner + ends).max(ends);
    let tokens = (0..ends).chain(from..from + inner).chain(text - ends..text);
    Draw {
        tokens: tokens.collect(),
        positions: positions.into_iter().map(|x| x as f64).collect(),
    }
}

/// CREAM's ρ: the inverse of the distribution function of N(9, 3), linear between 1000 points from 2 to 2·factor, rounded
/// down.
pub fn middle_factor(factor: usize, u: f64) -> usize {
    const POINTS: usize = 1000;
    let end = 2.0 * factor as f64;
    let x = |i: usize| 2.0 + (end - 2.0) * i as f64 / (POINTS - 1) as f64;
    let below = |x: f64| 0.5 * (1.0 + erf((x - 9.0) / (3.0 * std::f64::consts::SQRT_2)));
    if u <= below(2.0) {
        return 2;
    }
    for i in 1..POINTS {
        let (before, after) = (below(x(i - 1)), below(x(i)));
        if u <= after {
            let share = (u - before) / (after - before);
            return (x(i - 1) + share * (x(i) - x(i - 1))) as usize;
        }
    }
    2 * factor
}

/// The error function by its Taylor series, which converges everywhere; |x| stays below 5 here, past which it is ±1.
fn erf(x: f64) -> f64 {
    if x.abs() > 5.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    2.0 / std::f64::consts::PI.sqrt() * sum
}

/// `length` of the numbers below `range`, sorted; every subset is equally likely (selection sampling, Knuth, TAOCP 2,
/// 3.4.2, algorithm S).
fn subset(length: usize, range: usize, uniform: Uniform<'_>) -> Vec<f64> {
    let mut chosen = Vec::with_capacity(length);
    for x in 0..range {
        let wanted = length - chosen.len();
        if ((range - x) as f64) * uniform() < wanted as f64 {
            chosen.push(x as f64);
        }
    }
    chosen
}

/// Running sums of steps from 0 to 2, scaled down if they end past `length`.
fn steps(length: usize, uniform: Uniform<'_>) -> Vec<f64> {
    let mut at = 0.0;
    let mut positions: Vec<f64> = (0..length)
        .map(|_| {
            at += 2.0 * uniform();
            at
        })
        .collect();
    if at >= length as f64 {
        // The last position stays below the length, which is the reach.
        let scale = (length as f64 / at) * (1.0 - f64::EPSILON);
        positions.iter_mut().for_each(|x| *x *= scale);
    }
    positions
}

/// Pieces of `share · length` tokens at random places of the text, none overlapping, each at its true positions.
fn pieces(length: usize, text: usize, share: f64, uniform: Uniform<'_>) -> Draw {
    let size = ((length as f64 * share).round() as usize).clamp(1, length);
    let count = length.div_ceil(size);
    // Gaps before each piece: sorted places in what the pieces leave free.
    let mut gaps: Vec<usize> = (0..count)
        .map(|_| whole(uniform, 0, text - length))
        .collect();
    gaps.sort_unstable();
    let piece = |i: usize| i * size..((i + 1) * size).min(length);
    let tokens: Vec<usize> = (0..count)
        .flat_map(|i| piece(i).map(|t| (i, t)).collect::<Vec<_>>())
        .map(|(i, t)| t + gaps[i])
        .collect();
    Draw {
        positions: tokens.iter().map(|&x| x as f64).collect(),
        tokens,
    }
}

#[cfg(test)]
mod tests;
