//! Which keys of a line are taken for what.

use super::super::Prompt;
use super::Form;
use crate::error::DataError;
use crate::foreign::excerpt;
use crate::line::{Place, kind};
use serde_json::{Map, Value};

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

/// Text that is more than blanks.
fn string<'v>(at: &Place<'_>, key: &str, value: &'v Value) -> Result<&'v str, DataError> {
    let expected = || format!("text in \"{key}\"");
    match value {
        Value::String(text) if text.trim().is_empty() => {
            Err(at.wrong(expected(), "an empty string"))
        }
        Value::String(text) => Ok(text),
        other => Err(at.wrong(expected(), kind(other))),
    }
}

/// A string, a number, or a list of these, or of lists of these.
fn references(at: &Place<'_>, key: &str, value: &Value) -> Result<Vec<String>, DataError> {
    let expected = || format!("a reference, or a list of them, in \"{key}\"");
    let mut found = Vec::new();
    let items = match value {
        Value::Array(items) if items.is_empty() => {
            return Err(at.wrong(expected(), "an empty list"));
        }
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    for item in items {
        match item {
            Value::String(text) if text.trim().is_empty() => {
                return Err(at.wrong(expected(), "an empty reference"));
            }
            Value::String(text) => found.push(text.trim().to_string()),
            Value::Number(number) => found.push(number.to_string()),
            Value::Array(_) if value.is_array() => found.extend(references(at, key, item)?),
            other => return Err(at.wrong(expected(), kind(other))),
        }
    }
    Ok(found)
}

/// Which keys are taken for what.
pub(super) struct Keys {
    pub(super) form: Form,
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
    pub(super) fn of(object: &Map<String, Value>, at: &Place<'_>) -> Result<Keys, DataError> {
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

    pub(super) fn taken(&self) -> String {
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

    pub(super) fn prompt(
        &self,
        object: &Map<String, Value>,
        at: &Place<'_>,
    ) -> Result<Prompt, DataError> {
        let get = |key: &str| {
            object.get(key).ok_or_else(|| {
                let expected = format!("the key \"{key}\", as in the lines before");
                at.wrong(expected, keys_of(object))
            })
        };
        let mut prompt = Prompt::default();
        if let Some(choices) = object.get("choices").filter(|value| !value.is_null()) {
            prompt.choices = Some(references(at, "choices", choices)?);
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
        prompt.text = string(at, self.text, get(self.text)?)?.to_string();
        if self.form == Form::Parts {
            let question = string(at, "question", get("question")?)?;
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
        prompt.references = references(at, self.references, get(self.references)?)?;
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
        prompt.text = string(at, "arguments", call.0)?.to_string();
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
            _ => references(at, key, value)?,
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
