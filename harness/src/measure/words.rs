//! Whether a checkpoint answers prompts in words: the house's own, or those of a file.
//!
//! Prompts are made, or read, in full and turned into tokens once, as any text that a model reads: with what the tokenizer
//! puts before a text, and without what it puts behind one, as the answer is to follow. None is ever cut. Either the model
//! writes the answer, greedily, and a named scorer reads it; or it is asked how likely each answer is.

use super::{Given, Kind, Measure, Measured, Pass, Subject, Tick};
use crate::checkpoint::ends::ends;
use crate::checkpoint::text::Tokenizer;
use crate::config::types::{Named, StudyConfig, TaskConfig, named};
use crate::config::{LONGEST, Rules};
use crate::model::Ready;
use crate::model::generate::{Choice, generate};
use crate::{Error, Result};
use farspan_datasets::tasks::{Factor, Point};
use farspan_datasets::words::{
    AnyWordTask, BUILTIN, Prompt, PromptFile, Reading, Scorer, Writer, find, read_prompts,
};
use farspan_datasets::{DataError, Tokens};
use farspan_reports::record::{
    AlsoRecord, Better, Column, FactorRecord, MeasureRecord, PointRecord, Refusal, Role, Samples,
    Scale, Served,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use super::task::Axis;

const ID: &str = "words";
/// Tokens that are read at once.
const PIECE: usize = 512;

/// Prompts in words. The same for every scheme.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Words {
    /// What is asked: tasks in words, or files of prompts.
    pub tasks: Vec<Wanted>,
    /// Lengths of prompt and answer in tokens, increasing. Default: 1, 2, 4 and 8 times the trained length. Prompts of a
    /// file have their own.
    pub lengths: Vec<usize>,
    /// Prompts per length and value of each factor.
    pub prompts: usize,
    /// Values of the tasks' factors: a list, or so many from 0 to 1 for a share. Default: the task's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub grid: BTreeMap<String, Axis>,
    /// How an answer is had.
    pub by: By,
    /// How an answer that was written is scored. Default: as the task's authors do; `all` for a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scorer: Option<Scorer>,
    /// Share that must be right for a length to count as served.
    pub at_least: f64,
}

/// A task in words, or files of prompts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected the name of a task in words, { NAME = { its settings } }, or { prompts = FILES }"
)]
pub enum Wanted {
    /// Prompts that somebody else wrote.
    File(PromptsFrom),
    /// A task.
    Task(Named),
}

/// Files of prompts: JSON lines as RULER, lm-evaluation-harness and HELMET write them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PromptsFrom {
    /// One file, or one for each length.
    pub prompts: Files,
    /// Tokens that an answer may take. Default: what the file says, or what is known of the task it is called after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_new_tokens: Option<usize>,
}

/// One file or several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Files {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// How an answer is had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The model writes it, greedily.
    #[default]
    Generation,
    /// Where the prompt names choices: the sought one is the likeliest of them, as a whole. Else each token of the sought
    /// answer is the likeliest after those before it, as if it were written greedily and nothing else were taken.
    Likelihood,
}

impl JsonSchema for Wanted {
    fn schema_name() -> Cow<'static, str> {
        "Wanted".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let tasks = BUILTIN
            .iter()
            .map(|task| (task.id.to_string(), task.schema()));
        let tasks = named::schema(&[], tasks);
        schemars::json_schema!({ "anyOf": [generator.subschema_for::<PromptsFrom>(), tasks] })
    }
}

impl Default for Words {
    /// No lengths yet: they follow from the trained length.
    fn default() -> Words {
        Words {
            tasks: Vec::new(),
            lengths: Vec::new(),
            prompts: 20,
            grid: BTreeMap::new(),
            by: By::Generation,
            scorer: None,
            at_least: 0.8,
        }
    }
}

impl Files {
    fn all(&self) -> &[String] {
        match self {
            Files::One(one) => std::slice::from_ref(one),
            Files::Many(many) => many,
        }
    }
}

impl PromptsFrom {
    fn read(&self) -> Result<Vec<(String, PromptFile)>> {
        let reading = Reading {
            max_new_tokens: self.max_new_tokens,
        };
        let read = |name: &String| Ok((name.clone(), read_prompts(Path::new(name), &reading)?));
        self.prompts.all().iter().map(read).collect()
    }
}

fn open(task: &Named) -> std::result::Result<Box<dyn AnyWordTask>, DataError> {
    let known = || BUILTIN.iter().map(|t| t.id).collect::<Vec<_>>().join(", ");
    let entry = find(&task.id).ok_or_else(|| DataError::Setting {
        key: "tasks",
        expected: format!("a task in words ({}) or {{ prompts = FILES }}", known()),
        found: format!("{:?}", task.id),
    })?;
    entry.parse(Value::Object(task.settings.clone()))
}

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
                Wanted::Task(task) => match open(task) {
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
            match wanted {
                Wanted::File(from) => {
                    for (name, file) in from.read()? {
                        passes.push(Pass {
                            length: asker.longest(&name, &file)?,
                            windows: file.prompts.len() as f64,
                        });
                    }
                }
                Wanted::Task(task) => {
                    let task = open(task)?;
                    let count = |text: &str| asker.count(text);
                    let writer = Writer::open(task.as_ref(), Path::new("."), &count)?;
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
            let (name, mut record) = match wanted {
                Wanted::File(from) => self.of_file(from)?,
                Wanted::Task(task) => self.of_task(open(task)?.as_ref()),
            };
            names.push(name.clone());
            // The same task again, under other settings.
            let times = names.iter().filter(|other| **other == name).count();
            record.of = match times {
                1 => name,
                n => format!("{name}/{n}"),
            };
            let scorer = self.scorer.unwrap_or(match wanted {
                Wanted::Task(task) => open(task)?.card().scorer,
                Wanted::File(_) => Scorer::All,
            });
            for (point, distance, prompts) in asker.asked(wanted, given.seed)? {
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
        super::task::points(&self.grid, &task.factors(), length)
    }

    fn of_task(&self, task: &dyn AnyWordTask) -> (String, MeasureRecord) {
        let card = task.card();
        let about = format!("{} ({}). {}.", card.idea, card.paper, task.describe());
        let mut record = self.record(card.title.into(), about, self.scorer.unwrap_or(card.scorer));
        record.quantity = card.quantity.into();
        record.about += &format!(" {}", card.reading);
        let factor = |f: &Factor| FactorRecord {
            name: f.name.into(),
            title: f.title.into(),
            share: f.share,
        };
        record.factors = task.factors().iter().map(factor).collect();
        record.chance = Some(task.chance());
        (task.id().to_string(), record)
    }

    fn of_file(&self, from: &PromptsFrom) -> Result<(String, MeasureRecord)> {
        let files = from.read()?;
        let name = from.prompts.all().first().map_or("", String::as_str);
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
        Ok((
            stem.into_owned(),
            self.record(title, about, self.scorer.unwrap_or(Scorer::All)),
        ))
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

/// What is asked at a point: how far back the answer stands, where that is one number, and the prompts.
type AtPoint = (Point, Option<usize>, Vec<Prompt>);

/// How one prompt was answered.
struct Answered {
    /// From 0 to 1.
    right: f64,
    /// What was written, if anything.
    said: Option<String>,
    /// Of the sought answer, in nats, if it was asked for.
    log_prob: Option<f64>,
}

/// A checkpoint's tokenizer, and what it takes to ask.
struct Asker<'a> {
    words: &'a Words,
    tokenizer: Tokenizer,
    stops: Vec<u32>,
    vocab: usize,
}

impl<'a> Asker<'a> {
    fn open(words: &'a Words, given: &Given<'_>) -> Result<Asker<'a>> {
        let dir = given
            .checkpoint
            .ok_or_else(|| Error::Bug("words without a checkpoint".into()))?;
        let tokenizer = Tokenizer::open(dir)?;
        Ok(Asker {
            words,
            stops: ends(dir, &tokenizer)?,
            tokenizer,
            vocab: given.vocab,
        })
    }

    fn tokens(&self, text: &str) -> Result<Tokens> {
        let name = "a prompt";
        let tokens = self.tokenizer.beginning(name, text)?;
        self.tokenizer.fits(&tokens.ids, self.vocab, name)?;
        Ok(tokens)
    }

    fn count(&self, text: &str) -> std::result::Result<usize, DataError> {
        match self.tokens(text) {
            Ok(tokens) => Ok(tokens.ids.len()),
            Err(error) => Err(DataError::Tokenizer {
                name: "of the checkpoint".into(),
                reason: error.to_string(),
            }),
        }
    }

    /// Whether the tokenizer can write the answers that are sought.
    fn spells(&self, prompt: &Prompt) -> Result<()> {
        for answer in &prompt.references {
            let read = self.tokenizer.text(&self.tokens(answer)?.ids)?;
            if read.trim() != answer.trim() {
                return Err(Error::Data(format!(
                    "words: the tokenizer cannot spell the answer {answer:?}: its tokens read {read:?}"
                )));
            }
        }
        Ok(())
    }

    /// Tokens of the longest prompt of a file with its answer.
    fn longest(&self, name: &str, file: &PromptFile) -> Result<usize> {
        let mut longest = 0;
        for prompt in &file.prompts {
            let answer = self.count(&prompt.answered(&prompt.answer()))?;
            longest = longest.max(answer.max(self.count(&prompt.whole())? + prompt.answer_tokens));
        }
        match longest <= LONGEST {
            true => Ok(longest),
            false => Err(Error::Data(format!(
                "{name}: expected prompts of at most {LONGEST} tokens, found one of {longest}"
            ))),
        }
    }

    /// All that is asked of one kind, lengths rising.
    fn asked(&self, wanted: &Wanted, seed: u64) -> Result<Vec<AtPoint>> {
        let mut all = Vec::new();
        match wanted {
            Wanted::File(from) => {
                for (name, file) in from.read()? {
                    let length = self.longest(&name, &file)?;
                    let at = Vec::new();
                    all.push((Point { length, at }, None, file.prompts));
                }
                all.sort_by_key(|(point, ..)| point.length);
                if let Some(pair) = all
                    .windows(2)
                    .find(|pair| pair[0].0.length == pair[1].0.length)
                {
                    return Err(Error::Data(format!(
                        "prompts: expected files of different lengths, found two whose longest prompt takes {} tokens: \
                         put their lines into one file",
                        pair[0].0.length
                    )));
                }
            }
            Wanted::Task(task) => {
                let task = open(task)?;
                let count = |text: &str| self.count(text);
                let writer = Writer::open(task.as_ref(), Path::new("."), &count)?;
                for &length in &self.words.lengths {
                    for point in self.words.points(task.as_ref(), length) {
                        let numbers = 0..self.words.prompts as u64;
                        let prompts = numbers.map(|i| writer.prompt(seed, &point, i));
                        let prompts = prompts.collect::<std::result::Result<Vec<_>, _>>()?;
                        let distance = self.distance(&prompts)?;
                        all.push((point, distance, prompts));
                    }
                }
            }
        }
        Ok(all)
    }

    /// The largest distance in tokens from the end of what is asked to the beginning of what the answer depends on; nothing
    /// where a prompt has several such places.
    fn distance(&self, prompts: &[Prompt]) -> Result<Option<usize>> {
        let mut largest = None;
        for prompt in prompts {
            let [fact] = prompt.facts.as_slice() else {
                return Ok(None);
            };
            let tokens = self.tokens(&prompt.whole())?;
            let first = tokens.ends.iter().position(|&end| end > fact.start);
            let distance = tokens.ids.len() - first.unwrap_or(0);
            largest = largest.max(Some(distance));
        }
        Ok(largest)
    }

    fn written(
        &self,
        model: &crate::model::Decoder,
        prompt: &Prompt,
        scorer: Scorer,
    ) -> Result<Answered> {
        let ids = self.tokens(&prompt.whole())?.ids;
        let way = (0, PIECE);
        let on = |id: u32| Ok(!self.stops.contains(&id));
        let all = generate(model, &ids, prompt.answer_tokens, Choice::Greedy, way, on)?;
        let mut new = &all[ids.len()..];
        if let [rest @ .., last] = new
            && self.stops.contains(last)
        {
            new = rest;
        }
        // Decoded with what stands before, as a tokenizer may write a blank at the beginning of a text otherwise.
        let (before, whole) = (
            self.tokenizer.text(&ids)?,
            self.tokenizer.text(&all[..ids.len() + new.len()])?,
        );
        let said = match whole.strip_prefix(&before) {
            Some(said) => said.to_string(),
            None => self.tokenizer.text(new)?,
        };
        let right = scorer.score(prompt.sought(), &said).ok_or_else(|| {
            Error::Data(format!(
                "a prompt cannot be scored by `{}`: it names {}",
                scorer.id(),
                if prompt.references.is_empty() {
                    "no reference"
                } else {
                    "no choices"
                }
            ))
        })?;
        Ok(Answered {
            right,
            said: Some(said),
            log_prob: None,
        })
    }

    /// Log-probability of an answer behind a prompt, in nats, and whether each of its tokens was the likeliest.
    fn likelihood(
        &self,
        subject: &Subject<'_>,
        ready: &Ready,
        prompt: &Prompt,
        answer: &str,
        length: usize,
    ) -> Result<(f64, bool)> {
        let Tokens { ids, ends, .. } = self.tokens(&prompt.answered(answer))?;
        let place = prompt.whole().len();
        let first = ends
            .iter()
            .position(|&end| end > place)
            .unwrap_or(ids.len());
        if first == 0 || first >= ids.len() {
            return Err(Error::Data(format!(
                "a prompt's answer {answer:?} has no token of its own in this checkpoint's tokenizer"
            )));
        }
        let scores = subject.read(&ids, length.max(ids.len() - 1), ready)?;
        let own = &scores[first - 1..];
        let log_prob = -own.iter().map(|s| f64::from(s.nll)).sum::<f64>();
        let greedy = own
            .iter()
            .zip(&ids[first..])
            .all(|(score, id)| score.argmax == *id);
        Ok((log_prob, greedy))
    }

    fn likely(
        &self,
        subject: &Subject<'_>,
        ready: &Ready,
        prompt: &Prompt,
        length: usize,
    ) -> Result<Answered> {
        let sought = prompt.answer();
        let (log_prob, greedy) = self.likelihood(subject, ready, prompt, &sought, length)?;
        let right = match &prompt.choices {
            None => greedy,
            Some(choices) => {
                let mut best = true;
                for other in choices.iter().filter(|choice| **choice != sought) {
                    best &= self.likelihood(subject, ready, prompt, other, length)?.0 < log_prob;
                }
                best
            }
        };
        Ok(Answered {
            right: f64::from(u8::from(right)),
            said: None,
            log_prob: Some(log_prob),
        })
    }
}
