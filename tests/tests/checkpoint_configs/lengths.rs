//! The trained length: where a config tells it, and which scalings leave it open.

use super::{changed, fixture, open_architecture, read, saved};
use farspan::checkpoint::config::{self, Reading};
use farspan::scheme::Positional;
use farspan_pe::Registry;
use serde_json::json;
use std::path::Path;

#[test]
fn phi3s_length_before_extension_stands_at_the_top_level() {
    let lists = json!({"rope_type": "longrope", "factor": 4.0, "short_factor": [1, 1, 1, 1], "long_factor": [2, 2, 2, 2]});
    let config = |top: Option<u64>, inner: Option<u64>| {
        let mut config = fixture("phi3")["given"].clone();
        config["rope_parameters"] = lists.clone();
        config
            .as_object_mut()
            .expect("a table")
            .shift_remove("original_max_position_embeddings");
        if let Some(top) = top {
            config["original_max_position_embeddings"] = json!(top);
        }
        if let Some(inner) = inner {
            config["rope_parameters"]["original_max_position_embeddings"] = json!(inner);
        }
        read(&config).expect("a config")
    };
    for (top, inner, expected) in [
        (Some(32), None, 32),
        (Some(32), Some(32), 32),
        (None, Some(32), 4096),
        (None, None, 4096),
    ] {
        let found = config(top, inner);
        assert_eq!(found.geometry.trained_length, expected, "{top:?} {inner:?}");
        assert_eq!(found.positional.settings["trained_length"], json!(expected));
        let told = found
            .notes
            .iter()
            .any(|note| note.contains("at the top level"));
        assert_eq!(told, (top, inner) == (None, Some(32)), "{:?}", found.notes);
    }
}

#[test]
fn a_linear_scaling_leaves_the_trained_length_open() {
    let open = changed(&json!({
        "max_position_embeddings": 16384, "head_dim": 64, "rope_scaling": {"type": "linear", "factor": 4.0},
    }));
    let found = read(&open).expect("a config");
    assert_eq!(found.geometry.trained_length, 16384);
    assert_eq!(found.other_length, Some(4096));
    assert!(
        found.notes[0].contains("16384") && found.notes[0].contains("4096"),
        "{:?}",
        found.notes
    );
    // Who inherits it is told; the scheme of the config computes without it.
    let registry = Registry::builtin();
    let doubt = |scheme: &str| {
        let asked: Positional = scheme.parse().expect("a scheme");
        let scheme = farspan::scheme::resolve(&registry, &found, Some(&asked));
        let scheme = scheme.expect("a scheme");
        farspan::scheme::inherits_doubt(&found, scheme.as_ref()).is_some()
    };
    assert!(doubt("yarn,factor=4") && doubt("dynamic-ntk") && doubt("dca"));
    assert!(!doubt("own") && !doubt("pi,factor=8") && !doubt("ntk,factor=4"));
    assert!(!doubt("yarn,factor=4,trained_length=4096"));
    // The config can tell, at either place, and so can whoever reads it.
    for place in [
        "original_max_position_embeddings",
        "rope_scaling.original_max_position_embeddings",
    ] {
        let mut said = open.clone();
        match place.split_once('.') {
            Some((block, key)) => said[block][key] = json!(4096),
            None => said[place] = json!(4096),
        }
        let found = read(&said).expect("a config");
        assert_eq!(
            (found.geometry.trained_length, found.other_length),
            (4096, None),
            "{place}"
        );
        assert_eq!(found.notes, [] as [&str; 0]);
    }
    let reading = Reading {
        trained_length: Some(4096),
        ..Reading::default()
    };
    let set = config::parse_as(Path::new("c"), open.to_string().as_bytes(), &reading);
    let set = set.expect("a config").architecture;
    assert_eq!(
        (set.geometry.trained_length, set.other_length),
        (4096, None)
    );
    assert_eq!(set.positional, found.positional);
    assert!(
        set.notes
            .iter()
            .any(|note| note.contains("4096, as was asked for")),
        "{:?}",
        set.notes
    );
    // Scalings that compute with L take max_position_embeddings where nothing tells, and say that it is doubtful.
    let yarn = changed(
        &json!({"max_position_embeddings": 64, "rope_scaling": {"type": "yarn", "factor": 4.0}}),
    );
    let yarn = read(&yarn).expect("a config");
    assert_eq!(
        (yarn.geometry.trained_length, yarn.other_length),
        (64, Some(16))
    );
    // What is saved after position interpolation leaves nothing open.
    let (_, out) = saved("llama-default", "pi,factor=4").expect("a form");
    let again = open_architecture(out.path());
    assert_eq!(
        (again.geometry.trained_length, again.other_length),
        (32, None)
    );
}
