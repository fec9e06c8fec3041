//! Shares of successes: intervals that stay inside 0..=1 and behave with few trials.

use super::evidence::{Evidence, Parts};
use super::{Contrast, Estimate, Interval, mean, t_upper, variance, z_upper};

/// Wilson's score interval for `hits` of `trials` (Wilson 1927). Fractional trials are allowed: an effective number.
#[must_use]
pub fn wilson(hits: f64, trials: f64, confidence: f64) -> Interval {
    let z2 = z_upper((1.0 - confidence) / 2.0).powi(2);
    let p = hits / trials;
    let centre = (p + z2 / (2.0 * trials)) / (1.0 + z2 / trials);
    let half =
        (z2 * (p * (1.0 - p) / trials + z2 / (4.0 * trials * trials))).sqrt() / (1.0 + z2 / trials);
    // At p = 0 and p = 1 the exact end is p itself; rounding must not push it outside or off.
    let low = if hits <= 0.0 {
        0.0
    } else {
        (centre - half).max(0.0)
    };
    let high = if hits >= trials {
        1.0
    } else {
        (centre + half).min(1.0)
    };
    Interval { low, high }
}

/// Share of successes over seeds, from (hits, trials) per seed.
///
/// Seeds are the outer unit. Where the t interval over seeds is wider than chance in the trials makes it, trials count
/// for less: Wilson's interval is taken with the effective number that gives the same width (after Korn and Graubard
/// 1998), so that it stays inside 0..=1.
#[must_use]
pub fn share(seeds: &[(usize, usize)], confidence: f64) -> Estimate {
    let (hits, trials) = seeds.iter().fold((0, 0), |(h, t), s| (h + s.0, t + s.1));
    let (hits, trials) = (hits as f64, trials as f64);
    if trials == 0.0 {
        return Estimate {
            value: f64::NAN,
            interval: None,
        };
    }
    let p = hits / trials;
    let per_seed: Vec<f64> = seeds
        .iter()
        .filter(|s| s.1 > 0)
        .map(|s| s.0 as f64 / s.1 as f64)
        .collect();
    let n = per_seed.len() as f64;
    let tail = (1.0 - confidence) / 2.0;
    let chance = z_upper(tail).powi(2) * p * (1.0 - p) / trials;
    let between = variance(&per_seed).map_or(0.0, |v| t_upper(tail, n - 1.0).powi(2) * v / n);
    let effective = if between > chance {
        trials * chance / between
    } else {
        trials
    };
    Estimate {
        value: p,
        interval: Some(wilson(p * effective, effective, confidence)),
    }
}

/// A share whose units hold several answers each: Wilson's interval with the number of answers that gives the width of
/// the interval over units and seeds (after Korn and Graubard 1998), at most as many as there are. Where that width is
/// nothing (all right, all wrong), each unit counts as one answer.
#[must_use]
pub fn clustered(found: &Contrast, units: usize, answers: f64, confidence: f64) -> Estimate {
    let plain = found.estimate(confidence);
    let (p, n) = (plain.value, units as f64);
    let interval = plain.interval.map(|i| {
        let half = (i.high - i.low) / 2.0;
        let variance = z_upper((1.0 - confidence) / 2.0).powi(2) * p * (1.0 - p);
        let effective = match half > 0.0 && variance > 0.0 {
            true => (variance / half.powi(2)).min(answers),
            false => n,
        };
        wilson(p * effective, effective, confidence)
    });
    Estimate { value: p, interval }
}

/// A share with all that the interval of a sum of shares needs, from what was right of each seed's units: the plus-four
/// centre and variance of Agresti and Coull (1998), which do not collapse when all units are right or all wrong. Where units
/// hold several answers their own spread counts, if there is one.
#[must_use]
pub fn share_evidence(rows: &[Vec<(f64, f64)>]) -> Option<Evidence> {
    let found = Contrast::nested(rows.to_vec())?;
    let Parts { seeds, own, .. } = found.parts();
    let units = rows.iter().map(Vec::len).sum::<usize>() as f64;
    let centre = (found.value() * units + 2.0) / (units + 4.0);
    let floor = (centre * (1.0 - centre) / (units + 4.0), f64::INFINITY);
    let trials = rows.iter().flatten().all(|x| x.1 == 1.0);
    let own = own.filter(|(v, _)| !trials && *v > 0.0).unwrap_or(floor);
    Some(Evidence {
        value: found.value(),
        centre,
        per_seed: found.per_seed,
        parts: vec![Parts {
            seeds,
            own: Some(own),
            units: None,
        }],
        range: (0.0, 1.0),
    })
}

/// Difference of two shares over the same trials, from the difference (−1, 0 or 1) of every trial, one row per seed.
///
/// Within a seed the interval is Agresti and Min's (2005: half a trial added to each of the four outcomes), which does
/// not collapse when no trial differs; the variation between seeds is added with its own degrees of freedom. `None` without
/// a trial.
#[must_use]
pub fn paired_shares(rows: &[Vec<i8>]) -> Option<Evidence> {
    let all: Vec<f64> = rows.iter().flatten().map(|&d| f64::from(d)).collect();
    if all.is_empty() {
        return None;
    }
    let (up, down): (f64, f64) = all.iter().fold((0.5, 0.5), |(u, d), &x| match x {
        x if x > 0.0 => (u + 1.0, d),
        x if x < 0.0 => (u, d + 1.0),
        _ => (u, d),
    });
    let n = all.len() as f64 + 2.0;
    let within = (up + down - (up - down).powi(2) / n) / (n * n);
    let seeds = rows.iter().filter(|row| !row.is_empty());
    let share = |row: &Vec<i8>| row.iter().map(|&d| f64::from(d)).sum::<f64>() / row.len() as f64;
    let per_seed: Vec<f64> = seeds.map(share).collect();
    let count = per_seed.len() as f64;
    Some(Evidence {
        value: mean(&all),
        centre: (up - down) / n,
        parts: vec![Parts {
            seeds: variance(&per_seed).map(|v| (v / count, count - 1.0)),
            own: None,
            units: Some((within, f64::INFINITY)),
        }],
        per_seed,
        range: (-1.0, 1.0),
    })
}
