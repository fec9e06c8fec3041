//! Models that are not in the Hugging Face cache, downloaded from a server of this test.
//!
//! `cargo build --release --features hub && cargo test --release -p farspan-acceptance --features hub --test hub`

#[path = "hub/site.rs"]
mod site;

use farspan_acceptance::{farspan, text, tiny};
use serde_json::json;
use site::{Shared, Site, hash, serve};
use std::collections::BTreeMap;
use std::io::BufRead;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const WEIGHTS: &str = "model.safetensors";

/// A server of `org/small`, and the cache of one who asks it.
struct Scene {
    site: Shared,
    home: TempDir,
}

impl Scene {
    fn new() -> Scene {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut files = BTreeMap::from([
            ("README.md".to_string(), b"words".to_vec()),
            ("pytorch_model.bin".to_string(), b"pickle".to_vec()),
            ("tokenizer_config.json".to_string(), b"{}".to_vec()),
        ]);
        files.insert("config.json".into(), tiny::llama().to_string().into_bytes());
        files.insert(WEIGHTS.into(), tiny::file(&tiny::tensors()));
        let site = Arc::new(Mutex::new(Site {
            port: listener.local_addr().unwrap().port(),
            files,
            ..Site::default()
        }));
        let shared = Arc::clone(&site);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &shared).unwrap();
            }
        });
        Scene {
            site,
            home: tempfile::tempdir().unwrap(),
        }
    }

    fn set(&self, change: impl FnOnce(&mut Site)) {
        change(&mut self.site.lock().unwrap());
    }

    /// Requests since the last question, one a line, or with headers.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.site.lock().unwrap().asked)
    }

    /// `farspan check MODEL`, with more of the environment.
    fn check(&self, model: &str, more: &[(&str, &str)]) -> Output {
        let port = self.site.lock().unwrap().port;
        let mut command = farspan(&["check", model]);
        for name in [
            "HF_HUB_CACHE",
            "HF_TOKEN",
            "HF_HUB_OFFLINE",
            "HTTP_PROXY",
            "ALL_PROXY",
        ] {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        command
            .current_dir(self.home.path())
            .env("HF_HOME", self.home.path())
            .env("HF_ENDPOINT", format!("http://127.0.0.1:{port}/"))
            .envs(more.iter().copied())
            .output()
            .unwrap()
    }

    fn fails(&self, model: &str, more: &[(&str, &str)], code: i32) -> String {
        let output = self.check(model, more);
        let words = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words}");
        words
    }

    fn works(&self, model: &str) {
        let output = self.check(model, &[]);
        let words = text(&output.stderr);
        assert!(output.status.success(), "{words}");
        assert!(
            text(&output.stdout).contains("136 numbers"),
            "{}",
            text(&output.stdout)
        );
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("hub/models--org--small")
    }

    fn snapshot(&self) -> Vec<String> {
        names(&self.folder().join("snapshots").join(COMMIT))
    }
}

fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_needed_is_downloaded_once_into_the_published_layout() {
    let scene = Scene::new();
    scene.works("org/small");
    assert_eq!(
        scene.snapshot(),
        ["config.json", WEIGHTS, "tokenizer_config.json"]
    );
    let reference = std::fs::read_to_string(scene.folder().join("refs/main")).unwrap();
    assert_eq!(reference, COMMIT);
    let blob = scene
        .folder()
        .join("blobs")
        .join(hash(&tiny::file(&tiny::tensors())));
    let weights = scene.folder().join("snapshots").join(COMMIT).join(WEIGHTS);
    assert_eq!(
        weights.canonicalize().unwrap(),
        blob.canonicalize().unwrap()
    );
    let asked = scene.asked();
    let expected = [
        "api/models",
        "config.json",
        "tokenizer_config.json",
        WEIGHTS,
        WEIGHTS,
    ];
    assert_eq!(asked.len(), expected.len(), "{asked:#?}");
    for (request, part) in asked.iter().zip(expected) {
        assert!(request.lines().next().unwrap().contains(part), "{request}");
    }
    // What is there is taken as it is, under each name of the commit.
    scene.works("org/small");
    scene.works(&format!("org/small@{COMMIT}"));
    assert_eq!(scene.asked(), [""; 0]);
}

#[test]
fn shards_are_those_of_the_index() {
    let scene = Scene::new();
    let tensors = tiny::tensors();
    let (first, second) = tensors.split_at(4);
    let map: BTreeMap<_, _> = tensors
        .iter()
        .map(|t| {
            (
                &t.0,
                if first.contains(t) {
                    "a.safetensors"
                } else {
                    "b.safetensors"
                },
            )
        })
        .collect();
    let index = json!({"weight_map": map}).to_string();
    scene.set(|site| {
        site.files.remove(WEIGHTS);
        site.files.insert("a.safetensors".into(), tiny::file(first));
        site.files
            .insert("b.safetensors".into(), tiny::file(second));
        site.files
            .insert("other.safetensors".into(), tiny::file(second));
        site.files
            .insert("model.safetensors.index.json".into(), index.into_bytes());
    });
    scene.works("org/small@v1.0");
    let mut expected = vec!["a.safetensors", "b.safetensors", "config.json"];
    expected.extend(["model.safetensors.index.json", "tokenizer_config.json"]);
    assert_eq!(scene.snapshot(), expected);
    assert_eq!(names(&scene.folder().join("refs")), ["v1.0"]);
}

#[test]
fn an_interrupted_download_leaves_no_snapshot_and_goes_on_where_it_ended() {
    let scene = Scene::new();
    scene.set(|site| site.cut = Some(300));
    let words = scene.fails("org/small", &[], 74);
    assert!(
        words.contains("model.safetensors of org/small, at 300 of"),
        "{words}"
    );
    assert_eq!(names(&scene.folder().join("snapshots")), [""; 0]);
    assert_eq!(names(&scene.folder().join("refs")), [""; 0]);
    scene.asked();
    scene.works("org/small");
    let asked = scene.asked();
    let last = asked.last().unwrap().to_lowercase();
    assert!(last.contains("range: bytes=300-"), "{last}");
    assert!(
        !asked.iter().any(|r| r.contains("config.json")),
        "{asked:#?}"
    );
    let left = names(&scene.folder().join("blobs"));
    assert!(
        !left.iter().any(|name| name.contains("incomplete")),
        "{left:?}"
    );
}

#[test]
fn other_bytes_than_were_promised_are_thrown_away() {
    let scene = Scene::new();
    scene.set(|site| site.wrong = true);
    let words = scene.fails("org/small", &[], 65);
    assert!(words.contains("sha256"), "{words}");
    assert_eq!(names(&scene.folder().join("snapshots")), [""; 0]);
    scene.set(|site| site.wrong = false);
    scene.works("org/small");
}

#[test]
fn a_snapshot_without_weights_is_completed_from_its_own_commit() {
    let scene = Scene::new();
    let snapshot = scene.folder().join("snapshots").join(COMMIT);
    std::fs::create_dir_all(&snapshot).unwrap();
    std::fs::create_dir_all(scene.folder().join("refs")).unwrap();
    std::fs::write(scene.folder().join("refs/main"), COMMIT).unwrap();
    std::fs::write(snapshot.join("config.json"), tiny::llama().to_string()).unwrap();
    let words = scene.fails("org/small", &[("HF_HUB_OFFLINE", "True")], 65);
    assert!(words.contains("expected model.safetensors"), "{words}");
    assert_eq!(scene.asked(), [""; 0]);
    scene.works("org/small");
    let first = scene.asked().remove(0);
    assert!(first.contains(&format!("revision/{COMMIT}")), "{first}");
}

#[test]
fn the_token_goes_to_the_server_of_models_only() {
    let scene = Scene::new();
    std::fs::write(scene.home.path().join("token"), "from-file\n").unwrap();
    let tokens = |more: &[(&str, &str)]| -> Vec<String> {
        let _ = std::fs::remove_dir_all(scene.home.path().join("hub"));
        assert!(scene.check("org/small", more).status.success());
        let token = |request: &String| {
            let mut lines = request.lines();
            let token = lines.find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("authorization: bearer ")
                    .map(str::to_string)
            });
            token.unwrap_or_default()
        };
        scene.asked().iter().map(token).collect()
    };
    let sent = |token: &str| [token, token, token, token, ""].map(str::to_string);
    assert_eq!(tokens(&[]), sent("from-file"));
    assert_eq!(tokens(&[("HF_TOKEN", "from-word")]), sent("from-word"));
    assert_eq!(tokens(&[("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), sent(""));
}

#[test]
fn every_refusal_says_what_to_do() {
    let scene = Scene::new();
    let offline = scene.fails("org/small", &[("HF_HUB_OFFLINE", "1")], 65);
    assert!(offline.contains("HF_HUB_OFFLINE is set"), "{offline}");
    assert_eq!(scene.asked(), [""; 0]);
    for (status, code, expected) in [
        (404, "RepoNotFound", "no model org/small"),
        (401, "RepoNotFound", "set HF_TOKEN"),
        (404, "RevisionNotFound", "no revision \"main\""),
        (
            401,
            "GatedRepo",
            "is gated: its conditions are to be accepted at http://127.0.0.1",
        ),
        (429, "", "too many requests"),
        (
            500,
            "",
            "expected status 200 (status 500: so says the test)",
        ),
    ] {
        scene.set(|site| site.refuses = Some((status, code)));
        let words = scene.fails("org/small", &[], 65);
        assert!(words.contains(expected), "{words}");
    }
    let sent = scene.fails("org/small", &[("HF_TOKEN", "mine")], 65);
    assert!(!sent.contains("mine"), "{sent}");
    // Nobody listens at port 1.
    let words = scene.fails("org/small", &[("HF_ENDPOINT", "http://127.0.0.1:1")], 74);
    assert!(
        words.contains("refused") && words.contains("org/small"),
        "{words}"
    );
}

#[test]
fn names_that_lead_elsewhere_and_missing_weights_are_refused() {
    let scene = Scene::new();
    let evil = |sha: &str, blob: &str| json!({"sha": sha, "siblings": [{"rfilename": "config.json", "size": 2, "blobId": blob}]});
    for (listing, expected) in [
        (evil("../../..", "a"), "expected a hash, found \"../../..\""),
        (
            evil(COMMIT, "../../a"),
            "expected a hash, found \"../../a\"",
        ),
        (json!({"sha": COMMIT}), "expected a list of files"),
        (
            json!({"sha": COMMIT, "siblings": []}),
            "config.json is not there",
        ),
        (evil(COMMIT, "a"), "pickled .bin weights are not read"),
    ] {
        scene.set(|site| site.listing = Some(listing));
        let words = scene.fails("org/small", &[], 65);
        assert!(words.contains(expected), "{words}");
    }
}
