//! How what a model says is scored, by name: published results of one task differ by their scorer alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a prediction is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sought<'a> {
    /// What is sought.
    pub references: &'a [String],
    /// Answers that the task knows; none if it does not say. Those that the question holds may be among them.
    pub labels: &'a [String],
    /// The question.
    pub question: &'a str,
}

/// A scorer. All but `exact`, and the integers, look for substrings: "12" is found in "123".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scorer {
    /// Share of the references that occur, whatever their case (RULER's `string_match_all`).
    All,
    /// Whether any reference occurs, whatever its case (RULER's `string_match_part`; lm-evaluation-harness averages over
    /// references there).
    Part,
    /// Whether the first number said is a reference. Leading zeros do not count.
    FirstInteger,
    /// Whether the last number said is a reference (LongEval's lines). Leading zeros do not count.
    LastInteger,
    /// Whether of the task's labels the first reference is the only one in the first sentence, labels of the question
    /// left out (BABILong's metrics).
    OnlyLabel,
    /// Whether the first reference occurs anywhere, whatever its case (lm-evaluation-harness's BABILong).
    LabelAnywhere,
    /// Whether what is said is a reference, blanks around it left out.
    Exact,
    /// Whether any reference occurs, both without case, articles and punctuation (substring exact match of SQuAD's
    /// normalised answers: HELMET, Lost in the Middle).
    SubEm,
}

impl Scorer {
    /// All scorers.
    pub const ALL: [Scorer; 8] = [
        Scorer::All,
        Scorer::Part,
        Scorer::FirstInteger,
        Scorer::LastInteger,
        Scorer::OnlyLabel,
        Scorer::LabelAnywhere,
        Scorer::Exact,
        Scorer::SubEm,
    ];

    /// Its name in configs.
    pub fn id(self) -> &'static str {
        match self {
            Scorer::All => "all",
            Scorer::Part => "part",
            Scorer::FirstInteger => "first-integer",
            Scorer::LastInteger => "last-integer",
            Scorer::OnlyLabel => "only-label",
            Scorer::LabelAnywhere => "label-anywhere",
            Scorer::Exact => "exact",
            Scorer::SubEm => "sub-em",
        }
    }

    /// The scorer called `id`.
    pub fn find(id: &str) -> Option<Scorer> {
        Scorer::ALL.into_iter().find(|scorer| scorer.id() == id)
    }

    /// Whether it cannot score a prompt that names no labels.
    pub fn needs_labels(self) -> bool {
        self == Scorer::OnlyLabel
    }

    /// From 0 to 1, as the task's authors count it. None if there is nothing to compare with: no reference, or no labels
    /// where these are needed.
    pub fn score(self, sought: Sought<'_>, prediction: &str) -> Option<f64> {
        let first = sought.references.first()?;
        if self.needs_labels() && sought.labels.is_empty() {
            return None;
        }
        let said = clean(prediction);
        let lower = said.to_lowercase();
        let occurs = |reference: &String| lower.contains(&reference.trim().to_lowercase());
        let mut references = sought.references.iter();
        let right = match self {
            Scorer::All => {
                let found = references.filter(|r| occurs(r)).count();
                return Some(found as f64 / sought.references.len() as f64);
            }
            Scorer::Part => references.any(occurs),
            Scorer::FirstInteger => {
                let number = integers(&said).next();
                number.is_some_and(|said| references.any(|r| is_number(r, said)))
            }
            Scorer::LastInteger => {
                let number = integers(&said).last();
                number.is_some_and(|said| references.any(|r| is_number(r, said)))
            }
            Scorer::OnlyLabel => only_label(first, &lower, sought),
            Scorer::LabelAnywhere => occurs(first),
            Scorer::Exact => references.any(|r| r.trim() == said),
            Scorer::SubEm => {
                let said = normal(&said);
                references.any(|r| {
                    let sought = normal(r);
                    // Nothing is left of "The": in Python it would occur in everything.
                    !sought.is_empty() && said.contains(&sought)
                })
            }
        };
        Some(f64::from(right))
    }
}

/// A prediction as RULER reads it: control characters are line breaks, blanks around it are left out.
pub fn clean(prediction: &str) -> String {
    let line_breaks = |c: char| if c < ' ' { '\n' } else { c };
    let broken: String = prediction.trim().chars().map(line_breaks).collect();
    broken.trim().to_string()
}

/// The numbers in a text: runs of digits.
fn integers(text: &str) -> impl Iterator<Item = &str> {
    let numbers = text.split(|c: char| !c.is_ascii_digit());
    numbers.filter(|digits| !digits.is_empty())
}

/// Whether a reference is that number.
fn is_number(reference: &str, digits: &str) -> bool {
    let reference = reference.trim();
    let is_digits = !reference.is_empty() && reference.bytes().all(|b| b.is_ascii_digit());
    is_digits && reference.trim_start_matches('0') == digits.trim_start_matches('0')
}

/// The first sentence ends at a full stop, or where a model begins an example of its own. BABILong's code means to end it
/// at "Question", too, but looks for the capital in a text that is lower case by then: it does not, and nor do we.
fn only_label(target: &str, lower: &str, sought: Sought<'_>) -> bool {
    let mut first = lower;
    for end in [".", "<context>", "<example>"] {
        first = first.split(end).next().unwrap_or(first);
    }
    let question = sought.question.to_lowercase();
    let labels = sought.labels.iter().map(|label| label.to_lowercase());
    let mut said = labels.filter(|label| !question.contains(label) && first.contains(label));
    let target = target.trim().to_lowercase();
    let mut is_said = false;
    said.all(|label| {
        is_said |= label == target;
        label == target
    }) && is_said
}

/// SQuAD's normal form: lower case, without punctuation, articles, and blanks but one.
fn normal(text: &str) -> String {
    let bare: String = text
        .to_lowercase()
        .chars()
        .filter(|c| !c.is_ascii_punctuation())
        .collect();
    let words = bare.split_whitespace();
    let kept: Vec<&str> = words.filter(|w| !["a", "an", "the"].contains(w)).collect();
    kept.join(" ")
}
