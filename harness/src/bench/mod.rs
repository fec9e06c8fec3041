//! Measured speed and memory: schemes against each other, and this program against another one.
//!
//! What is compared takes turns, one call each, for several rounds; what is reported is the median. Figures of memory
//! come from processes of their own, because a process keeps what it has freed.

pub mod attention;
pub mod decoder;
pub mod memory;
pub mod peer;

use crate::Result;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// What runs of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pass {
    /// Attention without gradients.
    Forward,
    /// Attention and the gradients of everything it reads.
    Both,
    /// A whole training step: loss, gradients, clipping, optimizer.
    Train,
    /// Negative log-likelihoods of all tokens, without gradients.
    Eval,
}

impl Pass {
    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Pass::Forward => "forward",
            Pass::Both => "both",
            Pass::Train => "train",
            Pass::Eval => "eval",
        }
    }
}

/// Something that is timed.
pub struct Entrant<'a> {
    /// Its name in errors.
    pub name: String,
    /// One call; tells how many seconds it took.
    pub call: Box<dyn FnMut() -> Result<f64> + 'a>,
}

impl std::fmt::Debug for Entrant<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entrant").field("name", &self.name).finish()
    }
}

impl<'a> Entrant<'a> {
    /// Times a function of this process.
    pub fn new(name: impl Into<String>, mut work: impl FnMut() -> Result<()> + 'a) -> Entrant<'a> {
        let call = move || {
            let start = Instant::now();
            work()?;
            Ok(start.elapsed().as_secs_f64())
        };
        Entrant {
            name: name.into(),
            call: Box::new(call),
        }
    }
}

/// Seconds of every call, by entrant: a warm-up each, then `rounds` rounds in which they take turns.
pub fn race(rounds: usize, entrants: &mut [Entrant<'_>]) -> Result<Vec<Vec<f64>>> {
    for entrant in entrants.iter_mut() {
        (entrant.call)()?;
    }
    let mut seconds = vec![Vec::with_capacity(rounds); entrants.len()];
    for _ in 0..rounds {
        for (entrant, seconds) in entrants.iter_mut().zip(&mut seconds) {
            seconds.push((entrant.call)()?);
        }
    }
    Ok(seconds)
}

/// Middle of the samples; of an even number, the mean of the two in the middle.
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// Median over rounds of theirs / ours: a round's two calls stand next to each other in time, so what disturbs the
/// machine for longer than a call disturbs both.
pub fn ratio(theirs: &[f64], ours: &[f64]) -> f64 {
    median(&ratios(theirs, ours))
}

/// Smallest and largest of these ratios.
pub fn ratio_range(theirs: &[f64], ours: &[f64]) -> [f64; 2] {
    let from = [f64::INFINITY, f64::NEG_INFINITY];
    let widen = |[low, high]: [f64; 2], x: f64| [low.min(x), high.max(x)];
    ratios(theirs, ours).into_iter().fold(from, widen)
}

fn ratios(theirs: &[f64], ours: &[f64]) -> Vec<f64> {
    theirs.iter().zip(ours).map(|(t, o)| t / o).collect()
}

/// One line of a table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Id of the scheme, with settings that were given.
    pub scheme: String,
    /// What ran.
    pub pass: Pass,
    /// Tokens of a window.
    pub length: usize,
    /// Attention implementation that ran.
    pub implementation: &'static str,
    /// Median seconds of a call.
    pub seconds: f64,
    /// Seconds of every call.
    pub samples: Vec<f64>,
    /// Median over rounds of the time relative to the first scheme's.
    pub relative: f64,
    /// Tokens per second.
    pub tokens_per_second: f64,
    /// Floating-point operations per second, of those that the task needs (causal attention at half the square).
    pub flops_per_second: f64,
    /// The same as a fraction of what all threads could do.
    pub of_peak: f64,
    /// Peak of the resident memory beyond what was there before (see [`memory`]), bytes.
    pub peak_bytes: Option<u64>,
    /// Another program on the same task.
    pub peers: Vec<PeerRow>,
}

/// Another program on the same task.
#[derive(Clone, Debug, Serialize)]
pub struct PeerRow {
    /// How it does it.
    pub way: String,
    /// Median seconds of a call, if it could.
    pub seconds: Option<f64>,
    /// Median over rounds of its time relative to ours, taking turns.
    pub ratio: Option<f64>,
    /// The smallest and the largest of these.
    pub ratio_range: Option<[f64; 2]>,
    /// Peak of its resident memory, measured alike, bytes.
    pub peak_bytes: Option<u64>,
    /// Why it could not.
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ratios() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
        // The second round was disturbed for both.
        assert_eq!(ratio(&[2.0, 20.0, 2.0], &[1.0, 10.0, 1.0]), 2.0);
        assert_eq!(ratio_range(&[2.0, 3.0, 8.0], &[2.0, 1.0, 2.0]), [1.0, 4.0]);
    }

    #[test]
    fn entrants_take_turns() {
        let log = std::cell::RefCell::new(String::new());
        let mut entrants = ["a", "b"].map(|name| {
            Entrant::new(name, || {
                log.borrow_mut().push_str(name);
                Ok(())
            })
        });
        let seconds = race(2, &mut entrants).expect("nothing can fail");
        assert_eq!(seconds.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
        drop(entrants);
        assert_eq!(log.into_inner(), "ababab");
    }
}
