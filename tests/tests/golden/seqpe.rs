//! SeqPE: positions that an encoder reads as digits.

use super::content::values;
use super::tensors::{f64s as tensor, flat};
use super::turning::{model, param, rows};
use super::{close, golden, list, numbers, plan, size};
use farspan_attention::Device;
use farspan_attention::attend::{Implementation, Mask, Params, attend};
use farspan_attention::plan::Geometry;
use farspan_attention::prepared::Prepared;
use serde_json::{Value, json};

/// (in, out) as the (out, in) that a projection is.
fn turned(value: &Value) -> Vec<f64> {
    let rows = rows(value);
    let columns = rows[0].len();
    let column = |c: usize| rows.iter().map(move |row| row[c]);
    (0..columns).flat_map(column).collect()
}

/// An encoder of one block, as executed, and the same block twice: only then matters what symbols before the last see.
#[test]
fn seqpe() {
    let file = golden("bias/seqpe");
    let twice = golden("bias/seqpe_two_blocks");
    encoded_by(&file, 1, &rows(&file["encoding"]));
    encoded_by(&file, 2, &rows(&twice["encoding"]));
}

fn encoded_by(file: &Value, blocks: usize, expected: &[Vec<f64>]) {
    let width = size(&file["embed_dim"]);
    let heads = size(&file["heads"]);
    // The file's encodings have four channels; here they are filled up to the width with zeros.
    let channels = list(&file["out_b"]).len();
    let model = Geometry {
        width,
        ..model(heads, heads, width)
    };
    let settings = json!({ "digits": file["max_digits"], "blocks": blocks });
    let plan = plan("seqpe", settings, &model, 10_000);
    let filled = |values: Vec<f64>, len: usize| {
        let missing = len - values.len();
        [values, vec![0.0; missing]].concat()
    };
    // Every head's queries and keys are the encoding itself.
    let unit: Vec<f64> = (0..width * width)
        .map(|i| f64::from(u8::from(i / width == i % width)))
        .collect();
    let rows_of_map = 2 * heads * width;
    let mut params = Params::from([
        (
            "seqpe.map".into(),
            tensor(unit.repeat(2 * heads), &[rows_of_map, width]),
        ),
        (
            "seqpe.out".into(),
            tensor(
                filled(flat(&file["out_w_out_by_in"]), width * width),
                &[width, width],
            ),
        ),
        (
            "seqpe.out.bias".into(),
            tensor(filled(flat(&file["out_b"]), width), &[width]),
        ),
    ]);
    for (name, key) in [
        ("digit", "digit_emb"),
        ("place", "place_emb"),
        ("cls", "cls"),
        ("norm", "lnf_w"),
        ("norm.bias", "lnf_b"),
    ] {
        params.extend([param(&format!("seqpe.{name}"), &file[key])]);
    }
    for (name, key) in [
        ("norm1", "ln1_w"),
        ("norm1.bias", "ln1_b"),
        ("norm2", "ln2_w"),
        ("norm2.bias", "ln2_b"),
        ("qkv.bias", "c_attn_b"),
        ("proj.bias", "c_proj_b"),
        ("up.bias", "fc_b"),
        ("down.bias", "fc2_b"),
    ] {
        let names = (0..blocks).map(|n| format!("seqpe.block{n}.{name}"));
        params.extend(names.map(|name| param(&name, &file[key])));
    }
    for (name, key, out) in [
        ("qkv", "c_attn_w_in_by_3out", 3 * width),
        ("proj", "c_proj_w_in_by_out", width),
        ("up", "fc_w_in_by_out", 4 * width),
        ("down", "fc2_w_in_by_out", width),
    ] {
        let values = turned(&file[key]);
        let shape = [out, values.len() / out];
        for n in 0..blocks {
            let matrix = tensor(values.clone(), &shape);
            params.insert(format!("seqpe.block{n}.{name}"), matrix);
        }
    }
    let positions = numbers(&file["positions"]);
    let tokens = positions.len();
    let (q, k) = (
        vec![0.0; heads * tokens * width],
        vec![0.0; heads * tokens * width],
    );
    let prepared = Prepared::with_positions(
        &plan,
        &model,
        0..tokens,
        0..tokens,
        &positions,
        &Device::cpu(),
    );
    let prepared = prepared.unwrap();
    let shape = [1, heads, tokens, width];
    let v: Vec<f64> = unit.repeat(heads);
    assert_eq!(tokens, width, "values are unit vectors");
    let mask = Mask::causal();
    let (q, k, v) = (tensor(q, &shape), tensor(k, &shape), tensor(v, &shape));
    let found = attend(&q, &k, &v, &prepared, &params, &mask, Implementation::Auto).unwrap();
    let shares = values(&found.output);
    let product = |i: usize, j: usize| -> f64 {
        let pairs = expected[i].iter().zip(&expected[j]).take(channels);
        pairs.map(|(a, b)| a * b).sum::<f64>() / (width as f64).sqrt()
    };
    for head in 0..heads {
        for i in 0..tokens {
            let row = &shares[(head * tokens + i) * tokens..][..=i];
            let found: Vec<f64> = row.iter().map(|p| (p / row[0]).ln()).collect();
            let expected: Vec<f64> = (0..=i).map(|j| product(i, j) - product(i, 0)).collect();
            // The encodings were computed in f32.
            close(&format!("seqpe, {i}"), &found, &expected, super::F32, 1e-6);
        }
    }
    // And what is carried on are the encodings themselves.
    let carried = values(&found.carried["@carried.seqpe.queries"]);
    for (found, expected) in carried.chunks(width).zip(expected) {
        close("encodings", &found[..channels], expected, super::F32, 1e-6);
    }
}
