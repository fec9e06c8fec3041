//! Mistakes in what a study asks of its task.

use super::*;

#[test]
fn what_a_task_cannot_be_asked_is_a_mistake() {
    let with = |task: &str, asked: &str| {
        let task = format!("task = {task}");
        let asked = format!("evaluate.task = {{ {asked} }}");
        let text = GOOD.replace("task = \"passkey\"", &task);
        text.replace("evaluate.task = { lengths = [64] }", &asked)
    };
    for (task, asked, words) in [
        ("\"pass-key\"", "lengths = [64]", "did you mean `passkey`?"),
        (
            "{ passkey = { digits = 11 } }",
            "lengths = [64]",
            "studies.retrieval.task.passkey.digits: expected 1 to 10, as no digit comes twice, found 11",
        ),
        (
            "{ passkey = { digit = 3 } }",
            "lengths = [64]",
            "task.passkey.digit: expected one of its settings (digits, distinct, filler, fillers), found no such",
        ),
        (
            "{ passkey = { digits = \"x\" } }",
            "lengths = [64]",
            "task.passkey.digits: expected a whole number, 0 or more, found \"x\"",
        ),
        ("{ passkey = {}, copy = {} }", "lengths = [64]", "one table"),
        (
            "\"passkey\"",
            "lengths = [64], grid = { place = 3 }",
            "evaluate.task.grid.place: expected a factor of passkey (depth), found place",
        ),
        (
            "\"passkey\"",
            "lengths = [64], grid = { depth = [0.5, 0.2] }",
            "grid.depth: expected rising shares from 0 to 1",
        ),
        (
            "\"passkey\"",
            "lengths = [16], grid = { depth = 11 }",
            "expected values that differ at 16 tokens",
        ),
        (
            "\"passkey\"",
            "lengths = [64], prompts = 0",
            "expected 1 to 100000, found 0",
        ),
        (
            "\"passkey\"",
            "lengths = [64], at_least = 0",
            "a fraction above 0",
        ),
        (
            "\"mqar\"",
            "lengths = [64], grid = { pairs = [32] }",
            "evaluate.task.lengths: expected lengths of at least 128",
        ),
        (
            "\"flip-flop\"",
            "lengths = [64], variants = { sparse = { ignore = 2 } }",
            "variants.sparse: expected settings of the task, found ignore: expected 0 to 1, found 2",
        ),
        (
            "\"copy\"",
            "lengths = [64], variants = { more = { symbols = 3 } }",
            "variants.more: expected as many symbols as the task has",
        ),
    ] {
        let found = bad(&with(task, asked), &[]);
        assert!(
            found.iter().any(|p| p.contains(words)),
            "{task} {asked}: {found:?}"
        );
    }
}
