//! Tables of what several tasks show together, and of what the place of what is asked for does; with their rules.

use super::{Table, ends, shown};
use crate::figure::{Data, plain};
use crate::stats::Estimate;
use crate::summary::{Aggregate, MeasureInfo, Rank, StudySummary};

/// How scores are averaged.
pub(crate) fn averaging(found: &Aggregate) -> String {
    let columns = match found.multiples {
        true => {
            "multiples of the trained length that all tasks have, as the tasks were trained at different lengths"
        }
        false => "lengths that all tasks have",
    };
    let mixed = match found.mixed {
        true => {
            " Curves were trained at different lengths: a number of tokens is another multiple for each."
        }
        false => "",
    };
    format!(
        "Average: mean over the {columns}.{mixed} Increasing and decreasing: the same with weights that rise (1, 2, 3, …) or fall \
         linearly with length. Within and beyond: mean over those up to the trained length and past it. A length that a scheme \
         refuses counts as 0. Intervals: prompts of all tasks, and between seeds the spread of each seed's average."
    )
}
/// How ranks are made.
pub(crate) fn ranking(found: &Aggregate) -> String {
    let chance = match found.at_chance {
        0 => String::new(),
        1 => " One place at which no curve is shown to be above chance does not count.".into(),
        n => format!(" {n} places at which no curve is shown to be above chance do not count."),
    };
    format!(
        "Rank: of the average share right past the trained length, from one more than the number of curves that are \
         significantly better to all but those that are significantly worse (paired, simultaneous over all pairs of curves). \
         Mean reciprocal rank: for every task and length past the trained one the curves are ranked by their share right, curves \
         with the same share having the mean of their ranks; the mean of 1 over the rank is 1 for the first everywhere. A \
         length that a scheme refuses counts as 0.{chance}"
    )
}
/// What the effects of a place are.
pub(crate) const DEPTHS: &str = "Primacy: share found at the start minus the least share strictly between start and end; \
     recency: the same of the end; basin: mean of start and end minus the mean from 0.3 to 0.7. Percentile intervals of a \
     bootstrap over trials; the least of several shares lies low by chance, so that primacy and recency lie a little high.";

/// The heads of the columns that scores are averaged in.
fn columns(found: &Aggregate) -> Vec<String> {
    let head = |x: &f64| match found.multiples {
        true => format!("#{}×", plain(*x)),
        false => format!("#{}", plain(*x)),
    };
    found.columns.iter().map(head).collect()
}

pub(crate) fn scores(found: &Aggregate, name: &str) -> Table {
    let rest = [
        "#average",
        "#increasing",
        "#decreasing",
        "#within",
        "#beyond",
    ];
    let heads: Vec<String> = ["scheme".to_string()]
        .into_iter()
        .chain(columns(found))
        .chain(rest.map(String::from))
        .collect();
    let mut wide = Data::new(&heads.iter().map(String::as_str).collect::<Vec<_>>());
    let mut long = Data::new(&["scheme", "of", "#value", "#low", "#high"]);
    for score in &found.scores {
        let rest = [
            score.average,
            score.increasing,
            score.decreasing,
            score.within,
            score.beyond,
        ];
        let all: Vec<Option<Estimate>> = score.by_column.iter().copied().chain(rest).collect();
        let text = |x: &Option<Estimate>| {
            x.map_or_else(|| "–".into(), |x| shown(x, &|x| format!("{x:.3}")))
        };
        wide.row(
            [score.label.clone()]
                .into_iter()
                .chain(all.iter().map(text))
                .collect(),
        );
        for (head, found) in heads[1..].iter().zip(&all) {
            let Some(found) = found else { continue };
            let (low, high) = ends(found.interval);
            let of = head.trim_start_matches('#').to_string();
            long.row(vec![
                score.label.clone(),
                of,
                found.value.to_string(),
                low,
                high,
            ]);
        }
    }
    let by = if found.multiples {
        "multiple of the trained length"
    } else {
        "length in tokens"
    };
    Table {
        slug: format!("{}-average-score", name.replace(' ', "-")),
        caption: format!(
            "{name}: average share right of {} tasks by {by}",
            found.tasks.len()
        ),
        wide,
        long,
    }
}

pub(crate) fn ranks(found: &Aggregate, name: &str) -> Table {
    let heads = ["scheme", "#rank", "#mean reciprocal rank", "#places"];
    let mut wide = Data::new(&heads);
    let mut long = Data::new(&[
        "scheme",
        "#best rank",
        "#worst rank",
        "#mean reciprocal rank",
        "#places",
    ]);
    for rank in &found.ranks {
        wide.row(vec![
            rank.label.clone(),
            range(rank),
            format!("{:.3}", rank.reciprocal),
            rank.places.to_string(),
        ]);
        long.row(vec![
            rank.label.clone(),
            rank.best.to_string(),
            rank.worst.to_string(),
            rank.reciprocal.to_string(),
            rank.places.to_string(),
        ]);
    }
    Table {
        slug: format!("{}-reciprocal-rank", name.replace(' ', "-")),
        caption: format!("{name}: ranks over tasks and lengths past the trained one"),
        wide,
        long,
    }
}

/// `3`, `2–5`.
pub(crate) fn range(rank: &Rank) -> String {
    match rank.best == rank.worst {
        true => rank.best.to_string(),
        false => format!("{}–{}", rank.best, rank.worst),
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
