//! Tables of what several tasks show together, and of what the place of what is asked for does; with their rules.

use super::{Table, ends, shown};
use crate::figure::Data;
use crate::summary::{Aggregate, MeasureInfo, StudySummary};

/// How scores are averaged.
pub(crate) const SCORES: &str = "Average: mean over the lengths that all tasks have. Increasing and decreasing: the same \
     with weights that rise (1, 2, 3, …) or fall linearly with length. Within and beyond: mean over the lengths up to the \
     trained one and past it, of all lengths of each task. A length that a scheme refuses counts as 0.";
/// How ranks are made.
pub(crate) const RANKS: &str = "For every task and length past the trained one the curves are ranked by their share right, \
     curves with the same share having the mean of their ranks; shown is the mean of 1 over the rank: 1 is first everywhere. \
     A length that a scheme refuses counts as 0. Differences of ranks need not be differences that an interval supports.";
/// What the effects of a place are.
pub(crate) const DEPTHS: &str = "Primacy: share found at the start minus the least share strictly between start and end; \
     recency: the same of the end; basin: mean of start and end minus the mean from 0.3 to 0.7. Percentile intervals of a \
     bootstrap over trials; the least of several shares lies low by chance, so that primacy and recency lie a little high.";

fn share(x: Option<f64>) -> String {
    x.map_or_else(|| "–".into(), |x| format!("{x:.3}"))
}

fn exact(x: Option<f64>) -> String {
    x.map_or_else(String::new, |x| x.to_string())
}

pub(crate) fn scores(found: &Aggregate, name: &str) -> Table {
    let lengths = found.lengths.iter().map(|l| format!("#{l}"));
    let rest = [
        "#average",
        "#increasing",
        "#decreasing",
        "#within",
        "#beyond",
    ]
    .map(String::from);
    let heads: Vec<String> = ["scheme".to_string()]
        .into_iter()
        .chain(lengths)
        .chain(rest)
        .collect();
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let (mut wide, mut long) = (Data::new(&heads), Data::new(&heads));
    for score in &found.scores {
        let rest = [
            score.average,
            score.increasing,
            score.decreasing,
            score.within,
            score.beyond,
        ];
        let all: Vec<Option<f64>> = score.by_length.iter().copied().chain(rest).collect();
        let row = |format: fn(Option<f64>) -> String| {
            [score.label.clone()]
                .into_iter()
                .chain(all.iter().map(|x| format(*x)))
                .collect()
        };
        wide.row(row(share));
        long.row(row(exact));
    }
    Table {
        slug: format!("{}-average-score", name.replace(' ', "-")),
        caption: format!(
            "{name}: average share right of {} tasks by length in tokens",
            found.tasks.len()
        ),
        wide,
        long,
    }
}

pub(crate) fn ranks(found: &Aggregate, name: &str) -> Table {
    let heads = ["scheme", "#mean reciprocal rank", "#places"];
    let (mut wide, mut long) = (Data::new(&heads), Data::new(&heads));
    for rank in &found.ranks {
        let row = |value: String| vec![rank.label.clone(), value, rank.places.to_string()];
        wide.row(row(share(Some(rank.reciprocal))));
        long.row(row(rank.reciprocal.to_string()));
    }
    Table {
        slug: format!("{}-reciprocal-rank", name.replace(' ', "-")),
        caption: format!(
            "{name}: mean reciprocal rank over tasks and lengths past the trained one"
        ),
        wide,
        long,
    }
}

pub(crate) fn depths(study: &StudySummary, info: &MeasureInfo) -> Table {
    let mut wide = Data::new(&["scheme", "#length", "#primacy", "#recency", "#basin"]);
    let heads = ["scheme", "#length", "effect", "#value", "#low", "#high"];
    let mut long = Data::new(&heads);
    for e in study.depth_effects.iter().filter(|e| e.key == info.key) {
        let all = [
            ("primacy", e.primacy),
            ("recency", e.recency),
            ("basin", e.basin),
        ];
        let start = [e.label.clone(), e.length.to_string()];
        let cells = all.map(|(_, x)| shown(x, &|x| format!("{x:+.2}")));
        wide.row(start.iter().cloned().chain(cells).collect());
        for (name, x) in all {
            let (low, high) = ends(x.interval);
            let rest = [name.to_string(), x.value.to_string(), low, high];
            long.row(start.iter().cloned().chain(rest).collect());
        }
    }
    Table {
        slug: format!("{}-{}-place", study.name, info.slug),
        caption: format!(
            "{}: {}, effect of the place on the share",
            study.name, info.record.title
        ),
        wide,
        long,
    }
}
