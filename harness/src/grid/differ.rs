//! In what a config differs from that of a run folder.

use toml::{Table, Value};

/// Keys that are named.
const NAMED: usize = 5;

/// `these keys differ: studies.text.train.steps (200 there, 400 here)`; both are resolved configs.
pub(super) fn differ(there: &str, here: &str) -> String {
    let (Ok(there), Ok(here)) = (there.parse::<Table>(), here.parse::<Table>()) else {
        return "which keys differ cannot be told".into();
    };
    let mut keys = Vec::new();
    collect(
        "",
        Some(&Value::Table(there)),
        Some(&Value::Table(here)),
        &mut keys,
    );
    if keys.is_empty() {
        return "no key differs: what it reads (data, prompts, a checkpoint) is other than it was"
            .into();
    }
    let more = match keys.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    keys.truncate(NAMED);
    format!("these keys differ: {}{more}", keys.join(", "))
}

fn collect(path: &str, there: Option<&Value>, here: Option<&Value>, keys: &mut Vec<String>) {
    if there == here {
        return;
    }
    let (mut names, tables) = (
        Vec::new(),
        [there, here].map(|v| v.and_then(Value::as_table)),
    );
    for table in tables.into_iter().flatten() {
        names.extend(
            table
                .keys()
                .filter(|key| !names.contains(key))
                .collect::<Vec<_>>(),
        );
    }
    let both = tables.iter().all(Option::is_some);
    if both || (path.is_empty() && !names.is_empty()) {
        for name in names {
            let path = match path {
                "" => name.clone(),
                path => format!("{path}.{name}"),
            };
            let of = |table: Option<&'_ Table>| table.and_then(|table| table.get(name)).cloned();
            collect(&path, of(tables[0]).as_ref(), of(tables[1]).as_ref(), keys);
        }
        return;
    }
    let shown = |value: Option<&Value>| match value {
        None => "not set".to_string(),
        Some(Value::Table(_)) => "set".to_string(),
        Some(value) => value.to_string(),
    };
    keys.push(format!(
        "{path} ({} there, {} here)",
        shown(there),
        shown(here)
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_differ_are_named_with_both_values() {
        let there = "name = \"a\"\n[train]\nsteps = 200\nlr = 0.1\n[schemes.rope.rope]\n";
        let here = "name = \"a\"\n[train]\nsteps = 400\nlr = 0.1\n[schemes.alibi.alibi]\n";
        assert_eq!(
            differ(there, here),
            "these keys differ: train.steps (200 there, 400 here), schemes.rope (set there, not set here), \
             schemes.alibi (not set there, set here)"
        );
        assert!(differ(there, there).starts_with("no key differs: what it reads"));
        let many = (0..9).map(|i| format!("k{i} = {i}\n")).collect::<String>();
        assert!(differ("", &many).ends_with("k4 (not set there, 4 here), and 4 more"));
    }
}
