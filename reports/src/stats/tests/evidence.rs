//! Designs, simultaneous intervals and sums. Reference values: scipy 1.17.1 and numpy 2.4.6.

use super::*;

/// scipy.stats.t.isf(0.05 / (2 m), seeds − 1) / sqrt(seeds).
#[test]
fn what_a_design_can_show() {
    for (seeds, comparisons, confidence, least) in [
        (2, 12, 0.95, 108.03641526676022),
        (3, 12, 0.95, 8.916296761947304),
        (3, 1, 0.95, 2.4841377117503303),
        (5, 20, 0.95, 3.0223825486114535),
        (4, 12, 0.9, 3.115771736683247),
        (3, 664, 0.95, 66.52944215114088),
    ] {
        let design = Design {
            seeds,
            comparisons,
            confidence,
        };
        close(design.least(), least, 1e-9);
        assert_eq!(design.shows(), least <= 10.0);
    }
    for (comparisons, enough) in [(1, 2), (4, 3), (12, 3), (20, 4), (664, 5)] {
        let design = Design {
            seeds: 1,
            comparisons,
            confidence: 0.95,
        };
        assert_eq!((design.least(), design.shows()), (f64::INFINITY, false));
        assert_eq!(design.enough(), enough, "{comparisons} comparisons");
    }
}

/// Interval and p value are one test, at any number of comparisons.
#[test]
fn an_interval_leaves_zero_out_where_its_p_value_says_so() {
    let contrast = panel(&[A])
        .contrast()
        .minus(&panel(&[B]).contrast())
        .expect("same shape");
    let share = paired_shares(&[vec![1, 1, 0, 1, 1, 0, 1, 1], vec![1, 0, 1, 1, 0, 1, -1, 1]])
        .expect("trials");
    for (evidence, p) in [
        (contrast.evidence(), 0.004080214998015087),
        (share.clone(), share.p().expect("trials")),
    ] {
        close(evidence.p().expect("finite"), p, 1e-8);
        for comparisons in 1..40 {
            let interval = evidence
                .estimate(simultaneous(0.95, comparisons))
                .interval
                .expect("finite");
            let adjusted = (p * comparisons as f64).min(1.0);
            assert_eq!(
                interval.contains(0.0),
                adjusted > 0.05,
                "{comparisons}: {adjusted}, {interval:?}"
            );
        }
    }
}

/// Written out in numpy and scipy: Agresti and Coull's centre and variance, Satterthwaite's degrees of freedom.
#[test]
fn sums_of_shares() {
    let trials = |xs: &[u8]| xs.iter().map(|&x| (f64::from(x), 1.0)).collect::<Vec<_>>();
    let first = [[1, 1, 0, 1, 1, 0], [1, 1, 1, 1, 1, 1], [0, 1, 0, 0, 1, 0]].map(|r| trials(&r));
    let answers = |xs: [f64; 3]| xs.map(|x| (x, 4.0)).to_vec();
    let second = [[3.0, 4.0, 2.0], [4.0, 4.0, 3.0], [1.0, 2.0, 4.0]].map(answers);
    let half = |a: &[Vec<(f64, f64)>], b: &[Vec<(f64, f64)>]| {
        let both = [
            (0.5, share_evidence(a).expect("rows")),
            (0.5, share_evidence(b).expect("rows")),
        ];
        Evidence::sum(&both, false).expect("the same seeds")
    };
    let one = share_evidence(&first[..1]).expect("a row").estimate(0.95);
    let interval = one.interval.expect("trials");
    close(one.value, 2.0 / 3.0, 1e-12);
    close(interval.low, 0.2963636851484015, 1e-9);
    close(interval.high, 0.9036363148515985, 1e-9);
    let alone = half(&first[..1], &second[..1]).estimate(0.95);
    let interval = alone.interval.expect("prompts");
    close(alone.value, 17.0 / 24.0, 1e-12);
    close(interval.low, 0.36510769757143213, 1e-8);
    close(interval.high, 0.8420351595714249, 1e-8);
    let three = half(&first, &second).estimate(0.95);
    let interval = three.interval.expect("seeds");
    close(three.value, 17.0 / 24.0, 1e-12);
    close(interval.low, 0.03368585178269745, 1e-8);
    assert_eq!(interval.high, 1.0, "0.6547 + 0.6210 is cut off at 1");
    // Other seeds cannot be put together; what is known has no width.
    let other = share_evidence(&first[..2]).expect("rows");
    assert_eq!(
        Evidence::sum(
            &[(1.0, other), (1.0, share_evidence(&first).expect("rows"))],
            false
        ),
        None
    );
    let known = Evidence::constant(0.0, 1);
    let sum = Evidence::sum(
        &[
            (0.5, known),
            (0.5, share_evidence(&first[..1]).expect("a row")),
        ],
        false,
    );
    let sum = sum.expect("one seed").estimate(0.95);
    close(sum.value, 1.0 / 3.0, 1e-12);
    let interval = sum.interval.expect("trials");
    close(interval.high, 0.9036363148515985 / 2.0, 1e-9);
}
