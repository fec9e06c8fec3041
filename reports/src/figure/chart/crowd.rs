//! Many curves: grey lines, with the best, the worst, the reference and its neighbours in colour and named at their ends.

use super::super::canvas::{Anchor, Canvas, Part, Type};
use super::super::marks::apart;
use super::super::palette::Ink;
use super::super::text;
use super::{Chart, Frame, LANE, SMALL, Series};
use crate::record::Better;

/// A curve that stands out of a crowd.
struct Named {
    /// Its place among the curves.
    order: usize,
    /// What it is: `best`.
    role: &'static str,
    /// Whose colour and marker it borrows.
    look: usize,
}

impl Chart {
    /// The best, the worst, the reference and those next to it, each once: by the last value of the curves that reach
    /// farthest.
    fn named(&self) -> Vec<Named> {
        let last = |s: &Series| {
            s.points
                .iter()
                .rev()
                .find(|p| p.y.is_finite())
                .map(|p| (p.x, p.y))
        };
        let ends: Vec<Option<(f64, f64)>> = self.series.iter().map(last).collect();
        let farthest = ends
            .iter()
            .flatten()
            .map(|e| e.0)
            .fold(f64::NEG_INFINITY, f64::max);
        let mut ranked: Vec<(f64, usize)> = ends
            .iter()
            .enumerate()
            .filter_map(|(i, end)| end.filter(|e| e.0 == farthest).map(|e| (e.1, i)))
            .collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
        if self.better == Better::Higher {
            ranked.reverse();
        }
        let reference = self.reference.and_then(|wanted| {
            let found = self.series.iter().position(|s| s.style == wanted);
            found.filter(|&i| ends[i].is_some())
        });
        let place = reference.and_then(|i| ranked.iter().position(|r| r.1 == i));
        let beside = |step: isize| ranked.get(place?.checked_add_signed(step)?).map(|r| r.1);
        let wanted = [
            (ranked.first().map(|r| r.1), "best", 2),
            (ranked.last().map(|r| r.1), "worst", 1),
            (reference, "reference", 0),
            (beside(-1), "next better", 3),
            (beside(1), "next worse", 4),
        ];
        let mut named: Vec<Named> = Vec::new();
        for (order, role, look) in wanted {
            let Some(order) = order else { continue };
            if named.iter().all(|n| n.order != order) {
                named.push(Named { order, role, look });
            }
        }
        named
    }

    fn words(&self, named: &Named) -> String {
        let name = text::fit(&self.series[named.order].name, SMALL, 130.0);
        format!("{name} ({})", named.role)
    }

    /// Room for the names at the right, of chosen curves too.
    pub(super) fn names_width(&self) -> f64 {
        let named = self.named();
        let widths = named
            .iter()
            .map(|n| text::width(&self.words(n), SMALL, false));
        widths.fold(120.0, f64::max) + 16.0
    }

    pub(super) fn draw_crowd(&self, canvas: &mut Canvas, frame: Frame, lane_top: f64) {
        let named = self.named();
        for (order, series) in self.series.iter().enumerate() {
            if named.iter().all(|n| n.order != order) {
                canvas.part(Part::curve(series.style));
                self.curve(canvas, frame, series, (0.0, Ink::Crowd, 1.0));
                self.tips(canvas, frame, series);
            }
        }
        let at = |n: &Named| {
            let points = &self.series[n.order].points;
            let end = points.iter().rev().find(|p| p.y.is_finite());
            end.map_or(frame.top, |p| frame.y(self.y.scale, p.y))
        };
        let heights: Vec<f64> = named.iter().map(at).collect();
        let heights = apart(&heights, 13.0, frame.bottom());
        for (n, height) in named.iter().zip(heights) {
            let series = &self.series[n.order];
            canvas.part(Part::of("named", series.style));
            self.curve(canvas, frame, series, (0.0, Ink::Curve(n.look), 2.0));
            self.points(canvas, frame, series, (0.0, n.look));
            let font = Type::bold(SMALL, Ink::Curve(n.look));
            let place = (frame.right() + 8.0, height + 4.0);
            canvas.text(place, &self.words(n), font, Anchor::Start);
        }
        canvas.common();
        self.count_undefined(canvas, frame, lane_top);
    }

    fn tips(&self, canvas: &mut Canvas, frame: Frame, series: &Series) {
        for point in series.points.iter().filter(|p| p.y.is_finite()) {
            let x = frame.x(self.x.scale, point.x);
            let y = frame.y(self.y.scale, point.y);
            canvas.tip((x - 4.0, y - 4.0), (8.0, 8.0), &point.tip);
        }
    }

    /// In the lane, how many curves have no value here; which they are is in the tip.
    fn count_undefined(&self, canvas: &mut Canvas, frame: Frame, top: f64) {
        let gone = self.series.iter().flat_map(|s| &s.points);
        let mut gone: Vec<_> = gone.filter(|p| !p.y.is_finite()).collect();
        gone.sort_by(|a, b| a.x.total_cmp(&b.x));
        for same in gone.chunk_by(|a, b| a.x == b.x) {
            let x = frame.x(self.x.scale, same[0].x);
            let font = Type::new(SMALL, Ink::Text);
            let place = (x, top + LANE / 2.0 + 3.8);
            canvas.text(place, &same.len().to_string(), font, Anchor::Middle);
            let tips: Vec<&str> = same.iter().map(|p| p.tip.as_str()).collect();
            canvas.tip((x - 14.0, top), (28.0, LANE), &tips.join("\n"));
        }
    }
}
