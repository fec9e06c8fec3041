//! Parts that several kinds of figure share: legends, labelled lines, error bars, the choice of tick labels.

use super::canvas::{Anchor, Canvas, Type};
use super::chart::{LABEL, TICK, WIDTH};
use super::palette::Ink;
use super::{scale, text};

/// An upright interval with caps.
pub(crate) fn error_bar(canvas: &mut Canvas, low: (f64, f64), high: (f64, f64), style: usize) {
    // Shorter than the marker it would only blur its outline.
    if (low.1 - high.1).abs() < 1.5 && (low.0 - high.0).abs() < 1.5 {
        return;
    }
    canvas.line(low, high, Ink::Curve(style), 1.1);
    for (x, y) in [low, high] {
        canvas.line((x - 2.5, y), (x + 2.5, y), Ink::Curve(style), 1.1);
    }
}

/// A label for a vertical line, kept inside `bounds`.
pub(crate) fn flag(canvas: &mut Canvas, x: f64, y: f64, bounds: (f64, f64), words: &str) {
    let size = 10.0;
    let half = text::width(words, size, false) / 2.0;
    let x = x.clamp(bounds.0 + half, (bounds.1 - half).max(bounds.0 + half));
    canvas.text((x, y), words, Type::new(size, Ink::Muted), Anchor::Middle);
}

/// A dashed straight line that is no curve.
pub(crate) fn dashes(canvas: &mut Canvas, from: (f64, f64), to: (f64, f64), ink: Ink, width: f64) {
    broken(canvas, from, to, (ink, width), (3.5, 6.5));
}

/// A straight line of strokes `on` long, one every `period`.
pub(crate) fn broken(
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

/// Draws a legend in rows from `top`; returns where it ends. Markers are left out where curves have none.
pub(crate) fn legend(canvas: &mut Canvas, names: &[(&str, usize)], top: f64, markers: bool) -> f64 {
    if names.is_empty() {
        return top;
    }
    let (swatch, gap, row) = (26.0, 14.0, 17.0);
    let mut x = 8.0;
    let mut y = top + row / 2.0 + 2.0;
    for &(name, style) in names {
        let shown = text::fit(name, LABEL, WIDTH - 60.0);
        let width = swatch + 5.0 + text::width(&shown, LABEL, false);
        if x > 8.0 && x + width > WIDTH - 6.0 {
            x = 8.0;
            y += row;
        }
        canvas.path(vec![(x, y), (x + swatch, y)], Ink::Line(style), 1.7);
        if markers {
            canvas.marker((x + swatch / 2.0, y), style, 3.4);
        }
        let at = (x + swatch + 5.0, y + LABEL * 0.35);
        canvas.text(at, &shown, Type::new(LABEL, Ink::Text), Anchor::Start);
        x += width + gap;
    }
    y + row / 2.0
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crowded_ticks_lose_labels_not_the_trained_one() {
        let ticks: Vec<f64> = (1..=40).map(f64::from).collect();
        let kept = spaced(&ticks, |t| t * 5.0, Some(17.0));
        assert!(kept.contains(&17.0) && kept.len() < 12, "{kept:?}");
    }
}
