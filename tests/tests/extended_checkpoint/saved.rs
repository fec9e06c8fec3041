//! What is saved and loaded again.

use farspan::checkpoint::save::{Beside, Form, save_own, save_pretrained};
use farspan::model::Decoder;
use farspan_acceptance::checkpoints::{files, golden, open};
use farspan_pe::{Len, Registry};
use tempfile::TempDir;

#[test]
fn every_family_is_saved_as_it_was_loaded() {
    for (name, schemes) in [
        (
            "llama-biases",
            vec!["pi,factor=4", "yarn,factor=4", "dynamic-ntk,factor=2"],
        ),
        ("mistral-default", vec!["yarn,factor=4", "ntk,factor=3"]),
        ("qwen2-yarn", vec!["yarn,factor=8,trained_length=32"]),
        ("qwen3-llama3", vec!["pi,factor=2"]),
        ("phi3-default", vec!["pi,factor=4"]),
        (
            "gpt_neox-default",
            vec!["pi,factor=4", "yarn,factor=4", "ntk,factor=2"],
        ),
        ("gpt2", vec![]),
        ("bloom", vec![]),
        ("mpt", vec![]),
        ("gemma2", vec!["pi,factor=2"]),
        ("mixtral-default", vec!["yarn,factor=4"]),
        ("qwen2_moe-default", vec!["pi,factor=2"]),
        ("qwen3_moe-yarn", vec!["ntk,factor=2"]),
        ("gpt_oss-default", vec!["yarn,factor=4", "pi,factor=2"]),
        ("gpt_oss-untruncated", vec!["pi,factor=2"]),
        ("deepseek_v2-default", vec!["yarn,factor=4", "pi,factor=2"]),
        ("deepseek_v2-greedy", vec!["ntk,factor=2"]),
        (
            "deepseek_v3-default",
            vec![
                "dynamic-ntk,factor=2",
                "yarn,factor=4,mscale=1,mscale_all_dim=0.7,scale_softmax=true",
            ],
        ),
        ("deepseek_v3-mscale", vec![]),
        (
            "llama4_text-default",
            vec!["yarn,factor=4", "dynamic-ntk,factor=2"],
        ),
        ("llama4_text-two", vec!["pi,factor=2"]),
        ("falcon-alibi", vec![]),
        ("falcon-groups", vec!["pi,factor=2"]),
        ("falcon-one-head", vec!["ntk,factor=2"]),
        ("gemma-default", vec!["pi,factor=4"]),
        ("gemma3_text-both", vec!["yarn,factor=4", "ntk,factor=2"]),
        ("olmo-clip", vec!["yarn,factor=4"]),
        ("olmo2-default", vec!["ntk,factor=2"]),
        ("phi-norms", vec!["yarn,factor=4"]),
        ("stablelm-norms", vec!["pi,factor=4"]),
        (
            "cohere-norms",
            vec!["yarn,factor=4", "ntk-by-parts,factor=4"],
        ),
        ("granite-default", vec!["dynamic-ntk,factor=2"]),
        ("starcoder2-windows", vec!["yarn,factor=4"]),
        ("nemotron-biases", vec!["pi,factor=4"]),
        ("arcee-default", vec!["ntk,factor=2"]),
        ("glm4-default", vec!["yarn,factor=4"]),
        ("helium-default", vec!["llama3,factor=4"]),
        (
            "minicpm-default",
            vec!["pi,factor=4", "dynamic-ntk,factor=2"],
        ),
        ("internlm2-default", vec!["pi,factor=4"]),
        ("gptj-tied", vec![]),
        ("codegen", vec![]),
        ("opt-post", vec![]),
        ("opt-bare", vec![]),
        ("gpt_neo", vec![]),
        ("baichuan", vec![]),
        ("baichuan-alibi", vec![]),
        ("xverse", vec![]),
    ] {
        let own = std::iter::once(None);
        for scheme in own.chain(schemes.into_iter().map(Some)) {
            let folder = TempDir::new().expect("a folder");
            let mut from = golden(name);
            if !from.join("model.safetensors").exists() {
                // Scalings of one family share weights.
                let family = name.split('-').next().expect("a family");
                let copy = TempDir::new().expect("a folder").keep();
                std::fs::copy(from.join("config.json"), copy.join("config.json")).expect("a copy");
                let weights = golden(&format!("{family}-default")).join("model.safetensors");
                std::fs::copy(weights, copy.join("model.safetensors")).expect("a copy");
                from = copy;
            }
            let model = open(&from, scheme);
            let saved = save_pretrained(
                &model,
                &files(&from),
                64,
                &Registry::builtin(),
                Form::default(),
                folder.path(),
            );
            saved.unwrap_or_else(|e| panic!("{name} under {scheme:?}: {e}"));
            let again = open(folder.path(), None);
            for len in [20, 80] {
                let ids: Vec<u32> = (0..len).map(|i| (i * 7 % 64) as u32).collect();
                let logits = |model: &Decoder| {
                    let mut all = Vec::new();
                    let run = model.run(&ids, 100, |_, hidden| {
                        all.extend(model.logits(hidden)?.to_flat::<f32>()?);
                        Ok(())
                    });
                    run.expect("logits");
                    all
                };
                let (ours, theirs) = (logits(&model), logits(&again));
                let far = ours.iter().zip(&theirs).map(|(x, y)| (x - y).abs());
                let far = far.fold(0.0, f32::max);
                // A base that was found from frequencies is rounded; the 1 of Gemma's norms is added and taken off.
                assert!(far < 1e-4, "{name} under {scheme:?}, {len} tokens: {far}");
            }
        }
    }
}

#[test]
fn a_scheme_without_a_form_in_a_config_is_refused_before_anything_is_written() {
    let (from, folder) = (golden("llama-default"), TempDir::new().expect("a folder"));
    let out = folder.path().join("out");
    let model = open(&from, Some("rerope"));
    let error = save_pretrained(
        &model,
        &files(&from),
        64,
        &Registry::builtin(),
        Form::default(),
        &out,
    )
    .expect_err("refused");
    assert!(error.to_string().contains("rerope has no form"), "{error}");
    assert!(!out.exists());
    let biased = golden("falcon-alibi");
    let error = save_pretrained(
        &open(&biased, Some("pi,factor=2")),
        &files(&biased),
        64,
        &Registry::builtin(),
        Form::default(),
        &out,
    );
    let error = error.expect_err("refused").to_string();
    let way_out = "expected the checkpoint's own scheme, as its config has ALiBi";
    assert!(error.contains(way_out), "{error}");
    assert!(!out.exists());
    save_pretrained(
        &open(&from, None),
        &files(&from),
        64,
        &Registry::builtin(),
        Form::default(),
        &out,
    )
    .expect("a folder");
    let error = save_pretrained(
        &open(&from, None),
        &files(&from),
        64,
        &Registry::builtin(),
        Form::default(),
        &out,
    );
    let error = error.expect_err("a folder that is taken").to_string();
    assert!(error.contains("expected a new folder"), "{error}");
}

/// The rounding of Falcon belongs to the ALiBi that its weights have seen: other settings do without it, also where they
/// are saved as the model's own.
#[test]
fn a_scheme_computes_the_same_once_it_is_saved_as_the_models_own() {
    let from = golden("falcon-alibi");
    for (bias_max, rounded) in [(8, true), (16, false)] {
        let folder = TempDir::new().expect("a folder");
        let out = folder.path().join("out");
        let asked = format!("alibi,bias_max={bias_max},placement=before-scale");
        let model = open(&from, Some(&asked));
        let beside = Beside::Folder(from.clone());
        save_own(&model, &beside, Form::default(), &out).expect("a folder");
        let (found, expected) = (open(&out, None).plans(Len(64)), model.plans(Len(64)));
        let (found, expected) = (found.expect("plans"), expected.expect("plans"));
        let tables = |plan: &farspan_attention::plan::Plan| plan.params.len() > 1;
        assert_eq!(expected.iter().all(tables), rounded, "{asked}");
        assert_eq!(found, expected, "{asked}");
    }
}
