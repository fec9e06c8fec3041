//! What is fuzzed: each function reads bytes that could be anything, and panics if what was read breaks a promise.
//!
//! The ordinary tests run the same functions over mutated files (`tests/tests/mutated_checkpoints.rs`).

#![allow(dead_code, reason = "a fuzz target uses one of them")]

use farspan::checkpoint::{config, header, scheme};
use farspan_pe::Registry;
use std::path::{Component, Path};

/// A safetensors header, whose data are as many bytes as the first eight say.
pub(crate) fn header(bytes: &[u8]) {
    let Some((size, json)) = bytes.split_first_chunk::<8>() else {
        return;
    };
    let size = u64::from_le_bytes(*size);
    let Ok(entries) = header::header(json, size) else {
        return;
    };
    let mut sum = 0;
    for (name, entry) in &entries {
        assert!(
            entry.bytes.start <= entry.bytes.end,
            "{name} ends before it starts"
        );
        assert!(entry.bytes.end <= size, "{name} ends behind the file");
        if let Ok(kind) = entry.dtype {
            let numbers: usize = entry.shape.iter().product();
            let expected = (numbers * kind.size()) as u64;
            assert_eq!(entry.bytes.end - entry.bytes.start, expected, "{name}");
        }
        sum += entry.bytes.end - entry.bytes.start;
    }
    assert_eq!(sum, size, "tensors overlap, or leave bytes out");
}

/// An index of shards.
pub(crate) fn index(bytes: &[u8]) {
    let Ok(map) = header::index(bytes) else {
        return;
    };
    for file in map.values() {
        let parts: Vec<_> = Path::new(file).components().collect();
        let inside = matches!(parts.as_slice(), [Component::Normal(_)]);
        assert!(inside, "{file:?} leads out of the folder");
    }
}

/// A `config.json`.
pub(crate) fn config(bytes: &[u8]) {
    let Ok(read) = config::parse(Path::new("config.json"), bytes) else {
        return;
    };
    let architecture = read.architecture;
    let g = &architecture.geometry;
    assert!(g.layers > 0 && g.heads > 0 && g.head_dim > 0 && architecture.vocab > 0);
    assert!(g.heads.is_multiple_of(g.kv_heads), "heads in uneven groups");
    assert_eq!(architecture.windows.len(), g.layers);
    assert!(architecture.norm_eps.is_finite());
    // A scheme may refuse what the keys ask for, in words.
    let _ = scheme::resolve(&Registry::builtin(), &architecture, None);
}
