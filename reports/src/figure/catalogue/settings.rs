//! A measure against a setting that was swept (`factor = [2, 4, 8]`): a panel for each scheme, a line for each length.

use super::curves::points;
use super::{Context, Data, Figure, drawn, estimate_cells, sentence, value_scale, with_interval};
use crate::figure::chart::Point;
use crate::figure::multiples::{Multiples, Panel};
use crate::figure::scale::{self, Scale};
use crate::record::Stage;
use crate::summary::{Curve, MeasureInfo};
use std::collections::BTreeMap;

/// The variants of a scheme that differ in one setting, with its value.
struct Family<'a> {
    name: String,
    variants: Vec<(f64, &'a Curve)>,
}

/// A figure for each setting that was swept.
pub(super) fn figures(context: Context<'_>, info: &MeasureInfo) -> Vec<Figure> {
    let swept = families(&context.study.curves);
    let figure =
        |(key, families): (&String, &Vec<Family<'_>>)| figure(context, info, key, families);
    swept.iter().filter_map(figure).collect()
}

/// Families of two variants or more, by the setting that they differ in.
fn families(curves: &[Curve]) -> BTreeMap<String, Vec<Family<'_>>> {
    let mut groups: Vec<(String, Stage, Family<'_>)> = Vec::new();
    for curve in curves {
        let Some((stem, said)) = said(&curve.scheme.name) else {
            continue;
        };
        for (i, (key, _)) in said.iter().enumerate() {
            let Some(value) = curve.scheme.settings[*key].as_f64() else {
                continue;
            };
            let others = said.iter().enumerate().filter(|(j, _)| *j != i);
            let others: Vec<String> = others.map(|(_, (k, v))| format!("{k}={v}")).collect();
            let mark = match others.is_empty() {
                true => String::new(),
                false => format!("[{}]", others.join(",")),
            };
            let stage = match curve.scheme.stage {
                Stage::FineTuned => " (fine-tuned)",
                Stage::Trained | Stage::ZeroShot => "",
            };
            let name = format!("{stem}{mark}{stage}");
            let known = groups.iter_mut().find(|(known, s, family)| {
                (known.as_str(), *s, &family.name) == (*key, curve.scheme.stage, &name)
            });
            match known {
                Some((_, _, family)) => family.variants.push((value, curve)),
                None => {
                    let variants = vec![(value, curve)];
                    groups.push((
                        (*key).to_string(),
                        curve.scheme.stage,
                        Family { name, variants },
                    ));
                }
            }
        }
    }
    let mut all: BTreeMap<String, Vec<Family<'_>>> = BTreeMap::new();
    for (key, _, mut family) in groups {
        family.variants.sort_by(|a, b| a.0.total_cmp(&b.0));
        if family.variants.len() > 1 {
            all.entry(key).or_default().push(family);
        }
    }
    all
}

/// `yarn[factor=2,beta_fast=32]` as its stem and what it sets.
fn said(name: &str) -> Option<(&str, Vec<(&str, &str)>)> {
    let (stem, rest) = name.strip_suffix(']')?.rsplit_once('[')?;
    let parts: Option<Vec<_>> = rest.split(',').map(|part| part.split_once('=')).collect();
    Some((stem, parts?))
}

fn figure(
    context: Context<'_>,
    info: &MeasureInfo,
    key: &str,
    families: &[Family<'_>],
) -> Option<Figure> {
    let lengths = &info.lengths;
    let point = |(value, curve): &(f64, &Curve), length: usize| {
        let found = points(curve, info).iter().find(|p| p.length == length);
        let y = found.map_or(f64::NAN, |p| p.shown.value);
        let words = found.map_or_else(|| "no value".into(), |p| with_interval(p.shown));
        Point {
            x: *value,
            y,
            interval: found.and_then(|p| drawn(p.shown)),
            tip: format!("{}, {length} tokens: {words}", curve.label),
        }
    };
    let panel = |family: &Family<'_>| Panel {
        title: family.name.clone(),
        style: None,
        lines: lengths
            .iter()
            .map(|&length| family.variants.iter().map(|v| point(v, length)).collect())
            .collect(),
    };
    let panels: Vec<Panel> = families.iter().map(panel).collect();
    let all = || panels.iter().flat_map(|p| p.lines.iter().flatten());
    if !all().any(|p| p.y.is_finite()) {
        return None;
    }
    let mut values: Vec<f64> = all().map(|p| p.x).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    let (least, most) = (*values.first()?, *values.last()?);
    let plot = Multiples {
        label: format!(
            "{} against {key}, a line for each of {} lengths.",
            info.record.title,
            lengths.len()
        ),
        x_title: key.to_string(),
        y_title: info.record.quantity.clone(),
        // Factors are chosen by doubling; what is near to each other is not.
        x: match least > 0.0 && most >= 3.0 * least {
            true => Scale::log(values.iter().copied(), 0.08),
            false => Scale::linear(values.iter().copied(), 0.08),
        },
        x_ticks: values,
        y: value_scale(info, all().map(|p| p.y).filter(|y| y.is_finite())),
        names: lengths
            .iter()
            .map(|length| format!("{length} tokens"))
            .collect(),
        panels,
    };
    let caption = sentence(&format!(
        "{} against {key}, at each evaluated length. The table has {}",
        info.record.quantity,
        context.intervals_over(&info.record.units)
    ));
    Some(Figure {
        slug: format!("{}-{}", info.slug, crate::page::slug(key, 20)),
        title: format!("{} against {key}", info.record.title),
        caption,
        drawing: plot.draw(),
        data: table(info, key, families),
    })
}

fn table(info: &MeasureInfo, key: &str, families: &[Family<'_>]) -> Data {
    let (key, quantity) = (format!("#{key}"), format!("#{}", info.record.quantity));
    let mut data = Data::new(&["scheme", &key, "#length", &quantity, "#low", "#high"]);
    for family in families {
        for (value, curve) in &family.variants {
            for p in points(curve, info) {
                let mut row = vec![
                    family.name.clone(),
                    scale::label(*value),
                    p.length.to_string(),
                ];
                row.extend(estimate_cells(p.shown, 3));
                data.row(row);
            }
        }
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{self, Options};
    use crate::summary::summarise;

    #[test]
    fn names_say_what_was_swept() {
        assert_eq!(said("yarn"), None);
        assert_eq!(
            said("yarn[factor=2]"),
            Some(("yarn", vec![("factor", "2")]))
        );
        let two = said("a[b][factor=2,x=0.5]");
        assert_eq!(two, Some(("a[b]", vec![("factor", "2"), ("x", "0.5")])));
        assert_eq!(
            said("pi[factor=2,x=0.5]"),
            Some(("pi", vec![("factor", "2"), ("x", "0.5")]))
        );
    }

    #[test]
    fn variants_of_a_scheme_make_a_panel_with_a_line_for_each_length() {
        let mut run = fixture::run(&Options::default());
        // Two schemes of the fixture become variants of one.
        let names: Vec<String> = run.plan.cells.iter().map(|c| c.scheme.clone()).collect();
        for (factor, name) in [(2, "rope"), (8, "alibi")] {
            assert!(
                names.iter().any(|n| n == name),
                "{name} is part of the fixture"
            );
            let new = format!("yarn[factor={factor}]");
            for cell in run.plan.cells.iter_mut().filter(|c| c.scheme == name) {
                cell.scheme.clone_from(&new);
            }
            for cell in run.cells.iter_mut().filter(|c| c.planned.scheme == name) {
                cell.planned.scheme.clone_from(&new);
                if let Some(result) = &mut cell.result {
                    result.scheme.name.clone_from(&new);
                    result.scheme.settings = serde_json::json!({ "factor": factor });
                }
            }
        }
        let summary = summarise(&run);
        let study = &summary.studies[0];
        let context = Context {
            run: &summary.run,
            study,
        };
        let info = study.compared().next().expect("a measure");
        let found = figures(context, info);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].title.ends_with("against factor"),
            "{}",
            found[0].title
        );
        assert_eq!(found[0].data.rows.len(), 2 * info.lengths.len());
        assert_eq!(found[0].data.rows[0][..2], ["yarn", "2"]);
        let plain = summarise(&fixture::run(&Options::default()));
        let context = Context {
            run: &plain.run,
            study: &plain.studies[0],
        };
        assert!(figures(context, info).is_empty());
    }
}
