use super::*;

#[test]
fn sliding_windows_score_every_target_of_the_span_once() {
    // evaluation.md's example has 10 tokens, T = 4, S = 2: here 10 targets.
    let found = windows(Protocol::Sliding, 4, 2, 10);
    let starts: Vec<_> = found.iter().map(|w| w.start).collect();
    assert_eq!(starts, [0, 2, 4, 6]);
    let mut scored: Vec<usize> = found
        .iter()
        .flat_map(|w| w.scored.clone().map(move |t| w.start + t))
        .collect();
    scored.sort_unstable();
    assert_eq!(scored, (0..10).collect::<Vec<_>>());
}

#[test]
fn every_length_scores_every_target_of_the_span_once() {
    for span in [1, 7, 1536, 1537] {
        for length in [1usize, 3, 4, 512, 1000, 1024, 1536]
            .into_iter()
            .filter(|&t| t <= span)
        {
            for stride in [1, length.div_ceil(2), length] {
                let found = windows(Protocol::Sliding, length, stride, span);
                let scored: Vec<usize> = found
                    .iter()
                    .flat_map(|w| w.scored.clone().map(move |t| w.start + t))
                    .collect();
                assert_eq!(
                    scored,
                    (0..span).collect::<Vec<_>>(),
                    "{length} by {stride}"
                );
                let cut = found.iter().filter(|w| w.start + length > span).count();
                assert!(cut <= 1 && found.iter().all(|w| w.scored.end <= length));
            }
        }
    }
    let blocks = windows(Protocol::NonOverlap, 1024, 1024, 1536);
    assert_eq!(blocks[1].scored, 0..512);
}

#[test]
fn fixed_targets_are_the_same_tokens_at_every_length() {
    let ends: Vec<Vec<usize>> = [64, 128, 512]
        .iter()
        .map(|&t| {
            let found = windows(Protocol::FixedTarget, t, 32, 512);
            let [w] = found.as_slice() else {
                panic!("one window")
            };
            (w.start + w.scored.start..w.start + w.scored.end).collect()
        })
        .collect();
    assert_eq!(ends[0], ends[1]);
    assert_eq!(ends[1], ends[2]);
    assert_eq!(ends[2], (480..512).collect::<Vec<_>>());
}

#[test]
fn buckets_cover_the_window() {
    assert_eq!(position_buckets(16), [0, 1, 2, 3, 4, 6, 8, 12]);
    assert_eq!(position_buckets(3), [0, 1, 2]);
}
