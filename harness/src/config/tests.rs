//! Whole configs: what they mean, and the exact words about what is wrong with them.

use super::*;

mod mistakes;
mod recipes;
mod sweeps;
mod tasks;

const GOOD: &str = r#"
name = "good"
seeds = [0, 1]

[data]
corpus = "cargo"

[train]
length = 64
steps = 100

[schemes.rope.rope]
base = 500

[schemes.alibi.alibi]

[schemes.pi-x4.pi]
base = "rope"
factor = 4
finetune = { steps = 10, times = 4 }

[studies.language]
model = { size = "d2" }
train = { steps = 40 }
evaluate.perplexity = { lengths = [64, 128] }

[studies.retrieval]
task = "passkey"
model = { size = "d1" }
evaluate.task = { lengths = [64] }
"#;

fn read(text: &str, arguments: &[&str]) -> std::result::Result<Loaded, ConfigError> {
    let arguments: Vec<String> = arguments.iter().map(|a| a.to_string()).collect();
    parse(
        text,
        "my.toml",
        &arguments,
        &Registry::builtin(),
        MANY_CELLS,
    )
}

#[track_caller]
fn good(text: &str, arguments: &[&str]) -> Loaded {
    read(text, arguments).unwrap_or_else(|e| panic!("{e}"))
}

/// The problems of a config, each with its first line only.
#[track_caller]
fn bad(text: &str, arguments: &[&str]) -> Vec<String> {
    let error = read(text, arguments).expect_err("this config has a mistake");
    error
        .problems()
        .iter()
        .map(|p| p.lines().next().unwrap_or_default().to_string())
        .collect()
}

/// A text study with a few lines more.
fn small(lines: &str) -> String {
    format!("data.corpus = \"cargo\"\nmodel.size = \"d2\"\n{lines}\n")
}

fn study<'a>(loaded: &'a Loaded, name: &str) -> &'a StudyConfig {
    let found = loaded.run.studies.iter().find(|(n, _)| n == name);
    &found
        .unwrap_or_else(|| panic!("{:?} has no {name}", loaded.run.studies))
        .1
}

#[test]
fn a_config_is_merged_filtered_and_counted() {
    let loaded = good(GOOD, &[]);
    let run = &loaded.run;
    assert_eq!(
        (run.name.as_str(), run.seeds.as_slice(), run.cells()),
        ("good", &[0, 1][..], 16)
    );
    let (language, retrieval) = (study(&loaded, "language"), study(&loaded, "retrieval"));
    assert_eq!((language.train.steps, retrieval.train.steps), (40, 100));
    assert_eq!((language.train.length, retrieval.train.length), (64, 64));
    // Each study keeps what its task has a use for.
    assert!(language.evaluate.task.is_none() && retrieval.evaluate.perplexity.is_none());
    assert_eq!(retrieval.data, Default::default());
    let names: Vec<&str> = run.schemes.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["rope", "alibi", "pi-x4"]);
    let pi = &run.schemes[2];
    assert_eq!((pi.id.as_str(), pi.base.as_deref()), ("pi", Some("rope")));
    // The extension reads the same weights, so it turns by the same frequencies.
    assert_eq!(pi.settings["base"], 500.0);
    assert_eq!(pi.finetune.as_ref().map(|f| f.window(64)), Some(256));
}

#[test]
fn a_study_may_have_seeds_of_its_own() {
    let text = GOOD.replace(
        "task = \"passkey\"\n",
        "task = \"passkey\"\nseeds = [4, 5, 6]\n",
    );
    let of = |arguments: &[&str], name: &str| {
        let loaded = good(&text, arguments);
        (
            loaded.run.seeds_of(study(&loaded, name)).to_vec(),
            loaded.run.cells(),
        )
    };
    // Four cells a seed: two seeds of language, three of retrieval.
    assert_eq!(of(&[], "language"), (vec![0, 1], 20));
    assert_eq!(of(&[], "retrieval"), (vec![4, 5, 6], 20));
    // The command line wins, for all or for one.
    assert_eq!(of(&["seeds=[9]"], "retrieval"), (vec![9], 8));
    assert_eq!(
        of(&["studies.retrieval.seeds=[7]"], "retrieval"),
        (vec![7], 12)
    );
    let again = text.replace("[4, 5, 6]", "[4, 4]");
    assert_eq!(
        bad(&again, &[]),
        ["my.toml:29:9: studies.retrieval.seeds: expected different seeds, found 4 twice"]
    );
}

#[test]
fn origins_name_the_place_of_every_value() {
    let loaded = good(GOOD, &["studies.retrieval.train.lr=1e-3", "seeds=[3]"]);
    let origin = |path: &str| loaded.origins.get(path).to_string();
    assert_eq!(origin("name"), "my.toml:2:8");
    assert_eq!(origin("seeds"), "command line");
    assert_eq!(origin("studies.language.train.steps"), "my.toml:24:19");
    assert_eq!(origin("studies.retrieval.train.steps"), "my.toml:10:9");
    assert_eq!(origin("studies.retrieval.train.lr"), "command line");
    assert_eq!(origin("studies.language.train.lr"), "default");
    assert_eq!(origin("schemes.pi-x4.pi.base"), "as in rope");
    assert_eq!(origin("schemes.pi-x4.pi.extends"), "my.toml:18:8");
}

#[test]
fn the_resolved_config_means_the_same_run() {
    let swept = format!("{GOOD}\n[sweep]\nproduct = {{ \"train.lr\" = [1e-3, 2e-3] }}\n");
    for text in [GOOD, &swept] {
        let loaded = good(text, &["studies.language.data.tokenizer={bpe=300}"]);
        let resolved = resolved_toml(&loaded.run, &loaded.origins);
        assert_eq!(good(&resolved, &[]).run, loaded.run, "{resolved}");
        assert!(
            resolved
                .lines()
                .all(|l| l.is_empty() || l.starts_with('[') || l.contains(" # "))
        );
    }
}

#[test]
fn the_command_line_wins_and_the_nearest_key_wins_within_it() {
    let steps = |arguments: &[&str]| {
        let loaded = good(GOOD, arguments);
        (
            study(&loaded, "language").train.steps,
            study(&loaded, "retrieval").train.steps,
        )
    };
    assert_eq!(steps(&["train.steps=7"]), (7, 7));
    assert_eq!(steps(&["studies.retrieval.train.steps=7"]), (40, 7));
    assert_eq!(
        steps(&["studies.retrieval.train.steps=7", "train.steps=9"]),
        (9, 7)
    );
    assert_eq!(steps(&["train.steps=9", "train.steps=8"]), (8, 8));
    assert_eq!(steps(&["~train.steps"]), (40, 2000));
    assert_eq!(steps(&["~studies.language.train.steps"]), (100, 100));
}

#[test]
fn values_are_toml_or_text() {
    let loaded = good(
        GOOD,
        &[
            "data.files=../x/*.txt",
            "data.tokenizer={ bpe = 512 }",
            "schemes.pi-x4.pi.factor=8",
            "studies.language.model.size=d3",
            "schemes.nope.nope={}",
            "device=cuda:0",
        ],
    );
    let data = &study(&loaded, "language").data;
    // One source only: the command line's replaces the file's.
    assert_eq!(
        (data.corpus, data.files.as_deref()),
        (None, Some(&["../x/*.txt".to_string()][..]))
    );
    assert_eq!(data.tokenizer, farspan_datasets::TokenizerConfig::Bpe(512));
    assert_eq!(loaded.run.schemes[2].settings["factor"], 8.0);
    assert_eq!(study(&loaded, "language").model.size.as_deref(), Some("d3"));
    assert_eq!(loaded.run.schemes[3].name, "nope");
    assert_eq!(loaded.run.device, "cuda:0");
    let finetune = |argument: &str| good(GOOD, &[argument]).run.schemes[2].finetune.clone();
    let length = finetune("schemes.pi-x4.pi.finetune.length=80").map(|f| (f.length, f.times));
    assert_eq!(length, Some((Some(80), None)));
}

#[test]
fn a_study_with_its_own_source_takes_none_from_the_shared_table() {
    let text = GOOD.replace("train = { steps = 40 }", "data.files = \"a.txt\"");
    let data = &study(&good(&text, &[]), "language").data.clone();
    assert_eq!(
        (data.corpus, data.files.as_deref()),
        (None, Some(&["a.txt".to_string()][..]))
    );
    let data = &study(&good(&text, &["data.jsonl=b.jsonl"]), "language")
        .data
        .clone();
    assert_eq!(
        (&data.files, data.jsonl.as_deref()),
        (&None, Some(&["b.jsonl".to_string()][..]))
    );
}

#[test]
fn without_studies_there_is_one_named_after_its_task() {
    let text = small("train.length = 32\n[schemes.rope.rope]");
    let loaded = good(&text, &[]);
    let perplexity = study(&loaded, "language")
        .evaluate
        .perplexity
        .clone()
        .unwrap();
    // Lengths follow the trained length, and the scored end fits the shortest.
    assert_eq!(
        (perplexity.lengths, perplexity.target),
        (vec![32, 64, 128, 256], 32)
    );
    assert_eq!(loaded.run.name, "my");
    let text = "task = \"passkey\"\nmodel.size = \"d2\"\ntrain.length = 32\n[schemes.rope.rope]\n";
    assert_eq!(good(text, &[]).run.studies[0].0, "passkey");
    let text = text.replace("\"passkey\"", "{ flip-flop = { ignore = 0.5 } }");
    let loaded = good(&text, &[]);
    assert_eq!(loaded.run.studies[0].0, "flip-flop");
    let json = serde_json::to_value(&loaded.run.studies[0].1.task).expect("JSON");
    assert_eq!(json["flip-flop"]["ignore"], 0.5);
}

#[test]
fn the_margin_is_read_and_checked() {
    let text = |margin: &str| small(&format!("{margin}\n[schemes.rope.rope]"));
    let margin = |text: &str| good(text, &[]).run;
    assert_eq!(margin(&text("")).margin, 0.05);
    assert_eq!(margin(&text("margin = 0.1")).margin, 0.1);
    let json = |text: &str| serde_json::to_string(&margin(text)).expect("JSON");
    assert!(!json(&text("")).contains("margin"));
    assert!(json(&text("margin = 0.1")).contains("\"margin\":0.1"));
    for wrong in ["0", "-1.0", "inf", "nan"] {
        let found = bad(&text(&format!("margin = {wrong}")), &[]);
        assert!(
            found
                .iter()
                .any(|line| line.contains("margin: expected a finite number")),
            "{wrong}: {found:?}"
        );
    }
}

#[test]
fn a_base_may_be_named_beside_a_frequency_base() {
    let text = small("[schemes.r.rope]\n[schemes.p.pi]\nextends = \"r\"\nbase = 700\nfactor = 2");
    let run = good(&text, &[]).run;
    assert_eq!(
        (
            run.schemes[1].base.as_deref(),
            &run.schemes[1].settings["base"]
        ),
        (Some("r"), &700.0.into())
    );
    let twice = small("[schemes.r.rope]\n[schemes.p.pi]\nextends = \"r\"\nbase = \"r\"");
    let expected = "my.toml:5:1: schemes.p.pi.extends: name the base once, as `extends`";
    assert_eq!(bad(&twice, &[]), [expected]);
}

#[test]
fn the_schema_knows_every_key_and_every_scheme() {
    let schema = schema(&Registry::builtin());
    let keys: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    assert!(
        KEYS.iter().all(|key| keys.iter().any(|k| k == key)) && keys.len() == KEYS.len(),
        "{keys:?}"
    );
    let ids = &schema["properties"]["schemes"]["additionalProperties"]["properties"];
    for id in Registry::builtin().ids() {
        assert!(ids[id]["properties"].is_object() || id == "nope", "{id}");
    }
    assert_eq!(ids["rope"]["properties"]["base"]["type"], "number");
    assert_eq!(
        ids["pi"]["properties"]["base"]["anyOf"][0]["type"],
        "string"
    );
    let text = schema.to_string();
    for reference in text.split("\"$ref\":\"#/definitions/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schema["definitions"][name].is_object(), "{name}");
    }
}

#[test]
fn the_configs_of_the_repository_are_good() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|f| f.unwrap().path())
        .collect();
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        // The standard study has more cells than run without `--yes`, and its header says so.
        let loaded =
            load(&file, &[], &Registry::builtin(), usize::MAX).unwrap_or_else(|e| panic!("{e}"));
        let mut warnings = loaded.warnings;
        // The config of the whole registry has all of them.
        warnings.retain(|warning| !warning.contains("is experimental"));
        assert_eq!(warnings, [] as [&str; 0], "{}", file.display());
    }
}

#[test]
fn experimental_schemes_are_warned_of() {
    let warnings = good(&format!("{GOOD}\n[schemes.mine.huang-m1]\n"), &[]).warnings;
    let expected =
        "scheme mine is experimental: the formula of huang-m1 could not be confirmed from outside";
    assert!(warnings.contains(&expected.to_string()), "{warnings:?}");
    assert_eq!(
        warnings
            .iter()
            .filter(|w| w.contains("experimental"))
            .count(),
        1
    );
}
