//! `Over`: the scheme that an extension stands on, for extensions that take any scheme of a family for a base.

use crate::card::Family;
use crate::error::{PlanError, hint};
use crate::registry::Registry;
use crate::scheme::AnyScheme;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Key of the setting: whoever knows the base fills it in.
pub const OVER: &str = "over";

/// A scheme with its settings, written as `{ alibi = { bias_max = 8 } }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Over(BTreeMap<String, Map<String, Value>>);

impl Over {
    /// The scheme `id` with its defaults.
    pub fn new(id: &str) -> Over {
        Over(BTreeMap::from([(id.into(), Map::new())]))
    }

    /// The scheme, which must be one of this crate, of `family` and in need of no base itself.
    pub fn scheme(&self, family: Family) -> Result<Box<dyn AnyScheme>, PlanError> {
        let mut entries = self.0.iter();
        let (Some((id, settings)), None) = (entries.next(), entries.next()) else {
            let rule = format!("one scheme of the {family} family with its settings");
            return Err(self.wrong(&rule, String::new()));
        };
        let registry = Registry::builtin();
        let able = || {
            let bases = registry.entries().iter();
            bases.filter(|entry| entry.card.is_base_of(family))
        };
        let known = able().find(|entry| entry.id == id);
        let Some(entry) = known else {
            let names: Vec<&str> = able().map(|entry| entry.id).collect();
            let rule = format!("a scheme of the {family} family: {}", names.join(", "));
            return Err(self.wrong(&rule, hint(id, names.iter().copied())));
        };
        entry.parse(Value::Object(settings.clone())).map_err(|e| {
            let rule = format!("settings that {id} takes ({e})");
            self.wrong(&rule, String::new())
        })
    }

    /// The complaint that the scheme is none that the extension can stand on, and why.
    pub(crate) fn wrong(&self, rule: &str, hint: String) -> PlanError {
        PlanError::Setting {
            key: OVER.into(),
            value: serde_json::to_string(&self.0).unwrap_or_default(),
            rule: rule.into(),
            hint,
        }
    }
}
