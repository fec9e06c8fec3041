//! `config.json` as an [`Architecture`]: what a decoder needs to know to compute the same logits.

use super::arch;
use super::files::excerpt;
use super::keys::{Keys, Meaning};
pub use super::reading::Reading;
use super::reading::{object, text};
use super::restated::restated;
use super::rope::Rotary;
use crate::config::suggest;
use crate::model::{Activation, Architecture};
use crate::scheme::Positional;
use crate::{Error, Result};
use farspan_attention::plan::Geometry;
use serde::Serialize;
use serde_json::Value;
use std::path::Path;

/// Learned numbers beyond which a config is taken for a mistake.
const MOST_PARAMETERS: f64 = 1e12;
/// Layers beyond which a config is taken for a mistake.
const MOST_LAYERS: usize = 4096;
/// Heads beyond which a config is taken for a mistake.
const MOST_HEADS: usize = 65_536;
/// Channels of a head beyond which a config is taken for a mistake.
const MOST_CHANNELS: usize = 65_536;

/// How the note of an open trained length begins.
const DOUBT: &str = "the trained length is not certain";

impl Activation {
    /// The function that the reference library calls `name`.
    pub(super) fn named(keys: &mut Keys, key: &'static str, default: &str) -> Result<Activation> {
        let name = keys.text(key, default, "activation of the block after attention")?;
        match name.as_str() {
            "silu" | "swish" => Ok(Activation::Silu),
            "gelu" => Ok(Activation::Gelu),
            "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
            "relu" => Ok(Activation::Relu),
            "relu2" => Ok(Activation::SquaredRelu),
            _ => {
                let known = "silu, gelu, gelu_new, gelu_fast, gelu_pytorch_tanh, relu or relu2";
                Err(keys.wrong(key, known, format!("{name:?}")))
            }
        }
    }

    /// What the reference library calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Activation::Silu => "silu",
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu_pytorch_tanh",
            Activation::Relu => "relu",
            Activation::SquaredRelu => "relu2",
        }
    }
}

impl Architecture {
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

    /// Gives layers that slide their window; the others lose what was set apart for those with one.
    pub(super) fn slides(&mut self, sliding: &[bool], window: Option<usize>) {
        for (layer, &slides) in sliding.iter().enumerate() {
            self.windows[layer] = window.filter(|_| slides);
            self.apart[layer] = self.apart[layer].take().filter(|_| slides);
        }
    }

    /// Schemes that layers keep for themselves, and the numbers of these layers, for people.
    pub fn kept_apart(&self) -> Vec<(&Positional, String)> {
        let mut kept: Vec<(&Positional, String)> = Vec::new();
        for (layer, own) in self.apart.iter().enumerate() {
            let Some(own) = own else { continue };
            match kept.iter_mut().find(|(known, _)| *known == own) {
                Some((_, layers)) => layers.push_str(&format!(", {layer}")),
                None => kept.push((own, layer.to_string())),
            }
        }
        kept
    }

    /// Notes that the config leaves it open whether the weights were trained with `here` tokens or with `there`.
    fn doubt(&mut self, here: usize, there: usize, why: &str) {
        self.other_length = Some(there);
        self.notes.push(format!(
            "{DOUBT}: {here} is taken, {there} is possible ({why}); --trained-length (model.trained_length in a run) sets it"
        ));
    }
}

/// Learned numbers by the sizes alone, in f64 so that nothing overflows.
fn parameters(architecture: &Architecture) -> f64 {
    let g = &architecture.geometry;
    let (width, hidden) = (g.width as f64, architecture.hidden as f64);
    let heads = g.heads as f64 + g.kv_heads as f64;
    let attention = width * 2.0 * heads * g.head_dim as f64;
    let block = width * if architecture.gated { 3.0 } else { 2.0 };
    let experts = match &architecture.experts {
        Some(e) => e.count as f64 * e.hidden as f64 + e.shared.map_or(0.0, |n| n as f64),
        None => 0.0,
    };
    let mlp = block * hidden.max(experts);
    g.layers as f64 * (attention + mlp) + width * architecture.vocab as f64
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

/// Refuses weights that are stored as anything but floating-point numbers.
fn not_quantized(keys: &mut Keys) -> Result<()> {
    const KEY: &str = "quantization_config";
    let Some(found) = keys.take(KEY, "how the weights are stored") else {
        return Ok(());
    };
    let method = found["quant_method"].as_str().unwrap_or("another form");
    let expected = "weights stored in float32, float16 or bfloat16";
    Err(keys.contradicts(KEY, expected, format!("{method}: {found}")))
}

/// A config that was understood whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Understood {
    /// The decoder.
    pub architecture: Architecture,
    /// What each key meant, in the order of reading.
    pub keys: Vec<Meaning>,
}

/// Names of all families that are read.
pub fn families() -> Vec<&'static str> {
    arch::FAMILIES.iter().map(|known| known.name).collect()
}

/// What the family `name` is like where its config says nothing.
pub fn like(name: &str) -> Result<Architecture> {
    let names = families();
    if !names.contains(&name) || name == arch::farspan::FAMILY {
        let hint = suggest::hint(name, names.iter().copied());
        let text = format!("expected a family of checkpoints, found {name:?}{hint}");
        return Err(Error::Config(text));
    }
    let text = serde_json::json!({ "model_type": name }).to_string();
    let file = Path::new("the defaults of the family");
    let architecture = parse(file, text.as_bytes())?.architecture;
    if architecture.experts.is_some() || architecture.latent.is_some() {
        let text =
            format!("{name} has experts or latent attention, whose sizes `[model]` cannot say");
        return Err(Error::Config(text));
    }
    Ok(architecture)
}

/// Folders in `dir` that are checkpoints, as the end of a sentence.
fn elsewhere(dir: &Path) -> String {
    let folders = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<String> = folders
        .map(|entry| entry.path())
        .filter(|path| path.join("config.json").exists())
        .map(|path| path.display().to_string())
        .collect();
    found.sort();
    match found.as_slice() {
        [] => String::new(),
        [one] => format!(" in it; there is one in {one}"),
        many => format!(" in it; there is one in each of {}", many.join(", ")),
    }
}

/// Reads `config.json` of `dir`.
pub fn read(dir: &Path, reading: &Reading) -> Result<Understood> {
    let file = dir.join("config.json");
    if dir.is_dir() && !file.exists() {
        return Err(Error::Data(format!(
            "{}: expected a checkpoint, found no config.json{}",
            dir.display(),
            elsewhere(dir)
        )));
    }
    parse_as(&file, &text(&file)?, reading)
}

/// The architecture that the text of a `config.json` describes; `file` is for messages.
pub fn parse(file: &Path, text: &[u8]) -> Result<Understood> {
    parse_as(file, text, &Reading::default())
}

/// As [`parse`], with what `reading` decides.
pub fn parse_as(file: &Path, text: &[u8], reading: &Reading) -> Result<Understood> {
    let (object, mut ignored) = object(file, text, reading)?;
    let mut keys = Keys::new(file, "", object);
    not_quantized(&mut keys)?;
    let family = keys.text("model_type", "", "family")?;
    let known = arch::FAMILIES;
    let Some(found) = known.iter().find(|known| known.name == family) else {
        let mut names: Vec<_> = known.iter().map(|known| known.name).collect();
        names.sort_unstable();
        let meant = suggest::spelt(&family, names.iter().copied());
        let hint = match meant {
            _ if arch::UNREAD.contains(&family.as_str()) => ", another family".to_string(),
            Some(meant) => format!("; did you mean `{meant}`?"),
            None => String::new(),
        };
        let expected = format!("one of {}", names.join(", "));
        let found = excerpt(&format!("{family:?}"));
        return Err(keys.wrong("model_type", &expected, format!("{found}{hint}")));
    };
    let mut architecture = (found.read)(&mut keys)?;
    arch::checked(&keys, &architecture)?;
    let parameters = parameters(&architecture);
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
