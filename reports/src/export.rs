//! Runs in the formats that other programs read.

mod lm_eval;
mod parquet;
mod rows;
mod ruler;
mod tensorboard;
#[cfg(test)]
mod tests;

pub use crate::error::ExportError;

use crate::store::{LoadedRun, write_atomic};
use crate::summary::summarise;
use crate::table::results::{Sheet, sheets};
use crate::table::tables;
use crate::{error::StoreError, table::Table};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A format of export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One row per (cell, measure, of, view, length, factors, unit), with a header.
    Csv,
    /// The same, one JSON object a line. Numbers that JSON lacks are `null`, named in `non_finite`.
    Jsonl,
    /// The same, zstd-compressed.
    Parquet,
    /// The tables of a paper, for `booktabs`.
    Latex,
    /// The tables of a paper.
    Markdown,
    /// Per cell a file of results and one of samples for each task, as the EleutherAI evaluation harness writes them.
    LmEval,
    /// A table per cell and length, as RULER writes them.
    Ruler,
    /// A file of events per cell, as TensorBoard writes them.
    TensorBoard,
}

impl Format {
    /// Every format, in the order of the help text.
    pub const ALL: [Format; 8] = [
        Format::Csv,
        Format::Jsonl,
        Format::Parquet,
        Format::Latex,
        Format::Markdown,
        Format::LmEval,
        Format::Ruler,
        Format::TensorBoard,
    ];

    /// Whether it has several files, in a folder.
    #[must_use]
    pub fn is_folder(self) -> bool {
        matches!(self, Format::LmEval | Format::Ruler | Format::TensorBoard)
    }

    /// As it is asked for on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Jsonl => "jsonl",
            Format::Parquet => "parquet",
            Format::Latex => "latex",
            Format::Markdown => "markdown",
            Format::LmEval => "lm-eval",
            Format::Ruler => "ruler",
            Format::TensorBoard => "tensorboard",
        }
    }
}

impl FromStr for Format {
    type Err = ExportError;

    fn from_str(text: &str) -> Result<Format, ExportError> {
        Format::ALL
            .into_iter()
            .find(|f| f.name() == text)
            .ok_or_else(|| ExportError::UnknownFormat {
                found: text.to_string(),
                known: Format::ALL.map(Format::name).join(", "),
            })
    }
}

/// A run in one format: relative paths and contents. Formats that are no folder ([`Format::is_folder`]) give one file.
///
/// # Errors
/// What an encoder refuses.
pub fn files(run: &LoadedRun, format: Format) -> Result<Vec<(PathBuf, Vec<u8>)>, ExportError> {
    let one = |name: &str, bytes: Vec<u8>| vec![(PathBuf::from(name), bytes)];
    // The tables that a study is summed up by, then all others.
    let text = |first: fn(&Sheet) -> String, of: fn(&Table) -> String| {
        let summary = summarise(run);
        let sheets = summary.studies.iter().flat_map(|s| sheets(s, &summary.run));
        let sheets = sheets.map(|s| first(&s)).collect::<Vec<_>>();
        let rest = tables(&summary).iter().map(of).collect::<Vec<_>>();
        [sheets, rest].concat().join("\n").into_bytes()
    };
    Ok(match format {
        Format::Csv => one("results.csv", rows::csv(run)),
        Format::Jsonl => one("results.jsonl", rows::jsonl(run)),
        Format::Parquet => one("results.parquet", parquet::write(run)?),
        Format::Latex => one("tables.tex", text(Sheet::latex, Table::latex)),
        Format::Markdown => one("tables.md", text(Sheet::markdown, Table::markdown)),
        Format::LmEval => lm_eval::files(run)?,
        Format::Ruler => ruler::files(run),
        Format::TensorBoard => tensorboard::files(run),
    })
}

/// Writes a run in one format to `out`: a file, or a folder where the format has several files. Gives what was written.
///
/// # Errors
/// What an encoder or the system refuses.
pub fn export(run: &LoadedRun, format: Format, out: &Path) -> Result<Vec<PathBuf>, ExportError> {
    let several = format.is_folder();
    let mut written = Vec::new();
    for (name, bytes) in files(run, format)? {
        let path = if several {
            out.join(name)
        } else {
            out.to_path_buf()
        };
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|source| StoreError::Io {
                action: "making the folder",
                path: folder.to_path_buf(),
                source,
            })?;
        }
        write_atomic(&path, &bytes)?;
        written.push(path);
    }
    Ok(written)
}
