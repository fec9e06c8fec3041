//! Parquet files that are none, or have no text.

use super::{LINE, folder, open, refuses};
use farspan_datasets::rng::Stream;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::writer::SerializedFileWriter;
use std::sync::Arc;

/// A file with a number, an optional text, a number list's shape left out; two row groups.
fn parquet_file(texts: &[Option<&[u8]>]) -> Vec<u8> {
    let schema = "message m { REQUIRED INT64 id; OPTIONAL BYTE_ARRAY text (UTF8); }";
    let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::default()).unwrap();
    for group in texts.chunks(texts.len().div_ceil(2)) {
        let mut rows = writer.next_row_group().unwrap();
        let mut column = rows.next_column().unwrap().unwrap();
        let ids: Vec<i64> = (0..group.len() as i64).collect();
        column
            .typed::<Int64Type>()
            .write_batch(&ids, None, None)
            .unwrap();
        column.close().unwrap();
        let mut column = rows.next_column().unwrap().unwrap();
        let levels: Vec<i16> = group.iter().map(|t| i16::from(t.is_some())).collect();
        let values: Vec<ByteArray> = group
            .iter()
            .flatten()
            .map(|t| ByteArray::from(t.to_vec()))
            .collect();
        column
            .typed::<ByteArrayType>()
            .write_batch(&values, Some(&levels), None)
            .unwrap();
        column.close().unwrap();
        rows.close().unwrap();
    }
    writer.close().unwrap();
    bytes
}

#[test]
fn tables_that_do_not_fit() {
    let texts: Vec<String> = (0..700).map(|i| format!("Row {i}: {LINE}")).collect();
    let mut rows: Vec<Option<&[u8]>> = texts.iter().map(|t| Some(t.as_bytes())).collect();
    rows[5] = None;
    let good = parquet_file(&rows);
    rows[400] = Some(b"ab\xffcd");
    let bad = parquet_file(&rows);
    let half = &good[..good.len() / 2];
    let base = folder(&[
        ("a.parquet", &good),
        ("b.parquet", &bad),
        ("c.parquet", half),
        ("d.parquet", b""),
        ("e.parquet", b"version https://git-lfs"),
    ]);
    let at = base.path();
    let text = open("parquet = \"a.parquet\"", at).unwrap();
    assert!(
        text.description().contains("699 documents"),
        "{}",
        text.description()
    );
    assert!(
        text.description().contains("1 record without text)"),
        "{}",
        text.description()
    );
    refuses(
        "parquet = \"a.parquet\"\ncolumn = \"body\"",
        at,
        &[
            "a.parquet: schema: expected a column \"body\" (data.column)",
            "\"id\", \"text\"",
        ],
    );
    refuses(
        "parquet = \"a.parquet\"\ncolumn = \"id\"",
        at,
        &["strings in column \"id\"", "INT64"],
    );
    refuses(
        "parquet = \"b.parquet\"",
        at,
        &["b.parquet: row 401: expected UTF-8", "offset 2"],
    );
    assert!(open("parquet = \"b.parquet\"\nskip_bad = 1", at).is_ok());
    for name in ["c", "d", "e"] {
        let file = format!("{name}.parquet");
        refuses(
            &format!("parquet = \"{file}\""),
            at,
            &[&file, "expected a Parquet file"],
        );
    }
    let text = open("parquet = \"a.parquet\"\nmax_bytes = 1000", at).unwrap();
    assert_eq!(1000, text.parts().iter().map(|p| p.bytes).sum::<u64>());
}

/// Damaged files give an error or some text, and never a panic in this thread.
#[test]
fn hostile_tables() {
    let texts: Vec<String> = (0..40).map(|i| format!("Row {i}: {LINE}")).collect();
    let good = parquet_file(&texts.iter().map(|t| Some(t.as_bytes())).collect::<Vec<_>>());
    let mut stream = Stream::new(0, "mutants");
    let (mut read, mut refused) = (0, 0);
    for _ in 0..1500 {
        let mut bytes = good.clone();
        for _ in 0..=stream.below(4) {
            // Half of the damage goes to the footer, which steers the reader.
            let from = if stream.below(2) == 0 {
                bytes.len() * 3 / 4
            } else {
                0
            };
            let at = from + stream.below((bytes.len() - from) as u64) as usize;
            bytes[at] = stream.bits() as u8;
        }
        let base = folder(&[("a.parquet", &bytes)]);
        match open(
            "parquet = \"a.parquet\"\nskip_bad = 3\nmax_bytes = 100000",
            base.path(),
        ) {
            Ok(_) => read += 1,
            Err(error) => {
                refused += 1;
                let error = error.to_string();
                assert!(
                    error.contains("a.parquet") || error.contains("found none"),
                    "{error}"
                );
            }
        }
    }
    assert!(read > 50 && refused > 500, "{read} read, {refused} refused");
}

/// Null, and the NaN that Python writes for a text that is missing, are rows without text in either format; numbers that
/// JSON does not have are no reason to refuse a line whose text is there.
#[test]
fn rows_without_text_are_left_out_and_counted_alike() {
    let texts: Vec<String> = (0..40).map(|i| format!("Row {i}: {LINE}")).collect();
    let mut rows: Vec<Option<&[u8]>> = texts.iter().map(|t| Some(t.as_bytes())).collect();
    let mut lines: Vec<String> = texts
        .iter()
        .map(|t| {
            format!(
                "{}\n",
                serde_json::json!({ "text": t, "a": "NaN \\\" NaN" })
            )
        })
        .collect();
    lines[7] = lines[7].replace(
        "\"a\":",
        "\"score\":-Infinity,\"list\":[NaN,Infinity],\"a\":",
    );
    for (at, line) in [
        (3, "{\"text\": null}\n"),
        (9, "{\"text\":NaN}\n"),
        (20, "{\"text\": NaN, \"a\": \"\\\"NaN\"}\n"),
    ] {
        rows.insert(at, None);
        lines.insert(at, line.into());
    }
    let base = folder(&[
        ("a.jsonl", lines.concat().as_bytes()),
        ("a.parquet", &parquet_file(&rows)),
    ]);
    let of = |toml| open(toml, base.path()).unwrap();
    let (lines, rows) = (of("jsonl = \"a.jsonl\""), of("parquet = \"a.parquet\""));
    assert_eq!(lines.hash(), rows.hash());
    for text in [lines, rows] {
        let words = "40 documents, 0.00 MB (left out: 3 records without text)";
        assert!(text.description().contains(words), "{}", text.description());
    }
}
