//! Ids that tasks give, windows of periodic positions, and boosts: against the authors' code and transcriptions.

use super::tensors::{flat, run, tensor};
use super::turning::scores;
use super::{close, golden, list, model, number, numbers, plan, size};
use farspan_attention::attend::Params;
use farspan_attention::plan::{Embed, Geometry, PositionIds};
use farspan_datasets::tasks::{COUPLED, PLACES, find};
use farspan_pe::recipe::Shift;
use farspan_pe::{Len, Registry};
use serde_json::{Value, json};

fn texts(value: &Value) -> Vec<&str> {
    let words = list(value).iter();
    words.map(|word| word.as_str().expect("a word")).collect()
}

/// Ids that a task gives to the example of these words.
fn given(case: &Value, kind: &str) -> Vec<f64> {
    let id = case["task"].as_str().expect("a task");
    let task = find(id)
        .expect("a task")
        .parse(case["settings"].clone())
        .expect("settings");
    let symbol = |word: &str| {
        let shown = match word {
            "+" => "<+>".to_string(),
            digit if id == "addition" || digit.starts_with('<') => digit.to_string(),
            // Digits of the strings are letters here.
            digit => char::from(b'a' + digit.as_bytes()[0] - b'0').to_string(),
        };
        let all = 0..task.vocab() as u32;
        let found = all.into_iter().find(|&t| task.render(&[t]) == shown);
        found.unwrap_or_else(|| panic!("no symbol {shown}"))
    };
    let words = ["<bos>"]
        .into_iter()
        .chain(texts(&case["source"]))
        .chain(["<to>"])
        .chain(texts(&case["target"]))
        .chain(["<end>"]);
    let tokens: Vec<u32> = words.map(symbol).collect();
    let ids = task.ids(kind, &tokens).expect("ids");
    ids.into_iter().map(f64::from).collect()
}

/// Of the authors' data sets of sums and copies, without their random starts.
#[test]
fn coupled_ids() {
    let cases = golden("bias/given_ids");
    for case in list(&cases["coupled"]) {
        assert_eq!(given(case, COUPLED), numbers(&case["ids"]), "{case}");
    }
}

/// Of the authors' module, for texts of single characters; a task's places are the same ids.
#[test]
fn places_of_digits() {
    let file = golden("bias/given_ids");
    for case in list(&file["abacus"]) {
        let text = case["text"].as_str().expect("a text");
        let digits = text.chars().map(|c| c.is_ascii_digit());
        let ids = numbers(&case["ids"]);
        assert_eq!(PositionIds::places(digits), ids, "{text}");
        let Some((sum, result)) = text.split_once('=').filter(|(sum, _)| sum.contains('+')) else {
            continue;
        };
        let chars = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
        let case = json!({
            "task": "addition", "settings": { "reverse": true }, "source": chars(sum), "target": chars(result),
        });
        if !sum.is_empty() && !result.is_empty() {
            let own = given(&case, PLACES);
            // Theirs has no mark at either end.
            assert_eq!(own[1..own.len() - 1], ids, "{text}");
        }
    }
}

fn recipe(id: &str, settings: Value) -> Shift {
    let scheme = Registry::builtin().parse(id, settings).expect("a scheme");
    let recipe = scheme.recipe(&model(8, 64)).expect("a recipe");
    recipe.shift.expect("a shift")
}

/// Where their ids start in training: the least and the largest of many draws.
#[test]
fn ids_start_at_random_in_training() {
    let file = golden("bias/given_ids");
    let ends = numbers(&file["abacus_shifts"]);
    let abacus = recipe("abacus", json!({ "offset": 5, "rows": 64 }));
    for (u, end) in [(0.0, ends[0]), (1.0 - 1e-9, ends[1])] {
        let mut ids = vec![0.0, 1.0, 2.0];
        abacus.apply(&mut ids, 3, &mut || u);
        assert_eq!(ids, [0.0, 1.0 + end, 2.0 + end]);
    }
    for case in list(&file["starts"]) {
        let most = size(&case["max_position"]);
        let coupling = recipe("position-coupling", json!({ "max_position": most }));
        let (tops, least) = (numbers(&case["tops"]), numbers(&case["least"]));
        // Before a move the largest id is that of the shortest examples.
        for (u, top) in [(0.0, tops[0]), (1.0 - 1e-9, tops[1])] {
            let mut ids = vec![0.0, 1.0, tops[0]];
            coupling.apply(&mut ids, 3, &mut || u);
            assert_eq!((ids[0], ids[2]), (0.0, top), "{case}");
            assert!(ids[1] >= least[0] && ids[1] <= least[1]);
        }
    }
    let rows = |id, settings| match plan(id, settings, &model(8, 64), 64).embed {
        Embed::Table { rows, .. } => rows,
        other => panic!("{other:?}"),
    };
    assert_eq!(rows("position-coupling", json!({})), 133);
    assert_eq!(rows("abacus", json!({})), 1024);
}

/// The authors' attention of both kinds of layers, from projected queries, keys and values to what comes out.
#[test]
fn periodic_windows_and_full_layers() {
    let file = golden("rotary/periodic");
    for case in list(&file["cases"]) {
        let mut settings = json!({
            "window": case["window"], "base": case["base"], "partial": case["partial"],
        });
        if !case["log_offset"].is_null() {
            settings["log_offset"] = case["log_offset"].clone();
        }
        for (kind, pattern) in [("S", "S"), ("L", "L")] {
            let part = &case[kind];
            settings["pattern"] = pattern.into();
            let sizes = Geometry {
                layers: 2,
                heads: 2,
                kv_heads: size(&case["kv_heads"]),
                ..model(8, 64)
            };
            let tokens = list(&list(&part["q"])[0]).len();
            let plan = plan("periodic-rope", settings.clone(), &sizes, tokens);
            let [q, k, v] = ["q", "k", "v"].map(|name| tensor(&part[name]).unsqueeze(0).unwrap());
            let found = run(&plan, &sizes, [&q, &k, &v], &Params::new());
            close(kind, &found, &flat(&part["out"]), 2e-6, 2e-6);
        }
    }
    for case in list(&file["modes"]) {
        let settings = json!({ "pattern": case["pattern"], "last_full": case["last_full"] });
        let scheme = Registry::builtin()
            .parse("periodic-rope", settings)
            .unwrap();
        let modes = case["modes"].as_str().expect("modes");
        let sizes = Geometry {
            layers: modes.len(),
            ..model(8, 64)
        };
        let plans = scheme.layer_plans(&sizes, Len(64)).unwrap();
        let kind = |plan: &farspan_attention::plan::Plan| match plan.rotations.is_empty() {
            true => 'L',
            false => 'S',
        };
        assert_eq!(plans.iter().map(kind).collect::<String>(), modes);
    }
}

/// A transcription of the paper's equations 9 to 12 in double precision.
#[test]
fn boosts_that_are_damped() {
    let file = golden("rotary/hyperbolic");
    for case in list(&file["cases"]) {
        let dim = size(&case["head_dim"]);
        let settings = json!({ "base": case["base"], "damping": case["theta_prime"] });
        let sizes = model(dim, 64);
        let tokens = list(&case["q"]).len();
        let plan = plan("hyperbolic-hope", settings, &sizes, tokens);
        let (q, k) = (flat(&case["q"]), flat(&case["k"]));
        for first in [0, 1000] {
            let found = scores(&plan, &sizes, (&q, &k), &Params::new(), first);
            for row in list(&case["rows"]) {
                let query = size(&row["query"]);
                let expected = numbers(&row["scores"]);
                let scale = (dim as f64).sqrt();
                let expected: Vec<f64> =
                    expected.iter().map(|x| (x - expected[0]) / scale).collect();
                let found = &found[query * tokens..][..=query];
                close(&format!("[{query}]"), found, &expected, 1e-7, 1e-7);
            }
        }
        assert!(number(&case["theta_prime"]) > 1.0);
    }
}

/// Powers of a long text leave f32, and so do those of hidden pairs; scores do not. Written pair by pair.
#[test]
fn boosts_of_a_long_text_are_formed_near_each_query() {
    let (tokens, dim) = (300, 4);
    let sizes = model(dim, 64);
    let plan = plan("hyperbolic-hope", json!({}), &sizes, tokens);
    let wave =
        |step: f64| -> Vec<f64> { (0..tokens * dim).map(|i| (step * i as f64).sin()).collect() };
    let (q, k) = (wave(0.7), wave(1.3));
    let found = scores(&plan, &sizes, (&q, &k), &Params::new(), 0);
    let damping = {
        let settings = Registry::builtin()
            .parse("hyperbolic-hope", json!({}))
            .unwrap();
        number(&settings.settings()["damping"])
    };
    let exact = |i: usize, j: usize| -> f64 {
        let distance = (i - j) as f64;
        let pair = |p: usize| {
            let boost = 10000f64.powf(-2.0 * p as f64 / dim as f64) * distance;
            let (q, k) = (&q[i * dim..], &k[j * dim..]);
            let (x, y) = (2 * p, 2 * p + 1);
            let (a, b) = (q[x] * k[x] + q[y] * k[y], q[x] * k[y] + q[y] * k[x]);
            // e^(-damping) times cosh and sinh, by powers that do not overflow.
            let (up, down) = (
                (boost - damping * distance).exp(),
                (-boost - damping * distance).exp(),
            );
            (a * (up + down) + b * (up - down)) / 2.0
        };
        (pair(0) + pair(1)) / (dim as f64).sqrt()
    };
    for i in [0, 17, 150, 299] {
        let expected: Vec<f64> = (0..=i).map(|j| exact(i, j) - exact(i, 0)).collect();
        close(
            &format!("[{i}]"),
            &found[i * tokens..][..=i],
            &expected,
            1e-6,
            1e-6,
        );
    }
}

#[test]
fn schemes_say_which_ids_they_read() {
    for (id, kind) in [
        ("abacus", PositionIds::PLACES),
        ("position-coupling", PositionIds::COUPLED),
    ] {
        let plan = plan(id, json!({}), &model(8, 64), 9);
        let expected = PositionIds::Given {
            ids: kind.into(),
            scores: false,
        };
        assert_eq!(plan.position_ids, expected, "{id}");
    }
}
