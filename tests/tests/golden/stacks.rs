//! Schemes in the model: the stream behind three layers of the decoder, against stacks of the authors' layers. What a
//! scheme is given there (which input, before or after what, shared with whom) no call of attention alone can show.

use super::tensors::flat;
use super::{close, golden, list, number, numbers, size};
use farspan::model::{Architecture, Decoder, Pass, Shape, Values};
use farspan::scheme::Positional;
use farspan_attention::Device;
use farspan_attention::plan::{Geometry, Plan};
use farspan_datasets::Batch;
use farspan_pe::{AnyScheme, Len, Registry};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Numbers in (−1, 1) that look like chance and are the same in every language.
fn noise(seed: u64, index: u64) -> f64 {
    let mut x =
        (index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ seed.wrapping_mul(0xD1B5_4A32_D192_ED03);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0
}

/// Values of the tensor `name`: the seed is its name.
fn filled(name: &str, shape: &[usize], rule: &Value) -> (Vec<usize>, Vec<f32>) {
    let (centre, spread) = (number(&rule["centre"]), number(&rule["spread"]));
    let seed = name.bytes().fold(3u64, |seed, byte| {
        seed.wrapping_mul(31).wrapping_add(byte.into())
    });
    let count = shape.iter().product::<usize>() as u64;
    let values = (0..count).map(|i| (centre + spread * noise(seed, i)) as f32);
    (shape.to_vec(), values.collect())
}

/// What the file says of a scheme's parameters, by the name that a checkpoint would have.
fn scheme_parameters(case: &Value) -> BTreeMap<String, &Value> {
    let params = case["params"].as_object().expect("parameters by name");
    let named = |(name, param): (&String, _)| {
        let param: &Value = param;
        let layers = param["layers"].as_array();
        let names: Vec<String> = match layers {
            None => vec![format!("scheme.{name}")],
            Some(layers) => layers
                .iter()
                .map(|layer| format!("model.layers.{layer}.scheme.{name}"))
                .collect(),
        };
        names.into_iter().map(move |name| (name, param))
    };
    params.iter().flat_map(named).collect()
}

fn shape(file: &Value, case: &Value) -> Shape {
    Shape {
        geometry: Geometry {
            layers: size(&file["layers"]),
            width: size(&file["width"]),
            heads: size(&case["heads"]),
            kv_heads: size(&case["kv_heads"]),
            head_dim: size(&case["head_dim"]),
            trained_length: size(&file["trained_length"]),
        },
        hidden: size(&file["hidden"]),
        vocab: size(&file["vocab"]),
    }
}

/// The decoder's weights as the file's rules fill them. Its names and shapes must be those of the file.
fn values(name: &str, file: &Value, case: &Value, stack: &Stack<'_>) -> Values {
    let drawn = stack.decoder(None);
    let mut scheme = scheme_parameters(case);
    let rules = file["weights"].as_object().expect("rules by name");
    let of = |(weight, (shape, _)): (String, (Vec<usize>, _))| {
        let own = rules.iter().find(|(end, _)| weight.ends_with(*end));
        let rule = match (weight.contains("scheme."), own) {
            (false, Some((_, rule))) => rule,
            (false, None) => panic!("{name}: no rule for {weight}"),
            (true, _) => {
                let param = scheme.remove(&weight);
                let param = param.unwrap_or_else(|| panic!("{name}: {weight} is not the authors'"));
                let expected: Vec<usize> = list(&param["shape"]).iter().map(size).collect();
                assert_eq!(shape, expected, "{name}: {weight}");
                param
            }
        };
        let values = filled(&weight, &shape, rule);
        (weight, values)
    };
    let values = drawn.values().unwrap().into_iter().map(of).collect();
    assert!(scheme.is_empty(), "{name}: lacks {:?}", scheme.keys());
    values
}

fn batch(file: &Value) -> Batch {
    let windows: Vec<Vec<f64>> = list(&file["tokens"]).iter().map(numbers).collect();
    let tokens: Vec<u32> = windows.concat().iter().map(|id| *id as u32).collect();
    Batch {
        targets: tokens.clone(),
        weights: vec![1.0; tokens.len()],
        tokens,
        positions: None,
        documents: None,
        rows: windows.len(),
        len: windows[0].len(),
    }
}

/// The stream behind the last norm against the file's.
fn holds(name: &str, model: &Decoder, batch: &Batch, case: &Value) {
    let ready = model.prepare(Len(batch.len), batch.len).unwrap();
    let expected: Vec<Vec<f64>> = list(&case["hidden"]).iter().map(flat).collect();
    for pass in [Pass::Evaluate, Pass::Train] {
        let found = model.hidden(batch, &ready, pass).unwrap();
        let found: Vec<f32> = found.rows.to_flat().unwrap();
        let found: Vec<f64> = found.into_iter().map(f64::from).collect();
        let window = batch.len * model.architecture.geometry.width;
        for (found, expected) in found.chunks(window).zip(&expected) {
            // Of the second window the last token was kept.
            let found = &found[found.len() - expected.len()..];
            // Three layers in f32, against f64.
            close(&format!("{name}, {pass:?}"), found, expected, 2e-5, 2e-5);
        }
    }
}

/// A case with all that a model of it needs.
struct Stack<'a> {
    name: &'a str,
    case: &'a Value,
    scheme: Arc<dyn AnyScheme>,
    shape: Shape,
    len: usize,
    values: Values,
}

impl Stack<'_> {
    fn decoder(&self, values: Option<&Values>) -> Decoder {
        let architecture = Architecture::plain(&self.shape);
        let (scheme, context_len) = (Arc::clone(&self.scheme), Len(self.len));
        Decoder::drawn(architecture, scheme, context_len, 0, values, &Device::cpu()).unwrap()
    }
}

fn stacks(file: &Value) -> Vec<Stack<'_>> {
    let cases = file["cases"].as_object().expect("cases by name");
    let of = |(name, case)| -> Stack {
        let (name, case): (&String, &Value) = (name, case);
        let id = case["id"].as_str().expect("an id");
        let scheme = Registry::builtin().parse(id, case["settings"].clone());
        let scheme = scheme.unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut stack = Stack {
            name,
            case,
            scheme: Arc::from(scheme),
            shape: shape(file, case),
            len: batch(file).len,
            values: Values::new(),
        };
        stack.values = values(name, file, case, &stack);
        stack
    };
    cases.iter().map(of).collect()
}

#[test]
fn layers_give_what_the_authors_layers_give() {
    let file = golden("stacks");
    for stack in stacks(&file) {
        let decoder = stack.decoder(Some(&stack.values));
        holds(stack.name, &decoder, &batch(&file), stack.case);
    }
}

/// The same weights as a checkpoint of Phi-3, whose layers are the decoder's.
#[test]
fn checkpoints_layers_do_too() {
    let file = golden("stacks");
    for stack in stacks(&file) {
        let folder = tempfile::tempdir().unwrap();
        write_checkpoint(folder.path(), stack.shape);
        let asked = Positional::of(&*stack.scheme);
        let registry = Registry::builtin();
        let model =
            farspan::checkpoint::open(folder.path(), &registry, Some(&asked), &Device::cpu());
        let model = model.unwrap_or_else(|e| panic!("{}: {e}", stack.name));
        let mut values = stack.values.clone();
        // Checkpoints do not scale embeddings.
        let scale = (stack.shape.geometry.width as f64).sqrt();
        let table = values.get_mut("model.embed_tokens.weight").unwrap();
        table
            .1
            .iter_mut()
            .for_each(|x| *x = (f64::from(*x) * scale) as f32);
        let context_len = Len(stack.len);
        let model = model.tune(context_len, None, 0, Some(&values)).unwrap();
        holds(stack.name, &model, &batch(&file), stack.case);
    }
}

/// A folder with a Phi-3 of this shape whose weights are 0.
fn write_checkpoint(folder: &Path, shape: Shape) {
    let Geometry {
        layers,
        width,
        heads,
        kv_heads,
        head_dim,
        trained_length,
    } = shape.geometry;
    let config = json!({
        "model_type": "phi3", "hidden_size": width, "intermediate_size": shape.hidden,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
        "vocab_size": shape.vocab, "max_position_embeddings": trained_length,
        "original_max_position_embeddings": trained_length, "rms_norm_eps": 1e-5, "hidden_act": "silu",
        "tie_word_embeddings": true, "sliding_window": null,
    });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let mut tensors = vec![
        ("model.embed_tokens".to_string(), vec![shape.vocab, width]),
        ("model.norm".to_string(), vec![width]),
    ];
    for layer in 0..layers {
        let qkv = (heads + 2 * kv_heads) * head_dim;
        tensors.extend(
            [
                ("input_layernorm", vec![width]),
                ("post_attention_layernorm", vec![width]),
                ("self_attn.qkv_proj", vec![qkv, width]),
                ("self_attn.o_proj", vec![width, heads * head_dim]),
                ("mlp.gate_up_proj", vec![2 * shape.hidden, width]),
                ("mlp.down_proj", vec![width, shape.hidden]),
            ]
            .map(|(part, shape)| (format!("model.layers.{layer}.{part}"), shape)),
        );
    }
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for (name, shape) in tensors {
        let start = end;
        end += 4 * shape.iter().product::<usize>();
        let entry = json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, end] });
        header.insert(format!("{name}.weight"), entry);
    }
    let header = Value::Object(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + end, 0);
    std::fs::write(folder.join("model.safetensors"), bytes).unwrap();
}

/// A scheme that reads more than q, k and v is in no doubt only if it stands in a stack.
#[test]
fn every_scheme_that_reads_content_stands_in_a_stack() {
    let file = golden("stacks");
    let cases = file["cases"].as_object().expect("cases by name");
    let shape = shape(&file, &cases["nope"]);
    for entry in Registry::builtin().entries() {
        let scheme = entry.parse(json!({})).unwrap();
        let Ok(plans) = scheme.layer_plans(&shape.geometry, Len(shape.geometry.trained_length))
        else {
            continue;
        };
        let reads = |plan: &Plan| !plan.hooks.is_empty() || !plan.tokens.is_empty();
        let held = cases.values().any(|case| case["id"] == entry.id);
        assert!(held || !plans.iter().any(reads), "{}", entry.id);
    }
}
