//! The most filler that fits a budget of tokens.

use super::{AnyWordTask, Draft, Point, Prompt, sentences};
use crate::error::DataError;
use crate::foreign;
use crate::rng::Stream;
use std::fmt::{self, Debug};
use std::path::Path;

/// Tokens of a whole text, with what the tokenizer puts before one, and without what it puts behind.
pub type Count<'a> = dyn Fn(&str) -> Result<usize, DataError> + 'a;

/// Largest file of filler, bytes.
const MOST_TEXT: u64 = 256 << 20;
/// Tokens that an answer may take beyond what its references do, where a task sets none: for a full stop, a line break
/// or an article.
const SPARE: usize = 4;
/// How often a prompt is drawn again in which the answer stands elsewhere, too.
const TRIES: usize = 100;

/// A task with what it reads and a tokenizer: writes prompts.
pub struct Writer<'a> {
    task: &'a dyn AnyWordTask,
    text: Vec<String>,
    text_hash: Option<String>,
    count: &'a Count<'a>,
}

impl Debug for Writer<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Writer")
            .field("task", &self.task)
            .field("sentences", &self.text.len())
            .finish_non_exhaustive()
    }
}

impl<'a> Writer<'a> {
    /// Reads what the task needs; its paths start from `base`.
    pub fn open(
        task: &'a dyn AnyWordTask,
        base: &Path,
        count: &'a Count<'a>,
    ) -> Result<Writer<'a>, DataError> {
        let (mut text, mut text_hash) = (Vec::new(), None);
        if let Some(name) = task.text() {
            let path = base.join(name);
            let whole = foreign::read_text(&path, "filler", MOST_TEXT)?;
            text_hash = Some(blake3::hash(whole.as_bytes()).to_hex().to_string());
            let all = sentences(&whole);
            let found = all.len();
            text = all;
            text.retain(|sentence| task.may_stand(sentence));
            if text.is_empty() {
                return Err(DataError::File {
                    path,
                    expected: "sentences that cannot be taken for what is asked".into(),
                    found: match found {
                        0 => "no text".into(),
                        _ => format!("none among {found}"),
                    },
                });
            }
        }
        Ok(Writer {
            task,
            text,
            text_hash,
            count,
        })
    }

    /// blake3 of the user's text, hexadecimal: a part of what prompts depend on.
    pub fn text_hash(&self) -> Option<&str> {
        self.text_hash.as_deref()
    }

    /// The prompt of this number at a point. It depends on seed, task, point, number and tokenizer, and on nothing else:
    /// every scheme is asked the same.
    pub fn prompt(&self, seed: u64, point: &Point, index: u64) -> Result<Prompt, DataError> {
        let at: Vec<String> = point.at.iter().map(f64::to_string).collect();
        let label = format!("words/{}/{}/{}", self.task.id(), point.length, at.join("/"));
        let mut rng = Stream::at(seed, &label, index);
        let factors = self.task.factors();
        if point.at.len() != factors.len() {
            let (expected, found) = (factors.len(), point.at.len());
            let reason = format!("expected {expected} factors, found {found}");
            return Err(self.refused(point.length, reason));
        }
        for (factor, value) in factors.iter().zip(&point.at) {
            if factor.share && !(0.0..=1.0).contains(value) {
                let reason = format!("expected {} from 0 to 1, found {value}", factor.name);
                return Err(self.refused(point.length, reason));
            }
        }
        for _ in 0..TRIES {
            let draft = self.task.draft(&mut rng, &point.at, &self.text)?;
            let prompt = self.fit(&draft, point.length)?;
            if stands_where_it_should(&draft, &prompt) {
                return Ok(prompt);
            }
        }
        let reason = "its filler holds the answer, however it is drawn".to_string();
        Err(self.refused(point.length, reason))
    }

    fn refused(&self, length: usize, reason: String) -> DataError {
        DataError::Prompt {
            task: self.task.id(),
            length,
            reason,
        }
    }

    /// The prompt with so much filler, and its tokens.
    fn written(&self, draft: &Draft<'_>, units: usize) -> Result<Prompt, DataError> {
        let mut prompt = (draft.write)(units);
        prompt.units = units;
        let bare = (self.count)(&prompt.whole())?;
        // Counted with the answer, too: where prompt and answer meet, tokens need not be those of the two.
        let answered = (self.count)(&prompt.answered(&prompt.answer()))?;
        prompt.answer_tokens = match self.task.answer_tokens() {
            Some(tokens) => tokens,
            None => answered.saturating_sub(bare) + SPARE,
        };
        prompt.tokens = answered.max(bare + prompt.answer_tokens);
        Ok(prompt)
    }

    /// As many units as fit: one more does not fit. The number is guessed from what units cost so far, as counting the
    /// tokens of a long text is what takes time, and approached in growing steps where the guess stays on one side.
    fn fit(&self, draft: &Draft<'_>, length: usize) -> Result<Prompt, DataError> {
        let mut best = self.written(draft, draft.least)?;
        let bare = best.tokens;
        if bare > length {
            let reason = format!("it takes at least {bare}");
            return Err(self.refused(length, reason));
        }
        // Every unit takes at least one token, but for few that round to nothing.
        let cap = draft.least + 4 * length + 64;
        let end = draft.most.map_or(cap, |(most, _)| most.min(cap)) + 1;
        // Too many units, and their tokens.
        let mut over: Option<(usize, usize)> = None;
        let (mut step, mut fitted) = (1, true);
        loop {
            let first_bad = over.map_or(end, |(units, _)| units);
            if best.units + 1 >= first_bad {
                break;
            }
            let (tokens, units) = match over {
                Some((units, tokens)) => (tokens - best.tokens, units - best.units),
                None => (best.tokens - bare, best.units - draft.least),
            };
            let cost = tokens as f64 / units.max(1) as f64;
            let more = match cost > 0.0 {
                true => ((length - best.tokens) as f64 / cost) as usize,
                false => 0,
            };
            let guess = match fitted {
                true => best.units + more.max(step),
                false => (best.units + more).min(first_bad.saturating_sub(step)),
            };
            let guess = guess.clamp(best.units + 1, first_bad - 1);
            let tried = self.written(draft, guess)?;
            let fits = tried.tokens <= length;
            step = if fits == fitted { 2 * step } else { 1 };
            fitted = fits;
            match fits {
                true => best = tried,
                false => over = Some((guess, tried.tokens)),
            }
        }
        match (over, draft.most) {
            (None, Some((most, why))) if best.units == most => {
                let reason = format!("{why}, which fill {} tokens", best.tokens);
                Err(self.refused(length, reason))
            }
            (None, _) => {
                let reason = "the tokens of its filler are fewer than its words".to_string();
                Err(self.refused(length, reason))
            }
            _ => Ok(best),
        }
    }
}

/// Whether each reference occurs as often as the draft says. Case does not count, as it does not for scorers.
fn stands_where_it_should(draft: &Draft<'_>, prompt: &Prompt) -> bool {
    let Some(copies) = draft.copies else {
        return true;
    };
    let text = prompt.whole().to_lowercase();
    let mut references = prompt.references.iter();
    references.all(|reference| text.matches(&reference.to_lowercase()).count() == copies)
}
