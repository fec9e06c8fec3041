//! Curves over an x axis: the one chart behind perplexity, loss, accuracy and training figures.
//!
//! More than [`CROWD`] curves are drawn in grey, without intervals, over the width of the page; the best, the worst, the
//! reference and those next to it are named.

mod crowd;
mod lines;

use super::canvas::{Anchor, Canvas, Type};
use super::drawing::Drawing;
use super::marks::{self, Key, Sample, dashes, dots, spaced, within};
use super::palette::Ink;
use super::scale::{self, Scale};
use super::text;
use crate::record::Better;

/// Natural width of a figure. A phone shows it at four fifths, half of a page at nine sevenths, so that the smallest text
/// has 9 pixels at least; in a column of 85 mm it prints at 6.5 points.
pub(crate) const WIDTH: f64 = 400.0;
/// Natural width of a figure over the whole page: text is then as large as in a half.
pub(crate) const WIDE: f64 = 848.0;
pub(crate) const LABEL: f64 = 11.5;
pub(crate) const TICK: f64 = 11.0;
/// The smallest text of a figure.
pub(crate) const SMALL: f64 = 11.0;
/// More curves than this cannot be told apart by colour, marker and dash.
pub(crate) const CROWD: usize = 10;
const RIGHT: f64 = 14.0;
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
    /// Index of the curve in the run, and into the palette.
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
    /// The trained length: the ground up to it is tinted.
    pub(crate) trained: Option<f64>,
    /// A dashed horizontal line and its words.
    pub(crate) threshold: Option<(f64, String)>,
    /// A dotted line: what a model reaches at each x that knows nothing.
    pub(crate) chance: Vec<(f64, f64)>,
    pub(crate) series: Vec<Series>,
    pub(crate) intervals: Intervals,
    /// Shifts curves sideways by this many units each, so that equal values stay visible.
    pub(crate) dodge: f64,
    /// Which way is better: of many curves the best and the worst are named.
    pub(crate) better: Better,
    /// The curve that others are compared with, named among many.
    pub(crate) reference: Option<usize>,
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
        let crowd = self.crowded();
        let width = if crowd { WIDE } else { WIDTH };
        let top = marks::keys(&mut canvas, &self.keys(), (8.0, width - 6.0), 4.0) + 9.0;
        let lane = self.series.iter().any(Series::breaks);
        let ticks = ticks_or(&self.y, 7);
        let widest = ticks
            .iter()
            .map(|&t| text::width(&self.y.label(t), TICK, false));
        let word = match lane {
            true => text::width(&self.undefined, SMALL, false) - 18.0,
            false => 0.0,
        };
        let left = (widest.fold(word, f64::max) + 30.0).max(46.0).round();
        let right = if crowd { self.names_width() } else { RIGHT };
        let frame = Frame {
            left,
            top: top + if lane { LANE + 4.0 } else { 0.0 },
            width: width - left - right,
            height: if crowd { 300.0 } else { 220.0 },
        };
        self.ground(&mut canvas, frame, top);
        self.grid(&mut canvas, frame, &ticks);
        if lane {
            self.lane_frame(&mut canvas, frame, top);
        }
        if let Some((value, _)) = self.threshold_shown() {
            let y = frame.y(self.y.scale, *value);
            dashes(
                &mut canvas,
                (frame.left, y),
                (frame.right(), y),
                Ink::Mark,
                0.9,
            );
        }
        self.draw_chance(&mut canvas, frame);
        match crowd {
            true => self.draw_crowd(&mut canvas, frame, top),
            false => self.draw_series(&mut canvas, frame, top),
        }
        let font = Type::new(LABEL, Ink::Text);
        // Centred on the plot, or on the figure where it is longer than that.
        let half = text::width(&self.y.title, LABEL, false) / 2.0;
        let middle = (frame.top + frame.height / 2.0).max(half + 6.0);
        canvas.sideways((13.0, middle), &self.y.title, font);
        let middle = (frame.left + frame.width / 2.0, frame.bottom() + 37.0);
        canvas.text(middle, &self.x.title, font, Anchor::Middle);
        Drawing {
            across: true,
            ..canvas.finish(width, frame.bottom() + 45.0, &self.label)
        }
    }

    /// Whether there are too many curves to tell apart.
    pub(crate) fn crowded(&self) -> bool {
        self.series.len() > CROWD
    }

    /// The legend, and what the lines that are no curves are.
    fn keys(&self) -> Vec<Key> {
        let marker = self.intervals == Intervals::Bars || self.marker_every > 0;
        let named = |s: &Series| Key {
            words: s.name.clone(),
            curve: Some(s.style),
            sample: Sample::Curve {
                style: s.style,
                marker,
            },
        };
        let mut keys: Vec<Key> = match self.crowded() {
            true => Vec::new(),
            false => self.series.iter().map(named).collect(),
        };
        let mut line = |words: String, sample| {
            keys.push(Key {
                words,
                curve: None,
                sample,
            });
        };
        if let Some(trained) = self.trained_shown() {
            let words = format!("trained length {}", scale::label(trained));
            line(words, Sample::Within);
        }
        if let Some((_, words)) = self.threshold_shown() {
            line(words.clone(), Sample::Dashes);
        }
        let shown: Vec<f64> = self.chance.iter().map(|c| c.1).collect();
        match shown.as_slice() {
            [] => {}
            [first, rest @ ..] if rest.iter().all(|c| c == first) => {
                line(format!("chance {}", self.y.label(*first)), Sample::Dots);
            }
            _ => line("chance".to_owned(), Sample::Dots),
        }
        keys
    }

    fn trained_shown(&self) -> Option<f64> {
        self.trained.filter(|&t| self.x.scale.holds(t))
    }

    fn threshold_shown(&self) -> Option<&(f64, String)> {
        let threshold = self.threshold.as_ref();
        threshold.filter(|(value, _)| self.y.scale.holds(*value))
    }

    /// From edge to edge, through the places where it is known.
    fn draw_chance(&self, canvas: &mut Canvas, frame: Frame) {
        let Some((first, last)) = self.chance.first().zip(self.chance.last()) else {
            return;
        };
        let at = |(x, y): (f64, f64)| (frame.x(self.x.scale, x), frame.y(self.y.scale, y));
        let mut line = vec![(frame.left, at(*first).1)];
        line.extend(self.chance.iter().copied().map(at));
        line.push((frame.right(), at(*last).1));
        for pair in line.windows(2) {
            dots(canvas, pair[0], pair[1]);
        }
    }

    fn shift(&self, order: usize) -> f64 {
        (order as f64 - (self.series.len() as f64 - 1.0) / 2.0) * self.dodge
    }

    /// The ground up to the trained length: all points of that length lie on it, those moved sideways too.
    fn ground(&self, canvas: &mut Canvas, frame: Frame, top: f64) {
        let Some(trained) = self.trained_shown() else {
            return;
        };
        let cluster = match self.crowded() {
            true => 0.0,
            false => self.shift(self.series.len().saturating_sub(1)),
        };
        let aside = if cluster > 0.0 { cluster + 6.0 } else { 0.0 };
        let x = (frame.x(self.x.scale, trained) + aside).min(frame.right());
        within(
            canvas,
            (frame.left, top),
            (x - frame.left, frame.bottom() - top),
        );
    }

    fn grid(&self, canvas: &mut Canvas, frame: Frame, y_ticks: &[f64]) {
        let font = Type::new(TICK, Ink::Muted);
        for &tick in y_ticks {
            let y = frame.y(self.y.scale, tick);
            canvas.line((frame.left, y), (frame.right(), y), Ink::Grid, 0.8);
            let at = (frame.left - 7.0, y + TICK * 0.36);
            canvas.text(at, &self.y.label(tick), font, Anchor::End);
        }
        let bottom = frame.bottom();
        let (from, to) = ((frame.left, bottom), (frame.right(), bottom));
        canvas.line(from, to, Ink::Axis, 1.0);
        let x_ticks = ticks_or(&self.x, 7);
        let shown = spaced(&x_ticks, |t| frame.x(self.x.scale, t), self.trained);
        for &tick in &x_ticks {
            let x = frame.x(self.x.scale, tick);
            canvas.line((x, bottom), (x, bottom + 4.0), Ink::Axis, 1.0);
            if shown.contains(&tick) {
                let font = match Some(tick) == self.trained {
                    true => Type::bold(TICK, Ink::Text),
                    false => font,
                };
                canvas.text(
                    (x, bottom + 16.5),
                    &scale::label(tick),
                    font,
                    Anchor::Middle,
                );
            }
        }
    }

    fn lane_frame(&self, canvas: &mut Canvas, frame: Frame, top: f64) {
        canvas.rect((frame.left, top), (frame.width, LANE), Ink::Tint);
        let at = (frame.left - 5.0, top + LANE / 2.0 + 3.8);
        let font = Type::new(SMALL, Ink::Muted);
        canvas.text(at, &self.undefined, font, Anchor::End);
    }
}

impl Series {
    /// Whether a value of it is undefined.
    fn breaks(&self) -> bool {
        self.points.iter().any(|p| !p.y.is_finite())
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
