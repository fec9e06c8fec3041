//! Prompts as tokens of a checkpoint, and its answers.

use super::super::Given;
use super::super::Subject;
use super::{Opened, Words};
use crate::checkpoint::ends::ends;
use crate::checkpoint::text::Tokenizer;
use crate::config::LONGEST;
use crate::model::generate::{Choice, generate};
use crate::model::{Decoder, PreparedPlans};
use crate::{Error, Result};
use farspan_datasets::tasks::Point;
use farspan_datasets::words::{Prompt, PromptFile, Scorer, Writer};
use farspan_datasets::{DataError, Tokens};

/// Tokens that are read at once.
const PIECE: usize = 512;

/// What is asked at a point: how far back the answer stands, where that is one number, and the prompts.
pub(super) type AtPoint = (Point, Option<usize>, Vec<Prompt>);

/// How one prompt was answered.
pub(super) struct Answered {
    /// From 0 to 1.
    pub(super) right: f64,
    /// What was written, if anything.
    pub(super) said: Option<String>,
    /// Of the sought answer, in nats, if it was asked for.
    pub(super) log_prob: Option<f64>,
}

/// A checkpoint's tokenizer, and what it takes to ask.
pub(super) struct Asker<'a> {
    words: &'a Words,
    tokenizer: Tokenizer,
    stops: Vec<u32>,
    vocab: usize,
}

impl<'a> Asker<'a> {
    pub(super) fn open(words: &'a Words, given: &Given<'_>) -> Result<Asker<'a>> {
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

    pub(super) fn count(&self, text: &str) -> std::result::Result<usize, DataError> {
        match self.tokens(text) {
            Ok(tokens) => Ok(tokens.ids.len()),
            Err(error) => Err(DataError::Tokenizer {
                name: "of the checkpoint".into(),
                reason: error.to_string(),
            }),
        }
    }

    /// Whether the tokenizer can write the answers that are sought.
    pub(super) fn spells(&self, prompt: &Prompt) -> Result<()> {
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
    pub(super) fn longest(&self, name: &str, file: &PromptFile) -> Result<usize> {
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
    pub(super) fn asked(&self, opened: Opened, given: &Given<'_>) -> Result<Vec<AtPoint>> {
        let mut all = Vec::new();
        match opened {
            Opened::Files(files) => {
                for (name, file) in files {
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
            Opened::Task(task) => {
                let count = |text: &str| self.count(text);
                let writer = Writer::open(task.as_ref(), given.root, &count)?;
                for &length in &self.words.lengths {
                    for point in self.words.points(task.as_ref(), length) {
                        let numbers = 0..self.words.prompts as u64;
                        let prompts = numbers.map(|i| writer.prompt(given.seed, &point, i));
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

    pub(super) fn written(
        &self,
        model: &Decoder,
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
        ready: &PreparedPlans,
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

    pub(super) fn likely(
        &self,
        subject: &Subject<'_>,
        ready: &PreparedPlans,
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
