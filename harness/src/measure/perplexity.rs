//! Perplexity past the trained length, under three protocols, and loss by position.
//!
//! The unit is a test segment inside one document: a stretch of `longest + 1` tokens, or a whole document that holds as
//! many. All lengths, schemes and seeds read the same segments, so differences are paired. Within a segment:
//!
//! - **non-overlap**: blocks of T targets, each scored given its own block only;
//! - **sliding**: windows of T that start S apart; the first scores all its targets, later ones their last S;
//!
//!   in both, a last window that would pass the end of the segment ends there, so that every target of the segment is
//!   scored once at every length;
//! - **fixed-target**: the last R targets of the segment, scored by the window of T that ends with them. The scored
//!   tokens are the same at every T, so this curve shows the effect of context length alone;
//! - **by-window**: the windows of sliding, but the mean is over windows, each by its own mean, as the script of YaRN's
//!   authors takes it (jquesnelle/yarn, eval/perplexity.py): a last window with few targets weighs as much as the first;
//! - **prefix**: the first T targets of each segment, in one window (the same script with `--truncate`).

mod points;
mod reading;
mod settings;
mod windows;

pub(super) use reading::{Losses, Reading};
pub use settings::*;
pub(super) use windows::tiles;
pub use windows::{Window, windows};

use super::{Given, Kind, Measure, Measured, Pass, Subject, Tick};
use crate::checkpoint::ends::begins;
use crate::config::Rules;
use crate::config::types::{StudyConfig, TaskConfig};
use crate::source::Source;
use crate::{Error, Result};
use farspan_datasets::{Segment, TextData};
use farspan_reports::record::{
    AlsoRecord, Better, FactorRecord, MeasureRecord, PointRecord, Refusal, Role, Samples, Scale,
    Served,
};
use points::{collect, samples};
use std::path::Path;
use windows::{Laid, starts, stride};

const ID: &str = "perplexity";

impl Measure for Perplexity {
    fn suits(study: &Kind<'_>) -> std::result::Result<(), String> {
        match (study.task, study.text) {
            (TaskConfig::Text, true) => Ok(()),
            (TaskConfig::Text, false) => {
                Err("and no data has no text to take a perplexity of; name some in [data]".into())
            }
            (TaskConfig::Of(_), _) => {
                Err("has no text to take a perplexity of; add a study with task = \"text\"".into())
            }
        }
    }

    fn by_default(_: &Kind<'_>) -> Option<Perplexity> {
        Some(Perplexity::default())
    }

    fn complete(&mut self, _: &TaskConfig, lengths: &[usize], absent: &dyn Fn(&str) -> bool) {
        if absent("lengths") {
            self.lengths = lengths.to_vec();
        }
        if absent("target") {
            let shortest = self.lengths.iter().copied().min().unwrap_or(1);
            self.target = self.target.min(shortest.max(1));
        }
    }

    fn check(&self, _: &StudyConfig, rules: &mut Rules<'_>) {
        let Perplexity {
            lengths,
            segments,
            stride,
            target,
            protocols,
            unit: _,
            bos: _,
        } = self;
        rules.lengths("lengths", lengths, 2, "one to read, one to predict");
        if let Some(count) = segments.count() {
            rules.within("segments", 1..=1_000_000, "", count);
        }
        let mut named = protocols.clone();
        named.sort();
        named.dedup();
        rules.rule(
            "protocols",
            "some of non-overlap, sliding, fixed-target, by-window and prefix, each once",
            protocols
                .iter()
                .map(|p| p.name())
                .collect::<Vec<_>>()
                .join(", "),
            named.len() == protocols.len() && !protocols.is_empty(),
        );
        let shortest = lengths.iter().copied().min().unwrap_or(usize::MAX);
        let rule = format!(
            "1 to the shortest length, {shortest}{}",
            rules.said("lengths")
        );
        match *stride {
            Stride::Fraction(share) => rules.rule(
                "stride",
                "a fraction above 0, at most 1, or { tokens = N }",
                share,
                share > 0.0 && share <= 1.0,
            ),
            Stride::Fixed { tokens } => {
                rules.rule(
                    "stride.tokens",
                    &rule,
                    tokens,
                    (1..=shortest).contains(&tokens),
                );
            }
        }
        rules.rule("target", &rule, target, (1..=shortest).contains(target));
    }

    fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    fn passes(&self, given: &Given<'_>) -> Result<Vec<Pass>> {
        let Source::Text(text) = given.source else {
            return Ok(Vec::new());
        };
        self.bos_of(text, given.checkpoint)?;
        let segments = self.segments_of(text)?;
        let targets: usize = segments.iter().map(|s| s.tokens.len() - 1).sum();
        // The sliding windows are most of it, and hold the others where their starts are alike.
        let has = |protocol| self.protocols.contains(&protocol);
        let slides = has(Protocol::Sliding) || has(Protocol::ByWindow);
        let pass = |&length: &usize| Pass {
            length,
            windows: match slides {
                true => targets as f64 / self.stride.at(length) as f64,
                false if has(Protocol::NonOverlap) => targets as f64 / length as f64,
                false => segments.len() as f64,
            },
        };
        Ok(self.lengths.iter().map(pass).collect())
    }

    fn run(
        &self,
        subject: &Subject<'_>,
        given: &Given<'_>,
        tick: Tick<'_>,
    ) -> Result<Option<Measured>> {
        let Source::Text(text) = given.source else {
            return Err(Error::Bug(
                "a study without text was asked for perplexity".into(),
            ));
        };
        let segments = self.segments_of(text)?;
        let bos = self.bos_of(text, given.checkpoint)?;
        self.measure(subject, &segments, bos, tick)
    }
}

impl Perplexity {
    /// The segments that are asked for.
    pub(super) fn segments_of(&self, text: &TextData) -> Result<Vec<Segment>> {
        let tokens = self.lengths.iter().copied().max().unwrap_or(0) + 1;
        let count = self.segments.count();
        Ok(match self.unit {
            Unit::Stretch => text.test_segments(tokens, count)?,
            Unit::Document => text.test_documents(tokens, count)?,
        })
    }

    /// The token that stands at the start of every window, if one has to: what the tokenizer puts before a text, or else
    /// the BOS of the checkpoint in the folder `checkpoint`.
    fn bos_of(&self, text: &TextData, checkpoint: Option<&Path>) -> Result<Option<u32>> {
        if self.bos == Bos::Text {
            return Ok(None);
        }
        let own = || checkpoint.map_or(Ok(None), begins);
        match text.bos()?.as_slice() {
            [bos] => Ok(Some(*bos)),
            [] if let Some(bos) = own()? => Ok(Some(bos)),
            found => Err(Error::Config(format!(
                "evaluate.perplexity.bos: expected a tokenizer that puts one token before a text, found {} ({})",
                found.len(),
                text.tokenizer_description()
            ))),
        }
    }

    /// Reads all segments at all lengths; `bos` takes the place of the first token of each window. `tick` is called after
    /// each pass with the number of tokens fed and says whether to go on; `None` if not.
    pub fn measure(
        &self,
        subject: &Subject<'_>,
        segments: &[Segment],
        bos: Option<u32>,
        tick: Tick<'_>,
    ) -> Result<Option<Measured>> {
        let mut measured = Measured::default();
        let mut records: Vec<MeasureRecord> =
            self.protocols.iter().map(|p| by_length(*p)).collect();
        let mut position = None;
        for &length in &self.lengths {
            let ready = match subject.at(length)? {
                Ok(ready) => ready,
                Err(reason) => {
                    measured.refused.push(Refusal {
                        measure: ID.into(),
                        of: String::new(),
                        length,
                        reason,
                    });
                    continue;
                }
            };
            let laid = |protocol: &Protocol| {
                let stride = stride(*protocol, self, length);
                let of = |s: &Segment| windows(*protocol, length, stride, s.tokens.len() - 1);
                (*protocol, stride, segments.iter().map(of).collect())
            };
            let laid: Vec<Laid> = self.protocols.iter().map(laid).collect();
            let mut reading = Reading {
                subject,
                segments,
                length,
                bos,
                losses: Losses::new(),
            };
            if !reading.read(&starts(&laid), &ready, tick)? {
                return Ok(None);
            }
            let losses = reading.losses;
            for (record, (protocol, stride, windows)) in records.iter_mut().zip(&laid) {
                let mut point = collect(length, windows, segments, &losses);
                point.facts.insert("stride".into(), *stride as f64);
                if *protocol == Protocol::ByWindow {
                    points::by_window(&mut point, windows, &losses);
                }
                let lines = samples(*protocol, &point, segments);
                measured.samples.extend(lines);
                record.points.push(point);
            }
            // Lengths increase, so the longest that the scheme serves is the last.
            position = by_position(length, segments, &losses);
        }
        records.retain(|record| !record.points.is_empty());
        measured.records = records;
        measured.records.extend(position);
        Ok(Some(measured))
    }
}

/// Perplexity under a protocol, without any numbers yet.
fn by_length(protocol: Protocol) -> MeasureRecord {
    let (preference, title, about) = match protocol {
        Protocol::FixedTarget => (
            0,
            "Perplexity of fixed targets",
            "The same tokens at the end of each segment are scored at every length, each given as many tokens as the \
             length says: the effect of more context alone.",
        ),
        Protocol::Sliding => (
            1,
            "Perplexity over sliding windows",
            "Windows overlap; each token is scored once, given nearly as much context as the length allows.",
        ),
        Protocol::NonOverlap => (
            2,
            "Perplexity over non-overlapping windows",
            "Each token is scored given its own window only: longer windows have fewer tokens near their beginning, so \
             this falls with the length even for a model that uses no more context.",
        ),
        Protocol::ByWindow => (
            3,
            "Perplexity as a mean over windows",
            "Windows overlap; the mean is over windows, each by the mean of the tokens that it scores, as the script of \
             YaRN's authors takes it: the first window weighs as much as a last one that is cut short.",
        ),
        Protocol::Prefix => (
            4,
            "Perplexity of the first tokens",
            "The first tokens of each segment are read in one window and all scored, as the script of YaRN's authors does \
             when it truncates: a longer length scores more tokens.",
        ),
    };
    let bits_per_byte = AlsoRecord {
        quantity: "bits per byte".into(),
        value: String::new(),
        weight: "bytes".into(),
        times: std::f64::consts::LOG2_E,
        scale: Scale::Plain,
    };
    MeasureRecord {
        measure: ID.into(),
        of: String::new(),
        view: protocol.name().into(),
        preference,
        title: title.into(),
        about: about.into(),
        quantity: "perplexity".into(),
        units: "test segments".into(),
        scale: Scale::Exp,
        better: Better::Lower,
        samples: Samples::Panel,
        role: Role::ByLength,
        chance: None,
        served: Served::Margin,
        factors: Vec::new(),
        // Means of windows do not add up to what the bytes cost.
        also: match protocol {
            Protocol::ByWindow => Vec::new(),
            _ => vec![bits_per_byte],
        },
        points: Vec::new(),
    }
}

/// Bucket borders two to an octave: 0, 1, 2, 3, 4, 6, 8, 12, 16, 24, …
fn position_buckets(length: usize) -> Vec<usize> {
    let mut starts = vec![0, 1, 2, 3];
    let mut octave = 4;
    while octave < length {
        starts.extend([octave, octave + octave / 2]);
        octave *= 2;
    }
    starts.retain(|&s| s < length);
    starts
}

/// Loss by position in windows from the beginning of each segment; nothing if no protocol reads these.
fn by_position(length: usize, segments: &[Segment], losses: &Losses) -> Option<MeasureRecord> {
    let starts = position_buckets(length);
    let ends = starts.iter().skip(1).copied().chain([length]);
    let point = |(from, to): (usize, usize)| {
        let sum = |s: usize| {
            let nll = losses.get(&(s, 0))?;
            Some(nll[from..to].iter().map(|&x| f64::from(x)).sum::<f64>())
        };
        Some(PointRecord {
            length,
            at: vec![from as f64],
            value: (0..segments.len()).map(sum).collect::<Option<_>>()?,
            weight: vec![(to - from) as f64; segments.len()],
            ..PointRecord::default()
        })
    };
    let points = starts
        .iter()
        .copied()
        .zip(ends)
        .map(point)
        .collect::<Option<Vec<_>>>()?;
    Some(MeasureRecord {
        measure: "position".into(),
        of: String::new(),
        view: String::new(),
        preference: 0,
        title: "Loss by position".into(),
        about: "Mean loss of the tokens at each position of windows of the longest length, from the beginning of each \
                segment."
            .into(),
        quantity: "perplexity".into(),
        units: "test segments".into(),
        scale: Scale::Exp,
        better: Better::Lower,
        samples: Samples::Panel,
        role: Role::Profile,
        chance: None,
        served: Served::Never,
        factors: vec![FactorRecord {
            name: "position".into(),
            title: "position in the window, tokens".into(),
            share: false,
        }],
        also: Vec::new(),
        points,
    })
}

#[cfg(test)]
mod tests;
