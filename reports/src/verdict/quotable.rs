//! The sentences that sum a study up, at most three: who is best at the longest length, how far each is served, and how all
//! compare at the trained length. Their numbers are those of the study's first table.

use super::words::{bracket, number, percent, signed};
use super::{once, place};
use crate::record::{Better, Scale, Served};
use crate::stats::Estimate;
use crate::summary::{
    Difference, EffectiveLength, Outcome, ResultCell, ResultRow, Results, StudySummary, ToBest,
    amount, most,
};

/// Names in such a sentence; the table has the rest.
const NAMES: usize = 4;

/// What sums a study up; nothing without a table.
pub(super) fn sentences(study: &StudySummary, margin: f64) -> Vec<String> {
    let Some(table) = study.results.first() else {
        return Vec::new();
    };
    let about = About {
        study,
        table,
        margin,
    };
    let all = [about.best(), about.effective(), about.at_trained()];
    all.into_iter().flatten().collect()
}

#[derive(Clone, Copy)]
struct About<'a> {
    study: &'a StudySummary,
    table: &'a Results,
    margin: f64,
}

/// `a, b and 3 more`.
fn names(all: &[&str]) -> String {
    let shown = if all.len() > NAMES + 1 {
        NAMES
    } else {
        all.len()
    };
    let mut items: Vec<String> = all[..shown].iter().map(|s| (*s).to_string()).collect();
    if shown < all.len() {
        items.push(format!("{} more", all.len() - shown));
    }
    super::joined(&items)
}

impl About<'_> {
    fn value(self, shown: Estimate) -> String {
        match self.table.scale {
            Scale::Share => percent(shown),
            Scale::Exp | Scale::Plain => {
                format!("{}{}", number(shown.value), bracket(shown.interval, number))
            }
        }
    }

    fn bare(self, shown: Estimate) -> String {
        self.value(Estimate {
            interval: None,
            ..shown
        })
    }

    fn found(self, row: &ResultRow, length: usize) -> Option<(Estimate, ToBest)> {
        let at = self.table.lengths.iter().position(|&l| l == length)?;
        match row.cells.get(at)? {
            ResultCell::Found { shown, best, .. } => Some((*shown, *best)),
            _ => None,
        }
    }

    /// `loss −1.28 nats [−1.35, −1.20], 95 % simultaneous over 20 comparisons`.
    fn difference(self, d: &Difference) -> String {
        let (factor, noun, unit) = match self.table.scale {
            Scale::Exp => (1.0, "loss ", " nats"),
            Scale::Share => (100.0, "", " points"),
            Scale::Plain => (1.0, "", ""),
        };
        let of = |x: f64| signed(factor * x);
        let over = match d.comparisons {
            0 | 1 => String::new(),
            n => format!(", simultaneous over {n} comparisons"),
        };
        format!(
            "{noun}{}{unit}{}{over}",
            of(d.difference.value),
            bracket(d.difference.interval, of)
        )
    }

    /// Who is best at the longest length, against the reference, and who may be as good.
    fn best(self) -> Option<String> {
        let far = *self.table.lengths.iter().rev().find(|&&l| {
            let read = self.table.rows.iter().filter_map(|r| self.found(r, l));
            read.filter(|(shown, _)| shown.value.is_finite()).count() > 1
        })?;
        let sign = if self.table.better == Better::Lower {
            1.0
        } else {
            -1.0
        };
        let finite = |r: &&ResultRow| {
            self.found(r, far)
                .is_some_and(|(shown, _)| shown.value.is_finite())
        };
        let value = |r: &ResultRow| {
            self.found(r, far)
                .map_or(f64::NAN, |(shown, _)| sign * shown.value)
        };
        let rows = self.table.rows.iter().filter(finite);
        let first = rows.min_by(|a, b| value(a).total_cmp(&value(b)))?;
        let (shown, _) = self.found(first, far)?;
        let extreme = if self.table.better == Better::Lower {
            "lowest"
        } else {
            "highest"
        };
        let mut text = format!(
            "At {} {} has the {extreme} {}, {}",
            place(self.study, far),
            first.label,
            self.table.quantity,
            self.value(shown)
        );
        let compared = first.difference.as_ref().filter(|d| d.length == far);
        let reference = self.table.rows.iter().find(|r| r.reference);
        if let (Some(d), Some(reference)) = (compared, reference) {
            let (theirs, _) = self.found(reference, far)?;
            let verdict = match d.outcome.significant() {
                true => "against",
                false => "not significantly different from the",
            };
            text.push_str(&format!(
                ", {verdict} {} of {} ({})",
                self.bare(theirs),
                reference.label,
                self.difference(d)
            ));
        }
        let those = |wanted: ToBest| -> Vec<&str> {
            let here = self
                .table
                .rows
                .iter()
                .filter(|r| self.found(r, far).is_some_and(|(_, b)| b == wanted));
            here.map(|r| r.label.as_str()).collect()
        };
        let (equal, open) = (those(ToBest::NoDifference), those(ToBest::NotComparable));
        text.push_str(&match (equal.as_slice(), open.as_slice()) {
            ([], []) => "; every other value is significantly worse".to_string(),
            ([], _) => String::new(),
            (equal, _) => format!("; no significant difference from it for {}", names(equal)),
        });
        let seeds = self
            .study
            .curves
            .iter()
            .map(|c| c.seeds.len())
            .min()
            .unwrap_or(0);
        text.push_str(&match once(seeds) {
            "" => format!(" ({seeds} seeds)"),
            words => format!("; {words}"),
        });
        Some(format!("{text}."))
    }

    /// How far each is served, the farthest first.
    fn effective(self) -> Option<String> {
        let info = self
            .table
            .key
            .as_ref()
            .and_then(|key| self.study.info(key))?;
        let found: Vec<(&str, &EffectiveLength)> = self
            .table
            .rows
            .iter()
            .filter_map(|r| Some((r.label.as_str(), r.effective.as_ref()?)))
            .collect();
        let mut lengths: Vec<usize> = found.iter().map(|(_, e)| e.length).collect();
        lengths.sort_unstable();
        lengths.dedup();
        // The trained length is served by definition where a curve is held against its own.
        let own = matches!(info.record.served, Served::Margin | Served::OfOwn(_));
        let part = |length: usize| {
            let here = || found.iter().filter(move |(_, e)| e.length == length);
            let who: Vec<&str> = here().map(|(label, _)| *label).collect();
            let trained = self.study.trained() == Some(length);
            let at = match length {
                0 => "at no length".to_string(),
                _ if trained && own => "at no length past the trained one".into(),
                _ if trained => "at the trained length only".into(),
                _ if self.table.lengths.last() == Some(&length) => {
                    format!(
                        "up to {}, the longest evaluated,",
                        place(self.study, length)
                    )
                }
                _ => format!("up to {}", place(self.study, length)),
            };
            format!("{at} for {}", names(&who))
        };
        let parts: Vec<String> = lengths.iter().rev().map(|&l| part(l)).collect();
        if parts.is_empty() {
            return None;
        }
        let (noun, unit) = (info.noun(), info.unit());
        let shown = match info.record.served {
            Served::Margin => {
                let turn = if info.record.better == Better::Lower {
                    "rise"
                } else {
                    "fall"
                };
                format!(
                    "The {noun} is shown to {turn} by less than {}{unit}",
                    self.margin
                )
            }
            Served::AtLeast(bound) => format!(
                "{} {} {} are shown",
                capital(&info.record.quantity),
                most(info.record.better),
                amount(bound, info.record.scale)
            ),
            Served::OfOwn(share) => format!(
                "At least {} of what is reached at the trained length is shown",
                amount(share, Scale::Share)
            ),
            Served::Never => return None,
        };
        let holes = found.iter().any(|(_, e)| !e.gaps.is_empty());
        let star = if holes {
            " (some shorter lengths excepted; see the table)"
        } else {
            ""
        };
        Some(format!("{shown} {}{star}.", parts.join("; ")))
    }

    /// Who differs from the reference at the trained length.
    fn at_trained(self) -> Option<String> {
        let (key, trained) = (self.table.key.as_ref()?, self.study.trained()?);
        let reference = &self.study.reference.as_ref()?.label;
        let mine = self
            .study
            .differences
            .iter()
            .filter(|d| &d.key == key && d.length == trained);
        let mine: Vec<&Difference> = mine
            .filter(|d| d.outcome != Outcome::NotComparable)
            .collect();
        let seeds = mine.iter().map(|d| d.seeds).min()?;
        let differ: Vec<&str> = mine
            .iter()
            .filter(|d| d.outcome.significant())
            .map(|d| d.label.as_str())
            .collect();
        let largest = mine.iter().max_by(|a, b| {
            let size = |d: &Difference| d.difference.value.abs();
            size(a).total_cmp(&size(b))
        })?;
        let what = match differ.as_slice() {
            [] => format!("no scheme differs significantly from {reference}"),
            some => format!(
                "{} of {} schemes differ significantly from {reference}: {}",
                some.len(),
                mine.len(),
                names(some)
            ),
        };
        let limit = match once(seeds) {
            "" => String::new(),
            words => format!("; {words}"),
        };
        Some(format!(
            "At {} {what} (the largest difference is {}'s: {}{limit}).",
            place(self.study, trained),
            largest.label,
            self.difference(largest)
        ))
    }
}

/// The first letter large.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}
