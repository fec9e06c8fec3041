//! JSON Schema of a config file, for editors.

use super::types::{
    EvaluateConfig, FinetuneConfig, ModelConfig, StudyConfig, TaskConfig, TrainConfig,
};
use farspan_attention::DeviceSpec;
use farspan_datasets::DataConfig;
use farspan_pe::{Needs, Registry};
use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

/// The schema (draft 7) of a whole config, with every scheme of `registry` and its settings.
pub fn schema(registry: &Registry) -> Value {
    let mut generator = SchemaSettings::draft07().into_generator();
    let finetune = of::<FinetuneConfig>(&mut generator);
    let mut properties = json!({
        "name": { "type": "string", "description": "Name of the run and of its folder. Default: the file's name." },
        "seeds": {
            "type": "array", "items": { "type": "integer", "minimum": 0 }, "minItems": 1, "uniqueItems": true,
            "default": [0], "description": "Seeds; each repeats every cell."
        },
        "reference": {
            "type": "string",
            "description": "Name of the scheme that the others are compared with. Default: the first."
        },
        "confidence": {
            "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1, "default": 0.95,
            "description": "Confidence of every interval."
        },
        "margin": {
            "type": "number", "exclusiveMinimum": 0, "default": 0.05,
            "description": "Rise of the loss over the trained length, in nats per token, below which a length counts as served."
        },
        "device": {
            "type": "string", "pattern": "^(auto|cpu|cuda(:[0-9]+)?([+](tf32|bf16))?|wgpu(:[0-9]+)?)$", "default": "cpu",
            "description": format!("{}.", DeviceSpec::FORMS)
        },
        "all_schemes": {
            "anyOf": [
                { "type": "boolean" },
                { "type": "object", "properties": { "finetune": finetune }, "additionalProperties": false },
            ],
            "default": false,
            "description": "Adds the schemes that [schemes] does not have, under their ids and with default settings; \
                            extensions get `finetune`."
        },
        "sweep": sweep(),
    });
    let mut tables = Map::new();
    tables.insert("task".into(), of::<TaskConfig>(&mut generator));
    tables.insert("data".into(), of::<DataConfig>(&mut generator));
    tables.insert("model".into(), of::<ModelConfig>(&mut generator));
    tables.insert("train".into(), of::<TrainConfig>(&mut generator));
    tables.insert("evaluate".into(), of::<EvaluateConfig>(&mut generator));
    let study = of::<StudyConfig>(&mut generator);
    if let Some(properties) = properties.as_object_mut() {
        properties.extend(tables);
        properties.insert("studies".into(), studies(&study));
        properties.insert("schemes".into(), schemes(registry, &finetune));
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Farspan config",
        "type": "object",
        "properties": properties,
        "anyOf": [{ "required": ["schemes"] }, { "required": ["all_schemes"] }],
        "additionalProperties": false,
        "definitions": generator.take_definitions(true),
    })
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

fn studies(study: &Value) -> Value {
    json!({
        "type": "object",
        "description": "Studies by name: each has a task and may set any of the shared tables anew.",
        "additionalProperties": study,
        "minProperties": 1,
    })
}

/// `[schemes.NAME.ID]`: one id per name, the scheme's settings and ours below it.
fn schemes(registry: &Registry, finetune: &Value) -> Value {
    let mut by_id = Map::new();
    for entry in registry.entries() {
        let mut schema = entry.schema();
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            let whose = match entry.card.needs {
                Needs::Base(family) => format!("(family {family})"),
                Needs::Scratch => "and fine-tuned under this one".into(),
            };
            let name = format!("Name of the scheme whose weights are read {whose}.");
            properties.insert(
                "extends".into(),
                json!({ "type": "string", "description": name }),
            );
            properties.insert("finetune".into(), finetune.clone());
            if entry.card.needs != Needs::Scratch {
                let own = properties.remove("base");
                let name = json!({ "type": "string", "description": name });
                let either = match own {
                    Some(own) => json!({ "anyOf": [name, own] }),
                    None => name,
                };
                properties.insert("base".into(), either);
            }
        }
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("$schema");
        }
        by_id.insert(entry.id.into(), schema);
    }
    json!({
        "type": "object",
        "description": "Schemes by name; below each name one table with the scheme's id.",
        "minProperties": 1,
        "additionalProperties": {
            "type": "object",
            "properties": by_id,
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": false,
        },
    })
}

fn sweep() -> Value {
    let axes = |what: &str| {
        json!({
            "type": "object",
            "description": what,
            "additionalProperties": { "type": ["array", "object"] },
        })
    };
    json!({
        "type": "object",
        "description": "Variants of the studies: every point of the sweep is a study of its own.",
        "properties": {
            "product": axes("Lists of values by key; every combination is a point."),
            "zip": axes("Lists of values by key, of one length; read side by side."),
            "exclude": {
                "type": "array",
                "description": "Points that agree with one of these tables are left out.",
                "items": { "type": "object" },
            },
        },
        "additionalProperties": false,
    })
}
