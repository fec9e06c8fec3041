//! Loss while training.

use super::{Context, Data, Figure, extent, number};
use crate::figure::chart::{Axis, Chart, Intervals, Point, Series};
use crate::figure::scale::Scale;
use crate::record::Better;
use crate::summary::Curve;

/// Validation loss against step where it was taken, else training loss; single seeds as thin lines.
pub(super) fn figure(context: Context<'_>) -> Option<Figure> {
    let curves = || {
        context
            .study
            .curves
            .iter()
            .filter(|c| c.training_info.steps > 0)
    };
    let validated = curves().any(|c| !c.training.validation.is_empty());
    let series: Vec<Series> = curves()
        .map(|c| line(c, validated))
        .filter(|s| !s.points.is_empty())
        .collect();
    if series.is_empty() {
        return None;
    }
    let kind = if validated { "validation" } else { "training" };
    let faint = series
        .iter()
        .flat_map(|s| s.faint.iter().flatten())
        .map(|p| p.1);
    let steps = series.iter().flat_map(|s| s.points.iter().map(|p| p.x));
    let chart = Chart {
        label: format!(
            "{kind} loss of {} curves against training step; the numbers are in the table below.",
            series.len()
        ),
        x: Axis {
            title: "training step".into(),
            scale: Scale::linear(steps.chain([0.0]), 0.02),
            ticks: Vec::new(),
            percent: false,
        },
        y: Axis {
            title: format!("{kind} loss (nats)"),
            scale: Scale::linear(extent(&series).chain(faint), 0.05),
            ticks: Vec::new(),
            percent: false,
        },
        trained: None,
        threshold: None,
        chance: Vec::new(),
        intervals: Intervals::Bands,
        dodge: 0.0,
        better: Better::Lower,
        reference: context.reference().map(|c| c.index),
        marker_every: series
            .iter()
            .map(|s| s.points.len())
            .max()
            .unwrap_or(1)
            .div_ceil(6),
        series,
        undefined: "not finite".into(),
    };
    let seeds = context.study.seeds.len();
    let thin = if chart.crowded() && seeds > 1 {
        format!(", mean of {seeds} seeds")
    } else if seeds > 1 {
        format!(", mean of {seeds} seeds; thin lines: each seed")
    } else {
        String::new()
    };
    Some(Figure {
        slug: "training".into(),
        title: "Loss while training".into(),
        caption: format!(
            "Mean {kind} loss per scored token at the trained length{thin}. Fine-tuning starts where its base ended."
        ),
        drawing: chart.draw(),
        data: table(context),
    })
}

/// Fine-tuning starts at the last step of its base.
fn line(curve: &Curve, validated: bool) -> Series {
    let start = curve.training_info.base_steps;
    let place = |step: u64| (start + step) as f64;
    let pick = if validated {
        &curve.training.validation
    } else {
        &curve.training.train
    };
    let points = pick.iter().map(|&(step, loss)| Point {
        x: place(step),
        y: loss,
        interval: None,
        tip: format!(
            "{}, step {}: {}",
            curve.label,
            start + step,
            number(loss, 3)
        ),
    });
    let seeds = curve.training.seeds.iter();
    let faint = seeds.map(|s| if validated { &s.validation } else { &s.train });
    let faint = faint.map(|l| l.iter().map(|&(step, loss)| (place(step), loss)).collect());
    Series {
        name: curve.label.clone(),
        style: curve.index,
        points: points.collect(),
        faint: if curve.training.seeds.len() > 1 {
            faint.collect()
        } else {
            Vec::new()
        },
    }
}

fn table(context: Context<'_>) -> Data {
    let mut data = Data::new(&[
        "scheme",
        "loss",
        "#step",
        "#base steps before",
        "#mean loss (nats)",
        "#seeds",
    ]);
    for curve in context
        .study
        .curves
        .iter()
        .filter(|c| c.training_info.steps > 0)
    {
        let both = [
            ("training", &curve.training.train),
            ("validation", &curve.training.validation),
        ];
        for (kind, points) in both {
            for &(step, loss) in points {
                data.row(vec![
                    curve.label.clone(),
                    kind.to_owned(),
                    step.to_string(),
                    curve.training_info.base_steps.to_string(),
                    number(loss, 4),
                    curve.training.seeds.len().to_string(),
                ]);
            }
        }
    }
    data
}
