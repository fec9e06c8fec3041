//! What the page's script reads: curves, and differences to every reference.

use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::{Named, named_figures, sheet_id};
use crate::figure::{compared, hides, steps};
use crate::record::Scale;
use crate::summary::{Difference, MeasureInfo, Outcome, Results, RunInfo, StudySummary, Summary};

/// Stands for the name of the reference in titles and captions.
const REFERENCE: &str = "\u{1}";

/// Every outcome in the order of its number in the data.
const OUTCOMES: [Outcome; 6] = [
    Outcome::NoDifference,
    Outcome::Better,
    Outcome::Worse,
    Outcome::BetterOnce,
    Outcome::WorseOnce,
    Outcome::NotComparable,
];

/// Everything, as JSON that may stand in a page.
pub(super) fn all(runs: &[Summary]) -> String {
    let (mut curves, mut compared) = (Vec::new(), Vec::new());
    for (i, summary) in runs.iter().enumerate() {
        let page = format!("run{}", i + 1);
        curves.push(json!({ "curves": self::curves(summary) }));
        for (study, figures) in summary.studies.iter().zip(named_figures(summary)) {
            compared.extend(comparisons(study, &summary.run, &figures, &page));
        }
    }
    let all = json!({ "runs": curves, "comparisons": compared });
    // Nothing in it may end the element that holds it; what hides is written so that it does not.
    let mut out = String::new();
    for c in all.to_string().chars() {
        if matches!(c, '<' | '>' | '&') || hides(c) {
            let units = c.encode_utf16(&mut [0; 2]).to_vec();
            out.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out
}

/// The curves of a run by their index: label, family, full name.
fn curves(summary: &Summary) -> Value {
    let mut all = serde_json::Map::new();
    for study in &summary.studies {
        for curve in &study.curves {
            let one = json!({
                "index": curve.index,
                "label": curve.label,
                "family": curve.scheme.family,
                "title": curve.scheme.title,
            });
            all.insert(curve.index.to_string(), one);
        }
    }
    let gone = summary.studies.iter().flat_map(|s| &s.absent);
    for absent in gone {
        let one = json!({
            "index": absent.index,
            "label": absent.label,
            "family": "without results",
            "title": "",
        });
        all.entry(absent.index.to_string()).or_insert(one);
    }
    Value::Object(all)
}

/// The differences by each measure of a study, to every curve.
fn comparisons(study: &StudySummary, run: &RunInfo, figures: &[Named], page: &str) -> Vec<Value> {
    let Some(reference) = &study.reference else {
        return Vec::new();
    };
    let of = |info: &MeasureInfo| {
        let declared: Vec<&Difference> = by(&study.differences, info).collect();
        let mut lengths: Vec<usize> = declared.iter().map(|d| d.length).collect();
        lengths.sort_unstable();
        lengths.dedup();
        lengths.last()?;
        let place = |slug: String| {
            let named = figures.iter().find(|n| n.figure.slug == slug)?;
            let map = slug.starts_with("difference-map");
            let (title, caption) = compared(study, run, info, REFERENCE, map);
            Some(json!({
                "figure": format!("{page}-{}", named.slug),
                "title": title,
                "caption": caption,
            }))
        };
        let steps = steps(&declared);
        let mut against = serde_json::Map::new();
        for other in &study.against {
            let rows = rows(study, &other.differences, info, &lengths);
            against.insert(other.reference.clone(), rows);
        }
        without_mirrored(&mut against, study);
        let table = study
            .results
            .iter()
            .find(|r| r.key.as_ref() == Some(&info.key));
        Some(json!({
            "reference": reference.label,
            "outcomes": OUTCOMES.map(Outcome::words),
            "turned": OUTCOMES.map(|o| OUTCOMES.iter().position(|x| *x == turned(o))),
            "significant": OUTCOMES.map(|o| match o {
                Outcome::Better | Outcome::BetterOnce => Some("better"),
                Outcome::Worse | Outcome::WorseOnce => Some("worse"),
                Outcome::NoDifference | Outcome::NotComparable => None,
            }),
            "curves": study.curves.iter().map(|c| (c.label.clone(), c.index)).collect::<BTreeMap<_, _>>(),
            "lengths": lengths,
            "steps": steps,
            "digits": if steps[0] < 0.01 { 3 } else { 2 },
            "forest": place(format!("difference-{}", info.slug)),
            "map": place(format!("difference-map-{}", info.slug)),
            "sheet": table.and_then(|t| sheet(study, run, t, page)),
            "against": against,
        }))
    };
    study.compared().filter_map(of).collect()
}

fn by<'a>(all: &'a [Difference], info: &MeasureInfo) -> impl Iterator<Item = &'a Difference> {
    let key = info.key.clone();
    all.iter().filter(move |d| d.key == key)
}

/// Leaves out the second of two rows that say the same the other way round, which a script can turn: half the page's data.
fn without_mirrored(against: &mut serde_json::Map<String, Value>, study: &StudySummary) {
    let index = |label: &str| {
        study
            .curves
            .iter()
            .find(|c| c.label == label)
            .map(|c| c.index)
    };
    for curve in &study.curves {
        let earlier: Vec<String> = against
            .keys()
            .filter(|l| index(l) < Some(curve.index))
            .cloned()
            .collect();
        for label in earlier {
            let Some(place) = index(&label) else { continue };
            let turned = mirrored(&against[&label][curve.index.to_string()]);
            let Some(Value::Object(rows)) = against.get_mut(&curve.label) else {
                continue;
            };
            let place = place.to_string();
            if turned.is_some() && rows.get(&place) == turned.as_ref() {
                rows.remove(&place);
            }
        }
    }
}

/// What the reference is beside a curve that is this beside the reference.
fn turned(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Better => Outcome::Worse,
        Outcome::Worse => Outcome::Better,
        Outcome::BetterOnce => Outcome::WorseOnce,
        Outcome::WorseOnce => Outcome::BetterOnce,
        Outcome::NoDifference | Outcome::NotComparable => outcome,
    }
}

/// A row of differences as it is from the other side.
fn mirrored(row: &Value) -> Option<Value> {
    let negative = |x: &Value| x.as_f64().map(|x| 0.0 - x);
    let turned = row.as_array()?.iter().map(|entry| {
        let [value, low, high, outcome] = entry.as_array()?.as_slice() else {
            return None;
        };
        let outcome = OUTCOMES.get(usize::try_from(outcome.as_u64()?).ok()?)?;
        let other = OUTCOMES.iter().position(|o| *o == turned(*outcome));
        Some(json!([
            negative(value),
            negative(high),
            negative(low),
            other
        ]))
    });
    Some(Value::Array(
        turned.map(|entry| entry.unwrap_or(Value::Null)).collect(),
    ))
}

/// For each curve, by its index, an entry for each length: value, low, high, outcome.
fn rows(study: &StudySummary, all: &[Difference], info: &MeasureInfo, lengths: &[usize]) -> Value {
    let mut rows = serde_json::Map::new();
    for curve in &study.curves {
        let mine: Vec<&Difference> = by(all, info).filter(|d| d.label == curve.label).collect();
        let at = |length: &usize| {
            let found = mine.iter().find(|d| d.length == *length)?;
            let value = found.difference.value;
            let range = found.difference.interval;
            let end = |x: Option<f64>| x.filter(|x| x.is_finite()).map(rounded);
            let outcome = OUTCOMES.iter().position(|o| *o == found.outcome);
            value.is_finite().then(|| {
                json!([
                    rounded(value),
                    end(range.map(|i| i.low)),
                    end(range.map(|i| i.high)),
                    outcome
                ])
            })
        };
        if !mine.is_empty() {
            let row: Vec<Option<Value>> = lengths.iter().map(at).collect();
            rows.insert(curve.index.to_string(), json!(row));
        }
    }
    Value::Object(rows)
}

/// The column of differences of the table that the study is summed up by.
fn sheet(study: &StudySummary, run: &RunInfo, found: &Results, page: &str) -> Option<Value> {
    let at = found.compared_at?;
    let place = study.results.iter().position(|r| r.key == found.key)?;
    let slug = &crate::table::results::sheets(study, run)
        .get(place)?
        .slug
        .clone();
    let share = found.scale == Scale::Share;
    Some(json!({
        "table": sheet_id(page, slug),
        "at": at,
        "factor": if share { 100 } else { 1 },
        "digits": if share { 1 } else { 3 },
    }))
}

/// With four digits that count, so that the page stays small.
fn rounded(x: f64) -> f64 {
    format!("{x:.3e}").parse().unwrap_or(x)
}
