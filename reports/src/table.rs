//! Tables as papers print them: one row per scheme, one column per length, an interval in every cell.
//!
//! Each has a twin for programs: [`Table::long`], one number per column.

pub(crate) mod aggregate;
mod by_length;
pub mod ranking;
pub mod results;

use crate::figure::Data;
use crate::record::{Role, Scale};
use crate::stats::{Estimate, Interval};
use crate::summary::{StudySummary, Summary};

/// A table in both shapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// File name without its ending (`language-perplexity-sliding`).
    pub slug: String,
    /// What it shows, with the unit.
    pub caption: String,
    /// For people: rounded, intervals in brackets.
    pub wide: Data,
    /// For programs: one number per column, not rounded.
    pub long: Data,
}

impl Table {
    /// CSV of the long shape (RFC 4180; no cell can become a formula).
    #[must_use]
    pub fn csv(&self) -> String {
        self.long.csv()
    }

    /// LaTeX of the wide shape, for the `booktabs` package.
    #[must_use]
    pub fn latex(&self) -> String {
        self.wide.latex(&self.caption, &self.slug)
    }

    /// Markdown of the wide shape, under its caption.
    #[must_use]
    pub fn markdown(&self) -> String {
        format!("### {}\n\n{}", self.caption, self.wide.markdown())
    }
}

/// All tables of a run, study by study; none is empty.
#[must_use]
pub fn tables(summary: &Summary) -> Vec<Table> {
    let of = |study: &StudySummary| {
        let mut found = Vec::new();
        for info in study
            .measures
            .iter()
            .filter(|m| m.record.role == Role::ByLength)
        {
            found.push(by_length::measure(study, info));
            found.extend((0..info.record.also.len()).map(|i| by_length::also(study, info, i)));
        }
        if let Some(together) = &study.aggregate {
            found.extend([
                aggregate::scores(together, &study.name),
                aggregate::ranks(together, &study.name),
            ]);
        }
        found.extend(study.compared().map(|m| aggregate::depths(study, m)));
        found.push(effective(study));
        found.push(differences(study));
        found.push(cost(study));
        found.retain(|table| !table.long.rows.is_empty());
        found
    };
    let across = summary.aggregate.iter();
    let across = across.flat_map(|a| {
        [
            aggregate::scores(a, "all tasks"),
            aggregate::ranks(a, "all tasks"),
        ]
    });
    let across = across.filter(|t| !t.long.rows.is_empty());
    summary.studies.iter().flat_map(of).chain(across).collect()
}

fn effective(study: &StudySummary) -> Table {
    let mut wide = Data::new(&[
        "scheme",
        "measure",
        "#effective length",
        "#times trained length",
        "#not excluded up to",
        "shorter lengths",
        "#longest evaluated",
    ]);
    let mut long = Data::new(&[
        "scheme",
        "measure",
        "#length",
        "#multiple",
        "#not excluded up to",
        "shorter lengths",
        "#longest",
        "at end",
        "refused beyond",
    ]);
    for curve in &study.curves {
        for info in study.compared() {
            let Some(found) = curve.measured(&info.key).and_then(|m| m.effective.as_ref()) else {
                continue;
            };
            let (label, measure) = (curve.label.clone(), info.record.title.clone());
            let open = match found.high > found.length {
                true => found.high.to_string(),
                false => String::new(),
            };
            wide.row(vec![
                label.clone(),
                measure.clone(),
                found.words(),
                format!("{:.2}", found.multiple),
                open,
                found.holes(),
                found.longest.to_string(),
            ]);
            long.row(vec![
                label,
                measure,
                found.length.to_string(),
                found.multiple.to_string(),
                found.high.to_string(),
                found.holes(),
                found.longest.to_string(),
                found.at_end.to_string(),
                found.refused_beyond.to_string(),
            ]);
        }
    }
    let caption = format!("{}: effective lengths in tokens", study.name);
    Table {
        slug: format!("{}-effective-length", study.name),
        caption,
        wide,
        long,
    }
}

fn differences(study: &StudySummary) -> Table {
    let mut wide = Data::new(&[
        "scheme",
        "measure",
        "#length",
        "#difference",
        "#p (adjusted)",
        "outcome",
    ]);
    let mut long = Data::new(&[
        "scheme",
        "against",
        "measure",
        "view",
        "#length",
        "#difference",
        "#low",
        "#high",
        "#p",
        "#p adjusted",
        "#comparisons",
        "outcome",
        "#units",
        "#seeds",
    ]);
    let reference = study.reference.as_ref().map_or("", |r| r.label.as_str());
    for d in &study.differences {
        let digits = match study.info(&d.key).map(|m| m.record.scale) {
            Some(Scale::Share) => 2,
            _ => 3,
        };
        let outcome = d.outcome.words();
        let p = |p: Option<f64>| {
            p.map_or_else(String::new, |p| {
                if p < 0.001 {
                    "<0.001".into()
                } else {
                    format!("{p:.3}")
                }
            })
        };
        wide.row(vec![
            d.label.clone(),
            d.what.clone(),
            d.length.to_string(),
            shown(d.difference, &|x| format!("{x:+.digits$}")),
            p(d.p_adjusted),
            outcome.into(),
        ]);
        let optional = |x: Option<f64>| x.map_or_else(String::new, |x| x.to_string());
        let (low, high) = ends(d.difference.interval);
        long.row(vec![
            d.label.clone(),
            reference.into(),
            d.what.clone(),
            d.key.view.clone(),
            d.length.to_string(),
            d.difference.value.to_string(),
            low,
            high,
            optional(d.p),
            optional(d.p_adjusted),
            d.comparisons.to_string(),
            outcome.into(),
            d.units.to_string(),
            d.seeds.to_string(),
        ]);
    }
    let caption = format!(
        "{}: paired differences to {reference} by length in tokens",
        study.name
    );
    Table {
        slug: format!("{}-differences", study.name),
        caption,
        wide,
        long,
    }
}

fn cost(study: &StudySummary) -> Table {
    let mut wide = Data::new(&[
        "scheme",
        "#training tokens/s",
        "#relative",
        "#peak memory (MiB)",
        "#relative memory",
    ]);
    let mut long = Data::new(&[
        "scheme",
        "#tokens per second",
        "#relative speed",
        "#peak memory bytes",
        "#relative memory",
        "#train seconds",
        "#evaluate seconds",
    ]);
    for curve in &study.curves {
        let Some(cost) = &curve.cost else { continue };
        let text =
            |x: Option<f64>, digits: usize| x.map_or_else(String::new, |x| format!("{x:.digits$}"));
        let exact = |x: Option<f64>| x.map_or_else(String::new, |x| x.to_string());
        wide.row(vec![
            curve.label.clone(),
            text(cost.tokens_per_second, 0),
            text(cost.relative_speed, 2),
            format!("{:.0}", cost.peak_memory_bytes as f64 / f64::from(1 << 20)),
            text(cost.relative_memory, 2),
        ]);
        long.row(vec![
            curve.label.clone(),
            exact(cost.tokens_per_second),
            exact(cost.relative_speed),
            cost.peak_memory_bytes.to_string(),
            exact(cost.relative_memory),
            cost.train_seconds.to_string(),
            cost.evaluate_seconds.to_string(),
        ]);
    }
    let caption = format!("{}: cost (mean over seeds; memory: largest)", study.name);
    Table {
        slug: format!("{}-cost", study.name),
        caption,
        wide,
        long,
    }
}

fn ends(interval: Option<Interval>) -> (String, String) {
    interval.map_or_else(Default::default, |i| {
        (i.low.to_string(), i.high.to_string())
    })
}

fn shown(value: Estimate, format: &impl Fn(f64) -> String) -> String {
    match value.interval {
        _ if value.value.is_nan() => "not a number".into(),
        _ if value.value.is_infinite() => "infinite".into(),
        Some(i) => format!(
            "{} [{}, {}]",
            format(value.value),
            format(i.low),
            format(i.high)
        ),
        None => format(value.value),
    }
}

/// Three significant digits.
fn significant(x: f64) -> String {
    match x.abs() {
        a if a >= 99_999.5 => format!("{x:.1e}"),
        a if a >= 99.95 => format!("{x:.0}"),
        a if a >= 9.995 => format!("{x:.1}"),
        _ => format!("{x:.2}"),
    }
}

#[cfg(test)]
mod tests;
