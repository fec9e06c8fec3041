//! Effective lengths: a dot and an interval for each scheme, in multiples of the trained length.

use super::{Context, Data, Figure, many, number, sentence, state_word};
use crate::figure::dots::{Dot, Dots, Panel};
use crate::figure::scale::{self, Scale as Axis};
use crate::record::{Better, Scale, Served};
use crate::summary::{Curve, EffectiveLength, MeasureInfo, amount};

fn pick<'a>(curve: &'a Curve, info: &MeasureInfo) -> Option<&'a EffectiveLength> {
    curve.measured(&info.key)?.effective.as_ref()
}

/// One panel for each measure.
pub(super) fn figure(context: Context<'_>) -> Option<Figure> {
    let curves = &context.study.curves;
    let used: Vec<&MeasureInfo> = context
        .study
        .compared()
        .filter(|m| curves.iter().any(|c| pick(c, m).is_some()))
        .collect();
    if used.is_empty() {
        return None;
    }
    let mut rows: Vec<(String, usize)> =
        curves.iter().map(|c| (c.label.clone(), c.index)).collect();
    rows.extend(
        context
            .study
            .absent
            .iter()
            .map(|a| (a.label.clone(), a.index)),
    );
    let longest = |info: &MeasureInfo| {
        let all = curves
            .iter()
            .filter_map(|c| Some(times(c, pick(c, info)?.longest)));
        all.fold(1.0, f64::max)
    };
    let panels = used.iter().map(|&info| Panel {
        title: if used.len() > 1 {
            crate::figure::text::fit(&info.record.title, 11.5, 150.0)
        } else {
            String::new()
        },
        key: None,
        ticks: ticks(longest(info)),
        scale: Axis::Log {
            low: 0.72,
            high: longest(info).max(2.0) * 1.5,
        },
        axis: "multiple of the trained length".into(),
        reference: Some(1.0),
        dots: curves
            .iter()
            .map(|c| pick(c, info).map(|e| dot(c, e, info, context.run.margin)))
            .chain(context.study.absent.iter().map(|a| {
                let words = format!("{}: {}", a.label, a.reason);
                Some(Dot {
                    note: state_word(a.state).into(),
                    tip: words,
                    ..Dot::default()
                })
            }))
            .collect(),
    });
    let plot = Dots {
        label: format!(
            "Effective lengths of {} curves in multiples of the trained length; the numbers are in the table below.",
            rows.len()
        ),
        rows,
        panels: panels.collect(),
        per_row: 2,
        notes: if used.len() > 1 { 52.0 } else { 76.0 },
    };
    Some(Figure {
        slug: "effective-length".into(),
        title: "Effective length".into(),
        caption: caption(context, &used),
        drawing: many(plot, true).draw(),
        data: table(context, &used),
    })
}

/// A length in multiples of the curve's trained length.
fn times(curve: &Curve, length: usize) -> f64 {
    length as f64 / curve.trained_length.max(1) as f64
}

fn ticks(longest: f64) -> Vec<(f64, String)> {
    let doubling = std::iter::successors(Some(1.0), |t| Some(t * 2.0));
    doubling
        .take_while(|&t| t <= longest * 1.01)
        .map(|t| (t, format!("{}×", scale::label(t))))
        .collect()
}

/// What a length is that is not served: `below 80%`.
fn short_of(info: &MeasureInfo, margin: f64) -> String {
    let beyond = match info.record.better {
        Better::Higher => "below",
        Better::Lower => "above",
    };
    match info.record.served {
        Served::AtLeast(bound) => format!("{beyond} {}", amount(bound, info.record.scale)),
        Served::OfOwn(share) => format!("{beyond} {} of its own", amount(share, Scale::Share)),
        Served::Margin => format!("worse by {} or more", number(margin, 3)),
        Served::Never => "not served".into(),
    }
}

fn dot(curve: &Curve, found: &EffectiveLength, info: &MeasureInfo, margin: f64) -> Dot {
    let holes = match found.holes() {
        holes if holes.is_empty() => holes,
        holes => format!(", {holes}"),
    };
    let open = match found.high > found.length {
        true => format!(", up to {} not excluded", found.high),
        false => String::new(),
    };
    let words = found.words();
    let tip = format!(
        "{}: {words} tokens{holes}{open}. {}",
        curve.label, found.rule
    );
    if found.length == 0 {
        let note = match found.high {
            0 => format!("{} at every length", short_of(info, margin)),
            high => format!("not shown (up to {high} not excluded)"),
        };
        return Dot {
            note,
            tip,
            ..Dot::default()
        };
    }
    // A star stands for the shorter lengths that are not served; which they are is in the table and in the tip.
    let star = if found.gaps.is_empty() { "" } else { "*" };
    Dot {
        value: Some(found.multiple),
        interval: (found.high > found.length).then(|| (found.multiple, times(curve, found.high))),
        more: found.at_end && !found.refused_beyond,
        note: format!("{words}{star}"),
        tip,
        ..Dot::default()
    }
}

fn caption(context: Context<'_>, used: &[&MeasureInfo]) -> String {
    let mut words = String::from(
        "The longest evaluated length that is shown to be served; at the right, in tokens. Whiskers reach to the longest \
         length that the data leave open. Arrow: the longest evaluated length is served, so the limit lies beyond it.",
    );
    let starred = |c: &Curve| {
        used.iter()
            .any(|m| pick(c, m).is_some_and(|e| !e.gaps.is_empty()))
    };
    if context.study.curves.iter().any(starred) {
        words.push_str(" Star: a shorter length is not served, or not shown to be.");
    }
    for info in used {
        if let Some(found) = context.study.curves.iter().find_map(|c| pick(c, info)) {
            let head = if used.len() > 1 {
                format!("{}: ", info.record.title)
            } else {
                String::new()
            };
            words.push_str(&format!(" {}", sentence(&format!("{head}{}", found.rule))));
        }
    }
    words
}

fn table(context: Context<'_>, used: &[&MeasureInfo]) -> Data {
    let mut data = Data::new(&[
        "scheme",
        "measure",
        "#effective length",
        "#× trained",
        "#not excluded up to",
        "shorter lengths",
        "#longest evaluated",
        "note",
    ]);
    for info in used {
        for curve in &context.study.curves {
            let Some(found) = pick(curve, info) else {
                continue;
            };
            let note = match (found.at_end, found.refused_beyond) {
                (_, true) => "longer lengths are refused by the scheme",
                (true, false) if found.length > 0 => {
                    "at least; the longest evaluated length is served"
                }
                _ => "",
            };
            data.row(vec![
                curve.label.clone(),
                info.record.title.clone(),
                match found.length {
                    0 => found.words(),
                    length => length.to_string(),
                },
                number(found.multiple, 2),
                found.high.to_string(),
                found.holes(),
                found.longest.to_string(),
                note.to_owned(),
            ]);
        }
    }
    super::absent_rows(context, &mut data);
    data
}
