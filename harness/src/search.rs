//! Settings found by trying them: a scheme's search, run on the weights of its base.
//!
//! Every trial is written down as it ends, so that a search that was stopped goes on where it was. What is tried next
//! depends on the trials before and on the seed alone.

use crate::model::Decoder;
use crate::source::Source;
use crate::{Error, Result};
use farspan_datasets::{Batch, rng::Stream};
use farspan_pe::search::{self, Genes, Search, Trial};
use farspan_pe::{AnyScheme, Len, Registry};
use farspan_reports::record::{RivalRecord, SearchRecord};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// Whose weights, on what, and where trials are written down.
pub(crate) struct Searching<'a> {
    pub(crate) registry: &'a Registry,
    /// The scheme that searches.
    pub(crate) scheme: &'a dyn AnyScheme,
    pub(crate) id: &'a str,
    pub(crate) model: &'a Decoder,
    pub(crate) source: &'a Source,
    pub(crate) seed: u64,
    /// One trial to a line.
    pub(crate) log: &'a Path,
}

/// The scheme with what was found, and how it was found.
pub(crate) struct Found {
    pub(crate) scheme: Box<dyn AnyScheme>,
    pub(crate) record: SearchRecord,
}

/// A trial as it is written down.
#[derive(Serialize, Deserialize)]
struct Line {
    divisors: Vec<f64>,
    first_tokens: usize,
    /// `null` if it is no finite number.
    loss: Option<f64>,
}

impl Searching<'_> {
    /// Searches to the end; `None` if `tick`, which is told the number of trials after each, says to stop.
    pub(crate) fn run(
        &self,
        search: &Search,
        tick: &mut dyn FnMut(usize) -> Result<bool>,
    ) -> Result<Option<Found>> {
        let windows = self
            .source
            .validation(1, search.length, search.evolution.windows);
        let mut trials = self.resume()?;
        let mut log = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.log)
            .map_err(|e| Error::io(format!("opening {}", self.log.display()), e))?;
        loop {
            let mut stream = Stream::at(self.seed, "search", trials.len() as u64);
            let Some(genes) = search.next(&trials, &mut || stream.uniform()) else {
                break;
            };
            let scheme = self.settled(search, &genes)?;
            let loss = self.loss(scheme.as_ref(), &windows)?;
            let line = Line {
                divisors: genes.divisors.clone(),
                first_tokens: genes.first_tokens,
                loss: loss.is_finite().then_some(loss),
            };
            let mut line = serde_json::to_string(&line).map_err(|e| Error::Bug(e.to_string()))?;
            line.push('\n');
            log.write_all(line.as_bytes())
                .map_err(|e| Error::io(format!("writing {}", self.log.display()), e))?;
            trials.push(Trial { genes, loss });
            if tick(trials.len())? {
                return Ok(None);
            }
        }
        let best =
            search::best(&trials).ok_or_else(|| Error::Bug("a search without trials".into()))?;
        let rivals = search.rivals.iter().map(|(id, settings)| {
            let scheme = self.registry.parse(id, settings.clone())?;
            Ok(RivalRecord {
                id: (*id).to_string(),
                title: scheme.card().title.to_string(),
                nll: self.loss(scheme.as_ref(), &windows)?,
            })
        });
        let record = SearchRecord {
            length: search.length,
            windows: windows.len(),
            trials: trials.len(),
            nll: best.loss,
            rivals: rivals.collect::<Result<_>>()?,
        };
        Ok(Some(Found {
            scheme: self.settled(search, &best.genes)?,
            record,
        }))
    }

    /// The trials of an earlier process. A line that was cut off while being written is dropped from the file too.
    fn resume(&self) -> Result<Vec<Trial>> {
        let fail = |e| Error::io(format!("reading {}", self.log.display()), e);
        if !self.log.exists() {
            return Ok(Vec::new());
        }
        let text = std::fs::read_to_string(self.log).map_err(fail)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            let file = OpenOptions::new()
                .write(true)
                .open(self.log)
                .map_err(fail)?;
            file.set_len(whole as u64).map_err(fail)?;
        }
        let trial = |(number, line): (usize, &str)| {
            let line: Line = serde_json::from_str(line).map_err(|e| {
                let path = self.log.display();
                Error::Data(format!("{path}, line {}: {e}", number + 1))
            })?;
            Ok(Trial {
                genes: Genes {
                    divisors: line.divisors,
                    first_tokens: line.first_tokens,
                },
                loss: line.loss.unwrap_or(f64::NAN),
            })
        };
        text[..whole].lines().enumerate().map(trial).collect()
    }

    /// The scheme with these genes, and without its search.
    fn settled(&self, search: &Search, genes: &Genes) -> Result<Box<dyn AnyScheme>> {
        let mut settings = self.scheme.settings();
        let Value::Object(table) = &mut settings else {
            return Err(Error::Bug("settings are no table".into()));
        };
        for (key, value) in search.settings(genes) {
            match value {
                Value::Null => table.remove(&key),
                value => table.insert(key, value),
            };
        }
        Ok(self.registry.parse(self.id, settings)?)
    }

    /// Mean loss in nats per scored token.
    fn loss(&self, scheme: &dyn AnyScheme, windows: &[Batch]) -> Result<f64> {
        let length = windows.first().map_or(0, |window| window.len);
        let plans = scheme.layer_plans(&self.model.shape.geometry, Len(length))?;
        let ready = self.model.ready(&plans, length)?;
        let (mut sum, mut weight) = (0.0, 0.0);
        for window in windows {
            let scores = self.model.scores(window, &ready)?;
            for (score, &w) in scores.iter().zip(&window.weights) {
                if w > 0.0 {
                    sum += f64::from(w) * f64::from(score.nll);
                    weight += f64::from(w);
                }
            }
        }
        Ok(sum / weight)
    }
}
