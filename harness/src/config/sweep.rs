//! `[sweep]`: variants of studies.

use super::problem::Problems;
use super::studies::{Draft, SHARED};
use super::suggest::hint;
use super::tree::{Mark, Node, Value, parse_key};
use std::collections::HashSet;
use std::sync::Arc;

/// A key path and one value for it, as a point of the sweep has it.
type Setting = (Vec<String>, Node);
type Point = Vec<Setting>;

/// A key path and its values.
struct Axis {
    path: Vec<String>,
    values: Vec<Node>,
    /// The key as written, for messages.
    at: Mark,
}

/// Replaces each study that the sweep touches by its variants. `limit` is the largest number of points.
pub(super) fn expand(
    root: &Node,
    drafts: Vec<Draft>,
    limit: usize,
    problems: &mut Problems,
) -> Vec<Draft> {
    let Some(sweep) = root.get("sweep") else {
        return drafts;
    };
    let before = problems.told();
    for (key, node) in sweep.entries() {
        if !["product", "zip", "exclude"].contains(&key.as_str()) {
            let hint = hint(key, ["product", "zip", "exclude"]);
            problems.add(
                &node.key,
                format!("sweep.{key}"),
                format!("unknown key{hint}"),
            );
        }
    }
    let product = axes(sweep, "product", &drafts, problems);
    let zip = axes(sweep, "zip", &drafts, problems);
    let excluded = exclusions(sweep, &product, &zip, problems);
    for axis in &zip {
        if product.iter().any(|other| other.path == axis.path) {
            problems.add(
                &axis.at,
                axis.path.join("."),
                "stands in both product and zip",
            );
        }
        if axis.values.len() != zip[0].values.len() {
            let what = format!(
                "lists of zip are read side by side: expected {} values as in {}, found {}",
                zip[0].values.len(),
                zip[0].path.join("."),
                axis.values.len()
            );
            problems.add(&axis.at, axis.path.join("."), what);
        }
    }
    let count = product
        .iter()
        .map(|a| a.values.len() as f64)
        .product::<f64>()
        * zip.first().map_or(1.0, |a| a.values.len() as f64);
    if count > limit as f64 {
        let what = format!("{count} points, more than {limit}; --yes allows them");
        problems.add(&sweep.key, "sweep", what);
    }
    if problems.told() > before {
        return drafts;
    }
    let points = points(&product, &zip, &excluded);
    if points.is_empty() {
        problems.add(&sweep.key, "sweep", "no point is left");
    }
    drafts
        .into_iter()
        .flat_map(|draft| variants(draft, &points, problems))
        .collect()
}

fn axes(sweep: &Node, kind: &str, drafts: &[Draft], problems: &mut Problems) -> Vec<Axis> {
    let Some(table) = sweep.get(kind) else {
        return Vec::new();
    };
    if !table.is_table() {
        problems.add(
            &table.at,
            format!("sweep.{kind}"),
            "expected a table of lists by key",
        );
        return Vec::new();
    }
    let mut axes = Vec::new();
    for (path, node) in leaves(table) {
        let key = format!("sweep.{kind}.{}", path.join("."));
        match &node.value {
            Value::List(values) if !values.is_empty() => {
                check_path(&path, &node.key, &key, drafts, problems);
                axes.push(Axis {
                    path,
                    values: values.clone(),
                    at: node.key.clone(),
                });
            }
            _ => problems.add(&node.at, key, "expected a list of at least one value"),
        }
    }
    axes
}

/// Values below a table whose keys may be paths themselves (`"train.lr" = …` and `train.lr = …` alike).
fn leaves(table: &Node) -> Vec<(Vec<String>, Node)> {
    let mut found = Vec::new();
    for (key, node) in table.entries() {
        let path = parse_key(key).unwrap_or_else(|| vec![key.clone()]);
        if node.is_table() {
            let deeper = leaves(node).into_iter();
            found.extend(deeper.map(|(rest, leaf)| ([path.clone(), rest].concat(), leaf)));
        } else {
            found.push((path, node.clone()));
        }
    }
    found
}

/// Whether a path names a setting of a study.
fn check_path(path: &[String], at: &Mark, key: &str, drafts: &[Draft], problems: &mut Problems) {
    let names: Vec<&str> = drafts.iter().map(|d| d.name.as_str()).collect();
    let setting = match path {
        [studies, name, rest @ ..] if studies == "studies" => {
            if !names.contains(&name.as_str()) {
                let hint = hint(name, names.iter().copied());
                problems.add(at, key, format!("no study `{name}` here{hint}"));
                return;
            }
            rest
        }
        whole => whole,
    };
    let known = setting
        .first()
        .is_some_and(|first| SHARED.contains(&first.as_str()));
    if !known || setting.len() < 2 {
        let first = setting.first().map_or("", String::as_str);
        let rule =
            "expected a setting of a study (data, model, train, evaluate, also under studies.NAME)";
        let more = if first == "schemes" {
            "; to vary a scheme's settings, give each variant its own [schemes.NAME]".to_string()
        } else {
            hint(first, SHARED)
        };
        problems.add(at, key, format!("{rule}, found {:?}{more}", path.join(".")));
    }
}

fn exclusions(sweep: &Node, product: &[Axis], zip: &[Axis], problems: &mut Problems) -> Vec<Point> {
    let Some(list) = sweep.get("exclude") else {
        return Vec::new();
    };
    let Value::List(items) = &list.value else {
        problems.add(&list.at, "sweep.exclude", "expected a list of tables");
        return Vec::new();
    };
    let mut excluded = Vec::new();
    for item in items {
        let point = leaves(item);
        if point.is_empty() {
            problems.add(
                &item.at,
                "sweep.exclude",
                "expected a table of keys and values",
            );
        }
        for (path, node) in &point {
            let axis = product.iter().chain(zip).find(|axis| axis.path == *path);
            let known = axis.is_some_and(|axis| axis.values.iter().any(|v| same(v, node)));
            if !known {
                let what = format!(
                    "{} = {} is no value of the sweep",
                    path.join("."),
                    node.compact()
                );
                problems.add(&node.at, "sweep.exclude", what);
            }
        }
        excluded.push(point);
    }
    excluded
}

/// Equal as values, wherever they were written.
fn same(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (Value::Integer(x), Value::Float(y)) | (Value::Float(y), Value::Integer(x)) => {
            *x as f64 == *y
        }
        (Value::List(xs), Value::List(ys)) => {
            xs.len() == ys.len() && xs.iter().zip(ys).all(|(x, y)| same(x, y))
        }
        (Value::Table(xs), Value::Table(_)) => {
            xs.len() == b.entries().len()
                && xs.iter().all(|(k, x)| b.get(k).is_some_and(|y| same(x, y)))
        }
        (x, y) => x == y,
    }
}

fn points(product: &[Axis], zip: &[Axis], excluded: &[Point]) -> Vec<Point> {
    let mut points: Vec<Point> = vec![Vec::new()];
    for axis in product {
        let with = |point: &Point, value: &Node| {
            let mut point = point.clone();
            point.push((axis.path.clone(), value.clone()));
            point
        };
        points = points
            .iter()
            .flat_map(|p| axis.values.iter().map(|v| with(p, v)).collect::<Vec<_>>())
            .collect();
    }
    if let Some(first) = zip.first() {
        let row = |i: usize| {
            zip.iter()
                .filter_map(move |a| Some((a.path.clone(), a.values.get(i)?.clone())))
        };
        points = points
            .iter()
            .flat_map(|p| {
                (0..first.values.len())
                    .map(|i| p.iter().cloned().chain(row(i)).collect::<Point>())
                    .collect::<Vec<_>>()
            })
            .collect();
    }
    let matches = |point: &Point, out: &Point| {
        out.iter()
            .all(|(path, value)| point.iter().any(|(p, v)| p == path && same(v, value)))
    };
    points.retain(|point| !excluded.iter().any(|out| matches(point, out)));
    points
}

/// The part of a point that concerns a study, with paths relative to it.
fn touching(point: &Point, draft: &Draft) -> Point {
    let relative = |path: &[String]| match path {
        [studies, name, rest @ ..] if studies == "studies" => {
            (*name == draft.name).then(|| rest.to_vec())
        }
        whole => Some(whole.to_vec()),
    };
    let setting = |(path, node): &Setting| {
        let path = relative(path).filter(|path| draft.concerns(&path.join(".")))?;
        Some((path, node.clone()))
    };
    point.iter().filter_map(setting).collect()
}

fn variants(draft: Draft, points: &[Point], problems: &mut Problems) -> Vec<Draft> {
    let mut seen: Vec<Draft> = Vec::new();
    let mut names = HashSet::new();
    for point in points {
        let touching = touching(point, &draft);
        if touching.is_empty() {
            return vec![draft];
        }
        let text: Vec<String> = touching
            .iter()
            .map(|(path, node)| format!("{}={}", path.join("."), node.compact()))
            .collect();
        let text = text.join(",");
        let mut variant = draft.clone();
        variant.name = format!("{}[{text}]", draft.name);
        for (path, node) in touching {
            if let Some(Node {
                at: at @ Mark::Argument(_),
                ..
            }) = draft.merged.find(&path)
            {
                let what = "is swept, so it cannot be set; -sweep drops the sweep";
                problems.add(at, path.join("."), what);
            }
            let mark = Mark::Swept(Arc::from(format!("{}={}", path.join("."), node.compact())));
            let swept = marked(node, &mark);
            if let Err(blocked) = variant.merged.put(&path, swept) {
                problems.add(
                    &mark,
                    path.join("."),
                    format!("{} is no table", blocked.join(".")),
                );
            }
        }
        if names.insert(variant.name.clone()) {
            seen.push(variant);
        }
    }
    seen
}

fn marked(node: Node, mark: &Mark) -> Node {
    let value = match node.value {
        Value::Table(entries) => Value::Table(
            entries
                .into_iter()
                .map(|(k, n)| (k, marked(n, mark)))
                .collect(),
        ),
        Value::List(items) => Value::List(items.into_iter().map(|n| marked(n, mark)).collect()),
        other => other,
    };
    Node {
        key: mark.clone(),
        at: mark.clone(),
        value,
    }
}
