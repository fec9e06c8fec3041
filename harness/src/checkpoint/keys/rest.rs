//! What becomes of keys that nobody asked for.

use super::super::files::excerpt;
use super::super::known_keys::{OF_TOOLS, WITHOUT_EFFECT};
use super::{Keys, WAY_PAST, alike};
use crate::config::suggest;
use crate::{Error, Result};
use serde_json::Value;

impl Keys {
    /// Lists keys that nobody asked for and that cannot change the computation, or say what is computed anyway, which
    /// `says` tells for each key. Refuses all others together.
    pub(super) fn nothing_left(&mut self, says: impl Fn(&str) -> Option<Value>) -> Result<()> {
        let mut refused = Vec::new();
        for (key, value) in std::mem::take(&mut self.left) {
            let of_tools = OF_TOOLS.iter().any(|start| key.starts_with(start));
            if WITHOUT_EFFECT.contains(&key.as_str()) || of_tools || value.is_null() {
                self.note(&key, Some(value), "no effect on the computation");
                continue;
            }
            let said = says(&key);
            if said.as_ref().is_some_and(|said| alike(&value, said)) {
                self.note(&key, Some(value), "says what is computed anyway");
                continue;
            }
            let hint = suggest::hint(&key, self.asked.iter().copied());
            let path = excerpt(&format!("{}{key}", self.prefix));
            let value = excerpt(&value.to_string());
            refused.push(match said {
                Some(said) => format!(
                    "key `{path}` = {value}: this family computes with {}, whatever the key says",
                    excerpt(&said.to_string())
                ),
                None => format!(
                    "key `{path}` = {value} is unknown and may change the computation{hint}"
                ),
            });
        }
        if refused.is_empty() {
            return Ok(());
        }
        const LISTED: usize = 20;
        let more = refused.len().saturating_sub(LISTED);
        refused.truncate(LISTED);
        let more = match more {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        Err(Error::Data(format!(
            "{}: {}{more} (to leave a key out of account: {WAY_PAST})",
            self.file.display(),
            refused.join("; ")
        )))
    }
}
