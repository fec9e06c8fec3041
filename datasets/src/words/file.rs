//! Prompts that somebody else wrote, one JSON object a line.
//!
//! Four forms are told by the keys of the first object, and all others must have the keys that were taken from it:
//!
//! | form | prompt | references |
//! |---|---|---|
//! | samples of lm-evaluation-harness | `arguments`, as the model got it | `outputs`, `answers`, `answer` or `target` of `doc`, else `target` |
//! | RULER | `input`, then `answer_prefix` or `gen_prefix` | `outputs` |
//! | HELMET, BABILong | `context` or `input`, then `question` | see below |
//! | any other | `prompt`, `input`, `question` or `text` | see below |
//!
//! References are in `outputs`, `answers`, `references`, `targets`, `target`, `answer`, `reference` or `output`: a string, a
//! number, or a list of such. `choices`, a list of strings, and `max_new_tokens` are read in all forms. A file that is called
//! after one of BABILong's first five tasks (`qa1` to `qa5`) has that task's labels for choices.

mod keys;

use super::Prompt;
use crate::error::DataError;
use crate::foreign;
use crate::line::Place;
use keys::Keys;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// Largest file, bytes: what a corpus of text may have by default.
const MOST_BYTES: u64 = 1 << 30;
/// Longest line, bytes: that of a corpus.
const MOST_LINE: u64 = 64 << 20;
/// Most prompts of a file. Each is read by a model, so that more are a mistake.
const MOST_PROMPTS: usize = 100_000;

/// Tokens that tasks leave for an answer, by a part of their names: RULER's, BABILong's in lm-evaluation-harness, HELMET's
/// and those of the passkey's and LongEval's code.
const KNOWN: [(&str, usize); 12] = [
    ("niah", 128),
    ("vt", 30),
    ("variable_tracking", 30),
    ("cwe", 120),
    ("fwe", 50),
    ("qa_1", 32),
    ("qa_2", 32),
    ("json_kv", 100),
    ("kv", 100),
    ("passkey", 10),
    ("lines", 100),
    ("babilong", 16),
];

const PLACES: &[&str] = &[
    "bathroom", "bedroom", "garden", "hallway", "kitchen", "office",
];
const GIFTS: &[&str] = &["Bill", "Fred", "Jeff", "Mary", "apple", "football", "milk"];
/// Labels that BABILong's metrics look for in its first five tasks.
const LABELS: [&[&str]; 5] = [PLACES, PLACES, PLACES, PLACES, GIFTS];

/// How a file is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Tokens that an answer may take, whatever the file says; by default what each line says, or what is known of the
    /// task that the file is called after.
    pub max_new_tokens: Option<usize>,
}

/// The form of a file of prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Samples that lm-evaluation-harness logs.
    Harness,
    /// Data of RULER, or of its port in lm-evaluation-harness.
    Ruler,
    /// A context and a question, put together here.
    Parts,
    /// One string is the prompt.
    Plain,
}

/// Prompts of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptFile {
    /// Its form.
    pub form: Form,
    /// Which keys were taken for what, in words.
    pub taken: String,
    /// The prompts, in the order of the lines.
    pub prompts: Vec<Prompt>,
    /// blake3 of the file, hexadecimal.
    pub hash: String,
}

/// Reads prompts, and what is sought, from a file of JSON lines. Blank lines are none.
pub fn read_prompts(path: &Path, reading: &Reading) -> Result<PromptFile, DataError> {
    let (file, size) = foreign::open(path)?;
    let too_large = || DataError::TooLarge {
        path: path.into(),
        what: "prompts",
        limit: MOST_BYTES,
        hint: "take fewer prompts",
    };
    if size > MOST_BYTES {
        return Err(too_large());
    }
    let names = names(path);
    let by_name = known(&names);
    let labels = (1..)
        .zip(LABELS)
        .find(|(task, _)| has_part(&names, &format!("qa{task}")));
    let mut lines = Lines {
        reader: BufReader::new(file),
        hasher: blake3::Hasher::new(),
        line: Vec::new(),
        read: 0,
    };
    let mut keys: Option<Keys> = None;
    let mut prompts = Vec::new();
    for number in 1_u64.. {
        let at = Place { path, number };
        if !lines.next(&at)? {
            break;
        }
        // It may grow while it is read.
        if lines.read > MOST_BYTES {
            return Err(too_large());
        }
        if lines.line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let object = at.object(&lines.line, |_| None)?;
        let keys = match &mut keys {
            Some(keys) => keys,
            none => none.insert(Keys::of(&object, &at)?),
        };
        let mut prompt = keys.prompt(&object, &at)?;
        let own = (prompt.answer_tokens > 0).then_some(prompt.answer_tokens);
        let tokens = reading.max_new_tokens.or(own).or(by_name);
        prompt.answer_tokens = tokens.filter(|&tokens| tokens > 0).ok_or_else(|| {
            at.wrong(
                "tokens that an answer may take (max_new_tokens), set, in the line, or known by the file's name",
                "none of these",
            )
        })?;
        if let Some((_, labels)) = labels
            && prompt.choices.is_none()
        {
            prompt.choices = open_labels(labels, &prompt);
        }
        if prompts.len() == MOST_PROMPTS {
            let expected = format!("at most {MOST_PROMPTS} prompts in a file");
            return Err(at.wrong(expected, "one more"));
        }
        prompts.push(prompt);
    }
    let Some(keys) = keys else {
        return Err(DataError::File {
            path: path.into(),
            expected: "prompts, one JSON object a line".into(),
            found: "none".into(),
        });
    };
    Ok(PromptFile {
        form: keys.form,
        taken: keys.taken(),
        prompts,
        hash: lines.hasher.finalize().to_hex().to_string(),
    })
}

/// The last names of a path, lower case, without signs: RULER writes LENGTH/data/TASK/validation.jsonl.
fn names(path: &Path) -> Vec<String> {
    let stem = path.with_extension("");
    let names = stem.iter().rev().take(3);
    let of = |name: &std::ffi::OsStr| {
        let lower = name.to_string_lossy().to_lowercase();
        format!("_{}_", lower.replace(|c: char| !c.is_alphanumeric(), "_"))
    };
    names.map(of).collect()
}

fn has_part(names: &[String], part: &str) -> bool {
    let part = format!("_{part}_");
    names.iter().any(|name| name.contains(&part))
}

/// What is known of the task that a file, or a folder that it is in, is called after.
fn known(names: &[String]) -> Option<usize> {
    let known = KNOWN.iter().find(|(part, _)| has_part(names, part));
    let is_babi = || (1..=20).any(|task| has_part(names, &format!("qa{task}")));
    let known = known.map(|(_, tokens)| *tokens);
    known.or_else(|| is_babi().then_some(16))
}

/// Labels of a task that the question leaves open; none if a reference is not among them, as the file is of another task.
fn open_labels(labels: &[&str], prompt: &Prompt) -> Option<Vec<String>> {
    let question = prompt.question.to_lowercase();
    let is_open = |label: &&&str| !question.contains(&label.to_lowercase());
    let open: Vec<String> = labels
        .iter()
        .filter(is_open)
        .map(|l| (*l).to_string())
        .collect();
    let holds = |sought: &String| open.iter().any(|label| label.eq_ignore_ascii_case(sought));
    prompt.references.iter().all(holds).then_some(open)
}

struct Lines {
    reader: BufReader<File>,
    hasher: blake3::Hasher,
    line: Vec<u8>,
    read: u64,
}

impl Lines {
    /// Reads a line; false at the end.
    fn next(&mut self, at: &Place<'_>) -> Result<bool, DataError> {
        self.line.clear();
        let mut limited = self.reader.by_ref().take(MOST_LINE + 1);
        let read = limited
            .read_until(b'\n', &mut self.line)
            .map_err(|source| DataError::Read {
                path: at.path.into(),
                source,
            })?;
        if read as u64 > MOST_LINE {
            let expected = format!("a line of at most {MOST_LINE} bytes");
            return Err(at.wrong(expected, "a longer one"));
        }
        self.read += read as u64;
        self.hasher.update(&self.line);
        Ok(read > 0)
    }
}
