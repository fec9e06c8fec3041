//! Settings found by trying them: a scheme's search, run on the weights of its base.
//!
//! Every trial is written down as it ends, so that a search that was stopped goes on where it was. What is tried next
//! depends on the trials before and on the seed alone.

use crate::checkpoint::Owner;
use crate::model::Decoder;
use crate::source::Source;
use crate::{Error, Result};
use farspan_datasets::{Batch, rng::Stream};
use farspan_pe::search::{self, Genes, Search, Trial};
use farspan_pe::{AnyScheme, Len, Registry};
use farspan_reports::record::{RivalRecord, SearchRecord};
use farspan_reports::store::{RunDir, line_is_whole, plain, seal_line};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// Whose weights, on what, and where trials are written down.
pub(crate) struct Searching<'a> {
    /// The run folder, under the cell's lease.
    pub(crate) dir: &'a RunDir,
    pub(crate) registry: &'a Registry,
    pub(crate) id: &'a str,
    /// The base's weights, under the scheme that searches.
    pub(crate) model: &'a Decoder,
    pub(crate) source: &'a Source,
    pub(crate) seed: u64,
    /// One trial to a line.
    pub(crate) log: &'a Path,
    /// Whose trials they are.
    pub(crate) owner: &'a Owner,
}

/// The scheme with what was found, and how it was found.
pub(crate) struct Found {
    pub(crate) scheme: Arc<dyn AnyScheme>,
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
        plain(self.log)?;
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
            let loss = self.loss(&scheme, &windows)?;
            let line = Line {
                divisors: genes.divisors.clone(),
                first_tokens: genes.first_tokens,
                loss: loss.is_finite().then_some(loss),
            };
            let line = serde_json::to_string(&line).map_err(|e| Error::Bug(e.to_string()))?;
            let mut line = seal_line(&context(self.owner, trials.len()), &line);
            line.push('\n');
            self.dir.check()?;
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
            let scheme: Arc<dyn AnyScheme> = Arc::from(self.registry.parse(id, settings.clone())?);
            Ok(RivalRecord {
                id: (*id).to_string(),
                title: scheme.card().title.to_string(),
                nll: self.loss(&scheme, &windows)?,
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
        let Some(found) = read(self.log, self.owner)? else {
            return Ok(Vec::new());
        };
        if found.torn {
            let cut = OpenOptions::new()
                .write(true)
                .open(self.log)
                .and_then(|file| file.set_len(found.whole));
            cut.map_err(|e| Error::io(format!("cutting {}", self.log.display()), e))?;
        }
        Ok(found.trials)
    }

    /// The scheme with these genes, and without its search.
    fn settled(&self, search: &Search, genes: &Genes) -> Result<Arc<dyn AnyScheme>> {
        let mut settings = self.model.scheme.settings();
        let Value::Object(table) = &mut settings else {
            return Err(Error::Bug("settings are no table".into()));
        };
        for (key, value) in search.settings(genes) {
            match value {
                Value::Null => table.remove(&key),
                value => table.insert(key, value),
            };
        }
        Ok(Arc::from(self.registry.parse(self.id, settings)?))
    }

    /// Mean loss in nats per scored token.
    fn loss(&self, scheme: &Arc<dyn AnyScheme>, windows: &[Batch]) -> Result<f64> {
        let length = windows.first().map_or(0, |window| window.len);
        let model = self.model.with_scheme(Arc::clone(scheme));
        let ready = model.prepare(Len(length), length)?;
        let (mut sum, mut weight) = (0.0, 0.0);
        for window in windows {
            let scores = model.scores(window, &ready)?;
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

/// What is written down of a search.
pub(crate) struct Log {
    trials: Vec<Trial>,
    /// Bytes of whole lines, and whether more follow.
    whole: u64,
    torn: bool,
}

/// What a line's hash is of, besides the line.
fn context(owner: &Owner, number: usize) -> String {
    let base = owner.base.as_deref().unwrap_or_default();
    format!("{} {base} {number}", owner.cell)
}

/// Reads the trials of `owner`, if there are any. Lines that are not what was written, or are another search's, are
/// [`Error::Data`].
pub(crate) fn read(path: &Path, owner: &Owner) -> Result<Option<Log>> {
    let io = |e| Error::io(format!("reading {}", path.display()), e);
    let bad = |what: String| Error::Data(format!("{}{what}", path.display()));
    match std::fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io(e)),
        Ok(meta) if !meta.is_file() => return Err(bad(": expected a file".into())),
        Ok(_) => {}
    }
    // A torn line may end inside a character.
    let bytes = std::fs::read(path).map_err(io)?;
    let whole = bytes
        .iter()
        .rposition(|&b| b == b'\n')
        .map_or(0, |end| end + 1);
    let trial = |(number, line): (usize, &[u8])| {
        let at = |what: String| bad(format!(", line {}: {what}", number + 1));
        let text = String::from_utf8_lossy(line);
        if !line_is_whole(&context(owner, number), &text) {
            return Err(at(
                "it is not what was written there, or is of another search".into(),
            ));
        }
        let line: Line = serde_json::from_str(&text).map_err(|e| at(e.to_string()))?;
        Ok(Trial {
            genes: Genes {
                divisors: line.divisors,
                first_tokens: line.first_tokens,
            },
            loss: line.loss.unwrap_or(f64::NAN),
        })
    };
    let lines = bytes[..whole].split_inclusive(|&b| b == b'\n');
    let lines = lines.map(|line| &line[..line.len() - 1]);
    Ok(Some(Log {
        trials: lines.enumerate().map(trial).collect::<Result<_>>()?,
        whole: whole as u64,
        torn: whole < bytes.len(),
    }))
}
