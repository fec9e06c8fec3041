//! Sweeps, and runs of many cells.

use super::*;

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

const ROPE: &str = "data.corpus = \"cargo\"\ntrain.length = 512\nmodel = { size = \"d4\", head_dim = 32 }\n\
                    schemes.rope.rope = {}\n";

fn schemes(more: &str) -> Vec<SchemeConfig> {
    good(&format!("{ROPE}{more}\n"), &[]).run.schemes
}

#[test]
fn a_list_of_settings_is_a_scheme_for_each() {
    let far = "[schemes.far.yarn]\nextends = \"rope\"\n";
    let found = schemes(&format!("{far}factor = [2, 4]\nbeta_fast = [16, 32]"));
    let names: Vec<&str> = found.iter().map(|scheme| scheme.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "rope",
            "far[factor=2,beta_fast=16]",
            "far[factor=2,beta_fast=32]",
            "far[factor=4,beta_fast=16]",
            "far[factor=4,beta_fast=32]"
        ]
    );
    assert_eq!(found[2].settings["factor"], 2.0);
    assert_eq!(found[2].settings["beta_fast"], 32.0);
    // What is a list by itself stays one.
    let factors = vec!["2"; 16].join(", ");
    let long = "[schemes.long.longrope]\nextends = \"rope\"\nfactor = 2\nlong_factors";
    assert_eq!(schemes(&format!("{long} = [{factors}]")).len(), 2);
    let problems = bad(&format!("{ROPE}{far}factor = [2, 0.5]\n"), &[]);
    assert_eq!(problems.len(), 1);
    let of = "schemes.far[factor=0.5].yarn.factor: expected at least 1, found 0.5";
    assert!(problems[0].contains(of), "{problems:?}");
}

#[test]
fn all_schemes_are_those_that_are_not_written() {
    let registry = Registry::builtin();
    let written = "schemes.far.yarn = { extends = \"rope\", factor = 2 }\n";
    let with = "all_schemes = { finetune = { steps = 3 } }";
    let found = schemes(&format!("{written}{with}"));
    let alone = |id: &str| registry.parse(id, serde_json::json!({})).is_ok();
    let entries = registry.entries().iter();
    let expected = entries.filter(|e| !e.card.task_ids && alone(e.id)).count();
    assert_eq!(found.len(), expected);
    // What is written comes first, as it is written.
    assert_eq!((&*found[0].name, &*found[1].name), ("rope", "far"));
    assert!(found[1].finetune.is_none());
    for added in &found[2..] {
        assert_eq!(added.name, added.id);
        let extends = added.base.is_some();
        assert_eq!(extends, added.finetune.is_some(), "{}", added.name);
    }
    // What does not fit is told with its name.
    let narrow = ROPE.replace("head_dim = 32", "head_dim = 8");
    let problems = bad(&format!("{narrow}{with}\n"), &[]);
    assert!(
        problems.iter().all(|p| p.contains("schemes.")),
        "{problems:?}"
    );
    let problems = bad(&format!("{ROPE}all_schemes = 3\n"), &[]);
    assert!(
        problems[0].contains("all_schemes: expected true, false or"),
        "{problems:?}"
    );
}
