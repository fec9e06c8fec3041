//! What is fuzzed: each function reads bytes that could be anything, and panics if what was read breaks a promise.
//!
//! The ordinary tests run the same functions over mutated files (`tests/tests/mutated_checkpoints.rs`, `mutated_inputs.rs`).

#![allow(dead_code, reason = "a fuzz target uses one of them")]

use farspan::attention::expr::Expr;
use farspan::checkpoint::{config, header};
use farspan::config::{self as run_config, numbers};
use farspan::datasets::foreign::is_guarded;
use farspan::datasets::{Around, DataConfig, TextData, TokenizerFile};
use farspan::reports::record::CellRecord;
use farspan::reports::store::RunDir;
use farspan::reports::{fixture, page, summary};
use farspan::scheme;
use farspan_pe::Registry;
use std::path::{Component, Path, PathBuf};
use std::sync::Once;
use tempfile::TempDir;

/// Characters that a message may have, whatever it quotes.
const LONGEST: usize = 10_000;
/// Cells of a run that may be asked for without a word of consent.
const CELLS: usize = 1000;

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

/// A run's config.
pub(crate) fn toml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let parse = |text: &str| run_config::parse(text, "run.toml", &[], &Registry::builtin(), CELLS);
    match parse(text) {
        Err(error) => {
            for problem in error.problems() {
                assert!(
                    problem.chars().count() < LONGEST,
                    "{} characters",
                    problem.len()
                );
            }
        }
        Ok(loaded) => {
            let resolved = run_config::resolved_toml(&loaded.run, &loaded.origins);
            let again = parse(&resolved).unwrap_or_else(|e| panic!("{e} in {resolved}"));
            assert_eq!(loaded.run, again.run, "{resolved}");
        }
    }
}

/// An expression of the score language.
pub(crate) fn expression(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(expr) = text.parse::<Expr>() else {
        return;
    };
    let written = expr.to_string();
    let again: Expr = written.parse().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(written, again.to_string());
    let _ = expr.latex();
}

/// A table of numbers, as NumPy or as safetensors has it.
pub(crate) fn table(bytes: &[u8]) {
    for table in [numbers::npy(bytes), numbers::safetensors(bytes, None)] {
        match table {
            Ok(table) => {
                assert!((1..=2).contains(&table.shape.len()));
                assert_eq!(table.numbers.len(), table.shape.iter().product::<usize>());
            }
            Err(what) => assert!(what.chars().count() < LONGEST, "{what}"),
        }
    }
}

/// Text in lines of JSON.
pub(crate) fn json_lines(bytes: &[u8]) {
    text("a.jsonl", bytes, |config, file| {
        config.jsonl = Some(vec![file])
    });
}

/// Compressed text.
pub(crate) fn zst(bytes: &[u8]) {
    text("a.txt.zst", bytes, |config, file| {
        config.files = Some(vec![file])
    });
}

/// Text in a column of a table.
pub(crate) fn parquet(bytes: &[u8]) {
    quiet_walls();
    text("a.parquet", bytes, |config, file| {
        config.parquet = Some(vec![file])
    });
}

fn text(name: &str, bytes: &[u8], set: impl Fn(&mut DataConfig, String)) {
    thread_local!(static FOLDER: TempDir = TempDir::new().expect("a folder"));
    FOLDER.with(|folder| {
        std::fs::write(folder.path().join(name), bytes).expect("a file");
        let mut config = DataConfig {
            max_bytes: Some(1 << 20),
            max_overlap: Some(1.0),
            ..DataConfig::default()
        };
        set(&mut config, name.to_string());
        match TextData::open(&config, folder.path(), &folder.path().join("cache")) {
            Err(error) => assert!(error.to_string().chars().count() < LONGEST, "{error}"),
            Ok(data) => {
                // One token a byte.
                for part in data.parts() {
                    assert_eq!(part.tokens as u64, part.bytes, "{}", part.name);
                }
            }
        }
    });
}

/// A `tokenizer.json`.
pub(crate) fn tokenizer(bytes: &[u8]) {
    quiet_walls();
    let Ok(file) = TokenizerFile::from_bytes(Path::new("tokenizer.json"), bytes) else {
        return;
    };
    let text = "Zoë has 3 cats.\n\n  雪 😀<s>";
    for around in [Around::Nothing, Around::Before, Around::All] {
        let Ok(tokens) = file.encode("text", text, around) else {
            continue;
        };
        assert_eq!(tokens.ids.len(), tokens.bytes.len());
        assert_eq!(tokens.ids.len(), tokens.ends.len());
        let bytes: u32 = tokens.bytes.iter().sum();
        assert!(bytes as usize == text.len() || bytes == 0, "{bytes} bytes");
        let _ = file.decode(&tokens.ids, true);
        let _ = file.fits(&tokens.ids, 3, "text");
    }
}

/// A file of a run folder, which the first byte chooses; the page must be drawn from what is left, or refused in words.
pub(crate) fn run_folder(bytes: &[u8]) {
    thread_local!(static RUN: (TempDir, Vec<PathBuf>) = run());
    let Some((which, content)) = bytes.split_first() else {
        return;
    };
    RUN.with(|(folder, files)| {
        let path = &files[usize::from(*which) % files.len()];
        let good = std::fs::read(path).expect("a file");
        std::fs::write(path, content).expect("a file");
        let run = folder.path().join("run");
        page_of(&run);
        // Under a hash that fits, strange values get further.
        if let Some(record) = unsealed(content) {
            let dir = RunDir::open(&run).expect("a run");
            let result = dir.cell_dir(&record.id).join("result.json");
            if files.contains(&result) {
                let good = std::fs::read(&result).expect("a file");
                if dir.write_result(&record.id, &record).is_ok() {
                    page_of(&run);
                    std::fs::write(&result, good).expect("a file");
                }
            }
        }
        std::fs::write(path, good).expect("a file");
    });
}

fn page_of(run: &Path) {
    let loaded = RunDir::open(run).and_then(|dir| dir.load());
    if let Ok(run) = loaded
        && let Ok(html) = page::render(&[summary::summarise(&run)])
    {
        assert!(html.trim_end().ends_with("</html>"), "a whole page");
    }
}

/// The result that a file holds, whatever its hash.
fn unsealed(content: &[u8]) -> Option<CellRecord> {
    let text = std::str::from_utf8(content).ok()?;
    let (body, _) = text.rsplit_once(",\n  \"blake3\"")?;
    serde_json::from_str(&format!("{body}\n}}")).ok()
}

/// A small run, and its files that are read for a page.
fn run() -> (TempDir, Vec<PathBuf>) {
    let folder = TempDir::new().expect("a folder");
    let options = fixture::Options {
        units: 3,
        trials: 2,
        multiples: vec![1, 2],
        ..fixture::Options::default()
    };
    let path = folder.path().join("run");
    fixture::write(&path, &options).expect("a run");
    let names = |path: &Path| {
        let entries = std::fs::read_dir(path).expect("a folder");
        let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
        paths.sort();
        paths
    };
    let mut files = names(&path);
    // One cell of each kind that differs is enough.
    for cell in names(&path.join("cells")).into_iter().take(2) {
        files.extend(names(&cell));
    }
    files.retain(|path| path.is_file());
    (folder, files)
}

/// The files of [`run_folder`], each behind the byte that chooses it.
pub(crate) fn run_files() -> Vec<Vec<u8>> {
    let (_folder, files) = run();
    let file = |(which, path): (usize, &PathBuf)| {
        let content = std::fs::read(path).expect("a file");
        [&[which as u8][..], &content].concat()
    };
    files.iter().enumerate().map(file).collect()
}

/// Panics that a wall turns into errors are no findings.
fn quiet_walls() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let found = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !is_guarded() {
                found(panic);
            }
        }));
    });
}
