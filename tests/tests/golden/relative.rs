//! Schemes with vectors by distance, run through attention on the recorded tensors.

use super::tensors::{
    by_token, causal_shares, f64s, flat, from_scores, heads_of, identity, linear, mixed, model,
    params, run, tensor,
};
use super::{F32, close, golden, list, numbers, plan, size};
use farspan_attention::Tensor;
use farspan_attention::attend::INPUT;
use farspan_pe::schemes::relative::deberta;
use serde_json::{Value, json};

/// Queries, keys and values recorded as (tokens, head_dim) or (heads, tokens, head_dim).
fn qkv(case: &Value, suffix: &str) -> [Tensor; 3] {
    ["q", "k", "v"].map(|name| {
        let x = tensor(&case[format!("{name}{suffix}")]);
        let x = if x.rank() == 2 {
            x.unsqueeze(0).unwrap()
        } else {
            x
        };
        x.unsqueeze(0).unwrap()
    })
}

/// Rows of a recorded table, in this order.
fn rows(table: &Value, rows: impl IntoIterator<Item = usize>) -> Tensor {
    let table = list(table);
    let rows: Vec<Value> = rows.into_iter().map(|row| table[row].clone()).collect();
    tensor(&Value::Array(rows))
}

#[test]
fn shaw() {
    let file = golden("bias/shaw_full");
    let (tokens, dim, clip) = (size(&file["T"]), size(&file["d"]), size(&file["clip"]));
    let index = &file["index_q_k_key_minus_query_clipped_plus_clip"];
    let model = model(1, dim, 8);
    let [q, k, v] = qkv(&file, "");
    // Recorded rows go by min(k − q, …) + clip; a decoder sees the first half, farthest first.
    let by_distance = |key: &str| rows(&file[key], (0..=clip).rev());
    assert_eq!(size(&index[tokens - 1][0]), 0);
    let given = params([
        ("to_keys", by_distance("aK")),
        ("to_values", by_distance("aV")),
    ]);
    let whole = plan("shaw", json!({ "clip": clip }), &model, tokens);
    let found = run(&whole, &model, [&q, &k, &v], &given);
    // Computed in f64.
    close("output", &found, &flat(&file["out_causal"]), F32, 1e-8);

    let keys_only = plan(
        "shaw",
        json!({ "clip": clip, "values": false }),
        &model,
        tokens,
    );
    let found = run(&keys_only, &model, [&q, &k, &v], &given);
    let expected = mixed(&tensor(&file["attn_causal"]).unsqueeze(0).unwrap(), &v);
    close("keys only", &found, &expected, F32, 1e-8);
    let logits = Value::Array(vec![file["logits_scaled"].clone()]);
    let expected = mixed(&causal_shares(&logits), &v);
    close("logits", &found, &expected, F32, 1e-8);
}

#[test]
fn shaw_keys_and_huang_m4() {
    let file = golden("bias/shaw_key_and_huang_m4");
    for (name, id) in [("relative_key", "shaw"), ("relative_key_query", "huang-m4")] {
        let case = &file[name];
        let (heads, dim, tokens) = (size(&case["H"]), size(&case["head_dim"]), size(&case["T"]));
        let most = size(&case["max_pos"]);
        let (table, settings) = match id {
            "shaw" => ("to_keys", json!({ "clip": most - 1, "values": false })),
            _ => ("table", json!({ "rows": most })),
        };
        let model = model(heads, dim, 8);
        let recorded = &case["table_row_index_is_i_minus_j_plus_maxpos_minus1"];
        let given = params([(table, rows(recorded, most - 1..2 * most - 1))]);
        let [q, k, v] = qkv(case, "_h_t_d");
        let plan = plan(id, settings, &model, tokens);
        let found = run(&plan, &model, [&q, &k, &v], &given);
        // Shares of an encoder: its visible part, scaled to the sum 1, is a decoder's.
        let logs = tensor(&case["attn_bidirectional"]).log().unwrap();
        let logs: Vec<f64> = logs.to_flat().unwrap();
        let shape = (heads, tokens, tokens);
        let logs = nested(&logs, shape);
        let expected = mixed(&causal_shares(&logs), &v);
        // Logarithms of f32 shares.
        close(name, &found, &expected, F32, 2e-6);
        let last = by_token(found, heads, tokens)
            .narrow(0, tokens - 1, 1)
            .unwrap();
        let context = numbers(&case["context_t_hd"][tokens - 1]);
        close(name, &last.to_flat::<f64>().unwrap(), &context, F32, 2e-6);
    }
}

/// Flat numbers as nested lists.
fn nested(values: &[f64], (a, b, c): (usize, usize, usize)) -> Value {
    assert_eq!(values.len(), a * b * c);
    let of_head =
        |head: &[f64]| Value::from(head.chunks(c).map(|row| json!(row)).collect::<Vec<_>>());
    Value::Array(values.chunks(b * c).map(of_head).collect())
}

#[test]
fn transformer_xl() {
    let file = golden("bias/transformer_xl");
    let (heads, dim, width) = (
        size(&file["H"]),
        size(&file["d_head"]),
        size(&file["d_model"]),
    );
    let (queries, memory) = (size(&file["qlen"]), size(&file["mlen"]));
    let model = model(heads, dim, width);
    let x = Tensor::cat(&[&tensor(&file["mems"]), &tensor(&file["w"])], 0).unwrap();
    let none = json!(vec![0.0; 3 * heads * dim]);
    let packed = linear(&x, &file["qkv_w"], &none);
    let [q, k, v] = [0, 1, 2].map(|n| heads_of(&packed, n * heads * dim, heads, dim));
    let q = q.narrow(2, memory, queries).unwrap().contiguous().unwrap();
    let given = params([
        ("to_content", tensor(&file["r_w_bias_u"])),
        ("to_position", tensor(&file["r_r_bias_v"])),
        ("w", tensor(&file["r_w"])),
    ]);
    for (name, settings) in [("noclamp", json!({})), ("clamp2", json!({ "clamp": 2 }))] {
        let plan = plan("transformer-xl", settings, &model, memory + queries);
        let found = run(&plan, &model, [&q, &k, &v], &given);
        let scores = &file[name]["scores_scaled_h_q_k_masked_minus1e30"];
        let expected = mixed(&causal_shares(scores), &v);
        // Scores up to 20 and sines in f32.
        close(name, &found, &expected, 1e-5, 2e-6);
    }
}

#[test]
fn deberta_layer() {
    let file = golden("bias/deberta");
    let (heads, dim, tokens) = (size(&file["H"]), size(&file["head_dim"]), size(&file["T"]));
    let span = size(&file["span"]);
    let model = model(heads, dim, heads * dim);
    let settings = json!({ "buckets": span, "max_distance": file["max_position"] });
    let plan = plan("deberta", settings, &model, tokens);
    let x = tensor(&file["x"]);
    let [q, k, v] = ["q", "k", "v"].map(|name| {
        let y = linear(&x, &file[format!("{name}_w")], &file[format!("{name}_b")]);
        heads_of(&y, 0, heads, dim)
    });
    // The recorded layer lends the embedding its own projections.
    let given = params([
        ("embedding", rows(&file["rel_emb"], span..2 * span)),
        ("key_weight", tensor(&file["k_w"])),
        ("key_bias", tensor(&file["k_b"])),
        ("query_weight", tensor(&file["q_w"])),
        ("query_bias", tensor(&file["q_b"])),
    ]);
    let found = run(&plan, &model, [&q, &k, &v], &given);
    let expected = mixed(&causal_shares(&file["scores"]), &v);
    // Recorded in f32, after projections.
    close("scores", &found, &expected, F32, 2e-6);
    let last = by_token(found, heads, tokens)
        .narrow(0, tokens - 1, 1)
        .unwrap();
    let context = numbers(&file["context"][tokens - 1]);
    close(
        "context",
        &last.to_flat::<f64>().unwrap(),
        &context,
        F32,
        2e-6,
    );
}

#[test]
fn deberta_buckets() {
    let file = golden("bias/deberta");
    let (buckets, most) = (size(&file["bucket_size"]), size(&file["max_position"]));
    let first = -super::number(&file["rel_query_minus_key_first"]) as usize;
    let mut tried = 0;
    for (distance, expected) in list(&file["log_bucket"])[first..].iter().enumerate() {
        let found = deberta::bucket(distance, buckets, most);
        assert_eq!(found, size(expected), "distance {distance}");
        tried += 1;
    }
    let distances = numbers(&file["b256_m512_rel"]);
    for (distance, expected) in distances.iter().zip(numbers(&file["b256_m512"])) {
        if *distance >= 0.0 {
            let found = deberta::bucket(*distance as usize, 256, 512);
            assert_eq!(found as f64, expected, "distance {distance}");
            tried += 1;
        }
    }
    assert_eq!(tried, 41 + 8);
}

#[test]
fn distance_bank() {
    let file = golden("bias/inkling_distance_bank");
    let (curves, extent) = (size(&file["d_rel"]), size(&file["extent"]));
    let mix = tensor(&file["relative_states_t_h_d"]);
    let (tokens, heads, _) = mix.dims3().unwrap();
    // With one channel of input per token, the columns of the projection are the recorded states.
    let model = model(heads, tokens, tokens);
    let mix = mix.reshape((tokens, heads * curves)).unwrap().t().unwrap();
    let given = params([
        (INPUT, identity(tokens).unsqueeze(0).unwrap()),
        ("mix", mix.contiguous().unwrap()),
        ("bank", tensor(&file["bank_d_by_extent"])),
    ]);
    let plan = plan(
        "distance-bank",
        json!({ "curves": curves, "extent": extent }),
        &model,
        tokens,
    );
    let [_, k, v] = from_scores(&file["bias_h_q_k"]);
    let q = f64s(vec![0.0; k.elem_count()], k.dims());
    let found = run(&plan, &model, [&q, &k, &v], &given);
    let expected = mixed(&causal_shares(&file["bias_h_q_k"]), &v);
    close("distance bank", &found, &expected, F32, 1e-7);
}
