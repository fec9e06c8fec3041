//! Recipes, bounds and neutral values of settings, by hand from the papers' definitions.

use super::edges::inv_freq;
use super::{close, model, plan};
use farspan_attention::plan::Geometry;
use farspan_pe::recipe::{LengthStage, Recipe, Sampler};
use farspan_pe::{Len, PlanError, Registry};
use serde_json::{Value, json};

fn recipe(id: &str, settings: Value, trained_length: usize) -> Recipe {
    let scheme = Registry::builtin().parse(id, settings).unwrap();
    scheme.recipe(&model(64, trained_length)).unwrap()
}

#[test]
fn recipes_are_those_of_the_papers() {
    let found = recipe("pose", json!({ "factor": 8 }), 2048);
    assert_eq!(found.positions, Some(Sampler::Skip { target: 16_384 }));
    // Positions are drawn at test time too (Ruoss et al., section 3).
    let found = recipe("randomised", json!({}), 40);
    assert_eq!(found.positions, Some(Sampler::Subset { range: 2048 }));
    assert!(found.in_evaluation);
    let found = recipe("segmented", json!({}), 128);
    let pieces = Sampler::Pieces {
        target: 512,
        share: 0.25,
    };
    assert_eq!(found.positions, Some(pieces));
    // Shortformer, section 4: short windows first, then whole ones to the end.
    let found = recipe("staged", json!({ "until": 0.4, "first": 0.5 }), 128);
    let stage = |until: f64, length: f64| LengthStage { until, length };
    assert_eq!(found.stages, [stage(0.4, 0.5), stage(1.0, 1.0)]);
}

/// LongRoPE, section 3.2 and its appendix: populations start from PI, NTK and YaRN, divisors reach 1.25·s; the released
/// code starts from YaRN alone and reaches 1 + s.
#[test]
fn longropes_search_starts_where_the_authors_start() {
    let search = |space: &str| {
        let settings = json!({ "factor": 4, "search": { "space": space } });
        recipe("longrope", settings, 512).search.unwrap()
    };
    let share = |p: usize| ((p as f64 - 3.0) / 13.0).clamp(0.0, 1.0);
    let yarn: Vec<f64> = (0..32).map(|p| 4.0 * share(p) + 1.0 - share(p)).collect();
    let ntk: Vec<f64> = (0..32).map(|p| 4f64.powf(f64::from(p) / 31.0)).collect();
    let paper = search("paper");
    assert_eq!((paper.highest, paper.length), (5.0, 2048));
    assert_eq!(paper.start.len(), 3);
    for (found, expected) in paper.start.iter().zip([&vec![4.0; 32], &ntk, &yarn]) {
        close("start", &found.divisors, expected, 1e-12, 0.0);
    }
    let released = search("released");
    assert_eq!((released.highest, released.start.len()), (5.0, 1));
    assert!(released.first_tokens.is_empty());
    close("start", &released.start[0].divisors, &yarn, 1e-12, 0.0);
    // 1.25 · 8 and 1 + 8.
    let highest = |space: &str| {
        let settings = json!({ "factor": 8, "search": { "space": space } });
        recipe("longrope", settings, 512).search.unwrap().highest
    };
    assert_eq!((highest("paper"), highest("released")), (10.0, 9.0));
}

/// Settings that must be below another, or at most as large.
#[test]
fn settings_that_bound_each_other() {
    let planned = |id: &str, settings: Value, trained: usize| {
        let scheme = Registry::builtin().parse(id, settings)?;
        scheme.plan(&model(16, trained), Len(trained))
    };
    for (id, good, bad) in [
        (
            "string",
            json!({ "offset": 5, "local": 5 }),
            json!({ "offset": 5, "local": 6 }),
        ),
        (
            "dca",
            json!({ "chunk_size": 8, "local_window": 7 }),
            json!({ "chunk_size": 8, "local_window": 8 }),
        ),
        (
            "gali",
            json!({ "local_window": 63 }),
            json!({ "local_window": 64 }),
        ),
        (
            "bipe-rope",
            json!({ "separators": ["."] }),
            json!({ "separators": [".", ""] }),
        ),
        (
            "bipe-alibi",
            json!({ "separators": ["x"] }),
            json!({ "separators": [] }),
        ),
        (
            "head-scale",
            json!({ "scale": 1.5, "minimum": 1.5 }),
            json!({ "scale": 1.5, "minimum": 1.6 }),
        ),
    ] {
        planned(id, good, 64).unwrap_or_else(|e| panic!("{id}: {e}"));
        let error = planned(id, bad.clone(), 64).expect_err(id);
        let named = matches!(error, PlanError::Setting { .. } | PlanError::Model { .. });
        assert!(named, "{id} {bad}: {error}");
    }
    // A pair must make a turn within L, the fastest one in 2π tokens.
    for (id, settings, least) in [
        ("abf", json!({ "target_length": 128 }), 7),
        ("fope", json!({}), 7),
    ] {
        assert!(planned(id, settings.clone(), least).is_ok(), "{id}");
        assert!(planned(id, settings, least - 1).is_err(), "{id}");
    }
}

/// Heads of two channels turn, but under schemes that divide by d - 2 or share channels in fours; DPE has eight groups of
/// pairs.
#[test]
fn the_smallest_heads() {
    let refused = |head_dim: usize| -> Vec<&str> {
        let registry = Registry::builtin();
        let model = Geometry {
            layers: 4,
            width: 8,
            heads: 2,
            kv_heads: 2,
            ..model(head_dim, 64)
        };
        let mut refused = Vec::new();
        for entry in registry.entries() {
            let scheme = entry.parse(json!({})).unwrap();
            if scheme.layer_plans(&model, Len(64)).is_err() {
                refused.push(entry.id);
            }
        }
        refused
    };
    assert_eq!(refused(16), [""; 0]);
    assert_eq!(refused(4), ["dpe"]);
    let in_fours = [
        "half-truncated-rope",
        "fope",
        "ntk",
        "dynamic-ntk",
        "ntk-by-parts",
        "longrope2",
        "clex",
        "dpe",
        "tapa",
    ];
    assert_eq!(refused(2), in_fours);
}

/// cos and sin are multiplied by nothing, but by the schemes that say so (YaRN and what is built on it, LongRoPE, DCA,
/// STRING, LaMPE): a factor would sharpen every score by its square.
#[test]
fn amplitudes_are_1_where_no_paper_has_another() {
    let loud = [
        "yarn", "mr-rope", "longrope", "dca", "string", "psc", "pose", "cream", "lampe",
    ];
    let mut tried = 0;
    for entry in Registry::builtin().entries() {
        let scheme = entry.parse(json!({})).unwrap();
        for length in [64, 100] {
            let model = Geometry {
                layers: 4,
                ..model(32, 64)
            };
            // A table of positions may end before.
            let plans = scheme.layer_plans(&model, Len(length)).unwrap_or_default();
            let turns = plans.iter().flat_map(|plan| &plan.rotations);
            for turn in turns.filter(|_| !loud.contains(&entry.id)) {
                let both = [turn.query.amplitude, turn.key.amplitude];
                assert_eq!(both, [1.0, 1.0], "{} at {length}", entry.id);
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "{tried} turns");
}

/// A fixed stretch divides all frequencies of Giraffe's random basis, as it does those of the others.
#[test]
fn giraffes_stretch_divides() {
    for id in ["giraffe-random", "giraffe-power", "p-rope"] {
        let of = |factor: f64| plan(id, json!({ "factor": factor }), &model(32, 64), 64);
        let (one, two) = (of(1.0), of(2.0));
        let halves: Vec<f64> = inv_freq(&one).iter().map(|theta| theta / 2.0).collect();
        close(id, inv_freq(&two), &halves, 1e-12, 0.0);
    }
}
