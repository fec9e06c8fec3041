//! `config.json` as an [`Architecture`]: what a decoder needs to know to compute the same logits.

use super::arch;
use super::files::{excerpt, regular};
use super::keys::{Keys, Meaning};
use super::restated::restated;
use super::rope::Rotary;
use super::strict::Strict;
use crate::config::suggest;
use crate::{Error, Result};
use farspan_attention::plan::Geometry;
use farspan_pe::AnyScheme;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
use std::path::Path;

/// Learned numbers beyond which a config is taken for a mistake.
const MOST_PARAMETERS: f64 = 1e12;
/// Layers beyond which a config is taken for a mistake.
const MOST_LAYERS: usize = 4096;
/// Heads beyond which a config is taken for a mistake.
const MOST_HEADS: usize = 65_536;
/// Channels of a head beyond which a config is taken for a mistake.
const MOST_CHANNELS: usize = 65_536;
/// Bytes of a `config.json` beyond which it is taken for something else.
const LARGEST_CONFIG: u64 = 16 << 20;

/// How the note of an open trained length begins.
const DOUBT: &str = "the trained length is not certain";

/// A decoder of a published family, as plain data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Architecture {
    /// Family (`model_type`).
    pub family: String,
    /// Sizes that a scheme sees; the trained length is that before any extension.
    pub geometry: Geometry,
    /// Hidden width of the block after attention.
    pub hidden: usize,
    /// Vocabulary size.
    pub vocab: usize,
    /// The positional encoding that the weights were trained or extended with.
    pub positional: Positional,
    /// Kind of all norms of the residual stream.
    pub norm: Norm,
    /// Added to the variance in norms.
    pub norm_eps: f64,
    /// Activation of the block after attention.
    pub activation: Activation,
    /// Whether the activation gates a second projection (SwiGLU, GeGLU).
    pub gated: bool,
    /// How the two halves of a layer join the residual stream.
    pub residual: Residual,
    /// Which projections add a bias.
    pub bias: Biases,
    /// Whether queries and keys are normalised per head.
    pub query_key_norm: bool,
    /// Multiplies the token embeddings.
    pub embed_scale: f64,
    /// Whether the embeddings are normalised.
    pub embed_norm: bool,
    /// Whether the head is the transposed embedding.
    pub tied: bool,
    /// Multiplies scores beside 1/√head_dim.
    pub score_scale: f64,
    /// Whether the scores of layer l, counted from 0, are divided by l + 1 as well.
    pub score_by_layer: bool,
    /// Whether ALiBi's slopes, positions and their products are rounded to bfloat16, as the reference does for Falcon.
    pub rounded_bias: bool,
    /// Scores s become c·tanh(s/c).
    pub score_cap: Option<f64>,
    /// Logits z become c·tanh(z/c).
    pub logit_cap: Option<f64>,
    /// Multiplies the logits.
    pub logit_scale: f64,
    /// Queries, keys and values are clipped to ± this.
    pub clip: Option<f64>,
    /// Keys at least this many tokens back are hidden, per layer.
    pub windows: Vec<Option<usize>>,
    /// A second length that the weights may have been trained with, as far as the config tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_length: Option<usize>,
    /// What a reader of numbers should know: what was doubtful, and what was read against advice.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// How a config is to be read, beside what it says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reading {
    /// Paths of keys that are read as if they were not there, though they may change the computation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore_keys: Vec<String>,
    /// Length that the weights were trained with, for a config that does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trained_length: Option<usize>,
}

impl Reading {
    /// Whether the config alone speaks.
    pub fn is_plain(&self) -> bool {
        *self == Reading::default()
    }
}

/// A scheme by its id, with settings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Positional {
    /// Id in the registry.
    pub id: String,
    /// Settings that differ from, or confirm, its defaults.
    pub settings: Map<String, Value>,
}

impl Positional {
    /// The scheme `id` with `settings`.
    pub fn new(id: &str, settings: Map<String, Value>) -> Positional {
        Positional {
            id: id.to_string(),
            settings,
        }
    }

    /// `scheme` with all of its settings.
    pub fn of(scheme: &dyn AnyScheme) -> Positional {
        match scheme.settings() {
            Value::Object(settings) => Positional::new(scheme.id(), settings),
            _ => Positional::new(scheme.id(), Map::new()),
        }
    }
}

impl fmt::Display for Positional {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        self.settings
            .iter()
            .try_for_each(|(key, value)| write!(f, ",{key}={value}"))
    }
}

/// Kind of norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// x / rms(x) · w
    Rms,
    /// x / rms(x) · (1 + w): Gemma. The 1 is added when the weights are loaded.
    RmsOffset,
    /// (x − mean) / std · w + b, the bias where there is one.
    Layer,
}

/// Elementwise function of the block after attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// x · sigmoid(x)
    Silu,
    /// x · Φ(x), by the error function.
    Gelu,
    /// The tanh form of GELU.
    GeluTanh,
    /// max(x, 0)
    Relu,
}

impl Activation {
    /// The function that the reference library calls `name`.
    pub(super) fn named(keys: &mut Keys, key: &'static str, default: &str) -> Result<Activation> {
        let name = keys.text(key, default, "activation of the block after attention")?;
        match name.as_str() {
            "silu" | "swish" => Ok(Activation::Silu),
            "gelu" => Ok(Activation::Gelu),
            "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
            "relu" => Ok(Activation::Relu),
            _ => {
                let known = "silu, gelu, gelu_new, gelu_fast, gelu_pytorch_tanh or relu";
                Err(keys.wrong(key, known, format!("{name:?}")))
            }
        }
    }
}

/// How attention (A) and the block after it (M) join the residual stream x.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Residual {
    /// x += A(n₁(x)); x += M(n₂(x))
    Sequential,
    /// x += A(n₁(x)) + M(n₂(x))
    Parallel,
    /// x += A(n(x)) + M(n(x)), one norm for both
    ParallelShared,
    /// x += p₁(A(n₁(x))); x += p₂(M(n₂(x))), norms behind both as well
    Sandwich,
    /// h = n₁(x); x = h + A(h); h = n₂(x); x = h + M(h): the stream is the norm's output
    FromNorm,
}

/// Which projections add a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Biases {
    /// Queries, keys and values.
    pub qkv: bool,
    /// Output of attention.
    pub out: bool,
    /// The block after attention.
    pub mlp: bool,
    /// LayerNorms.
    pub norm: bool,
}

impl Architecture {
    /// A plain Llama of these sizes; a family changes what differs.
    pub(super) fn llama_like(
        family: &str,
        geometry: Geometry,
        hidden: usize,
        vocab: usize,
    ) -> Self {
        Architecture {
            family: family.to_string(),
            geometry,
            hidden,
            vocab,
            positional: Positional::new("nope", Map::new()),
            norm: Norm::Rms,
            norm_eps: 1e-6,
            activation: Activation::Silu,
            gated: true,
            residual: Residual::Sequential,
            bias: Biases::default(),
            query_key_norm: false,
            embed_scale: 1.0,
            embed_norm: false,
            tied: false,
            score_scale: 1.0,
            score_by_layer: false,
            rounded_bias: false,
            score_cap: None,
            logit_cap: None,
            logit_scale: 1.0,
            clip: None,
            windows: vec![None; geometry.layers],
            other_length: None,
            notes: Vec::new(),
        }
    }

    /// Lets the trained length be `length`, as whoever reads says. The scheme of the config computes as before.
    fn trained_with(&mut self, length: usize) -> Result<()> {
        if self.positional.id == "learned" || length == 0 {
            let rows = self.geometry.trained_length;
            let text = format!(
                "trained length: expected at least 1, and a family without a table of positions (this one has {rows} rows), \
                 found {length}"
            );
            return Err(Error::Config(text));
        }
        let said = std::mem::replace(&mut self.geometry.trained_length, length);
        self.other_length = None;
        self.notes.retain(|note| !note.starts_with(DOUBT));
        self.notes.push(format!(
            "the trained length is {length}, as was asked for; by the config alone it is {said}"
        ));
        Ok(())
    }

    /// Takes over what the rotary keys say.
    pub(super) fn rotates(&mut self, rotary: Rotary) {
        self.positional = rotary.positional;
        if let Some((there, why)) = rotary.other_length {
            self.doubt(rotary.trained_length, there, why);
        }
    }

    /// Notes that the config leaves it open whether the weights were trained with `here` tokens or with `there`.
    fn doubt(&mut self, here: usize, there: usize, why: &str) {
        self.other_length = Some(there);
        self.notes.push(format!(
            "{DOUBT}: {here} is taken, {there} is possible ({why}); --trained-length (model.trained_length in a run) sets it"
        ));
    }

    /// Learned numbers by the sizes alone, in f64 so that nothing overflows.
    fn parameters(&self) -> f64 {
        let g = &self.geometry;
        let (width, hidden) = (g.width as f64, self.hidden as f64);
        let heads = g.heads as f64 + g.kv_heads as f64;
        let attention = width * 2.0 * heads * g.head_dim as f64;
        let mlp = width * hidden * if self.gated { 3.0 } else { 2.0 };
        g.layers as f64 * (attention + mlp) + width * self.vocab as f64
    }
}

/// Sizes of attention in a checked relation: heads divide by key/value heads, the width by heads unless `head_dim` is
/// given.
pub(super) fn geometry(
    keys: &Keys,
    (layers, width): (usize, usize),
    (heads, kv_heads): (usize, usize),
    head_dim: Option<usize>,
    trained_length: usize,
) -> Result<Geometry> {
    if !heads.is_multiple_of(kv_heads) {
        let rule = format!("a divisor of the {heads} query heads");
        return Err(keys.wrong("num_key_value_heads", &rule, kv_heads));
    }
    let head_dim = match head_dim {
        Some(dim) => dim,
        None if width.is_multiple_of(heads) => width / heads,
        None => {
            let rule = format!("a multiple of the {heads} heads");
            return Err(keys.wrong("hidden_size", &rule, width));
        }
    };
    for (key, found, most) in [
        ("num_hidden_layers", layers, MOST_LAYERS),
        ("num_attention_heads", heads, MOST_HEADS),
        ("head_dim", head_dim, MOST_CHANNELS),
    ] {
        if found > most {
            return Err(keys.wrong(key, &format!("at most {most}"), found));
        }
    }
    Ok(Geometry {
        layers,
        width,
        heads,
        kv_heads,
        head_dim,
        trained_length,
    })
}

/// A config that was understood whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Understood {
    /// The decoder.
    pub architecture: Architecture,
    /// What each key meant, in the order of reading.
    pub keys: Vec<Meaning>,
}

/// Reads `config.json` of `dir`.
pub fn read(dir: &Path, reading: &Reading) -> Result<Understood> {
    let file = dir.join("config.json");
    parse_as(&file, &text(&file)?, reading)
}

/// The bytes of a `config.json`.
fn text(file: &Path) -> Result<Vec<u8>> {
    let size = regular(file)?;
    if size > LARGEST_CONFIG {
        let text = format!("{}: {size} bytes are no config.json", file.display());
        return Err(Error::Data(text));
    }
    std::fs::read(file).map_err(|e| Error::io(format!("reading {}", file.display()), e))
}

/// The keys of a `config.json`, without those that `reading` ignores.
pub(super) fn table(file: &Path, reading: &Reading) -> Result<Map<String, Value>> {
    Ok(object(file, &text(file)?, reading)?.0)
}

fn object(
    file: &Path,
    text: &[u8],
    reading: &Reading,
) -> Result<(Map<String, Value>, Vec<Meaning>)> {
    let wrong = |what: String| Error::Data(format!("{}: {what}", file.display()));
    let Strict(value) = serde_json::from_slice(text)
        .map_err(|e| wrong(format!("not a JSON config: {}", excerpt(&e.to_string()))))?;
    let Value::Object(mut object) = value else {
        let found = excerpt(&value.to_string());
        return Err(wrong(format!("expected a JSON table, found {found}")));
    };
    let mut ignored = Vec::new();
    for path in &reading.ignore_keys {
        let Some(value) = removed(&mut object, path) else {
            let known: Vec<&str> = object.keys().map(String::as_str).collect();
            let hint = suggest::hint(path, known);
            let text = format!("{}: no key `{path}` to ignore{hint}", file.display());
            return Err(Error::Config(text));
        };
        ignored.push(Meaning {
            key: path.clone(),
            value: Some(value),
            meaning: "ignored, as was asked for; it may change the computation".into(),
        });
    }
    Ok((object, ignored))
}

/// The architecture that the text of a `config.json` describes; `file` is for messages.
pub fn parse(file: &Path, text: &[u8]) -> Result<Understood> {
    parse_as(file, text, &Reading::default())
}

/// As [`parse`], with what `reading` decides.
pub fn parse_as(file: &Path, text: &[u8], reading: &Reading) -> Result<Understood> {
    let (object, mut ignored) = object(file, text, reading)?;
    let mut keys = Keys::new(file, "", object);
    let family = keys.text("model_type", "", "family")?;
    let known = arch::FAMILIES;
    let Some(found) = known.iter().find(|known| known.name == family) else {
        let names: Vec<_> = known.iter().map(|known| known.name).collect();
        let hint = suggest::hint(&family, names.iter().copied());
        let expected = format!("one of {}", names.join(", "));
        let found = excerpt(&format!("{family:?}"));
        return Err(keys.wrong("model_type", &expected, format!("{found}{hint}")));
    };
    let mut architecture = (found.read)(&mut keys)?;
    let parameters = architecture.parameters();
    if parameters > MOST_PARAMETERS {
        let text = format!(
            "{}: these sizes make {parameters:.1e} parameters; at most {MOST_PARAMETERS:.0e} are taken for meant",
            file.display()
        );
        return Err(Error::Data(text));
    }
    let (mut keys, notes) = keys.finish(|key| restated(&architecture, key))?;
    for meaning in &ignored {
        let value = meaning.value.as_ref().map(Value::to_string);
        architecture.notes.push(format!(
            "key `{}` = {} was ignored, though it may change the computation",
            meaning.key,
            excerpt(&value.unwrap_or_default())
        ));
    }
    // Twin blocks give the same note twice.
    for note in notes {
        if !architecture.notes.contains(&note) {
            architecture.notes.push(note);
        }
    }
    if let Some(length) = reading.trained_length {
        architecture.trained_with(length)?;
    }
    keys.append(&mut ignored);
    Ok(Understood { architecture, keys })
}

/// Takes the value at `path` out; names of keys may have dots of their own.
fn removed(object: &mut Map<String, Value>, path: &str) -> Option<Value> {
    if object.contains_key(path) {
        return object.shift_remove(path);
    }
    let dots = path.match_indices('.').map(|(at, _)| at);
    dots.into_iter().find_map(|at| {
        let inner = object.get_mut(&path[..at])?.as_object_mut()?;
        removed(inner, &path[at + 1..])
    })
}
