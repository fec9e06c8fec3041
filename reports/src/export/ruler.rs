//! Tables as RULER's own evaluation writes them (`summary.csv`, one per model and length), for scripts that gather those:
//! tasks in columns, their scores in percent, and how many answers were empty.

use super::lm_eval::{cell_name, slug, tasks};
use crate::figure::csv_line;
use crate::record::{CellRecord, Role, Scale};
use crate::store::LoadedRun;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// `<study>__<scheme>__<stage>__s<seed>/<length>/summary.csv` for every cell that was asked something that is right or wrong.
pub(super) fn files(run: &LoadedRun) -> Vec<(PathBuf, Vec<u8>)> {
    run.results().flat_map(|(_, record)| of(record)).collect()
}

fn of(record: &CellRecord) -> Vec<(PathBuf, Vec<u8>)> {
    let shares =
        |m: &&crate::record::MeasureRecord| m.role == Role::ByLength && m.scale == Scale::Share;
    let measures = record.measures.iter().filter(shares);
    let mut by_length: BTreeMap<usize, Vec<[String; 3]>> = BTreeMap::new();
    for task in measures.flat_map(tasks) {
        if let Some((_, share, ..)) = task.metrics.first() {
            let score = format!("{:.2}", 100.0 * share);
            let column = [task.of.clone(), score, format!("0/{}", task.samples)];
            by_length.entry(task.length).or_default().push(column);
        }
    }
    let folder = PathBuf::from(slug(&cell_name(record)));
    let file = |(length, columns): (usize, Vec<[String; 3]>)| {
        let numbers = (0..=columns.len())
            .map(|i| i.to_string())
            .collect::<Vec<_>>();
        let mut text = format!("{}\n", csv_line(&numbers));
        for (i, title) in ["Tasks", "Score", "Nulls"].into_iter().enumerate() {
            let cells = columns.iter().map(|column| column[i].clone());
            let cells: Vec<String> = std::iter::once(title.to_string()).chain(cells).collect();
            text.push_str(&csv_line(&cells));
            text.push('\n');
        }
        (
            folder.join(length.to_string()).join("summary.csv"),
            text.into_bytes(),
        )
    };
    by_length.into_iter().map(file).collect()
}
