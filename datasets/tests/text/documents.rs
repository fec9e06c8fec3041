//! Which documents a corpus has, whatever they are stored as.

use super::{files, letters, open};
use farspan_datasets::DataConfig;

#[test]
fn copies_never_straddle_parts() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..60 {
        // Thirty texts, each twice: once with CRLF and a byte-order mark.
        let text = format!("text {}\n", i / 2).repeat(20);
        let text = if i % 2 == 0 {
            text
        } else {
            format!("\u{feff}{}", text.replace('\n', "\r\n"))
        };
        std::fs::write(folder.path().join(format!("{i:02}.txt")), text).unwrap();
    }
    let text = open(&files(&["*.txt"]), folder.path()).unwrap();
    assert_eq!(30, text.parts().iter().map(|p| p.documents).sum::<usize>());
    assert!(
        text.description().contains("30 copies"),
        "{}",
        text.description()
    );
    let batch = text.train_batch(0, 0, 64, 100);
    assert!(!batch.tokens.contains(&13), "no carriage return");
}

/// Text of letters that repeats nothing.
fn noise(label: &'static str, index: u64, n: usize) -> String {
    let mut stream = farspan_datasets::rng::Stream::at(0, label, index);
    (0..n)
        .map(|_| char::from(b'a' + stream.below(26) as u8))
        .collect()
}

#[test]
fn near_copies_of_training_are_left_out_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..40 {
        std::fs::write(
            folder.path().join(format!("{i:02}.txt")),
            noise("document", i, 1000),
        )
        .unwrap();
    }
    let config = files(&["*.txt"]);
    let text = open(&config, folder.path()).unwrap();
    let is_clean = "; 0.0 % of validation and 0.0 % of test stand in training";
    assert!(
        text.description().contains(is_clean),
        "{}",
        text.description()
    );
    // Each test document gets a fifth of a training document, one of them a third.
    let test: Vec<String> = (0..4)
        .map(|i| text.decode(&text.test_segments(1000, Some(4)).unwrap()[i].tokens))
        .collect();
    let trained = text.decode(&text.train_batch(0, 0, 1, 999).tokens);
    for i in 0..40 {
        let path = folder.path().join(format!("{i:02}.txt"));
        let whole = std::fs::read_to_string(&path).unwrap();
        if let Some(place) = test.iter().position(|t| *t == whole) {
            let n = if place == 2 { 300 } else { 200 };
            let mixed = format!("{}{}", &trained[..n], &whole[n..]);
            std::fs::write(&path, mixed).unwrap();
        }
    }
    let mixed = open(&config, folder.path()).unwrap();
    assert_eq!(3, mixed.parts()[2].documents);
    for words in [
        "near copies of training left out: 1 from test",
        "0.0 % of validation and 20.0 % of test stand in training, in matches of 48 bytes",
    ] {
        assert!(
            mixed.description().contains(words),
            "{}",
            mixed.description()
        );
    }
    let keep = |max_overlap| DataConfig {
        max_overlap: Some(max_overlap),
        ..config.clone()
    };
    let all = open(&keep(1.0), folder.path()).unwrap();
    assert_eq!(4, all.parts()[2].documents);
    assert!(
        all.description().contains("and 22.5 % of test"),
        "{}",
        all.description()
    );
    let error = open(&keep(0.1), folder.path()).unwrap_err().to_string();
    for words in [
        "test part",
        "at most 10 %",
        "4 documents",
        "data.max_overlap",
    ] {
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn one_file_is_cut_and_said_to_be() {
    let folder = letters(&[10_000]);
    let text = open(&files(&["d000.txt"]), folder.path()).unwrap();
    let sizes = text.parts().map(|p| (p.name, p.documents, p.tokens));
    assert_eq!(
        [
            ("train", 1, 8500),
            ("validation", 1, 500),
            ("test", 1, 1000)
        ],
        sizes
    );
    assert_eq!(
        "1 file of text: 1 document, 0.01 MB; few documents, so each is cut into training, validation and test in \
         this order: 85.0 %, 5.0 %, 10.0 %; 100.0 % of validation and 100.0 % of test stand in training, in matches \
         of 48 bytes or more",
        text.description()
    );
}

#[test]
fn the_same_documents_in_every_format_are_the_same_data() {
    let folder = tempfile::tempdir().unwrap();
    let texts: Vec<String> = (0..20)
        .map(|i| format!("Zeile {i} — «ß»\n").repeat(30))
        .collect();
    let mut lines = String::new();
    for (i, text) in texts.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{i:02}.txt")), text).unwrap();
        std::fs::write(
            folder.path().join(format!("{i:02}.txt.zst")),
            zstd::encode_all(text.as_bytes(), 3).unwrap(),
        )
        .unwrap();
        lines += &format!("{}\n\n", serde_json::json!({ "id": i, "body": text }));
    }
    std::fs::write(folder.path().join("a.jsonl"), &lines).unwrap();
    let compressed = zstd::encode_all(lines.as_bytes(), 3).unwrap();
    std::fs::write(folder.path().join("a.jsonl.zst"), compressed).unwrap();
    let jsonl = |path: &str| DataConfig {
        jsonl: Some(vec![path.into()]),
        column: Some("body".into()),
        ..DataConfig::default()
    };
    let configs = [
        files(&["*.txt"]),
        files(&["*.txt.zst"]),
        jsonl("a.jsonl"),
        jsonl("a.jsonl.zst"),
    ];
    let hashes: Vec<String> = configs
        .iter()
        .map(|c| open(c, folder.path()).unwrap().hash().to_string())
        .collect();
    assert!(hashes.iter().all(|h| *h == hashes[0]), "{hashes:?}");

    // Overlapping patterns name each file once; a cap takes the first documents.
    let twice = open(&files(&["0*.txt", "*.txt"]), folder.path()).unwrap();
    assert_eq!(hashes[0], twice.hash());
    let some = DataConfig {
        max_bytes: Some(2000),
        ..files(&["*.txt"])
    };
    let some = open(&some, folder.path()).unwrap();
    assert_eq!(2000, some.parts().iter().map(|p| p.bytes).sum::<u64>());
    assert!(
        some.description().contains("cut at max_bytes"),
        "{}",
        some.description()
    );
}
