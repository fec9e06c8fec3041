//! From losses of windows to the samples of a point.

use super::reading::Losses;
use super::{ID, Protocol, Window};
use farspan_datasets::Segment;
use farspan_reports::record::{Column, PointRecord};
use serde_json::{Value, json};

/// Every segment's loss with where it lies in the test text, for a person to read.
pub(super) fn samples(protocol: Protocol, point: &PointRecord, segments: &[Segment]) -> Vec<Value> {
    let bytes = point.columns.get("bytes");
    let weighs = match protocol {
        Protocol::ByWindow => "windows",
        _ => "tokens",
    };
    let line = |(i, segment): (usize, &Segment)| {
        json!({
            "measure": ID, "protocol": protocol.name(), "length": point.length,
            "segment": i, "document": segment.document, "offset": segment.offset,
            "nll": format!("{}", point.value[i]), weighs: point.weight[i] as u64,
            "bytes": bytes.map(|column| column.0[i] as u64),
        })
    };
    segments.iter().enumerate().map(line).collect()
}

/// Nats, scored tokens and their bytes, added up over the windows of each segment.
pub(super) fn collect(
    length: usize,
    windows: &[Vec<Window>],
    segments: &[Segment],
    losses: &Losses,
) -> PointRecord {
    let n = segments.len();
    let mut point = PointRecord {
        length,
        value: vec![0.0; n],
        weight: vec![0.0; n],
        ..PointRecord::default()
    };
    let mut all = vec![0.0; n];
    for (s, segment) in segments.iter().enumerate() {
        for window in &windows[s] {
            let scored = window.scored.clone();
            point.value[s] += nats(losses, s, window);
            point.weight[s] += scored.len() as f64;
            // Target t of a window is token start + t + 1 of the segment.
            let bytes = &segment.bytes[window.start + scored.start + 1..=window.start + scored.end];
            all[s] += bytes.iter().map(|&b| f64::from(b)).sum::<f64>();
        }
    }
    point.columns.insert("bytes".into(), Column(all));
    point
}

/// The same with the mean of each window in place of its sum, and windows counted in place of tokens, which become a column.
pub(super) fn by_window(point: &mut PointRecord, windows: &[Vec<Window>], losses: &Losses) {
    let tokens = Column(std::mem::take(&mut point.weight));
    point.columns.insert("tokens".into(), tokens);
    point.weight = windows.iter().map(|w| w.len() as f64).collect();
    let mean = |s, window: &Window| nats(losses, s, window) / window.scored.len() as f64;
    let of = |(s, windows): (usize, &Vec<Window>)| windows.iter().map(|w| mean(s, w)).sum();
    point.value = windows.iter().enumerate().map(of).collect();
}

/// Of the targets that a window of segment `s` scores.
fn nats(losses: &Losses, s: usize, window: &Window) -> f64 {
    let nll = &losses[&(s, window.start)][window.scored.clone()];
    nll.iter().map(|&x| f64::from(x)).sum()
}
