//! The settings of perplexity.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Perplexity: which lengths, and how windows are laid. The unit of every interval is one test segment of the
/// longest length; the same segments serve every scheme, seed and length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Perplexity {
    /// Lengths in tokens, increasing. Default: 1, 2, 4 and 8 times the trained length.
    #[serde(default)]
    pub lengths: Vec<usize>,
    /// Test segments: how many, or `"all"` that there is room for.
    #[serde(default = "Perplexity::segments")]
    pub segments: Segments,
    /// What a segment is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unit: Unit,
    /// How windows are laid: some of `non-overlap`, `sliding`, `fixed-target`, `by-window` and `prefix`. Default: the first
    /// three.
    #[serde(default = "Perplexity::protocols", skip_serializing_if = "are_default")]
    #[schemars(schema_with = "protocols_schema")]
    pub protocols: Vec<Protocol>,
    /// Stride of the sliding protocol: a fraction of each length, or `{ tokens = N }`.
    #[serde(default = "Perplexity::stride")]
    pub stride: Stride,
    /// Tokens at the end of each segment that the fixed-target protocol scores at every length. Default: 64, or the
    /// shortest length if that is less.
    #[serde(default = "Perplexity::target")]
    pub target: usize,
    /// What the first token of a window is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub bos: Bos,
}

/// How many test segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Segments {
    /// So many.
    Count(usize),
    /// All that there is room for.
    All(All),
}

/// The word `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum All {
    /// All.
    All,
}

impl Segments {
    /// Their number; `None` for all.
    pub fn count(self) -> Option<usize> {
        match self {
            Segments::Count(count) => Some(count),
            Segments::All(All::All) => None,
        }
    }
}

/// What a test segment is: the unit of resampling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// A stretch with as many targets as the longest length, inside one document.
    #[default]
    Stretch,
    /// A whole document that holds the longest length.
    Document,
}

/// Distance between the starts of sliding windows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Stride {
    /// A fraction of the length, above 0, at most 1.
    Fraction(f64),
    /// The same at every length.
    #[serde(rename_all = "kebab-case")]
    Fixed {
        /// Tokens; at most the shortest length.
        tokens: usize,
    },
}

impl Stride {
    /// In tokens, at a length of `length` tokens.
    pub fn at(self, length: usize) -> usize {
        match self {
            Stride::Fraction(share) => ((length as f64 * share).round() as usize).max(1),
            Stride::Fixed { tokens } => tokens,
        }
    }
}

/// The first token of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Bos {
    /// As it stands in the text (`data.bos` puts BOS before documents).
    #[default]
    Text,
    /// BOS in its place, as lm-evaluation-harness begins its windows. The targets are the same.
    Window,
}

/// How windows are laid over the test text (see `docs/evaluation.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Consecutive blocks of the evaluated length; every token is scored given its own block only.
    NonOverlap,
    /// Windows that start `stride` apart; each scores its last `stride` tokens (the first scores all).
    Sliding,
    /// The same target tokens for every length: each is scored by the window of the evaluated length that ends with it.
    FixedTarget,
    /// As sliding, with the mean over windows in place of tokens.
    ByWindow,
    /// One window at the beginning of each segment, all its tokens scored.
    Prefix,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Protocol; 5] = [
        Protocol::NonOverlap,
        Protocol::Sliding,
        Protocol::FixedTarget,
        Protocol::ByWindow,
        Protocol::Prefix,
    ];
    /// Those that are taken unless a config says otherwise; the others are there for published numbers.
    pub const DEFAULT: [Protocol; 3] = [
        Protocol::NonOverlap,
        Protocol::Sliding,
        Protocol::FixedTarget,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::NonOverlap => "non-overlap",
            Protocol::Sliding => "sliding",
            Protocol::FixedTarget => "fixed-target",
            Protocol::ByWindow => "by-window",
            Protocol::Prefix => "prefix",
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn are_default(protocols: &[Protocol]) -> bool {
    protocols == Protocol::DEFAULT
}

fn protocols_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "items": { "enum": Protocol::ALL },
        "minItems": 1,
        "uniqueItems": true,
    })
}

impl Default for Perplexity {
    /// No lengths yet: they follow from the trained length.
    fn default() -> Perplexity {
        Perplexity {
            lengths: Vec::new(),
            segments: Perplexity::segments(),
            unit: Unit::default(),
            protocols: Perplexity::protocols(),
            stride: Perplexity::stride(),
            target: Perplexity::target(),
            bos: Bos::default(),
        }
    }
}

impl Perplexity {
    fn segments() -> Segments {
        Segments::Count(32)
    }
    fn protocols() -> Vec<Protocol> {
        Protocol::DEFAULT.to_vec()
    }
    fn stride() -> Stride {
        Stride::Fraction(0.5)
    }
    fn target() -> usize {
        64
    }
}
