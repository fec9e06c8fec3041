//! Passkey retrieval over length × depth, by one teacher-forced forward per batch of prompts.
//!
//! Greedy decoding produces the key exactly when every symbol of the key is the arg-max given the true symbols before
//! it: at the first wrong symbol decoding would have left the key, and before it both contexts are the same.

use super::{Subject, Tick, rows_per_pass};
use crate::Result;
use crate::config::types::PasskeyGridConfig;
use farspan_datasets::Batch;
use farspan_datasets::tasks::passkey::{Cell, Passkey, score};
use farspan_reports::record::{PasskeyRecord, Refusal};
use serde_json::{Value, json};

/// Everything that the passkey grid gives.
#[derive(Debug, Default)]
pub struct Measured {
    /// One record per length and depth.
    pub records: Vec<PasskeyRecord>,
    /// Lengths the scheme cannot serve.
    pub refused: Vec<Refusal>,
    /// Every prompt as text with its outcome, for a person to read.
    pub samples: Vec<Value>,
}

/// Where prompts come from.
pub trait Prompts {
    /// `trials` prompts of `length` tokens at each of `depths` depths; the same for every scheme.
    fn grid(&self, seed: u64, length: usize, depths: usize, trials: usize) -> Result<Vec<Cell>>;

    /// Tokens as a person reads them.
    fn render(&self, tokens: &[u32]) -> String;

    /// Tokens of the shortest prompt.
    fn least(&self) -> Result<usize>;
}

impl Prompts for Passkey {
    fn grid(&self, seed: u64, length: usize, depths: usize, trials: usize) -> Result<Vec<Cell>> {
        Ok(Passkey::grid(self, seed, length, depths, trials))
    }

    fn render(&self, tokens: &[u32]) -> String {
        Passkey::render(self, tokens)
    }

    fn least(&self) -> Result<usize> {
        Ok(self.min_length())
    }
}

/// Asks every prompt of the grid. `seed` draws the prompts: the same for every scheme. `tick` is called after each pass
/// with the number of tokens fed and says whether to go on; `None` if not.
pub fn measure(
    subject: &Subject<'_>,
    config: &PasskeyGridConfig,
    task: &dyn Prompts,
    seed: u64,
    tick: Tick<'_>,
) -> Result<Option<Measured>> {
    let mut measured = Measured::default();
    let least = task.least()?;
    for &length in &config.lengths {
        if length < least {
            measured.refused.push(Refusal {
                measure: "passkey".into(),
                length,
                reason: format!("a prompt takes at least {least} tokens"),
            });
            continue;
        }
        let ready = match subject.at("passkey", length)? {
            Ok(ready) => ready,
            Err(refusal) => {
                measured.refused.push(refusal);
                continue;
            }
        };
        let mut prompts = 0;
        for cell in task.grid(seed, length, config.depths, config.trials)? {
            let mut record = PasskeyRecord {
                length,
                depth: cell.depth,
                distance: cell.distance,
                hits: Vec::new(),
                symbols: Vec::new(),
                log_prob: Vec::new(),
            };
            for mut part in split(&cell.batch, rows_per_pass(length)) {
                subject.place("passkey", prompts, &mut part);
                prompts += 1;
                let scores = subject.model.scores(&part, &ready)?;
                let argmax: Vec<u32> = scores.iter().map(|s| s.argmax).collect();
                for trial in score(&part, &argmax) {
                    record.hits.push(trial.hit);
                    record.symbols.push(trial.symbols as u32);
                }
                for (row, weights) in scores.chunks(part.len).zip(part.weights.chunks(part.len)) {
                    let key = row.iter().zip(weights).filter(|(_, w)| **w > 0.0);
                    record
                        .log_prob
                        .push(key.map(|(s, _)| -f64::from(s.nll)).sum());
                }
                if !tick(part.tokens.len()) {
                    return Ok(None);
                }
            }
            measured.samples.extend(samples(task, &cell.batch, &record));
            measured.records.push(record);
        }
    }
    Ok(Some(measured))
}

fn samples(task: &dyn Prompts, batch: &Batch, record: &PasskeyRecord) -> Vec<Value> {
    let window = |trial: usize| trial * batch.len..(trial + 1) * batch.len;
    let line = |trial: usize| {
        let scored = || window(trial).filter(|&i| batch.weights[i] > 0.0);
        let key: Vec<u32> = scored().map(|i| batch.targets[i]).collect();
        // What stands behind the key fills the row up.
        let end = scored()
            .next_back()
            .map_or(window(trial).end, |last| last + 1);
        json!({
            "measure": "passkey", "length": record.length, "depth": record.depth, "trial": trial,
            "prompt": task.render(&batch.tokens[window(trial).start..end]), "key": task.render(&key),
            "hit": record.hits[trial], "symbols": record.symbols[trial],
        })
    };
    (0..batch.rows).map(line).collect()
}

/// Cuts a batch into batches of at most `rows` windows.
fn split(batch: &Batch, rows: usize) -> Vec<Batch> {
    let n = rows * batch.len;
    let tokens = batch.tokens.chunks(n);
    let rest = batch.targets.chunks(n).zip(batch.weights.chunks(n));
    tokens
        .zip(rest)
        .map(|(tokens, (targets, weights))| Batch {
            tokens: tokens.to_vec(),
            targets: targets.to_vec(),
            weights: weights.to_vec(),
            positions: None,
            rows: tokens.len() / batch.len,
            len: batch.len,
        })
        .collect()
}
