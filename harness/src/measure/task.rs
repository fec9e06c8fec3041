//! Whether a model answers the examples of the task that it was trained on, by length and by the task's factors.
//!
//! One teacher-forced forward per batch of prompts. Where all of a prompt's answers must be right, greedy decoding gives
//! the same verdict: at its first wrong symbol it would have left the answer, and before it both contexts are the same.

mod ask;

use super::grid::{self, Axis};
use super::{Given, Kind, Measure, Measured, Pass, Subject, Tick};
use crate::config::types::{Named, StudyConfig, TaskConfig};
use crate::config::{LONGEST, Rules};
use crate::source::Source;
use crate::{Error, Result};
use ask::{ask, samples};
use farspan_datasets::tasks::{self, AnyTask, Factor, Point, Rule};
use farspan_reports::record::{
    AlsoRecord, Better, FactorRecord, MeasureRecord, Refusal, Role, Samples, Scale, Served,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashSet};

const ID: &str = "task";

/// The grid of prompts. The same prompts for every scheme.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TaskGrid {
    /// Lengths in tokens, increasing. Default: 1, 2, 4 and 8 times the trained length.
    pub lengths: Vec<usize>,
    /// Prompts per length and value of each factor.
    pub prompts: usize,
    /// Values of the task's factors: a list, or so many from 0 to 1 for a share (`{ depth = 11 }`). Default: the task's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub grid: BTreeMap<String, Axis>,
    /// Share of what is asked that must be right for a length to count as served.
    pub at_least: f64,
    /// The same task asked under other settings than those of training, by name:
    /// `{ sparse = { ignore = 0.98 } }`. It must have the same symbols.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub variants: BTreeMap<String, Map<String, Value>>,
}

impl Default for TaskGrid {
    /// No lengths yet: they follow from the trained length.
    fn default() -> TaskGrid {
        TaskGrid {
            lengths: Vec::new(),
            prompts: 20,
            grid: BTreeMap::new(),
            at_least: 0.8,
            variants: BTreeMap::new(),
        }
    }
}

impl TaskGrid {
    fn points(&self, factors: &[Factor], length: usize) -> Vec<Point> {
        grid::points(&self.grid, factors, length)
    }

    /// The study's task with its variants, by the name of their records.
    fn tasks(&self, settings: &Named) -> Result<Vec<(String, Box<dyn AnyTask>)>> {
        let mut tasks = vec![(settings.id.clone(), settings.task(&Map::new())?)];
        for (name, other) in &self.variants {
            tasks.push((format!("{}/{name}", settings.id), settings.task(other)?));
        }
        Ok(tasks)
    }
}

impl Measure for TaskGrid {
    fn suits(study: &Kind<'_>) -> std::result::Result<(), String> {
        match study.task {
            TaskConfig::Of(_) => Ok(()),
            TaskConfig::Text => Err(
                "has no task whose answers could be counted: in tiny models retrieval does not emerge from text; add a \
                 study with the task itself (`farspan list tasks`)"
                    .into(),
            ),
        }
    }

    fn by_default(_: &Kind<'_>) -> Option<TaskGrid> {
        Some(TaskGrid::default())
    }

    fn complete(&mut self, _: &TaskConfig, lengths: &[usize], absent: &dyn Fn(&str) -> bool) {
        if absent("lengths") {
            self.lengths = lengths.to_vec();
        }
    }

    fn check(&self, study: &StudyConfig, rules: &mut Rules<'_>) {
        rules.within("prompts", 1..=100_000, "", self.prompts);
        let fraction = self.at_least > 0.0 && self.at_least <= 1.0;
        rules.rule(
            "at_least",
            "a fraction above 0, at most 1",
            self.at_least,
            fraction,
        );
        let TaskConfig::Of(settings) = &study.task else {
            return;
        };
        // What is wrong with the task itself is told where it stands.
        let Ok(task) = settings.task(&Map::new()) else {
            return;
        };
        let before = rules.told();
        let factors = task.factors();
        for (name, axis) in &self.grid {
            let known: Vec<&str> = factors.iter().map(|f| f.name).collect();
            let key = format!("grid.{name}");
            let Some(factor) = factors.iter().find(|f| f.name == name) else {
                let expected = match known.as_slice() {
                    [] => format!("no factor, as {} has none", settings.id),
                    known => format!("a factor of {} ({})", settings.id, known.join(", ")),
                };
                rules.rule(&key, &expected, name, false);
                continue;
            };
            axis.check(factor, &key, rules);
        }
        if rules.told() > before {
            return;
        }
        for (name, other) in &self.variants {
            let key = format!("variants.{name}");
            match settings.task(other) {
                Err(error) => rules.rule(&key, "settings of the task", error, false),
                Ok(variant) => {
                    let expected = format!("as many symbols as the task has, {}", task.vocab());
                    let same = variant.vocab() == task.vocab();
                    rules.rule(&key, &expected, variant.vocab(), same);
                    self.check_points(variant.as_ref(), rules);
                }
            }
        }
        self.check_points(task.as_ref(), rules);
    }

    fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    fn passes(&self, given: &Given<'_>) -> Result<Vec<Pass>> {
        let Source::Task(settings, task) = given.source else {
            return Ok(Vec::new());
        };
        let tasks = self.tasks(settings)?.len();
        let pass = |&length: &usize| Pass {
            length,
            windows: (tasks * self.points(&task.factors(), length).len() * self.prompts) as f64,
        };
        Ok(self.lengths.iter().map(pass).collect())
    }

    fn run(
        &self,
        subject: &Subject<'_>,
        given: &Given<'_>,
        tick: Tick<'_>,
    ) -> Result<Option<Measured>> {
        let Source::Task(settings, _) = given.source else {
            return Err(Error::Bug("a study of text was asked for its task".into()));
        };
        let mut measured = Measured::default();
        for (of, task) in self.tasks(settings)? {
            if !self.measure(subject, &of, task.as_ref(), given.seed, &mut measured, tick)? {
                return Ok(None);
            }
        }
        Ok(Some(measured))
    }
}

impl TaskGrid {
    /// Asks for one task, whose record is called `of`; whether it came to its end.
    pub fn measure(
        &self,
        subject: &Subject<'_>,
        of: &str,
        task: &dyn AnyTask,
        seed: u64,
        measured: &mut Measured,
        tick: Tick<'_>,
    ) -> Result<bool> {
        let mut record = self.record(of, task);
        for &length in &self.lengths {
            let ready = match subject.at(length)? {
                Ok(ready) => ready,
                Err(reason) => {
                    measured.refused.push(Refusal {
                        measure: ID.into(),
                        of: of.into(),
                        length,
                        reason,
                    });
                    continue;
                }
            };
            let mut batches = 0;
            for point in self.points(&task.factors(), length) {
                let asked = tasks::grid(task, seed, &point, self.prompts);
                if let Some(reason) = subject.beyond(task, &asked.batch, &ready)? {
                    record.points.retain(|found| found.length != length);
                    measured.refused.push(Refusal {
                        measure: ID.into(),
                        of: of.into(),
                        length,
                        reason,
                    });
                    break;
                }
                let Some(mut found) = ask(subject, task, &ready, &asked, &mut batches, tick)?
                else {
                    return Ok(false);
                };
                // Where the record does not say it for all points.
                let chance = || task.chance(point.length, &point.at);
                found.chance = record.chance.is_none().then(chance);
                measured.samples.extend(samples(of, task, &asked, &found));
                record.points.push(found);
            }
        }
        if !record.points.is_empty() {
            measured.records.push(record);
        }
        Ok(true)
    }

    /// Whether every point can be asked, and no two ask the same.
    fn check_points(&self, task: &dyn AnyTask, rules: &mut Rules<'_>) {
        let factors = task.factors();
        let all = self.points(&factors, 0);
        let least = all.iter().map(|p| task.least(&p.at)).max().unwrap_or(2);
        let most = all
            .iter()
            .map(|p| task.most(&p.at))
            .min()
            .unwrap_or(LONGEST);
        if least == usize::MAX {
            let rule = format!("values that the task has symbols for ({})", task.why());
            let names: Vec<&str> = factors.iter().map(|f| f.name).collect();
            rules.rule("grid", &rule, format!("more {}", names.join(" or ")), false);
            return;
        }
        rules.lengths("lengths", &self.lengths, least, task.why());
        if let Some(long) = self.lengths.iter().find(|&&length| length > most) {
            let rule = format!("lengths of at most {most} tokens ({})", task.why());
            rules.rule("lengths", &rule, long, false);
        }
        let Some(&shortest) = self.lengths.iter().min().filter(|&&l| l >= least) else {
            return;
        };
        let mut labels = HashSet::new();
        let points = self.points(&factors, shortest);
        let distinct = points
            .iter()
            .all(|p| labels.insert(task.label(shortest, &p.at)));
        let names: Vec<&str> = factors.iter().map(|f| f.name).collect();
        rules.rule(
            "grid",
            &format!("values that differ at {shortest} tokens"),
            format!(
                "{} values of {} of which two ask the same: fewer values, or longer lengths",
                points.len(),
                names.join(" and ")
            ),
            distinct,
        );
    }

    /// What the numbers are, without any yet.
    fn record(&self, of: &str, task: &dyn AnyTask) -> MeasureRecord {
        let card = task.card();
        let factors = task.factors();
        // One for all points, or none: then each point says its own.
        let lengths = self.lengths.iter();
        let points = lengths.flat_map(|&l| self.points(&factors, l));
        let mut chances: Vec<f64> = points.map(|p| task.chance(p.length, &p.at)).collect();
        chances.dedup();
        let chance = match chances.as_slice() {
            [one] => Some(*one),
            _ => None,
        };
        let (samples, counted) = match card.rule {
            Rule::All => (
                Samples::Trials,
                "A prompt counts if all of its answer is right",
            ),
            Rule::Each => (Samples::Sums, "Each of its answers counts by itself"),
            Rule::Symbols => (Samples::Sums, "Each symbol of its answer counts by itself"),
        };
        let variant = of.split_once('/').map(|(_, name)| format!(", {name}"));
        let factor = |f: &Factor| FactorRecord {
            name: f.name.into(),
            title: f.title.into(),
            share: f.share,
        };
        let also = |quantity: &str, value: &str, weight: &str, scale| AlsoRecord {
            quantity: quantity.into(),
            value: value.into(),
            weight: weight.into(),
            times: 1.0,
            scale,
        };
        MeasureRecord {
            measure: ID.into(),
            of: of.into(),
            view: String::new(),
            preference: 0,
            title: format!("{}{}", card.title, variant.unwrap_or_default()),
            about: format!(
                "{} ({}). {}. {counted}, each symbol given the true ones before it. {}",
                card.idea.trim_end_matches('.'),
                card.paper,
                upper(&task.describe()),
                card.reading
            ),
            quantity: card.quantity.into(),
            units: "prompts".into(),
            scale: Scale::Share,
            better: Better::Higher,
            samples,
            role: Role::ByLength,
            chance,
            served: Served::AtLeast(self.at_least),
            factors: factors.iter().map(factor).collect(),
            also: vec![
                also("symbols right", "symbols right", "symbols", Scale::Share),
                also(
                    "log-probability of the answer, nats",
                    "log-probability",
                    "",
                    Scale::Plain,
                ),
            ],
            points: Vec::new(),
        }
    }
}

/// The first letter large.
fn upper(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}
