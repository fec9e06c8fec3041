//! A real trained Llama of 260,032 parameters against what the reference library computes with it. The files are data of
//! the project that no repository holds; where they are not there, the tests say so and end.

use farspan::checkpoint::text::Tokenizer;
use farspan::model::Decoder;
use farspan::model::generate::{Choice, generate};
use farspan::scheme::resolve;
use farspan_acceptance::checkpoints::losses;
use farspan_attention::Device;
use farspan_pe::Registry;
use serde_json::Value;
use std::path::PathBuf;

struct Trained {
    dir: PathBuf,
    expected: Value,
}

/// The folder with the checkpoint: `FARSPAN_SHARED`, or `shared` beside or above the repository.
fn trained() -> Option<Trained> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let named = std::env::var_os("FARSPAN_SHARED").map(PathBuf::from);
    let near = root.ancestors().map(|folder| folder.join("shared"));
    let mut places = named
        .into_iter()
        .chain(near)
        .map(|p| p.join("data/checkpoints/stories260K"));
    let Some(dir) = places.find(|dir| dir.join("expected.json").exists()) else {
        eprintln!(
            "skipped: no shared/data/checkpoints/stories260K near the repository (set FARSPAN_SHARED)"
        );
        return None;
    };
    let text = std::fs::read_to_string(dir.join("expected.json")).expect("expected.json");
    let expected = serde_json::from_str(&text).expect("JSON");
    Some(Trained { dir, expected })
}

fn ids(value: &Value) -> Vec<u32> {
    let list = value.as_array().expect("ids").iter();
    list.map(|id| id.as_u64().expect("an id") as u32).collect()
}

impl Trained {
    fn open(&self, kind: &str) -> Decoder {
        let dir = self.dir.join(kind);
        farspan::checkpoint::open(&dir, &Registry::builtin(), None, &Device::cpu())
            .expect("the checkpoint")
    }

    fn losses(&self, kind: &str) -> Vec<f64> {
        let model = self.open(kind);
        let story = ids(&self.expected["story_ids"]);
        losses(&model, &story)
    }
}

fn perplexity(losses: &[f64]) -> f64 {
    (losses.iter().sum::<f64>() / losses.len() as f64).exp()
}

#[test]
fn losses_are_those_of_the_reference_inside_and_past_the_trained_length() {
    let Some(trained) = trained() else { return };
    let losses = trained.losses("hf");
    let reference = trained.expected["nll_plain"].as_array().expect("losses");
    assert_eq!(losses.len(), reference.len());
    for (i, (found, expected)) in losses.iter().zip(reference).enumerate() {
        let expected = expected.as_f64().expect("a number");
        // The file has four decimals.
        assert!(
            (found - expected).abs() < 1.5e-4,
            "token {i}: {found}, not {expected}"
        );
    }
    for (range, expected) in [(0..256, 4.3798), (256..512, 4.4887), (512..768, 5.2849)] {
        let found = perplexity(&losses[range.clone()]);
        assert!((found - expected).abs() < 1e-3, "{range:?}: {found}");
    }
}

#[test]
fn two_shards_in_bf16_give_the_perplexities_of_the_readme() {
    let Some(trained) = trained() else { return };
    let losses = trained.losses("hf-bf16-sharded");
    for (range, expected) in [(0..256, 4.38), (256..512, 4.48), (512..768, 5.28)] {
        let found = perplexity(&losses[range.clone()]);
        assert!((found - expected).abs() < 0.0051, "{range:?}: {found}");
    }
}

#[test]
fn greedy_text_is_that_of_the_reference() {
    let Some(trained) = trained() else { return };
    let (model, tokenizer) = (
        trained.open("hf"),
        Tokenizer::open(&trained.dir.join("hf")).expect("a tokenizer"),
    );
    let prompt = tokenizer
        .document(
            "prompt",
            trained.expected["prompt"].as_str().expect("a text"),
        )
        .expect("tokens");
    assert_eq!(prompt.ids, ids(&trained.expected["prompt_ids"]));
    assert_eq!(prompt.bytes.iter().sum::<u32>(), 16);
    let expected = ids(&trained.expected["greedy_ids"]);
    let new = expected.len() - prompt.ids.len();
    let found = generate(&model, &prompt.ids, new, Choice::Greedy, (0, 3), |_| {
        Ok(true)
    })
    .expect("a text");
    assert_eq!(found, expected);
    assert_eq!(
        tokenizer.text(&found).expect("a text"),
        trained.expected["greedy_text"].as_str().expect("a text")
    );
}

#[test]
fn schemes_for_long_texts_lower_the_loss_past_the_trained_length() {
    let Some(trained) = trained() else { return };
    let plain = trained.open("hf");
    let story = ids(&trained.expected["story_ids"]);
    let past = |scheme: Option<&str>| {
        let asked = scheme.map(|text| text.parse().expect("a scheme"));
        let scheme = resolve(&Registry::builtin(), &plain.architecture, asked.as_ref());
        let model = plain.with_scheme(scheme.expect("a scheme"));
        perplexity(&losses(&model, &story)[512..])
    };
    let base = past(None);
    for scheme in ["rerope", "self-extend", "dca", "lm-infinite"] {
        let found = past(Some(scheme));
        assert!(found < base, "{scheme}: {found}, plain RoPE {base}");
    }
    // Interpolation without training disturbs what was learned.
    assert!(past(Some("pi,factor=2")) > base);
}
