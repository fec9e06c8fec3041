//! Curves over an x axis: the one chart behind perplexity, loss, accuracy and training figures.

use super::canvas::{Anchor, Canvas, Type};
use super::drawing::Drawing;
use super::marks::{broken, dashes, error_bar, flag, legend, spaced};
use super::palette::Ink;
use super::scale::{self, Scale};
use super::text;

/// Natural width of every figure; at a column of 85 mm its 12-unit text prints at 6 points.
pub(crate) const WIDTH: f64 = 480.0;
pub(crate) const LABEL: f64 = 11.5;
pub(crate) const TICK: f64 = 11.0;
const RIGHT: f64 = 14.0;
const PLOT_HEIGHT: f64 = 236.0;
const LANE: f64 = 17.0;

/// One measured value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f64,
    /// Non-finite values are drawn in the lane for undefined values.
    pub(crate) y: f64,
    pub(crate) interval: Option<(f64, f64)>,
    pub(crate) tip: String,
}

/// One curve.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// Index into the palette.
    pub(crate) style: usize,
    pub(crate) points: Vec<Point>,
    /// Thin lines behind the curve (single seeds).
    pub(crate) faint: Vec<Vec<(f64, f64)>>,
}

/// How intervals are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intervals {
    /// Error bars at each point.
    Bars,
    /// A band along the curve.
    Bands,
}

/// One axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    pub(crate) title: String,
    pub(crate) scale: Scale,
    /// Values that get a tick; empty means round values.
    pub(crate) ticks: Vec<f64>,
    /// Whether ticks are shares, shown in percent.
    pub(crate) percent: bool,
}

impl Axis {
    fn label(&self, tick: f64) -> String {
        match self.percent {
            true => format!("{}%", scale::label((tick * 1e4).round() / 100.0)),
            false => scale::label(tick),
        }
    }
}

/// A whole chart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chart {
    pub(crate) label: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    /// The trained length, marked by a labelled line.
    pub(crate) trained: Option<f64>,
    /// A dashed horizontal line and its words.
    pub(crate) threshold: Option<(f64, String)>,
    /// A dotted horizontal line: what a model reaches that knows nothing.
    pub(crate) chance: Option<f64>,
    pub(crate) series: Vec<Series>,
    pub(crate) intervals: Intervals,
    /// Shifts curves sideways by this many units each, so that equal values stay visible.
    pub(crate) dodge: f64,
    /// Draw a marker at every n-th point (1: all).
    pub(crate) marker_every: usize,
    /// What the lane for undefined values is called.
    pub(crate) undefined: String,
}

/// The rectangle that data are drawn in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Frame {
    pub(crate) fn right(self) -> f64 {
        self.left + self.width
    }

    pub(crate) fn bottom(self) -> f64 {
        self.top + self.height
    }

    fn x(self, scale: Scale, value: f64) -> f64 {
        self.left + scale.at(value) * self.width
    }

    fn y(self, scale: Scale, value: f64) -> f64 {
        self.bottom() - scale.at(value) * self.height
    }
}

impl Chart {
    /// Draws the chart.
    pub(crate) fn draw(&self) -> Drawing {
        let mut canvas = Canvas::default();
        let names: Vec<(&str, usize)> = self
            .series
            .iter()
            .map(|s| (s.name.as_str(), s.style))
            .collect();
        let mut top = legend(
            &mut canvas,
            &names,
            4.0,
            self.intervals == Intervals::Bars || self.marker_every > 0,
        );
        let lane = self
            .series
            .iter()
            .any(|s| s.points.iter().any(|p| !p.y.is_finite()));
        top += if self.trained.is_some() { 19.0 } else { 8.0 };
        let ticks = ticks_or(&self.y, 7);
        let widest = ticks
            .iter()
            .map(|&t| text::width(&self.y.label(t), TICK, false))
            .fold(0.0, f64::max);
        let word = if lane {
            text::width(&self.undefined, 9.0, false) - 6.0
        } else {
            0.0
        };
        let left = (widest.max(word) + 30.0).max(46.0).round();
        let lane_top = top;
        top += if lane { LANE + 4.0 } else { 0.0 };
        let frame = Frame {
            left,
            top,
            width: WIDTH - left - RIGHT,
            height: PLOT_HEIGHT,
        };

        self.grid(&mut canvas, frame, &ticks);
        if lane {
            self.lane_frame(&mut canvas, frame, lane_top);
        }
        self.mark_trained(&mut canvas, frame, lane_top);
        self.mark_threshold(&mut canvas, frame, lane_top);
        if let Some(chance) = self.chance.filter(|&c| self.y.scale.holds(c)) {
            let y = frame.y(self.y.scale, chance);
            let (from, to) = ((frame.left, y), (frame.right(), y));
            broken(&mut canvas, from, to, (Ink::Mark, 1.0), (1.2, 4.0));
            let words = format!("chance {}", self.y.label(chance));
            let small = Type::new(9.0, Ink::Muted);
            canvas.text((frame.right() - 2.0, y - 3.0), &words, small, Anchor::End);
        }
        for (order, series) in self.series.iter().enumerate() {
            self.bands(&mut canvas, frame, series, self.shift(order));
        }
        for (order, series) in self.series.iter().enumerate() {
            self.curve(&mut canvas, frame, series, self.shift(order));
        }
        for (order, series) in self.series.iter().enumerate() {
            self.points(&mut canvas, frame, series, self.shift(order));
            self.undefined_points(&mut canvas, frame, series, order, lane_top);
        }
        canvas.sideways(
            (13.0, frame.top + frame.height / 2.0),
            &self.y.title,
            Type::new(LABEL, Ink::Text),
        );
        let middle = (frame.left + frame.width / 2.0, frame.bottom() + 37.0);
        canvas.text(
            middle,
            &self.x.title,
            Type::new(LABEL, Ink::Text),
            Anchor::Middle,
        );
        canvas.finish(WIDTH, frame.bottom() + 45.0, &self.label)
    }

    fn shift(&self, order: usize) -> f64 {
        (order as f64 - (self.series.len() as f64 - 1.0) / 2.0) * self.dodge
    }

    fn grid(&self, canvas: &mut Canvas, frame: Frame, y_ticks: &[f64]) {
        for &tick in y_ticks {
            let y = frame.y(self.y.scale, tick);
            canvas.line((frame.left, y), (frame.right(), y), Ink::Grid, 0.8);
            let at = (frame.left - 7.0, y + TICK * 0.36);
            canvas.text(
                at,
                &self.y.label(tick),
                Type::new(TICK, Ink::Muted),
                Anchor::End,
            );
        }
        let bottom = frame.bottom();
        canvas.line(
            (frame.left, bottom),
            (frame.right(), bottom),
            Ink::Axis,
            1.0,
        );
        let x_ticks = ticks_or(&self.x, 7);
        let shown = spaced(&x_ticks, |t| frame.x(self.x.scale, t), self.trained);
        for &tick in &x_ticks {
            let x = frame.x(self.x.scale, tick);
            canvas.line((x, bottom), (x, bottom + 4.0), Ink::Axis, 1.0);
            if shown.contains(&tick) {
                let at = (x, bottom + 16.5);
                canvas.text(
                    at,
                    &scale::label(tick),
                    Type::new(TICK, Ink::Muted),
                    Anchor::Middle,
                );
            }
        }
    }

    fn mark_trained(&self, canvas: &mut Canvas, frame: Frame, top: f64) {
        let Some(trained) = self.trained.filter(|&t| self.x.scale.holds(t)) else {
            return;
        };
        let x = frame.x(self.x.scale, trained);
        dashes(canvas, (x, top), (x, frame.bottom()), Ink::Mark, 1.2);
        let words = format!("trained length {}", scale::label(trained));
        flag(canvas, x, top - 5.0, (frame.left, frame.right()), &words);
    }

    fn mark_threshold(&self, canvas: &mut Canvas, frame: Frame, top: f64) {
        let Some((value, words)) = self
            .threshold
            .as_ref()
            .filter(|(v, _)| self.y.scale.holds(*v))
        else {
            return;
        };
        let y = frame.y(self.y.scale, *value);
        dashes(canvas, (frame.left, y), (frame.right(), y), Ink::Mark, 0.9);
        // Above the plot, where no curve runs, on the side that the trained length leaves free.
        let left = self.trained.is_some_and(|t| self.x.scale.at(t) > 0.5);
        let room = text::width(words, 10.0, false) + 20.0;
        let x = if left {
            frame.left
        } else {
            frame.right() - room
        };
        dashes(
            canvas,
            (x, top - 8.5),
            (x + 16.0, top - 8.5),
            Ink::Mark,
            0.9,
        );
        canvas.text(
            (x + 20.0, top - 5.0),
            words,
            Type::new(10.0, Ink::Muted),
            Anchor::Start,
        );
    }

    fn lane_frame(&self, canvas: &mut Canvas, frame: Frame, top: f64) {
        canvas.rect((frame.left, top), (frame.width, LANE), Ink::Tint);
        let at = (frame.left - 7.0, top + LANE / 2.0 + 3.2);
        canvas.text(at, &self.undefined, Type::new(9.0, Ink::Muted), Anchor::End);
    }

    fn bands(&self, canvas: &mut Canvas, frame: Frame, series: &Series, shift: f64) {
        for line in &series.faint {
            let finite = line.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
            let path = finite
                .map(|&(x, y)| (frame.x(self.x.scale, x), frame.y(self.y.scale, y)))
                .collect();
            canvas.faint(path, Ink::Curve(series.style), 0.8, 0.45);
        }
        if self.intervals == Intervals::Bands {
            let edge = |pick: fn((f64, f64)) -> f64| {
                series
                    .points
                    .iter()
                    .filter(|p| p.y.is_finite())
                    .filter_map(move |p| {
                        let y = pick(p.interval?);
                        Some((frame.x(self.x.scale, p.x) + shift, frame.y(self.y.scale, y)))
                    })
            };
            let upper: Vec<_> = edge(|i| i.1).collect();
            let lower: Vec<_> = edge(|i| i.0).collect();
            if upper.len() > 1 {
                let outline = upper.into_iter().chain(lower.into_iter().rev()).collect();
                canvas.area(outline, Ink::Curve(series.style), 0.16);
            }
        }
    }

    /// The line of a curve; it is broken where a value is undefined.
    fn curve(&self, canvas: &mut Canvas, frame: Frame, series: &Series, shift: f64) {
        for run in series.points.split(|p| !p.y.is_finite()) {
            let at = |p: &Point| {
                (
                    frame.x(self.x.scale, p.x) + shift,
                    frame.y(self.y.scale, p.y),
                )
            };
            canvas.path(run.iter().map(at).collect(), Ink::Line(series.style), 1.7);
        }
    }

    fn points(&self, canvas: &mut Canvas, frame: Frame, series: &Series, shift: f64) {
        let last = series.points.len().saturating_sub(1);
        for (i, point) in series
            .points
            .iter()
            .enumerate()
            .filter(|(_, p)| p.y.is_finite())
        {
            let (x, y) = (
                frame.x(self.x.scale, point.x) + shift,
                frame.y(self.y.scale, point.y),
            );
            if let (Intervals::Bars, Some((low, high))) = (self.intervals, point.interval) {
                let (low, high) = (frame.y(self.y.scale, low), frame.y(self.y.scale, high));
                error_bar(canvas, (x, low), (x, high), series.style);
            }
            let alone = series.points.len() == 1;
            let phase = series.style % self.marker_every.max(1);
            if alone
                || self.marker_every == 1
                || (self.marker_every > 1 && i % self.marker_every == phase && i < last)
            {
                canvas.marker((x, y), series.style, 3.4);
            }
            canvas.tip((x - 7.0, y - 7.0), (14.0, 14.0), &point.tip);
        }
    }

    fn undefined_points(
        &self,
        canvas: &mut Canvas,
        frame: Frame,
        series: &Series,
        order: usize,
        top: f64,
    ) {
        let mut missing = self
            .series
            .iter()
            .enumerate()
            .filter(|(_, s)| s.points.iter().any(|p| !p.y.is_finite()));
        let rank = missing.position(|(i, _)| i == order).unwrap_or(0) as f64;
        let crowd = self
            .series
            .iter()
            .filter(|s| s.points.iter().any(|p| !p.y.is_finite()))
            .count() as f64;
        for point in series.points.iter().filter(|p| !p.y.is_finite()) {
            let x = frame.x(self.x.scale, point.x) + (rank - (crowd - 1.0) / 2.0) * 9.0;
            let x = x.clamp(frame.left + 4.0, frame.right() - 4.0);
            canvas.marker((x, top + LANE / 2.0), series.style, 3.4);
            canvas.tip((x - 7.0, top), (14.0, LANE), &point.tip);
        }
    }
}

fn ticks_or(axis: &Axis, wanted: usize) -> Vec<f64> {
    match axis.ticks.is_empty() {
        true => axis.scale.ticks(wanted),
        false => axis
            .ticks
            .iter()
            .copied()
            .filter(|&t| axis.scale.holds(t))
            .collect(),
    }
}

#[cfg(test)]
mod tests;
