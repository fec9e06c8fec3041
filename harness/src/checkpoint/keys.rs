//! Reading `config.json` so that no key is lost: each is used, known to be without effect, or refused.

use crate::config::suggest;
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

/// Keys that any config may have and that change no logit of a causal decoder in evaluation.
const WITHOUT_EFFECT: &[&str] = &[
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_commit_hash",
    "_name_or_path",
    "_num_labels",
    "add_cross_attention",
    "architectures",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "embd_pdrop",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "hidden_dropout",
    "hidden_dropout_prob",
    "id2label",
    "initializer_range",
    "is_decoder",
    "is_encoder_decoder",
    "label2id",
    "length_penalty",
    "max_length",
    "min_length",
    "model_type",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "output_scores",
    "pad_token_id",
    "predict_special_tokens",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "remove_invalid_values",
    "repetition_penalty",
    "resid_pdrop",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tokenizer_class",
    "top_k",
    "tie_encoder_decoder",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
    "use_return_dict",
];

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
        }
    }

    /// An error about `key`.
    pub fn wrong(&self, key: &str, expected: &str, found: impl std::fmt::Display) -> Error {
        let path = format!("{}{key}", self.prefix);
        Error::Data(format!(
            "{}: key `{path}`: expected {expected}, found {found}",
            self.file.display()
        ))
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

    /// Takes over what was understood of an object inside of this one; refuses what was left of it.
    pub fn absorb(&mut self, mut inner: Keys) -> Result<()> {
        inner.nothing_left(WITHOUT_EFFECT)?;
        self.meanings.append(&mut inner.meanings);
        Ok(())
    }

    /// The value of `key` and a note of its meaning. Null counts as absent.
    pub fn take(&mut self, key: &'static str, meaning: &str) -> Option<Value> {
        self.asked.push(key);
        let value = self.left.shift_remove(key).filter(|v| !v.is_null())?;
        self.note(key, Some(value.clone()), meaning);
        Some(value)
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

    /// A whole number of at least 1 and at most 2³², if the key is there.
    pub fn count(&mut self, key: &'static str, meaning: &str) -> Result<Option<usize>> {
        let Some(value) = self.take(key, meaning) else {
            return Ok(None);
        };
        let whole = value.as_u64().filter(|n| (1..=1 << 32).contains(n));
        let n = whole.ok_or_else(|| self.wrong(key, "a whole number from 1 to 2³²", &value))?;
        Ok(Some(n as usize))
    }

    /// A whole number of at least 1 that must be there.
    pub fn needed(&mut self, key: &'static str, meaning: &str) -> Result<usize> {
        self.count(key, meaning)?
            .ok_or_else(|| self.wrong(key, &format!("a whole number ({meaning})"), "nothing"))
    }

    /// A whole number with a default.
    pub fn count_or(&mut self, key: &'static str, default: usize, meaning: &str) -> Result<usize> {
        let found = self.count(key, meaning)?;
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

    /// The first of several names of one whole number that is there; two that differ are refused.
    pub fn either(&mut self, names: [&'static str; 2], meaning: &str) -> Result<Option<usize>> {
        let found = [
            self.count(names[0], meaning)?,
            self.count(names[1], meaning)?,
        ];
        match found {
            [Some(a), Some(b)] if a != b => {
                Err(self.wrong(names[1], &format!("{a}, as {} says", names[0]), b))
            }
            [a, b] => Ok(a.or(b)),
        }
    }

    /// A whole number of at least 1 under either name that must be there.
    pub fn needed_either(&mut self, names: [&'static str; 2], meaning: &str) -> Result<usize> {
        self.either(names, meaning)?
            .ok_or_else(|| self.wrong(names[0], &format!("a whole number ({meaning})"), "nothing"))
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
        let found = self.positive(key, meaning)?;
        Ok(self.or_default(key, found, default, meaning))
    }

    /// A switch with a default.
    pub fn switch(&mut self, key: &'static str, default: bool, meaning: &str) -> Result<bool> {
        let found = match self.take(key, meaning) {
            Some(Value::Bool(on)) => Some(on),
            Some(other) => return Err(self.wrong(key, "true or false", other)),
            None => None,
        };
        Ok(self.or_default(key, found, default, meaning))
    }

    /// A text with a default.
    pub fn text(&mut self, key: &'static str, default: &str, meaning: &str) -> Result<String> {
        let found = match self.take(key, meaning) {
            Some(Value::String(text)) => Some(text),
            Some(other) => return Err(self.wrong(key, "a text", other)),
            None => None,
        };
        Ok(self.or_default(key, found, default.to_string(), meaning))
    }

    /// A list of finite numbers, if the key is there.
    pub fn numbers(&mut self, key: &'static str, meaning: &str) -> Result<Option<Vec<f64>>> {
        let Some(value) = self.take(key, meaning) else {
            return Ok(None);
        };
        let list = value.as_array().and_then(|list| {
            let number = |x: &Value| x.as_f64().filter(|x| x.is_finite());
            list.iter().map(number).collect::<Option<Vec<f64>>>()
        });
        Ok(Some(list.ok_or_else(|| {
            self.wrong(key, "a list of numbers", &value)
        })?))
    }

    /// A key that may only have this value, for anything else would change the computation in a way not built here.
    pub fn only(&mut self, key: &'static str, allowed: &Value, meaning: &str) -> Result<()> {
        match self.take(key, meaning) {
            // 1 and 1.0 are one number.
            Some(found)
                if found != *allowed
                    && (found.as_f64().is_none() || found.as_f64() != allowed.as_f64()) =>
            {
                Err(self.wrong(key, &format!("{allowed} ({meaning})"), found))
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

    /// Refuses keys that nobody asked for and that are not known to be without effect.
    pub fn nothing_left(&mut self, without_effect: &[&str]) -> Result<()> {
        for (key, value) in std::mem::take(&mut self.left) {
            let known = without_effect.contains(&key.as_str());
            if known || value.is_null() {
                self.note(&key, Some(value), "no effect on the computation");
                continue;
            }
            let hint = suggest::hint(&key, self.asked.iter().copied());
            return Err(Error::Data(format!(
                "{}: key `{}{key}` = {value} is unknown and may change the computation{hint}",
                self.file.display(),
                self.prefix
            )));
        }
        Ok(())
    }

    /// Ends the reading of a whole config.
    pub fn finish(mut self) -> Result<Vec<Meaning>> {
        let whole = Value::Object(Map::new());
        self.only("pruned_heads", &whole, "no head was taken out")?;
        self.nothing_left(WITHOUT_EFFECT)?;
        Ok(self.meanings)
    }
}
