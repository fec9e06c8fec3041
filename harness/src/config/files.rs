//! Numbers that a config takes from a file: `inv_freq = { file = "x.npy" }`.

use super::problem::join;
use super::tree::{Mark, Node, Value};
use candle_core::{DType, Device, Tensor};
use std::path::Path;

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
        match named(node).and_then(|(file, tensor)| numbers(file, tensor)) {
            Ok(tensor) => {
                node.value = nested(&tensor, &node.at);
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

/// An f64 tensor of one or two axes.
fn numbers(file: &str, tensor: Option<&str>) -> Result<Tensor, String> {
    let path = Path::new(file);
    let wrong = |e: candle_core::Error| format!("{file}: {e}");
    let found = match path.extension().and_then(|e| e.to_str()) {
        Some("npy") if tensor.is_none() => Tensor::read_npy(path).map_err(wrong)?,
        Some("npy") => {
            return Err(format!(
                "{file}: an .npy file holds one tensor without a name"
            ));
        }
        Some("safetensors") => {
            let mut all = candle_core::safetensors::load(path, &Device::Cpu).map_err(wrong)?;
            let mut names: Vec<String> = all.keys().cloned().collect();
            names.sort();
            let name = match (tensor, names.as_slice()) {
                (Some(name), _) => name,
                (None, [one]) => one,
                (None, _) => {
                    return Err(format!(
                        "{file}: expected `tensor` = one of [{}]",
                        names.join(", ")
                    ));
                }
            };
            all.remove(name).ok_or_else(|| {
                format!(
                    "{file}: no tensor {name:?}; tensors: [{}]",
                    names.join(", ")
                )
            })?
        }
        _ => {
            return Err(format!(
                "{file}: expected a file ending in .npy or .safetensors"
            ));
        }
    };
    if !(1..=2).contains(&found.rank()) {
        return Err(format!(
            "{file}: expected one or two axes, found shape {:?}",
            found.dims()
        ));
    }
    found.to_dtype(DType::F64).map_err(wrong)
}

/// The numbers as lists.
fn nested(tensor: &Tensor, mark: &Mark) -> Value {
    let list = |row: Vec<f64>| {
        let node = |x: f64| Node {
            key: mark.clone(),
            at: mark.clone(),
            value: Value::Float(x),
        };
        Value::List(row.into_iter().map(node).collect())
    };
    match tensor.rank() {
        1 => list(tensor.to_vec1().unwrap_or_default()),
        _ => {
            let rows = tensor.to_vec2().unwrap_or_default().into_iter();
            let row = |row| Node {
                key: mark.clone(),
                at: mark.clone(),
                value: list(row),
            };
            Value::List(rows.map(row).collect())
        }
    }
}
