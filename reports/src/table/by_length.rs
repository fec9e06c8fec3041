//! Tables of one measure: a row per curve, a column per length.

use super::{Table, ends, shown, significant};
use crate::figure::Data;
use crate::record::{Scale, State};
use crate::stats::Estimate;
use crate::summary::{Curve, Key, MeasureInfo, StudySummary};
use std::collections::BTreeSet;

/// One value of a grid of curves by lengths.
struct Point {
    value: Estimate,
    /// What else the long shape shows.
    more: Vec<String>,
}

/// A grid: the wide shape has a column per length; schemes that refuse one or have no result say so in words.
fn grid<'a>(
    study: &'a StudySummary,
    (key, slug, caption): (&Key, String, String),
    more: &[String],
    format: impl Fn(f64) -> String,
    points: impl Fn(&'a Curve) -> Vec<(usize, Point)>,
) -> Table {
    let all: Vec<(&Curve, Vec<(usize, Point)>)> = study
        .curves
        .iter()
        .map(|c| (c, points(c)))
        .filter(|(_, p)| !p.is_empty())
        .collect();
    let lengths: BTreeSet<usize> = all
        .iter()
        .flat_map(|(_, p)| p.iter().map(|x| x.0))
        .collect();
    let heads: Vec<String> = lengths.iter().map(|l| format!("#{l}")).collect();
    let mut columns = vec!["scheme"];
    columns.extend(heads.iter().map(String::as_str));
    let mut wide = Data::new(&columns);
    let fixed = ["scheme", "#length", "#value", "#low", "#high"];
    let more = more.iter().map(String::as_str);
    let mut long = Data::new(&fixed.into_iter().chain(more).collect::<Vec<_>>());
    for (curve, points) in &all {
        let cell = |length: &usize| match points.iter().find(|p| p.0 == *length) {
            Some((_, point)) => shown(point.value, &format),
            None if curve.refused(key).any(|r| r.length == *length) => "refused".into(),
            None => "not measured".into(),
        };
        wide.row(
            [curve.label.clone()]
                .into_iter()
                .chain(lengths.iter().map(cell))
                .collect(),
        );
        for (length, point) in points {
            let (low, high) = ends(point.value.interval);
            let mut row = vec![
                curve.label.clone(),
                length.to_string(),
                point.value.value.to_string(),
                low,
                high,
            ];
            row.extend(point.more.iter().cloned());
            long.row(row);
        }
    }
    if !all.is_empty() {
        for gone in &study.absent {
            let word = match gone.state {
                State::Diverged => "diverged",
                State::Failed => "failed",
                State::Waiting | State::Running | State::Interrupted | State::Done => "not done",
            };
            let row = [gone.label.clone()]
                .into_iter()
                .chain(lengths.iter().map(|_| word.into()));
            wide.row(row.collect());
        }
    }
    Table {
        slug,
        caption,
        wide,
        long,
    }
}

/// `language-perplexity-sliding`; where one thing has several views, each has its name in it.
fn named(study: &StudySummary, info: &MeasureInfo, what: &str) -> (String, String) {
    let view = match info.key.view.as_str() {
        "" => String::new(),
        view => format!("-{view}"),
    };
    let beside = match info.key.view.as_str() {
        "" => String::new(),
        view => format!(" ({view})"),
    };
    let slug = match what == info.record.quantity {
        true => format!("{}-{}{view}", study.name, info.slug),
        false => format!("{}-{}{view}", study.name, what.replace(' ', "-")),
    };
    let title = &info.record.title;
    let title = if title.contains(&info.key.view) {
        title.clone()
    } else {
        format!("{title}{beside}")
    };
    (
        slug,
        format!("{}: {title}, {what} by length in tokens", study.name),
    )
}

pub(super) fn measure(study: &StudySummary, info: &MeasureInfo) -> Table {
    let (slug, caption) = named(study, info, &info.record.quantity);
    let exp = info.record.scale == Scale::Exp;
    let points = |curve: &Curve| {
        curve
            .measured(&info.key)
            .map_or_else(Vec::new, |m| m.points.clone())
    };
    let first = study.curves.iter().flat_map(points).next();
    let extra: Vec<String> = first
        .into_iter()
        .flat_map(|p| p.columns)
        .map(|c| c.0)
        .collect();
    let mut more: Vec<String> = exp.then(|| "#nats".to_string()).into_iter().collect();
    more.extend(["#sum", "#of", "#units", "#seeds"].map(String::from));
    more.extend(extra.iter().map(|name| format!("#mean {name}")));
    let format = |x: f64| match info.record.scale {
        Scale::Share => format!("{x:.2}"),
        Scale::Exp | Scale::Plain => significant(x),
    };
    grid(study, (&info.key, slug, caption), &more, format, |curve| {
        let of = |p: crate::summary::MeasuredPoint| {
            let mut more: Vec<String> = exp.then(|| p.mean.value.to_string()).into_iter().collect();
            more.extend([
                p.sum.to_string(),
                p.weight.to_string(),
                p.units.to_string(),
                p.seeds.to_string(),
            ]);
            let column = |name: &String| {
                p.columns
                    .iter()
                    .find(|c| &c.0 == name)
                    .map_or_else(String::new, |c| c.1.to_string())
            };
            more.extend(extra.iter().map(column));
            (
                p.length,
                Point {
                    value: p.shown,
                    more,
                },
            )
        };
        points(curve).into_iter().map(of).collect()
    })
}

/// The other number at place `i` of a measure.
pub(super) fn also(study: &StudySummary, info: &MeasureInfo, i: usize) -> Table {
    let (slug, caption) = named(study, info, &info.record.also[i].quantity);
    grid(
        study,
        (&info.key, slug, caption),
        &[],
        |x| format!("{x:.3}"),
        |curve| {
            let points = curve.measured(&info.key).map_or(&[][..], |m| &m.points);
            let of = |p: &crate::summary::MeasuredPoint| {
                let value = p.also.get(i).copied().flatten()?;
                Some((
                    p.length,
                    Point {
                        value,
                        more: Vec::new(),
                    },
                ))
            };
            points.iter().filter_map(of).collect()
        },
    )
}
