//! How often intervals cover, by simulation.

use super::*;

/// Draws for the coverage tests.
struct Dice(ChaCha8Rng);

impl Dice {
    fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// A crossed design with the given standard deviations of seeds, units and both together; true value 2.
    fn panel(&mut self, seeds: usize, units: usize, sd: [f64; 3]) -> Panel {
        let of_units: Vec<f64> = (0..units).map(|_| sd[1] * self.normal()).collect();
        let rows = (0..seeds).map(|_| {
            let of_seed = sd[0] * self.normal();
            let cell = |u: &f64, dice: &mut Dice| {
                ((2.0 + of_seed + u + sd[2] * dice.normal()) * 50.0, 50.0)
            };
            of_units.iter().map(|u| cell(u, self)).collect()
        });
        Panel::new(rows.collect()).expect("a full panel")
    }
}

fn coverage(trials: usize, mut covered: impl FnMut(&mut Dice) -> bool) -> f64 {
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(11));
    (0..trials).filter(|_| covered(&mut dice)).count() as f64 / trials as f64
}

#[test]
fn intervals_over_units_cover() {
    let t = coverage(4000, |dice| {
        let found = dice.panel(1, 32, [0.0, 0.3, 0.1]).estimate(0.95);
        found.interval.is_some_and(|i| i.contains(2.0))
    });
    assert!((0.93..=0.97).contains(&t), "t: {t}");
}

/// numpy, 20 000 repetitions: between 0.950 and 0.977 for three and more seeds, up to 0.987 for two.
#[test]
fn intervals_over_seeds_and_units_never_cover_too_rarely() {
    for seeds in [2, 3, 5] {
        for sd in [
            [0.0, 1.0, 1.0],
            [0.0, 0.0, 1.0],
            [0.2, 0.1, 0.1],
            [1.0, 0.5, 0.5],
            [0.1, 1.0, 0.3],
        ] {
            let found = coverage(2000, |dice| {
                dice.panel(seeds, 32, sd)
                    .estimate(0.95)
                    .interval
                    .is_some_and(|i| i.contains(2.0))
            });
            assert!(
                (0.94..=0.995).contains(&found),
                "{seeds} seeds, {sd:?}: {found}"
            );
        }
    }
}

#[test]
fn wilson_covers() {
    let mut all = Vec::new();
    for p in [0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95] {
        for n in [20, 50, 220] {
            all.push(coverage(2000, |dice| {
                let hits = (0..n).filter(|_| dice.uniform() < p).count();
                wilson(hits as f64, f64::from(n), 0.95).contains(p)
            }));
        }
    }
    // Coverage of a discrete statistic swings around its aim; the mean over shares and sizes must meet it.
    let mean = mean(&all);
    assert!((0.93..=0.97).contains(&mean), "{mean}: {all:?}");
    assert!(all.iter().all(|c| (0.90..=0.995).contains(c)), "{all:?}");
}

#[test]
fn shares_over_seeds_cover() {
    // Seeds are drawn from a uniform law; with three of them the t interval itself covers about 0.93 then.
    for (spread, low) in [(0.0, 0.95), (0.15, 0.93), (0.35, 0.92)] {
        let found = coverage(3000, |dice| {
            let seeds: Vec<(usize, usize)> = (0..3)
                .map(|_| {
                    let p = 0.5 + spread * (2.0 * dice.uniform() - 1.0);
                    ((0..220).filter(|_| dice.uniform() < p).count(), 220)
                })
                .collect();
            share(&seeds, 0.95)
                .interval
                .is_some_and(|i| i.contains(0.5))
        });
        assert!(found >= low, "seeds differ by {spread}: {found}");
    }
    let one = share(&[(7, 20)], 0.95).interval;
    assert_eq!(one, Some(wilson(7.0, 20.0, 0.95)));
}

/// Units of each seed's own: with one seed as a panel; with several the wider of both spreads, never their sum.
#[test]
fn units_of_their_own_are_not_paired() {
    let row = |xs: &[f64]| xs.iter().map(|&x| (x, 2.0)).collect::<Vec<_>>();
    let (first, second) = (row(&[1.0, 2.0, 3.0, 2.0]), row(&[1.0, 2.0, 4.0]));
    let one = Contrast::nested(vec![first.clone()]).expect("a row");
    let as_panel = Panel::new(vec![first.clone()]).expect("a row");
    assert_eq!(one.estimate(0.95), as_panel.estimate(0.95));
    let both = Contrast::nested(vec![first, second]).expect("two rows");
    let found = both.estimate(0.95);
    // Means 1 and 7/6: their t interval (one degree of freedom) is the wider one.
    close(found.value, 13.0 / 12.0, 1e-12);
    let interval = found.interval.expect("two seeds");
    close(interval.high - found.value, 12.706204736174694 / 12.0, 1e-9);
    assert!(both.minus(&both).is_none());
    assert!(
        both.evidence().apart(&one.evidence()).is_none(),
        "other seeds"
    );
    let apart = one
        .evidence()
        .apart(&one.clone().times(0.5).evidence())
        .expect("one seed");
    close(apart.value(), 0.5, 1e-12);
    // Squares of the margins are added: 1 and a half of the same.
    let margin = |e: Estimate| e.interval.expect("units").high - e.value;
    let expected = margin(one.estimate(0.95)) * 1.25_f64.sqrt();
    close(margin(apart.estimate(0.95)), expected, 1e-9);
}

/// Newcombe (1998), "Interval estimation for the difference between independent proportions", table II, method 10: 56 of
/// 70 and 48 of 80 differ by 0.2 [0.0524, 0.3339].
#[test]
fn differences_of_shares_from_their_intervals() {
    let of = |hits: usize, n: usize| share(&[(hits, n)], 0.95);
    let found = combined(of(56, 70), of(48, 80), 1.0);
    close(found.value, 0.2, 1e-12);
    let interval = found.interval.expect("both have one");
    close(interval.low, 0.0524, 1e-3);
    close(interval.high, 0.3339, 1e-3);
}

#[test]
fn shares_of_answers_do_not_collapse() {
    let found = |right: &[f64]| {
        let row = right.iter().map(|&x| (x, 4.0)).collect();
        let contrast = Contrast::nested(vec![row]).expect("a row");
        clustered(&contrast, right.len(), 4.0 * right.len() as f64, 0.95)
    };
    // All wrong: ten units count as ten answers. Half of each right: as many answers as units again.
    assert_eq!(found(&[0.0; 10]).interval, Some(wilson(0.0, 10.0, 0.95)));
    assert_eq!(found(&[2.0; 10]).interval, Some(wilson(5.0, 10.0, 0.95)));
    // All or nothing: no more is known than of so many trials.
    let rough = found(&[4.0, 0.0, 4.0, 0.0, 4.0, 0.0, 4.0, 0.0])
        .interval
        .expect("eight");
    let trials = wilson(4.0, 8.0, 0.95);
    assert!(rough.low <= trials.low && rough.high >= trials.high);
}

/// Two schemes that were asked the same in every seed are told apart by less than two that were not.
#[test]
fn the_same_units_of_each_seed_are_paired() {
    let mut noise = Dice(ChaCha8Rng::seed_from_u64(7));
    let mut covered = 0;
    let mut narrower = 0;
    for _ in 0..300 {
        type Row = Vec<(f64, f64)>;
        let mut rows = || -> (Row, Row) {
            (0..40)
                .map(|_| {
                    let hard = noise.normal();
                    let right = |skill: f64, e: f64| (4.0 * (skill + hard + 0.3 * e), 4.0);
                    let (a, b) = (noise.normal(), noise.normal());
                    (right(0.5, a), right(0.2, b))
                })
                .unzip()
        };
        let (a, b): (Vec<_>, Vec<_>) = (0..2).map(|_| rows()).unzip();
        let (a, b) = (Contrast::nested(a).unwrap(), Contrast::nested(b).unwrap());
        assert!(a.minus(&b).is_none());
        let paired = a.paired(&b).unwrap().estimate(0.95).interval.unwrap();
        let apart = a.evidence().apart(&b.evidence()).unwrap();
        let apart = apart.estimate(0.95).interval.unwrap();
        covered += usize::from((paired.low..=paired.high).contains(&0.3));
        narrower += usize::from(paired.high - paired.low < apart.high - apart.low);
    }
    assert!(covered >= 280, "{covered}");
    assert!(narrower >= 250, "{narrower}");
}

/// All intervals of a study hold together at least as often as they say: schemes compared with one reference over the same
/// segments and seeds, at lengths that go together.
#[test]
fn simultaneous_intervals_cover_together() {
    for (seeds, schemes, lengths) in [(1, 5, 4), (3, 5, 4), (5, 3, 2)] {
        let comparisons = schemes * lengths;
        let all = coverage(1200, |dice| {
            let reference = dice.panel(seeds, 24, [0.05, 0.3, 0.05]);
            let mut held = true;
            for scheme in 0..schemes {
                let shift: Vec<f64> = (0..seeds).map(|_| 0.03 * dice.normal()).collect();
                for length in 0..lengths {
                    let truth = 0.02 * (scheme * length) as f64;
                    let rows = reference.rows.iter().zip(&shift);
                    let rows = rows.map(|(row, s)| {
                        let cell =
                            |x: &(f64, f64)| (x.0 + (truth + s + 0.04 * dice.normal()) * 50.0, x.1);
                        row.iter().map(cell).collect()
                    });
                    let panel = Panel::new(rows.collect()).expect("a panel");
                    let found = panel
                        .contrast()
                        .minus(&reference.contrast())
                        .expect("the same shape");
                    let found = found.estimate(simultaneous(0.95, comparisons));
                    // With one seed the shift of that training belongs to what is compared.
                    let truth = if seeds == 1 { truth + shift[0] } else { truth };
                    held &= found.interval.is_some_and(|i| i.contains(truth));
                }
            }
            held
        });
        assert!(
            all >= 0.94,
            "{seeds} seeds, {comparisons} comparisons: {all}"
        );
    }
}

/// Averages over tasks: three tasks of trials, one of which nobody fails, at two lengths, under one seed and under three.
#[test]
fn averages_of_shares_cover() {
    for (seeds, spread) in [(1, 0.0), (3, 0.0), (3, 0.1)] {
        let shares = [[0.9, 0.5], [0.3, 0.1], [1.0, 1.0]];
        let truth = shares.iter().flatten().sum::<f64>() / 6.0;
        let found = coverage(2000, |dice| {
            let shift: Vec<f64> = (0..seeds)
                .map(|_| spread * (2.0 * dice.uniform() - 1.0))
                .collect();
            let mut terms = Vec::new();
            for p in shares.iter().flatten() {
                let row = |s: &f64| {
                    // What a training is better at, it is better at in all tasks that are not at their end.
                    let p = if *p < 1.0 { p + s.clamp(-0.1, 0.1) } else { *p };
                    (0..40)
                        .map(|_| (f64::from(u8::from(dice.uniform() < p)), 1.0))
                        .collect()
                };
                let rows: Vec<Vec<(f64, f64)>> = shift.iter().map(row).collect();
                terms.push((1.0 / 6.0, share_evidence(&rows).expect("rows")));
            }
            let sum = Evidence::sum(&terms, false)
                .expect("the same seeds")
                .estimate(0.95);
            let interval = sum.interval.expect("trials");
            assert!(interval.low >= 0.0 && interval.high <= 1.0);
            interval.contains(truth)
        });
        assert!(
            (0.93..=0.999).contains(&found),
            "{seeds} seeds that differ by {spread}: {found}"
        );
    }
}
