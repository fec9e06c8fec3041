//! A measure by length and a factor, and by the distance to what is asked for.

use super::curves::{column, lengths};
use super::{
    Context, Data, Figure, distinct, estimate_cells, hits, number, plain, short, with_interval,
};
use crate::figure::chart::Point;
use crate::figure::heat::{self, FEW_TRIALS, HeatMap};
use crate::figure::multiples::{self, Multiples};
use crate::figure::scale::{self, Scale};
use crate::record::{Better, FactorRecord, Samples, Scale as Shown};
use crate::summary::{Curve, Estimate, GridCell, MeasureInfo, Measured};

/// Length × factor, one panel per scheme: a figure for each factor.
pub(super) fn maps(context: Context<'_>, info: &MeasureInfo) -> Vec<Figure> {
    (0..info.values.len())
        .filter_map(|factor| map(context, info, factor))
        .collect()
}

pub(super) fn measured<'a>(
    context: Context<'a>,
    info: &MeasureInfo,
) -> Vec<(&'a Curve, &'a Measured)> {
    let of = |c: &'a Curve| Some((c, c.measured(&info.key)?));
    context.study.curves.iter().filter_map(of).collect()
}

/// How the cells of a factor are coloured, written and told. Shares have the whole scale; else it runs from the least to
/// the most, of exponentials in their logarithm.
pub(super) struct Shade<'a> {
    info: &'a MeasureInfo,
    factor: &'a FactorRecord,
    low: f64,
    high: f64,
}

impl<'a> Shade<'a> {
    /// `None` where nothing was measured.
    pub(super) fn new(
        info: &'a MeasureInfo,
        factor: usize,
        shown: &[(&Curve, &Measured)],
    ) -> Option<Shade<'a>> {
        let cells = shown.iter().flat_map(|(_, m)| &m.grids[factor]);
        let finite: Vec<f64> = cells
            .map(|c| c.mean.value)
            .filter(|v| v.is_finite())
            .collect();
        let (low, high) = match info.record.scale {
            Shown::Share => (0.0, 1.0),
            Shown::Exp | Shown::Plain => (
                finite.iter().copied().fold(f64::INFINITY, f64::min),
                finite.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            ),
        };
        let factor = &info.record.factors[factor];
        (!finite.is_empty()).then_some(Shade {
            info,
            factor,
            low,
            high,
        })
    }

    fn words(&self, value: f64) -> String {
        let interval = None;
        let shown = self.info.shown(Estimate { value, interval }).value;
        match self.info.record.scale {
            Shown::Share => format!("{shown:.2}"),
            Shown::Exp | Shown::Plain => short(shown),
        }
    }

    /// What the ends of the scale stand for.
    pub(super) fn ends(&self) -> (String, String) {
        let quantity = &self.info.record.quantity;
        match self.info.record.scale {
            Shown::Share => ("0".to_owned(), format!("1  {quantity}")),
            Shown::Exp | Shown::Plain => (
                self.words(self.low),
                format!("{}  {quantity}", self.words(self.high)),
            ),
        }
    }

    pub(super) fn cell(&self, curve: &Curve, found: &GridCell) -> heat::Cell {
        heat::Cell {
            shade: match self.high > self.low {
                true => (found.mean.value - self.low) / (self.high - self.low),
                false => 1.0,
            },
            words: self.words(found.mean.value),
            few: few(self.info, found),
            tip: format!(
                "{}, {} tokens, {} {}: {}{}",
                curve.label,
                found.length,
                self.factor.name,
                scale::label(found.at),
                with_interval(self.info.shown(found.mean)),
                hits(self.info, found.sum, found.weight)
            ),
        }
    }
}

fn map(context: Context<'_>, info: &MeasureInfo, factor: usize) -> Option<Figure> {
    let (values, record) = (&info.values[factor], &info.record.factors[factor]);
    let shown = measured(context, info);
    let shade = Shade::new(info, factor, &shown)?;
    let lengths = lengths(context, info);
    let one = |(curve, m): &(&Curve, &Measured)| {
        let cell = |length: usize, at: f64| {
            let mut cells = m.grids[factor].iter();
            let found = cells.find(|c| c.length == length && c.at == at)?;
            Some(shade.cell(curve, found))
        };
        heat::Panel {
            title: curve.label.clone(),
            style: curve.index,
            cells: values
                .iter()
                .map(|&v| lengths.iter().map(|&l| cell(l, v)).collect())
                .collect(),
        }
    };
    let map = HeatMap {
        label: format!(
            "{} by length and {}, one map for each of {} curves; the numbers are in the table below.",
            info.record.title,
            record.title,
            shown.len()
        ),
        panels: shown.iter().map(one).collect(),
        trained: context.study.trained().unwrap_or(0),
        lengths,
        rows: values.iter().map(|&v| scale::label(v)).collect(),
        y_title: format!("{}{}", record.title, ends(record)),
        ends: shade.ends(),
    };
    let cells = || map.panels.iter().flat_map(|p| p.cells.iter().flatten());
    let mut notes = String::new();
    if cells().flatten().any(|c| c.few) {
        notes.push_str(&format!(
            " Hatched: fewer than {FEW_TRIALS} trials, too few to trust a single cell."
        ));
    }
    if cells().any(Option::is_none) {
        notes.push_str(" Crosses: not measured, as the scheme cannot serve the length.");
    }
    Some(Figure {
        slug: map_slug(info, factor),
        title: format!("{} by length and {}", info.record.title, record.name),
        caption: format!(
            "Shown: {}, by {}{}. Columns right of the heavy line are longer than the trained length.{notes}",
            info.record.quantity,
            record.title,
            ends(record)
        ),
        drawing: map.draw(),
        data: map_table(info, factor, &shown),
    })
}

/// What the ends of a factor of shares are.
pub(super) fn ends(factor: &FactorRecord) -> &'static str {
    if factor.share {
        " (0 is the start, 1 the end)"
    } else {
        ""
    }
}

pub(super) fn map_slug(info: &MeasureInfo, factor: usize) -> String {
    match info.values.len() {
        0 | 1 => format!("{}-map", info.slug),
        _ => {
            let name = crate::page::slug(&info.record.factors[factor].name, 16);
            format!("{}-map-{name}", info.slug)
        }
    }
}

fn few(info: &MeasureInfo, cell: &GridCell) -> bool {
    info.record.samples == Samples::Trials && cell.units < FEW_TRIALS
}

pub(super) fn map_table(info: &MeasureInfo, factor: usize, shown: &[(&Curve, &Measured)]) -> Data {
    let cells = || shown.iter().flat_map(|(_, m)| &m.grids[factor]);
    let extra: Vec<String> = cells()
        .next()
        .into_iter()
        .flat_map(|c| c.columns.iter().map(|c| c.0.clone()))
        .collect();
    let mut heads = vec![
        "scheme".to_owned(),
        "#length".into(),
        format!("#{}", info.record.factors[factor].name),
    ];
    heads.extend([
        "#distance".into(),
        format!("#{}", info.record.quantity),
        "#low".into(),
        "#high".into(),
    ]);
    heads.extend([
        "#sum".into(),
        "#of".into(),
        format!("#{}", info.record.units),
    ]);
    heads.extend(extra.iter().map(|name| format!("#mean {name}")));
    let mut data = Data::new(&heads.iter().map(String::as_str).collect::<Vec<_>>());
    for (curve, m) in shown {
        for c in &m.grids[factor] {
            let distance = c.distance.map_or_else(String::new, plain);
            let mut row = vec![
                curve.label.clone(),
                c.length.to_string(),
                scale::label(c.at),
                distance,
            ];
            row.extend(estimate_cells(info.shown(c.mean), 3));
            row.extend([plain(c.sum), plain(c.weight), c.units.to_string()]);
            row.extend(extra.iter().map(|name| column(&c.columns, name)));
            data.row(row);
        }
    }
    data
}

/// A share against the distance, a line for each length: it tells a scheme that is limited by distance (the lines lie on
/// each other) from one that breaks with length (lines past the trained length lie low everywhere).
pub(super) fn by_distance(context: Context<'_>, info: &MeasureInfo) -> Option<Figure> {
    let shown: Vec<_> = measured(context, info)
        .into_iter()
        .filter(|(_, m)| !m.distances.is_empty())
        .collect();
    let all = || shown.iter().flat_map(|(_, m)| &m.distances);
    let lengths = distinct(all().map(|d| d.length));
    let distances = distinct(all().map(|d| d.distance as usize));
    if lengths.len() < 2 || distances.len() < 3 {
        return None;
    }
    let panel = |(curve, m): &(&Curve, &Measured)| {
        let line = |length: &usize| {
            let here = m.distances.iter().filter(|d| d.length == *length);
            let point = |d: &crate::summary::DistancePoint| {
                let shown = info.shown(d.mean);
                Point {
                    x: d.distance,
                    y: shown.value,
                    interval: None,
                    tip: format!(
                        "{}, {length} tokens, distance {}: {}",
                        curve.label,
                        plain(d.distance),
                        with_interval(shown)
                    ),
                }
            };
            here.map(point).collect()
        };
        multiples::Panel {
            title: curve.label.clone(),
            style: Some(curve.index),
            lines: lengths.iter().map(line).collect(),
        }
    };
    let longest = distances.last().copied().unwrap_or(1) as f64;
    let drawn = telling(context, info, &shown);
    let panels: Vec<multiples::Panel> = drawn.iter().map(panel).collect();
    let some = match drawn.len() < shown.len() {
        true => {
            " Of so many curves the best, the worst and the reference are drawn; the table has all."
        }
        false => "",
    };
    let heights = panels
        .iter()
        .flat_map(|p| p.lines.iter().flatten())
        .map(|p| p.y);
    let plot = Multiples {
        label: format!(
            "{} against distance for {} curves, a line for each of {} lengths.",
            info.record.title,
            shown.len(),
            lengths.len()
        ),
        x_title: "distance (tokens)".into(),
        y_title: info.record.quantity.clone(),
        x: Scale::log(distances.iter().map(|&d| d as f64), 0.05),
        x_ticks: std::iter::successors(Some(1.0), |t| Some(t * 4.0))
            .take_while(|&t| t <= longest * 1.1)
            .collect(),
        y: match info.record.scale {
            Shown::Share => Scale::Linear {
                low: -0.04,
                high: 1.04,
            },
            Shown::Exp | Shown::Plain => super::value_scale(info, heights),
        },
        names: lengths.iter().map(|l| format!("{l} tokens")).collect(),
        panels,
    };
    Some(Figure {
        slug: format!("{}-distance", info.slug),
        title: format!("{} against distance", info.record.title),
        caption: format!(
            "Shown: {} against the distance from what is asked for to the end of the prompt (logarithmic), a line for each \
             length of the prompt. Where the lines lie on each other, distance is the limit; where those past the trained \
             length lie low at every distance, length itself is.{some}",
            info.record.quantity
        ),
        drawing: plot.draw(),
        data: distance_table(info, &shown),
    })
}

/// Of many curves the best seven, the worst two and the reference, by the mean at their longest length; else all.
fn telling<'a>(
    context: Context<'_>,
    info: &MeasureInfo,
    shown: &[(&'a Curve, &'a Measured)],
) -> Vec<(&'a Curve, &'a Measured)> {
    if !context.crowd() {
        return shown.to_vec();
    }
    let last = |m: &Measured| m.points.last().map(|p| (p.length, p.mean.value));
    let mut order: Vec<usize> = (0..shown.len()).collect();
    let key = |i: usize| {
        let (length, mean) = last(shown[i].1).unwrap_or((0, f64::NAN));
        let sign = if info.record.better == Better::Higher {
            -1.0
        } else {
            1.0
        };
        (std::cmp::Reverse(length), sign * mean)
    };
    order.sort_by(|&a, &b| {
        let (a, b) = (key(a), key(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    let reference = context.reference().map(|r| r.index);
    let keep = |(rank, &i): (usize, &usize)| {
        let telling = rank < 7 || rank + 2 >= order.len() || Some(shown[i].0.index) == reference;
        telling.then_some(shown[i])
    };
    order.iter().enumerate().filter_map(keep).collect()
}

/// Every point, and beside it the reach of its line at each threshold.
fn distance_table(info: &MeasureInfo, shown: &[(&Curve, &Measured)]) -> Data {
    let mut thresholds: Vec<f64> = shown
        .iter()
        .flat_map(|(_, m)| &m.reaches)
        .map(|k| k.threshold)
        .collect();
    thresholds.sort_by(f64::total_cmp);
    thresholds.dedup();
    let mut heads = vec!["scheme".to_owned(), "#length".into(), "#distance".into()];
    heads.extend([
        format!("#{}", info.record.quantity),
        "#low".into(),
        "#high".into(),
        format!("#{}", info.record.units),
    ]);
    heads.extend(
        thresholds
            .iter()
            .map(|t| format!("#reach k at {}", scale::label(*t))),
    );
    let mut data = Data::new(&heads.iter().map(String::as_str).collect::<Vec<_>>());
    for (curve, m) in shown {
        for d in &m.distances {
            let mut row = vec![curve.label.clone(), d.length.to_string(), plain(d.distance)];
            row.extend(estimate_cells(info.shown(d.mean), 3));
            row.push(d.units.to_string());
            row.extend(thresholds.iter().map(|&threshold| {
                let found = m
                    .reaches
                    .iter()
                    .find(|k| k.length == d.length && k.threshold == threshold);
                match found {
                    None => "–".to_owned(),
                    // A sign where the longest tested distance still succeeds.
                    Some(k) if k.at_end => format!("≥ {}", number(k.k, 0)),
                    Some(k) => number(k.k, 0),
                }
            }));
            data.row(row);
        }
    }
    data
}
