//! What is drawn of a curve: its band, its line, its points with their bars, and marks where it has no value.

use super::super::canvas::{Canvas, Part};
use super::super::marks::error_bar;
use super::super::palette::Ink;
use super::{Chart, Frame, Intervals, LANE, Point, Series};

impl Chart {
    pub(super) fn draw_series(&self, canvas: &mut Canvas, frame: Frame, lane_top: f64) {
        for (order, series) in self.series.iter().enumerate() {
            canvas.part(Part::curve(series.style));
            self.bands(canvas, frame, series, self.shift(order));
        }
        for (order, series) in self.series.iter().enumerate() {
            canvas.part(Part::curve(series.style));
            self.curve(
                canvas,
                frame,
                series,
                (self.shift(order), Ink::Line(series.style), 1.7),
            );
            self.points(canvas, frame, series, (self.shift(order), series.style));
            self.undefined_points(canvas, frame, order, lane_top);
        }
        canvas.common();
    }

    pub(super) fn bands(&self, canvas: &mut Canvas, frame: Frame, series: &Series, shift: f64) {
        for line in &series.faint {
            let finite = line.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
            let path = finite.map(|&(x, y)| (frame.x(self.x.scale, x), frame.y(self.y.scale, y)));
            canvas.faint(path.collect(), Ink::Curve(series.style), 0.8, 0.45);
        }
        if self.intervals == Intervals::Bands {
            let edge = |pick: fn((f64, f64)) -> f64| {
                let finite = series.points.iter().filter(|p| p.y.is_finite());
                finite.filter_map(move |p| {
                    let y = frame.y(self.y.scale, pick(p.interval?));
                    Some((frame.x(self.x.scale, p.x) + shift, y))
                })
            };
            let upper: Vec<_> = edge(|i| i.1).collect();
            let lower: Vec<_> = edge(|i| i.0).collect();
            if upper.len() > 1 {
                let outline = upper.into_iter().chain(lower.into_iter().rev()).collect();
                // Many bands on each other would hide what lies under them.
                let alpha = if self.series.len() > 4 { 0.08 } else { 0.16 };
                canvas.area(outline, Ink::Curve(series.style), alpha);
            }
        }
    }

    /// The line of a curve; it is broken where a value is undefined.
    pub(super) fn curve(
        &self,
        canvas: &mut Canvas,
        frame: Frame,
        series: &Series,
        (shift, ink, width): (f64, Ink, f64),
    ) {
        for run in series.points.split(|p| !p.y.is_finite()) {
            let at = |p: &Point| {
                let x = frame.x(self.x.scale, p.x) + shift;
                (x, frame.y(self.y.scale, p.y))
            };
            canvas.path(run.iter().map(at).collect(), ink, width);
        }
    }

    /// Error bars, markers in the style `look`, and tips.
    pub(super) fn points(
        &self,
        canvas: &mut Canvas,
        frame: Frame,
        series: &Series,
        (shift, look): (f64, usize),
    ) {
        let last = series.points.len().saturating_sub(1);
        let finite = series.points.iter().enumerate();
        for (i, point) in finite.filter(|(_, p)| p.y.is_finite()) {
            let x = frame.x(self.x.scale, point.x) + shift;
            let y = frame.y(self.y.scale, point.y);
            if let (Intervals::Bars, Some((low, high))) = (self.intervals, point.interval) {
                let (low, high) = (frame.y(self.y.scale, low), frame.y(self.y.scale, high));
                error_bar(canvas, (x, low), (x, high), Ink::Curve(look));
            }
            let alone = series.points.len() == 1;
            let phase = series.style % self.marker_every.max(1);
            let due = |every: usize| every > 1 && i % every == phase && i < last;
            if alone || self.marker_every == 1 || due(self.marker_every) {
                canvas.marker((x, y), look, 3.4);
            }
            canvas.tip((x - 7.0, y - 7.0), (14.0, 14.0), &point.tip);
        }
    }

    pub(super) fn undefined_points(
        &self,
        canvas: &mut Canvas,
        frame: Frame,
        order: usize,
        top: f64,
    ) {
        let series = &self.series[order];
        let mut missing = self.series.iter().enumerate().filter(|(_, s)| s.breaks());
        let rank = missing.position(|(i, _)| i == order).unwrap_or(0) as f64;
        let crowd = self.series.iter().filter(|s| s.breaks()).count() as f64;
        for point in series.points.iter().filter(|p| !p.y.is_finite()) {
            let x = frame.x(self.x.scale, point.x) + (rank - (crowd - 1.0) / 2.0) * 9.0;
            let x = x.clamp(frame.left + 4.0, frame.right() - 4.0);
            canvas.marker((x, top + LANE / 2.0), series.style, 3.4);
            canvas.tip((x - 7.0, top), (14.0, LANE), &point.tip);
        }
    }
}
