//! What people mistype: the first line says what happened, and there is a way out.

use farspan_acceptance::checkpoints::Place;

/// Runs the program in `place`; it must end with `code` and say all of `words`.
fn told(place: &Place, args: &[&str], code: i32, words: &[&str]) {
    let (found, text) = place.run(args);
    assert_eq!(found, code, "{args:?}\n{text}");
    for words in words {
        assert!(text.contains(words), "{args:?}: no {words:?} in\n{text}");
    }
}

const CONFIG: &str = "name = \"small\"\nmodel.size = \"d1\"\ntrain = { length = 16, steps = 1 }\n\
                      task = \"copy\"\n[schemes.rope.rope]\n";

#[test]
fn a_choice_of_no_cell_is_an_error_and_leaves_nothing_behind() {
    let place = Place::make();
    std::fs::write(place.path("c.toml"), CONFIG).expect("a config");
    let words = ["-k: no label of the 1 cells agrees", "rope/s0"];
    for verb in [&["run", "c.toml", "--out", "out"][..], &["plan", "c.toml"]] {
        told(&place, &[verb, &["-k", "nosuch"]].concat(), 2, &words);
    }
    assert!(!place.path("out").exists());
}

#[test]
fn keys_and_values_in_other_spellings() {
    let place = Place::make();
    std::fs::write(place.path("c.toml"), CONFIG).expect("a config");
    std::fs::write(
        place.path("text.toml"),
        "name = \"t\"\ndata.files = [\"text.txt\"]\ntrain.length = 128\n[schemes.rope.rope]\n\
         [evaluate.perplexity]\nlengths = [128, 256]\ntarget = 100\n",
    )
    .expect("a config");
    std::fs::write(
        place.path("c.yaml"),
        "# a run\nname: c\nmodel:\n  size: d2\n",
    )
    .expect("text");
    for (args, words) in [
        (
            &["validate", "c.toml", "--train.steps=5"][..],
            &["write train.steps=5"][..],
        ),
        (
            &["validate", "c.toml", "seeds=3"],
            &["[3] for seed 3 alone; [0, 1, 2] for three", "found 3"],
        ),
        (
            &["validate", "c.toml", "seeds=0..3"],
            &["[0, 1, 2] for three"],
        ),
        (
            &["validate", "c.yaml"],
            &["c.yaml:2", "this looks like YAML, and configs are TOML"],
        ),
        (
            &["validate", "text.toml", "evaluate.perplexity.lengths=[64]"],
            &[
                "text.toml:",
                "target: expected 1 to the shortest length, 64 (as evaluate.perplexity.lengths=[64] says)",
            ],
        ),
        (
            &["explain", "yran"],
            &["did you mean \"yarn\"?", "`farspan list schemes` shows all"],
        ),
    ] {
        told(&place, args, 2, words);
    }
    // A flag that is no key is clap's to tell.
    told(
        &place,
        &["validate", "c.toml", "--trian.steps=5"],
        2,
        &["--trian.steps"],
    );
    let (_, text) = place.run(&["explain", "yran"]);
    assert!(text.len() < 200, "{text}");
}

#[test]
fn a_folder_beside_the_checkpoint() {
    let place = Place::make();
    std::fs::create_dir(place.path("outer")).expect("a folder");
    told(&place, &["check", "outer"], 65, &["found no config.json\n"]);
    std::fs::rename(place.path("model"), place.path("outer/hf")).expect("a move");
    let words =
        ["outer: expected a checkpoint, found no config.json in it; there is one in outer/hf"];
    told(&place, &["check", "outer"], 65, &words);
}

/// The numbers are still there, with what they mean.
#[test]
fn weights_under_a_scheme_that_they_never_knew() {
    let place = Place::make();
    let eval = |scheme: &str, out: &str| {
        let args = [
            "eval",
            "--model",
            "model",
            "--scheme",
            scheme,
            "--lengths",
            "32",
        ];
        let rest = ["--segments", "1", "--out", out, "text.txt"];
        let (code, text) = place.run(&[&args[..], &rest].concat());
        assert_eq!(code, 0, "{text}");
        text
    };
    let words = "these weights were never trained under alibi";
    assert!(eval("alibi", "a").contains(words));
    assert!(!eval("own", "b").contains("never trained"));
    assert!(!eval("yarn,factor=2", "c").contains("never trained"));
    let notes = place.records("a").remove(0).model.notes;
    assert!(notes.iter().any(|note| note.contains(words)), "{notes:?}");
}
