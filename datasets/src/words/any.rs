//! Tasks in words of a type not known at compile time, by name.

use super::{BUILTIN, Card, Draft, Factor, WordTask};
use crate::error::DataError;
use crate::rng::Stream;
use crate::settings;
use serde_json::Value;
use std::fmt::Debug;

/// A [`WordTask`] of a type not known at compile time. Every task in words is one.
pub trait AnyWordTask: Debug + Send + Sync {
    /// [`WordTask::ID`].
    fn id(&self) -> &'static str;
    /// [`WordTask::CARD`].
    fn card(&self) -> &'static Card;
    /// All settings, defaults filled in, as a JSON object.
    fn settings(&self) -> Value;
    /// blake3 of task, version and settings, hexadecimal. Of the user's text it knows the name only: see
    /// [`Writer::text_hash`](super::Writer::text_hash).
    fn hash(&self) -> String;
    /// [`WordTask::factors`].
    fn factors(&self) -> Vec<Factor>;
    /// [`WordTask::text`].
    fn text(&self) -> Option<&str>;
    /// [`WordTask::may_stand`].
    fn may_stand(&self, sentence: &str) -> bool;
    /// [`WordTask::answer_tokens`].
    fn answer_tokens(&self) -> Option<usize>;
    /// [`WordTask::draft`].
    fn draft<'a>(
        &'a self,
        rng: &mut Stream,
        at: &[f64],
        text: &'a [String],
    ) -> Result<Draft<'a>, DataError>;
    /// [`WordTask::chance`].
    fn chance(&self) -> f64;
    /// [`WordTask::describe`].
    fn describe(&self) -> String;
}

impl<T: WordTask> AnyWordTask for T {
    fn id(&self) -> &'static str {
        T::ID
    }
    fn card(&self) -> &'static Card {
        const { &T::CARD }
    }
    fn settings(&self) -> Value {
        serde_json::to_value(self).expect("settings are plain data, so JSON can hold them")
    }
    fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("farspan 2026 task in words");
        let settings = AnyWordTask::settings(self);
        hasher.update(format!("{} {} {settings}", T::ID, T::VERSION).as_bytes());
        hasher.finalize().to_hex().to_string()
    }
    fn factors(&self) -> Vec<Factor> {
        WordTask::factors(self)
    }
    fn text(&self) -> Option<&str> {
        WordTask::text(self)
    }
    fn may_stand(&self, sentence: &str) -> bool {
        WordTask::may_stand(self, sentence)
    }
    fn answer_tokens(&self) -> Option<usize> {
        WordTask::answer_tokens(self)
    }
    fn draft<'a>(
        &'a self,
        rng: &mut Stream,
        at: &[f64],
        text: &'a [String],
    ) -> Result<Draft<'a>, DataError> {
        WordTask::draft(self, rng, at, text)
    }
    fn chance(&self) -> f64 {
        WordTask::chance(self)
    }
    fn describe(&self) -> String {
        WordTask::describe(self)
    }
}

/// One line of the list of tasks in words.
pub type Entry = settings::Entry<Card, dyn AnyWordTask>;

impl Entry {
    /// The entry of task `T`.
    pub const fn of<T: WordTask>() -> Entry {
        Entry {
            id: T::ID,
            card: T::CARD,
            parse: parse::<T>,
            schema: schema::<T>,
        }
    }
}

/// The task in words called `id`.
pub fn find(id: &str) -> Option<&'static Entry> {
    BUILTIN.iter().find(|entry| entry.id == id)
}

fn schema<T: WordTask>() -> Value {
    settings::schema::<T>(T::CARD.title, T::CARD.idea)
}

fn parse<T: WordTask>(given: Value) -> Result<Box<dyn AnyWordTask>, DataError> {
    let task: T = settings::parse(T::ID, &schema::<T>(), given)?;
    task.check()?;
    Ok(Box::new(task))
}
