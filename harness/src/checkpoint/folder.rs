//! Checkpoint folders as they are written.

use super::header::Type;
use super::state::write;
use crate::model::Values;
use crate::{Error, Result};
use farspan_reports::store::write_atomic;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Files of a checkpoint folder that go along as they are.
const COPIED: [&str; 9] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "generation_config.json",
];
/// A tensor's name, shape and numbers.
type Entry<'v> = (&'v String, &'v (Vec<usize>, Vec<f32>));

/// How weights are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Type of the numbers; nothing means that of the checkpoint that the model was made from.
    pub kind: Option<Type>,
    /// Bytes of a file above which weights are split over several, with an index.
    pub shard: u64,
}

impl Default for Form {
    fn default() -> Form {
        Form {
            kind: Some(Type::F32),
            shard: 5_000_000_000,
        }
    }
}

/// What goes along with the weights.
#[derive(Clone, Debug)]
pub enum Beside {
    /// The tokenizer and its like of a checkpoint folder.
    Folder(PathBuf),
    /// A `tokenizer.json`, if there is one.
    Tokenizer(Option<Vec<u8>>),
}

/// Refuses a folder that has a checkpoint.
pub(super) fn fresh(out: &Path) -> Result<()> {
    if out.join("config.json").exists() {
        let text = format!(
            "{}: expected a new folder, this one has a checkpoint",
            out.display()
        );
        return Err(Error::Config(text));
    }
    Ok(())
}

/// Writes a checkpoint folder; its config comes last, so that a folder with one is whole.
pub(super) fn write_folder(
    mut config: Map<String, Value>,
    values: &Values,
    beside: &Beside,
    form: Form,
    out: &Path,
) -> Result<()> {
    let kind = form.kind.unwrap_or(Type::F32);
    for key in ["torch_dtype", "dtype"] {
        config.insert(key.into(), json!(kind.name()));
    }
    let writing = |e| Error::io(format!("writing {}", out.display()), e);
    std::fs::create_dir_all(out).map_err(writing)?;
    match beside {
        Beside::Folder(from) => {
            for name in COPIED {
                let file = from.join(name);
                if file.exists() {
                    std::fs::copy(file, out.join(name)).map_err(writing)?;
                }
            }
        }
        Beside::Tokenizer(None) => {}
        Beside::Tokenizer(Some(json)) => {
            write_atomic(&out.join("tokenizer.json"), json)?;
            let class = json!({ "tokenizer_class": "PreTrainedTokenizerFast" });
            let class = format!("{class}\n");
            write_atomic(&out.join("tokenizer_config.json"), class.as_bytes())?;
        }
    }
    write_weights(values, kind, form.shard, out)?;
    let text = serde_json::to_string_pretty(&config).map_err(|e| Error::Bug(e.to_string()))?;
    let file = out.join("config.json");
    Ok(write_atomic(&file, format!("{text}\n").as_bytes())?)
}

/// Writes `values` into one file, or into shards of at most `limit` bytes (or one tensor) with their index.
fn write_weights(values: &Values, kind: Type, limit: u64, out: &Path) -> Result<()> {
    let size = |data: &Vec<f32>| (data.len() * kind.size()) as u64;
    let mut shards: Vec<(u64, Vec<Entry<'_>>)> = Vec::new();
    for entry in values {
        let more = size(&entry.1.1);
        match shards.last_mut() {
            Some((held, entries)) if *held + more <= limit => {
                *held += more;
                entries.push(entry);
            }
            _ => shards.push((more, vec![entry])),
        }
    }
    let format = || ("format", "pt".to_string());
    if let [(_, entries)] = shards.as_slice() {
        return write(
            &out.join("model.safetensors"),
            entries.iter().copied(),
            kind,
            format(),
        );
    }
    let mut map = Map::new();
    let mut total = 0;
    let count = shards.len();
    for (number, (held, entries)) in shards.into_iter().enumerate() {
        let name = format!("model-{:05}-of-{count:05}.safetensors", number + 1);
        total += held;
        for (tensor, _) in &entries {
            map.insert((*tensor).clone(), json!(name));
        }
        write(&out.join(&name), entries, kind, format())?;
    }
    let index = json!({ "metadata": { "total_size": total }, "weight_map": map });
    let text = serde_json::to_string_pretty(&index).map_err(|e| Error::Bug(e.to_string()))?;
    let path = out.join("model.safetensors.index.json");
    Ok(write_atomic(&path, format!("{text}\n").as_bytes())?)
}
