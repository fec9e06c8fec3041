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
                assert!(draw.positions[length - 1] < sampler.context_len(length) as f64);
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
fn given(numbers: &[f64]) -> impl FnMut() -> f64 + '_ {
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
    assert_eq!(draw.tokens, (0..15).collect::<Vec<usize>>());
    assert_eq!(places(&draw), (0..15).collect::<Vec<usize>>());
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
    assert_eq!(draw.tokens, (0..96).collect::<Vec<usize>>());
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
    let both = |sampler: Sampler| (sampler.context_len(16), sampler.text(16));
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
