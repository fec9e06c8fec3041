//! Prompts in words for checkpoints: what is asked, what is read off the model, and how it is scored.

use farspan::checkpoint::text::Tokenizer;
use farspan::model::generate::{Choice, generate};
use farspan_acceptance::checkpoints::{Place, losses, open};
use farspan_acceptance::{farspan, text};
use farspan_reports::record::{CellRecord, Samples};
use farspan_reports::store::RunDir;
use serde_json::{Value, json};

fn config(more: &str) -> String {
    format!(
        "name = \"words\"\nmodel = {{ checkpoint = \"model\" }}\n\
         data = {{ files = [\"text.txt\"], test = 0.3 }}\n[schemes.rope.rope]\n\
         [evaluate.perplexity]\nlengths = [32]\nsegments = 1\n[evaluate.words]\n{more}\n"
    )
}

/// The samples of the run's only cell that are of words.
fn asked(place: &Place, more: &str, out: &str) -> (CellRecord, Vec<Value>) {
    std::fs::write(place.path("words.toml"), config(more)).expect("a config");
    let (code, text) = place.run(&["run", "words.toml", "--out", out]);
    assert_eq!(code, 0, "{text}");
    let record = place.records(out).remove(0);
    let dir = RunDir::open(&place.path(out)).expect("a run");
    let mut samples = dir.samples(&record.id).expect("samples");
    samples.retain(|line| line["measure"] == "words");
    (record, samples)
}

/// What a sample says was written is what the model writes when asked alone, and what a file of such prompts gives.
#[test]
fn what_is_written_is_what_generate_writes() {
    let place = Place::make();
    let more = "tasks = [\"passkey\"]\nlengths = [400]\nprompts = 2\ngrid = { depth = [0.0, 1.0] }";
    let (record, samples) = asked(&place, more, "own");
    let found = record.measured("words", "passkey", "").expect("answers");
    assert_eq!(
        found.points.iter().map(|p| p.at[0]).collect::<Vec<_>>(),
        [0.0, 1.0]
    );
    assert_eq!(found.samples, Samples::Trials);
    // The key stands farther away the earlier it stands.
    assert!(found.points[0].facts["distance"] > found.points[1].facts["distance"]);
    assert_eq!(samples.len(), 4);
    let model = open(&place.path("model"), None);
    let tokenizer = Tokenizer::open(&place.path("model")).expect("a tokenizer");
    let mut lines = String::new();
    for sample in &samples {
        let prompt = sample["prompt"].as_str().expect("a prompt");
        let ids = tokenizer.beginning("prompt", prompt).expect("tokens").ids;
        assert!(ids.len() < 400, "{}", ids.len());
        let all = generate(&model, &ids, 4, Choice::Greedy, (0, 64), |_| Ok(true)).expect("a text");
        let said = tokenizer.text(&all).expect("text");
        let said = said
            .strip_prefix(&tokenizer.text(&ids).expect("text"))
            .expect("the prompt");
        let told = sample["said"].as_str().expect("an answer");
        assert!(told.starts_with(said), "{told:?}, {said:?}");
        lines += &format!(
            "{}\n",
            json!({ "input": prompt, "outputs": sample["references"] })
        );
    }
    std::fs::write(place.path("mine.jsonl"), lines).expect("prompts");
    let more =
        "tasks = [{ prompts = \"mine.jsonl\", max_new_tokens = 9 }]\nscorer = \"first-integer\"";
    let (record, again) = asked(&place, more, "file");
    let file = record.measured("words", "mine", "").expect("answers");
    assert_eq!(file.points.len(), 1);
    for (a, b) in samples.iter().zip(&again) {
        assert_eq!(a["prompt"], b["prompt"]);
        let (a, b) = (a["said"].as_str().unwrap(), b["said"].as_str().unwrap());
        assert!(a.starts_with(b) || b.starts_with(a), "{a:?}, {b:?}");
    }
}

/// `eval` asks without a text what a config asks beside one.
#[test]
fn the_command_line_asks_what_a_config_asks() {
    let place = Place::make();
    let more = "tasks = [\"passkey\", { passkey = { digits = 3 } }]\nlengths = [400, 420]\nprompts = 2\n\
                grid = { depth = [0.0, 1.0] }\nscorer = \"part\"";
    let (record, samples) = asked(&place, more, "own");
    let eval = |more: &[&str]| {
        let args = [&["eval", "--model", "model", "--json"][..], more].concat();
        let output = farspan(&args).current_dir(place.folder()).output();
        let output = output.expect("a run");
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    };
    let lengths = ["--lengths", "420,400", "--out", "cli"];
    let tasks = ["--tasks", "passkey,passkey,digits=3", "--scorer", "part"];
    let grid = ["--grid", "depth=[0.0, 1.0]", "--count", "2"];
    let found = eval(&[&lengths[..], &tasks, &grid].concat());
    let again = place.records("cli").remove(0);
    let of_words = |record: &CellRecord| {
        let all = record.measures.iter().filter(|m| m.measure == "words");
        all.cloned().collect::<Vec<_>>()
    };
    assert_eq!(of_words(&record), again.measures);
    assert_eq!(again.data.description, "no text");
    let dir = RunDir::open(&place.path("cli")).expect("a run");
    assert_eq!(samples, dir.samples(&again.id).expect("samples"));
    let rows = found["rows"].as_array().expect("rows");
    let named: Vec<_> = rows
        .iter()
        .map(|r| json!([r["of"], r["length"], r["prompts"]]))
        .collect();
    let expected = [
        json!(["passkey", 400, 4]),
        json!(["passkey", 420, 4]),
        json!(["passkey/2", 400, 4]),
        json!(["passkey/2", 420, 4]),
    ];
    assert_eq!(named, expected);
    for row in rows {
        let mine = samples
            .iter()
            .filter(|s| s["of"] == row["of"] && s["length"] == row["length"]);
        let right: Vec<f64> = mine
            .map(|s| s["right"].as_f64().expect("a share"))
            .collect();
        assert_eq!(row["right"], right.iter().sum::<f64>() / 4.0);
    }
    let line = |s: &Value| {
        format!(
            "{}\n",
            json!({"input": s["prompt"], "outputs": s["references"]})
        )
    };
    let lines: String = samples[..3].iter().map(line).collect();
    std::fs::write(place.path("mine.jsonl"), lines).expect("prompts");
    let found = eval(&[
        "--prompts",
        "mine.jsonl",
        "--max-new-tokens",
        "9",
        "--by",
        "likelihood",
    ]);
    assert_eq!(found["rows"][0]["of"], "mine");
    assert_eq!(found["rows"][0]["prompts"], 3);
    for (wrong, words) in [
        (&["--lengths", "400"][..], "required"),
        (&["--tasks", "passkey"], "--lengths"),
        (
            &["--tasks", "passkey", "--lengths", "400", "text.txt"],
            "cannot be used",
        ),
        (
            &["--tasks", "digits=3", "--lengths", "400"],
            "expected ID,KEY=VALUE",
        ),
        (
            &["--tasks", "passkeys", "--lengths", "400"],
            "a task in words (passkey,",
        ),
        (
            &["--tasks", "passkey", "--lengths", "400", "--scorer", "some"],
            "first-integer",
        ),
        (
            &["--by", "likelihood", "--lengths", "32", "text.txt"],
            "--by is for",
        ),
    ] {
        let (code, said) = place.run(&[&["eval", "--model", "model"], wrong].concat());
        assert!(
            code == 2 && said.contains(words),
            "{wrong:?}: {code} {said}"
        );
    }
}

/// A checkpoint that is to be read has text.
#[test]
fn only_words_do_without_a_text() {
    let place = Place::make();
    let head = "name = \"words\"\nmodel = { checkpoint = \"model\" }\n[schemes.rope.rope]\n";
    for (more, words) in [
        ("", "or [evaluate.words], found none of them"),
        (
            "[evaluate.perplexity]\nlengths = [32]\n",
            "no text to take a perplexity of",
        ),
        (
            "[evaluate.long_ppl]\nlengths = [32]\n",
            "could need a long context",
        ),
    ] {
        std::fs::write(place.path("words.toml"), format!("{head}{more}")).expect("a config");
        let (code, said) = place.run(&["run", "words.toml", "--out", "refused"]);
        assert!(code == 2 && said.contains(words), "{more}: {code} {said}");
        assert!(!place.path("refused").exists(), "{more}");
    }
}

/// The log-probability of an answer is the sum over its tokens, read from the losses of the whole text.
#[test]
fn likelihoods_are_sums_over_the_answer() {
    let place = Place::make();
    let more = "tasks = [\"passkey\"]\nlengths = [400]\nprompts = 3\ngrid = { depth = [0.5] }\nby = \"likelihood\"";
    let (record, samples) = asked(&place, more, "likely");
    let found = record.measured("words", "passkey", "").expect("answers");
    let tokenizer = Tokenizer::open(&place.path("model")).expect("a tokenizer");
    let model = open(&place.path("model"), None);
    let log_probs = &found.points[0].columns["log-probability"].0;
    for (sample, found) in samples.iter().zip(log_probs) {
        let prompt = sample["prompt"].as_str().expect("a prompt");
        let answer = format!(" {}", sample["references"][0].as_str().expect("a key"));
        let ids = tokenizer.beginning("prompt", &format!("{prompt}{answer}"));
        let ids = ids.expect("tokens").ids;
        let all = losses(&model, &ids);
        // One token for each character.
        let expected: f64 = -all[all.len() - answer.len()..].iter().sum::<f64>();
        assert!((found - expected).abs() < 1e-3, "{found}, {expected}");
    }
}

#[test]
fn prompts_that_cannot_be_asked_are_refused_before_any_work() {
    let place = Place::make();
    std::fs::write(
        place.path("bare.jsonl"),
        "{\"input\": \"1\", \"outputs\": []}\n",
    )
    .expect("a file");
    std::fs::write(place.path("torn.jsonl"), "{\"input\": \"1\"\n").expect("a file");
    for (more, words) in [
        ("tasks = []", "tasks: expected at least one task"),
        ("tasks = [\"passkeys\"]", "a task in words (passkey,"),
        ("tasks = [{ passkey = { digits = 0 } }]", "tasks.0"),
        ("tasks = [\"passkey\"]\nlengths = [16]", "it takes at least"),
        (
            "tasks = [\"passkey\"]\ngrid = { place = 2 }",
            "a factor of these tasks (depth)",
        ),
        ("tasks = [{ prompts = \"none.jsonl\" }]", "none.jsonl"),
        (
            "tasks = [{ prompts = \"bare.jsonl\", max_new_tokens = 3 }]",
            "line 1",
        ),
        (
            "tasks = [{ prompts = \"torn.jsonl\", max_new_tokens = 3 }]",
            "line 1",
        ),
    ] {
        std::fs::write(place.path("words.toml"), config(more)).expect("a config");
        let (code, text) = place.run(&["run", "words.toml", "--out", "refused"]);
        assert!(
            code == 2 || code == 65 || code == 66,
            "{more}: {code} {text}"
        );
        assert!(text.contains(words), "{more}: {text}");
        assert!(!place.path("refused").exists(), "{more}");
    }
    let path = place.path("model/tokenizer.json");
    let text = std::fs::read(&path).expect("a tokenizer");
    let mut tokenizer: Value = serde_json::from_slice(&text).expect("JSON");
    let vocab = tokenizer["model"]["vocab"]
        .as_object_mut()
        .expect("a vocabulary");
    ('0'..='9').for_each(|digit| drop(vocab.remove(&digit.to_string())));
    std::fs::write(&path, tokenizer.to_string()).expect("a file");
    let more = "tasks = [\"passkey\"]\nlengths = [400]";
    std::fs::write(place.path("words.toml"), config(more)).expect("a config");
    let (code, text) = place.run(&["run", "words.toml", "--out", "refused"]);
    assert!(code == 65 && text.contains("cannot spell"), "{code} {text}");
}

/// Other prompts under the same name are another cell, and a run is not gone on with over them.
#[test]
fn files_of_prompts_are_a_part_of_what_a_cell_is() {
    let place = Place::make();
    let line = |answer: &str| format!("{{\"input\": \"One and \", \"outputs\": [\"{answer}\"]}}\n");
    let more = "tasks = [{ prompts = \"mine.jsonl\", max_new_tokens = 2 }]";
    std::fs::write(place.path("mine.jsonl"), line("two")).expect("prompts");
    let (first, _) = asked(&place, more, "first");
    std::fs::write(place.path("mine.jsonl"), line("ten")).expect("prompts");
    let (code, text) = place.run(&["run", "words.toml", "--out", "first"]);
    assert!(
        code == 2 && text.contains("a run of another config"),
        "{code} {text}"
    );
    let (second, _) = asked(&place, more, "second");
    assert_ne!(first.id, second.id);
    let cell = place.path("first").join("cells").join(&first.id);
    std::fs::remove_dir_all(cell).expect("a cell");
    let (code, text) = place.run(&["work", "first", "--tries", "1"]);
    assert!(code == 1 && text.contains("1 failed"), "{code} {text}");
    let dir = RunDir::open(&place.path("first")).expect("a run");
    let status = dir.status(&first.id).expect("a status").expect("one");
    let reason = status.reason.unwrap_or_default();
    assert!(reason.contains("reads to measure"), "{reason}");
}

/// So are an evaluator's config, weights and tokenizer.
#[test]
fn an_evaluator_is_a_part_of_what_a_cell_is() {
    let place = Place::make();
    let text = config("tasks = [\"passkey\"]\nlengths = [400]\n")
        + "[evaluate.long_ppl]\nlengths = [32]\nevaluator = \"judge\"\n";
    std::fs::write(place.path("words.toml"), text).expect("a config");
    std::fs::create_dir(place.path("judge")).expect("a folder");
    for file in std::fs::read_dir(place.path("model")).expect("a model") {
        let path = file.expect("a file").path();
        let to = place.path("judge").join(path.file_name().expect("a name"));
        std::fs::copy(path, to).expect("a copy");
    }
    let planned = |out: &str| {
        let (code, text) = place.run(&["plan", "words.toml", "--out", out]);
        assert_eq!(code, 0, "{text}");
        let dir = RunDir::open(&place.path(out)).expect("a run");
        dir.plan().expect("a plan").cells.remove(0).id
    };
    let mut ids = vec![planned("as-it-was")];
    assert_eq!(planned("again"), ids[0]);
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        let path = place.path("judge").join(name);
        let mut bytes = std::fs::read(&path).expect("a file");
        match name {
            "model.safetensors" => *bytes.last_mut().expect("weights") ^= 1,
            _ => bytes.push(b'\n'),
        }
        std::fs::write(&path, bytes).expect("a file");
        ids.push(planned(name));
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4, "{ids:?}");
}

/// A forecast has the work of an evaluator, whose windows are not read by the model itself.
#[test]
fn an_evaluator_is_a_part_of_the_forecast() {
    let place = Place::make();
    let plan = |evaluator: &str| {
        let text = config("tasks = [\"passkey\"]\nlengths = [400]\n")
            + "[evaluate.long_ppl]\nlengths = [32]\nlong_context = 32\n"
            + evaluator;
        std::fs::write(place.path("words.toml"), text).expect("a config");
        let plan = place.printed(&["plan", "words.toml", "--json"]);
        let plan: Value = serde_json::from_str(&plan).expect("JSON");
        plan["cells"][0].clone()
    };
    let (alone, judged) = (plan(""), plan("evaluator = \"model\"\n"));
    // The same model reads the same windows, as a judge beside itself.
    assert_eq!(alone["flops"], judged["flops"]);
    assert_eq!(alone["measured_tokens"], judged["measured_tokens"]);
    assert!(judged["memory_bytes"].as_f64() >= alone["memory_bytes"].as_f64());
}
