//! What each scheme costs: speed of training, peak memory.

use super::{Context, Data, Figure, many, number, short};
use crate::figure::dots::{Dot, Dots, Panel};
use crate::figure::scale::Scale;
use crate::summary::{CostSummary, Curve};

const MIB: f64 = 1024.0 * 1024.0;

/// Tokens per second and peak memory beside each other.
pub(super) fn figure(context: Context<'_>) -> Option<Figure> {
    let with: Vec<(&Curve, &CostSummary)> = context
        .study
        .curves
        .iter()
        .filter_map(|c| Some((c, c.cost.as_ref()?)))
        .collect();
    if with.is_empty() {
        return None;
    }
    let speed = |(curve, cost): &(&Curve, &CostSummary)| match cost.tokens_per_second {
        Some(value) => dot(curve, value, cost.relative_speed, "tokens/s"),
        None => Dot {
            note: "not trained".into(),
            tip: curve.label.clone(),
            ..Dot::default()
        },
    };
    let memory = |(curve, cost): &(&Curve, &CostSummary)| {
        dot(
            curve,
            cost.peak_memory_bytes as f64 / MIB,
            cost.relative_memory,
            "MiB",
        )
    };
    let plot = Dots {
        label: format!("Training speed and peak memory of {} curves.", with.len()),
        rows: with
            .iter()
            .map(|(c, _)| (c.label.clone(), c.index))
            .collect(),
        panels: vec![
            panel(
                "training speed",
                "tokens per second",
                with.iter().map(speed).collect(),
            ),
            panel("peak memory", "MiB", with.iter().map(memory).collect()),
        ],
        per_row: 2,
        notes: 40.0,
    };
    let reference = context.study.reference.as_ref();
    let relative = reference.map_or_else(String::new, |r| {
        format!(" At the right of a panel: in multiples of {}.", r.label)
    });
    Some(Figure {
        slug: "cost".into(),
        title: "Cost".into(),
        caption: format!(
            "Training tokens per second (more is better; on a CPU of its threads' processor time, which no other load changes) \
             and peak resident memory of the process that ran the cell (less is better), mean and maximum over \
             seeds.{relative} {}",
            crowd(&with)
        ),
        drawing: many(plot, true).draw(),
        data: table(&with),
    })
}

/// Whether cells ran alone: speeds of cells that shared the machine say less.
fn crowd(with: &[(&Curve, &CostSummary)]) -> String {
    let all = || {
        with.iter()
            .flat_map(|(_, cost)| cost.seeds.iter().map(|(_, c)| c))
    };
    let jobs = all().map(|c| c.jobs).max().unwrap_or(1);
    let threads = all().map(|c| c.threads).max().unwrap_or(1);
    let many = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    match jobs {
        0 | 1 => format!(
            "Cells ran one after the other on {}.",
            many(threads, "thread")
        ),
        n => format!(
            "Up to {n} cells ran beside each other, each on {}.",
            many(threads, "thread")
        ),
    }
}

fn dot(curve: &Curve, value: f64, relative: Option<f64>, unit: &str) -> Dot {
    Dot {
        value: value.is_finite().then_some(value),
        note: relative.map_or_else(String::new, |r| format!("{}×", number(r, 2))),
        tip: format!("{}: {} {unit}", curve.label, short(value)),
        ..Dot::default()
    }
}

fn panel(title: &str, unit: &str, dots: Vec<Dot>) -> Panel {
    let values = dots.iter().filter_map(|d| d.value);
    let high = values.fold(0.0, f64::max);
    Panel {
        title: title.to_owned(),
        key: None,
        scale: Scale::Linear {
            low: 0.0,
            high: if high > 0.0 { high * 1.08 } else { 1.0 },
        },
        ticks: Vec::new(),
        axis: unit.to_owned(),
        reference: None,
        dots: dots.into_iter().map(Some).collect(),
    }
}

fn table(with: &[(&Curve, &CostSummary)]) -> Data {
    let mut data = Data::new(&[
        "scheme",
        "#tokens/s",
        "#speed × reference",
        "#peak memory (MiB)",
        "#memory × reference",
        "#training (s)",
        "#evaluation (s)",
        "#parameters",
        "#of the scheme",
        "#seeds",
    ]);
    for (curve, cost) in with {
        let optional = |value: Option<f64>, digits| {
            value.map_or_else(|| "–".to_owned(), |v| number(v, digits))
        };
        data.row(vec![
            curve.label.clone(),
            optional(cost.tokens_per_second, 0),
            optional(cost.relative_speed, 3),
            number(cost.peak_memory_bytes as f64 / MIB, 1),
            optional(cost.relative_memory, 3),
            number(cost.train_seconds, 1),
            number(cost.evaluate_seconds, 1),
            curve.model.parameters.to_string(),
            curve.model.scheme_parameters.to_string(),
            cost.seeds.len().to_string(),
        ]);
    }
    data
}
