//! A model as a checkpoint folder that the reference library loads: config, weights, tokenizer.
//!
//! The config is that of the checkpoint that the model was made from, with the scheme in the form of version 5
//! (`rope_parameters`) and of version 4 (`rope_scaling`, `rope_theta`). Weights are written in float32, as they learned, or
//! rounded to half precision, in one file or in shards.

use super::arch::farspan::{self, FAMILY};
use super::config::{self, Reading};
use super::convert::{EMBED, HEAD, as_llama, llama_config};
use super::files::Files;
pub use super::folder::{Beside, Form};
use super::folder::{fresh, write_folder};
use super::layout::{Arrange, Names, Slot, slots};
use super::reading::table;
use super::rope_block::{Saved, forms, no_form, same};
use super::weights::{names, wanted};
use crate::model::{Architecture, Decoder, Values, Weights};
use crate::scheme::{Positional, apart, layer_plans, resolve};
use crate::{Error, Result};
use farspan_attention::plan::Plan;
use farspan_attention::{DType, Tensor};
use farspan_pe::{AnyScheme, Len, Registry};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Top-level keys that hold the base of the frequencies.
const THETA: [&str; 2] = ["rope_theta", "rotary_emb_base"];

/// Who is to load what is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The reference library: a checkpoint in its family, a model that was trained here as a Llama.
    Library,
    /// Farspan: any model under any scheme.
    Farspan,
}

impl Format {
    /// That of a model which is made from one of `architecture`.
    pub fn of(architecture: &Architecture) -> Format {
        match architecture.family == FAMILY {
            true => Format::Farspan,
            false => Format::Library,
        }
    }
}

/// The config that `scheme` on `architecture`, the model of `from`, is saved with for texts of up to `positions` tokens.
/// Fails if it has no form there.
pub fn config_for(
    format: Format,
    from: &Files,
    (architecture, scheme): (&Architecture, &dyn AnyScheme),
    positions: usize,
    registry: &Registry,
) -> Result<Map<String, Value>> {
    match (format, Format::of(architecture)) {
        (Format::Farspan, _) => Ok(farspan::config(architecture)),
        (Format::Library, Format::Library) => {
            let with = (registry, from.reading());
            extended(from.dir(), scheme, architecture, positions, with)
        }
        (Format::Library, Format::Farspan) => {
            let llama = as_llama(architecture)?.0;
            let file = from.dir().join("config.json");
            let with = (file.as_path(), registry);
            formed(llama_config(&llama), scheme, &llama, positions, with)
        }
    }
}

/// The `rope_type` of a config for `scheme`, where that is a way to write any fixed frequencies and not the scheme's own.
pub fn other_word<'c>(config: &'c Map<String, Value>, scheme: &dyn AnyScheme) -> Option<&'c str> {
    let kind = config.get("rope_parameters")?["rope_type"].as_str();
    kind.filter(|kind| *kind == "longrope" && *kind != scheme.id())
}

/// Writes `model`, which was made from the checkpoint `from`, into the folder `out`, for texts of up to `positions`
/// tokens, for the reference library or, where that is its own form, for Farspan. Fails before anything is written if its
/// scheme has no form in a config.
pub fn save_pretrained(
    model: &Decoder,
    from: &Files,
    positions: usize,
    registry: &Registry,
    form: Form,
    out: &Path,
) -> Result<()> {
    let format = Format::of(&model.architecture);
    save_as(format, model, from, positions, registry, form, out)
}

/// As [`save_pretrained`], in the form `format`.
pub fn save_as(
    format: Format,
    model: &Decoder,
    from: &Files,
    positions: usize,
    registry: &Registry,
    form: Form,
    out: &Path,
) -> Result<()> {
    let (architecture, scheme) = (&model.architecture, model.scheme.as_ref());
    let beside = Beside::Folder(from.dir().to_path_buf());
    let kind = form.kind.unwrap_or_else(|| from.kind());
    let form = Form {
        kind: Some(kind),
        ..form
    };
    if format == Format::Farspan {
        return save_own(model, &beside, form, out);
    }
    let parts = (architecture, scheme);
    let config = config_for(format, from, parts, positions, registry)?;
    fresh(out)?;
    let values = match Format::of(architecture) {
        Format::Library => {
            let slots = wanted(from, architecture, &names(architecture)?)?;
            arranged_as(&slots, model.merged()?, scheme.id())?
        }
        Format::Farspan => llama_values(model)?,
    };
    write_folder(config, &values, &beside, form, out)
}

/// The weights of a model that was trained here, as a Llama has them.
fn llama_values(model: &Decoder) -> Result<Values> {
    let (llama, scale) = as_llama(&model.architecture)?;
    let mut merged = model.merged()?;
    let lacks = || Error::Bug("a model without embeddings".into());
    let embed = merged.remove(EMBED).ok_or_else(lacks)?;
    if model.architecture.tied && !llama.tied {
        merged.insert(HEAD.into(), embed.clone());
    }
    merged.insert(EMBED.into(), embed.affine(scale, 0.0)?);
    let slots = slots(&llama, &Names::LLAMA, true);
    arranged_as(&slots, merged, model.scheme.id())
}

/// Writes `model` into the folder `out` in Farspan's own form, which every model has under every scheme.
pub fn save_own(model: &Decoder, beside: &Beside, form: Form, out: &Path) -> Result<()> {
    let architecture = model.architecture.clone();
    let architecture = architecture.under(Positional::of(model.scheme.as_ref()));
    let plain = Plain {
        architecture: &architecture,
        weights: model.merged()?,
    };
    write_own(plain, beside, form, out)
}

/// A model without its scheme's code.
#[derive(Debug)]
pub struct Plain<'a> {
    /// What it is, under which scheme.
    pub architecture: &'a Architecture,
    /// All of its weights.
    pub weights: Weights,
}

/// As [`save_own`].
pub fn write_own(model: Plain<'_>, beside: &Beside, form: Form, out: &Path) -> Result<()> {
    fresh(out)?;
    let flat = |(name, tensor): (String, Tensor)| {
        let shape = tensor.dims().to_vec();
        let values = tensor.to_dtype(DType::F32)?.to_flat::<f32>()?;
        Ok((name, (shape, values)))
    };
    let values: Values = model.weights.into_iter().map(flat).collect::<Result<_>>()?;
    let config = farspan::config(model.architecture);
    write_folder(config, &values, beside, form, out)
}

/// The config of the checkpoint in `from`, read as `reading` says, with `scheme` in the place of its own, for texts of up
/// to `positions` tokens, in a form that the reference library loads for this family. What it means when it is read again
/// is held against the scheme's plans.
pub fn extended(
    from: &Path,
    scheme: &dyn AnyScheme,
    architecture: &Architecture,
    positions: usize,
    (registry, reading): (&Registry, &Reading),
) -> Result<Map<String, Value>> {
    let file = from.join("config.json");
    let original = table(&file, reading)?;
    formed(original, scheme, architecture, positions, (&file, registry))
}

/// `original`, the text of `file`, with `scheme` in the place of its own.
fn formed(
    original: Map<String, Value>,
    scheme: &dyn AnyScheme,
    architecture: &Architecture,
    positions: usize,
    (file, registry): (&Path, &Registry),
) -> Result<Map<String, Value>> {
    let means = |config: &Map<String, Value>| -> Result<bool> {
        let text = serde_json::to_vec(config).map_err(|e| Error::Bug(e.to_string()))?;
        let read = config::parse(file, &text)?.architecture;
        let again = resolve(registry, &read, None)?;
        for context_len in [
            architecture.geometry.trained_length,
            positions,
            2 * positions,
        ] {
            let (ours, theirs) = (
                plans(registry, scheme, architecture, context_len)?,
                plans(registry, again.as_ref(), &read, context_len)?,
            );
            let all = ours.iter().zip(&theirs).all(|(a, b)| same(a, b));
            if ours.len() != theirs.len() || !all {
                return Ok(false);
            }
        }
        Ok(true)
    };
    for form in forms(scheme, architecture, positions)? {
        let config = with_form(original.clone(), form, architecture);
        if matches!(means(&config), Ok(true)) {
            return Ok(config);
        }
    }
    match means(&original)? {
        true => Ok(original),
        false => Err(no_form(scheme, architecture)),
    }
}

/// `config` with the keys of `form`, as version 5 and as version 4 of the library spell them.
fn with_form(
    mut config: Map<String, Value>,
    form: Saved,
    architecture: &Architecture,
) -> Map<String, Value> {
    const ORIGINAL: &str = "original_max_position_embeddings";
    let mut block = form.block;
    let plain = block["rope_type"] == "default";
    block.insert("rope_theta".into(), json!(form.theta));
    const PARTIAL: &str = "partial_rotary_factor";
    let said = config
        .get("rope_parameters")
        .is_some_and(|block| !block[PARTIAL].is_null());
    let partial = architecture.positional.settings.get("partial");
    // Other keys say which channels turn in latent attention.
    let partial = partial.filter(|_| architecture.latent.is_none());
    if let Some(partial) = partial.filter(|share| said || **share != json!(1.0)) {
        block.insert(PARTIAL.into(), partial.clone());
    }
    let theta = match architecture.family.as_str() {
        "gpt_neox" => "rotary_emb_base",
        _ => "rope_theta",
    };
    config.insert(theta.into(), json!(form.theta));
    for key in THETA {
        if let Some(value) = config.get_mut(key) {
            *value = json!(form.theta);
        }
    }
    config.insert("max_position_embeddings".into(), json!(form.positions));
    // Phi-3's reference looks for it at the top level only; linear scaling has no place for it in its block.
    let at_top = architecture.family == "phi3" || config.contains_key(ORIGINAL);
    if let Some(length) = form
        .original
        .filter(|_| at_top || block["rope_type"] == "linear")
    {
        config.insert(ORIGINAL.into(), json!(length));
    }
    let twin = if plain {
        Value::Null
    } else {
        Value::Object(block.clone())
    };
    config.insert("rope_scaling".into(), twin);
    let block = match by_layer(&config, architecture) {
        Some(sliding) => json!({"full_attention": block, "sliding_attention": sliding}),
        None => Value::Object(block),
    };
    config.insert("rope_parameters".into(), block);
    config
}

/// The block of layers with a window, in families that turn these by rules of their own.
fn by_layer(config: &Map<String, Value>, architecture: &Architecture) -> Option<Value> {
    let mut own = architecture.apart.iter().flatten();
    let base = own.find_map(|own| own.settings.get("base"))?;
    let kept = config
        .get("rope_parameters")
        .map(|block| &block["sliding_attention"]);
    match kept.filter(|block| block.is_object()) {
        Some(block) => Some(block.clone()),
        None => Some(json!({"rope_type": "default", "rope_theta": base})),
    }
}

/// The plans at `context_len`, or at the longest length below it that a table of learned positions serves.
fn plans(
    registry: &Registry,
    scheme: &dyn AnyScheme,
    architecture: &Architecture,
    context_len: usize,
) -> Result<Vec<Plan>> {
    let geometry = &architecture.geometry;
    let apart = apart(registry, architecture)?;
    let planned = |context_len| layer_plans(scheme, &apart, geometry, Len(context_len));
    match planned(context_len) {
        Ok(plans) => Ok(plans),
        Err(_) => Ok(planned(geometry.trained_length.min(context_len))?),
    }
}

/// `weights` by the names and in the layout of `slots`.
fn arranged_as(slots: &[Slot], mut weights: Weights, scheme: &str) -> Result<Values> {
    if let Some(own) = weights
        .keys()
        .find(|name| !slots.iter().any(|slot| slot.name == **name))
    {
        return Err(Error::Config(format!(
            "{own} is a parameter that scheme {scheme} learned; the checkpoint's family has no place for it \
             (--format farspan has)"
        )));
    }
    let mut values = Values::new();
    for slot in slots {
        let lacks = || Error::Bug(format!("the decoder has no weight {}", slot.name));
        let ours = weights.remove(&slot.name).ok_or_else(lacks)?;
        let theirs = arranged_back(slot, ours.to_flat::<f32>()?);
        drop(ours);
        if let (Arrange::Stacked(stacked), [(name, shape)]) = (slot.arrange, slot.parts.as_slice())
        {
            let whole = || (shape.clone(), vec![0.0; shape.iter().product()]);
            let (_, numbers) = values.entry(name.clone()).or_insert_with(whole);
            numbers[stacked.range(&slot.shape)].copy_from_slice(&theirs);
            continue;
        }
        let mut rest = theirs.as_slice();
        for (name, shape) in &slot.parts {
            let (part, behind) = rest.split_at(shape.iter().product());
            values.insert(name.clone(), (shape.clone(), part.to_vec()));
            rest = behind;
        }
    }
    Ok(values)
}

/// The numbers of a slot in the checkpoint's order.
fn arranged_back(slot: &Slot, values: Vec<f32>) -> Vec<f32> {
    match slot.arrange {
        Arrange::AsIs => values,
        Arrange::PlusOne => values.into_iter().map(|x| x - 1.0).collect(),
        Arrange::Stacked(stacked) => stacked.theirs(&slot.shape, &values),
        Arrange::Transposed => {
            let (out, inner) = (slot.shape[0], slot.shape[1]);
            (0..inner)
                .flat_map(|column| (0..out).map(move |row| row * inner + column))
                .map(|place| values[place])
                .collect()
        }
        Arrange::Grouped {
            groups,
            queries,
            keys,
            values_first,
        } => {
            // A head's rows with all their columns; a bias has one.
            let head = values.len() / (groups * (queries + 2 * keys));
            let heads = |first: usize, n: usize| &values[first * head..(first + n) * head];
            let group = |group: usize| {
                let key = heads(groups * queries + group * keys, keys);
                let value = heads(groups * (queries + keys) + group * keys, keys);
                let (first, second) = match values_first {
                    true => (value, key),
                    false => (key, value),
                };
                [heads(group * queries, queries), first, second].concat()
            };
            (0..groups).flat_map(group).collect()
        }
        // Places of padding, which no token of a text sees.
        Arrange::Behind(rows) => [vec![0.0; rows * slot.shape[1]], values].concat(),
    }
}
