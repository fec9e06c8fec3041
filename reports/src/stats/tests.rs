//! Reference values: scipy 1.17.1 and numpy 2.4.6 (scipy.stats.t, binomtest(...).proportion_ci("wilson"), ttest_rel,
//! numpy.percentile; the ratio estimator and the crossed variance written out in numpy).

mod coverage;
mod evidence;

use super::*;

fn close(a: f64, b: f64, tolerance: f64) {
    assert!(
        (a - b).abs() <= tolerance * b.abs().max(1.0),
        "expected {b}, found {a}"
    );
}

const A: [f64; 8] = [210.3, 188.1, 240.9, 205.0, 222.7, 199.2, 231.4, 217.8];
const B: [f64; 8] = [201.2, 186.0, 229.5, 204.9, 210.1, 197.7, 219.9, 209.0];
const TOKENS: [f64; 8] = [100.0, 96.0, 110.0, 100.0, 104.0, 98.0, 108.0, 102.0];
/// What the second seed of A adds.
const SECOND: [f64; 8] = [4.0, 5.0, 2.0, 6.0, 3.0, 5.0, 4.0, 1.0];

fn panel(rows: &[[f64; 8]]) -> Panel {
    let row = |xs: &[f64; 8]| xs.iter().copied().zip(TOKENS).collect();
    Panel::new(rows.iter().map(row).collect()).expect("rows have eight units")
}

fn second() -> [f64; 8] {
    std::array::from_fn(|i| A[i] + SECOND[i])
}

#[test]
fn quantiles_of_t() {
    for (tail, df, expected) in [
        (0.025, 1.0, 12.706204736174694),
        (0.025, 2.0, 4.302652729749462),
        (0.025, 2.7, 3.3921483831737507),
        (0.05, 5.0, 2.0150483733330233),
        (0.025, 31.0, 2.039513446396408),
        (0.005, 63.0, 2.6561450250998613),
        (0.025, 1000.0, 1.9623390808264083),
        (0.4, 3.0, 0.2766706623326898),
        (0.025, 99_999.0, 1.9599877077718448),
        (0.025, 100_001.0, 1.959987707297379),
        (1e-6, 1e6, 4.75345234827968),
        (0.025, 1e40, 1.959963984540054),
    ] {
        close(t_upper(tail, df), expected, 1e-10);
    }
    close(z_upper(0.025), 1.959963984540054, 1e-10);
}

#[test]
fn mean_with_t_interval() {
    let found = mean_interval(&[2.1, 1.9, 2.4, 2.0, 2.2], 0.95);
    let interval = found.interval.expect("five values");
    close(found.value, 2.12, 1e-12);
    close(interval.low, 1.881161161190002, 1e-10);
    close(interval.high, 2.358838838809998, 1e-10);
    assert_eq!(mean_interval(&[2.0], 0.95).interval, None);
}

#[test]
fn wilson_intervals() {
    for (hits, trials, low, high) in [
        (0.0, 20.0, 0.0, 0.16112515805281935),
        (20.0, 20.0, 0.8388748419471808, 1.0),
        (7.0, 20.0, 0.1811918241010821, 0.5671457233147637),
        (1.0, 220.0, 0.0008028354798775041, 0.025293576022575065),
        (110.0, 220.0, 0.4344990149021871, 0.5655009850978129),
    ] {
        let found = wilson(hits, trials, 0.95);
        close(found.low, low, 1e-9);
        close(found.high, high, 1e-9);
    }
}

/// Over three seeds that differ by more than chance: Wilson's interval with the effective number of trials, written out
/// in Python with the closed form of t with two degrees of freedom.
#[test]
fn a_share_over_seeds_counts_its_seeds() {
    let found = share(&[(18, 20), (11, 20), (15, 25)], 0.95);
    let interval = found.interval.expect("trials");
    close(found.value, 44.0 / 65.0, 1e-12);
    close(interval.low, 0.24465923300174774, 1e-8);
    close(interval.high, 0.9312875080640944, 1e-8);
    // A seed without trials says nothing, and seeds that agree leave the trials as they are.
    assert_eq!(share(&[(18, 20), (0, 0)], 0.95), share(&[(18, 20)], 0.95));
    let alike = share(&[(9, 20), (9, 20), (9, 20)], 0.95);
    assert_eq!(alike.interval, Some(wilson(27.0, 60.0, 0.95)));
}

/// Written out in Python: Agresti and Min's centre and width within, the variation between seeds beside it, p by bisection.
#[test]
fn paired_shares_with_their_interval_and_p() {
    let one = vec![1, 1, 0, 1, -1, 0, 1, 0];
    let three = [
        vec![1, 0, 0, -1, 1, 1],
        vec![0, 1, 0, 0, 0, 0],
        vec![1, 1, 0, 0, 1, -1],
    ];
    for (rows, value, low, high, p) in [
        (
            &[one][..],
            0.375,
            -0.14262218635694296,
            0.7426221863569429,
            0.1840386271964254,
        ),
        (
            &three,
            5.0 / 18.0,
            -0.12572629215799708,
            0.6257262921579971,
            0.14698471140576108,
        ),
    ] {
        let evidence = paired_shares(rows).expect("trials");
        let (found, p_value) = (evidence.estimate(0.95), evidence.p());
        let interval = found.interval.expect("trials");
        close(found.value, value, 1e-12);
        close(interval.low, low, 1e-8);
        close(interval.high, high, 1e-8);
        close(p_value.expect("trials"), p, 1e-8);
    }
}

/// With equal weights and one seed it is the standard error of a mean.
#[test]
fn standard_error_of_a_mean() {
    let row = [1.0, 2.0, 4.0, 3.5, 1.5].map(|x| (x, 1.0)).to_vec();
    let error = Panel::new(vec![row]).and_then(|p| p.contrast().standard_error());
    close(error.expect("five units"), 0.5787918451395112, 1e-10);
    let single = Panel::new(vec![vec![(1.0, 1.0)]]).expect("a unit");
    assert_eq!(single.contrast().standard_error(), None);
    assert_eq!(Panel::new(vec![vec![(1.0, 0.0)]]), None);
    assert_eq!(
        Panel::new(vec![vec![(1.0, 1.0)], vec![(1.0, 1.0), (2.0, 1.0)]]),
        None
    );
}

#[test]
fn edges_of_panels() {
    let of = |xs: &[f64]| {
        let row = xs.iter().map(|&x| (x, 1.0)).collect();
        Panel::new(vec![row]).expect("units")
    };
    // Two units are enough for a standard error; one is not.
    let two = of(&[1.0, 3.0]);
    close(
        two.contrast().standard_error().expect("two units"),
        1.0,
        1e-12,
    );
    let none = two.contrast().minus(&two.contrast());
    assert_eq!(none.and_then(|c| c.evidence().p()), Some(1.0));
    // Both have the same shape.
    assert_eq!(two.contrast().minus(&of(&[1.0, 2.0, 3.0]).contrast()), None);
}

#[test]
fn a_ratio_of_sums_with_its_cluster_robust_interval() {
    let found = panel(&[A]).estimate(0.95);
    let interval = found.interval.expect("eight units");
    close(found.value, 2.097066014669927, 1e-12);
    close(interval.low, 2.0350921928346386, 1e-10);
    close(interval.high, 2.1590398365052152, 1e-10);
}

#[test]
fn a_paired_difference_of_one_seed() {
    let difference = panel(&[A])
        .contrast()
        .minus(&panel(&[B]).contrast())
        .expect("same shape");
    let found = difference.estimate(0.95);
    let interval = found.interval.expect("eight units");
    close(found.value, 0.06980440097799513, 1e-12);
    close(interval.low, 0.030421135307420293, 1e-10);
    close(interval.high, 0.10918766664856996, 1e-10);
    close(
        difference.evidence().p().expect("finite"),
        0.004080214998015087,
        1e-8,
    );
}

/// With equal token counts it must be the plain paired t test.
#[test]
fn equal_denominators_give_the_paired_t_test() {
    let even = |xs: &[f64; 8]| {
        Panel::new(vec![xs.iter().map(|&x| (x, 100.0)).collect()]).expect("one row")
    };
    let difference = even(&A)
        .contrast()
        .minus(&even(&B).contrast())
        .expect("same shape");
    let interval = difference.estimate(0.95).interval.expect("eight units");
    close(interval.low, 0.02894112883852326, 1e-10);
    close(interval.high, 0.1138088711614769, 1e-10);
    close(
        difference.evidence().p().expect("finite"),
        0.005341819510988986,
        1e-8,
    );
}

/// Both seeds of A against one of B's numbers: variance between seeds 3.3626e-4, between units 2.0819e-4, of both
/// together 9.4069e-6 (numpy).
#[test]
fn crossed_seeds_and_units() {
    let difference = panel(&[A, second()])
        .contrast()
        .minus(&panel(&[B, B]).contrast())
        .expect("same shape");
    let parts = difference.parts();
    close(difference.value(), 0.08814180929095357, 1e-12);
    let (seeds, units) = (
        parts.seeds.expect("two seeds"),
        parts.units.expect("eight units"),
    );
    close(seeds.0, 0.00033626054363615715, 1e-12);
    close(
        units.0,
        0.0002081893078839762 - 9.406937959383485e-06,
        1e-12,
    );
    assert_eq!((seeds.1, units.1), (1.0, 7.0));
    let half = (12.706204736174694_f64.powi(2) * seeds.0
        + 2.3646242515927844_f64.powi(2) * units.0)
        .sqrt();
    let interval = difference.estimate(0.95).interval.expect("finite");
    close(interval.high - difference.value(), half, 1e-9);
    // The p value is where the interval just touches 0.
    let p = difference.evidence().p().expect("finite");
    let touching = difference.estimate(1.0 - p).interval.expect("finite");
    assert!(touching.low.abs() < 1e-9, "{touching:?}");
}

#[test]
fn percentiles_interpolate() {
    let mut xs = vec![3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0];
    xs.sort_by(f64::total_cmp);
    close(percentile(&xs, 0.5).expect("not empty"), 3.5, 1e-12);
    close(percentile(&xs, 0.975).expect("not empty"), 8.475, 1e-12);
    assert_eq!(percentile(&[f64::INFINITY], 0.5), Some(f64::INFINITY));
    assert_eq!(percentile(&[], 0.5), None);
}

#[test]
fn nothing_is_claimed_where_nothing_can_be_said() {
    let single = Panel::new(vec![vec![(2.0, 1.0)]]).expect("one unit");
    assert_eq!(
        single.estimate(0.95),
        Estimate {
            value: 2.0,
            interval: None
        }
    );
    assert_eq!(single.contrast().evidence().p(), None);
    let infinite = panel(&[[f64::INFINITY; 8]]);
    assert_eq!(infinite.estimate(0.95).interval, None);
    assert_eq!(infinite.contrast().evidence().p(), None);
    assert_eq!(Panel::new(vec![vec![(1.0, 1.0)], vec![]]), None);
}

#[test]
fn paired_shares_do_not_collapse() {
    let of = |rows: &[Vec<i8>]| {
        let found = paired_shares(rows).expect("trials");
        (found.estimate(0.95), found.p())
    };
    let (same, p) = of(&[vec![0; 220]]);
    let interval = same.interval.expect("trials");
    assert!(
        interval.low < 0.0 && interval.high > 0.0 && interval.high < 0.02,
        "{interval:?}"
    );
    assert!(p.is_some_and(|p| p > 0.999));
    let (all, p) = of(&[vec![1; 20]]);
    let interval = all.interval.expect("trials");
    // (21.5 - 1.5 + ...)/22: Agresti and Min by hand: centre 20/22, se sqrt(21 - 400/22)/22.
    close(
        interval.low,
        20.0 / 22.0 - 1.959963984540054 * (21.0_f64 - 400.0 / 22.0).sqrt() / 22.0,
        1e-9,
    );
    assert_eq!(interval.high, 1.0);
    assert!(p.is_some_and(|p| p < 1e-6));
    let (split, p) = of(&[vec![1; 100], vec![1; 100], vec![-1; 100]]);
    assert!(
        split.interval.is_some_and(|i| i.contains(0.0)),
        "one seed of three says the opposite"
    );
    assert!(p.is_some_and(|p| p > 0.3));
}

/// By hand: ranks 1, 2.5, 2.5, 4 against 1, 3, 2, 4 have a covariance of 4.5 and spreads of 4.5 and 5.
#[test]
fn ranks_are_correlated_with_ties_at_their_mean() {
    let found = spearman(&[(0.1, 1.0), (0.2, 9.0), (0.2, 2.0), (7.0, 10.0)]);
    let expected = 4.5 / (4.5_f64 * 5.0).sqrt();
    assert!(
        found.is_some_and(|rho| (rho - expected).abs() < 1e-12),
        "{found:?}"
    );
    assert_eq!(spearman(&[(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)]), Some(-1.0));
    assert_eq!(spearman(&[(1.0, 1.0), (1.0, 2.0)]), None);
    assert_eq!(spearman(&[]), None);
}
