use super::*;
use farspan_attention::Result as AttentionResult;
use farspan_attention::attend::{Implementation, attend_packed};
use farspan_attention::attend::{Mask, Params};
use farspan_attention::ops::{self, FeedForward};
use farspan_attention::plan::{Geometry, Plan};
use farspan_attention::prepared::Prepared;
use farspan_attention::residual::Residual as Stream;
use farspan_datasets::Batch;
use farspan_pe::Registry;
use serde_json::json;

const SHAPE: Shape = Shape {
    geometry: Geometry {
        layers: 1,
        width: 16,
        heads: 2,
        kv_heads: 1,
        head_dim: 8,
        trained_length: 8,
    },
    hidden: 24,
    vocab: 11,
};

fn decoder(id: &str, values: Option<&Values>) -> Decoder {
    let scheme = Registry::builtin().parse(id, json!({})).unwrap();
    let architecture = Architecture::plain(&SHAPE);
    let device = Device::cpu();
    Decoder::drawn(architecture, Arc::from(scheme), Len(8), 3, values, &device).unwrap()
}

fn batch() -> Batch {
    let tokens: Vec<u32> = (0..16).map(|t| (7 * t + t * t) % 11).collect();
    Batch {
        targets: tokens.clone(),
        weights: vec![1.0; 16],
        tokens,
        positions: None,
        documents: None,
        rows: 2,
        len: 8,
    }
}

fn hidden(id: &str, values: &Values) -> Vec<f32> {
    let decoder = decoder(id, Some(values));
    let ready = decoder.prepare(Len(8), 8).unwrap();
    let hidden = decoder.hidden(&batch(), &ready, Pass::Train).unwrap();
    hidden.rows.to_flat::<f32>().unwrap()
}

fn values() -> Values {
    decoder("nope", None).values().unwrap()
}

fn close(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5)
}

/// Rows of queries, keys and values of a token are `head_dim` · (heads, kv_heads, kv_heads).
const QKV: &str = "model.layers.0.self_attn.qkv_proj.weight";

#[test]
fn infused_positions_reach_queries_and_keys_only() {
    let mut values = values();
    assert!(!close(
        &hidden("shortformer", &values),
        &hidden("nope", &values)
    ));
    // Without queries and keys nothing of the positions is left, for values and the stream never had any.
    values.get_mut(QKV).unwrap().1[..24 * 16].fill(0.0);
    let (infused, plain) = (hidden("shortformer", &values), hidden("nope", &values));
    assert!(close(&infused, &plain), "{infused:?}\n{plain:?}");
    assert!(!close(&hidden("sinusoidal", &values), &plain));
}

#[test]
fn infused_layers_equal_their_composition() -> AttentionResult<()> {
    let values = values();
    let decoder = decoder("shortformer", Some(&values));
    let ready = decoder.prepare(Len(8), 8).unwrap();
    let at = |name: &str| decoder.learned[name].var.tensor().detach();
    let x =
        ops::embed(&at("model.embed_tokens.weight"), &batch().tokens, &[2, 8])?.affine(4.0, 0.0)?;
    let h = ops::rms_norm(&x, &at("model.layers.0.input_layernorm.weight"), 1e-5)?;
    // fairseq: all sines, then all cosines, of p · 10000^(-m/7).
    let channel = |p: usize, c: usize| {
        let angle = p as f64 * 10000f64.powf(-((c % 8) as f64) / 7.0);
        (if c < 8 { angle.sin() } else { angle.cos() }) as f32
    };
    let rows: Vec<f32> = (0..8 * 16).map(|i| channel(i / 16, i % 16)).collect();
    let placed = h.broadcast_add(&Tensor::from_vec(rows, (8, 16), &Device::cpu())?)?;
    let weight = at(QKV);
    let qk = ops::linear(&placed, &weight)?.narrow(2, 0, 24)?;
    let v = ops::linear(&h, &weight)?.narrow(2, 24, 8)?;
    let qkv = Tensor::cat(&[&qk, &v], 2)?;
    let plain = Prepared::new(
        &Plan::default(),
        &SHAPE.geometry,
        0..8,
        0..8,
        &Device::cpu(),
    )?;
    let causal = Mask::causal();
    let out = attend_packed(&qkv, &plain, &Params::new(), &causal, Implementation::Auto)?;
    let x = ops::linear_add(
        &x,
        &out.output,
        &at("model.layers.0.self_attn.o_proj.weight"),
    )?;
    let mut stream = Stream::new(x);
    stream.feed_forward(&FeedForward {
        norm: &at("model.layers.0.post_attention_layernorm.weight"),
        gate_up: &at("model.layers.0.mlp.gate_up_proj.weight"),
        down: &at("model.layers.0.mlp.down_proj.weight"),
        eps: 1e-5,
    })?;
    let x = stream.rows()?;
    let expected = ops::rms_norm(&x, &at("model.norm.weight"), 1e-5)?.to_flat::<f32>()?;
    let found = decoder.hidden(&batch(), &ready, Pass::Evaluate).unwrap();
    assert!(close(&found.rows.to_flat::<f32>()?, &expected));
    Ok(())
}
