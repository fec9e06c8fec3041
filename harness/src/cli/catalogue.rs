//! The schemes of a registry as a document.

use farspan_pe::{Card, Entry, Family, LEFT_OUT, Needs, Registry, settings};
use serde_json::json;
use std::fmt::Write;

/// `docs/schemes.md`: what there is, family by family, and what is left out and why.
pub(super) fn markdown(registry: &Registry) -> String {
    let entries = registry.entries();
    let mut out = String::from(
        "# Positional encodings\n\n\
         Written by `farspan list schemes --markdown`; `farspan explain ID` tells more of each, with numbers for a \
         model of your sizes.\n\n",
    );
    let extensions = entries
        .iter()
        .filter(|e| e.card.needs != Needs::Scratch)
        .count();
    let _ = writeln!(
        out,
        "{} schemes, {extensions} of them extensions of weights that were trained under another one.\n",
        entries.len()
    );
    out.push_str("| id | name | year | family | needs |\n|---|---|---|---|---|\n");
    for entry in entries {
        let Card {
            title,
            paper,
            family,
            needs,
            ..
        } = entry.card;
        let year = if paper.year == 0 {
            "–".to_string()
        } else {
            paper.year.to_string()
        };
        let doubt = if entry.card.experimental {
            " (experimental)"
        } else {
            ""
        };
        let id = entry.id;
        let _ = writeln!(
            out,
            "| [`{id}`](#{id}) | {title}{doubt} | {year} | {family} | {needs} |"
        );
    }
    for family in Family::ALL {
        let _ = write!(out, "\n## {}\n", title(family));
        entries
            .iter()
            .filter(|e| e.card.family == family)
            .for_each(|e| scheme(e, &mut out));
    }
    out.push_str("\n## Not here\n\n| what | source | why |\n|---|---|---|\n");
    for row in LEFT_OUT {
        let _ = writeln!(out, "| {} | {} | {} |", row.name, row.source, row.why);
    }
    out
}

fn title(family: Family) -> &'static str {
    match family {
        Family::Rotary => "Rotary",
        Family::Remap => "Remapped distances",
        Family::Bias => "Biases",
        Family::Relative => "Relative",
        Family::Content => "Content-dependent",
        Family::Absolute => "Absolute",
        Family::Layerwise => "Different by layer",
        Family::Training => "Ways of training",
        Family::None => "Without positions",
        Family::Scaling => "Temperatures",
        Family::Custom => "Custom",
        _ => "Others",
    }
}

fn scheme(entry: &Entry, out: &mut String) {
    let card = &entry.card;
    let _ = write!(
        out,
        "\n### {}\n\n**{}.** {}",
        entry.id, card.title, card.idea
    );
    if card.experimental {
        out.push_str(" *Experimental: its formula could not be confirmed.*");
    }
    let _ = write!(out, "\n\n{}. Needs {}.", card.paper, card.needs);
    if card.task_ids {
        out.push_str(" Reads ids that some tasks give their tokens.");
    }
    out.push('\n');
    if !card.formula.is_empty() {
        let _ = write!(out, "\n```text\n{}\n```\n", card.formula);
    }
    let Ok(parsed) = entry.parse(json!({})) else {
        return;
    };
    let settings = settings(parsed.as_ref());
    if settings.is_empty() {
        return;
    }
    out.push_str("\n| setting | default | rule | what |\n|---|---|---|---|\n");
    for setting in settings {
        let default = if setting.default.is_null() {
            "–".to_string()
        } else {
            format!("`{}`", setting.default)
        };
        let _ = writeln!(
            out,
            "| `{}` | {default} | {} | {} |",
            setting.key,
            cell(&setting.rule),
            cell(&setting.doc)
        );
    }
}

/// Text that may stand in a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
