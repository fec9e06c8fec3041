//! Writing a report: the page, every figure in both themes as SVG and PNG, every table in three formats.

use std::path::{Path, PathBuf};

use super::{Named, PageError, named_figures, page};
use crate::figure::{Rasteriser, Theme};
use crate::store::{StoreError, load, write_atomic};
use crate::summary::{Summary, summarise};
use crate::table::results::sheets;

/// The files of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// `report.html`.
    pub page: PathBuf,
    /// `figures/*.svg` and `figures/*.png`; names ending in `-dark` are for dark ground.
    pub figures: Vec<PathBuf>,
    /// `tables/*.csv`, `tables/*.tex` and `tables/*.md`.
    pub tables: Vec<PathBuf>,
    /// What was drawn otherwise than on another machine, in sentences.
    pub notes: Vec<String>,
}

/// Reads run folders (or packs) and writes their report into the folder `out`, which is made if it is missing. Each file is
/// replaced atomically; files that are not part of the report are left alone.
///
/// # Errors
/// A folder that is no run, a system's refusal, or a figure that cannot be rendered.
pub fn write_report(runs: &[&Path], out: &Path) -> Result<Written, PageError> {
    let mut summaries: Vec<Summary> = Vec::new();
    for path in runs {
        summaries.push(summarise(&load(path)?));
    }
    write_summaries(&summaries, out)
}

/// Writes the report of runs that are summarised already.
///
/// # Errors
/// As [`write_report`], except reading.
pub fn write_summaries(summaries: &[Summary], out: &Path) -> Result<Written, PageError> {
    // Files of a single run have plain names.
    let prefix = |order: usize| match summaries.len() {
        1 => String::new(),
        _ => format!("run{}-", order + 1),
    };
    let page = page(summaries, |order| Some(format!("tables/{}", prefix(order))))?;
    for folder in ["figures", "tables"].map(|name| out.join(name)) {
        std::fs::create_dir_all(&folder).map_err(|source| StoreError::Io {
            action: "making",
            path: folder,
            source,
        })?;
    }
    let mut written = Written {
        page: out.join("report.html"),
        ..Written::default()
    };
    let maker = Rasteriser::default();
    for (order, summary) in summaries.iter().enumerate() {
        let prefix = prefix(order);
        for named in named_figures(summary).iter().flatten() {
            figure_files(named, &prefix, out, &maker, &mut written)?;
            table_files(named, &prefix, out, &mut written)?;
        }
        for sheet in summary.studies.iter().flat_map(|s| sheets(s, &summary.run)) {
            let texts = [sheet.csv(), sheet.latex(), sheet.markdown()];
            tables(&format!("{prefix}{}", sheet.slug), texts, out, &mut written)?;
        }
    }
    written.notes = maker.notes();
    // Last, so that a page never stands beside figures of another time.
    write_atomic(&written.page, page.as_bytes())?;
    Ok(written)
}

fn figure_files(
    named: &Named,
    prefix: &str,
    out: &Path,
    maker: &Rasteriser,
    written: &mut Written,
) -> Result<(), PageError> {
    for (theme, ending) in [(Theme::Light, ""), (Theme::Dark, "-dark")] {
        let name = format!("{prefix}{}{ending}", named.slug);
        let svg = named.figure.drawing.file(theme);
        let png = maker.png(&svg).map_err(|source| PageError::Figure {
            figure: name.clone(),
            source,
        })?;
        for (format, bytes) in [("svg", svg.as_bytes()), ("png", png.as_slice())] {
            let path = out.join("figures").join(format!("{name}.{format}"));
            write_atomic(&path, bytes)?;
            written.figures.push(path);
        }
    }
    Ok(())
}

fn table_files(
    named: &Named,
    prefix: &str,
    out: &Path,
    written: &mut Written,
) -> Result<(), PageError> {
    let name = format!("{prefix}{}", named.slug);
    let data = &named.figure.data;
    let texts = [
        data.csv(),
        data.latex(&named.figure.title, &name),
        data.markdown(),
    ];
    tables(&name, texts, out, written)
}

/// A table as CSV, LaTeX and Markdown.
fn tables(
    name: &str,
    texts: [String; 3],
    out: &Path,
    written: &mut Written,
) -> Result<(), PageError> {
    for (format, text) in ["csv", "tex", "md"].iter().zip(texts) {
        let path = out.join("tables").join(format!("{name}.{format}"));
        write_atomic(&path, text.as_bytes())?;
        written.tables.push(path);
    }
    Ok(())
}
