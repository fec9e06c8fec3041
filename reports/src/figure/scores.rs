//! Pictures of a scheme by itself: its score against distance, and as a matrix.

use super::canvas::{Anchor, Canvas, Type};
use super::chart::{Axis, Chart, Intervals, Point, SMALL, Series, WIDTH};
use super::drawing::Drawing;
use super::palette::{self, Ink};
use super::scale::{self, Scale};
use crate::record::Better;

/// What a curve against distance shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Scores of keys that equal the query.
    Scores,
    /// Shares of the softmax over keys that are all alike.
    Weights,
    /// Mean weights that trained heads give to the keys of a text.
    Attention,
}

impl Shown {
    /// In words, and in fewer.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Shown::Scores => (
                "score of a key that equals the query",
                "score of a key like the query",
            ),
            Shown::Weights => (
                "weight after the softmax if all keys are alike",
                "weight if all keys are alike",
            ),
            Shown::Attention => (
                "mean weight of a key in held-out text",
                "mean weight of a key",
            ),
        }
    }
}

/// What is shown against the distance to the key, one curve per name; hidden keys leave gaps.
pub fn by_distance(
    title: &str,
    shown: Shown,
    distances: &[usize],
    curves: &[(String, Vec<Option<f64>>)],
    trained: usize,
) -> Drawing {
    let (what, short) = shown.words();
    let point = |(x, y): (&usize, &Option<f64>)| {
        let y = (*y)?;
        Some(Point {
            x: *x as f64,
            y,
            interval: None,
            tip: format!("distance {x}: {}", scale::label(y)),
        })
    };
    let series: Vec<Series> = curves
        .iter()
        .enumerate()
        .map(|(style, (name, values))| Series {
            name: name.clone(),
            style,
            points: distances.iter().zip(values).filter_map(point).collect(),
            faint: Vec::new(),
        })
        .collect();
    let ys = series.iter().flat_map(|s| s.points.iter().map(|p| p.y));
    let last = distances.last().copied().unwrap_or_default() as f64;
    let chart = Chart {
        label: format!("{title}: {what} against distance"),
        x: Axis {
            title: "distance to the key (tokens)".into(),
            scale: Scale::linear([0.0, last], 0.02),
            ticks: Vec::new(),
            percent: false,
        },
        y: Axis {
            title: format!("{title}: {short}"),
            scale: Scale::linear(ys.chain([0.0]), 0.05),
            ticks: Vec::new(),
            percent: false,
        },
        trained: (last > trained as f64).then_some(trained as f64),
        threshold: None,
        chance: Vec::new(),
        intervals: Intervals::Bars,
        dodge: 0.0,
        better: Better::Higher,
        reference: None,
        marker_every: distances.len().div_ceil(8).max(1),
        series,
        undefined: "hidden".into(),
    };
    chart.draw()
}

const GUTTER: f64 = 18.0;
const TOP: f64 = 44.0;
const LEFT: f64 = 46.0;

/// Scores by query (down) and key (across), one panel per name; keys that are not seen stay blank.
pub fn matrix(
    title: &str,
    positions: &[usize],
    panels: &[(String, Vec<Vec<Option<f64>>>)],
) -> Drawing {
    let mut canvas = Canvas::default();
    key(&mut canvas);
    let count = panels.len().max(1);
    let per_row = count.min(2);
    let side = ((WIDTH - LEFT - 12.0) - GUTTER * (per_row as f64 - 1.0)) / per_row as f64;
    let side = side.min(260.0);
    let cell = side / positions.len().max(1) as f64;
    let small = Type::new(SMALL, Ink::Muted);
    for (i, (name, rows)) in panels.iter().enumerate() {
        let x = LEFT + (i % per_row) as f64 * (side + GUTTER);
        let y = TOP + (i / per_row) as f64 * (side + 44.0);
        let values = || rows.iter().flatten().flatten();
        let low = values().fold(f64::INFINITY, |low, x| low.min(*x));
        let high = values().fold(f64::NEG_INFINITY, |high, x| high.max(*x));
        let share = |x: f64| {
            if high > low {
                (x - low) / (high - low)
            } else {
                1.0
            }
        };
        let name = format!("{name}: {} to {}", scale::label(low), scale::label(high));
        canvas.text(
            (x, y - 5.0),
            &name,
            Type::bold(11.0, Ink::Text),
            Anchor::Start,
        );
        for (row, values) in rows.iter().enumerate() {
            for (column, value) in values.iter().enumerate() {
                if let Some(value) = value {
                    let corner = (x + column as f64 * cell, y + row as f64 * cell);
                    canvas.rect(
                        corner,
                        (cell + 0.15, cell + 0.15),
                        palette::sequential(share(*value)).0,
                    );
                }
            }
        }
        let last = positions.last().copied().unwrap_or_default();
        canvas.text((x, y + side + 12.0), "key 0", small, Anchor::Start);
        canvas.text(
            (x + side, y + side + 12.0),
            &last.to_string(),
            small,
            Anchor::End,
        );
        if i % per_row == 0 {
            canvas.text((x - 5.0, y + 8.0), "query 0", small, Anchor::End);
            canvas.text((x - 5.0, y + side), &last.to_string(), small, Anchor::End);
        }
    }
    let rows = count.div_ceil(per_row) as f64;
    let label = format!("{title}: score of a key that equals the query, by query and key position");
    canvas.finish(WIDTH, TOP + rows * (side + 44.0) - 22.0, &label)
}

/// The colours and what they stand for.
fn key(canvas: &mut Canvas) {
    let (left, y, width, height) = (LEFT + 52.0, 8.0, 120.0, 9.0);
    let steps = 24;
    for step in 0..steps {
        let share = f64::from(step) / f64::from(steps - 1);
        let x = left + width * f64::from(step) / f64::from(steps);
        let size = (width / f64::from(steps) + 0.2, height);
        canvas.rect((x, y), size, palette::sequential(share).0);
    }
    let small = Type::new(SMALL, Ink::Muted);
    canvas.text((left - 5.0, y + 8.0), "lowest", small, Anchor::End);
    let words = "highest score of a key like the query, panel by panel";
    canvas.text((left + width + 5.0, y + 8.0), words, small, Anchor::Start);
}
