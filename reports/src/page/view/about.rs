//! What the page says of its schemes, and where the run comes from.

use super::*;
use crate::summary::Curve;

/// Every curve of the run once, in the order of the plan; settings from the first study that has it.
pub(super) fn schemes(summary: &Summary) -> Vec<SchemeView> {
    let mut rows: Vec<(usize, SchemeView)> = Vec::new();
    for curve in summary.studies.iter().flat_map(|s| &s.curves) {
        let (given, defaults) = settings(curve, summary.run.resolved.as_deref());
        let row = SchemeView {
            index: curve.index,
            swatch: swatch(curve.index),
            label: curve.label.clone(),
            title: curve.scheme.title.clone(),
            idea: curve.scheme.idea.clone(),
            stage: stage(&curve.scheme),
            formula: curve.scheme.formula.clone(),
            given,
            defaults,
            paper: paper(&curve.scheme.paper),
        };
        let known = rows.iter().any(|(i, known)| {
            let same = (&known.given, &known.defaults, &known.formula);
            *i == curve.index && same == (&row.given, &row.defaults, &row.formula)
        });
        if !known {
            rows.push((curve.index, row));
        }
    }
    rows.sort_by_key(|(index, _)| *index);
    rows.into_iter().map(|(_, row)| row).collect()
}

fn stage(scheme: &SchemeRecord) -> String {
    let base = scheme.base.as_deref();
    match (scheme.stage, base) {
        (Stage::Trained, _) => "trained from scratch".to_owned(),
        (Stage::ZeroShot, Some(base)) => format!("weights of {base}, no further training"),
        (Stage::ZeroShot, None) => "no further training".to_owned(),
        (Stage::FineTuned, Some(base)) => format!("weights of {base}, fine-tuned"),
        (Stage::FineTuned, None) => "fine-tuned".to_owned(),
    }
}

/// Settings as `key = value`: those that the config gives, and all others, which have their defaults. Without a resolved
/// config nothing tells them apart, and all count as given.
fn settings(curve: &Curve, resolved: Option<&str>) -> (Vec<String>, Vec<String>) {
    let given = resolved.and_then(|text| given(text, &curve.scheme.name));
    let Value::Object(map) = &curve.scheme.settings else {
        return (Vec::new(), Vec::new());
    };
    let is_given = |key: &String| given.as_ref().is_none_or(|given| given.contains(key));
    let (mine, rest): (Vec<_>, Vec<_>) = map.iter().partition(|(key, _)| is_given(key));
    let words = |all: Vec<(&String, &Value)>| {
        let one = |(key, value): (&String, &Value)| format!("{key} = {value}");
        all.into_iter().map(one).collect()
    };
    (words(mine), words(rest))
}

/// The keys of a scheme that have not their default, by the origins that a resolved config tells behind its values; `None`
/// if it has no section for the scheme.
fn given(resolved: &str, name: &str) -> Option<Vec<String>> {
    let heads = [format!("[schemes.{name}."), format!("[schemes.\"{name}\".")];
    let mut lines = resolved.lines();
    lines.find(|line| heads.iter().any(|head| line.starts_with(head)))?;
    let key = |line: &str| Some(line.split_once(" = ")?.0.trim_matches('"').to_owned());
    let section = lines.take_while(|line| !line.starts_with('['));
    let given = section.filter(|line| !line.ends_with("# default"));
    Some(given.filter_map(key).collect())
}

/// The words before an arXiv id, the id, and the words behind it; without an id all words stand in front.
fn paper(words: &str) -> (String, String, String) {
    let found = words.split_once("arXiv ").and_then(|(before, rest)| {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'));
        let (id, after) = rest.split_at(end.unwrap_or(rest.len()));
        let (month, number) = id.split_once('.')?;
        let fits = month.len() == 4 && (4..=5).contains(&number.len());
        fits.then(|| (before.to_owned(), id.to_owned(), after.to_owned()))
    });
    found.unwrap_or_else(|| (words.to_owned(), String::new(), String::new()))
}

pub(super) fn provenance(summary: &Summary) -> Vec<(String, String, bool)> {
    let run = &summary.run;
    let mut pairs: Vec<(String, String, bool)> = Vec::new();
    let mut pair = |name: &str, value: &str, code: bool| {
        if !value.is_empty() {
            pairs.push((name.to_owned(), value.to_owned(), code));
        }
    };
    pair("Command", &run.command, true);
    pair("Made", &run.created, false);
    pair("Farspan", &run.version, false);
    pair("Machine", &run.machine, false);
    pair("Config hash (blake3)", &run.config_hash, true);
    let counts = run.counts;
    let states = [
        (counts.done, "done"),
        (counts.diverged, "diverged"),
        (counts.failed, "failed"),
        (counts.unfinished, "unfinished"),
        (counts.unreadable, "unreadable"),
    ];
    let states: Vec<String> = states
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, word)| format!("{n} {word}"))
        .collect();
    pair(
        "Cells",
        &format!("{} planned: {}", counts.planned, states.join(", ")),
        false,
    );
    for study in &summary.studies {
        let name = heading(&study.name);
        if let Some(data) = &study.data {
            pair(&format!("{name}: data"), &data.description, false);
            pair(&format!("{name}: data hash"), &data.hash, true);
            pair(&format!("{name}: tokenizer"), &data.tokenizer, false);
            pair(
                &format!("{name}: tokenizer hash"),
                &data.tokenizer_hash,
                true,
            );
        }
        for engine in &study.engines {
            let sublayers = match engine.fused_halves.as_str() {
                "" => String::new(),
                sublayers => format!(", fused sublayers: {sublayers}"),
            };
            let words = format!(
                "{}, attention {}{sublayers}, version {}",
                engine.device, engine.attention, engine.version
            );
            pair(&format!("{name}: engine"), &words, false);
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_were_given_are_told_from_defaults() {
        let resolved = "seeds = [0]  # a.toml:1:1\n\n[schemes.far.yarn]\nfactor = 4.0   # a.toml:9:1\nbeta = 32   # default\n\n\
                        [schemes.rope.rope]\nbase = 1e4  # a.toml:11:1\n";
        assert_eq!(given(resolved, "far"), Some(vec!["factor".to_owned()]));
        assert_eq!(given(resolved, "rope"), Some(vec!["base".to_owned()]));
        assert_eq!(given(resolved, "fa"), None);
    }

    #[test]
    fn papers_have_their_arxiv_id_apart() {
        let of = |words: &str| paper(words).1;
        assert_eq!(
            of("Press et al. 2021, arXiv 2108.12409, section 3"),
            "2108.12409"
        );
        assert_eq!(paper("a, arXiv 2309.00071, section 3").2, ", section 3");
        assert_eq!(of("arXiv 12"), "");
        assert_eq!(of("arXiv javascript:1234.56789"), "");
    }
}
