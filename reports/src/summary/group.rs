//! The cells of one curve, and the panels that statistics are made from.

use super::label;
use crate::record::{CellRecord, PasskeyRecord, PerplexityRecord, Protocol, RunPlan, Stage};
use crate::stats::Panel;
use crate::store::{LoadedCell, LoadedRun};
use std::collections::BTreeSet;

/// Protocols in the order of preference for effective lengths and differences: fixed targets isolate the effect of
/// the context's length, sliding windows come close to it, blocks mix in the cost of their first tokens.
const PREFERENCE: [Protocol; 3] = [
    Protocol::FixedTarget,
    Protocol::Sliding,
    Protocol::NonOverlap,
];

/// What a loss is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Per {
    Token,
    Byte,
}

/// Indices of (scheme, stage) and of schemes in a plan: they decide on colours.
pub(super) struct Order<'a> {
    curves: Vec<(&'a str, Stage)>,
    schemes: Vec<&'a str>,
}

impl<'a> Order<'a> {
    pub(super) fn of(plan: &'a RunPlan) -> Order<'a> {
        let mut order = Order {
            curves: Vec::new(),
            schemes: Vec::new(),
        };
        for cell in &plan.cells {
            let (name, key) = (cell.scheme.as_str(), (cell.scheme.as_str(), cell.stage));
            if !order.curves.contains(&key) {
                order.curves.push(key);
            }
            if !order.schemes.contains(&name) {
                order.schemes.push(name);
            }
        }
        order
    }

    /// Index of the curve and of its scheme; cells come from the same plan, so both are there.
    fn indices(&self, scheme: &str, stage: Stage) -> (usize, usize) {
        let curve = self.curves.iter().position(|&c| c == (scheme, stage));
        let scheme = self.schemes.iter().position(|&s| s == scheme);
        (curve.unwrap_or_default(), scheme.unwrap_or_default())
    }
}

/// All cells of one (study, scheme, stage).
pub(super) struct Group<'a> {
    pub(super) scheme: &'a str,
    pub(super) stage: Stage,
    pub(super) label: String,
    pub(super) index: usize,
    pub(super) scheme_index: usize,
    /// All planned cells, by seed.
    pub(super) planned: Vec<&'a LoadedCell>,
    /// Those with a result, by seed.
    pub(super) cells: Vec<(&'a LoadedCell, &'a CellRecord)>,
}

/// Groups of a study in the order of the plan.
pub(super) fn groups<'a>(run: &'a LoadedRun, study: &str) -> Vec<Group<'a>> {
    let order = Order::of(&run.plan);
    let mut groups: Vec<Group<'a>> = Vec::new();
    for cell in run.cells.iter().filter(|c| c.planned.study == study) {
        let (scheme, stage) = (cell.planned.scheme.as_str(), cell.planned.stage);
        let at = groups
            .iter()
            .position(|g| (g.scheme, g.stage) == (scheme, stage));
        let at = at.unwrap_or_else(|| {
            let (index, scheme_index) = order.indices(scheme, stage);
            let label = label(scheme, stage);
            let (planned, cells) = (Vec::new(), Vec::new());
            groups.push(Group {
                scheme,
                stage,
                label,
                index,
                scheme_index,
                planned,
                cells,
            });
            groups.len() - 1
        });
        groups[at].planned.push(cell);
        groups[at]
            .cells
            .extend(cell.result.as_ref().map(|result| (cell, result)));
    }
    for group in &mut groups {
        group.planned.sort_by_key(|c| c.planned.seed);
        group.cells.sort_by_key(|c| c.1.seed);
    }
    groups
}

/// The protocol that effective lengths and differences are taken from: the best that every curve with perplexity has.
pub(super) fn headline(groups: &[Group<'_>]) -> Option<Protocol> {
    let has = |r: &CellRecord, protocol| r.perplexity.iter().any(|p| p.protocol == protocol);
    let records = || {
        groups
            .iter()
            .flat_map(|g| g.cells.iter().map(|c| c.1))
            .filter(|r| !r.perplexity.is_empty())
    };
    records().next()?;
    PREFERENCE
        .into_iter()
        .find(|&protocol| records().all(|r| has(r, protocol)))
}

impl<'a> Group<'a> {
    pub(super) fn records(&self) -> impl Iterator<Item = &'a CellRecord> + use<'_, 'a> {
        self.cells.iter().map(|c| c.1)
    }

    /// Seeds with a result.
    pub(super) fn seeds(&self) -> Vec<u64> {
        self.records().map(|r| r.seed).collect()
    }

    /// Length its weights were first trained with.
    pub(super) fn trained_length(&self) -> Option<usize> {
        self.records().next().map(|r| r.trained_length)
    }

    /// Lengths with perplexity under `protocol`, shortest first.
    pub(super) fn lengths(&self, protocol: Protocol) -> Vec<usize> {
        let of = self
            .records()
            .flat_map(|r| &r.perplexity)
            .filter(|p| p.protocol == protocol);
        of.map(|p| p.length)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }

    /// Seeds that have perplexity at `length`.
    pub(super) fn seeds_at(&self, protocol: Protocol, length: usize) -> Vec<u64> {
        self.records()
            .filter(|r| perplexity(r, protocol, length).is_some())
            .map(|r| r.seed)
            .collect()
    }

    /// Loss over tokens or bytes of the given seeds; `None` if one of them lacks it or if units do not agree.
    pub(super) fn panel(
        &self,
        protocol: Protocol,
        length: usize,
        per: Per,
        seeds: &[u64],
    ) -> Option<Panel> {
        let row = |&seed: &u64| {
            let record = self.records().find(|r| r.seed == seed)?;
            let p = perplexity(record, protocol, length)?;
            let sizes = match per {
                Per::Token => &p.tokens,
                Per::Byte => &p.bytes,
            };
            Some(
                p.nll
                    .iter()
                    .copied()
                    .zip(sizes.iter().map(|&n| n as f64))
                    .collect(),
            )
        };
        Panel::new(seeds.iter().map(row).collect::<Option<Vec<_>>>()?)
    }

    /// Lengths of the passkey grid, shortest first.
    pub(super) fn passkey_lengths(&self) -> Vec<usize> {
        let of = self.records().flat_map(|r| &r.passkey);
        of.map(|p| p.length)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }

    /// Passkey records at `length`, one list per seed, ordered by depth.
    pub(super) fn passkey_at(&self, length: usize) -> Vec<(u64, Vec<&'a PasskeyRecord>)> {
        let of = |r: &'a CellRecord| {
            let mut found: Vec<_> = r.passkey.iter().filter(|p| p.length == length).collect();
            found.sort_by(|a, b| a.depth.total_cmp(&b.depth));
            (r.seed, found)
        };
        self.records()
            .map(of)
            .filter(|(_, found)| !found.is_empty())
            .collect()
    }

    /// Lengths that the scheme refused for a measure, shortest first.
    pub(super) fn refused(&self, measure: &str) -> Vec<usize> {
        let of = self
            .records()
            .flat_map(|r| &r.refused)
            .filter(|r| r.measure == measure);
        of.map(|r| r.length)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }
}

fn perplexity(record: &CellRecord, protocol: Protocol, length: usize) -> Option<&PerplexityRecord> {
    record
        .perplexity
        .iter()
        .find(|p| p.protocol == protocol && p.length == length)
}
