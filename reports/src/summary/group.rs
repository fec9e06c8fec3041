//! The cells of one curve, and the measures of a study.

use super::{Key, MeasureInfo, label};
use crate::record::{CellRecord, MeasureRecord, RunPlan, Stage};
use crate::stats::mean;
use crate::store::{LoadedCell, LoadedRun};
use std::collections::BTreeSet;

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

/// Everything that a study measured, in the order of its first cell's records; what only later cells have comes last.
pub(super) fn measures(groups: &[Group<'_>]) -> Vec<MeasureInfo> {
    let cells: Vec<&CellRecord> = groups.iter().flat_map(Group::records).collect();
    let mut found: Vec<MeasureInfo> = Vec::new();
    for record in cells.iter().flat_map(|c| &c.measures) {
        let key = Key::of(record);
        if found.iter().all(|m| m.key != key) {
            let same = found.iter().find(|m| m.key.thing() == key.thing());
            let slug = same.map_or_else(|| free_slug(&key, &found), |m| m.slug.clone());
            found.push(info(record, key, slug, &cells));
        }
    }
    for i in 0..found.len() {
        found[i].headline = headline(&found, found[i].key.thing(), &cells) == Some(i);
    }
    found
}

fn info(record: &MeasureRecord, key: Key, slug: String, cells: &[&CellRecord]) -> MeasureInfo {
    let points = || {
        let records = cells.iter().flat_map(|c| &c.measures);
        records
            .filter(|m| Key::of(m) == key)
            .flat_map(|m| &m.points)
    };
    let lengths: BTreeSet<usize> = points().map(|p| p.length).collect();
    let values = (0..record.factors.len())
        .map(|i| sorted(points().filter_map(|p| p.at.get(i).copied())))
        .collect();
    let names: BTreeSet<&String> = points().flat_map(|p| p.facts.keys()).collect();
    let constant = |name: &String| {
        let at = |l: &usize| {
            sorted(
                points()
                    .filter(|p| p.length == *l)
                    .filter_map(|p| p.facts.get(name).copied()),
            )
        };
        let of = lengths.iter().map(|l| match at(l)[..] {
            [one] => Some(one),
            _ => None,
        });
        Some((name.clone(), of.collect::<Option<Vec<f64>>>()?))
    };
    let chance = |l: &usize| {
        let mut seen = BTreeSet::new();
        let here = points().filter(|p| p.length == *l);
        // Each point of the grid once, of whichever cell.
        let here =
            here.filter(|p| seen.insert(p.at.iter().map(|x| x.to_bits()).collect::<Vec<_>>()));
        let all: Option<Vec<f64>> = here.map(|p| p.chance.or(record.chance)).collect();
        all.filter(|a| !a.is_empty()).map(|a| mean(&a))
    };
    MeasureInfo {
        chance: lengths.iter().map(chance).collect(),
        slug,
        headline: false,
        facts: names.into_iter().filter_map(constant).collect(),
        values,
        units: points().map(|p| p.value.len()).min().unwrap_or(0),
        lengths: lengths.iter().copied().collect(),
        record: MeasureRecord {
            points: Vec::new(),
            ..record.clone()
        },
        key,
    }
}

/// Sorted, without repeats.
pub(super) fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut all: Vec<f64> = values.collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    all
}

/// A name for files: what was asked of the model, else the measure; with a number where it is taken.
fn free_slug(key: &Key, taken: &[MeasureInfo]) -> String {
    let name = if key.of.is_empty() {
        &key.measure
    } else {
        &key.of
    };
    let base = crate::page::slug(name, 30);
    let mut all = std::iter::once(base.clone()).chain((2..).map(|n| format!("{base}-{n}")));
    let free = all.find(|slug| taken.iter().all(|m| &m.slug != slug));
    free.unwrap_or(base)
}

/// The view that effective lengths and differences are taken from: of those that every cell with the thing has, the one
/// of the lowest preference.
fn headline(all: &[MeasureInfo], thing: (&str, &str), cells: &[&CellRecord]) -> Option<usize> {
    let has = |c: &CellRecord, key: &Key| c.measures.iter().any(|m| &Key::of(m) == key);
    let asked = |c: &CellRecord| {
        c.measures
            .iter()
            .any(|m| (m.measure.as_str(), m.of.as_str()) == thing)
    };
    let views = all
        .iter()
        .enumerate()
        .filter(|(_, m)| m.key.thing() == thing);
    views
        .filter(|(_, m)| cells.iter().filter(|c| asked(c)).all(|c| has(c, &m.key)))
        .min_by_key(|(_, m)| m.record.preference)
        .map(|(i, _)| i)
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

    /// The records of a measure with their seeds; one whose samples are of another kind cannot be put together with them.
    pub(super) fn measured(
        &self,
        info: &MeasureInfo,
    ) -> impl Iterator<Item = (u64, &'a MeasureRecord)> + use<'_, 'a> {
        let (key, kind) = (info.key.clone(), kind(&info.record));
        let of = move |r: &'a CellRecord| {
            let mut all = r.measures.iter();
            Some((
                r.seed,
                all.find(|m| Key::of(m) == key && self::kind(m) == kind)?,
            ))
        };
        self.records().filter_map(of)
    }

    /// Lengths at which a measure was taken, shortest first.
    pub(super) fn lengths(&self, info: &MeasureInfo) -> Vec<usize> {
        let lengths: BTreeSet<usize> = self.measured(info).flat_map(|(_, m)| m.lengths()).collect();
        lengths.into_iter().collect()
    }

    /// Lengths that the scheme refused for a measure.
    pub(super) fn refused(&self, info: &MeasureInfo) -> Vec<usize> {
        let of = self.records().flat_map(|r| &r.refused);
        let mine =
            |r: &&crate::record::Refusal| (r.measure.as_str(), r.of.as_str()) == info.key.thing();
        of.filter(mine).map(|r| r.length).collect()
    }
}

/// What two records must share to be put together.
pub(super) fn kind(
    record: &MeasureRecord,
) -> (
    crate::record::Samples,
    crate::record::Scale,
    crate::record::Better,
    usize,
) {
    (
        record.samples,
        record.scale,
        record.better,
        record.factors.len(),
    )
}
