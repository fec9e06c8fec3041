//! Checkpoints whose files are not what their names say: links, pipes, devices, lengths that look like something else,
//! broken tokenizers, numbers that are none.

use farspan::checkpoint::config;
use farspan::checkpoint::files::Files;
use farspan::checkpoint::text::Tokenizer;
use farspan::model::Decoder;
use farspan_acceptance::farspan;
use farspan_acceptance::tiny::{file, folder, framed, llama, tensors, write};
use farspan_attention::Device;
use farspan_pe::Registry;
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

fn open(dir: &Path) -> Result<Decoder, String> {
    farspan::checkpoint::open(dir, &Registry::builtin(), None, &Device::cpu())
        .map_err(|e| e.to_string())
}

fn refused(dir: &TempDir, words: &[&str]) {
    let message = open(dir.path()).expect_err("a checkpoint that is refused");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

fn sound() -> TempDir {
    folder(&llama(), &file(&tensors()))
}

/// `weights` with a header that is filled up with spaces to `length` bytes.
fn lengthened(weights: &[u8], length: usize) -> Vec<u8> {
    let own = u64::from_le_bytes(weights[..8].try_into().expect("eight bytes")) as usize;
    let text = std::str::from_utf8(&weights[8..8 + own]).expect("a header");
    let filled = [text, &" ".repeat(length - own)].concat();
    framed(&filled, &weights[8 + own..])
}

#[test]
fn a_header_whose_length_looks_like_a_pickle_is_read() {
    let weights = file(&tensors());
    // The bytes 80 02, 80 03, 80 04 and 80 05 start pickles as well.
    for kind in 2..=5usize {
        let weights = lengthened(&weights, 0x10080 + 0x100 * kind);
        assert_eq!(weights[..2], [0x80, kind as u8]);
        open(folder(&llama(), &weights).path()).expect("a sound checkpoint");
    }
    refused(
        &folder(&llama(), b"\x80\x04\x95pickled data"),
        &["zip or pickle"],
    );
    refused(&folder(&llama(), &framed("[1, 2]", &[])), &["header"]);
}

#[test]
fn headers_that_claim_more_than_there_is_allocate_nothing() {
    for claim in [99_000_000u64, 100_000_001, 1 << 40, u64::MAX] {
        let bytes = [&claim.to_le_bytes()[..], b"{}"].concat();
        refused(&folder(&llama(), &bytes), &["claims", "model.safetensors"]);
    }
}

#[test]
fn empty_and_half_files_are_refused() {
    refused(&folder(&llama(), b""), &["found 0 bytes"]);
    let dir = sound();
    write(&dir, "config.json", b"");
    refused(&dir, &["config.json", "not a JSON config"]);
    write(&dir, "config.json", &[0xff, 0xfe, b'{', b'}']);
    refused(&dir, &["config.json", "not a JSON config"]);
    write(&dir, "config.json", b"[]");
    refused(&dir, &["expected a JSON table"]);
    write(&dir, "config.json", "[".repeat(100_000).as_bytes());
    refused(&dir, &["config.json", "not a JSON config"]);
    write(
        &dir,
        "config.json",
        br#"{"model_type": "llama", "hidden_size": NaN}"#,
    );
    refused(&dir, &["config.json", "not a JSON config"]);
    std::fs::remove_file(dir.path().join("config.json")).expect("removal");
    refused(&dir, &["config.json"]);
}

#[cfg(unix)]
#[test]
fn only_regular_files_are_read_and_links_to_them() {
    use std::os::unix::fs::symlink;
    let replaced = |name: &str, target: &str| {
        let dir = sound();
        write(&dir, "tokenizer.json", b"{}");
        std::fs::remove_file(dir.path().join(name)).expect("removal");
        symlink(target, dir.path().join(name)).expect("a link");
        dir
    };
    for name in ["config.json", "model.safetensors"] {
        refused(&replaced(name, "/dev/zero"), &[name, "regular file"]);
        refused(&replaced(name, "."), &[name, "regular file"]);
        // A link to itself.
        refused(&replaced(name, name), &[name]);
    }
    let endless = replaced("tokenizer.json", "/dev/zero");
    let error = Tokenizer::open(endless.path())
        .expect_err("no end")
        .to_string();
    assert!(error.contains("regular file"), "{error}");
    // Caches of downloads consist of links.
    let dir = sound();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir(at("blobs")).expect("a folder");
    std::fs::rename(at("model.safetensors"), at("blobs/1f")).expect("a move");
    symlink("blobs/1f", at("model.safetensors")).expect("a link");
    open(dir.path()).expect("a sound checkpoint");
    // An index cannot name a device either.
    let dir = folder(&llama(), b"");
    std::fs::remove_file(dir.path().join("model.safetensors")).expect("removal");
    symlink("/dev/zero", dir.path().join("a.safetensors")).expect("a link");
    let map = json!({"weight_map": {"model.norm.weight": "a.safetensors"}});
    write(
        &dir,
        "model.safetensors.index.json",
        map.to_string().as_bytes(),
    );
    refused(&dir, &["a.safetensors", "regular file"]);
}

#[test]
fn numbers_that_are_none_are_read_only_where_that_was_asked_for() {
    let mut weights = file(&tensors());
    let end = weights.len();
    weights[end - 4..].copy_from_slice(&f32::INFINITY.to_le_bytes());
    let dir = folder(&llama(), &weights);
    refused(&dir, &["model.norm.weight", "number 3 is inf"]);
    let files = Files::open(dir.path())
        .expect("headers")
        .with_non_finite(true);
    let model = farspan::checkpoint::of_files(&files, &Registry::builtin(), None, &Device::cpu());
    model.expect("a checkpoint as it is");
    write(&dir, "ids.json", b"[0, 1, 2]");
    let run = |more: &[&str]| {
        let ids = dir.path().join("ids.json").display().to_string();
        let out = dir.path().join("out.safetensors").display().to_string();
        let model = dir.path().display().to_string();
        let mut command = farspan(&["logits", "--model", &model, "--ids", &ids, "--out", &out]);
        command.args(more).output().expect("a run").status.code()
    };
    assert_eq!(run(&[]), Some(65));
    assert_eq!(run(&["--allow-non-finite"]), Some(0));
}

#[test]
fn tokenizers_that_cannot_be_read_or_do_not_fit_are_refused() {
    let dir = sound();
    let fails = |text: &[u8]| {
        write(&dir, "tokenizer.json", text);
        let error = Tokenizer::open(dir.path()).expect_err("a broken tokenizer");
        assert_eq!(error.exit_code(), 65, "{error}");
        assert!(error.to_string().contains("tokenizer.json"), "{error}");
    };
    fails(b"");
    fails(b"{}");
    fails(&[0xff, 0x00]);
    fails("[".repeat(100_000).as_bytes());
    fails(br#"{"version": "1.0", "model": {"type": "Unheard", "vocab": {}}}"#);
    // Ids that the model has no embedding for.
    let more = json!({
        "version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 7}, "unk_token": "b"},
    });
    write(&dir, "tokenizer.json", more.to_string().as_bytes());
    write(&dir, "text.txt", b"b b b b");
    let output = farspan(&["eval", "--lengths", "2", "--out"])
        .arg(dir.path().join("run"))
        .arg("--model")
        .arg(dir.path())
        .arg(dir.path().join("text.txt"))
        .output()
        .expect("a run");
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(65), "{message}");
    for words in ["test part", "tokenizer.json", "\"b\"", "id 7", "below 3"] {
        assert!(message.contains(words), "{message}");
    }
    // As long as no such token occurs, they do not matter.
    write(&dir, "text.txt", b"a a a a");
    let output = farspan(&["eval", "--lengths", "2", "--out"])
        .arg(dir.path().join("run"))
        .arg("--model")
        .arg(dir.path())
        .arg(dir.path().join("text.txt"))
        .output()
        .expect("a run");
    assert_eq!(output.status.code(), Some(0));
}

/// The library behind `tokenizer.json` panics when it reads the first, cuts a text with the second and joins tokens
/// with the third.
#[test]
fn tokenizers_under_which_their_library_panics_end_commands_in_words() {
    let dir = sound();
    write(&dir, "text.txt", b"a a a a");
    let model = dir.path().display().to_string();
    let text = dir.path().join("text.txt").display().to_string();
    let words =
        r#""version":"1.0","model":{"type":"WordLevel","vocab":{"a":0,"b":1},"unk_token":"b"}"#;
    let run = dir.path().join("run").display().to_string();
    let eval = [
        "eval",
        "--lengths",
        "2",
        "--out",
        &run,
        "--model",
        &model,
        &text,
    ];
    let generate = [
        "generate", "--tokens", "1", "--model", &model, "--prompt", "a",
    ];
    for (json, command) in [
        ("{\"decoder\":{".to_string(), &eval[..]),
        (
            format!("{{{words},\"pre_tokenizer\":{{\"type\":\"FixedLength\",\"length\":0}}}}"),
            &eval,
        ),
        (
            format!(
                "{{{words},\"decoder\":{{\"type\":\"Strip\",\"content\":\"a\",\"start\":1,\"stop\":1}}}}"
            ),
            &generate,
        ),
    ] {
        write(&dir, "tokenizer.json", json.as_bytes());
        let output = farspan(command).output().expect("a run");
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(65), "{json}: {message}");
        assert!(message.contains("tokenizer.json"), "{json}: {message}");
        assert!(!message.contains("a bug in farspan"), "{json}: {message}");
    }
}

/// What a config of a Llama with these changes means, or why it is refused.
fn read(changes: &Value) -> Result<config::Understood, String> {
    let mut object = llama();
    for (key, value) in changes.as_object().expect("changes") {
        object[key] = value.clone();
    }
    let text = object.to_string();
    config::parse(Path::new("config.json"), text.as_bytes()).map_err(|e| e.to_string())
}

#[test]
fn keys_of_published_configs_are_understood_and_their_other_values_refused() {
    // SmolLM, Qwen2.5, configs from converters, and an early extension by YaRN.
    let sound = json!({
        "is_llama_config": true, "rope_interleaved": false, "max_sequence_length": 2048,
        "pruned_heads": {}, "num_labels": 2, "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16"}}, "tie_encoder_decoder": false,
        "rope_scaling": {"factor": 16, "original_max_position_embeddings": 16, "type": "yarn", "finetuned": true},
    });
    read(&sound).expect("a sound config");
    let error = read(&json!({"pruned_heads": {"0": [1]}})).expect_err("a head less");
    assert!(error.contains("pruned_heads"), "{error}");
    let none = json!({"rope_scaling": {"rope_type": "longrope", "long_factor": [], "short_factor": [1.0]}});
    let error = read(&none).expect_err("no divisors");
    assert!(error.contains("rope_scaling.long_factor"), "{error}");
    let error = read(&json!({"rope_interleaved": true})).expect_err("other pairs");
    assert!(error.contains("rope_interleaved"), "{error}");
    let error = read(&json!({"partial_rotary_factor": 0.5})).expect_err("half a head");
    assert!(error.contains("whole heads"), "{error}");
    let inner = json!({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}});
    let error = read(&inner).expect_err("half a head");
    assert!(error.contains("whole heads"), "{error}");
    let lists = json!({"rope_scaling": {
        "rope_type": "longrope", "factor": 2, "long_factor": [1.0, 2.0, 3.0], "short_factor": [1.0],
    }});
    let dir = folder(&llama(), &file(&tensors()));
    let mut config = llama();
    config["rope_scaling"] = lists["rope_scaling"].clone();
    write(&dir, "config.json", config.to_string().as_bytes());
    let error = open(dir.path()).err();
    let reach = |model: &Decoder| model.run(&[0, 1, 2], 8, |_, _| Ok(())).err();
    let error = error.or_else(|| {
        let model = open(dir.path()).expect("a model");
        reach(&model).map(|e| e.to_string())
    });
    let error = error.expect("a list of the wrong length");
    assert!(error.contains("_factors"), "{error}");
}

#[test]
fn names_that_come_twice_and_sizes_beyond_reason_are_refused() {
    let parsed = |text: &str| {
        let read = config::parse(Path::new("config.json"), text.as_bytes());
        read.expect_err(text).to_string()
    };
    let twice = llama().to_string().replace("{", "{\"vocab_size\":5,");
    assert!(parsed(&twice).contains("\"vocab_size\" comes twice"));
    let inner =
        r#"{"model_type": "llama", "rope_scaling": {"type": "linear", "factor": 2, "factor": 8}}"#;
    assert!(parsed(inner).contains("\"factor\" comes twice"));
    // Tables of frequencies and slopes have one number per channel and per head.
    let most = u64::from(u32::MAX) + 1;
    for (key, changes) in [
        ("head_dim", json!({"head_dim": most})),
        (
            "num_attention_heads",
            json!({"num_attention_heads": most, "head_dim": 2}),
        ),
        (
            "num_attention_heads",
            json!({"num_attention_heads": most, "num_key_value_heads": most, "head_dim": most}),
        ),
    ] {
        let error = read(&changes).expect_err("too many");
        assert!(error.contains(key) && error.contains("at most"), "{error}");
    }
}

#[test]
fn descriptions_of_tensors_are_refused_by_name() {
    let fails = |entry: Value| {
        let text = json!({ "some.weight": entry }).to_string();
        let error = farspan::checkpoint::header::header(text.as_bytes(), 8).expect_err(&text);
        assert!(error.contains("\"some.weight\""), "{error}");
        error
    };
    let shape = fails(json!({"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}));
    assert!(shape.contains("-2"), "{shape}");
    let offsets = fails(json!({"dtype": "F32", "shape": [2], "data_offsets": [0.0, 8.0]}));
    assert!(offsets.contains("0.0"), "{offsets}");
    fails(json!({"dtype": "F32", "shape": [2], "data_offsets": [0, 4, 8]}));
    fails(json!({"dtype": "f32", "shape": [2], "data_offsets": [0, 8]}));
    fails(json!({"shape": [2], "data_offsets": [0, 8]}));
    fails(json!("F32"));
    let texts = farspan::checkpoint::header::header(br#"{"__metadata__": {"format": 1}}"#, 0);
    let error = texts.expect_err("a number");
    assert!(error.contains("__metadata__"), "{error}");
}

#[test]
fn settings_that_a_scheme_refuses_are_faults_of_the_config() {
    for (changes, word) in [
        (json!({"rope_theta": 1}), "base"),
        (
            json!({"rope_scaling": {"type": "yarn", "factor": 4, "beta_fast": 1, "beta_slow": 32}}),
            "beta_slow",
        ),
        (
            json!({"rope_scaling": {"type": "longrope", "long_factor": [1, -1], "short_factor": [1]}}),
            "long_factors[1]",
        ),
    ] {
        let mut config = llama();
        for (key, value) in changes.as_object().expect("changes") {
            config[key] = value.clone();
        }
        let dir = folder(&config, &file(&tensors()));
        let opened =
            farspan::checkpoint::open(dir.path(), &Registry::builtin(), None, &Device::cpu());
        let error = opened.expect_err("settings that are refused");
        assert_eq!(error.exit_code(), 65, "{error}");
        let text = error.to_string();
        assert!(
            text.contains("config.json") && text.contains(word),
            "{text}"
        );
    }
}

#[test]
fn absent_keys_mean_what_the_reference_takes_them_for() {
    let family = |name: &str, more: Value| {
        let mut object = json!({
            "model_type": name, "hidden_size": 64, "intermediate_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 32, "vocab_size": 8, "max_position_embeddings": 16,
        });
        for (key, value) in more.as_object().expect("keys") {
            object[key] = value.clone();
        }
        let text = object.to_string();
        let read = config::parse(Path::new("config.json"), text.as_bytes());
        let architecture = read.expect("a sound config").architecture;
        let g = architecture.geometry;
        (
            (g.kv_heads, g.head_dim),
            architecture.norm_eps,
            architecture.tied,
        )
    };
    assert_eq!(family("llama", json!({})), ((32, 2), 1e-6, false));
    assert_eq!(family("mistral", json!({})), ((8, 2), 1e-6, false));
    assert_eq!(
        family("mistral", json!({"num_key_value_heads": null})),
        ((32, 2), 1e-6, false)
    );
    assert_eq!(family("qwen3", json!({})), ((32, 128), 1e-6, false));
    assert_eq!(family("phi3", json!({})), ((32, 2), 1e-5, false));
    assert_eq!(family("gemma2", json!({})), ((4, 256), 1e-6, true));
}
