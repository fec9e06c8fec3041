//! Perplexity against length, and loss by position in the window.

use super::{
    Context, Data, Figure, absent, distinct, dodge, drawn, estimate_cells, extent, number,
    protocol_name, protocol_words, with_interval,
};
use crate::figure::chart::{Axis, Chart, Intervals, Point, Series};
use crate::figure::scale::Scale;
use crate::record::Protocol;
use crate::summary::{Curve, Estimate, PerplexityPoint};

/// The figure of the protocol that effective lengths and differences come from.
pub(super) fn headline(context: Context<'_>) -> Option<Figure> {
    let protocol = context.study.headline?;
    figure(context, protocol, "perplexity")
}

/// The figures of all other protocols.
pub(super) fn others(context: Context<'_>) -> Vec<Figure> {
    let others = context.study.protocols.iter().map(|p| p.protocol);
    others
        .filter(|&p| Some(p) != context.study.headline)
        .filter_map(|p| figure(context, p, &format!("perplexity-{}", protocol_name(p))))
        .collect()
}

fn points(curve: &Curve, protocol: Protocol) -> &[PerplexityPoint] {
    let found = curve.perplexity.iter().find(|c| c.protocol == protocol);
    found.map_or(&[], |c| &c.points)
}

fn figure(context: Context<'_>, protocol: Protocol, slug: &str) -> Option<Figure> {
    let curves = &context.study.curves;
    let measured = distinct(
        curves
            .iter()
            .flat_map(|c| points(c, protocol))
            .map(|p| p.length),
    );
    if measured.is_empty() {
        return None;
    }
    let refused = curves
        .iter()
        .flat_map(|c| &c.refused)
        .filter(|r| r.measure == "perplexity");
    let lengths = distinct(measured.iter().copied().chain(refused.map(|r| r.length)));
    let mut series: Vec<Series> = curves
        .iter()
        .filter(|c| !points(c, protocol).is_empty() || !c.refused.is_empty())
        .map(|c| line(c, protocol))
        .collect();
    series.extend(absent(context, &lengths));
    let chart = Chart {
        label: format!(
            "Perplexity of {} curves at lengths {} to {} tokens; the numbers are in the table below.",
            series.len(),
            lengths[0],
            lengths[lengths.len() - 1]
        ),
        x: Axis {
            title: "evaluated length (tokens)".into(),
            scale: Scale::log(lengths.iter().map(|&l| l as f64), 0.06),
            ticks: lengths.iter().map(|&l| l as f64).collect(),
        },
        y: Axis {
            title: "perplexity (per token)".into(),
            scale: Scale::log(extent(&series), 0.05),
            ticks: Vec::new(),
        },
        trained: context.trained().map(|l| l as f64),
        threshold: None,
        intervals: Intervals::Bars,
        dodge: dodge(series.len(), lengths.len()),
        series,
        marker_every: 1,
        undefined: "undefined".into(),
    };
    Some(Figure {
        slug: slug.to_owned(),
        title: match Some(protocol) == context.study.headline {
            true => "Perplexity against length".to_owned(),
            false => format!("Perplexity against length, {}", protocol_name(protocol)),
        },
        caption: caption(context, protocol, &chart),
        drawing: chart.draw(),
        data: table(context, protocol),
        wide: false,
    })
}

fn caption(context: Context<'_>, protocol: Protocol, chart: &Chart) -> String {
    let mut words = format!(
        "Perplexity per token on test text, {}; both axes logarithmic, curves moved sideways a little so that bars stay apart. Bars: {}.",
        protocol_words(protocol),
        context.intervals_over("the test segments")
    );
    if chart.trained.is_some() {
        words.push_str(" Dashed line: trained length.");
    }
    if chart
        .series
        .iter()
        .any(|s| s.points.iter().any(|p| !p.y.is_finite()))
    {
        words.push_str(
            " Marks in the lane at the top: no finite value (refused by the scheme, diverged or not run).",
        );
    }
    words
}

fn line(curve: &Curve, protocol: Protocol) -> Series {
    let tip = |length: usize, words: &str| format!("{}, {length} tokens: {words}", curve.label);
    let mut all: Vec<Point> = points(curve, protocol)
        .iter()
        .map(|p| Point {
            x: p.length as f64,
            y: p.perplexity.value,
            interval: drawn(p.perplexity),
            tip: tip(p.length, &with_interval(p.perplexity)),
        })
        .collect();
    for gone in curve.refused.iter().filter(|r| r.measure == "perplexity") {
        all.push(Point {
            x: gone.length as f64,
            y: f64::NAN,
            interval: None,
            tip: tip(gone.length, &gone.reason),
        });
    }
    all.sort_by(|a, b| a.x.total_cmp(&b.x));
    Series {
        name: curve.label.clone(),
        style: curve.index,
        points: all,
        faint: Vec::new(),
    }
}

fn table(context: Context<'_>, protocol: Protocol) -> Data {
    let mut data = Data::new(&[
        "scheme",
        "#length",
        "#× trained",
        "#perplexity",
        "#low",
        "#high",
        "#bits per byte",
        "#low",
        "#high",
        "#loss (nats)",
        "#tokens scored",
        "#units",
        "#seeds",
        "note",
    ]);
    for curve in &context.study.curves {
        for p in points(curve, protocol) {
            let mut row = vec![
                curve.label.clone(),
                p.length.to_string(),
                number(p.multiple, 2),
            ];
            row.extend(estimate_cells(p.perplexity, 3));
            let none = Estimate {
                value: f64::NAN,
                interval: None,
            };
            match p.bits_per_byte {
                Some(bits) => row.extend(estimate_cells(bits, 4)),
                None => row.extend(estimate_cells(none, 4).map(|_| "–".to_owned())),
            }
            row.push(number(p.nll.value, 4));
            row.extend([
                p.tokens.to_string(),
                p.units.to_string(),
                p.seeds.to_string(),
            ]);
            row.push(String::new());
            data.row(row);
        }
        for gone in curve.refused.iter().filter(|r| r.measure == "perplexity") {
            let mut row = vec![curve.label.clone(), gone.length.to_string()];
            row.resize(13, "–".to_owned());
            row.push(format!("not defined: {}", gone.reason));
            data.row(row);
        }
    }
    absent_rows(context, &mut data);
    data
}

/// One row for each curve without a result: its name, and why, in the last column.
pub(super) fn absent_rows(context: Context<'_>, data: &mut Data) {
    for gone in &context.study.absent {
        let mut row = vec![gone.label.clone()];
        row.resize(data.columns.len() - 1, "–".to_owned());
        row.push(format!(
            "{}: {}",
            super::state_word(gone.state),
            gone.reason
        ));
        data.row(row);
    }
}

/// Loss by position in the longest window.
pub(super) fn by_position(context: Context<'_>) -> Option<Figure> {
    let mut data = Data::new(&[
        "scheme",
        "#window",
        "#from",
        "#to",
        "#loss (nats)",
        "#low",
        "#high",
    ]);
    let mut series = Vec::new();
    for curve in &context.study.curves {
        let Some(position) = &curve.position else {
            continue;
        };
        let mut points = Vec::new();
        for bucket in &position.buckets {
            let mut row = vec![
                curve.label.clone(),
                position.length.to_string(),
                (bucket.start + 1).to_string(),
                bucket.end.to_string(),
            ];
            row.extend(estimate_cells(bucket.nll, 4));
            data.row(row);
            points.push(Point {
                // Positions are counted from 1, so that the first has a place on a logarithmic axis.
                x: ((bucket.start + 1) as f64 * bucket.end.max(1) as f64).sqrt(),
                y: bucket.nll.value,
                interval: drawn(bucket.nll),
                tip: format!(
                    "{}, positions {} to {}: {}",
                    curve.label,
                    bucket.start + 1,
                    bucket.end,
                    with_interval(bucket.nll)
                ),
            });
        }
        let name = curve.label.clone();
        series.push(Series {
            name,
            style: curve.index,
            points,
            faint: Vec::new(),
        });
    }
    if series.is_empty() {
        return None;
    }
    let longest = context
        .study
        .curves
        .iter()
        .filter_map(|c| c.position.as_ref());
    let longest = longest.map(|p| p.length).max().unwrap_or(1);
    let mut ticks: Vec<f64> = std::iter::successors(Some(longest as f64), |&t| Some(t / 4.0))
        .take_while(|&t| t >= 1.0 && t.fract() == 0.0)
        .collect();
    ticks.extend(context.trained().map(|t| t as f64));
    ticks.push(1.0);
    ticks.sort_by(f64::total_cmp);
    ticks.dedup();
    let places = series.iter().flat_map(|s| s.points.iter().map(|p| p.x));
    let chart = Chart {
        label: format!(
            "Loss by position in windows of {longest} tokens; the numbers are in the table below."
        ),
        x: Axis {
            title: "position in the window (tokens)".into(),
            scale: Scale::log(places.chain([1.0, longest as f64]), 0.02),
            ticks,
        },
        y: Axis {
            title: "loss (nats per token)".into(),
            scale: Scale::linear(extent(&series), 0.05),
            ticks: Vec::new(),
        },
        trained: context.trained().map(|l| l as f64),
        threshold: None,
        series,
        intervals: Intervals::Bands,
        dodge: 0.0,
        marker_every: 4,
        undefined: "undefined".into(),
    };
    Some(Figure {
        slug: "loss-by-position".into(),
        title: "Loss by position in the window".into(),
        caption: format!(
            "Mean loss of the token at each position of non-overlapping windows of the longest length \
             served ({longest} tokens), in buckets; position axis logarithmic. Bands: {}. Dashed line: trained length.",
            context.intervals_over("the test segments")
        ),
        drawing: chart.draw(),
        data,
        wide: false,
    })
}
