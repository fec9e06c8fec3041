//! How far a cell's process is, how fast it goes, and how long it will take.

use super::CellConfig;
use farspan_pe::search::Search;
use farspan_reports::record::{Activity, Phase, PlannedCell};
use std::time::Instant;

/// The phases in their order, with the work of each.
pub(super) struct Pace {
    phases: [(Phase, Work); 3],
    now: usize,
    begun: Instant,
    /// Share of the phase that was done when it began.
    from: f64,
    share: f64,
}

/// Forecast of a phase.
#[derive(Clone, Copy, Default)]
struct Work {
    flops: f64,
    tokens: f64,
}

impl Pace {
    pub(super) fn new(planned: &PlannedCell, config: &CellConfig, search: Option<&Search>) -> Pace {
        let searching = search.map_or(Work::default(), |search| Work {
            flops: config.search_flops(search),
            tokens: search.tokens() as f64,
        });
        let training = Work {
            flops: config.training_flops(),
            tokens: planned.train_tokens as f64,
        };
        let measuring = Work {
            flops: (planned.flops - searching.flops - training.flops).max(0.0),
            tokens: planned.measured_tokens as f64,
        };
        Pace {
            phases: [
                (Phase::Searching, searching),
                (Phase::Training, training),
                (Phase::Measuring, measuring),
            ],
            now: 0,
            begun: Instant::now(),
            from: 0.0,
            share: 0.0,
        }
    }

    /// A phase begins, of which `from` was done before.
    pub(super) fn begin(&mut self, phase: Phase, from: f64) {
        let at = self.phases.iter().position(|(known, _)| *known == phase);
        self.now = at.unwrap_or_default();
        self.begun = Instant::now();
        (self.from, self.share) = (from, from);
    }

    /// So much of the phase is done.
    pub(super) fn at(&mut self, share: f64) {
        self.share = share.clamp(self.from, 1.0);
    }

    /// So many tokens of the phase were read since it began.
    pub(super) fn read(&mut self, tokens: f64) {
        let all = self.phases[self.now].1.tokens;
        self.at(self.from + tokens / all.max(1.0));
    }

    /// Where things stand, with the training loss if there is one.
    pub(super) fn activity(&self, loss: Option<f64>) -> Activity {
        self.after(self.begun.elapsed().as_secs_f64(), loss)
    }

    fn after(&self, seconds: f64, loss: Option<f64>) -> Activity {
        let (phase, work) = self.phases[self.now];
        let flops = |phases: &[(Phase, Work)]| phases.iter().map(|(_, w)| w.flops).sum::<f64>();
        let before = flops(&self.phases[..self.now]) + self.share * work.flops;
        let all = flops(&self.phases);
        // Nothing is known of the speed before something is done.
        let fresh = Some(self.share - self.from).filter(|fresh| *fresh > 0.0 && seconds > 0.0);
        let left = |fresh: f64| seconds * (all - before) / (fresh * work.flops);
        Activity {
            phase,
            done: if all > 0.0 { before / all } else { 1.0 },
            loss,
            tokens_per_second: fresh.map(|fresh| fresh * work.tokens / seconds),
            seconds_left: fresh.map(left).filter(|left| left.is_finite()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_and_time_left_are_of_what_this_process_did() {
        let work = |flops, tokens| Work { flops, tokens };
        let mut pace = Pace {
            phases: [
                (Phase::Searching, Work::default()),
                (Phase::Training, work(600.0, 3000.0)),
                (Phase::Measuring, work(200.0, 1000.0)),
            ],
            now: 0,
            begun: Instant::now(),
            from: 0.0,
            share: 0.0,
        };
        pace.begin(Phase::Training, 0.5);
        let first = pace.after(3.0, None);
        assert_eq!(
            (first.done, first.tokens_per_second, first.seconds_left),
            (0.375, None, None)
        );
        // A quarter of 600 in 3 seconds: 150 and 200 are left at 50 a second.
        pace.at(0.75);
        let then = pace.after(3.0, Some(2.5));
        assert_eq!(
            (then.phase, then.loss, then.done),
            (Phase::Training, Some(2.5), 0.5625)
        );
        assert_eq!(
            (then.tokens_per_second, then.seconds_left),
            (Some(250.0), Some(7.0))
        );
        pace.begin(Phase::Measuring, 0.0);
        pace.read(250.0);
        let last = pace.after(1.0, None);
        assert_eq!(
            (last.done, last.tokens_per_second, last.seconds_left),
            (0.8125, Some(250.0), Some(3.0))
        );
        // A forecast of tokens that was too low.
        pace.read(5000.0);
        assert_eq!(
            (
                pace.after(2.0, None).done,
                pace.after(2.0, None).seconds_left
            ),
            (1.0, Some(0.0))
        );
    }
}
