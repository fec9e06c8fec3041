//! LongPPL: perplexity over the tokens that need a long context (Fang et al. 2024, arXiv 2410.23771).
//!
//! An evaluator tells which tokens these are ([`farspan_datasets::words::key_tokens`]): it reads each test segment twice, in
//! windows with a long context and in windows with a short one, once for all lengths. A key token is one that the long
//! context helps much and that is predicted well with it. At each length T, the model is scored on the key tokens alone, in
//! windows of T that start T/2 apart. The authors read whole texts: that is the longest length of segments that are
//! stretches, with an evaluator that reads as far.
//!
//! The unit is a test segment: its sum of losses and how many key tokens it has. Without an evaluator of its own the model
//! tells its key tokens itself, so that two models are scored on other tokens and none can come out worse than exp(−β) at the
//! length of its long context.

mod evaluator;
mod expected;
mod losses;

use super::perplexity::{Perplexity, Segments, Unit};
use super::{Given, Kind, Measure, Measured, Other, Pass, Subject, Tick};
use crate::config::Rules;
use crate::config::types::{StudyConfig, TaskConfig};
use crate::source::Source;
use crate::{Error, Result};
use evaluator::Evaluator;
use farspan_datasets::words::key_tokens::{KeyRule, key_tokens};
use farspan_datasets::{Segment, TextData};
use farspan_reports::record::{
    AlsoRecord, Better, Column, MeasureRecord, PointRecord, Refusal, Role, Samples, Scale, Served,
};
use losses::losses;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const ID: &str = "long_ppl";

/// LongPPL: perplexity of the tokens that need a long context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LongPpl {
    /// Lengths in tokens, increasing. Default: 1, 2, 4 and 8 times the trained length.
    pub lengths: Vec<usize>,
    /// Test segments: how many, or `"all"` that there is room for.
    pub segments: Segments,
    /// What a segment is.
    pub unit: Unit,
    /// The model that tells key tokens: a checkpoint folder, a model id in the Hugging Face cache, or a finished cell of a
    /// run (RUN:CELL). Default: the model that is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluator: Option<String>,
    /// Tokens of the evaluator's long context, at most. Default: the longest length with an `evaluator`, else the trained
    /// length.
    pub long_context: usize,
    /// Tokens of its short context, at least. Default: a quarter of the trained length.
    pub short_context: usize,
    /// Tokens between the starts of the evaluator's windows: a context is longer than asked for by less than that. Default:
    /// a quarter of `short_context`.
    pub stride: usize,
    /// Least gain of a key token by the long context, nats.
    pub alpha: f64,
    /// Minus the largest loss of a key token with it, nats.
    pub beta: f64,
}

impl Default for LongPpl {
    /// No lengths and contexts yet: they follow from the trained length.
    fn default() -> LongPpl {
        let KeyRule { alpha, beta, .. } = KeyRule::default();
        LongPpl {
            lengths: Vec::new(),
            segments: Segments::Count(32),
            unit: Unit::default(),
            evaluator: None,
            long_context: 0,
            short_context: 0,
            stride: 0,
            alpha,
            beta,
        }
    }
}

impl Measure for LongPpl {
    fn suits(study: &Kind<'_>) -> std::result::Result<(), String> {
        match (study.task, study.text) {
            (TaskConfig::Text, true) => Ok(()),
            (TaskConfig::Text, false) => {
                Err("and no data has no text whose tokens could need a long context; name some in [data]".into())
            }
            (TaskConfig::Of(_), _) => {
                Err("has no text whose tokens could need a long context; add a study with task = \"text\"".into())
            }
        }
    }

    fn by_default(_: &Kind<'_>) -> Option<LongPpl> {
        None
    }

    fn complete(&mut self, _: &TaskConfig, lengths: &[usize], absent: &dyn Fn(&str) -> bool) {
        if absent("lengths") {
            self.lengths = lengths.to_vec();
        }
        let trained = lengths.first().copied().unwrap_or(1);
        if absent("long_context") {
            let longest = self.lengths.iter().copied().max();
            self.long_context = match self.evaluator {
                Some(_) => longest.unwrap_or(trained),
                None => trained,
            };
        }
        if absent("short_context") {
            self.short_context = (trained / 4).max(1);
        }
        if absent("stride") {
            self.stride = (self.short_context / 4).max(1);
        }
    }

    fn check(&self, _: &StudyConfig, rules: &mut Rules<'_>) {
        rules.lengths("lengths", &self.lengths, 2, "one to read, one to predict");
        if let Some(count) = self.segments.count() {
            rules.within("segments", 1..=1_000_000, "", count);
        }
        rules.within(
            "short_context",
            1..=crate::config::LONGEST,
            "",
            self.short_context,
        );
        rules.within("stride", 1..=crate::config::LONGEST, "", self.stride);
        let least = self.short_context.saturating_add(self.stride);
        let rule = format!(
            "{least} (short_context + stride) to {}",
            crate::config::LONGEST
        );
        let fits = (least..=crate::config::LONGEST).contains(&self.long_context);
        rules.rule("long_context", &rule, self.long_context, fits);
        let finite = self.alpha.is_finite() && self.alpha >= 0.0;
        rules.rule("alpha", "a number of nats, 0 or more", self.alpha, finite);
        let below = self.beta.is_finite() && self.beta < 0.0;
        rules.rule("beta", "a number of nats below 0", self.beta, below);
    }

    fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Those of an evaluator count as if it were the model.
    fn passes(&self, given: &Given<'_>) -> Result<Vec<Pass>> {
        let Source::Text(text) = given.source else {
            return Ok(Vec::new());
        };
        Ok(expected::passes(self, &self.segments_of(text)?))
    }

    fn others(&self, given: &Given<'_>) -> Result<Vec<Other>> {
        match (given.source, &self.evaluator) {
            (Source::Text(text), Some(name)) => {
                let asked = evaluator::read(name, self.long_context, given.registry)?;
                Ok(vec![expected::other(self, asked, &self.segments_of(text)?)])
            }
            _ => Ok(Vec::new()),
        }
    }

    fn reads(&self, _: &Given<'_>) -> Result<Vec<String>> {
        self.evaluator
            .as_deref()
            .map_or(Ok(Vec::new()), evaluator::hashes)
    }

    fn run(
        &self,
        subject: &Subject<'_>,
        given: &Given<'_>,
        tick: Tick<'_>,
    ) -> Result<Option<Measured>> {
        let Source::Text(text) = given.source else {
            return Err(Error::Bug(
                "a study without text was asked for LongPPL".into(),
            ));
        };
        let segments = self.segments_of(text)?;
        let (who, keys) = match &self.evaluator {
            None => (
                "the model itself".to_string(),
                self.keys(subject, &segments, tick)?,
            ),
            Some(name) => {
                let evaluator = Evaluator::open(name, given.registry, subject.model.device())?;
                (
                    evaluator.words(),
                    evaluator.keys(self, text, &segments, tick)?,
                )
            }
        };
        match keys {
            Some(keys) => self.measure(subject, &segments, (&who, keys), tick),
            None => Ok(None),
        }
    }
}

/// Key tokens of each segment, as places among its targets; or why there are none, in words.
pub type Keys = std::result::Result<Vec<Vec<usize>>, String>;

impl LongPpl {
    fn segments_of(&self, text: &TextData) -> Result<Vec<Segment>> {
        let lay = Perplexity {
            lengths: self.lengths.clone(),
            segments: self.segments,
            unit: self.unit,
            ..Perplexity::default()
        };
        lay.segments_of(text)
    }

    /// Tokens fed in a window with a short context: its last `stride` targets have `short_context` tokens or more.
    fn short(&self) -> usize {
        self.short_context + self.stride - 1
    }

    /// The key tokens that a model tells; none of the first `short_context`, which have no longer one. `None` if a stop was
    /// asked for.
    pub fn keys(
        &self,
        subject: &Subject<'_>,
        segments: &[Segment],
        tick: Tick<'_>,
    ) -> Result<Option<Keys>> {
        let mut read = Vec::new();
        for length in [self.long_context, self.short()] {
            let all = |_: usize, _: usize| true;
            match losses(subject, segments, (length, self.stride), &all, tick)? {
                None => return Ok(None),
                Some(Err(reason)) => return Ok(Some(Err(reason))),
                Some(Ok(losses)) => read.push(losses),
            }
        }
        let rule = KeyRule {
            alpha: self.alpha,
            beta: self.beta,
            from: self.short_context - 1,
        };
        let (long, short) = (&read[0], &read[1]);
        let keys = short.iter().zip(long);
        let keys = keys.map(|(short, long)| key_tokens(rule, short, long).unwrap_or_default());
        Ok(Some(Ok(keys.collect())))
    }

    /// Reads the key tokens that `who` has told at all lengths. `tick` is called after each pass with the number of tokens
    /// fed and says whether to go on; `None` if not.
    pub fn measure(
        &self,
        subject: &Subject<'_>,
        segments: &[Segment],
        (who, keys): (&str, Keys),
        tick: Tick<'_>,
    ) -> Result<Option<Measured>> {
        let mut measured = Measured::default();
        let refusal = |length: usize, reason: &str| Refusal {
            measure: ID.into(),
            of: String::new(),
            length,
            reason: reason.into(),
        };
        let keys = match keys {
            Ok(keys) if keys.iter().all(Vec::is_empty) => Err(self.no_keys(who, segments)),
            Err(reason) => Err(format!("key tokens cannot be told by {who}: {reason}")),
            Ok(keys) => Ok(keys),
        };
        let keys = match keys {
            Ok(keys) => keys,
            Err(reason) => {
                let all = self.lengths.iter().map(|&length| refusal(length, &reason));
                measured.refused.extend(all);
                return Ok(Some(measured));
            }
        };
        let mut record = self.record(who);
        for &length in &self.lengths {
            let wanted = |s: usize, target: usize| keys[s].binary_search(&target).is_ok();
            let windows = (length, half(length));
            let losses = match losses(subject, segments, windows, &wanted, tick)? {
                None => return Ok(None),
                Some(Ok(losses)) => losses,
                Some(Err(reason)) => {
                    measured.refused.push(refusal(length, &reason));
                    continue;
                }
            };
            let sum = |(keys, nll): (&Vec<usize>, &Vec<f32>)| -> f64 {
                keys.iter().map(|&key| f64::from(nll[key])).sum()
            };
            let counts: Vec<f64> = keys.iter().map(|keys| keys.len() as f64).collect();
            let targets = segments.iter().map(|s| (s.tokens.len() - 1) as f64);
            let point = PointRecord {
                length,
                value: keys.iter().zip(&losses).map(sum).collect(),
                columns: [
                    ("key tokens".to_string(), Column(counts.clone())),
                    ("targets".to_string(), Column(targets.collect())),
                ]
                .into(),
                weight: counts,
                ..PointRecord::default()
            };
            measured.samples.extend(samples(&point, segments, &keys));
            record.points.push(point);
        }
        if !record.points.is_empty() {
            measured.records.push(record);
        }
        Ok(Some(measured))
    }

    /// What makes a token key, in words.
    fn rule(&self) -> String {
        format!(
            "gains more than {} nats from {} tokens of context over {} to {} and has a loss below {} nats with them",
            self.alpha,
            self.long_context,
            self.short_context,
            self.short(),
            -self.beta
        )
    }

    fn no_keys(&self, who: &str, segments: &[Segment]) -> String {
        let targets: usize = segments.iter().map(|s| s.tokens.len() - 1).sum();
        let rule = self.rule();
        format!("no token is key: told by {who}, none of {targets} {rule}")
    }

    fn record(&self, who: &str) -> MeasureRecord {
        let own = match self.evaluator {
            None => {
                " As each model tells its own, schemes are scored on different tokens, and one that gains little from \
                 context has few: compare the shares of key tokens too."
            }
            Some(_) => "",
        };
        MeasureRecord {
            measure: ID.into(),
            of: String::new(),
            view: String::new(),
            preference: 0,
            title: "LongPPL".into(),
            about: format!(
                "Perplexity over the tokens of each test segment that need a long context, the same at every length, in \
                 windows that overlap by half (Fang et al. 2024, arXiv 2410.23771). They are told by {who}: a key token {}.{own}",
                self.rule()
            ),
            quantity: "perplexity of key tokens".into(),
            units: "test segments".into(),
            scale: Scale::Exp,
            better: Better::Lower,
            samples: Samples::Panel,
            role: Role::ByLength,
            chance: None,
            served: Served::Margin,
            factors: Vec::new(),
            also: vec![AlsoRecord {
                quantity: "share of key tokens".into(),
                value: "key tokens".into(),
                weight: "targets".into(),
                times: 1.0,
                scale: Scale::Share,
            }],
            points: Vec::new(),
        }
    }
}

/// Tokens between the starts of windows that are scored.
fn half(length: usize) -> usize {
    length.div_ceil(2)
}

/// Every segment's loss with where its key tokens lie, for a person to read.
fn samples(point: &PointRecord, segments: &[Segment], keys: &[Vec<usize>]) -> Vec<Value> {
    let line = |(i, segment): (usize, &Segment)| {
        // Target t is the token behind it.
        let tokens: Vec<usize> = keys[i].iter().map(|t| segment.offset + t + 1).collect();
        json!({
            "measure": ID, "length": point.length, "segment": i, "document": segment.document,
            "offset": segment.offset, "nll": format!("{}", point.value[i]), "key_tokens": tokens,
        })
    };
    segments.iter().enumerate().map(line).collect()
}
