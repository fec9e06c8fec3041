//! Maps of many curves, grouped by family: differences by length, shares by length and factor.

use super::curves::lengths;
use super::grids::{Shade, ends, map_slug, map_table, measured};
use super::{Context, Figure, distinct, with_interval};
use crate::figure::map::{Cell, Group, Head, Map, Row};
use crate::figure::palette::{self, Ink, STRONG};
use crate::figure::scale;
use crate::summary::{Curve, Difference, MeasureInfo};

/// From which size on a difference has the next stronger colour: a 27th, a ninth and a third of the largest, as round
/// numbers. The page's script colours differences to other references by the same steps.
pub(crate) fn steps(differences: &[&Difference]) -> [f64; STRONG - 1] {
    let sizes = differences.iter().map(|d| d.difference.value.abs());
    let largest = sizes.filter(|d| d.is_finite()).fold(0.0, f64::max);
    [27.0, 9.0, 3.0].map(|part| round(largest / part))
}

/// To one digit that counts.
fn round(x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let power = 10f64.powi(x.log10().floor() as i32);
    (x / power).round() * power
}

/// −4 (much better) to 4 (much worse); 0 where there is no significant difference.
fn strength(found: &Difference, worse: f64, steps: &[f64]) -> i8 {
    if !found.outcome.significant() {
        return 0;
    }
    let size = found.difference.value.abs();
    let strong = 1 + steps.iter().filter(|&&step| size >= step).count() as i8;
    if found.difference.value * worse > 0.0 {
        strong
    } else {
        -strong
    }
}

/// Every difference to the reference, of a study with many curves.
pub(super) fn differences(context: Context<'_>, info: &MeasureInfo) -> Option<Figure> {
    let reference = context
        .study
        .reference
        .as_ref()
        .filter(|_| context.crowd())?;
    let all = context.study.differences.iter();
    let all: Vec<&Difference> = all.filter(|d| d.key == info.key).collect();
    let lengths = distinct(all.iter().map(|d| d.length));
    let last = *lengths.last()?;
    let steps = steps(&all);
    let digits = if steps[0] < 0.01 { 3 } else { 2 };
    let find = |c: &Curve, length: usize| {
        let mut all = all.iter();
        all.find(|d| d.label == c.label && d.length == length)
            .copied()
    };
    let cell = |c: &Curve, length: usize| {
        if c.label == reference.label {
            return Some(Cell {
                fill: Ink::Diverging(0),
                ink: Ink::Muted,
                words: "0".into(),
                tip: format!("{}, {length} tokens: the reference", c.label),
            });
        }
        let found = find(c, length).filter(|d| d.difference.value.is_finite())?;
        let strength = strength(found, info.worse(), &steps);
        Some(Cell {
            fill: Ink::Diverging(strength),
            ink: Ink::OnDiverging(strength),
            words: signed(found.difference.value, digits),
            tip: format!(
                "{}, {length} tokens: {}, {}",
                c.label,
                with_interval(found.difference),
                found.outcome.words()
            ),
        })
    };
    let rows = context.study.curves.iter();
    let rows = rows.filter(|c| c.measured(&info.key).is_some());
    let rank = |c: &Curve| match c.label == reference.label {
        true => 0.0,
        false => find(c, last).map_or(f64::INFINITY, |d| info.worse() * d.difference.value),
    };
    let groups = grouped(rows.collect(), rank, |c| {
        lengths.iter().map(|&l| cell(c, l)).collect()
    });
    let trained = context.study.trained().unwrap_or(0);
    let plot = Map {
        label: format!(
            "Differences to {} by length, a row for each curve; the numbers are in the table below.",
            reference.label
        ),
        heads: lengths.iter().map(|&l| head(l, 1, trained)).collect(),
        x_title: "length (tokens)".into(),
        key: difference_key(&steps),
        groups,
    };
    Some(Figure {
        slug: format!("difference-map-{}", info.slug),
        title: title(info, &reference.label),
        caption: caption(context, info, &reference.label),
        drawing: plot.draw(),
        data: super::differences::table(&all),
    })
}

pub(super) fn title(info: &MeasureInfo, reference: &str) -> String {
    format!(
        "{} compared with {reference}, all lengths",
        info.record.title
    )
}

/// The words under the map, with any reference.
pub(super) fn caption(context: Context<'_>, info: &MeasureInfo, reference: &str) -> String {
    let all: Vec<&Difference> = context
        .study
        .differences
        .iter()
        .filter(|d| d.key == info.key)
        .collect();
    let steps = steps(&all).map(scale::label);
    format!(
        "Differences of {} to {reference}, grouped by family; the best at the longest length stand first. Coloured where the \
         difference is significant ({}), stronger from {}, {} and {} on. Columns right of the heavy line are longer than the \
         trained length.",
        info.axis(),
        context.simultaneous(&all),
        steps[0],
        steps[1],
        steps[2]
    )
}

fn difference_key(steps: &[f64; STRONG - 1]) -> Vec<(Ink, String)> {
    let far = scale::label(steps[STRONG - 2]);
    vec![
        (Ink::Diverging(-4), format!("better by {far} or more")),
        (Ink::Diverging(-2), "better".into()),
        (Ink::Diverging(0), "no significant difference".into()),
        (Ink::Diverging(2), "worse".into()),
        (Ink::Diverging(4), format!("worse by {far} or more")),
    ]
}

fn signed(x: f64, digits: usize) -> String {
    format!("{x:+.digits$}").replace('-', "−")
}

fn head(length: usize, columns: usize, trained: usize) -> Head {
    Head {
        words: length.to_string(),
        columns,
        within: length <= trained,
    }
}

/// Curves by family, the least rank first, families by their first curve.
fn grouped(
    mut curves: Vec<&Curve>,
    rank: impl Fn(&Curve) -> f64,
    cells: impl Fn(&Curve) -> Vec<Option<Cell>>,
) -> Vec<Group> {
    curves.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
    let mut groups: Vec<Group> = Vec::new();
    for curve in curves {
        let row = Row {
            name: curve.label.clone(),
            curve: curve.index,
            cells: cells(curve),
        };
        let title = &curve.scheme.family;
        match groups.iter_mut().find(|g| &g.title == title) {
            Some(group) => group.rows.push(row),
            None => groups.push(Group {
                title: title.clone(),
                rows: vec![row],
            }),
        }
    }
    groups
}

/// Length × factor of many curves, a row each: a figure for each factor.
pub(super) fn places(context: Context<'_>, info: &MeasureInfo) -> Vec<Figure> {
    (0..info.values.len())
        .filter_map(|factor| place(context, info, factor))
        .collect()
}

fn place(context: Context<'_>, info: &MeasureInfo, factor: usize) -> Option<Figure> {
    let (values, record) = (&info.values[factor], &info.record.factors[factor]);
    let shown = measured(context, info);
    let shade = Shade::new(info, factor, &shown)?;
    let lengths = lengths(context, info);
    let of = |c: &Curve| shown.iter().find(|(s, _)| s.index == c.index).map(|s| s.1);
    let cells = |c: &Curve| {
        let at = |length: usize, value: f64| {
            let mut cells = of(c)?.grids[factor].iter();
            let found = cells.find(|x| x.length == length && x.at == value)?;
            let cell = shade.cell(c, found);
            let (fill, ink) = palette::sequential(cell.shade);
            cell.shade.is_finite().then(|| Cell {
                fill,
                ink,
                words: String::new(),
                tip: cell.tip,
            })
        };
        let columns = lengths
            .iter()
            .flat_map(|&l| values.iter().map(move |&v| (l, v)));
        columns.map(|(l, v)| at(l, v)).collect()
    };
    let rank = |c: &Curve| {
        let last = of(c).and_then(|m| m.points.last());
        last.map_or(f64::INFINITY, |p| {
            info.worse() * p.mean.value - p.length as f64 * 1e3
        })
    };
    let trained = context.study.trained().unwrap_or(0);
    let (low, high) = shade.ends();
    let key = [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| {
        let words = match share {
            0.0 => low.clone(),
            1.0 => high.clone(),
            _ => String::new(),
        };
        (palette::sequential(share).0, words)
    });
    let plot = Map {
        label: format!(
            "{} by length and {}, a row for each of {} curves; the numbers are in the table below.",
            info.record.title,
            record.title,
            shown.len()
        ),
        heads: lengths
            .iter()
            .map(|&l| head(l, values.len(), trained))
            .collect(),
        x_title: format!("length (tokens), in each: {}", record.name),
        key: key
            .into_iter()
            .chain([(Ink::Tint, "not measured".into())])
            .collect(),
        groups: grouped(shown.iter().map(|s| s.0).collect(), rank, cells),
    };
    Some(Figure {
        slug: map_slug(info, factor),
        title: format!("{} by length and {}", info.record.title, record.name),
        caption: format!(
            "Shown: {}, a row for each curve, grouped by family; under each length from left to right the {}{}. Lengths right \
             of the heavy line are longer than the trained length.",
            info.record.quantity,
            record.title,
            ends(record)
        ),
        drawing: plot.draw(),
        data: map_table(info, factor, &shown),
    })
}
