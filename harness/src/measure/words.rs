//! Whether a checkpoint answers prompts in words: the house's own, or those of a file.
//!
//! Prompts are made, or read, in full and turned into tokens once, as any text that a model reads: with what the tokenizer
//! puts before a text, and without what it puts behind one, as the answer is to follow. None is ever cut. Either the model
//! writes the answer, greedily, and a named scorer reads it; or it is asked how likely each answer is.

mod asker;
mod settings;

pub use settings::*;

use super::{Given, Kind, Measure, Measured, Pass, Subject, Tick, grid};
use crate::Result;
use crate::config::Rules;
use crate::config::types::{StudyConfig, TaskConfig};
use asker::Asker;
use farspan_datasets::tasks::{Factor, Point};
use farspan_datasets::words::{AnyWordTask, PromptFile, Scorer, Writer};
use farspan_reports::record::{
    AlsoRecord, Better, Column, FactorRecord, MeasureRecord, PointRecord, Refusal, Role, Samples,
    Scale, Served,
};
use serde_json::json;
use std::path::Path;

const ID: &str = "words";

impl Measure for Words {
    fn suits(study: &Kind<'_>) -> std::result::Result<(), String> {
        match (study.task, study.checkpoint) {
            (TaskConfig::Text, true) => Ok(()),
            _ => Err(
                "and without a checkpoint cannot be asked in words: in tiny models retrieval does not emerge from text; \
                 set model.checkpoint, or add a study with a task over tokens (`farspan list tasks`)"
                    .into(),
            ),
        }
    }

    fn by_default(_: &Kind<'_>) -> Option<Words> {
        None
    }

    fn complete(&mut self, _: &TaskConfig, lengths: &[usize], absent: &dyn Fn(&str) -> bool) {
        if absent("lengths") {
            self.lengths = lengths.to_vec();
        }
    }

    fn check(&self, _: &StudyConfig, rules: &mut Rules<'_>) {
        rules.rule("tasks", "at least one task", "none", !self.tasks.is_empty());
        rules.within("prompts", 1..=100_000, "", self.prompts);
        let fraction = self.at_least > 0.0 && self.at_least <= 1.0;
        rules.rule(
            "at_least",
            "a fraction above 0, at most 1",
            self.at_least,
            fraction,
        );
        rules.lengths("lengths", &self.lengths, 2, "one to read, one to write");
        let mut factors: Vec<Factor> = Vec::new();
        for (i, wanted) in self.tasks.iter().enumerate() {
            let key = format!("tasks.{i}");
            match wanted {
                Wanted::Task(task) => match task.word_task() {
                    Ok(task) => factors.extend(task.factors()),
                    Err(error) => rules.rule(&key, "a task in words", error, false),
                },
                Wanted::File(from) => {
                    rules.rule(
                        &key,
                        "at least one file",
                        "none",
                        !from.prompts.all().is_empty(),
                    );
                }
            }
        }
        for (name, axis) in &self.grid {
            let key = format!("grid.{name}");
            let known: Vec<&str> = factors.iter().map(|f| f.name).collect();
            match factors.iter().find(|f| f.name == name) {
                Some(factor) => axis.check(factor, &key, rules),
                None => {
                    let expected = format!("a factor of these tasks ({})", known.join(", "));
                    rules.rule(&key, &expected, name, false);
                }
            }
        }
    }

    fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Makes every task's first prompt, so that one that does not fit is refused before any work.
    fn passes(&self, given: &Given<'_>) -> Result<Vec<Pass>> {
        let asker = Asker::open(self, given)?;
        let mut passes = Vec::new();
        for wanted in &self.tasks {
            match wanted.open(given.root)? {
                Opened::Files(files) => {
                    for (name, file) in files {
                        passes.push(Pass {
                            length: asker.longest(&name, &file)?,
                            windows: file.prompts.len() as f64,
                        });
                    }
                }
                Opened::Task(task) => {
                    let count = |text: &str| asker.count(text);
                    let writer = Writer::open(task.as_ref(), given.root, &count)?;
                    for &length in &self.lengths {
                        let points = self.points(task.as_ref(), length);
                        for point in &points {
                            asker.spells(&writer.prompt(given.seed, point, 0)?)?;
                        }
                        passes.push(Pass {
                            length,
                            windows: (points.len() * self.prompts) as f64,
                        });
                    }
                }
            }
        }
        Ok(passes)
    }

    fn reads(&self, given: &Given<'_>) -> Result<Vec<String>> {
        let mut hashes = Vec::new();
        for wanted in &self.tasks {
            match wanted.open(given.root)? {
                Opened::Files(files) => hashes.extend(files.into_iter().map(|(_, file)| file.hash)),
                Opened::Task(task) => {
                    let writer = Writer::open(task.as_ref(), given.root, &|_| Ok(0))?;
                    hashes.push(task.hash());
                    hashes.extend(writer.text_hash().map(String::from));
                }
            }
        }
        Ok(hashes)
    }

    fn run(
        &self,
        subject: &Subject<'_>,
        given: &Given<'_>,
        tick: Tick<'_>,
    ) -> Result<Option<Measured>> {
        let asker = Asker::open(self, given)?;
        let mut measured = Measured::default();
        let mut names: Vec<String> = Vec::new();
        for wanted in &self.tasks {
            let opened = wanted.open(given.root)?;
            let (name, scorer, mut record) = match &opened {
                Opened::Files(files) => self.of_files(files),
                Opened::Task(task) => self.of_task(task.as_ref()),
            };
            names.push(name.clone());
            // The same task again, under other settings.
            let times = names.iter().filter(|other| **other == name).count();
            record.of = match times {
                1 => name,
                n => format!("{name}/{n}"),
            };
            for (point, distance, prompts) in asker.asked(opened, given)? {
                let length = point.length;
                let ready = match subject.at(length)? {
                    Ok(ready) => ready,
                    Err(reason) => {
                        let refusal = Refusal {
                            measure: ID.into(),
                            of: record.of.clone(),
                            length,
                            reason,
                        };
                        if !measured.refused.contains(&refusal) {
                            measured.refused.push(refusal);
                        }
                        continue;
                    }
                };
                let mut found = PointRecord {
                    length,
                    at: point.at,
                    ..PointRecord::default()
                };
                found
                    .facts
                    .extend(distance.map(|d| ("distance".to_string(), d as f64)));
                let mut log_probs = Vec::new();
                for (number, prompt) in prompts.iter().enumerate() {
                    let answer = match self.by {
                        By::Generation => asker.written(subject.model, prompt, scorer)?,
                        By::Likelihood => asker.likely(subject, &ready, prompt, length)?,
                    };
                    found.value.push(answer.right);
                    log_probs.extend(answer.log_prob);
                    measured.samples.push(json!({
                        "measure": ID, "of": record.of, "length": length, "at": found.at, "number": number,
                        "prompt": prompt.whole(), "references": prompt.references, "said": answer.said,
                        "right": answer.right,
                    }));
                    if !tick(length) {
                        return Ok(None);
                    }
                }
                if !log_probs.is_empty() {
                    let column = Column(log_probs);
                    found.columns.insert("log-probability".into(), column);
                }
                record.points.push(found);
            }
            if !record.points.is_empty() {
                measured.records.push(record);
            }
        }
        Ok(Some(measured))
    }
}

impl Words {
    /// All points of a length, the last factor fastest.
    fn points(&self, task: &dyn AnyWordTask, length: usize) -> Vec<Point> {
        grid::points(&self.grid, &task.factors(), length)
    }

    /// What a task is called, how its answers are scored, and its record.
    fn of_task(&self, task: &dyn AnyWordTask) -> (String, Scorer, MeasureRecord) {
        let card = task.card();
        let idea = card.idea.trim_end_matches('.');
        let about = format!("{idea} ({}). {}.", card.paper, task.describe());
        let scorer = self.scorer.unwrap_or(card.scorer);
        let mut record = self.record(card.title.into(), about, scorer);
        record.quantity = card.quantity.into();
        record.about += &format!(" {}", card.reading);
        let factor = |f: &Factor| FactorRecord {
            name: f.name.into(),
            title: f.title.into(),
            share: f.share,
        };
        record.factors = task.factors().iter().map(factor).collect();
        record.chance = Some(task.chance());
        (task.id().to_string(), scorer, record)
    }

    /// The same of files.
    fn of_files(&self, files: &[(String, PromptFile)]) -> (String, Scorer, MeasureRecord) {
        let name = files.first().map_or("", |(name, _)| name);
        let stem = Path::new(name)
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy();
        let told = |(name, file): &(String, PromptFile)| {
            format!(
                "{name}, blake3 {}: {} prompts; {}",
                &file.hash[..16],
                file.prompts.len(),
                file.taken
            )
        };
        let about = format!(
            "Prompts of {}.",
            files.iter().map(told).collect::<Vec<_>>().join("; ")
        );
        let title = format!("Prompts of {stem}");
        let scorer = self.scorer.unwrap_or(Scorer::All);
        let record = self.record(title, about, scorer);
        (stem.into_owned(), scorer, record)
    }

    fn record(&self, title: String, about: String, scorer: Scorer) -> MeasureRecord {
        let by = match self.by {
            By::Generation => format!(
                "Answers are written greedily and scored by `{}`.",
                scorer.id()
            ),
            By::Likelihood => "Answers are scored by their likelihood.".to_string(),
        };
        let whole = self.by == By::Likelihood || scorer != Scorer::All;
        MeasureRecord {
            measure: ID.into(),
            of: String::new(),
            view: String::new(),
            preference: 0,
            title: format!("{title}, in words"),
            about: format!("{about} {by}"),
            quantity: "answers right".into(),
            units: "prompts".into(),
            scale: Scale::Share,
            better: Better::Higher,
            samples: if whole {
                Samples::Trials
            } else {
                Samples::Sums
            },
            role: Role::ByLength,
            chance: None,
            served: Served::AtLeast(self.at_least),
            factors: Vec::new(),
            also: match self.by {
                By::Generation => Vec::new(),
                By::Likelihood => vec![AlsoRecord {
                    quantity: "log-probability of the answer, nats".into(),
                    value: "log-probability".into(),
                    weight: String::new(),
                    times: 1.0,
                    scale: Scale::Plain,
                }],
            },
            points: Vec::new(),
        }
    }
}
