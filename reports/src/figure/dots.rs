//! Dots with intervals, one row per scheme: effective lengths, forest plots of differences, cost.

use super::canvas::{Anchor, Canvas, Part, Type};
use super::chart::{CROWD, LABEL, SMALL, WIDE, WIDTH};
use super::drawing::Drawing;
use super::marks::dashes;
use super::palette::{Ink, Shape};
use super::scale::{self, Scale};
use super::text;
use std::ops::Range;

const GUTTER: f64 = 18.0;

/// One estimate.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Dot {
    /// `None` where nothing can be stated; `note` says why.
    pub(crate) value: Option<f64>,
    pub(crate) interval: Option<(f64, f64)>,
    /// The value is a lower bound: an arrow to the right.
    pub(crate) more: bool,
    /// The value is an upper bound: an arrow to the left.
    pub(crate) less: bool,
    /// Drawn hollow: not distinguishable from the reference.
    pub(crate) hollow: bool,
    /// A short upright stroke in place of a dot: what the others are compared with.
    pub(crate) bare: bool,
    /// What it is drawn with, if not the colour of its curve.
    pub(crate) ink: Option<Ink>,
    /// Words at the right end of the row, or in place of the missing dot.
    pub(crate) note: String,
    pub(crate) tip: String,
}

/// One column of dots; `dots[row]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Panel {
    pub(crate) title: String,
    /// By which the page's script finds it, to draw other dots.
    pub(crate) key: Option<usize>,
    pub(crate) scale: Scale,
    /// Tick places and words; empty means round values.
    pub(crate) ticks: Vec<(f64, String)>,
    pub(crate) axis: String,
    /// A vertical line that everything is compared with.
    pub(crate) reference: Option<f64>,
    pub(crate) dots: Vec<Option<Dot>>,
}

/// All panels share the rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dots {
    pub(crate) label: String,
    /// Name and index of the curve.
    pub(crate) rows: Vec<(String, usize)>,
    pub(crate) panels: Vec<Panel>,
    /// Most panels beside each other.
    pub(crate) per_row: usize,
    /// Room for the notes at the right of each panel.
    pub(crate) notes: f64,
}

/// Where rows and panels lie.
#[derive(Clone, Copy)]
struct Layout {
    /// Many rows stand in two blocks over the width of the page, closer together, without markers.
    crowd: bool,
    blocks: usize,
    row: f64,
    /// Room for names.
    left: f64,
    columns: usize,
    /// Width of a panel.
    panel: f64,
    /// Room above the first row.
    head: f64,
}

impl Dots {
    /// The rows in the order of the values in a panel, least first unless `down`; rows without a value last.
    pub(crate) fn sorted(mut self, panel: usize, down: bool) -> Dots {
        let Some(by) = self.panels.get(panel) else {
            return self;
        };
        let value = |i: usize| by.dots[i].as_ref().and_then(|d| d.value);
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by(|&a, &b| match (value(a), value(b)) {
            (Some(a), Some(b)) if down => b.total_cmp(&a),
            (Some(a), Some(b)) => a.total_cmp(&b),
            (a, b) => a.is_none().cmp(&b.is_none()),
        });
        self.rows = order.iter().map(|&i| self.rows[i].clone()).collect();
        for panel in &mut self.panels {
            panel.dots = order.iter().map(|&i| panel.dots[i].clone()).collect();
        }
        self
    }

    /// Whether there are so many rows that they want the width of the page.
    pub(crate) fn crowded(&self) -> bool {
        self.rows.len() > CROWD
    }

    fn layout(&self) -> Layout {
        let crowd = self.crowded();
        let blocks = if crowd { 2 } else { 1 };
        let names = self.rows.iter().map(|(n, _)| text::width(n, LABEL, false));
        let widest = names.fold(0.0, f64::max);
        let left = match crowd {
            true => 16.0 + widest.min(120.0),
            false => 29.0 + widest.min(130.0),
        };
        let columns = self.per_row.clamp(1, self.panels.len().max(1));
        let width = match crowd {
            true => (WIDE - 2.0 * GUTTER) / 2.0,
            false => WIDTH,
        };
        let titled = self.panels.iter().any(|p| !p.title.is_empty());
        Layout {
            crowd,
            blocks,
            row: if crowd { 15.0 } else { 18.0 },
            left,
            columns,
            panel: (width - left - 12.0 + GUTTER) / columns as f64 - GUTTER - self.notes,
            head: if titled { 22.0 } else { 6.0 },
        }
    }

    /// Draws all panels.
    pub(crate) fn draw(&self) -> Drawing {
        let mut canvas = Canvas::default();
        let layout = self.layout();
        let most = self.rows.len().div_ceil(layout.blocks).max(1);
        let height = layout.head + layout.row * most as f64 + 46.0;
        let lines = self.panels.len().div_ceil(layout.columns).max(1);
        for block in 0..layout.blocks {
            let rows =
                (block * most).min(self.rows.len())..((block + 1) * most).min(self.rows.len());
            let x = block as f64 * (WIDE + GUTTER) / 2.0;
            for line in 0..lines {
                let top = line as f64 * height + layout.head;
                self.names(&mut canvas, rows.clone(), (x, top), layout);
            }
            for (i, panel) in self.panels.iter().enumerate() {
                let step = layout.panel + GUTTER + self.notes;
                let left = x + layout.left + (i % layout.columns) as f64 * step;
                let top = (i / layout.columns) as f64 * height + layout.head;
                self.panel(&mut canvas, panel, rows.clone(), (left, top), layout);
            }
        }
        let width = if layout.crowd { WIDE } else { WIDTH };
        canvas.finish(width, height * lines as f64 + 2.0, &self.label)
    }

    fn names(&self, canvas: &mut Canvas, rows: Range<usize>, (x, top): (f64, f64), layout: Layout) {
        for (line, (name, curve)) in self.rows[rows].iter().enumerate() {
            let y = top + layout.row * (line as f64 + 0.5);
            canvas.part(Part::of("name", *curve));
            let start = if layout.crowd { 6.0 } else { 19.0 };
            if !layout.crowd {
                canvas.marker((x + 9.0, y), *curve, 3.4);
            }
            let name = text::fit(name, LABEL, layout.left - start - 7.0);
            let font = Type::new(LABEL, Ink::Text);
            canvas.text((x + start, y + 4.0), &name, font, Anchor::Start);
        }
        canvas.common();
    }

    fn panel(
        &self,
        canvas: &mut Canvas,
        panel: &Panel,
        rows: Range<usize>,
        (x, top): (f64, f64),
        layout: Layout,
    ) {
        let (width, row) = (layout.panel, layout.row);
        let bottom = top + row * rows.len() as f64;
        if !panel.title.is_empty() {
            let font = Type::bold(LABEL, Ink::Text);
            let place = (x + width / 2.0, top - 8.0);
            canvas.text(place, &panel.title, font, Anchor::Middle);
        }
        for line in (0..rows.len()).step_by(2) {
            canvas.rect((x, top + row * line as f64), (width, row), Ink::Tint);
        }
        let place = panel
            .key
            .map(|key| format!("{key} {x:.1} {top:.1} {width:.1} {bottom:.1}"));
        canvas.part(Part {
            kind: if place.is_some() { "axis" } else { "" },
            at: place,
            ..Part::default()
        });
        axis(canvas, panel, (x, bottom), width, top);
        canvas.common();
        let font = Type::new(SMALL, Ink::Text);
        let middle = (x + width / 2.0, bottom + 31.0);
        canvas.text(
            middle,
            &text::fit(&panel.axis, SMALL, width + GUTTER - 4.0),
            font,
            Anchor::Middle,
        );
        for (line, at) in rows.enumerate() {
            let Some(dot) = &panel.dots[at] else { continue };
            let y = top + row * (line as f64 + 0.5);
            let style = self.rows[at].1;
            canvas.part(Part {
                at: panel.key.map(|key| format!("{key} {y:.1}")),
                ..Part::of("dot", style)
            });
            let plain = if layout.crowd {
                Ink::Text
            } else {
                Ink::Curve(style)
            };
            let inks = (
                dot.ink.unwrap_or(plain),
                if line % 2 == 0 { Ink::Tint } else { Ink::Paper },
            );
            draw_dot(canvas, dot, inks, panel.scale, (x, y), (width, row));
            if self.notes > 0.0 && dot.value.is_some() {
                let words = text::fit(&dot.note, SMALL, self.notes + 4.0);
                let font = Type::new(SMALL, Ink::Muted);
                canvas.text((x + width + 6.0, y + 3.9), &words, font, Anchor::Start);
            }
            canvas.tip((x, y - row / 2.0), (width + self.notes, row), &dot.tip);
        }
        canvas.common();
    }
}

fn axis(canvas: &mut Canvas, panel: &Panel, (x, bottom): (f64, f64), width: f64, top: f64) {
    let at = |value: f64| x + panel.scale.at(value) * width;
    canvas.line((x, bottom), (x + width, bottom), Ink::Axis, 1.0);
    let ticks: Vec<(f64, String)> = if panel.ticks.is_empty() {
        let round = panel.scale.ticks((width / 38.0).max(3.0) as usize);
        round.into_iter().map(|t| (t, scale::label(t))).collect()
    } else {
        panel.ticks.clone()
    };
    let mut end = f64::NEG_INFINITY;
    for (value, words) in ticks.iter().filter(|(v, _)| panel.scale.holds(*v)) {
        let tick = at(*value);
        canvas.line((tick, top), (tick, bottom), Ink::Grid, 0.8);
        canvas.line((tick, bottom), (tick, bottom + 4.0), Ink::Axis, 1.0);
        let half = text::width(words, SMALL, false) / 2.0;
        if tick - half > end + 5.0 {
            let font = Type::new(SMALL, Ink::Muted);
            canvas.text((tick, bottom + 15.5), words, font, Anchor::Middle);
            end = tick + half;
        }
    }
    if let Some(value) = panel.reference.filter(|&v| panel.scale.holds(v)) {
        dashes(
            canvas,
            (at(value), top),
            (at(value), bottom),
            Ink::Mark,
            1.1,
        );
    }
}

fn draw_dot(
    canvas: &mut Canvas,
    dot: &Dot,
    (ink, ground): (Ink, Ink),
    scale: Scale,
    (x, y): (f64, f64),
    (width, row): (f64, f64),
) {
    let at = |value: f64| x + scale.at(value) * width;
    let Some(value) = dot.value else {
        let words = text::fit(&dot.note, SMALL, width - 8.0);
        // The words stand in the row alone, not on grid lines.
        let room = (text::width(&words, SMALL, false) + 4.0, row - 3.0);
        canvas.rect((x + 2.0, y - row / 2.0 + 1.5), room, ground);
        let font = Type::new(SMALL, Ink::Muted);
        canvas.text((x + 4.0, y + 3.9), &words, font, Anchor::Start);
        return;
    };
    if let Some((low, high)) = dot.interval {
        // An interval of no width is a dot.
        if at(high) - at(low) > 0.1 {
            canvas.line((at(low), y), (at(high), y), ink, 1.6);
        }
        for (end, cut) in [(low, low < scale.range().0), (high, high > scale.range().1)] {
            if cut {
                let direction = if end == low { -1.0 } else { 1.0 };
                arrow(canvas, (at(end), y), direction, ink);
            } else {
                canvas.line((at(end), y - 3.0), (at(end), y + 3.0), ink, 1.3);
            }
        }
    }
    if dot.more {
        canvas.line((at(value), y), (at(value) + 13.0, y), ink, 1.6);
        arrow(canvas, (at(value) + 15.0, y), 1.0, ink);
    }
    if dot.less {
        canvas.line((at(value), y), (at(value) - 13.0, y), ink, 1.6);
        arrow(canvas, (at(value) - 15.0, y), -1.0, ink);
    }
    if dot.bare {
        canvas.line((at(value), y - 6.0), (at(value), y + 6.0), ink, 3.0);
    } else if dot.hollow {
        canvas.shape((at(value), y), Shape::Circle, true, ink, 3.8);
    } else {
        canvas.shape((at(value), y), Shape::Circle, false, ink, 4.0);
    }
}

fn arrow(canvas: &mut Canvas, (x, y): (f64, f64), direction: f64, ink: Ink) {
    let back = x - 5.0 * direction;
    canvas.area(vec![(x, y), (back, y - 3.2), (back, y + 3.2)], ink, 1.0);
}

#[cfg(test)]
mod tests {
    use super::super::palette::Theme;
    use super::*;

    #[test]
    fn missing_values_say_why() {
        let panel = Panel {
            title: "512".into(),
            key: None,
            scale: Scale::linear([-1.0, 1.0], 0.1),
            ticks: vec![],
            axis: "difference".into(),
            reference: Some(0.0),
            dots: vec![
                Some(Dot {
                    note: "diverged".into(),
                    ..Dot::default()
                }),
                Some(Dot {
                    value: Some(0.5),
                    interval: Some((0.2, 3.0)),
                    note: "0.5".into(),
                    ..Dot::default()
                }),
                None,
            ],
        };
        let rows = ["a", "b", "c"]
            .iter()
            .enumerate()
            .map(|(i, n)| ((*n).to_owned(), i))
            .collect();
        let dots = Dots {
            label: "test".into(),
            rows,
            panels: vec![panel],
            per_row: 2,
            notes: 40.0,
        };
        let svg = dots.draw().file(Theme::Light);
        let names = |sorted: Dots| sorted.rows.into_iter().map(|r| r.0).collect::<Vec<_>>();
        assert_eq!(names(dots.clone().sorted(0, false)), ["b", "a", "c"]);
        assert!(
            svg.contains(">diverged<") && svg.contains(">0.5<") && !svg.contains("NaN"),
            "{svg}"
        );
    }
}
