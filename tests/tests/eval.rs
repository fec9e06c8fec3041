//! `eval` against losses that are computed here, window by window, from the same weights.

use farspan::model::Decoder;
use farspan_acceptance::checkpoints::{LETTERS, Place, losses, open};
use farspan_acceptance::{farspan, text};
use serde_json::{Value, json};

/// Lets the tokenizer of a place put `<s>`, the id of `?`, before a text.
fn put_bos(place: &Place) {
    let path = place.path("model/tokenizer.json");
    let json = std::fs::read_to_string(&path).expect("a file");
    let mut tokenizer: Value = serde_json::from_str(&json).expect("JSON");
    tokenizer["post_processor"] = json!({
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "?", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"?": {"id": "?", "ids": [0], "tokens": ["?"]}},
    });
    std::fs::write(path, tokenizer.to_string()).expect("a file");
}

struct Scene {
    place: Place,
    model: Decoder,
    /// The first letters of the text.
    ids: Vec<u32>,
}

impl Scene {
    fn make() -> Scene {
        let place = Place::make();
        put_bos(&place);
        let model = open(&place.path("model"), None);
        let words = std::fs::read_to_string(place.path("text.txt")).expect("words");
        let words: String = words.chars().take(100).collect();
        std::fs::write(place.path("short.txt"), &words).expect("a file");
        let id = |c| LETTERS.find(c).expect("a letter") as u32;
        Scene {
            ids: words.chars().map(id).collect(),
            model,
            place,
        }
    }

    /// Nats per token and scored tokens.
    fn eval(&self, more: &[&str]) -> (f64, u64) {
        let args = [
            "eval",
            "--model",
            "model",
            "--json",
            "short.txt",
            "--unit",
            "document",
        ];
        let output = farspan(&[&args[..], more].concat())
            .current_dir(self.place.folder())
            .output()
            .expect("a run");
        assert!(output.status.success(), "{}", text(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let scored = &report["rows"][0]["scored"];
        let nats = scored["nats_per_token"].as_f64().expect("a loss");
        (nats, scored["tokens"].as_u64().expect("a count"))
    }

    /// Mean loss over windows of tokens, of each those of the last targets, so many.
    fn mean(&self, windows: &[(Vec<u32>, usize)]) -> f64 {
        let of = |(ids, last): &(Vec<u32>, usize)| {
            let losses = losses(&self.model, ids);
            losses[losses.len() - last..].to_vec()
        };
        let all: Vec<f64> = windows.iter().flat_map(of).collect();
        all.iter().sum::<f64>() / all.len() as f64
    }
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-5, "{found}, {expected}");
}

#[test]
fn windows_follow_each_other_with_bos_where_it_was_asked_for() {
    let scene = Scene::make();
    let tiles = |ids: &[u32]| -> Vec<Vec<u32>> {
        // The last token is no input, and the first no target.
        let starts = (0..ids.len() - 1).step_by(32);
        starts
            .map(|s| ids[s..(s + 33).min(ids.len())].to_vec())
            .collect()
    };
    let whole = |windows: Vec<Vec<u32>>| -> Vec<(Vec<u32>, usize)> {
        windows
            .into_iter()
            .map(|w| (w.clone(), w.len() - 1))
            .collect()
    };
    let with = [&[0][..], &scene.ids].concat();
    let (found, tokens) = scene.eval(&["--lengths", "32"]);
    assert_eq!(tokens, 100);
    close(found, scene.mean(&whole(tiles(&with))));
    let (found, tokens) = scene.eval(&["--lengths", "32", "--bos", "none"]);
    assert_eq!(tokens, 99);
    close(found, scene.mean(&whole(tiles(&scene.ids))));
    let (found, tokens) = scene.eval(&["--lengths", "32", "--bos", "window"]);
    assert_eq!(tokens, 99);
    let mut windows = tiles(&scene.ids);
    windows.iter_mut().for_each(|window| window[0] = 0);
    close(found, scene.mean(&whole(windows)));
}

/// The loop of jquesnelle/yarn's eval/perplexity.py: windows of T − 1 tokens behind a BOS, the mean over windows of what each
/// scores; truncated, the first T − 1 tokens alone. Its T counts the last target, ours does not. BOS stands here in place of
/// the first letter, there in front of what follows it.
#[test]
fn means_over_windows_and_prefixes_are_those_of_yarns_script() {
    let scene = Scene::make();
    let script = |length: usize, stride: usize, ids: &[u32]| {
        let (mut means, mut before) = (Vec::new(), 0);
        for begin in (0..ids.len()).step_by(stride) {
            let end = (begin + length - 1).min(ids.len());
            let window = [&[0][..], &ids[begin..end]].concat();
            means.push(scene.mean(&[(window, end - before)]));
            before = end;
            if end == ids.len() {
                break;
            }
        }
        means
    };
    let more = ["--lengths", "32", "--bos", "window"];
    let slides = ["--stride", "12", "--protocol"];
    let means = script(33, 12, &scene.ids[1..]);
    assert_eq!(means.len(), 7);
    let (found, tokens) = scene.eval(&[&more[..], &slides, &["by-window"]].concat());
    // What is told beside is how many tokens that were.
    assert_eq!(tokens, 99);
    close(found, means.iter().sum::<f64>() / 7.0);
    // By tokens, the first window has 32 of 99, the next five 12 each, and the last, which is cut short, 7.
    let (by_tokens, _) = scene.eval(&[&more[..], &slides, &["sliding"]].concat());
    let weighed = 32.0 * means[0] + 12.0 * means[1..6].iter().sum::<f64>() + 7.0 * means[6];
    close(by_tokens, weighed / 99.0);
    assert!((found - by_tokens).abs() > 1e-3, "{found}, {by_tokens}");
    let (found, tokens) = scene.eval(&[&more[..], &["--protocol", "prefix"]].concat());
    assert_eq!(tokens, 32);
    let cut = script(33, 32, &scene.ids[1..33]);
    assert_eq!(cut.len(), 1);
    close(found, cut[0]);
}

#[test]
fn sliding_windows_and_fixed_targets_score_what_they_promise() {
    let scene = Scene::make();
    let none = ["--bos", "none"];
    let sliding = ["--lengths", "32", "--protocol", "sliding", "--stride", "12"];
    let (found, tokens) = scene.eval(&[&sliding[..], &none].concat());
    assert_eq!(tokens, 99);
    let ids = &scene.ids;
    let mut windows = vec![(ids[..33].to_vec(), 32)];
    let mut start = 12;
    while start + 20 < 99 {
        let end = (start + 32).min(99);
        windows.push((ids[start..=end].to_vec(), end - start - 20));
        start += 12;
    }
    close(found, scene.mean(&windows));
    let fixed = [
        "--lengths",
        "32",
        "--protocol",
        "fixed-target",
        "--target",
        "10",
    ];
    let (found, tokens) = scene.eval(&[&fixed[..], &none].concat());
    assert_eq!(tokens, 10);
    close(found, scene.mean(&[(ids[67..].to_vec(), 10)]));
}
