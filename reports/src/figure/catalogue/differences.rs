//! Forest plots: paired differences to the reference, one panel per length.

use super::{Context, Data, Figure, distinct, drawn, estimate_cells, number, short, with_interval};
use crate::figure::dots::{Dot, Dots, Panel};
use crate::figure::scale::Scale;
use crate::record::{Better, Samples};
use crate::summary::{Difference, MeasureInfo};

/// One figure for each measure that was compared.
pub(super) fn figures(context: Context<'_>) -> Vec<Figure> {
    context
        .study
        .compared()
        .filter_map(|m| figure(context, m))
        .collect()
}

fn figure(context: Context<'_>, info: &MeasureInfo) -> Option<Figure> {
    let reference = context.study.reference.as_ref()?;
    let differences = context.study.differences.iter();
    let all: Vec<&Difference> = differences.filter(|d| d.key == info.key).collect();
    if all.is_empty() {
        return None;
    }
    let rows: Vec<(String, usize)> = context
        .study
        .curves
        .iter()
        .filter(|c| all.iter().any(|d| d.label == c.label))
        .map(|c| (c.label.clone(), c.index))
        .collect();
    let lengths = distinct(all.iter().map(|d| d.length));
    let panel = |length: usize| {
        let here: Vec<&Difference> = all.iter().copied().filter(|d| d.length == length).collect();
        let ends = here.iter().flat_map(|d| {
            let (low, high) =
                drawn(d.difference).unwrap_or((d.difference.value, d.difference.value));
            [low, high, d.difference.value]
        });
        Panel {
            title: format!("{length} tokens"),
            scale: Scale::linear(ends.chain([0.0]), 0.08),
            ticks: Vec::new(),
            axis: info.axis(),
            reference: Some(0.0),
            dots: rows
                .iter()
                .map(|(label, _)| {
                    Some(
                        here.iter()
                            .find(|d| &d.label == label)
                            .map_or_else(missing, |d| dot(d)),
                    )
                })
                .collect(),
        }
    };
    let plot = Dots {
        label: format!(
            "Differences to {} at {} lengths; the numbers are in the table below.",
            reference.label,
            lengths.len()
        ),
        panels: lengths.iter().map(|&l| panel(l)).collect(),
        rows,
        per_row: if lengths.len() == 4 { 2 } else { 3 },
        notes: 0.0,
    };
    let side = match info.record.better {
        Better::Lower => "left",
        Better::Higher => "right",
    };
    let paired = match info.record.samples {
        Samples::Sums => ", which read other units",
        Samples::Panel | Samples::Trials => ", over the same test units and seeds",
    };
    Some(Figure {
        slug: format!("difference-{}", info.slug),
        title: format!("{} compared with {}", info.record.title, reference.label),
        caption: format!(
            "Differences of {} to {}{}{paired}; {side} of the line is better. Whiskers: {}. Filled dots differ from zero: \
             their interval leaves it out. Each panel has its own scale.",
            info.axis(),
            reference.label,
            if reference.declared {
                ""
            } else {
                " (the first trained scheme, as none was declared)"
            },
            context.simultaneous(&all)
        ),
        drawing: plot.draw(),
        data: table(&all),
        wide: false,
    })
}

/// A row without a value at this length says so.
fn missing() -> Dot {
    Dot {
        note: "not measured".into(),
        tip: "not measured".into(),
        ..Dot::default()
    }
}

fn dot(found: &Difference) -> Dot {
    let tip = format!(
        "{}, {} tokens: {}, {}",
        found.label,
        found.length,
        with_interval(found.difference),
        found.outcome.words()
    );
    if !found.difference.value.is_finite() {
        return Dot {
            note: "not comparable".into(),
            tip,
            ..Dot::default()
        };
    }
    Dot {
        value: Some(found.difference.value),
        interval: drawn(found.difference),
        hollow: !found.outcome.significant(),
        note: short(found.difference.value),
        tip,
        ..Dot::default()
    }
}

fn table(all: &[&Difference]) -> Data {
    let mut data = Data::new(&[
        "scheme",
        "measure",
        "view",
        "#length",
        "#difference",
        "#low",
        "#high",
        "#p",
        "#p (adjusted)",
        "outcome",
        "#units",
        "#seeds",
    ]);
    for d in all {
        let mut row = vec![
            d.label.clone(),
            d.what.clone(),
            d.key.view.clone(),
            d.length.to_string(),
        ];
        row.extend(estimate_cells(d.difference, 4));
        row.extend([
            probability(d.p),
            probability(d.p_adjusted),
            d.outcome.words().to_owned(),
        ]);
        row.extend([d.units.to_string(), d.seeds.to_string()]);
        data.row(row);
    }
    data
}

/// A p value is never written as 0.
fn probability(p: Option<f64>) -> String {
    match p {
        None => "–".to_owned(),
        Some(p) if p < 1e-4 => "< 0.0001".to_owned(),
        Some(p) => number(p, 4),
    }
}
