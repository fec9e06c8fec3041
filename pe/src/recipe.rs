//! `Recipe`: what a scheme does to training, beyond what its plan does to the decoder.

use crate::error::{PlanError, check};
use crate::search::Search;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What training does differently. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recipe {
    /// Where the tokens of a training window stand, if not at their indices.
    pub positions: Option<Sampler>,
    /// Whether measurements draw positions too, as training does.
    pub in_evaluation: bool,
    /// Lengths of training windows; empty: one length from the first step to the last.
    pub stages: Vec<LengthStage>,
    /// Whether only the scheme's own parameters learn.
    pub only_scheme: bool,
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
    pub fn reach(&self, length: usize) -> usize {
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
mod tests {
    use super::*;

    /// Numbers that look like chance.
    fn chance(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed;
        move || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut x = state;
            x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
        }
    }

    fn jumps(positions: &[f64]) -> usize {
        positions.windows(2).filter(|w| w[1] != w[0] + 1.0).count()
    }

    #[test]
    fn windows_rise_and_stay_within_their_bounds() {
        let length = 96;
        for sampler in [
            Sampler::Skip { target: 96 },
            Sampler::Skip { target: 700 },
            Sampler::Middle { factor: 8 },
            Sampler::Subset { range: 96 },
            Sampler::Steps,
            Sampler::Subset { range: 2048 },
            Sampler::Pieces {
                target: 500,
                share: 0.25,
            },
            Sampler::Pieces {
                target: 96,
                share: 0.3,
            },
        ] {
            sampler.check_length(length).unwrap();
            for text in [length, sampler.text(length).max(length)] {
                let mut uniform = chance(text as u64);
                for _ in 0..300 {
                    let draw = sampler.draw(length, text, &mut uniform);
                    assert_eq!((draw.tokens.len(), draw.positions.len()), (length, length));
                    assert!(
                        draw.tokens.is_sorted_by(|a, b| a < b),
                        "{sampler:?} {:?}",
                        draw.tokens
                    );
                    assert!(draw.positions.is_sorted_by(|a, b| a < b), "{sampler:?}");
                    assert!(draw.tokens[length - 1] < text, "{sampler:?}");
                    assert!(draw.positions[length - 1] < sampler.reach(length) as f64);
                }
            }
        }
    }

    #[test]
    fn pose_makes_one_jump_and_reaches_the_target() {
        let mut uniform = chance(1);
        let sampler = Sampler::Skip { target: 64 };
        let draws: Vec<_> = (0..4000)
            .map(|_| sampler.draw(16, 80, &mut uniform))
            .collect();
        assert!(
            draws
                .iter()
                .all(|d| d.positions[0] == 0.0 && jumps(&d.positions) <= 1)
        );
        let last = draws.iter().map(|d| d.positions[15]).fold(0.0, f64::max);
        assert_eq!(last, 63.0);
        // The first piece has 1 to 8 tokens.
        let first = |d: &Draw| {
            d.positions
                .iter()
                .enumerate()
                .filter(|(i, x)| **x == *i as f64)
                .count()
        };
        let short = draws.iter().filter(|d| jumps(&d.positions) == 1).map(first);
        assert_eq!(short.clone().min(), Some(1));
        assert_eq!(short.max(), Some(8));
    }

    /// Given numbers, one after the other.
    fn given(numbers: &[f64]) -> impl FnMut() -> f64 {
        let mut numbers = numbers.iter().copied();
        move || numbers.next().unwrap()
    }

    fn ranges(ranges: &[std::ops::Range<usize>]) -> Vec<usize> {
        ranges.iter().cloned().flatten().collect()
    }

    fn places(draw: &Draw) -> Vec<usize> {
        draw.positions.iter().map(|&x| x as usize).collect()
    }

    #[test]
    fn whole_numbers_are_drawn_alike_from_end_to_end() {
        for (u, expected) in [
            (0.0, 10),
            (0.0999, 10),
            (0.1, 11),
            (0.5, 15),
            (0.95, 19),
            (1.0, 19),
        ] {
            assert_eq!(whole(&mut || u, 10, 19), expected, "{u}");
        }
        assert_eq!(whole(&mut || 0.9, 7, 7), 7);
    }

    /// The released code: rt1 = randint(1, (n + 1) // 2), rt2 = randint(n, len(text)), lt2 = rt2 - (n - rt1), and
    /// randint(0, scaled - n) is added to all positions from rt1 on; n = 15, 80 tokens of text, 64 positions.
    #[test]
    fn pose_cuts_and_jumps_as_published() {
        let sampler = Sampler::Skip { target: 64 };
        // 1 + ⌊8/2⌋ = 5, 15 + ⌊66/4⌋ = 31, ⌊50·3/4⌋ = 37.
        let draw = sampler.draw(15, 80, &mut given(&[0.5, 0.25, 0.75]));
        assert_eq!(draw.tokens, ranges(&[0..5, 21..31]));
        assert_eq!(places(&draw), ranges(&[0..5, 42..52]));
        // One token and no jump at least.
        let draw = sampler.draw(15, 80, &mut given(&[0.0, 0.0, 0.0]));
        assert_eq!(draw.tokens, ranges(&[0..1, 1..15]));
        assert_eq!(places(&draw), ranges(&[0..1, 1..15]));
        // Half of an odd window, rounded up, is its longest first piece.
        let draw = sampler.draw(15, 80, &mut given(&[0.99, 0.0, 0.99]));
        assert_eq!(draw.tokens, ranges(&[0..8, 8..15]));
        assert_eq!(places(&draw), ranges(&[0..8, 57..64]));
    }

    /// Section 3.2 of the paper by hand, for windows of 96 tokens: two thirds or eight times the factor are head and tail,
    /// and the middle ends between two bounds that ρ sets.
    #[test]
    fn cream_places_the_middle_as_published() {
        // Ends of 32, ρ = 9: the last of the middle from ⌊32 + 31·9/2⌋ = 171 to 9/2·96 − 33 = 399.
        let sampler = Sampler::Middle { factor: 8 };
        let draw = sampler.draw(96, 96, &mut given(&[0.4, 0.5, 0.25]));
        assert_eq!(places(&draw), ranges(&[0..32, 197..229, 736..768]));
        assert_eq!(draw.tokens, (0..96).collect::<Vec<_>>());
        // Ends of 4·4 = 16, ρ = 8: from 16 + 63·4 = 268 to 4·96 − 17 = 367.
        let sampler = Sampler::Middle { factor: 4 };
        let draw = sampler.draw(96, 300, &mut given(&[0.5, 0.5, 0.25]));
        assert_eq!(places(&draw), ranges(&[0..16, 230..294, 368..384]));
        assert_eq!(draw.tokens, ranges(&[0..16, 220..284, 284..300]));
        // Ends of 96/3 = 32, ρ = 8: from 32 + 31·4 = 156 to 4·96 − 33 = 351, the whole text at hand.
        let draw = sampler.draw(96, 384, &mut given(&[0.49, 0.5, 0.0]));
        assert_eq!(places(&draw), ranges(&[0..32, 125..157, 352..384]));
        assert_eq!(draw.tokens, places(&draw));
        // The middle ends right before the tail at the latest.
        let draw = sampler.draw(96, 384, &mut given(&[0.49, 0.5, 1.0]));
        assert_eq!(places(&draw), ranges(&[0..32, 320..352, 352..384]));
        // ρ = 2 leaves it where it is in the window, from 32 + 31 to 96 − 33 = 63.
        let draw = sampler.draw(96, 384, &mut given(&[0.49, 0.0, 1.0]));
        assert_eq!(places(&draw), ranges(&[0..64, 352..384]));
    }

    /// Three pieces of 0.4 · 7 tokens, rounded, the last one short: gaps of 12, 1 and 7 out of 20 − 7 in order.
    #[test]
    fn pieces_stand_behind_sorted_gaps() {
        let sampler = Sampler::Pieces {
            target: 20,
            share: 0.4,
        };
        let draw = sampler.draw(7, 100, &mut given(&[0.9, 0.1, 0.5]));
        assert_eq!(draw.tokens, [1, 2, 3, 10, 11, 12, 18]);
        assert_eq!(places(&draw), draw.tokens);
    }

    /// Giraffe: sums of steps of twice what is drawn, scaled down into the window where they leave it.
    #[test]
    fn steps_are_summed_and_scaled_down_only_past_the_window() {
        let draw = |u: f64| Sampler::Steps.draw(4, 4, &mut || u);
        assert_eq!(draw(0.25).positions, [0.5, 1.0, 1.5, 2.0]);
        assert_eq!(draw(0.25).tokens, [0, 1, 2, 3]);
        for (found, expected) in draw(0.75).positions.iter().zip([1.0, 2.0, 3.0, 4.0]) {
            let below = expected - found;
            assert!((0.0..1e-14).contains(&below), "{found}, {expected}");
        }
        // The last stays below the length where the sum just reaches it.
        assert!(draw(0.5).positions[3] < 4.0 && draw(0.75).positions[3] < 4.0);
    }

    /// What a sampler needs of a window, to the token.
    #[test]
    fn lengths_are_taken_up_to_their_bounds() {
        let pieces = |target, share| Sampler::Pieces { target, share };
        for (sampler, length) in [
            (Sampler::Skip { target: 64 }, 64),
            (Sampler::Skip { target: 2 }, 1),
            (Sampler::Subset { range: 64 }, 64),
            (Sampler::Subset { range: 1 }, 1),
            (pieces(64, 0.5), 64),
            (pieces(2, 1.0), 2),
        ] {
            assert!(sampler.check_length(length).is_ok(), "{sampler:?}");
            assert!(sampler.check_length(length + 64).is_err(), "{sampler:?}");
        }
        for (sampler, length) in [
            (Sampler::Middle { factor: 8 }, 96),
            (Sampler::Middle { factor: 2 }, 24),
        ] {
            assert!(sampler.check_length(length).is_ok(), "{sampler:?}");
            assert!(sampler.check_length(length - 1).is_err(), "{sampler:?}");
        }
        for sampler in [
            Sampler::Skip { target: 1 },
            Sampler::Middle { factor: 1 },
            Sampler::Subset { range: 0 },
            pieces(1, 0.5),
            pieces(64, 0.0),
            pieces(64, 1.01),
        ] {
            assert!(sampler.check().is_err(), "{sampler:?}");
        }
        // Positions, and the text that they are taken from.
        let both = |sampler: Sampler| (sampler.reach(16), sampler.text(16));
        assert_eq!(both(Sampler::Skip { target: 64 }), (64, 80));
        assert_eq!(both(Sampler::Middle { factor: 3 }), (48, 48));
        assert_eq!(both(Sampler::Subset { range: 64 }), (64, 16));
        assert_eq!(both(pieces(64, 0.5)), (64, 64));
        assert_eq!(both(Sampler::Steps), (16, 16));
    }

    /// Numbers of the authors' code for factor 8.
    #[test]
    fn cream_draws_its_factor_as_published() {
        let us = [0.0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0];
        assert_eq!(
            us.map(|u| middle_factor(8, u)),
            [2, 2, 5, 6, 9, 11, 12, 15, 16]
        );
    }

    #[test]
    fn cream_ends_at_the_target_and_draws_the_middle_as_published() {
        let mut uniform = chance(2);
        let sampler = Sampler::Middle { factor: 8 };
        for _ in 0..500 {
            let positions = sampler.draw(96, 96, &mut uniform).positions;
            assert_eq!(positions[95], 767.0);
            assert!(jumps(&positions) <= 2);
        }
    }

    #[test]
    fn subsets_are_fair_and_the_whole_range_is_the_identity() {
        let mut uniform = chance(3);
        let whole: Vec<f64> = (0..40).map(f64::from).collect();
        assert_eq!(subset(40, 40, &mut uniform), whole);
        let mut counts = [0; 10];
        for _ in 0..20_000 {
            subset(3, 10, &mut uniform)
                .iter()
                .for_each(|x| counts[*x as usize] += 1);
        }
        assert!(
            counts.iter().all(|c| (5700..6300).contains(c)),
            "{counts:?}"
        );
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused_with_the_setting() {
        let message = |sampler: Sampler| sampler.check_length(128).unwrap_err().to_string();
        assert!(message(Sampler::Skip { target: 64 }).contains("`target` = 64"));
        assert!(message(Sampler::Subset { range: 100 }).contains("`range` = 100"));
        assert!(message(Sampler::Middle { factor: 20 }).contains("`factor` = 20"));
        assert!(
            message(Sampler::Pieces {
                target: 500,
                share: 0.0
            })
            .contains("`share` = 0")
        );
    }
}
