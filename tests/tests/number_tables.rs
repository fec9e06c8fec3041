//! Tables of numbers from files: what other writers wrote, and what no reader should believe.

use farspan::config::numbers::{Table, npy, safetensors};
use farspan_acceptance::{farspan, text, tiny};
use std::path::Path;
use tempfile::TempDir;

const FLOATS: [f64; 6] = [1.5, -2.25, 3.0, 0.0078125, -65504.0, 100.0];

fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden/numbers")
        .join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn table(shape: &[usize], numbers: &[f64]) -> Table {
    Table {
        shape: shape.to_vec(),
        numbers: numbers.to_vec(),
    }
}

#[test]
fn files_of_numpy_are_read() {
    for name in ["f2", "f4", "f8", "fortran", "version_2"] {
        let found = npy(&golden(&format!("{name}.npy")));
        assert_eq!(Ok(table(&[2, 3], &FLOATS)), found, "{name}");
    }
    for name in ["i1", "i2", "i4", "i8"] {
        let found = npy(&golden(&format!("{name}.npy")));
        assert_eq!(
            Ok(table(&[4], &[1.0, -2.0, 100.0, -128.0])),
            found,
            "{name}"
        );
    }
    for name in ["u1", "u2", "u4", "u8"] {
        let found = npy(&golden(&format!("{name}.npy")));
        assert_eq!(Ok(table(&[4], &[1.0, 2.0, 200.0, 255.0])), found, "{name}");
    }
    for (name, words) in [
        ("big_endian", "\">f8\""),
        ("complex", "\"<c8\""),
        ("object", "\"|O\""),
        ("three_axes", "one or two axes"),
        ("scalar", "one or two axes"),
    ] {
        let error = npy(&golden(&format!("{name}.npy"))).expect_err(name);
        assert!(error.contains(words), "{name}: {error}");
    }
}

#[test]
fn files_of_safetensors_are_read() {
    let all = golden("all.safetensors");
    for name in ["f16", "f32", "f64"] {
        assert_eq!(
            Ok(table(&[2, 3], &FLOATS)),
            safetensors(&all, Some(name)),
            "{name}"
        );
    }
    // Eight bits of fraction.
    let rounded = FLOATS.map(|x| if x == -65504.0 { -65536.0 } else { x });
    assert_eq!(
        Ok(table(&[2, 3], &rounded)),
        safetensors(&all, Some("bf16"))
    );
    for name in ["i8", "i16", "i32", "i64"] {
        let expected = table(&[4], &[1.0, -2.0, 100.0, -128.0]);
        assert_eq!(Ok(expected), safetensors(&all, Some(name)), "{name}");
    }
    let expected = table(&[4], &[1.0, 2.0, 200.0, 255.0]);
    assert_eq!(Ok(expected), safetensors(&all, Some("u8")));
    assert_eq!(
        Ok(table(&[2, 3], &FLOATS)),
        safetensors(&golden("one.safetensors"), None)
    );
    for (name, words) in [
        (Some("f8"), "F8_E4M3"),
        (Some("bool"), "BOOL"),
        (Some("cube"), "one or two axes"),
        (
            Some("none"),
            "no tensor \"none\"; tensors: [bf16, bool, cube",
        ),
        (None, "`tensor` = one of [bf16, bool, cube"),
    ] {
        let error = safetensors(&all, name).expect_err(words);
        assert!(error.contains(words), "{error}");
    }
}

/// A NumPy file of version 1 with this header.
fn numpy(header: &str, data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u16).to_le_bytes();
    [&b"\x93NUMPY\x01\x00"[..], &length, header.as_bytes(), data].concat()
}

#[test]
fn sizes_are_held_against_the_file() {
    for (shape, words) in [
        ("(1000000000,)", "8000000000 bytes"),
        ("(1000000000000000000,)", "8000000000000000000 bytes"),
        ("(4294967296, 4294967296)", "fewer than 2⁶⁴"),
        ("(18446744073709551616,)", "no 'shape'"),
        ("(-1,)", "no 'shape'"),
        ("(2, 2)", "32 bytes"),
        ("(3,)", "24 bytes"),
        ("(0, 4294967296)", "0 bytes"),
        ("(2, 1", "no 'shape'"),
    ] {
        let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}");
        let error = npy(&numpy(&header, &[0; 16])).expect_err(shape);
        assert!(error.contains(words), "{shape}: {error}");
    }
    let error = npy(&numpy("{'descr': '<f8', 'shape': (2,), }", &[0; 16])).expect_err("no order");
    assert!(error.contains("fortran_order"), "{error}");
    for bytes in [
        &b""[..],
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff\xff{",
        b"\x93NUMPY\x09\x00",
        b"PK\x03\x04",
    ] {
        let error = npy(bytes).expect_err("no file");
        assert!(error.contains("expected a NumPy file"), "{error}");
    }
    let twice = r#"{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}"#;
    let error = safetensors(&tiny::framed(twice, &[0; 4]), None).expect_err("twice");
    assert!(error.contains("\"a\" comes twice"), "{error}");
    for shape in ["[1000000000]", "[4294967296, 4294967296]", "[2]"] {
        let header =
            format!(r#"{{"a": {{"dtype": "F32", "shape": {shape}, "data_offsets": [0, 4]}}}}"#);
        let error = safetensors(&tiny::framed(&header, &[0; 4]), None).expect_err(shape);
        assert!(error.contains("\"a\""), "{error}");
    }
    for bytes in [&b""[..], &[0xff; 8], &[0xff; 40], b"\x02\0\0\0\0\0\0\0{"] {
        safetensors(bytes, None).expect_err("no file");
    }
}

/// Through the program: an error of the config that names the file, whatever the file is.
#[cfg(unix)]
#[test]
fn files_that_are_none_end_at_once() {
    let dir = TempDir::new().expect("a folder");
    let pipe = dir.path().join("pipe.npy");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo").success());
    std::os::unix::fs::symlink("/dev/zero", dir.path().join("zero.safetensors")).expect("a link");
    std::fs::write(
        dir.path().join("huge.npy"),
        numpy(
            "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296), }",
            &[],
        ),
    )
    .expect("a file");
    for name in ["pipe.npy", "zero.safetensors", "huge.npy", "none.npy"] {
        let path = dir.path().join(name);
        let setting = format!("inv_freq={{file=\"{}\"}}", path.display());
        let output = farspan(&["explain", "custom", &setting])
            .output()
            .expect("a run");
        let message = text(&output.stderr);
        assert_eq!(Some(2), output.status.code(), "{message}");
        assert!(message.contains(name), "{message}");
        assert!(!message.contains("bug in farspan"), "{message}");
    }
}
