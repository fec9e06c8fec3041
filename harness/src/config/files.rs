//! Numbers that a config takes from a file: `inv_freq = { file = "x.npy" }`.

use super::numbers::{self, Table};
use super::problem::join;
use super::tree::{self, Mark, Node, Value};

/// Settings of one scheme from `KEY=VALUE` arguments, as a JSON object.
pub(crate) fn settings(arguments: &[String]) -> Result<serde_json::Value, String> {
    let mut root = Node::empty(Mark::Default);
    for argument in arguments {
        let expected = || format!("expected KEY=VALUE, found {argument:?}");
        let (key, value) = argument.split_once('=').ok_or_else(expected)?;
        let path = tree::parse_key(key).ok_or_else(expected)?;
        let node = tree::parse_value(value, &Mark::Default);
        if root.find(&path).is_some() {
            return Err(format!("`{}` is given twice", path.join(".")));
        }
        root.put(&path, node)
            .map_err(|blocked| format!("{} is no table", blocked.join(".")))?;
    }
    let mut found = None;
    load(&mut root, "", &mut |_, key, what| {
        found = found.take().or(Some(format!("{key}: {what}")))
    });
    found.map_or(Ok(root.json()), Err)
}

/// Replaces every table `{ file = …, tensor = … }` of a scheme's settings by the numbers that it names. `wrong` is told
/// where one stands that cannot be read, its key path, and why.
pub(super) fn load(settings: &mut Node, path: &str, wrong: &mut dyn FnMut(&Mark, String, String)) {
    let Value::Table(entries) = &mut settings.value else {
        return;
    };
    entries.retain_mut(|(key, node)| {
        let path = join(path, key);
        if node.get("file").is_none() {
            load(node, &path, wrong);
            return true;
        }
        match named(node).and_then(|(file, tensor)| numbers::read(file, tensor)) {
            Ok(table) => {
                node.value = nested(table, &node.at);
                true
            }
            // Without the numbers the rest is read, so that other mistakes are found too.
            Err(what) => {
                wrong(&node.at, path, what);
                false
            }
        }
    });
}

/// The file and the tensor in it.
fn named(node: &Node) -> Result<(&str, Option<&str>), String> {
    let text = |key: &str| match node.get(key).map(|node| &node.value) {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(format!("{key}: expected text")),
    };
    if let Some(other) = node.keys().find(|key| !["file", "tensor"].contains(key)) {
        return Err(format!(
            "unknown key {other:?} beside `file`; keys: file, tensor"
        ));
    }
    let file = text("file")?.ok_or("expected `file`")?;
    Ok((file, text("tensor")?))
}

/// The numbers as lists, in lists where there are two axes.
fn nested(Table { shape, numbers }: Table, mark: &Mark) -> Value {
    let node = |value: Value| Node {
        key: mark.clone(),
        at: mark.clone(),
        value,
    };
    let list = |row: &[f64]| Value::List(row.iter().map(|&x| node(Value::Float(x))).collect());
    match shape[..] {
        [_, columns] if columns > 0 => {
            let rows = numbers.chunks_exact(columns);
            Value::List(rows.map(|row| node(list(row))).collect())
        }
        _ => list(&numbers),
    }
}
