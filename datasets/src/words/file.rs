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

use super::Prompt;
use crate::error::DataError;
use crate::foreign::{self, excerpt};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// Largest file, bytes: what a corpus of text may have by default.
const MOST_BYTES: u64 = 1 << 30;
/// Longest line, bytes: that of a corpus.
const MOST_LINE: u64 = 64 << 20;
/// Most prompts of a file. Each is read by a model, so that more are a mistake.
const MOST_PROMPTS: usize = 100_000;

const TEXTS: [&str; 4] = ["prompt", "input", "question", "text"];
const REFERENCES: [&str; 8] = [
    "outputs",
    "answers",
    "references",
    "targets",
    "target",
    "answer",
    "reference",
    "output",
];

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
        let object = at.object(&lines.line)?;
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

/// A line of a file.
struct Place<'a> {
    path: &'a Path,
    number: u64,
}

impl Place<'_> {
    fn wrong(&self, expected: impl Into<String>, found: impl Into<String>) -> DataError {
        DataError::Record {
            path: self.path.into(),
            unit: "line",
            number: self.number,
            expected: expected.into(),
            found: found.into(),
        }
    }

    fn object(&self, line: &[u8]) -> Result<Map<String, Value>, DataError> {
        let line = std::str::from_utf8(line).map_err(|e| {
            let found = format!("an invalid byte at offset {} of the line", e.valid_up_to());
            self.wrong("UTF-8", found)
        })?;
        let line = line
            .strip_prefix('\u{feff}')
            .filter(|_| self.number == 1)
            .unwrap_or(line);
        let value: Value = serde_json::from_str(line).map_err(|e| {
            let text = e.to_string();
            // Its own line number is always 1 and would mislead.
            let words = text.split(" at line ").next().unwrap_or(&text);
            let found = format!("{words} at column {}", e.column());
            self.wrong("one JSON object", found)
        })?;
        match value {
            Value::Object(object) => Ok(object),
            other => Err(self.wrong("one JSON object", kind(&other))),
        }
    }

    fn string<'v>(&self, key: &str, value: &'v Value) -> Result<&'v str, DataError> {
        let expected = || format!("text in \"{key}\"");
        match value {
            Value::String(text) if text.trim().is_empty() => {
                Err(self.wrong(expected(), "an empty string"))
            }
            Value::String(text) => Ok(text),
            other => Err(self.wrong(expected(), kind(other))),
        }
    }

    /// A string, a number, or a list of these, or of lists of these.
    fn references(&self, key: &str, value: &Value) -> Result<Vec<String>, DataError> {
        let expected = || format!("a reference, or a list of them, in \"{key}\"");
        let mut found = Vec::new();
        let items = match value {
            Value::Array(items) if items.is_empty() => {
                return Err(self.wrong(expected(), "an empty list"));
            }
            Value::Array(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        for item in items {
            match item {
                Value::String(text) if text.trim().is_empty() => {
                    return Err(self.wrong(expected(), "an empty reference"));
                }
                Value::String(text) => found.push(text.trim().to_string()),
                Value::Number(number) => found.push(number.to_string()),
                Value::Array(_) if value.is_array() => found.extend(self.references(key, item)?),
                other => return Err(self.wrong(expected(), kind(other))),
            }
        }
        Ok(found)
    }
}

/// Which keys are taken for what.
struct Keys {
    form: Form,
    /// Of the prompt's text; of a form in parts the context.
    text: &'static str,
    /// Of the beginning of the answer.
    prefix: Option<&'static str>,
    references: &'static str,
    /// Whether the references are in `doc`.
    in_doc: bool,
}

/// The first of the keys that the object has, unless there is nothing behind it.
fn first(object: &Map<String, Value>, keys: &[&'static str]) -> Option<&'static str> {
    let has = |key: &&&str| object.get(**key).is_some_and(|value| !value.is_null());
    keys.iter().find(has).copied()
}

fn keys_of(object: &Map<String, Value>) -> String {
    match object.len() {
        0 => "no keys".into(),
        _ => {
            let keys: Vec<String> = object.keys().take(20).map(|key| excerpt(key)).collect();
            format!("the keys {}", keys.join(", "))
        }
    }
}

impl Keys {
    fn of(object: &Map<String, Value>, at: &Place<'_>) -> Result<Keys, DataError> {
        let doc = object.get("doc").and_then(Value::as_object);
        let in_doc = doc.and_then(|doc| first(doc, &["outputs", "answers", "answer", "target"]));
        let own = first(object, &REFERENCES);
        let missing = || {
            let expected = format!("references in one of {}", REFERENCES.join(", "));
            at.wrong(expected, keys_of(object))
        };
        if doc.is_some() && object.contains_key("arguments") {
            // A choice by likelihood says in `target` which it is, and `doc` says it in some way of its own.
            let is_choice = object.get("target").is_some_and(Value::is_u64);
            let in_doc = in_doc.filter(|_| !is_choice);
            let target = own.filter(|key| *key == "target");
            return Ok(Keys {
                form: Form::Harness,
                text: "arguments",
                prefix: None,
                references: in_doc.or(target).ok_or_else(missing)?,
                in_doc: in_doc.is_some(),
            });
        }
        let has = |key: &str| object.contains_key(key);
        let context = first(object, &["context", "input"]).filter(|_| has("question"));
        let prefix = first(object, &["answer_prefix", "gen_prefix"]);
        let (form, text) = match (context, first(object, &TEXTS)) {
            (_, Some("prompt")) => (Form::Plain, "prompt"),
            (Some(context), _) => (Form::Parts, context),
            (None, Some("input")) if has("outputs") => (Form::Ruler, "input"),
            (None, Some(text)) => (Form::Plain, text),
            (None, None) => {
                let expected = format!("a prompt in one of {}", TEXTS.join(", "));
                return Err(at.wrong(expected, keys_of(object)));
            }
        };
        Ok(Keys {
            form,
            text,
            prefix,
            references: own.ok_or_else(missing)?,
            in_doc: false,
        })
    }

    fn taken(&self) -> String {
        let prompt = match (self.form, self.prefix) {
            (Form::Parts, None) => format!("{} and question", self.text),
            (Form::Parts, Some(prefix)) => format!("{}, question and {prefix}", self.text),
            (_, Some(prefix)) => format!("{} and {prefix}", self.text),
            (_, None) => self.text.to_string(),
        };
        let doc = if self.in_doc { "doc." } else { "" };
        let references = self.references;
        format!("the prompt from {prompt}, its references from {doc}{references}")
    }

    fn prompt(&self, object: &Map<String, Value>, at: &Place<'_>) -> Result<Prompt, DataError> {
        let get = |key: &str| {
            object.get(key).ok_or_else(|| {
                let expected = format!("the key \"{key}\", as in the lines before");
                at.wrong(expected, keys_of(object))
            })
        };
        let mut prompt = Prompt::default();
        if let Some(choices) = object.get("choices").filter(|value| !value.is_null()) {
            prompt.choices = Some(at.references("choices", choices)?);
        }
        if let Some(tokens) = object
            .get("max_new_tokens")
            .filter(|value| !value.is_null())
        {
            prompt.answer_tokens = positive(tokens).ok_or_else(|| {
                at.wrong(
                    "a number from 1 in \"max_new_tokens\"",
                    excerpt(&tokens.to_string()),
                )
            })?;
        }
        if let Some(question) = object.get("question").and_then(Value::as_str) {
            prompt.question = question.to_string();
        }
        if self.form == Form::Harness {
            self.sample(object, at, &mut prompt)?;
            return Ok(prompt);
        }
        prompt.text = at.string(self.text, get(self.text)?)?.to_string();
        if self.form == Form::Parts {
            let question = at.string("question", get("question")?)?;
            prompt.text += &format!("\n\nQuestion: {question}");
            prompt.answer_prefix = "\nAnswer:".into();
        }
        if let Some(key) = self.prefix {
            let prefix = match get(key)? {
                Value::Null => "",
                Value::String(prefix) => prefix,
                other => return Err(at.wrong(format!("text in \"{key}\""), kind(other))),
            };
            // RULER cuts its prefix off the prompt, blank and all; the port joins the two by a blank.
            let blank = match key {
                "gen_prefix" if !prefix.is_empty() => " ",
                _ => "",
            };
            prompt.answer_prefix = format!("{blank}{prefix}");
        }
        prompt.references = at.references(self.references, get(self.references)?)?;
        Ok(prompt)
    }

    /// A sample that lm-evaluation-harness logged.
    fn sample(
        &self,
        object: &Map<String, Value>,
        at: &Place<'_>,
        prompt: &mut Prompt,
    ) -> Result<(), DataError> {
        let none = Map::new();
        let doc = object
            .get("doc")
            .and_then(Value::as_object)
            .unwrap_or(&none);
        let calls = calls(object.get("arguments").unwrap_or(&Value::Null));
        let Some(call) = calls.first() else {
            return Err(at.wrong("what the model was asked in \"arguments\"", "nothing"));
        };
        prompt.text = at.string("arguments", call.0)?.to_string();
        if let Some(question) = doc.get("question").and_then(Value::as_str) {
            prompt.question = question.to_string();
        }
        if let Some(options) = call.1.and_then(Value::as_object) {
            let tokens = options.get("max_gen_toks").and_then(positive);
            prompt.answer_tokens = tokens.unwrap_or(prompt.answer_tokens);
        }
        // Answers that the model was to choose from by their likelihood.
        let choices: Option<Vec<String>> = calls
            .iter()
            .map(|call| call.1?.as_str().map(|choice| choice.trim().to_string()))
            .collect();
        let from = if self.in_doc { doc } else { object };
        let value = from.get(self.references).unwrap_or(&Value::Null);
        let key = self.references;
        prompt.references = match (&choices, value.as_u64()) {
            (Some(choices), Some(index)) => {
                let chosen = usize::try_from(index).ok().and_then(|i| choices.get(i));
                let chosen = chosen.ok_or_else(|| {
                    let expected = format!("one of {} choices in \"{key}\"", choices.len());
                    at.wrong(expected, index.to_string())
                })?;
                vec![chosen.clone()]
            }
            _ => at.references(key, value)?,
        };
        if choices.is_some() {
            prompt.choices = choices;
            // Nothing is generated.
            prompt.answer_tokens = prompt.answer_tokens.max(1);
        }
        Ok(())
    }
}

/// What a model was asked, each with its second argument: `[[prompt, options], …]`, or `{"gen_args_0": {"arg_0": prompt,
/// "arg_1": options}, …}` as later versions write it.
fn calls(arguments: &Value) -> Vec<(&Value, Option<&Value>)> {
    let calls: Vec<&Value> = match arguments {
        Value::Array(calls) => calls.iter().collect(),
        Value::Object(calls) => calls.values().collect(),
        _ => Vec::new(),
    };
    calls
        .into_iter()
        .filter_map(|call| match call {
            Value::Array(items) => Some((items.first()?, items.get(1))),
            Value::Object(items) => Some((items.get("arg_0")?, items.get("arg_1"))),
            other => Some((other, None)),
        })
        .collect()
}

fn positive(value: &Value) -> Option<usize> {
    let number = value.as_u64().and_then(|n| usize::try_from(n).ok());
    number.filter(|&n| n > 0)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
