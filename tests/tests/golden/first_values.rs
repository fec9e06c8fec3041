//! What settings and parameters are before anybody changes them: as papers and the authors' code have them.

use farspan_attention::plan::{Geometry, Init, ParamSpec};
use farspan_pe::{Len, Registry};
use serde_json::{Value, json};

const MODEL: Geometry = Geometry {
    layers: 2,
    width: 96,
    heads: 4,
    kv_heads: 4,
    head_dim: 24,
    trained_length: 64,
};

/// Parameters of the second layer.
fn params(id: &str, settings: &Value) -> Vec<ParamSpec> {
    let scheme = Registry::builtin().parse(id, settings.clone());
    let plans = scheme.unwrap().layer_plans(&MODEL, Len(64));
    plans.unwrap().swap_remove(1).params
}

/// Whether two distributions are one, but for rounding.
fn alike(a: &Init, b: &Init) -> bool {
    let close = |pairs: [(f64, f64); 2]| pairs.iter().all(|(a, b)| (a - b).abs() < 1e-12);
    match (a, b) {
        (Init::Constant(a), Init::Constant(b)) => close([(*a, *b), (0.0, 0.0)]),
        (Init::Uniform(a, b), Init::Uniform(c, d)) | (Init::Normal(a, b), Init::Normal(c, d)) => {
            close([(*a, *c), (*b, *d)])
        }
        _ => false,
    }
}

/// Whose a parameter is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Owner {
    Each,
    All,
}
use Owner::{All, Each};

/// GPT-2's and BERT's `initializer_range`, which most libraries draw all weights by.
const DRAWN: Init = Init::Normal(0.0, 0.02);
const ZERO: Init = Init::Constant(0.0);
const ONE: Init = Init::Constant(1.0);

/// `nn.Linear` and `nn.Conv1d` of PyTorch as they come: uniform in ±1/√fan_in.
fn linear(fan_in: f64) -> Init {
    between(fan_in.sqrt().recip())
}

fn between(bound: f64) -> Init {
    Init::Uniform(-bound, bound)
}

/// A list of parameters with what they are drawn from; those whose values are computed have tests of their own.
type Listed<'a> = Vec<(&'a str, Init, Owner)>;

#[test]
fn parameters_start_as_the_authors_draw_them() {
    let cases: Vec<(&str, Value, Listed<'_>)> = vec![
        // nn.Embedding of positions in GPT-2; BiPE's table of places likewise.
        ("learned", json!({}), vec![("wpe", DRAWN, All)]),
        // The factor times d_model^(-1/2), T5's `_init_weights`: 1/√96.
        (
            "t5",
            json!({}),
            vec![("bias", Init::Normal(0.0, 0.102_062_072_615_966), All)],
        ),
        (
            "t5",
            json!({ "init_factor": 2 }),
            vec![("bias", Init::Normal(0.0, 0.204_124_145_231_932), All)],
        ),
        // KERPLE's get_parameter(2, "uniform") and (1, "uniform"), one module for all layers.
        (
            "kerple",
            json!({ "kind": "weighted-power" }),
            vec![
                ("p", Init::Uniform(0.0, 2.0), All),
                ("a", Init::Uniform(0.0, 1.0), All),
                ("w_p", Init::Uniform(0.0, 2.0), All),
                ("w_a", Init::Uniform(0.0, 1.0), All),
            ],
        ),
        // FIRE's listing: init_c = 0.1, L_multiplier = 1.0, two nn.Linear of 1 and 32 inputs.
        (
            "fire",
            json!({}),
            vec![
                ("c", Init::Constant(0.1), Each),
                ("multiplier", ONE, Each),
                ("f.w1", linear(1.0), Each),
                ("f.b1", linear(1.0), Each),
                ("f.w2", linear(32.0), Each),
                ("f.b2", linear(32.0), Each),
            ],
        ),
        // Tables of factors of the score start where they change nothing.
        ("huang-m1", json!({}), vec![("w", ONE, Each)]),
        ("huang-m3", json!({}), vec![("table", ONE, Each)]),
        ("huang-m4", json!({}), vec![("table", DRAWN, Each)]),
        // tensor2tensor's default initializer, Glorot's uniform, over (2·20 + 1, 24): ±√(6/65).
        (
            "shaw",
            json!({}),
            vec![
                ("to_keys", between(0.303_821_810_125_099_7), Each),
                ("to_values", between(0.303_821_810_125_099_7), Each),
            ],
        ),
        // proj_init_std and init_std of transformer-xl; u and v are shared.
        (
            "transformer-xl",
            json!({}),
            vec![
                ("to_content", DRAWN, All),
                ("to_position", DRAWN, All),
                ("w", DRAWN, Each),
            ],
        ),
        // initializer_range of DeBERTa-v2, whose layers share rel_embeddings.
        (
            "deberta",
            json!({}),
            vec![
                ("embedding", DRAWN, All),
                ("key_weight", DRAWN, Each),
                ("key_bias", ZERO, Each),
                ("query_weight", DRAWN, Each),
                ("query_bias", ZERO, Each),
            ],
        ),
        // torch.zeros in the paper's listing.
        (
            "cope",
            json!({ "gate": "own" }),
            vec![("table", ZERO, Each), ("gate", DRAWN, Each)],
        ),
        // KERPLE's parameters in each layer; nn.Linear over the heads of scores and bias, of 8 and of 32 inputs.
        (
            "dape",
            json!({}),
            vec![
                ("p", Init::Uniform(0.0, 2.0), Each),
                ("a", Init::Uniform(0.0, 1.0), Each),
                ("w1", linear(8.0), Each),
                ("b1", linear(8.0), Each),
                ("w2", linear(32.0), Each),
                ("b2", linear(32.0), Each),
            ],
        ),
        // nn.Conv2d over three keys.
        (
            "dape",
            json!({ "base": "none", "kernel": 3 }),
            vec![
                ("w1", linear(12.0), Each),
                ("b1", linear(12.0), Each),
                ("w2", linear(96.0), Each),
                ("b2", linear(96.0), Each),
            ],
        ),
        // initializer_range of flash-linear-attention: matrices, filters and gates alike.
        (
            "path",
            json!({ "gate": "plain" }),
            vec![
                ("path.down", DRAWN, Each),
                ("path.up", DRAWN, Each),
                ("path.filter", DRAWN, Each),
                ("path.beta", DRAWN, Each),
                ("path.beta_bias", ZERO, Each),
                ("path.gate", DRAWN, Each),
                ("path.gate_bias", ZERO, Each),
            ],
        ),
        (
            "fox",
            json!({}),
            vec![("w", DRAWN, Each), ("b", ZERO, Each)],
        ),
        (
            "cable",
            json!({}),
            vec![("w", DRAWN, Each), ("b", ZERO, Each)],
        ),
        // The library's layer: logits of the gates start at 8.
        (
            "wall",
            json!({ "scalar_gate": true }),
            vec![
                ("wall.gate", DRAWN, Each),
                ("wall.gate_bias", Init::Constant(8.0), Each),
                ("wall.scalar", DRAWN, Each),
                ("wall.scalar_bias", Init::Constant(8.0), Each),
            ],
        ),
        // Weights of the update by attention and of one side of that by content are zeros.
        (
            "tape",
            json!({}),
            vec![
                ("tape.up", ZERO, Each),
                ("tape.down", DRAWN, Each),
                ("tape.content", DRAWN, Each),
            ],
        ),
        // nn.Linear of 96 inputs and of rank 16, nn.Conv1d of one channel and four taps.
        (
            "selective-rope",
            json!({ "gate": true, "bias": true }),
            vec![
                ("phase.down", linear(96.0), Each),
                ("phase.up", linear(16.0), Each),
                ("phase.filter", linear(4.0), Each),
                ("phase.bias", ZERO, Each),
                ("phase.gate", linear(96.0), Each),
                ("phase.gate_bias", linear(96.0), Each),
            ],
        ),
        // ode_up_proj by kaiming_uniform_(a = √5), which is ±1/√columns, ode_down_proj zeros; all layers share them.
        (
            "clex",
            json!({}),
            vec![("clex.up", linear(24.0), All), ("clex.down", ZERO, All)],
        ),
        (
            "psc",
            json!({}),
            vec![
                ("psc.q.up", ZERO, Each),
                ("psc.q.down", between(1.0 / 24.0), Each),
                ("psc.k.up", ZERO, Each),
                ("psc.k.down", between(1.0 / 24.0), Each),
            ],
        ),
        ("pope", json!({}), vec![("pope.bias", ZERO, Each)]),
        (
            "pope",
            json!({ "bias_init": "uniform" }),
            vec![(
                "pope.bias",
                Init::Uniform(-2.0 * std::f64::consts::PI, 0.0),
                Each,
            )],
        ),
        // Not published; as the library of the model draws its weights.
        (
            "distance-bank",
            json!({}),
            vec![("mix", DRAWN, Each), ("bank", DRAWN, Each)],
        ),
        // s·ln n is 1 on average over the trained length: 64/Σ ln n, and Σ = ln 64! = 205.168199482641.
        (
            "ssmax",
            json!({}),
            vec![("s", Init::Constant(64.0 / 205.168_199_482_641), Each)],
        ),
        // HeadScale's factors are those that the paper searched; they learn from there.
        (
            "head-scale",
            json!({}),
            vec![("scale", Init::Constant(1.6), Each)],
        ),
    ];
    for (id, settings, listed) in cases {
        let found = params(id, &settings);
        for (name, init, owner) in &listed {
            let spec = found.iter().find(|spec| spec.name == *name);
            let spec = spec.unwrap_or_else(|| panic!("{id} {settings}: no {name}"));
            let what = format!("{id} {settings}: {name} is {spec:?}");
            assert!(alike(&spec.init, init) && spec.learned, "{what}");
            assert_eq!(spec.per_layer, *owner == Each, "{what}");
        }
        let others = found.iter().filter(|spec| spec.learned);
        assert_eq!(others.count(), listed.len(), "{id}: {found:?}");
    }
}

/// SeqPE's encoder is drawn as GPT-2 is, norms at one, and read by all layers; only the maps may be a layer's own.
#[test]
fn the_encoder_of_digits_starts_as_gpt_2_does() {
    for (maps, owner) in [("single", All), ("multi", Each)] {
        let found = params("seqpe", &json!({ "maps": maps }));
        for spec in &found {
            let name = spec.name.as_str();
            let last = name.rsplit('.').next().unwrap_or(name);
            let init = match last {
                "bias" => ZERO,
                "norm1" | "norm2" | "norm" => ONE,
                _ => DRAWN,
            };
            assert!(alike(&spec.init, &init) && spec.learned, "{spec:?}");
            let owner = if last == "map" { owner } else { All };
            assert_eq!(spec.per_layer, owner == Each, "{spec:?}");
        }
        // Embeddings of digits, places and the closing vector; twelve per block; norm, projection, maps.
        assert_eq!(found.len(), 3 + 2 * 12 + 2 + 2 + 1);
    }
}

/// Places within a sentence, as rows beside the relative scheme between sentences.
#[test]
fn places_within_sentences_are_drawn_as_gpt_2s_positions() {
    for id in ["bipe-rope", "bipe-alibi"] {
        let found = params(id, &json!({}));
        let learned: Vec<_> = found.iter().filter(|spec| spec.learned).collect();
        let [places] = learned.as_slice() else {
            panic!("{id}: {found:?}")
        };
        assert!(alike(&places.init, &DRAWN), "{places:?}");
        assert!(!places.per_layer);
    }
}
