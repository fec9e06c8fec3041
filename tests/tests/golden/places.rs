//! Where tokens stand: segments of BiPE, draws of CREAM.

use super::{close, golden, list, model, number, numbers, plan, size};
use farspan_attention::expr::ParamValues;
use farspan_attention::plan::{Geometry, PositionIds};
use farspan_attention::scalar;
use farspan_pe::recipe::{Sampler, middle_factor};
use serde_json::{Value, json};

/// (segments, places) of a list of token ids.
fn segmented(ids: &Value, separators: &Value, places: usize) -> (Vec<f64>, Vec<f64>) {
    let (ids, separators) = (numbers(ids), numbers(separators));
    PositionIds::segments(ids.iter().map(|id| separators.contains(id)), places)
}

#[test]
fn bipe_cuts_text_as_published() {
    for (file, separators, place, segment, clipped, train_scale) in [
        (
            "rotary/bipe_ids",
            "separator_ids",
            "intra_segment_index",
            "inter_segment_index",
            "intra_index_clipped_train_scale_2",
            2,
        ),
        (
            "bias/bipe",
            "separator_token_ids",
            "intra_segment_position",
            "segment_index",
            "intra_segment_position_train_scale3",
            3,
        ),
    ] {
        let file = golden(file);
        for (row, ids) in list(&file["token_ids"]).iter().enumerate() {
            let (segments, places) = segmented(ids, &file[separators], 1024);
            close(
                "segments",
                &segments,
                &numbers(&file[segment][row]),
                0.0,
                0.0,
            );
            close("places", &places, &numbers(&file[place][row]), 0.0, 0.0);
            let (_, places) = segmented(ids, &file[separators], train_scale);
            close("clipped", &places, &numbers(&file[clipped][row]), 0.0, 0.0);
        }
    }
}

/// The released code adds slope · g_j to the key; in a softmax that is −slope · (g_i − g_j).
#[test]
fn bipe_alibi_has_the_published_slopes() {
    let file = golden("bias/bipe");
    let heads = Geometry {
        heads: 12,
        kv_heads: 12,
        ..model(4, 16)
    };
    let plan = plan("bipe-alibi", json!({}), &heads, 16);
    let bias = |head: usize, i: usize, j: usize| {
        scalar::bias(&plan, (head, 12), i, j, 16, &ParamValues::new()).unwrap()
    };
    let slopes: Vec<f64> = (0..12).map(|head| -bias(head, 1, 0)).collect();
    close(
        "slopes",
        &slopes,
        &numbers(&file["bipe_alibi_slopes_12_heads"]),
        1e-8,
        0.0,
    );
    for (row, ids) in list(&file["token_ids"]).iter().enumerate() {
        let (segments, _) = segmented(ids, &file["separator_token_ids"], 1024);
        for head in 0..12 {
            let expected = numbers(&file["bipe_alibi_key_bias_b_h_k"][row][head]);
            let found: Vec<f64> = segments
                .iter()
                .map(|&g| -bias(head, g as usize, 0))
                .collect();
            close("key bias", &found, &expected, 1e-8, 0.0);
        }
    }
}

#[test]
fn cream_draws_its_factor_as_published() {
    let file = golden("rotary/training_positions");
    let map = &file["cream_rand_factor_from_uniform_factor8"];
    let found: Vec<f64> = numbers(&map["u"])
        .iter()
        .map(|&u| middle_factor(8, u) as f64)
        .collect();
    close("factor", &found, &numbers(&map["rand_factor"]), 0.0, 0.0);
}

/// Draws depend on the generator, so the published ones must only be possible: head and tail of a third (or 32), and a
/// middle that ends where some factor allows.
#[test]
fn published_draws_lie_in_the_samplers_range() {
    let file = golden("rotary/training_positions");
    let cream = &file["cream_official_samples_L96_factor8"];
    let length = size(&cream["train_length"]);
    for positions in list(&cream["position_ids"]) {
        let positions = numbers(positions);
        assert_eq!(positions[length - 1], 8.0 * length as f64 - 1.0);
        let end = positions[length - 33];
        let reachable = (2..=16).any(|factor| {
            let half = f64::from(factor) / 2.0;
            (32.0 + 31.0 * half).floor() <= end && end <= half * 96.0 - 33.0
        });
        assert!(reachable, "{end}");
    }
    let pose = &file["pose_official_samples_L16_target64"];
    for (positions, tokens) in list(&pose["position_ids"])
        .iter()
        .zip(list(&pose["token_index"]))
    {
        let (positions, tokens) = (numbers(positions), numbers(tokens));
        let first = |of: &[f64]| {
            of.windows(2)
                .position(|w| w[1] != w[0] + 1.0)
                .map_or(16, |i| i + 1)
        };
        assert!(first(&positions) <= 8 || first(&positions) == 16);
        assert!(positions[15] < 64.0 && tokens[15] < 80.0 && tokens[0] == 0.0);
    }
    let sampler = Sampler::Skip {
        target: size(&pose["target_length"]),
    };
    assert_eq!(sampler.text(size(&pose["train_length"])), 80);
    assert!(number(&pose["train_length"]) == 16.0);
}
