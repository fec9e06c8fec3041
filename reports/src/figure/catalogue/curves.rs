//! A measure against length: a line for each scheme.

use super::{
    Context, Data, Figure, absent, absent_rows, distinct, dodge, drawn, estimate_cells, extent,
    hits, number, plain, sentence, value_scale, with_interval,
};
use crate::figure::chart::{Axis, Chart, Intervals, Point, Series};
use crate::figure::scale::Scale;
use crate::record::Scale as Shown;
use crate::summary::{Curve, MeasureInfo, MeasuredPoint, amount};

/// Every length that was measured or refused.
pub(super) fn lengths(context: Context<'_>, info: &MeasureInfo) -> Vec<usize> {
    let refused = context
        .study
        .curves
        .iter()
        .flat_map(|c| c.refused(&info.key));
    distinct(
        info.lengths
            .iter()
            .copied()
            .chain(refused.map(|r| r.length)),
    )
}

pub(super) fn points<'a>(curve: &'a Curve, info: &MeasureInfo) -> &'a [MeasuredPoint] {
    curve.measured(&info.key).map_or(&[], |m| &m.points)
}

pub(super) fn figure(context: Context<'_>, info: &MeasureInfo) -> Option<Figure> {
    let lengths = lengths(context, info);
    let (first, last) = (*lengths.first()?, *lengths.last()?);
    let curves = context.study.curves.iter();
    let mut series: Vec<Series> = curves
        .map(|c| line(c, info))
        .filter(|s| !s.points.is_empty())
        .collect();
    series.extend(absent(context, &lengths));
    let record = &info.record;
    let bound = info
        .bound()
        .map(|b| (b, format!("threshold {}", amount(b, record.scale))));
    let percent = record.scale == Shown::Share;
    let chart = Chart {
        label: format!(
            "{} of {} curves at lengths {first} to {last} tokens; the numbers are in the table below.",
            record.title,
            series.len(),
        ),
        x: Axis {
            title: "evaluated length (tokens)".into(),
            scale: Scale::log(lengths.iter().map(|&l| l as f64), 0.06),
            ticks: lengths.iter().map(|&l| l as f64).collect(),
            percent: false,
        },
        y: Axis {
            title: record.quantity.clone(),
            scale: value_scale(info, extent(&series).chain(bound.iter().map(|b| b.0))),
            ticks: match percent {
                true => vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
                false => Vec::new(),
            },
            percent,
        },
        trained: context.study.trained().map(|l| l as f64),
        threshold: bound,
        chance: lengths
            .iter()
            .filter_map(|&l| Some((l as f64, info.chance_at(l)?)))
            .collect(),
        intervals: Intervals::Bars,
        dodge: dodge(series.len(), lengths.len()),
        better: record.better,
        reference: context.reference().map(|c| c.index),
        series,
        marker_every: 1,
        undefined: "undefined".into(),
    };
    let view = match info.headline || info.key.view.is_empty() {
        true => String::new(),
        false => format!("-{}", crate::page::slug(&info.key.view, 20)),
    };
    Some(Figure {
        slug: format!("{}{view}", info.slug),
        title: record.title.clone(),
        caption: caption(context, info, &chart),
        drawing: chart.draw(),
        data: table(context, info),
    })
}

fn caption(context: Context<'_>, info: &MeasureInfo, chart: &Chart) -> String {
    let axes = match info.record.scale {
        Shown::Exp => "both axes logarithmic",
        Shown::Share | Shown::Plain => "length logarithmic",
    };
    let over = match info.values.len() {
        0 => String::new(),
        _ => {
            let names: Vec<String> = info
                .record
                .factors
                .iter()
                .map(|f| format!("all values of {}", f.name))
                .collect();
            format!(", {} together", names.join(" and "))
        }
    };
    let how = match chart.crowded() {
        true => {
            "of so many curves the best, the worst, the reference and those next to it at the longest length are named"
        }
        false => "points of one length stand a little apart so that bars can be seen",
    };
    let mut words = format!(
        "{} Shown: {}{over}; {axes}; {how}. Bars: {}.",
        sentence(&info.record.about),
        info.record.quantity,
        context.intervals_over(&info.record.units)
    );
    if chart.trained.is_some() {
        words.push_str(" Tinted: up to the trained length.");
    }
    if chart.threshold.is_some() {
        words.push_str(" Dashed: the threshold for the effective length.");
    }
    if !chart.chance.is_empty() {
        words.push_str(" Dotted: a model that knows nothing.");
    }
    if chart
        .series
        .iter()
        .any(|s| s.points.iter().any(|p| !p.y.is_finite()))
    {
        words.push_str(&format!(
            " {} in the lane at the top: no finite value (refused by the scheme, diverged or not run).",
            if chart.crowded() { "Numbers of curves" } else { "Marks" }
        ));
    }
    if let Some(note) = crate::verdict::unlearned(context.study, info).filter(|_| info.headline) {
        words.push_str(&format!(" Note: {note}"));
    }
    words
}

fn line(curve: &Curve, info: &MeasureInfo) -> Series {
    let tip = |length: usize, words: &str| format!("{}, {length} tokens: {words}", curve.label);
    let point = |p: &MeasuredPoint| Point {
        x: p.length as f64,
        y: p.shown.value,
        interval: drawn(p.shown),
        tip: tip(
            p.length,
            &format!("{}{}", with_interval(p.shown), hits(info, p.sum, p.weight)),
        ),
    };
    let mut all: Vec<Point> = points(curve, info).iter().map(point).collect();
    all.extend(curve.refused(&info.key).map(|gone| Point {
        x: gone.length as f64,
        y: f64::NAN,
        interval: None,
        tip: tip(gone.length, &gone.reason),
    }));
    all.sort_by(|a, b| a.x.total_cmp(&b.x));
    Series {
        name: curve.label.clone(),
        style: curve.index,
        points: all,
        faint: Vec::new(),
    }
}

fn table(context: Context<'_>, info: &MeasureInfo) -> Data {
    let all = || context.study.curves.iter().flat_map(|c| points(c, info));
    let record = &info.record;
    let extra: Vec<String> = all()
        .next()
        .into_iter()
        .flat_map(|p| p.columns.iter().map(|c| c.0.clone()))
        .collect();
    let mut heads = vec!["scheme".to_owned(), "#length".into(), "#× trained".into()];
    let ends = |name: &str| [format!("#{name}"), "#low".into(), "#high".into()];
    heads.extend(ends(&record.quantity));
    record
        .also
        .iter()
        .for_each(|a| heads.extend(ends(&a.quantity)));
    heads.extend((record.scale == Shown::Exp).then(|| format!("#{}", info.axis())));
    heads.extend(["#sum".into(), "#of".into()]);
    heads.extend(extra.iter().map(|name| format!("#mean {name}")));
    heads.extend([format!("#{}", record.units), "#seeds".into(), "note".into()]);
    let mut data = Data::new(&heads.iter().map(String::as_str).collect::<Vec<_>>());
    for curve in &context.study.curves {
        for p in points(curve, info) {
            let mut row = vec![
                curve.label.clone(),
                p.length.to_string(),
                number(p.multiple, 2),
            ];
            row.extend(estimate_cells(p.shown, 3));
            for also in &p.also {
                row.extend(also.map_or_else(
                    || std::array::from_fn(|_| "–".to_owned()),
                    |a| estimate_cells(a, 4),
                ));
            }
            row.extend((record.scale == Shown::Exp).then(|| number(p.mean.value, 4)));
            row.extend([plain(p.sum), plain(p.weight)]);
            row.extend(extra.iter().map(|name| column(&p.columns, name)));
            row.extend([p.units.to_string(), p.seeds.to_string(), String::new()]);
            data.row(row);
        }
        for gone in curve.refused(&info.key) {
            let mut row = vec![curve.label.clone(), gone.length.to_string()];
            row.resize(data.columns.len() - 1, "–".to_owned());
            row.push(format!("not defined: {}", gone.reason));
            data.row(row);
        }
    }
    absent_rows(context, &mut data);
    data
}

/// The mean of a column, if it has one.
pub(super) fn column(columns: &[(String, f64)], name: &str) -> String {
    let found = columns.iter().find(|c| c.0 == name);
    found.map_or_else(|| "–".to_owned(), |c| number(c.1, 2))
}
