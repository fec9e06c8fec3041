//! Forest plots: paired differences to the reference, one panel per length.

use super::{Context, Data, Figure, distinct, drawn, estimate_cells, number, short, with_interval};
use crate::figure::dots::{Dot, Dots, Panel};
use crate::figure::palette::Ink;
use crate::figure::scale::Scale;
use crate::record::{Better, Samples};
use crate::summary::{Curve, Difference, MeasureInfo, Outcome};

/// A panel for each length, rows in the order of the longest. Of many curves only the trained and the longest length have
/// a panel: all are in the map and in the table.
pub(super) fn figure(context: Context<'_>, info: &MeasureInfo) -> Option<Figure> {
    let reference = context.study.reference.as_ref()?;
    let differences = context.study.differences.iter();
    let all: Vec<&Difference> = differences.filter(|d| d.key == info.key).collect();
    if all.is_empty() {
        return None;
    }
    let measured = |c: &&Curve| c.measured(&info.key).is_some();
    let rows: Vec<(String, usize)> = context
        .study
        .curves
        .iter()
        .filter(measured)
        .map(|c| (c.label.clone(), c.index))
        .collect();
    let lengths = distinct(all.iter().map(|d| d.length));
    let longest = lengths.last().copied()?;
    let mut shown = lengths.clone();
    if context.crowd() {
        shown.retain(|&l| l == longest || Some(l) == context.study.trained());
    }
    let panel = |length: usize| {
        let here: Vec<&Difference> = all.iter().copied().filter(|d| d.length == length).collect();
        let ends = here.iter().flat_map(|d| {
            let (low, high) =
                drawn(d.difference).unwrap_or((d.difference.value, d.difference.value));
            [low, high, d.difference.value]
        });
        let of = |label: &String| match here.iter().find(|d| &d.label == label) {
            Some(found) => dot(found, context.crowd()),
            None if label == &reference.label => Dot {
                value: Some(0.0),
                bare: true,
                tip: format!("{label}, {length} tokens: the reference"),
                ..Dot::default()
            },
            None => missing(),
        };
        Panel {
            title: format!("{length} tokens"),
            key: Some(length),
            scale: Scale::linear(ends.chain([0.0]), 0.08),
            ticks: Vec::new(),
            axis: format!("difference of {}", info.axis()),
            reference: Some(0.0),
            dots: rows.iter().map(|(label, _)| Some(of(label))).collect(),
        }
    };
    let plot = Dots {
        label: format!(
            "Differences to {} at {} lengths; the numbers are in the table below.",
            reference.label,
            lengths.len()
        ),
        panels: shown.iter().map(|&l| panel(l)).collect(),
        rows,
        per_row: 2,
        notes: 0.0,
    };
    let plot = plot.sorted(shown.len() - 1, info.record.better == Better::Higher);
    Some(Figure {
        slug: format!("difference-{}", info.slug),
        title: title(info, &reference.label),
        caption: caption(context, info, &reference.label),
        drawing: plot.draw(),
        data: table(&all),
    })
}

pub(super) fn title(info: &MeasureInfo, reference: &str) -> String {
    format!("{} compared with {reference}", info.record.title)
}

/// The words under the figure, with any reference.
pub(super) fn caption(context: Context<'_>, info: &MeasureInfo, reference: &str) -> String {
    let side = match info.record.better {
        Better::Lower => "left",
        Better::Higher => "right",
    };
    let paired = match info.record.samples {
        Samples::Sums => ", which read other units",
        Samples::Panel | Samples::Trials => ", over the same test units and seeds",
    };
    let declared = context.study.reference.as_ref();
    let undeclared = match declared.is_some_and(|r| !r.declared && r.label == reference) {
        true => " (the first trained scheme, as none was declared)",
        false => "",
    };
    let some = match context.crowd() {
        true => {
            " The longest and the trained length; the other lengths are in the map and in the table."
        }
        false => "",
    };
    let all: Vec<&Difference> = context
        .study
        .differences
        .iter()
        .filter(|d| d.key == info.key)
        .collect();
    format!(
        "Differences of {} to {reference}{undeclared}{paired}; {side} of the line is better. Whiskers: {}. Filled dots differ \
         from zero: their interval leaves it out. Each panel has its own scale.{some}",
        info.axis(),
        context.simultaneous(&all)
    )
}

/// A row without a value at this length says so.
fn missing() -> Dot {
    Dot {
        note: "not measured".into(),
        tip: "not measured".into(),
        ..Dot::default()
    }
}

fn dot(found: &Difference, crowd: bool) -> Dot {
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
        ink: crowd.then(|| ink(found.outcome)),
        note: short(found.difference.value),
        tip,
        ..Dot::default()
    }
}

/// Of many curves colours tell what is better and worse.
fn ink(outcome: Outcome) -> Ink {
    match outcome {
        Outcome::Better | Outcome::BetterOnce => Ink::Curve(0),
        Outcome::Worse | Outcome::WorseOnce => Ink::Curve(1),
        Outcome::NoDifference | Outcome::NotComparable => Ink::Muted,
    }
}

pub(super) fn table(all: &[&Difference]) -> Data {
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
