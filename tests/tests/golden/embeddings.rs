//! What is added to embeddings.

use super::bias::model;
use super::{F32, close, golden, list, numbers, plan, size};
use farspan_attention::attend::Params;
use farspan_attention::plan::{Embed, Geometry, Init};
use farspan_attention::{Device, Tensor, embed};
use serde_json::json;

#[test]
fn sinusoids() {
    let file = golden("bias/sinusoidal");
    let width = size(&file["dim"]);
    let positions: Vec<usize> = list(&file["positions"]).iter().map(size).collect();
    let row = |convention: &str, position: usize| {
        let plan = plan(
            "sinusoidal",
            json!({ "convention": convention }),
            &model(1),
            128,
        );
        let Embed::Sinusoid {
            layout,
            inv_freq,
            scale,
        } = plan.embed
        else {
            panic!("{:?}", plan.embed)
        };
        assert_eq!(2 * inv_freq.len(), width);
        embed::sinusoid(layout, &inv_freq, scale, &[position as f64])
    };
    for (convention, key) in [
        ("paper", "vaswani_interleaved"),
        ("transformer-xl", "txl_neox_concat"),
        ("tensor2tensor", "t2t_concat_half_minus_1"),
    ] {
        for (&position, expected) in positions.iter().zip(list(&file[key])) {
            // Nine digits after the point.
            close(
                key,
                &row(convention, position),
                &numbers(expected),
                0.0,
                1e-9,
            );
        }
    }
    // fairseq reads row `position + padding_idx + 1` of the same table; the row of the padding itself is zero.
    for (index, expected) in list(&file["fairseq_table_rows0to7_padding_idx1"])
        .iter()
        .enumerate()
    {
        if index != 1 {
            close(
                "fairseq",
                &row("tensor2tensor", index),
                &numbers(expected),
                F32,
                1e-7,
            );
        }
    }
}

#[test]
fn learned_embeddings_resized() {
    let file = golden("bias/learned_ape_interpolation");
    let table: Vec<f64> = list(&file["table"]).iter().flat_map(numbers).collect();
    let rows = list(&file["table"]).len();
    let model = Geometry {
        width: 3,
        trained_length: rows,
        ..model(1)
    };
    let device = Device::cpu();
    let tensor = Tensor::from_vec(table, (rows, 3), &device).unwrap();
    let params = Params::from([("wpe".to_string(), tensor)]);
    for (key, interpolate, length) in [
        ("linear_to_8_align_corners_false", "half-pixel", 8),
        ("linear_to_6_align_corners_false", "half-pixel", 6),
        ("linear_to_5_align_corners_false", "half-pixel", 5),
        ("linear_to_8_align_corners_true", "align-corners", 8),
    ] {
        let plan = plan(
            "learned",
            json!({ "interpolate": interpolate }),
            &model,
            length,
        );
        assert!(matches!(plan.params[0].init, Init::Normal(0.0, 0.02)));
        let found = embed::embedding(&plan.embed, 3, 0..length, &params, &device)
            .unwrap()
            .unwrap();
        let expected: Vec<f64> = list(&file[key]).iter().flat_map(numbers).collect();
        // The share of each row is f32.
        close(key, &found.to_flat::<f64>().unwrap(), &expected, F32, 1e-7);
    }
}
