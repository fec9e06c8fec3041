//! What is shown of one measure: of a study, and of one of its curves.

use super::Estimate;
use crate::record::{Better, MeasureRecord, Role, Scale, Served};
use serde::Serialize;

/// What names a measure within a study.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Key {
    /// Id of the measure.
    pub measure: String,
    /// What was asked of the model; empty if the measure asks one thing.
    pub of: String,
    /// One of several readings of the same samples; empty if there is one.
    pub view: String,
}

impl Key {
    /// Of a record.
    #[must_use]
    pub fn of(record: &MeasureRecord) -> Key {
        let (measure, of, view) = record.key();
        Key {
            measure: measure.into(),
            of: of.into(),
            view: view.into(),
        }
    }

    /// Without the view: several views of one thing share it.
    #[must_use]
    pub fn thing(&self) -> (&str, &str) {
        (&self.measure, &self.of)
    }
}

/// One measure of a study.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeasureInfo {
    /// What names it.
    pub key: Key,
    /// Its name in file names, without the view; different for each thing of a study.
    pub slug: String,
    /// As the first cell wrote it, without its points.
    pub record: MeasureRecord,
    /// Whether differences, effective lengths and sentences are taken from this view.
    pub headline: bool,
    /// Lengths in tokens, shortest first.
    pub lengths: Vec<usize>,
    /// The values of each factor, smallest first.
    pub values: Vec<Vec<f64>>,
    /// Numbers that are the same at all points of a length (`stride`): a value for each length.
    pub facts: Vec<(String, Vec<f64>)>,
    /// The mean of a model that knows nothing at each length, over all its points; none where it is not known.
    pub chance: Vec<Option<f64>>,
    /// Units of a point of a seed; the smallest number where they differ.
    pub units: usize,
}

impl MeasureInfo {
    /// Whether curves are compared by it.
    #[must_use]
    pub fn compares(&self) -> bool {
        self.headline && self.record.role == Role::ByLength
    }

    /// What its mean is called in sentences: of an exponential the mean is a loss.
    #[must_use]
    pub fn noun(&self) -> &str {
        match self.record.scale {
            Scale::Exp => "loss",
            Scale::Share | Scale::Plain => &self.record.quantity,
        }
    }

    /// The unit of its mean and of differences, with a blank before it.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        match self.record.scale {
            Scale::Exp => " nats",
            Scale::Share | Scale::Plain => "",
        }
    }

    /// `loss (nats)`, `keys found (share)`: the mean, for axes.
    #[must_use]
    pub fn axis(&self) -> String {
        match self.record.scale {
            Scale::Exp => "loss (nats)".into(),
            Scale::Share => format!("{} (share)", self.record.quantity),
            Scale::Plain => self.record.quantity.clone(),
        }
    }

    /// The mean of a model that knows nothing, at a length.
    #[must_use]
    pub fn chance_at(&self, length: usize) -> Option<f64> {
        let at = self.lengths.iter().position(|&l| l == length)?;
        self.chance.get(at).copied().flatten()
    }

    /// The least (or most) that is asked of a mean, where that is fixed.
    #[must_use]
    pub fn bound(&self) -> Option<f64> {
        match self.record.served {
            Served::AtLeast(bound) => Some(bound),
            Served::Margin | Served::OfOwn(_) | Served::Never => None,
        }
    }

    /// 1 if more of the mean is worse, else −1.
    pub(crate) fn worse(&self) -> f64 {
        match self.record.better {
            Better::Lower => 1.0,
            Better::Higher => -1.0,
        }
    }

    /// The mean as it is shown.
    pub(crate) fn shown(&self, mean: Estimate) -> Estimate {
        shown(mean, self.record.scale)
    }
}

/// A mean as it is shown on a scale.
pub(crate) fn shown(mean: Estimate, scale: Scale) -> Estimate {
    match scale {
        Scale::Exp => mean.map(f64::exp),
        Scale::Share | Scale::Plain => mean,
    }
}

/// What was measured of one curve.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Which measure.
    pub key: Key,
    /// By length, shortest first; of a profile its one length.
    pub points: Vec<MeasuredPoint>,
    /// For each factor: by length, then by its value, over all values of the other factors.
    pub grids: Vec<Vec<GridCell>>,
    /// By length, then by the distance from the end to what is asked for, where points tell it.
    pub distances: Vec<DistancePoint>,
    /// How far back what is asked for is found, one entry per length and threshold.
    pub reaches: Vec<KMax>,
    /// By the values of the one factor, of a profile.
    pub profile: Option<Profile>,
    /// The longest length that is served.
    pub effective: Option<EffectiveLength>,
}

impl Measured {
    /// What was measured at a length.
    #[must_use]
    pub fn at(&self, length: usize) -> Option<&MeasuredPoint> {
        self.points.iter().find(|p| p.length == length)
    }
}

/// A curve at one length.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeasuredPoint {
    /// Tokens fed.
    pub length: usize,
    /// Length over the trained length.
    pub multiple: f64,
    /// The mean: of an exponential in nats. Every seed has the same weight, of trials every trial.
    pub mean: Estimate,
    /// As it is shown.
    pub shown: Estimate,
    /// The other numbers that follow from the samples, in the order of the record; none where a column is missing.
    pub also: Vec<Option<Estimate>>,
    /// Mean of each column over all units.
    pub columns: Vec<(String, f64)>,
    /// Sum of all samples, over all seeds.
    pub sum: f64,
    /// What that is a sum over.
    pub weight: f64,
    /// Units of a seed; the smallest number where they differ.
    pub units: usize,
    /// Seeds behind the value.
    pub seeds: usize,
    /// From the trained length to this one; none at the trained length.
    pub change: Option<Change>,
    /// Whether it is shown to be served; none where the measure calls no length so.
    pub service: Option<Service>,
}

/// Change of a mean from the trained length to another one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Mean here minus mean at the trained length.
    pub mean: Estimate,
    /// Whether it is significantly worse: its interval lies on that side of 0; unknown without an interval.
    pub worse: Option<bool>,
}

/// What an interval shows of a length, held against a bound: the most that a loss may rise, the least that an accuracy
/// must reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// The whole interval lies inside the bound.
    Served,
    /// The interval holds the bound, or there is none: too few units to say.
    NotShown,
    /// The whole interval lies outside, or the loss is not finite.
    NotServed,
}

/// The units at one length and one value of a factor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GridCell {
    /// Tokens fed.
    pub length: usize,
    /// The value of the factor.
    pub at: f64,
    /// Tokens from the end to what is asked for, where it is one number.
    pub distance: Option<f64>,
    /// The mean.
    pub mean: Estimate,
    /// Mean of each column over all units.
    pub columns: Vec<(String, f64)>,
    /// Sum of all samples, over all seeds.
    pub sum: f64,
    /// What that is a sum over.
    pub weight: f64,
    /// Units over all seeds.
    pub units: usize,
}

/// The units at one length and distance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DistancePoint {
    /// Tokens fed.
    pub length: usize,
    /// Tokens from the end to what is asked for.
    pub distance: f64,
    /// The mean.
    pub mean: Estimate,
    /// Units over all seeds.
    pub units: usize,
}

/// The largest distance k such that retrieval succeeds at it and at every shorter tested distance (Chen et al. 2023,
/// "Extending Context Window of Large Language Models via Positional Interpolation", section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct KMax {
    /// Tokens fed.
    pub length: usize,
    /// Share that must succeed.
    pub threshold: f64,
    /// In tokens; 0 if the shortest tested distance fails already.
    pub k: f64,
    /// The same, when the lower end of the interval must reach the threshold.
    pub conservative: f64,
    /// Whether `k` is the longest tested distance, so that the true one may be larger.
    pub at_end: bool,
}

/// A mean by the value of a factor, at one length.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Profile {
    /// Tokens fed.
    pub length: usize,
    /// Smallest value first.
    pub buckets: Vec<Bucket>,
    /// Of losses: start of the first bucket past the trained length whose mean exceeds that of the second half of the
    /// trained length by more than 0.1 nats; none if no bucket does.
    pub first_failure: Option<f64>,
}

/// From one value of a factor to the next.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bucket {
    /// The value.
    pub start: f64,
    /// The next value; the length after the last.
    pub end: f64,
    /// The mean.
    pub mean: Estimate,
}

/// The longest evaluated length that is shown to be served, by a stated rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EffectiveLength {
    /// In tokens; 0 if no evaluated length is shown to be served.
    pub length: usize,
    /// Length over the trained length.
    pub multiple: f64,
    /// The longest evaluated length that is not shown to be lost either: beyond `length` where intervals are too wide.
    pub high: usize,
    /// Shorter lengths that are not served, or not shown to be.
    pub gaps: Vec<(usize, Service)>,
    /// Whether `length` is the longest evaluated one, so that the true one may be larger.
    pub at_end: bool,
    /// The longest evaluated length that the rule looked at.
    pub longest: usize,
    /// Whether the next longer length was refused by the scheme itself, not measured and found bad.
    pub refused_beyond: bool,
    /// The rule in words.
    pub rule: String,
}

impl EffectiveLength {
    /// The length as tables and figures show it: `512`, `≥1024` where the longest evaluated one is served, and for none
    /// `none` or, where one is not excluded, `not shown`.
    #[must_use]
    pub fn words(&self) -> String {
        match self.length {
            0 if self.high == 0 => "none".into(),
            0 => "not shown".into(),
            length if self.at_end && !self.refused_beyond => format!("≥{length}"),
            length => length.to_string(),
        }
    }

    /// Shorter lengths that are not served, in words: `not at 256`, `not at 256, not shown at 512`; empty if there are none.
    #[must_use]
    pub fn holes(&self) -> String {
        let of = |wanted: Service, words: &str| {
            let gaps = self.gaps.iter().filter(|(_, s)| *s == wanted);
            let lengths: Vec<String> = gaps.map(|(length, _)| length.to_string()).collect();
            match lengths.as_slice() {
                [] => None,
                [one] => Some(format!("{words} {one}")),
                [most @ .., last] => Some(format!("{words} {} and {last}", most.join(", "))),
            }
        };
        let parts = [
            of(Service::NotServed, "not at"),
            of(Service::NotShown, "not shown at"),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}
