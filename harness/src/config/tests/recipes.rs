//! Recipes of training: what they mean, and what is refused.

use super::*;

#[track_caller]
fn refused(argument: &str, words: &str) {
    let text = bad(GOOD, &[argument]).join("\n");
    assert!(text.contains(words), "{argument}: {text}");
}

#[test]
fn mixed_lengths_have_one_budget_and_whole_shares() {
    let mixed = |list: &str| format!("studies.language.train.lengths={list}");
    let argument = mixed("[{length=16,share=0.7},{length=64,share=0.3}]");
    let lengths = &good(GOOD, &[&argument]).run.studies[0].1.train.lengths;
    assert_eq!(
        lengths.iter().map(|s| s.length).collect::<Vec<_>>(),
        [16, 64]
    );
    for (list, words) in [
        (
            "[{length=16,share=0.7},{length=64,share=0.2}]",
            "shares that sum to 1, found a sum of 0.8999",
        ),
        (
            "[{length=16,share=1}]",
            "train.length: expected 16 tokens, the longest of train.lengths, found 64",
        ),
        (
            "[{length=24,share=0.5},{length=64,share=0.5}]",
            "a divisor of the 1024 tokens of a batch, found 24",
        ),
        (
            "[{length=64,share=0.5},{length=64,share=0.5}]",
            "different lengths, found 64 twice",
        ),
        (
            "[{length=16,share=0},{length=64,share=1}]",
            "a share above 0, at most 1, found 0",
        ),
        ("[{length=16,part=0.5}]", "unknown key"),
    ] {
        refused(&mixed(list), words);
    }
    // The longest is the trained length where none is given.
    let text = GOOD.replace(
        "length = 64\nsteps",
        "lengths = [{length=16,share=0.5},{length=128,share=0.5}]\nsteps",
    );
    let loaded = good(&text, &["~studies.retrieval"]);
    assert_eq!(loaded.run.studies[0].1.train.length, 128);
}

#[test]
fn a_mask_is_a_share_and_a_token() {
    let mask = |table: &str| format!("train.mask_inputs={table}");
    for (table, adds) in [
        ("{share=0.15,token=\"added\"}", true),
        ("{share=0.15,token=3}", false),
    ] {
        let found = good(GOOD, &[&mask(table)]).run.studies[0]
            .1
            .train
            .mask_inputs;
        assert_eq!(found.map(|mask| mask.adds_entry()), Some(adds));
    }
    for (table, words) in [
        ("{share=1,token=3}", "a share from 0 to below 1, found 1"),
        ("{share=0.15}", "missing"),
        ("{share=0.15,token=\"other\"}", "a token id or \"added\""),
        ("0.15", "train.mask_inputs"),
    ] {
        refused(&mask(table), words);
    }
    let tuned = "schemes.pi-x4.pi.finetune.mask_inputs={share=0.1,token=\"added\"}";
    refused(tuned, "train.mask_inputs alone adds an entry");
    good(GOOD, &[tuned, &mask("{share=0.15,token=\"added\"}")]);
}

#[test]
fn stages_leave_out_what_stands_beside_their_list() {
    let tuned = |table: &str| format!("schemes.pi-x4.pi.finetune={table}");
    let argument = tuned(
        "{lr=1e-3,times=4,stages=[{steps=5,times=2,settings={factor=2}},{steps=7},{steps=1,lr=2e-3}]}",
    );
    let found = good(GOOD, &[&argument]).run.schemes[2]
        .finetune
        .clone()
        .unwrap();
    let each = found.each();
    let told: Vec<_> = each.iter().map(|f| (f.steps, f.window(64), f.lr)).collect();
    assert_eq!(
        told,
        [
            (5, 128, Some(1e-3)),
            (7, 256, Some(1e-3)),
            (1, 256, Some(2e-3))
        ]
    );
    for (table, words) in [
        ("{times=4}", "finetune.steps: expected at least 1"),
        (
            "{steps=5,stages=[{steps=5}]}",
            "finetune.steps: expected it in each stage alone",
        ),
        (
            "{stages=[{times=2}]}",
            "finetune.stages.0.steps: expected at least 1",
        ),
        (
            "{stages=[{steps=5,settings={factor=2}}]}",
            "none in the last stage",
        ),
        (
            "{steps=5,settings={factor=2}}",
            "finetune.settings: expected them in a stage",
        ),
        (
            "{stages=[{steps=5,lora={rank=2}},{steps=5}]}",
            "finetune.stages.0.lora: expected it beside the list",
        ),
        (
            "{stages=[{steps=5,settings={factr=2}},{steps=5}]}",
            "finetune.stages.0.settings.factr: unknown key",
        ),
        (
            "{stages=[{steps=5,settings={factor=-2}},{steps=5}]}",
            "finetune.stages.0.settings.factor: expected",
        ),
        (
            "{steps=5,lengths=[{length=64,share=0.5},{length=48,share=0.5}]}",
            "divisors of the 1024 tokens",
        ),
        (
            "{steps=5,times=4,lengths=[{length=64,share=1}]}",
            "expected its longest to be the 256 tokens",
        ),
        (
            "{steps=5,keep_short=-1}",
            "a finite weight, 0 or more, found -1",
        ),
        (
            "{steps=5,keep_short=1,teacher={weight=1}}",
            "`teacher` or `keep_short`, not both",
        ),
        (
            "{steps=5,teacher={weight=2}}",
            "a weight above 0, at most 1, found 2",
        ),
        (
            "{steps=5,teacher={weight=1,temperature=0}}",
            "a finite number above 0, found 0",
        ),
    ] {
        refused(&tuned(table), words);
    }
    refused(
        "train.teacher={weight=1}",
        "a model (a folder of a checkpoint, or RUN:CELL)",
    );
}

#[test]
fn a_scheme_goes_on_from_the_weights_of_any_other_by_fine_tuning() {
    let text = format!("{GOOD}[schemes.t.tape]\nextends = \"rope\"\nfinetune = {{ steps = 3 }}\n");
    let scheme = &good(&text, &[]).run.schemes[3];
    assert_eq!(
        (scheme.base.as_deref(), &scheme.settings["base"]),
        (Some("rope"), &serde_json::json!(500.0))
    );
    let told = bad(&text, &["~schemes.t.tape.finetune"]).join("\n");
    assert!(
        told.contains("takes no base without a `finetune`"),
        "{told}"
    );
    let told = bad(&text, &["schemes.t.tape.extends=pi-x4"]).join("\n");
    assert!(told.contains("is an extension itself"), "{told}");
    let told = bad(&text, &["schemes.rope.rope.partial=0.5"]).join("\n");
    assert!(
        told.contains("it has no setting `partial`, and these weights were trained with 0.5"),
        "{told}"
    );
}

#[test]
fn packed_documents_are_one_text_unless_it_is_said() {
    let with = |documents: &'static str| vec!["data.pack=true", documents];
    good(GOOD, &with("data.documents=restart"));
    refused(
        "data.documents=mask",
        "\"join\", or pack = true beside it, found mask without packing",
    );
    let told = bad(
        GOOD,
        &[
            with("data.documents=mask"),
            vec!["train.positions={skip={target=128}}"],
        ]
        .concat(),
    );
    assert!(told.join("\n").contains("expected \"join\""), "{told:?}");
}
