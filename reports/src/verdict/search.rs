//! What a search for settings came to, on the windows that it searched with.

use super::words::{joined, number};
use crate::record::SearchRecord;
use crate::summary::{Curve, StudySummary};

/// One sentence for each curve whose settings were found by search. All seeds search alike, for other weights.
pub(super) fn outcomes(study: &StudySummary) -> Vec<String> {
    study.curves.iter().filter_map(outcome).collect()
}

fn outcome(curve: &Curve) -> Option<String> {
    let searches = &curve.searches;
    let first = searches.first()?;
    let mean = |of: &dyn Fn(&SearchRecord) -> f64| {
        searches.iter().map(of).sum::<f64>() / searches.len() as f64
    };
    let seeds = match searches.len() {
        1 => String::new(),
        n => format!(", mean of {n} seeds"),
    };
    let mut parts = Vec::new();
    for (i, rival) in first.rivals.iter().enumerate() {
        let theirs = |s: &SearchRecord| s.rivals.get(i).map_or(f64::NAN, |r| r.nll);
        let beaten = searches.iter().filter(|s| s.nll < theirs(s)).count();
        let verb = match beaten {
            n if n == searches.len() => "beats".to_string(),
            0 => "does not beat".to_string(),
            n => format!("beats, with {n} of {} seeds,", searches.len()),
        };
        parts.push(format!(
            "{verb} {} ({})",
            rival.title,
            number(mean(&theirs).exp())
        ));
    }
    Some(format!(
        "{}'s search reached perplexity {} on {} validation windows of {} tokens after {} trials{seeds}; there it {}.",
        curve.label,
        number(mean(&|s| s.nll).exp()),
        first.windows,
        first.length,
        first.trials,
        joined(&parts)
    ))
}
