//! `merge`: the cells of several run folders in one.

use super::{Ended, json, print, tell};
use crate::grid;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(
    after_help = "Example: farspan merge runs/from-a runs/from-b -o runs/both\n\n\
    Cells that several folders have must have the same result. The new folder can be reported on, and gone on with by \
    `farspan work`; it holds copies, so the others may be removed."
)]
pub(super) struct Merge {
    /// Run folders
    #[arg(required = true, num_args = 2.., value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// New run folder
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

impl Merge {
    pub(super) fn run(&self, command: &str) -> Ended {
        let merged = grid::merge(&self.dirs, &self.out, command)?;
        if self.json {
            return json(&json!({ "out": self.out, "cells": merged.cells, "done": merged.done }));
        }
        tell(&format!(
            "{} cells, {} of them done",
            merged.cells, merged.done
        ));
        print(&format!("{}\n", self.out.display()))
    }
}
