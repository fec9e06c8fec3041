//! Parts that several kinds of figure share: keys, error bars, dashed lines, the choice of tick labels.

use super::canvas::{Anchor, Canvas, Part, Type};
use super::chart::{LABEL, TICK};
use super::palette::{self, Ink};
use super::{scale, text};

/// An upright interval with caps.
pub(crate) fn error_bar(canvas: &mut Canvas, low: (f64, f64), high: (f64, f64), ink: Ink) {
    // Shorter than the marker it would only blur its outline.
    if (low.1 - high.1).abs() < 1.5 && (low.0 - high.0).abs() < 1.5 {
        return;
    }
    canvas.line(low, high, ink, 1.1);
    for (x, y) in [low, high] {
        canvas.line((x - 2.5, y), (x + 2.5, y), ink, 1.1);
    }
}

/// A dashed straight line that is no curve.
pub(crate) fn dashes(canvas: &mut Canvas, from: (f64, f64), to: (f64, f64), ink: Ink, width: f64) {
    broken(canvas, from, to, (ink, width), (3.5, 6.5));
}

/// A dotted one.
pub(crate) fn dots(canvas: &mut Canvas, from: (f64, f64), to: (f64, f64)) {
    broken(canvas, from, to, (Ink::Mark, 1.0), (1.2, 4.0));
}

/// A straight line of strokes `on` long, one every `period`.
fn broken(
    canvas: &mut Canvas,
    from: (f64, f64),
    to: (f64, f64),
    (ink, width): (Ink, f64),
    (on, period): (f64, f64),
) {
    let length = (to.0 - from.0).hypot(to.1 - from.1);
    let at = |d: f64| {
        let share = (d / length).min(1.0);
        (
            from.0 + (to.0 - from.0) * share,
            from.1 + (to.1 - from.1) * share,
        )
    };
    let mut start = 0.0;
    while start < length {
        canvas.line(at(start), at(start + on), ink, width);
        start += period;
    }
}

/// What stands in front of the words of a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sample {
    /// The line of a curve, with its marker or without.
    Curve { style: usize, marker: bool },
    /// A plain line with the marker of a place in an order.
    Line { ink: Ink, marker: usize },
    /// A dashed line.
    Dashes,
    /// A dotted line.
    Dots,
    /// The ground up to the trained length.
    Within,
}

/// An entry of a legend.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) words: String,
    /// The curve that it names: the page lets readers choose by it.
    pub(crate) curve: Option<usize>,
    pub(crate) sample: Sample,
}

/// Draws keys beside each other from `left` to `right`, in as many rows as they need; returns where they end.
pub(crate) fn keys(canvas: &mut Canvas, all: &[Key], (left, right): (f64, f64), top: f64) -> f64 {
    if all.is_empty() {
        return top;
    }
    let (wide, gap, row) = (24.0, 13.0, 17.0);
    let (mut x, mut y) = (left, top + row / 2.0 + 2.0);
    for key in all {
        let shown = text::fit(&key.words, LABEL, right - left - wide - 5.0);
        let width = wide + 5.0 + text::width(&shown, LABEL, false);
        if x > left && x + width > right {
            (x, y) = (left, y + row);
        }
        if let Some(curve) = key.curve {
            canvas.part(Part::of("key", curve));
            canvas.tip((x - 4.0, y - row / 2.0), (width + 8.0, row), &key.words);
        }
        sample(canvas, key.sample, (x, y), wide);
        let at = (x + wide + 5.0, y + LABEL * 0.35);
        canvas.text(at, &shown, Type::new(LABEL, Ink::Text), Anchor::Start);
        canvas.common();
        x += width + gap;
    }
    y + row / 2.0
}

fn sample(canvas: &mut Canvas, sample: Sample, (x, y): (f64, f64), wide: f64) {
    let (from, to, middle) = ((x, y), (x + wide, y), (x + wide / 2.0, y));
    match sample {
        Sample::Curve { style, marker } => {
            canvas.path(vec![from, to], Ink::Line(style), 1.7);
            if marker {
                canvas.marker(middle, style, 3.4);
            }
        }
        Sample::Line { ink, marker } => {
            canvas.path(vec![from, to], ink, 1.7);
            let (shape, hollow) = palette::marker(marker);
            canvas.shape(middle, shape, hollow, ink, 3.0);
        }
        Sample::Dashes => dashes(canvas, from, to, Ink::Mark, 1.1),
        Sample::Dots => dots(canvas, from, to),
        Sample::Within => within(canvas, (x, y - 5.0), (wide, 10.0)),
    }
}

/// The ground of what is not longer than the trained length, closed by a dashed line.
pub(crate) fn within(canvas: &mut Canvas, (x, y): (f64, f64), (width, height): (f64, f64)) {
    canvas.rect((x, y), (width, height), Ink::Tint);
    let right = x + width;
    dashes(canvas, (right, y), (right, y + height), Ink::Mark, 1.2);
}

/// The ticks whose labels fit beside each other: first the one that must stay, then from the largest down.
pub(crate) fn spaced(ticks: &[f64], at: impl Fn(f64) -> f64, keep: Option<f64>) -> Vec<f64> {
    let mut order: Vec<f64> = ticks.iter().copied().filter(|t| Some(*t) == keep).collect();
    order.extend(ticks.iter().rev().copied().filter(|t| Some(*t) != keep));
    let mut kept: Vec<f64> = Vec::new();
    for tick in order {
        let half = |t: f64| text::width(&scale::label(t), TICK, false) / 2.0;
        if kept
            .iter()
            .all(|&k| (at(k) - at(tick)).abs() >= half(k) + half(tick) + 6.0)
        {
            kept.push(tick);
        }
    }
    kept
}

/// Moves heights apart until neighbours are at least `gap` from each other, as little as possible and not below `bottom`;
/// the order of the list is kept.
pub(crate) fn apart(heights: &[f64], gap: f64, bottom: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..heights.len()).collect();
    order.sort_by(|&a, &b| heights[a].total_cmp(&heights[b]));
    let mut moved = heights.to_vec();
    for pair in order.windows(2) {
        moved[pair[1]] = moved[pair[1]].max(moved[pair[0]] + gap);
    }
    let mut limit = bottom;
    for &i in order.iter().rev() {
        moved[i] = moved[i].min(limit);
        limit = moved[i] - gap;
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crowded_ticks_lose_labels_not_the_trained_one() {
        let ticks: Vec<f64> = (1..=40).map(f64::from).collect();
        let kept = spaced(&ticks, |t| t * 5.0, Some(17.0));
        assert!(kept.contains(&17.0) && kept.len() < 12, "{kept:?}");
    }

    #[test]
    fn names_are_moved_apart() {
        assert_eq!(apart(&[10.0, 50.0], 12.0, 100.0), [10.0, 50.0]);
        assert_eq!(apart(&[52.0, 10.0, 50.0], 12.0, 100.0), [62.0, 10.0, 50.0]);
        assert_eq!(apart(&[99.0, 98.0], 12.0, 100.0), [100.0, 88.0]);
    }
}
