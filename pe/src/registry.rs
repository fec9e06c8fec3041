//! The schemes that can be asked for by name.

use crate::card::Card;
use crate::error::{PlanError, hint};
use crate::scheme::{AnyScheme, Scheme};
use crate::{schemes, settings};
use serde_json::{Map, Value};

/// One scheme of a registry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its id.
    pub id: &'static str,
    /// What it is.
    pub card: Card,
    parse: fn(Value) -> Result<Box<dyn AnyScheme>, PlanError>,
    schema: fn() -> Value,
}

impl Entry {
    /// The entry of scheme `S`.
    pub const fn of<S: Scheme>() -> Entry {
        Entry {
            id: S::ID,
            card: S::CARD,
            parse: settings::parse::<S>,
            schema: settings::schema::<S>,
        }
    }

    /// The scheme with these settings, a JSON object; what it leaves out gets its default. Fails with the key path,
    /// the value found and the rule if a key is unknown, a type wrong or a value out of bounds.
    pub fn parse(&self, settings: Value) -> Result<Box<dyn AnyScheme>, PlanError> {
        (self.parse)(settings)
    }

    /// JSON Schema (draft 7) of the settings, with defaults, bounds and descriptions.
    pub fn schema(&self) -> Value {
        (self.schema)()
    }
}

/// Schemes by id, in the order of registration.
#[derive(Clone, Debug)]
pub struct Registry {
    entries: Vec<Entry>,
    /// Ids that were added again.
    twice: Vec<&'static str>,
}

impl Registry {
    /// The schemes of this crate.
    pub fn builtin() -> Registry {
        let mut registry = Registry {
            entries: Vec::new(),
            twice: Vec::new(),
        };
        for entry in schemes::BUILTIN.iter().copied().flatten() {
            registry.add(entry.clone());
        }
        registry
    }

    /// The same registry with one more scheme. If its id is taken, the first one stays and [`Registry::check`] fails.
    pub fn with<S: Scheme>(mut self) -> Registry {
        self.add(Entry::of::<S>());
        self
    }

    fn add(&mut self, entry: Entry) {
        if self.ids().any(|id| id == entry.id) {
            self.twice.push(entry.id);
        } else {
            self.entries.push(entry);
        }
    }

    /// Fails if two schemes were added under one id. Programs call it before they read any name.
    pub fn check(&self) -> Result<(), PlanError> {
        match self.twice.first() {
            Some(id) => Err(PlanError::Twice { id }),
            None => Ok(()),
        }
    }

    /// All schemes.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// All ids.
    pub fn ids(&self) -> impl Iterator<Item = &'static str> {
        self.entries.iter().map(|entry| entry.id)
    }

    /// The scheme called `id`; otherwise an error that names the nearest one.
    pub fn get(&self, id: &str) -> Result<&Entry, PlanError> {
        self.entries
            .iter()
            .find(|entry| entry.id == id)
            .ok_or_else(|| PlanError::UnknownScheme {
                asked: id.into(),
                hint: hint(id, self.ids()),
                known: self.entries.len(),
            })
    }

    /// The scheme called `id` with these settings; see [`Entry::parse`].
    pub fn parse(&self, id: &str, settings: Value) -> Result<Box<dyn AnyScheme>, PlanError> {
        self.get(id)?.parse(settings)
    }

    /// A JSON object with the schema of every scheme's settings, by id.
    pub fn schema(&self) -> Value {
        let schemas = self
            .entries
            .iter()
            .map(|entry| (entry.id.to_string(), entry.schema()));
        Value::Object(schemas.collect::<Map<_, _>>())
    }
}

impl Default for Registry {
    fn default() -> Registry {
        Registry::builtin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fails(id: &str, settings: Value) -> String {
        Registry::builtin()
            .parse(id, settings)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn errors_name_the_key_the_value_and_the_rule() {
        let known = Registry::builtin().entries().len();
        assert_eq!(
            fails("yran", json!({})),
            format!(
                "no scheme is called \"yran\"; did you mean \"yarn\"? `farspan list schemes` shows all {known}"
            )
        );
        assert_eq!(
            fails("pi", json!({"facter": 4})),
            "pi has no setting `facter`; did you mean \"factor\"? \
             settings: base, pairing, partial, factor, dynamic, trained_length"
        );
        assert_eq!(
            fails("pi", json!({"factor": 0.5})),
            "setting `factor` = 0.5: must be at least 1"
        );
        assert_eq!(
            fails("pi", json!({"factor": "x"})),
            "setting `factor` = \"x\": must be a number, at least 1"
        );
        assert_eq!(
            fails("rope", json!({"pairing": "half_split"})),
            "setting `pairing` = \"half_split\": must be one of \"half-split\", \"interleaved\"; \
             did you mean \"half-split\"?"
        );
        assert_eq!(
            fails("t5", json!({"buckets": 2.5})),
            "setting `buckets` = 2.5: must be a whole number, at least 2"
        );
        assert_eq!(
            fails("nope", json!([1])),
            "setting `.` = [1]: must be a table of settings"
        );
        assert_eq!(
            fails("nope", json!({"base": 1})),
            "nope has no setting `base`; settings: none"
        );
    }

    #[test]
    fn ids_are_unique() {
        assert!(Registry::builtin().check().is_ok());
        let twice = Registry::builtin().with::<schemes::rotary::rope::Rope>();
        assert_eq!(
            twice.check().unwrap_err().to_string(),
            "two schemes are called \"rope\": give one of them another ID"
        );
        assert_eq!(twice.ids().filter(|id| *id == "rope").count(), 1);
    }
}
