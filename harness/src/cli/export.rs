//! `export`: results for other programs.

use super::{Ended, Failure, json, print, write_out};
use clap::Args;
use farspan_reports::export::{Format, export, files};
use farspan_reports::store::load;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    farspan export runs/quickstart --format csv > results.csv\n  \
    farspan export runs/quickstart --format parquet -o results.parquet\n  \
    farspan export runs/quickstart --format lm-eval -o results/      # results and samples of each cell\n  \
    farspan export runs/quickstart --format tensorboard -o events/   # tensorboard --logdir events\n\n\
    In Python: pandas.read_csv(\"results.csv\"), one row for each unit that was measured.")]
pub(super) struct Export {
    /// Run folder
    dir: PathBuf,
    /// csv, jsonl, parquet, latex, markdown, lm-eval, ruler or tensorboard
    #[arg(long, short, value_parser = format)]
    format: Format,
    /// File to write; a folder for lm-eval, ruler and tensorboard [default: stdout]
    #[arg(short, long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Print the paths of what was written as JSON
    #[arg(long, requires = "out")]
    json: bool,
}

fn format(text: &str) -> Result<Format, String> {
    text.parse()
        .map_err(|e: farspan_reports::export::ExportError| e.to_string())
}

impl Export {
    pub(super) fn run(&self) -> Ended {
        let run = load(&self.dir)?;
        run.problems
            .iter()
            .for_each(|problem| tracing::warn!("{problem}"));
        if let Some(out) = &self.out {
            let written = export(&run, self.format, out)?;
            if self.json {
                return json(&written);
            }
            let lines: Vec<String> = written
                .iter()
                .map(|path| format!("{}\n", path.display()))
                .collect();
            return print(&lines.concat());
        }
        match files(&run, self.format)?.as_slice() {
            [(_, bytes)] if !self.format.is_folder() => write_out(bytes),
            _ => Err(Failure::usage(
                "this format has several files: give a folder with -o",
            )),
        }
    }
}
