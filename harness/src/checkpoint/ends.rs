//! Where a text begins and ends: the tokens that open one (BOS) and close one (EOS).

use super::files::{excerpt, regular};
use super::text::{Tokenizer, utf8};
use crate::{Error, Result};
use serde_json::Value;
use std::path::Path;

/// The tokens that end a text of the checkpoint in `dir`: those of `generation_config.json`, else those of `config.json`,
/// else the token that `tokenizer_config.json` names; none if nothing tells.
pub fn ends(dir: &Path, tokenizer: &Tokenizer) -> Result<Vec<u32>> {
    if let Some(ids) = ids(dir, "eos_token_id")? {
        return Ok(ids);
    }
    let named = entry(&dir.join("tokenizer_config.json"), "eos_token")?;
    let text = named.as_str().or_else(|| named["content"].as_str());
    Ok(text
        .and_then(|token| tokenizer.id(token))
        .into_iter()
        .collect())
}

/// The token that opens a text of the checkpoint in `dir`, by the files that [`ends`] looks into; none if they do not tell
/// one.
pub fn begins(dir: &Path) -> Result<Option<u32>> {
    Ok(match ids(dir, "bos_token_id")?.as_deref() {
        Some([id]) => Some(*id),
        _ => None,
    })
}

/// What `generation_config.json` says under `key`, or else `config.json`: an id or a list of them.
fn ids(dir: &Path, key: &str) -> Result<Option<Vec<u32>>> {
    for name in ["generation_config.json", "config.json"] {
        let path = dir.join(name);
        let value = entry(&path, key)?;
        let listed = match &value {
            Value::Null => continue,
            Value::Array(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        let id = |id: &Value| {
            let spelt = id.as_f64().filter(|x| x.fract() == 0.0 && *x >= 0.0);
            spelt
                .filter(|x| *x <= f64::from(u32::MAX))
                .map(|x| x as u32)
        };
        let ids: Option<Vec<u32>> = listed.iter().map(id).collect();
        let wrong = || {
            Error::Data(format!(
                "{}: key `{key}`: expected a token id or a list of them, found {}",
                path.display(),
                excerpt(&value.to_string())
            ))
        };
        return ids.ok_or_else(wrong).map(Some);
    }
    Ok(None)
}

/// A key of a JSON file; null if there is none.
fn entry(path: &Path, key: &str) -> Result<Value> {
    if !path.exists() {
        return Ok(Value::Null);
    }
    regular(path)?;
    let table: Value = serde_json::from_str(&utf8(path)?)
        .map_err(|e| Error::Data(format!("{}: {e}", path.display())))?;
    Ok(table[key].clone())
}
