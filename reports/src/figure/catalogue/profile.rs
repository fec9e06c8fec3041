//! A mean by its one factor at its one length: loss by position in the window.

use super::{
    Context, Data, Figure, drawn, estimate_cells, extent, sentence, value_scale, with_interval,
};
use crate::figure::chart::{Axis, Chart, Intervals, Point, Series};
use crate::figure::scale::{self, Scale};
use crate::record::Scale as Shown;
use crate::summary::MeasureInfo;

pub(super) fn figure(context: Context<'_>, info: &MeasureInfo) -> Option<Figure> {
    let factor = info.record.factors.first()?;
    // Of exponentials the mean itself is shown: a loss.
    let exp = info.record.scale == Shown::Exp;
    let (name, axis) = (info.noun(), info.axis());
    let heads = [
        "scheme",
        "#length",
        "#from",
        "#to",
        &format!("#{axis}"),
        "#low",
        "#high",
    ];
    let mut data = Data::new(&heads);
    let mut series = Vec::new();
    // Shares are places from 0 to 1; other values are counted from 1, so that the first has a place on a logarithmic axis.
    let first = if factor.share { 0.0 } else { 1.0 };
    let mut longest = 0;
    for curve in &context.study.curves {
        let Some(profile) = curve.measured(&info.key).and_then(|m| m.profile.as_ref()) else {
            continue;
        };
        longest = longest.max(profile.length);
        let mut points = Vec::new();
        for bucket in &profile.buckets {
            let (from, to) = (bucket.start + first, bucket.end);
            let mut row = vec![
                curve.label.clone(),
                profile.length.to_string(),
                super::plain(from),
                super::plain(to),
            ];
            row.extend(estimate_cells(bucket.mean, 4));
            data.row(row);
            // The first tokens have little to go by: their losses are large, wide and much alike, and would hide the rest.
            if !factor.share && from <= unseen(profile.length) {
                continue;
            }
            let value = with_interval(bucket.mean);
            points.push(Point {
                x: if factor.share {
                    bucket.start
                } else {
                    (from * to.max(1.0)).sqrt()
                },
                y: bucket.mean.value,
                interval: drawn(bucket.mean),
                tip: format!(
                    "{}, {} {} to {}: {value}",
                    curve.label,
                    factor.name,
                    super::plain(from),
                    super::plain(to)
                ),
            });
        }
        series.push(Series {
            name: curve.label.clone(),
            style: curve.index,
            points,
            faint: Vec::new(),
        });
    }
    if series.is_empty() {
        return None;
    }
    let places = || series.iter().flat_map(|s| s.points.iter().map(|p| p.x));
    let trained = context
        .study
        .trained()
        .filter(|_| !factor.share)
        .map(|t| t as f64);
    let (x, ticks) = match factor.share {
        true => (Scale::linear(places(), 0.02), Vec::new()),
        false => {
            let mut ticks: Vec<f64> =
                std::iter::successors(Some(longest as f64), |&t| Some(t / 4.0))
                    .take_while(|&t| t >= 1.0 && t.fract() == 0.0)
                    .collect();
            ticks.extend(trained);
            ticks.sort_by(f64::total_cmp);
            ticks.dedup();
            (Scale::log(places().chain([longest as f64]), 0.02), ticks)
        }
    };
    let chart = Chart {
        label: format!(
            "{} at {longest} tokens; the numbers are in the table below.",
            info.record.title
        ),
        x: Axis {
            title: factor.title.clone(),
            scale: x,
            ticks,
            percent: false,
        },
        y: Axis {
            title: axis,
            scale: match exp {
                true => Scale::linear(extent(&series), 0.05),
                false => value_scale(info, extent(&series)),
            },
            ticks: Vec::new(),
            percent: info.record.scale == Shown::Share,
        },
        trained,
        threshold: None,
        chance: info
            .chance_at(longest)
            .map(|c| (longest as f64, c))
            .into_iter()
            .collect(),
        series,
        intervals: Intervals::Bands,
        dodge: 0.0,
        better: info.record.better,
        reference: context.reference().map(|c| c.index),
        marker_every: 4,
        undefined: "undefined".into(),
    };
    let mut more = String::new();
    if trained.is_some() {
        more.push_str(" Tinted: up to the trained length.");
    }
    if !factor.share && unseen(longest) > 0.0 {
        more.push_str(&format!(
            " The first {} are in the table only.",
            scale::label(unseen(longest))
        ));
    }
    Some(Figure {
        slug: crate::page::slug(&format!("{name}-by-{}", factor.name), 36),
        title: info.record.title.clone(),
        caption: format!(
            "{} At {} tokens, in buckets of {}; bands: {}.{more}",
            sentence(&info.record.about),
            scale::label(longest as f64),
            factor.name,
            context.intervals_over(&info.record.units)
        ),
        drawing: chart.draw(),
        data,
    })
}

/// How many places at the start of a window are left out of the figure.
fn unseen(length: usize) -> f64 {
    if length >= 128 { 16.0 } else { 0.0 }
}
