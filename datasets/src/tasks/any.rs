//! Tasks of a type not known at compile time, by name.

use super::{Alphabet, BUILTIN, Card, Example, Factor, Task};
use crate::error::DataError;
use crate::rng::Stream;
use crate::settings;
use serde_json::Value;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

/// A [`Task`] of a type not known at compile time. Every task is one.
pub trait AnyTask: Debug + Send + Sync {
    /// [`Task::ID`].
    fn id(&self) -> &'static str;
    /// [`Task::CARD`].
    fn card(&self) -> &'static Card;
    /// All settings, defaults filled in, as a JSON object.
    fn settings(&self) -> Value;
    /// blake3 of task, version and settings, hexadecimal.
    fn hash(&self) -> String;
    /// [`Task::alphabet`].
    fn alphabet(&self) -> Alphabet;
    /// Number of symbols. Token ids lie below it.
    fn vocab(&self) -> usize;
    /// [`Task::factors`].
    fn factors(&self) -> Vec<Factor>;
    /// [`Task::least`].
    fn least(&self, at: &[f64]) -> usize;
    /// [`Task::most`].
    fn most(&self, at: &[f64]) -> usize;
    /// [`Task::why`].
    fn why(&self) -> &'static str;
    /// [`Task::example`].
    ///
    /// # Panics
    /// If there is no example of that length there, or a factor has no value that it takes.
    fn example(&self, rng: &mut Stream, length: usize, at: &[f64]) -> Example;
    /// [`Task::shortest`].
    fn shortest(&self) -> usize;
    /// [`Task::practice`].
    ///
    /// # Panics
    /// If no example is so short.
    fn practice(&self, rng: &mut Stream, length: usize) -> Example;
    /// [`Task::label`].
    fn label(&self, length: usize, at: &[f64]) -> String;
    /// [`Task::chance`].
    fn chance(&self, length: usize, at: &[f64]) -> f64;
    /// [`Task::ids`].
    fn ids(&self, kind: &str, tokens: &[u32]) -> Result<Vec<u32>, String>;
    /// Tokens as a person reads them.
    fn render(&self, tokens: &[u32]) -> String;
    /// [`Task::describe`].
    fn describe(&self) -> String;
}

impl<T: Task> AnyTask for T {
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
        let mut hasher = blake3::Hasher::new_derive_key("farspan 2026 task");
        hasher.update(format!("{} {} {}", T::ID, T::VERSION, AnyTask::settings(self)).as_bytes());
        hasher.finalize().to_hex().to_string()
    }
    fn alphabet(&self) -> Alphabet {
        Task::alphabet(self)
    }
    fn vocab(&self) -> usize {
        Task::alphabet(self).size()
    }
    fn factors(&self) -> Vec<Factor> {
        Task::factors(self)
    }
    fn least(&self, at: &[f64]) -> usize {
        Task::least(self, at)
    }
    fn most(&self, at: &[f64]) -> usize {
        Task::most(self, at)
    }
    fn why(&self) -> &'static str {
        Task::why(self)
    }
    fn example(&self, rng: &mut Stream, length: usize, at: &[f64]) -> Example {
        let factors = Task::factors(self);
        assert!(
            factors.len() <= at.len() && factors.iter().zip(at).all(|(f, value)| f.takes(*value)),
            "{}: expected a value for each of its factors, found {at:?}",
            T::ID
        );
        let (least, most) = (Task::least(self, at), Task::most(self, at));
        assert!(
            (least..=most).contains(&length),
            "{}: expected a length of {least} to {most}, found {length}",
            T::ID
        );
        Task::example(self, rng, length, at)
    }
    fn shortest(&self) -> usize {
        Task::shortest(self)
    }
    fn practice(&self, rng: &mut Stream, length: usize) -> Example {
        let shortest = Task::shortest(self);
        assert!(
            length >= shortest,
            "{}: expected a length of at least {shortest}, found {length}",
            T::ID
        );
        Task::practice(self, rng, length)
    }
    fn label(&self, length: usize, at: &[f64]) -> String {
        Task::label(self, length, at)
    }
    fn chance(&self, length: usize, at: &[f64]) -> f64 {
        Task::chance(self, length, at)
    }
    fn ids(&self, kind: &str, tokens: &[u32]) -> Result<Vec<u32>, String> {
        Task::ids(self, kind, tokens)
    }
    fn render(&self, tokens: &[u32]) -> String {
        let alphabet = Task::alphabet(self);
        let symbols: Vec<String> = tokens.iter().map(|&t| alphabet.render(t)).collect();
        symbols.join(" ")
    }
    fn describe(&self) -> String {
        Task::describe(self)
    }
}

/// One line of the list of tasks.
pub type Entry = settings::Entry<Card, dyn AnyTask>;

impl Entry {
    /// The entry of task `T`.
    pub const fn of<T: Task>() -> Entry {
        Entry {
            id: T::ID,
            card: T::CARD,
            parse: parse::<T>,
            schema: schema::<T>,
        }
    }
}

/// Tasks of other crates.
static ADDED: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

/// Makes a task of another crate known to this program: called before anything is read.
///
/// # Panics
/// If its id is taken: two tasks of one name are a mistake in the program.
pub fn add<T: Task>() {
    assert!(find(T::ID).is_none(), "two tasks are called {:?}", T::ID);
    let mut added = ADDED.lock().unwrap_or_else(PoisonError::into_inner);
    added.push(Entry::of::<T>());
}

/// All tasks: those of this crate, and those that were [added](add).
pub fn all() -> Vec<Entry> {
    let added = ADDED.lock().unwrap_or_else(PoisonError::into_inner);
    BUILTIN.iter().chain(added.iter()).copied().collect()
}

/// The task called `id`.
pub fn find(id: &str) -> Option<Entry> {
    all().into_iter().find(|entry| entry.id == id)
}

fn schema<T: Task>() -> Value {
    settings::schema::<T>(T::CARD.title, T::CARD.idea)
}

fn parse<T: Task>(given: Value) -> Result<Box<dyn AnyTask>, DataError> {
    let task: T = settings::parse(T::ID, &schema::<T>(), given)?;
    task.check()?;
    Ok(Box::new(task))
}
