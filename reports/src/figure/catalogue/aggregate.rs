//! What several tasks show together, and what the place of what is asked for does.

use super::{Context, Figure, drawn, many, with_interval};
use crate::figure::chart::{Axis, Chart, Intervals, Point, Series};
use crate::figure::dots::{Dot, Dots, Panel};
use crate::figure::scale::Scale;
use crate::record::Better;
use crate::summary::{Aggregate, DepthEffect, Estimate, Rank, Score, Summary};
use crate::table::aggregate as tables;

/// Figures of all studies of a run together.
pub(crate) fn across(summary: &Summary) -> Vec<Figure> {
    summary
        .aggregate
        .iter()
        .flat_map(|a| figures(a, "all tasks"))
        .chain(super::pareto::figure(summary))
        .collect()
}

/// Average scores by length, and ranks.
pub(super) fn figures(found: &Aggregate, name: &str) -> Vec<Figure> {
    let titles: Vec<&str> = found.tasks.iter().map(|t| t.2.as_str()).collect();
    let tasks = format!("{} tasks ({})", titles.len(), titles.join(", "));
    average(found, name, &tasks)
        .into_iter()
        .chain(ranks(found, name, &tasks))
        .collect()
}

fn average(found: &Aggregate, name: &str, tasks: &str) -> Option<Figure> {
    let lengths = found.columns.clone();
    lengths.first()?;
    let line = |score: &Score| Series {
        name: score.label.clone(),
        style: score.index,
        points: lengths
            .iter()
            .zip(&score.by_column)
            .filter_map(|(&x, y)| {
                let y = (*y)?;
                let at = if found.multiples {
                    "× the trained length"
                } else {
                    " tokens"
                };
                let tip = format!("{}, {x}{at}: {}", score.label, with_interval(y));
                Some(Point {
                    x,
                    y: y.value,
                    interval: drawn(y),
                    tip,
                })
            })
            .collect(),
        faint: Vec::new(),
    };
    let series: Vec<Series> = found.scores.iter().map(line).collect();
    let chart = Chart {
        label: format!(
            "Average score of {} curves by length; the numbers are in the table below.",
            series.len()
        ),
        x: Axis {
            title: match found.multiples {
                true => "evaluated length (multiples of the trained length)".into(),
                false => "evaluated length (tokens)".into(),
            },
            scale: Scale::log(lengths.iter().copied(), 0.06),
            ticks: lengths.clone(),
            percent: false,
        },
        y: Axis {
            title: "average share right".into(),
            scale: Scale::Linear {
                low: -0.02,
                high: 1.02,
            },
            ticks: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            percent: true,
        },
        trained: None,
        threshold: None,
        chance: Vec::new(),
        intervals: Intervals::Bars,
        dodge: super::dodge(series.len(), lengths.len()),
        better: Better::Higher,
        reference: None,
        series,
        marker_every: 1,
        undefined: "undefined".into(),
    };
    Some(Figure {
        slug: "average-score".into(),
        title: "Average score over tasks".into(),
        caption: format!(
            "Mean share right over {tasks}, each task with the same weight. {}",
            tables::averaging(found)
        ),
        drawing: chart.draw(),
        data: tables::scores(found, name).wide,
    })
}

fn ranks(found: &Aggregate, name: &str, tasks: &str) -> Option<Figure> {
    found.ranks.first()?;
    let dot = |rank: &Rank| {
        Some(Dot {
            value: Some(rank.reciprocal),
            note: format!("{:.2}, rank {}", rank.reciprocal, tables::range(rank)),
            tip: format!(
                "{}: {:.3} over {} places, rank {}",
                rank.label,
                rank.reciprocal,
                rank.places,
                tables::range(rank)
            ),
            ..Dot::default()
        })
    };
    let plot = Dots {
        label: format!(
            "Mean reciprocal rank of {} curves; the numbers are in the table below.",
            found.ranks.len()
        ),
        rows: found
            .ranks
            .iter()
            .map(|r| (r.label.clone(), r.index))
            .collect(),
        panels: vec![Panel {
            title: String::new(),
            key: None,
            scale: Scale::Linear {
                low: 0.0,
                high: 1.05,
            },
            ticks: Vec::new(),
            axis: "mean reciprocal rank".into(),
            reference: None,
            dots: found.ranks.iter().map(dot).collect(),
        }],
        per_row: 1,
        notes: 96.0,
    };
    Some(Figure {
        slug: "reciprocal-rank".into(),
        title: "Rank of the schemes over tasks".into(),
        caption: format!("Over {tasks}. {}", tables::ranking(found)),
        drawing: many(plot, true).draw(),
        data: tables::ranks(found, name).wide,
    })
}

/// Primacy, recency and basin at the trained length and at the longest, a figure for each measure.
pub(super) fn depth_effects(context: Context<'_>) -> Vec<Figure> {
    let of = |info: &crate::summary::MeasureInfo| {
        let all = context
            .study
            .depth_effects
            .iter()
            .filter(|e| e.key == info.key);
        let all: Vec<&DepthEffect> = all.collect();
        let longest = all.iter().map(|e| e.length).max()?;
        let trained = context
            .study
            .trained()
            .filter(|t| all.iter().any(|e| e.length == *t));
        let mut lengths: Vec<usize> = trained.into_iter().chain([longest]).collect();
        lengths.dedup();
        if context.crowd() {
            lengths = vec![longest];
        }
        let curves = context.study.curves.iter();
        let rows: Vec<(String, usize)> = curves
            .filter(|c| all.iter().any(|e| e.label == c.label))
            .map(|c| (c.label.clone(), c.index))
            .collect();
        type Pick = fn(&DepthEffect) -> Estimate;
        let picks: [(&str, Pick); 3] = [
            ("primacy", |e| e.primacy),
            ("recency", |e| e.recency),
            ("basin", |e| e.basin),
        ];
        let dot = |label: &str, length: usize, pick: Pick| {
            let found = all
                .iter()
                .find(|e| e.label == label && e.length == length)?;
            let value = pick(found);
            Some(Dot {
                value: value.value.is_finite().then_some(value.value),
                interval: drawn(value),
                tip: format!("{label}, {length} tokens: {}", with_interval(value)),
                ..Dot::default()
            })
        };
        // One scale for all panels: effects are compared with each other.
        let ends = all.iter().flat_map(|e| picks.map(|p| (p.1)(e)));
        let ends = ends.flat_map(|e| drawn(e).map_or([e.value; 2], |i| [i.0, i.1]));
        let scale = Scale::linear(ends.chain([0.0]), 0.05);
        let panel = |length: usize, (name, pick): (&str, Pick)| Panel {
            title: format!("{name} at {length}"),
            key: None,
            scale,
            ticks: Vec::new(),
            axis: "difference".into(),
            reference: Some(0.0),
            dots: rows
                .iter()
                .map(|(label, _)| dot(label, length, pick))
                .collect(),
        };
        let plot = Dots {
            label: format!(
                "Effects of the place in {} for {} curves.",
                info.record.title,
                rows.len()
            ),
            panels: lengths
                .iter()
                .flat_map(|&l| picks.map(|p| panel(l, p)))
                .collect(),
            rows,
            per_row: 3,
            notes: 0.0,
        };
        Some(Figure {
            slug: format!("{}-place", info.slug),
            title: format!("{}: effect of the place", info.record.title),
            caption: format!("{} Lines: {}.", tables::DEPTHS, context.intervals()),
            drawing: many(plot, true).draw(),
            data: tables::depths(context.study, info).wide,
        })
    };
    context.study.compared().filter_map(of).collect()
}
