//! What is refused, and in which words.

use super::*;

#[test]
fn mistakes_are_shown_with_line_and_caret() {
    let text = small("[train]\nstesp = 50\n[schemes.rope.rope]");
    let known = "length, batch, steps, lr, warmup, final_lr, beta1, beta2, weight_decay, clip, scheme_lr, \
                 accumulate, validate_every, positions, lengths, mask_inputs, teacher";
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
         confidence, margin, device, task, data, model, train, evaluate, studies, schemes, all_schemes, sweep",
        "my.toml:5:13: reference: expected a scheme of this config (rope), found \"rop\"; did you mean `rope`?",
        "my.toml:6:10: device: expected auto, cpu, cuda[:i][+tf32|+bf16] or wgpu[:i], found \"gpu\"",
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
fn bases_must_fit() {
    let with = |schemes: &str| bad(&small(schemes), &[]);
    assert_eq!(
        with("[schemes.rope.rope]\n[schemes.pi.pi]\nfactor = 2"),
        [
            "my.toml:4:13: schemes.pi.pi: pi extends weights that were trained under another scheme: expected extends = \
          \"rope\""
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
            "my.toml:4:8: schemes.a.alibi.base: alibi is trained from scratch and takes no base without a `finetune`, found \"b\"; a number \
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
    let own = GOOD.replace("train = { steps = 40 }", "evaluate.task.prompts = 3");
    assert_eq!(
        bad(&own, &[]),
        [
            "my.toml:24:10: studies.language.evaluate.task: a study with task \"text\" has no task whose answers could be \
          counted: in tiny models retrieval does not emerge from text; add a study with the task itself \
          (`farspan list tasks`)"
        ]
    );
    let own = GOOD.replace(
        "model = { size = \"d1\" }",
        "evaluate.perplexity.segments = 3",
    );
    let found = bad(&own, &[]);
    assert!(found[0].contains("a study with task \"passkey\" has no text to take a perplexity of"));
    // Shared settings go where they are of use.
    let loaded = good(GOOD, &["evaluate.task.prompts=3"]);
    let asked = |name: &str| study(&loaded, name).evaluate.task.clone();
    assert_eq!(asked("retrieval").map(|t| t.prompts), Some(3));
    assert!(asked("language").is_none());
    let found = bad(GOOD, &["~studies.retrieval", "evaluate.task.prompts=3"]);
    assert_eq!(
        found,
        [
            "command line, `evaluate.task.prompts=3`: evaluate.task.prompts: no study of this config has a use for it (by \
          their tasks)"
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
        "evaluate.task = { lengths = [64] }",
        "evaluate.task = { lengths = [8, 64] }",
    );
    assert!(bad(&short, &[])[0].contains("evaluate.task.lengths: expected lengths of at least 13"));
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
