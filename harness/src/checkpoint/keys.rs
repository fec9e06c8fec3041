//! Reading `config.json` so that no key is lost. The rule: a key that would change the computation in a way that is not
//! followed is refused; one that cannot, or that says what is computed anyway, is listed. Whoever knows better names a key
//! that is to be read as if it were not there ([`Reading`](super::config::Reading)).

mod rest;

use super::files::excerpt;
use super::known_keys::OF_OTHER_SCALINGS;
use crate::{Error, Result};
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// What one key of a config means to us.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Meaning {
    /// Path of the key (`rope_scaling.factor`).
    pub key: String,
    /// Its value; nothing where the key is absent and a default stands in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// What it sets.
    pub meaning: String,
}

/// How to read past a refusal.
pub(super) const WAY_PAST: &str = "--ignore-keys, in a run model.ignore_keys";

/// The keys of one JSON object, each read at most once.
#[derive(Debug)]
pub struct Keys {
    file: PathBuf,
    /// What stands before the keys in messages (`rope_scaling.`), empty at the top.
    prefix: String,
    left: Map<String, Value>,
    /// All keys of the file, for hints.
    asked: Vec<&'static str>,
    meanings: Vec<Meaning>,
    /// What a reader of numbers should know.
    notes: Vec<String>,
}

impl Keys {
    /// The keys of `object`, which `file` holds at `prefix`.
    pub fn new(file: &Path, prefix: &str, object: Map<String, Value>) -> Keys {
        Keys {
            file: file.to_path_buf(),
            prefix: prefix.to_string(),
            left: object,
            asked: Vec::new(),
            meanings: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// An error about `key`.
    pub fn wrong(&self, key: &str, expected: &str, found: impl std::fmt::Display) -> Error {
        self.wrong_whole(key, expected, &excerpt(&found.to_string()))
    }

    /// An error about `key`, which can be read as if it were not there.
    pub fn contradicts(&self, key: &str, expected: &str, found: impl std::fmt::Display) -> Error {
        let found = excerpt(&found.to_string());
        let past = format!("{found} (to leave the key out of account: {WAY_PAST})");
        self.wrong_whole(key, expected, &past)
    }

    fn wrong_whole(&self, key: &str, expected: &str, found: &str) -> Error {
        Error::Data(format!(
            "{}: key `{}{key}`: expected {expected}, found {found}",
            self.file.display(),
            self.prefix
        ))
    }

    /// Something that a reader of numbers should know.
    pub fn warn(&mut self, text: String) {
        self.notes.push(text);
    }

    /// The keys of the object at `key`, if there is one; null counts as absent.
    pub fn object(&mut self, key: &'static str) -> Result<Option<Keys>> {
        self.asked.push(key);
        match self.left.shift_remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(object)) => {
                let prefix = format!("{}{key}.", self.prefix);
                Ok(Some(Keys::new(&self.file, &prefix, object)))
            }
            Some(other) => Err(self.wrong(key, "a table", other)),
        }
    }

    /// Lists keys of a rope block that only other kinds of scaling than `kind` read.
    pub fn other_scalings(&mut self, kind: &str) {
        for key in OF_OTHER_SCALINGS {
            if self.has(key) {
                let why = format!("not read by {kind} scaling");
                let value = self.take(key, &why).unwrap_or_default();
                let value = excerpt(&value.to_string());
                self.warn(format!("key `{}{key}` = {value} is {why}", self.prefix));
            }
        }
    }

    /// Takes over what was understood of an object inside of this one. What was left of it is listed or refused, as
    /// `says` tells (see [`finish`](Keys::finish)).
    pub fn absorb(&mut self, mut inner: Keys, says: impl Fn(&str) -> Option<Value>) -> Result<()> {
        inner.nothing_left(says)?;
        self.meanings.append(&mut inner.meanings);
        self.notes.append(&mut inner.notes);
        Ok(())
    }

    /// The value of `key` and a note of its meaning. Null counts as absent.
    pub fn take(&mut self, key: &'static str, meaning: &str) -> Option<Value> {
        self.asked.push(key);
        let value = self.left.shift_remove(key).filter(|v| !v.is_null())?;
        self.note(key, Some(value.clone()), meaning);
        Some(value)
    }

    /// Puts `block` in the place of a rope block where neither name of one is there; `says` is what it is.
    pub fn stand_in(&mut self, names: [&'static str; 2], block: Value, says: &str) {
        let given = |name: &&str| match self.left.get(*name) {
            Some(Value::Object(inner)) => *name == names[0] || !inner.is_empty(),
            found => found.is_some_and(|value| !value.is_null()),
        };
        if !names.iter().any(given) {
            self.note(names[0], None, &format!("rotary keys: {says} by default"));
            self.left.insert(names[0].to_string(), block);
        }
    }

    /// Whether all keys have been read.
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// Whether `key` is there and null.
    pub fn is_null(&self, key: &str) -> bool {
        self.left.get(key).is_some_and(Value::is_null)
    }

    /// Whether `key` is there and not null.
    pub fn has(&self, key: &str) -> bool {
        self.left.get(key).is_some_and(|value| !value.is_null())
    }

    fn note(&mut self, key: &str, value: Option<Value>, meaning: &str) {
        self.meanings.push(Meaning {
            key: format!("{}{key}", self.prefix),
            value,
            meaning: meaning.to_string(),
        });
    }

    /// What was found, or `default` where the key is absent. Null is no value of a key that the reference needs.
    fn or_default<T: std::fmt::Display>(
        &mut self,
        key: &str,
        found: Option<T>,
        default: T,
        meaning: &str,
    ) -> T {
        found.unwrap_or_else(|| {
            self.note(key, None, &format!("{meaning}: {default} by default"));
            default
        })
    }

    /// Refuses a null where the reference cannot do without a value.
    fn not_null(&self, key: &str, expected: &str) -> Result<()> {
        match self.is_null(key) {
            true => Err(self.wrong(key, expected, "null")),
            false => Ok(()),
        }
    }

    /// A whole number of at least `least` and at most 2³², if the key is there; it may be spelt as 8192.0.
    fn whole(&mut self, key: &'static str, least: u64, meaning: &str) -> Result<Option<usize>> {
        let Some(value) = self.take(key, meaning) else {
            return Ok(None);
        };
        let spelt = value.as_f64().filter(|x| x.fract() == 0.0 && *x >= 0.0);
        // Numbers of this size are exact in floating point.
        let whole = value.as_u64().or(spelt.map(|x| x as u64));
        let whole = whole.filter(|n| (least..=1 << 32).contains(n));
        let expected = || format!("a whole number from {least} to 2³²");
        let n = whole.ok_or_else(|| self.wrong(key, &expected(), &value))?;
        Ok(Some(n as usize))
    }

    /// A whole number of at least 1, if the key is there and not null.
    pub fn count(&mut self, key: &'static str, meaning: &str) -> Result<Option<usize>> {
        self.whole(key, 1, meaning)
    }

    /// A whole number with a default.
    pub fn count_or(&mut self, key: &'static str, default: usize, meaning: &str) -> Result<usize> {
        self.either_or(&[key], default, meaning)
    }

    /// A whole number, 0 as well, with a default.
    pub fn number_of(&mut self, key: &'static str, default: usize, meaning: &str) -> Result<usize> {
        self.not_null(key, "a whole number")?;
        let found = self.whole(key, 0, meaning)?;
        Ok(self.or_default(key, found, default, meaning))
    }

    /// A finite number, if the key is there.
    pub fn number(&mut self, key: &'static str, meaning: &str) -> Result<Option<f64>> {
        let Some(value) = self.take(key, meaning) else {
            return Ok(None);
        };
        let x = value.as_f64().filter(|x| x.is_finite());
        Ok(Some(x.ok_or_else(|| {
            self.wrong(key, "a finite number", &value)
        })?))
    }

    /// A number above 0, if the key is there.
    pub fn positive(&mut self, key: &'static str, meaning: &str) -> Result<Option<f64>> {
        match self.number(key, meaning)? {
            Some(x) if x <= 0.0 => Err(self.wrong(key, "a number above 0", x)),
            found => Ok(found),
        }
    }

    /// The one value of several names of one whole number; names that say different ones are refused.
    pub fn either(&mut self, names: &[&'static str], meaning: &str) -> Result<Option<usize>> {
        let mut known: Option<(usize, &str)> = None;
        for name in names {
            match (self.count(name, meaning)?, known) {
                (Some(n), Some((before, other))) if n != before => {
                    return Err(self.contradicts(name, &format!("{before}, as {other} says"), n));
                }
                (Some(n), None) => known = Some((n, name)),
                _ => {}
            }
        }
        Ok(known.map(|(n, _)| n))
    }

    /// A whole number of at least 1 under any of these names, with a default.
    pub fn either_or(
        &mut self,
        names: &[&'static str],
        default: usize,
        meaning: &str,
    ) -> Result<usize> {
        for name in names {
            self.not_null(name, "a whole number")?;
        }
        let found = self.either(names, meaning)?;
        Ok(self.or_default(names[0], found, default, meaning))
    }

    /// A whole number where null means none, and absence means `default`.
    pub fn nullable(
        &mut self,
        key: &'static str,
        default: Option<usize>,
        meaning: &str,
    ) -> Result<Option<usize>> {
        if self.is_null(key) {
            self.left.shift_remove(key);
            self.note(key, Some(Value::Null), &format!("{meaning}: none"));
            return Ok(None);
        }
        let found = self.count(key, meaning)?;
        if let (None, Some(default)) = (found, default) {
            self.note(key, None, &format!("{meaning}: {default} by default"));
        }
        Ok(found.or(default))
    }

    /// A number above 0 with a default.
    pub fn positive_or(&mut self, key: &'static str, default: f64, meaning: &str) -> Result<f64> {
        self.not_null(key, "a number above 0")?;
        let found = self.positive(key, meaning)?;
        Ok(self.or_default(key, found, default, meaning))
    }

    /// A switch with a default.
    pub fn switch(&mut self, key: &'static str, default: bool, meaning: &str) -> Result<bool> {
        self.not_null(key, "true or false")?;
        let found = match self.take(key, meaning) {
            Some(Value::Bool(on)) => Some(on),
            Some(other) => return Err(self.wrong(key, "true or false", other)),
            None => None,
        };
        Ok(self.or_default(key, found, default, meaning))
    }

    /// A switch with a default, where null is as good as false.
    pub fn loose_switch(
        &mut self,
        key: &'static str,
        default: bool,
        meaning: &str,
    ) -> Result<bool> {
        if self.is_null(key) {
            self.left.shift_remove(key);
            self.note(key, Some(Value::Null), &format!("{meaning}: false"));
            return Ok(false);
        }
        self.switch(key, default, meaning)
    }

    /// A text with a default.
    pub fn text(&mut self, key: &'static str, default: &str, meaning: &str) -> Result<String> {
        self.not_null(key, "a text")?;
        let found = match self.take(key, meaning) {
            Some(Value::String(text)) => Some(text),
            Some(other) => return Err(self.wrong(key, "a text", other)),
            None => None,
        };
        Ok(self.or_default(key, found, default.to_string(), meaning))
    }

    /// A list of finite numbers, if the key is there.
    pub fn numbers(&mut self, key: &'static str, meaning: &str) -> Result<Option<Vec<f64>>> {
        let number = |x: &Value| x.as_f64().filter(|x| x.is_finite());
        self.list(key, meaning, "a list of numbers", number)
    }

    /// A list of whole numbers, if the key is there.
    pub fn counts(&mut self, key: &'static str, meaning: &str) -> Result<Option<Vec<usize>>> {
        let number = |x: &Value| x.as_u64().map(|n| n as usize);
        self.list(key, meaning, "a list of whole numbers", number)
    }

    fn list<T>(
        &mut self,
        key: &'static str,
        meaning: &str,
        expected: &str,
        entry: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>> {
        let Some(value) = self.take(key, meaning) else {
            return Ok(None);
        };
        let list = value.as_array();
        let list = list.and_then(|list| list.iter().map(entry).collect());
        list.ok_or_else(|| self.wrong(key, expected, &value))
            .map(Some)
    }

    /// A key that may only have this value, for anything else would change the computation in a way not built here.
    pub fn only(&mut self, key: &'static str, allowed: &Value, meaning: &str) -> Result<()> {
        match self.take(key, meaning) {
            Some(found) if !alike(&found, allowed) => {
                Err(self.contradicts(key, &format!("{allowed} ({meaning})"), found))
            }
            _ => Ok(()),
        }
    }

    /// Notes keys that change nothing here, though another setting would.
    pub fn idle(&mut self, keys: &[&'static str], why: &str) {
        for &key in keys {
            let _ = self.take(key, why);
        }
    }

    /// Ends the reading of a whole config; `says` tells what is computed, in the words of other families' keys. Returns
    /// what each key meant, and what a reader of numbers should know.
    pub fn finish(
        mut self,
        says: impl Fn(&str) -> Option<Value>,
    ) -> Result<(Vec<Meaning>, Vec<String>)> {
        let whole = Value::Object(Map::new());
        self.only("pruned_heads", &whole, "no head was taken out")?;
        self.nothing_left(says)?;
        Ok((self.meanings, self.notes))
    }
}

/// Whether two values are one; 1 and 1.0 are.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b))
        }
        _ => a == b,
    }
}
