//! What a measure found, as the page knows it: without a word of which measure it is.
//!
//! A [`MeasureRecord`] says what its numbers are (unit, direction, chance, how intervals are taken, what counts as
//! served) and keeps one sample per unit at every point. Figures, tables, effective lengths, differences and sentences
//! are made from that alone, so a new measure needs nothing here.

use super::non_finite;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One measure of a cell, of one thing, in one view.
///
/// `measure`, `of` and `view` together name it: the same in every cell of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasureRecord {
    /// Id of the measure (`perplexity`, `task`).
    pub measure: String,
    /// What was asked of the model: a task, with its variant (`flip-flop/sparse`); empty if the measure asks one thing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub of: String,
    /// One of several readings of the same samples (a protocol); empty if there is one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub view: String,
    /// Which view headlines: the lowest that every cell of a study has.
    #[serde(default)]
    pub preference: u32,
    /// Heading (`Perplexity over sliding windows`, `Flip-flop, sparse`).
    pub title: String,
    /// How it is taken, in a sentence or two.
    pub about: String,
    /// Label of the number as it is shown, with a small letter (`perplexity`, `keys found`).
    pub quantity: String,
    /// What one unit is, in the plural (`test segments`, `prompts`): the unit of resampling.
    pub units: String,
    /// How the mean is shown.
    pub scale: Scale,
    /// Which way is better.
    pub better: Better,
    /// What the samples are.
    pub samples: Samples,
    /// How it is read: by length, or by its one factor at its one length.
    pub role: Role,
    /// The mean of a model that knows nothing, on the scale of the mean, if it is known; of points that do not say their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chance: Option<f64>,
    /// When a length counts as served.
    pub served: Served,
    /// What else the points of one length differ in; the names of [`PointRecord::at`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub factors: Vec<FactorRecord>,
    /// Other numbers that follow from the samples.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<AlsoRecord>,
    /// What was found: lengths rising, within a length the last factor fastest. The mean at a length is over all its
    /// points.
    pub points: Vec<PointRecord>,
}

/// How a mean is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// As its exponential, on a logarithmic axis: a mean loss in nats, shown as perplexity. Differences stay in nats.
    Exp,
    /// As a share from 0 to 1, in percent.
    Share,
    /// As it is.
    Plain,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
}

/// What the samples of a point are; intervals follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Samples {
    /// Each is 0 or 1 of weight 1: a trial. Wilson's interval within a seed.
    Trials,
    /// Sums and weights: the mean is the sum of the values over the sum of the weights. The same units in the same order
    /// for every scheme, seed and point: intervals over units and seeds.
    Panel,
    /// Sums and weights, of other units at every point and seed, the same for every scheme.
    Sums,
}

/// How a record is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// By length: curves, maps, tables, differences, effective lengths.
    ByLength,
    /// One length, by its one factor: a profile (loss by position). No differences.
    Profile,
}

/// When a length counts as served: the whole interval lies on the good side of the bound.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Served {
    /// The mean is worse by less than the run's margin than at the trained length.
    Margin,
    /// The mean is at least so large.
    AtLeast(f64),
    /// The mean is at least this share of the cell's own at the trained length.
    OfOwn(f64),
    /// No length is called served.
    Never,
}

/// What the points of one length differ in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FactorRecord {
    /// Its name, as configs write it (`depth`).
    pub name: String,
    /// For axes (`depth of the key`).
    pub title: String,
    /// Whether values are shares from 0 to 1.
    pub share: bool,
}

/// Another number from the samples of each point: `times` · the sum of a column over the sum of another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlsoRecord {
    /// Its name (`bits per byte`).
    pub quantity: String,
    /// Which column is summed; empty for [`PointRecord::value`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// By the sum of which column it is divided; empty for [`PointRecord::weight`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub weight: String,
    /// Factor.
    pub times: f64,
    /// How it is shown.
    pub scale: Scale,
}

/// The samples of one length and one value of each factor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointRecord {
    /// Tokens fed.
    pub length: usize,
    /// A value of each factor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at: Vec<f64>,
    /// One sum a unit: nats of its scored tokens, right answers, 0 or 1.
    #[serde(with = "non_finite::vec")]
    pub value: Vec<f64>,
    /// The mean of a model that knows nothing, where it differs from point to point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chance: Option<f64>,
    /// What each is a sum over (scored tokens, answers); empty if all are 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weight: Vec<f64>,
    /// Other numbers of each unit (`bytes`, `log-probability`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, Column>,
    /// Numbers of the point itself (`distance` in tokens from the end to what is asked for; `stride`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, f64>,
}

/// One number a unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Column(#[serde(with = "non_finite::vec")] pub Vec<f64>);

impl MeasureRecord {
    /// What names it within a cell.
    #[must_use]
    pub fn key(&self) -> (&str, &str, &str) {
        (&self.measure, &self.of, &self.view)
    }

    /// The points of a length.
    pub fn at(&self, length: usize) -> impl Iterator<Item = &PointRecord> {
        self.points.iter().filter(move |p| p.length == length)
    }

    /// Its lengths, rising, each once.
    #[must_use]
    pub fn lengths(&self) -> Vec<usize> {
        let mut lengths: Vec<usize> = self.points.iter().map(|p| p.length).collect();
        lengths.sort_unstable();
        lengths.dedup();
        lengths
    }
}

impl super::CellRecord {
    /// What was measured under this name, if it was.
    #[must_use]
    pub fn measured(&self, measure: &str, of: &str, view: &str) -> Option<&MeasureRecord> {
        self.measures
            .iter()
            .find(|m| m.key() == (measure, of, view))
    }
}

impl PointRecord {
    /// Weight of unit `i`.
    #[must_use]
    pub fn weight(&self, i: usize) -> f64 {
        self.weight.get(i).copied().unwrap_or(1.0)
    }
}
