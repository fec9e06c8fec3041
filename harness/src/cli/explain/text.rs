//! An explanation as text for a terminal.

use crate::cli::table::{Table, number, wrap};
use farspan_pe::{Bias, Explanation, RotationReach, Served};
use std::fmt::Write;

/// Width of running text.
const WIDTH: usize = 96;

/// All of it, in the order in which a reader asks.
pub(super) fn text(e: &Explanation) -> String {
    let mut out = String::new();
    let mut line = |text: &str| {
        let _ = writeln!(out, "{text}");
    };
    let doubt = if e.experimental {
        ", formula not confirmed"
    } else {
        ""
    };
    line(&format!(
        "{} ({}, {} family{doubt})",
        e.title, e.id, e.family
    ));
    line(&e.paper);
    wrap(&e.idea, WIDTH).iter().for_each(|text| line(text));
    line(&format!("Needs {}.", e.needs));
    line("\nFormula");
    e.formula
        .text
        .lines()
        .for_each(|text| line(&format!("  {text}")));
    line("\nSettings");
    line(settings(e).trim_end());
    let m = &e.model;
    let many = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    line(&format!(
        "\nWith {} of {} of {} channels, width {}, trained at {} tokens, {} positions in use:",
        many(m.layers, "layer"),
        many(m.heads, "head"),
        m.head_dim,
        m.width,
        m.trained_length,
        e.length
    ));
    for turn in 0..e.inv_freq.len() {
        line(&format!("\n{}", frequencies(e, turn).trim_end()));
    }
    if !e.inv_freq.is_empty() {
        line(&format!(
            "\nScale\n  cos and sin × {}, so scores × {}",
            number(e.attention_scale),
            number(e.score_scale)
        ));
    }
    if let Some(embedding) = &e.embedding {
        line(&format!("\nAdded to the embeddings\n  {}", embedding.text));
    }
    if !e.params.is_empty() {
        line("\nParameters");
        line(params(e).trim_end());
    }
    if let Some(bias) = &e.bias {
        line(&format!("\n{}", biases(bias).trim_end()));
    }
    line("\nCost");
    wrap(&e.cost.text, WIDTH - 2)
        .iter()
        .for_each(|text| line(&format!("  {text}")));
    if let Some(rotation) = &e.rotation {
        line("\nHow far the rotation carries");
        carries(e, rotation)
            .iter()
            .for_each(|text| line(&format!("  {text}")));
    }
    line("\nRuns with");
    line(served(&e.implementations).trim_end());
    line("\nRuns on");
    line(served(&e.devices).trim_end());
    line(&format!("\nPlan {}", e.plan_hash));
    out
}

/// What theory says of a rotation.
fn carries(e: &Explanation, rotation: &RotationReach) -> Vec<String> {
    let mut lines = Vec::new();
    let negative = match rotation.first_negative_distance {
        Some(distance) => format!(
            "from distance {distance} on, a key like the query may stand out less than others"
        ),
        None => format!(
            "a key like the query stands out at all distances below {}",
            e.length
        ),
    };
    lines.push(format!("{negative} (arXiv 2405.14591)"));
    if let Some(base) = rotation.smallest_base {
        lines.push(format!(
            "smallest base for which that holds up to {} tokens: about {base:.0}",
            e.length
        ));
    }
    lines.push(format!(
        "{} of {} turned channels make a full turn within the trained length (critical dimension, arXiv 2310.05209)",
        rotation.critical_dim,
        2 * e.inv_freq.first().map_or(0, Vec::len)
    ));
    lines
}

fn served(list: &[Served]) -> String {
    let mut table = Table::new(&["", "", ""]).indented(2);
    for entry in list {
        let runs = if entry.runs { "yes" } else { "no" };
        table.row([entry.name.to_string(), runs.to_string(), entry.why.clone()]);
    }
    table.text()
}

fn settings(e: &Explanation) -> String {
    if e.setting_docs.is_empty() {
        return "  none".into();
    }
    let mut table = Table::new(&["key", "value", "what"]).indented(2);
    for setting in &e.setting_docs {
        let value = match &setting.value {
            serde_json::Value::Null => "not set".to_string(),
            value => value.to_string(),
        };
        let default = match &setting.default {
            serde_json::Value::Null => String::new(),
            default => format!("; default {default}"),
        };
        let what = format!("{} ({}{default})", setting.doc, setting.rule);
        table.row([setting.key.clone(), value, what]);
    }
    table.text()
}

/// The frequencies of one turn: the first and last pairs, and where a pair no longer turns once.
fn frequencies(e: &Explanation, turn: usize) -> String {
    let (inv_freq, turns) = (&e.inv_freq[turn], &e.turns_in_trained_length[turn]);
    let pairs = inv_freq.len();
    let slow = turns.iter().filter(|&&t| t < 1.0).count();
    let boundary = turns.iter().position(|&t| t < 1.0);
    let mut rows: Vec<usize> = (0..pairs.min(3))
        .chain(pairs.saturating_sub(3)..pairs)
        .collect();
    rows.extend(boundary.into_iter().flat_map(|i| [i.saturating_sub(1), i]));
    rows.sort_unstable();
    rows.dedup();
    let several = e.inv_freq.len() > 1;
    let title = if several {
        format!("Frequencies of turn {turn}")
    } else {
        "Frequencies".to_string()
    };
    let position = &e.positions[turn];
    let place = match (position.query.as_slice(), position.key.as_slice()) {
        ([q], [k]) => format!("positions {q} and {k}"),
        (q, k) => format!(
            "positions per {} ({}) and per {} ({})",
            position.query_axis,
            q.len(),
            position.key_axis,
            k.len()
        ),
    };
    let mut table = Table::new(&[
        ">pair",
        ">inv_freq",
        ">wavelength",
        ">turns when trained",
        "",
    ])
    .indented(2);
    let mut last = None;
    for i in rows {
        if last.is_some_and(|last: usize| i > last + 1) {
            table.row(["…", "", "", "", ""]);
        }
        last = Some(i);
        let wavelength = number(e.wavelengths[turn][i]);
        table.row([
            i.to_string(),
            number(inv_freq[i]),
            wavelength,
            number(turns[i]),
            if turns[i] < 1.0 { "never round" } else { "" }.to_string(),
        ]);
    }
    format!(
        "{title} ({pairs} pairs, {place}; wavelengths in tokens)\n{}  {slow} of {pairs} pairs turn less than once \
         within the trained length\n",
        table.text()
    )
}

fn params(e: &Explanation) -> String {
    let mut table = Table::new(&["name", "shape", "", "values"]).indented(2);
    for param in &e.params {
        let kind = match (param.learned, param.per_layer) {
            (false, _) => "constant",
            (true, false) => "learned, shared by layers",
            (true, true) => "learned, one per layer",
        };
        let few = |values: &[f64]| {
            values
                .iter()
                .map(|&x| number(x))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let values = match &param.values {
            Some(values) if values.len() <= 16 => few(values),
            Some(values) => format!("{} … ({} in all)", few(&values[..8]), values.len()),
            None => param.text.clone(),
        };
        table.row([
            param.name.clone(),
            format!("{:?}", param.shape),
            kind.into(),
            values,
        ]);
    }
    table.text()
}

/// What is added to the score, by distance where one query is shown.
fn biases(bias: &Bias) -> String {
    let mut out = format!("Added to scores ({})\n", bias.note);
    for (i, query) in bias.queries.iter().enumerate() {
        let keys: Vec<(usize, usize)> = bias
            .keys
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, key)| key <= query)
            .rev()
            .collect();
        let titles: Vec<String> = keys
            .iter()
            .map(|(_, key)| format!(">{}", query - key))
            .collect();
        let mut columns = vec!["head"];
        columns.extend(titles.iter().map(String::as_str));
        let mut table = Table::new(&columns).indented(2);
        for (head, rows) in bias.values.iter().enumerate() {
            let cell = |&(j, _): &(usize, usize)| rows[i][j].map_or("hidden".to_string(), short);
            table.row(std::iter::once(head.to_string()).chain(keys.iter().map(cell)));
        }
        out.push_str(&format!(
            "  query {query}; columns are distances to the key\n{}",
            table.text()
        ));
    }
    out
}

/// Four significant digits: there are many columns.
fn short(x: f64) -> String {
    match x.abs() {
        _ if x == 0.0 => "0".into(),
        a if !(1e-3..1e4).contains(&a) => format!("{x:.1e}"),
        a => format!(
            "{x:.*}",
            (3 - a.log10().floor() as i32).clamp(0, 4) as usize
        ),
    }
}
