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
