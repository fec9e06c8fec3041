//! Whole configs: what they mean, and the exact words about what is wrong with them.

use super::*;

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
evaluate.passkey = { lengths = [64] }
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
    assert!(language.evaluate.passkey.is_none() && retrieval.evaluate.perplexity.is_none());
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
    assert_eq!(good(text, &[]).run.studies[0].0, "retrieval");
}

#[test]
fn mistakes_are_shown_with_line_and_caret() {
    let text = small("[train]\nstesp = 50\n[schemes.rope.rope]");
    let known = "length, batch, steps, lr, warmup, final_lr, beta1, beta2, weight_decay, clip, scheme_lr, \
                 accumulate, validate_every, positions";
    let expected = format!(
        "my.toml:4:1: train.stesp: unknown key; did you mean `steps`? Known keys: {known}\n  |\n4 | stesp = 50\n  | \
         ^^^^^"
    );
    assert_eq!(read(&text, &[]).unwrap_err().to_string(), expected);
    let error = read("a = \"x\ny = 2\n", &[]).unwrap_err().to_string();
    assert!(
        error.starts_with("my.toml:1:") && error.contains("\n1 | a = \"x\n"),
        "{error}"
    );
    let error = read("name = \"x\"\nname = \"y\"\n", &[])
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "my.toml:2:1: duplicate key\n  |\n2 | name = \"y\"\n  | ^^^^"
    );
}

#[test]
fn every_mistake_is_found_at_once() {
    let text = r#"
name = "a b"
seeds = [1, 1]
confidense = 0.9
reference = "rop"
device = "gpu"
[data]
corpus = "cargo"
test = 1.5
[model]
size = "d4"
kv_heads = 3
[train]
lr = "fast"
steps = 0
batch = -1
length = 32
[evaluate.perplexity]
lengths = [64, 32]
stride = 0
target = 65
[schemes.rope.rope]
bas = 1
partial = 2
"#;
    let expected = [
        "my.toml:2:8: name: expected 1 to 80 letters, digits or . _ + - (it names a folder), not beginning with . or \
         -, found \"a b\"",
        "my.toml:3:9: seeds: expected different seeds, found 1 twice",
        "my.toml:4:1: confidense: unknown key; did you mean `confidence`? Known keys: name, seeds, reference, \
         confidence, margin, device, task, data, passkey, model, train, evaluate, studies, schemes, sweep",
        "my.toml:5:13: reference: expected a scheme of this config (rope), found \"rop\"; did you mean `rope`?",
        "my.toml:6:10: device: expected auto, cpu, cuda[:i], metal[:i] or wgpu[:i], found \"gpu\"",
        "my.toml:9:8: data.test: expected a number between 0 and 1, both excluded, found 1.5",
        "my.toml:12:12: model.kv_heads: expected a divisor of the 4 heads, found 3",
        "my.toml:14:6: train.lr: expected a finite number, found \"fast\"",
        "my.toml:15:9: train.steps: expected at least 1, found 0",
        "my.toml:16:9: train.batch: expected a whole number, 0 or more, found -1",
        "my.toml:19:11: evaluate.perplexity.lengths: expected lengths in increasing order, none twice, found [64, 32]",
        "my.toml:20:10: evaluate.perplexity.stride: expected a fraction above 0, at most 1, or { tokens = N }, found 0",
        "my.toml:21:10: evaluate.perplexity.target: expected 1 to the shortest length, 32, found 65",
        "my.toml:23:1: schemes.rope.rope.bas: unknown key; did you mean \"base\"? settings of rope: base, pairing, \
         partial",
        "my.toml:24:11: schemes.rope.rope.partial: expected above 0 and at most 1, found 2",
    ];
    let found = bad(text, &[]);
    for (found, expected) in found.iter().zip(expected) {
        // The words of a scheme's own rule belong to the scheme.
        if !expected.contains("partial: ") {
            assert_eq!(found, expected);
        }
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    assert!(
        found[14].starts_with("my.toml:24:11: schemes.rope.rope.partial: expected "),
        "{}",
        found[14]
    );
}

/// What is not seen in a name could make two names look alike, or turn the reading of a page.
#[test]
fn names_hold_nothing_invisible() {
    for hidden in [
        "\\u202E",
        "\\u200B",
        "\\u2066",
        "\\uFEFF",
        "\\u00AD",
        "\\u2028",
        "\\u0007",
        "\\U000E0041",
    ] {
        let found = bad(&small(&format!("[schemes.\"ro{hidden}pe\".rope]")), &[]);
        assert!(
            found
                .iter()
                .any(|line| line.contains("invisible characters")),
            "{hidden}: {found:?}"
        );
    }
    for name in ["旋转", "поворот", "rope-π", "ré", "סיבוב", "🧭"] {
        let run = good(&small(&format!("[schemes.\"{name}\".rope]")), &[]);
        assert_eq!(run.run.schemes[0].name, name);
    }
}

/// The margin of a run that leaves it at its default is not part of the run's identity: older folders go on.
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
fn bases_must_fit() {
    let with = |schemes: &str| bad(&small(schemes), &[]);
    assert_eq!(
        with("[schemes.rope.rope]\n[schemes.pi.pi]\nfactor = 2"),
        [
            "my.toml:4:13: schemes.pi.pi: pi extends weights that were trained under another scheme: expected base = \
          \"rope\"; beside a numeric `base` the name goes to `extends`"
        ]
    );
    assert_eq!(
        with("[schemes.rope.rope]\n[schemes.pi.pi]\nbase = \"roep\"\nfactor = 2"),
        [
            "my.toml:5:8: schemes.pi.pi.base: no scheme is named \"roep\": expected \"rope\"; did you mean `rope`?"
        ]
    );
    assert_eq!(
        with("[schemes.r.rope]\n[schemes.a.alibi]\n[schemes.pi.pi]\nbase = \"a\"\nfactor = 2"),
        [
            "my.toml:6:8: schemes.pi.pi.base: pi extends the rotary family, \"a\" (alibi) is of the bias family: \
          expected \"r\""
        ]
    );
    let chain = "[schemes.r.rope]\n[schemes.p.pi]\nbase = \"r\"\n[schemes.q.pi]\nbase = \"p\"";
    assert_eq!(
        with(chain),
        ["my.toml:7:8: schemes.q.pi.base: \"p\" (pi) is an extension itself: expected \"r\""]
    );
    assert_eq!(
        with("[schemes.a.alibi]\nbase = \"b\""),
        [
            "my.toml:4:8: schemes.a.alibi.base: alibi is trained from scratch and takes no base, found \"b\"; a number \
          is its frequency base"
        ]
    );
    assert_eq!(
        with("[schemes.r.rope]\nfinetune = { steps = 3 }"),
        [
            "my.toml:4:1: schemes.r.rope.finetune: rope is trained from scratch; only extensions are fine-tuned"
        ]
    );
    let alone = GOOD.replace(
        "[studies.language]",
        "[studies.language]\nschemes = [\"pi-x4\"]",
    );
    assert_eq!(
        bad(&alone, &[]),
        [
            "my.toml:23:11: studies.language.schemes: pi-x4 extends rope, which is not among them; add it"
        ]
    );
    let unknown = GOOD.replace(
        "[studies.language]",
        "[studies.language]\nschemes = [\"rope\", \"alibo\"]",
    );
    assert_eq!(
        bad(&unknown, &[]),
        [
            "my.toml:23:20: studies.language.schemes: expected names of [schemes.NAME] (rope, alibi, pi-x4), found \
          \"alibo\"; did you mean `alibi`?"
        ]
    );
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
    let expected = "my.toml:5:1: schemes.p.pi.extends: name the base once: as `base` or, beside a numeric `base`, as \
                    `extends`";
    assert_eq!(bad(&twice, &[]), [expected]);
}

#[test]
fn scheme_tables_have_one_known_id() {
    let with = |schemes: &str| bad(&small(schemes), &[]).concat();
    assert!(
        with("[schemes.x.yran]").contains("no scheme is called \"yran\"; did you mean \"yarn\"?")
    );
    let stray = with("[schemes.x]\nfactor = 2");
    assert!(
        stray.starts_with(
            "my.toml:4:1: schemes.x.factor: expected exactly one table [schemes.x.ID]"
        ),
        "{stray}"
    );
    assert!(with("[schemes.x.rope]\n[schemes.x.alibi]").contains("found 2 of them"));
    assert!(with("[schemes.\"a b\".rope]").contains("expected a name of 1 to 60 characters"));
    assert_eq!(
        bad(&small(""), &[]),
        [
            "my.toml: schemes: expected at least one table [schemes.NAME.ID], such as [schemes.rope.rope]"
        ]
    );
}

#[test]
fn tasks_get_only_what_they_have_a_use_for() {
    let own = GOOD.replace("train = { steps = 40 }", "evaluate.passkey.trials = 3");
    assert_eq!(
        bad(&own, &[]),
        [
            "my.toml:24:10: studies.language.evaluate.passkey: a study with task \"text\" cannot be asked for passkeys: in \
          tiny models retrieval does not emerge from text; add a study with task = \"passkey\""
        ]
    );
    // Shared settings go where they are of use.
    let loaded = good(GOOD, &["evaluate.passkey.trials=3"]);
    assert_eq!(
        study(&loaded, "retrieval")
            .evaluate
            .passkey
            .as_ref()
            .map(|p| p.trials),
        Some(3)
    );
    assert!(study(&loaded, "language").evaluate.passkey.is_none());
    let found = bad(GOOD, &["~studies.retrieval", "evaluate.passkey.trials=3"]);
    assert_eq!(
        found,
        [
            "command line, `evaluate.passkey.trials=3`: evaluate.passkey.trials: no study of this config has a use for \
          it (every task is the other one)"
        ]
    );
    assert!(bad(GOOD, &["task=text"])[0].contains("with [studies], each study has its own `task`"));
}

#[test]
fn lengths_that_cannot_be_trained_are_mistakes() {
    let odd = small("model.head_dim = 5\n[schemes.rope.rope]");
    let found = bad(&odd, &[]);
    assert!(
        found[0].starts_with("my.toml:4:") && found[0].contains("study language"),
        "{found:?}"
    );
    let short = GOOD.replace(
        "evaluate.passkey = { lengths = [64] }",
        "evaluate.passkey = { lengths = [8, 64] }",
    );
    assert!(bad(&short, &[])[0].contains("evaluate.passkey.lengths: expected lengths of at least"));
    assert_eq!(
        bad(GOOD, &["studies.retrieval.train.length=8"])[0],
        "command line, `studies.retrieval.train.length=8`: studies.retrieval.train.length: expected at least 13 \
         tokens (markers, key and question), found 8"
    );
    let rows = small("train.length = 64\n[schemes.l.learned]\nrows = 32");
    let found = bad(&rows, &[]);
    assert!(
        found[0].contains("schemes.l.learned") && found[0].contains("training at 64 tokens"),
        "{found:?}"
    );
    let finetune = "schemes.pi-x4.pi.finetune.times=0.001";
    assert!(bad(GOOD, &[finetune])[0].contains("expected fine-tuning at 2 to"));
}

#[test]
fn a_length_that_no_memory_holds_is_only_a_mistake() {
    let text = small("train.length = 1000000000000\n[schemes.t.t5]\n[schemes.l.learned]");
    assert!(
        bad(&text, &[])[0]
            .contains("train.length: expected 2 to 16777216 tokens, found 1000000000000")
    );
}

#[test]
fn broken_texts_are_mistakes_and_never_panics() {
    let ends = (0..GOOD.len()).map(|end| GOOD[..end].to_string());
    let replaced = (0..GOOD.len()).flat_map(|at| {
        ["[", "]", "=", "\"", ".", "{", "\n", "-", "é", "\u{1b}", ""]
            .map(|c| format!("{}{c}{}", &GOOD[..at], &GOOD[at + 1..]))
    });
    let lines: Vec<&str> = GOOD.lines().collect();
    let doubled = (0..lines.len()).map(|i| {
        lines
            .iter()
            .take(i + 1)
            .chain(&lines[i..])
            .copied()
            .collect::<Vec<_>>()
            .join("\n")
    });
    let mut wrong = 0;
    for text in ends.chain(replaced).chain(doubled) {
        if let Err(error) = read(&text, &[]) {
            wrong += 1;
            assert!(
                error.problems().iter().all(|p| p.starts_with("my.toml:")),
                "{text}\n{error}"
            );
        }
    }
    assert!(wrong > 1000, "{wrong}");
}

#[test]
fn arguments_that_match_nothing_are_mistakes() {
    for (argument, words) in [
        (
            "schemes.yarn-x4.yarn.factor=3",
            "command line, `schemes.yarn-x4.yarn.factor=3`: schemes.yarn-x4.yarn.factor: no scheme `yarn-x4` here; \
             the config has rope, alibi, pi-x4",
        ),
        (
            "schemes.pi-x4.yarn.factor=3",
            "no scheme `yarn` here; the config has pi",
        ),
        (
            "studies.langauge.train.steps=3",
            "no study `langauge` here; the config has language, retrieval; did you mean `language`?",
        ),
        (
            "trian.steps=3",
            "`trian.steps=3`: trian: unknown key; did you mean `train`?",
        ),
        (
            "train.stesp=3",
            "`train.stesp=3`: train.stesp: unknown key; did you mean `steps`?",
        ),
        (
            "schemes.pi-x4.pi.factr=3",
            "unknown key; did you mean \"factor\"?",
        ),
        (
            "train.steps=soon",
            "expected a whole number, 0 or more, found \"soon\"",
        ),
        ("train.steps", "expected KEY=VALUE, or -KEY to remove a key"),
        ("=3", "expected a key such as train.steps"),
        ("name.x=3", "name is no table, so it has no keys"),
        ("~train.lr", "nothing to remove: train has length, steps"),
        (
            "~studies.langage",
            "nothing to remove: studies has language, retrieval; did you mean `language`?",
        ),
    ] {
        let found = bad(GOOD, &[argument]).join("\n");
        assert!(found.contains(words), "{argument}: {found}");
    }
}

#[test]
fn sweeps_make_variants_of_the_studies_they_touch() {
    let names = |sweep: &str| -> Vec<String> {
        let loaded = good(&format!("{GOOD}\n[sweep]\n{sweep}\n"), &[]);
        loaded
            .run
            .studies
            .iter()
            .map(|(name, _)| name.clone())
            .collect()
    };
    assert_eq!(
        names("product = { \"train.lr\" = [1e-3, 2e-3] }"),
        [
            "language[train.lr=0.001]",
            "language[train.lr=0.002]",
            "retrieval[train.lr=0.001]",
            "retrieval[train.lr=0.002]"
        ]
    );
    assert_eq!(
        names("product = { studies.retrieval.train.batch = [4, 8] }"),
        [
            "language",
            "retrieval[train.batch=4]",
            "retrieval[train.batch=8]"
        ]
    );
    // What only one task has a use for touches only its studies.
    assert_eq!(
        names("product = { data.tokenizer = [\"byte\", { bpe = 300 }] }"),
        [
            "language[data.tokenizer=byte]",
            "language[data.tokenizer={bpe=300}]",
            "retrieval"
        ]
    );
    assert_eq!(
        names(
            "zip = { studies.language.model.size = [\"d1\", \"d2\"], studies.language.train.lr = [1e-3, 2e-3] }"
        ),
        [
            "language[model.size=d1,train.lr=0.001]",
            "language[model.size=d2,train.lr=0.002]",
            "retrieval"
        ]
    );
    assert_eq!(
        names(
            "product = { studies.language.train.batch = [4, 8], studies.language.train.steps = [1, 2] }\n\
             exclude = [{ \"studies.language.train.batch\" = 4, \"studies.language.train.steps\" = 2.0 }]"
        ),
        [
            "language[train.batch=4,train.steps=1]",
            "language[train.batch=8,train.steps=1]",
            "language[train.batch=8,train.steps=2]",
            "retrieval"
        ]
    );
    let loaded = good(
        &format!("{GOOD}\n[sweep]\nproduct = {{ train.lr = [1e-3] }}\n"),
        &[],
    );
    let (name, swept) = &loaded.run.studies[0];
    assert_eq!((swept.train.lr, swept.train.steps), (1e-3, 40));
    assert_eq!(
        loaded
            .origins
            .get(&format!("studies.{name}.train.lr"))
            .to_string(),
        "sweep"
    );
}

#[test]
fn sweeps_that_cannot_be_are_mistakes() {
    for (sweep, words) in [
        (
            "product = { \"trian.lr\" = [1] }",
            "expected a setting of a study",
        ),
        (
            "product = { \"schemes.rope.rope.base\" = [1] }",
            "give each variant its own [schemes.NAME]",
        ),
        (
            "product = { \"train.lr\" = 1 }",
            "expected a list of at least one value",
        ),
        (
            "product = { \"train.lr\" = [] }",
            "expected a list of at least one value",
        ),
        (
            "product = { \"train.lr\" = [\"x\"] }",
            "my.toml, sweep train.lr=x: studies.language.train.lr: expected a finite",
        ),
        (
            "zip = { train.lr = [1, 2], train.batch = [1] }",
            "expected 2 values as in train.lr, found 1",
        ),
        (
            "product = { train.lr = [1] }\nzip = { train.lr = [1] }",
            "stands in both product and zip",
        ),
        (
            "product = { train.lr = [1] }\nexclude = [{ train.lr = 2 }]",
            "train.lr = 2 is no value of the sweep",
        ),
        (
            "product = { train.lr = [1] }\nexclude = [{ train.lr = 1 }]",
            "no point is left",
        ),
        (
            "prodct = { train.lr = [1] }",
            "unknown key; did you mean `product`?",
        ),
    ] {
        let found = bad(&format!("{GOOD}\n[sweep]\n{sweep}\n"), &[]).join("\n");
        assert!(found.contains(words), "{sweep}: {found}");
    }
    let swept = format!("{GOOD}\n[sweep]\nproduct = {{ train.lr = [1, 2] }}\n");
    assert!(
        bad(&swept, &["train.lr=3"])[0]
            .contains("is swept, so it cannot be set; -sweep drops the sweep")
    );
    assert_eq!(
        study(&good(&swept, &["train.lr=3", "~sweep"]), "language")
            .train
            .lr,
        3.0
    );
}

#[test]
fn many_cells_need_consent() {
    let seeds: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    let argument = format!("seeds=[{}]", seeds.join(","));
    let found = bad(GOOD, &[&argument]);
    assert_eq!(
        found,
        ["my.toml: 1600 cells, more than 1000; --yes allows them"]
    );
    let list = seeds.join(",");
    let sweep = format!(
        "{GOOD}\n[sweep]\nproduct = {{ train.steps = [{list}], train.batch = [{list}] }}\n"
    );
    assert!(bad(&sweep, &[])[0].contains("40000 points, more than 1000; --yes allows them"));
    let consent = parse(
        GOOD,
        "my.toml",
        &[argument],
        &Registry::builtin(),
        usize::MAX,
    );
    assert_eq!(consent.unwrap().run.cells(), 1600);
}

#[test]
fn what_is_odd_but_runs_is_a_warning() {
    let loaded = good(
        GOOD,
        &["studies.language.evaluate.perplexity.lengths=[128]"],
    );
    let words = loaded.warnings.join("\n");
    assert!(
        words.contains("study language: train.warmup (100) is not below train.steps (40)"),
        "{words}"
    );
    assert!(
        words.contains("the trained length 64 is not among the measured lengths [128]"),
        "{words}"
    );
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
        let loaded =
            load(&file, &[], &Registry::builtin(), MANY_CELLS).unwrap_or_else(|e| panic!("{e}"));
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
