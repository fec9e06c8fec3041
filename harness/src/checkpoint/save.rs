//! A model as a checkpoint folder that the reference library loads: config, weights, tokenizer.
//!
//! The config is that of the checkpoint that the model was made from, with the scheme in the form of version 5
//! (`rope_parameters`) and of version 4 (`rope_scaling`, `rope_theta`). Weights are written in float32, as they learned, or
//! rounded to half precision, in one file or in shards.

use super::config::{self, Reading};
use super::files::Files;
use super::header::Type;
use super::layout::{Arrange, Slot};
use super::reading::table;
use super::rope_block::{Saved, forms, no_form, same};
use super::state::write;
use super::weights::{names, wanted};
use crate::model::{Architecture, Decoder, Values};
use crate::scheme::{apart, layer_plans, resolve};
use crate::{Error, Result};
use farspan_attention::plan::Plan;
use farspan_pe::{AnyScheme, Len, Registry};
use farspan_reports::store::write_atomic;
use serde_json::{Map, Value, json};
use std::path::Path;

/// Files of a checkpoint folder that go along as they are.
const COPIED: [&str; 9] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "generation_config.json",
];
/// Top-level keys that hold the base of the frequencies.
const THETA: [&str; 2] = ["rope_theta", "rotary_emb_base"];

/// A tensor's name, shape and numbers.
type Entry<'v> = (&'v String, &'v (Vec<usize>, Vec<f32>));

/// How weights are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Type of the numbers; nothing means that of the checkpoint that the model was made from.
    pub kind: Option<Type>,
    /// Bytes of a file above which weights are split over several, with an index.
    pub shard: u64,
}

impl Default for Form {
    fn default() -> Form {
        Form {
            kind: Some(Type::F32),
            shard: 5_000_000_000,
        }
    }
}

/// Writes `model`, which was made from the checkpoint `from`, into the folder `out`, for texts of up to `positions`
/// tokens. Fails before anything is written if its scheme has no form in a config.
pub fn save_pretrained(
    model: &Decoder,
    from: &Files,
    positions: usize,
    registry: &Registry,
    form: Form,
    out: &Path,
) -> Result<()> {
    let file = out.join("config.json");
    if file.exists() {
        let text = format!(
            "{}: expected a new folder, this one has a checkpoint",
            out.display()
        );
        return Err(Error::Config(text));
    }
    let scheme = model.scheme.as_ref();
    let (architecture, reading) = (&model.architecture, from.reading());
    let mut config = extended(
        from.dir(),
        scheme,
        architecture,
        positions,
        (registry, reading),
    )?;
    let kind = match form.kind {
        Some(kind) => kind,
        None => from.kind(),
    };
    for key in ["torch_dtype", "dtype"] {
        config.insert(key.into(), json!(kind.name()));
    }
    let values = stored(model, from)?;
    let writing = |e| Error::io(format!("writing {}", out.display()), e);
    std::fs::create_dir_all(out).map_err(writing)?;
    for name in COPIED {
        let file = from.dir().join(name);
        if file.exists() {
            std::fs::copy(file, out.join(name)).map_err(writing)?;
        }
    }
    write_weights(&values, kind, form.shard, out)?;
    let text = serde_json::to_string_pretty(&config).map_err(|e| Error::Bug(e.to_string()))?;
    Ok(write_atomic(&file, format!("{text}\n").as_bytes())?)
}

/// Writes `values` into one file, or into shards of at most `limit` bytes (or one tensor) with their index.
fn write_weights(values: &Values, kind: Type, limit: u64, out: &Path) -> Result<()> {
    let size = |data: &Vec<f32>| (data.len() * kind.size()) as u64;
    let mut shards: Vec<(u64, Vec<Entry<'_>>)> = Vec::new();
    for entry in values {
        let more = size(&entry.1.1);
        match shards.last_mut() {
            Some((held, entries)) if *held + more <= limit => {
                *held += more;
                entries.push(entry);
            }
            _ => shards.push((more, vec![entry])),
        }
    }
    let format = || ("format", "pt".to_string());
    if let [(_, entries)] = shards.as_slice() {
        return write(
            &out.join("model.safetensors"),
            entries.iter().copied(),
            kind,
            format(),
        );
    }
    let mut map = Map::new();
    let mut total = 0;
    let count = shards.len();
    for (number, (held, entries)) in shards.into_iter().enumerate() {
        let name = format!("model-{:05}-of-{count:05}.safetensors", number + 1);
        total += held;
        for (tensor, _) in &entries {
            map.insert((*tensor).clone(), json!(name));
        }
        write(&out.join(&name), entries, kind, format())?;
    }
    let index = json!({ "metadata": { "total_size": total }, "weight_map": map });
    let text = serde_json::to_string_pretty(&index).map_err(|e| Error::Bug(e.to_string()))?;
    let path = out.join("model.safetensors.index.json");
    Ok(write_atomic(&path, format!("{text}\n").as_bytes())?)
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
    let means = |config: &Map<String, Value>| -> Result<bool> {
        let text = serde_json::to_vec(config).map_err(|e| Error::Bug(e.to_string()))?;
        let read = config::parse(&file, &text)?.architecture;
        let again = resolve(registry, &read, None)?;
        for reach in [
            architecture.geometry.trained_length,
            positions,
            2 * positions,
        ] {
            let (ours, theirs) = (
                plans(registry, scheme, architecture, reach)?,
                plans(registry, again.as_ref(), &read, reach)?,
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

/// The plans at `reach`, or at the longest length below it that a table of learned positions serves.
fn plans(
    registry: &Registry,
    scheme: &dyn AnyScheme,
    architecture: &Architecture,
    reach: usize,
) -> Result<Vec<Plan>> {
    let geometry = &architecture.geometry;
    let apart = apart(registry, architecture)?;
    let planned = |reach| layer_plans(scheme, &apart, geometry, Len(reach));
    match planned(reach) {
        Ok(plans) => Ok(plans),
        Err(_) => Ok(planned(geometry.trained_length.min(reach))?),
    }
}

/// The model's weights by the names and in the layout of the checkpoint `from`.
fn stored(model: &Decoder, from: &Files) -> Result<Values> {
    let (architecture, mut merged) = (&model.architecture, model.merged()?);
    let slots = wanted(from, architecture, &names(architecture)?)?;
    if let Some(own) = merged
        .keys()
        .find(|name| !slots.iter().any(|slot| slot.name == **name))
    {
        return Err(Error::Config(format!(
            "{own} is a parameter that scheme {} learned; the checkpoint's family has no place for it",
            model.scheme.id()
        )));
    }
    let mut values = Values::new();
    for slot in &slots {
        let lacks = || Error::Bug(format!("the decoder has no weight {}", slot.name));
        let ours = merged.remove(&slot.name).ok_or_else(lacks)?;
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
