//! The smallest checkpoint there is, in pieces that tests break.

use serde_json::{Value, json};
use tempfile::TempDir;

/// A Llama of one layer: width 4, hidden 4, one head, vocabulary 3.
pub fn llama() -> Value {
    json!({
        "model_type": "llama", "hidden_size": 4, "intermediate_size": 4, "num_hidden_layers": 1,
        "num_attention_heads": 1, "vocab_size": 3, "max_position_embeddings": 16, "tie_word_embeddings": true,
    })
}

/// Its tensors.
pub fn tensors() -> Vec<(String, Vec<usize>)> {
    let layer = |part: &str| format!("model.layers.0.{part}.weight");
    let mut list = vec![("model.embed_tokens.weight".to_string(), vec![3, 4])];
    for part in ["q_proj", "k_proj", "v_proj", "o_proj"] {
        list.push((layer(&format!("self_attn.{part}")), vec![4, 4]));
    }
    for part in ["gate_proj", "up_proj", "down_proj"] {
        list.push((layer(&format!("mlp.{part}")), vec![4, 4]));
    }
    for part in ["input_layernorm", "post_attention_layernorm"] {
        list.push((layer(part), vec![4]));
    }
    list.push(("model.norm.weight".to_string(), vec![4]));
    list
}

/// A safetensors file of ones.
pub fn file(tensors: &[(String, Vec<usize>)]) -> Vec<u8> {
    let mut entries = Vec::new();
    let mut data: Vec<u8> = Vec::new();
    for (name, shape) in tensors {
        let start = data.len();
        let n: usize = shape.iter().product();
        data.extend((0..n).flat_map(|_| 1f32.to_le_bytes()));
        let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        entries.push(format!("{}:{entry}", json!(name)));
    }
    framed(&format!("{{{}}}", entries.join(",")), &data)
}

pub fn framed(header: &str, data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), data].concat()
}

pub fn folder(config: &Value, weights: &[u8]) -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    write(&dir, "config.json", config.to_string().as_bytes());
    write(&dir, "model.safetensors", weights);
    dir
}

pub fn write(dir: &TempDir, name: &str, bytes: &[u8]) {
    std::fs::write(dir.path().join(name), bytes).expect("a file");
}
