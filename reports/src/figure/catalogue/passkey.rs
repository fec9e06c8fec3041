//! Passkey retrieval: by length, by length and depth, by distance.

use super::perplexity::absent_rows;
use super::{
    Context, Data, Figure, absent, distinct, dodge, drawn, estimate_cells, number, with_interval,
};
use crate::figure::chart::{Axis, Chart, Intervals, Point, Series};
use crate::figure::heat::{self, FEW_TRIALS, HeatMap};
use crate::figure::multiples::{self, Multiples};
use crate::figure::scale::{self, Scale};
use crate::summary::Curve;

const SHARE: Scale = Scale::Linear {
    low: -0.02,
    high: 1.02,
};

fn lengths(context: Context<'_>) -> Vec<usize> {
    let curves = &context.study.curves;
    let measured = curves.iter().flat_map(|c| &c.passkey).map(|p| p.length);
    let refused = curves
        .iter()
        .flat_map(|c| &c.refused)
        .filter(|r| r.measure == "passkey");
    distinct(measured.chain(refused.map(|r| r.length)))
}

fn measured(context: Context<'_>) -> bool {
    context.study.curves.iter().any(|c| !c.passkey.is_empty())
}

/// Accuracy over all depths against length.
pub(super) fn by_length(context: Context<'_>) -> Option<Figure> {
    if !measured(context) {
        return None;
    }
    let lengths = lengths(context);
    let curves = context.study.curves.iter();
    let mut series: Vec<Series> = curves
        .filter(|c| !c.passkey.is_empty() || !c.refused.is_empty())
        .map(line)
        .collect();
    series.extend(absent(context, &lengths));
    let threshold = context.run.passkey_threshold;
    let chart = Chart {
        label: format!(
            "Passkey accuracy of {} curves at lengths {} to {} tokens; the numbers are in the table below.",
            series.len(),
            lengths[0],
            lengths[lengths.len() - 1]
        ),
        x: Axis {
            title: "length of the prompt (tokens)".into(),
            scale: Scale::log(lengths.iter().map(|&l| l as f64), 0.08),
            ticks: lengths.iter().map(|&l| l as f64).collect(),
        },
        y: Axis {
            title: "exact match (share of trials)".into(),
            scale: SHARE,
            ticks: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
        },
        trained: context.trained().map(|l| l as f64),
        threshold: Some((threshold, format!("threshold {}", scale::label(threshold)))),
        intervals: Intervals::Bars,
        dodge: dodge(series.len(), lengths.len()),
        series,
        marker_every: 1,
        undefined: "undefined".into(),
    };
    Some(Figure {
        slug: "passkey".into(),
        title: "Passkey retrieval against length".into(),
        caption: format!(
            "Share of trials in which every symbol of the key is retrieved, all depths together; curves are \
             moved sideways a little so that equal values stay visible. Bars: {}. Dashed lines: \
             trained length and the threshold for the effective length.",
            context.intervals_over("the trials")
        ),
        drawing: chart.draw(),
        data: length_table(context),
        wide: false,
    })
}

fn line(curve: &Curve) -> Series {
    let mut points: Vec<Point> = curve
        .passkey
        .iter()
        .map(|p| Point {
            x: p.length as f64,
            y: p.accuracy.value,
            interval: drawn(p.accuracy),
            tip: format!(
                "{}, {} tokens: {}, {} of {} trials",
                curve.label,
                p.length,
                with_interval(p.accuracy),
                p.hits,
                p.trials
            ),
        })
        .collect();
    for gone in curve.refused.iter().filter(|r| r.measure == "passkey") {
        points.push(Point {
            x: gone.length as f64,
            y: f64::NAN,
            interval: None,
            tip: format!("{}, {} tokens: {}", curve.label, gone.length, gone.reason),
        });
    }
    points.sort_by(|a, b| a.x.total_cmp(&b.x));
    Series {
        name: curve.label.clone(),
        style: curve.index,
        points,
        faint: Vec::new(),
    }
}

fn length_table(context: Context<'_>) -> Data {
    let mut data = Data::new(&[
        "scheme",
        "#length",
        "#× trained",
        "#accuracy",
        "#low",
        "#high",
        "#hits",
        "#trials",
        "#log-probability (nats)",
        "#seeds",
        "note",
    ]);
    for curve in &context.study.curves {
        for p in &curve.passkey {
            let mut row = vec![
                curve.label.clone(),
                p.length.to_string(),
                number(p.multiple, 2),
            ];
            row.extend(estimate_cells(p.accuracy, 3));
            row.extend([
                p.hits.to_string(),
                p.trials.to_string(),
                number(p.log_prob, 2),
            ]);
            row.extend([p.seeds.to_string(), String::new()]);
            data.row(row);
        }
        for gone in curve.refused.iter().filter(|r| r.measure == "passkey") {
            let mut row = vec![curve.label.clone(), gone.length.to_string()];
            row.resize(10, "–".to_owned());
            row.push(format!("not defined: {}", gone.reason));
            data.row(row);
        }
    }
    absent_rows(context, &mut data);
    data
}

/// Length × depth, one panel per scheme.
pub(super) fn map(context: Context<'_>) -> Option<Figure> {
    let cells = || context.study.curves.iter().flat_map(|c| &c.passkey_grid);
    let mut depths: Vec<f64> = cells().map(|c| c.depth).collect();
    depths.sort_by(f64::total_cmp);
    depths.dedup();
    let lengths = distinct(cells().map(|c| c.length).chain(lengths(context)));
    if depths.is_empty() {
        return None;
    }
    let shown = context
        .study
        .curves
        .iter()
        .filter(|c| !c.passkey_grid.is_empty());
    let map = HeatMap {
        label: format!(
            "Passkey accuracy by length and depth, one map for each of {} curves; the numbers are in the table below.",
            shown.clone().count()
        ),
        panels: shown.map(|c| panel(c, &lengths, &depths)).collect(),
        trained: context.trained().unwrap_or(0),
        lengths,
        depths,
    };
    let few = cells().any(|c| c.trials < FEW_TRIALS);
    let mut notes = String::new();
    if few {
        let least =
            format!(" Hatched: fewer than {FEW_TRIALS} trials, too few to trust a single cell.");
        notes.push_str(&least);
    }
    if map
        .panels
        .iter()
        .any(|p| p.cells.iter().flatten().any(Option::is_none))
    {
        notes.push_str(" Crosses: not measured, as the scheme cannot serve the length.");
    }
    Some(Figure {
        slug: "passkey-map".into(),
        title: "Passkey retrieval by length and depth".into(),
        caption: format!(
            "Share of exact matches; depth 0 puts the key at the start of the prompt, 1 next to the question. Columns \
             right of the heavy line are longer than the trained length.{notes}"
        ),
        drawing: map.draw(),
        data: map_table(context),
        wide: false,
    })
}

fn panel(curve: &Curve, lengths: &[usize], depths: &[f64]) -> heat::Panel {
    let cell = |length: usize, depth: f64| {
        let found = curve
            .passkey_grid
            .iter()
            .find(|c| c.length == length && c.depth == depth)?;
        Some(heat::Cell {
            value: found.accuracy.value,
            trials: found.trials,
            tip: format!(
                "{}, {length} tokens, depth {depth:.2}: {}, {} of {} trials",
                curve.label,
                with_interval(found.accuracy),
                found.hits,
                found.trials
            ),
        })
    };
    heat::Panel {
        title: curve.label.clone(),
        style: curve.index,
        cells: depths
            .iter()
            .map(|&d| lengths.iter().map(|&l| cell(l, d)).collect())
            .collect(),
    }
}

fn map_table(context: Context<'_>) -> Data {
    let mut data = Data::new(&[
        "scheme",
        "#length",
        "#depth",
        "#distance",
        "#accuracy",
        "#low",
        "#high",
        "#hits",
        "#trials",
        "#right symbols",
        "#log-probability (nats)",
    ]);
    for curve in &context.study.curves {
        for c in &curve.passkey_grid {
            let mut row = vec![
                curve.label.clone(),
                c.length.to_string(),
                number(c.depth, 2),
                c.distance.to_string(),
            ];
            row.extend(estimate_cells(c.accuracy, 3));
            row.extend([c.hits.to_string(), c.trials.to_string()]);
            row.extend([number(c.symbols, 2), number(c.log_prob, 2)]);
            data.row(row);
        }
    }
    data
}

/// Accuracy against the distance of the key, a line for each length: it tells a scheme that is limited by distance
/// (the lines lie on each other) from one that breaks with length (lines past the trained length lie low everywhere).
pub(super) fn by_distance(context: Context<'_>) -> Option<Figure> {
    let cells = || context.study.curves.iter().flat_map(|c| &c.passkey_grid);
    let lengths = distinct(cells().map(|c| c.length));
    let distances = distinct(cells().map(|c| c.distance));
    if lengths.len() < 2 || distances.len() < 3 {
        return None;
    }
    let shown: Vec<&Curve> = context
        .study
        .curves
        .iter()
        .filter(|c| !c.passkey_grid.is_empty())
        .collect();
    let plot = Multiples {
        label: format!(
            "Passkey accuracy against the distance of the key for {} curves, a line for each of {} lengths.",
            shown.len(),
            lengths.len()
        ),
        x_title: "distance (tokens)".into(),
        y_title: "exact match".into(),
        x: Scale::log(distances.iter().map(|&d| d as f64), 0.05),
        x_ticks: distance_ticks(&distances),
        y: Scale::Linear {
            low: -0.04,
            high: 1.04,
        },
        names: lengths.iter().map(|l| format!("{l} tokens")).collect(),
        panels: shown.iter().map(|c| distance_panel(c, &lengths)).collect(),
    };
    Some(Figure {
        slug: "passkey-distance".into(),
        title: "Retrieval against the distance of the key".into(),
        caption: "Share of exact matches against the distance from the key to the end of the prompt (logarithmic), a line \
                  for each length of the prompt. Where the lines lie on each other, distance is the limit; where those past \
                  the trained length lie low at every distance, length itself is."
            .into(),
        drawing: plot.draw(),
        data: distance_table(context),
        wide: false,
    })
}

fn distance_ticks(distances: &[usize]) -> Vec<f64> {
    let longest = distances.last().copied().unwrap_or(1) as f64;
    std::iter::successors(Some(1.0), |t| Some(t * 4.0))
        .take_while(|&t| t <= longest * 1.1)
        .collect()
}

fn distance_panel(curve: &Curve, lengths: &[usize]) -> multiples::Panel {
    let line = |length: usize| {
        let mut points: Vec<Point> = curve
            .passkey_grid
            .iter()
            .filter(|c| c.length == length)
            .map(|c| Point {
                x: c.distance as f64,
                y: c.accuracy.value,
                interval: None,
                tip: format!(
                    "{}, {length} tokens, distance {}: {}",
                    curve.label,
                    c.distance,
                    with_interval(c.accuracy)
                ),
            })
            .collect();
        points.sort_by(|a, b| a.x.total_cmp(&b.x));
        points
    };
    multiples::Panel {
        title: curve.label.clone(),
        style: curve.index,
        lines: lengths.iter().map(|&l| line(l)).collect(),
    }
}

/// Every point, and beside it the reach of its line at each threshold.
fn distance_table(context: Context<'_>) -> Data {
    let curves = &context.study.curves;
    let mut thresholds: Vec<f64> = curves
        .iter()
        .flat_map(|c| &c.k_max)
        .map(|k| k.threshold)
        .collect();
    thresholds.sort_by(f64::total_cmp);
    thresholds.dedup();
    let heads: Vec<String> = thresholds
        .iter()
        .map(|t| format!("#reach k at {}", scale::label(*t)))
        .collect();
    let mut columns = vec![
        "scheme",
        "#length",
        "#distance",
        "#accuracy",
        "#low",
        "#high",
        "#trials",
    ];
    columns.extend(heads.iter().map(String::as_str));
    let mut data = Data::new(&columns);
    for curve in curves {
        let mut cells: Vec<_> = curve.passkey_grid.iter().collect();
        cells.sort_by_key(|c| (c.length, c.distance));
        for c in cells {
            let mut row = vec![
                curve.label.clone(),
                c.length.to_string(),
                c.distance.to_string(),
            ];
            row.extend(estimate_cells(c.accuracy, 3));
            row.push(c.trials.to_string());
            row.extend(
                thresholds
                    .iter()
                    .map(|&threshold| reach(curve, c.length, threshold)),
            );
            data.row(row);
        }
    }
    data
}

/// The reach of a curve at a length; with a sign where the longest tested distance still succeeds.
fn reach(curve: &Curve, length: usize, threshold: f64) -> String {
    let found = curve
        .k_max
        .iter()
        .find(|k| k.length == length && k.threshold == threshold);
    match found {
        None => "–".to_owned(),
        Some(k) if k.at_end => format!("≥ {}", k.k),
        Some(k) => k.k.to_string(),
    }
}
