//! `Plan`: everything a positional encoding can do to a decoder, as a value.
//!
//! A plan is plain data: it prints, hashes and compares. Kernels are written per shape of intervention, never per
//! scheme. Angles and frequencies are f64 here; the cast to the compute type is the last step of table building.

mod text;
mod validate;

use crate::expr::Expr;
use crate::hook::HookRef;
use serde::{Deserialize, Serialize};

pub use crate::geometry::Geometry;
pub use crate::params::{Init, ParamSpec};

/// What a positional encoding does to a decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Where tokens stand: what `q` and `k` are.
    pub position_ids: PositionIds,
    /// What is added to the token embeddings.
    pub embed: Embed,
    /// Whether `embed` is not added to the token embeddings, but in every layer to what queries and keys are projected
    /// from, after the norm; values see no positions (Shortformer, arXiv 2012.15832, section 5.1).
    pub infused: bool,
    /// Rotations of q and k; turn p gives raw score p. Empty: one raw score without rotation.
    pub rotations: Vec<QkRotation>,
    /// Multiplies 1/√head_dim (1 for nearly every scheme).
    pub softmax_scale: f64,
    /// Multiplies every raw score of a query; over `q`, `n` and parameters only.
    pub query_scale: Option<Expr>,
    /// Raw scores and positions to the score that softmax sees, in units after 1/√head_dim.
    pub score: Expr,
    /// Numbers per token and head that the score reads at either end of a pair.
    pub tokens: Vec<TokenVector>,
    /// What no expression can say: functions of tensors, in the order in which they run.
    pub hooks: Vec<HookRef>,
    /// Parameters that the expressions, the embedding and the hooks name.
    pub params: Vec<ParamSpec>,
    /// What a decoder must do with cached keys when the sequence grows.
    pub cache: Cache,
}

impl Default for Plan {
    /// No positional encoding at all: softmax sees the raw score.
    fn default() -> Plan {
        Plan {
            position_ids: PositionIds::Index,
            embed: Embed::Nothing,
            infused: false,
            rotations: Vec::new(),
            softmax_scale: 1.0,
            query_scale: None,
            score: Expr::Raw(0),
            tokens: Vec::new(),
            hooks: Vec::new(),
            params: Vec::new(),
            cache: Cache::Rotated,
        }
    }
}

/// Where tokens stand. Carried out by whoever knows the text; attention is given the positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PositionIds {
    /// At their indices.
    Index,
    /// On two levels: the text is cut into segments behind each separator. Rotations and scores see the number of the
    /// segment, the embedding the place inside of it (BiPE, arXiv 2401.16421, section 3).
    Segments {
        /// Texts of the tokens that close a segment; the separator belongs to the segment that it closes.
        separators: Vec<String>,
        /// Places inside of a segment that are told apart; later ones count as the last.
        places: usize,
    },
    /// At ids that the task gives, one for each token, 0 for a token that has none: the significance of a digit, the
    /// place within an operand (Abacus, arXiv 2405.17399; position coupling, arXiv 2405.20671). The embedding sees them.
    Given {
        /// Which ids: [`PLACES`](PositionIds::PLACES), [`COUPLED`](PositionIds::COUPLED), or a task's own kind.
        ids: String,
        /// Whether rotations and scores see them too; else the index of the token.
        scores: bool,
    },
}

impl PositionIds {
    /// Given ids: place of a digit in its number, of a symbol in its operand, from 1. A text has them, too: those of its
    /// digits.
    pub const PLACES: &str = "place";
    /// Given ids: the same for digits of equal significance in operands and answer, for symbols that correspond.
    pub const COUPLED: &str = "coupled";

    /// Place of each token in its run of digits, from 1; 0 for a token that is none.
    pub fn places(digit: impl IntoIterator<Item = bool>) -> Vec<f64> {
        let mut place = 0.0;
        let step = |digit: bool| {
            place = if digit { place + 1.0 } else { 0.0 };
            place
        };
        digit.into_iter().map(step).collect()
    }

    /// Number of the segment of each token, and place inside of it, if `closes` tells for each token whether it closes
    /// a segment and `places` are told apart.
    pub fn segments(closes: impl IntoIterator<Item = bool>, places: usize) -> (Vec<f64>, Vec<f64>) {
        let (mut segment, mut place) = (0.0, 0);
        let step = |closes: bool| {
            let at = (segment, place.min(places.saturating_sub(1)) as f64);
            place += 1;
            if closes {
                (segment, place) = (segment + 1.0, 0);
            }
            at
        };
        closes.into_iter().map(step).unzip()
    }
}

/// What is added to the token embeddings at the input.
#[derive(Clone, Debug, PartialEq)]
pub enum Embed {
    /// Nothing.
    Nothing,
    /// Sines and cosines of `positions · inv_freq`.
    Sinusoid {
        /// Channel layout.
        layout: SinusoidLayout,
        /// One frequency per channel pair, in radians per token; `2 · len` channels.
        inv_freq: Vec<f64>,
        /// Multiplies the whole table.
        scale: f64,
    },
    /// A learned table: the parameter `table` of shape \[rows, width\], read at the position.
    Table {
        /// Name of the parameter.
        table: String,
        /// Rows; positions at or past it are refused when the plan is made.
        rows: usize,
        /// If set, the table is first resized linearly to this many rows.
        resize: Option<Resize>,
    },
}

/// Order of the channels of a sinusoid. All three are in use and differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SinusoidLayout {
    /// sin and cos alternate.
    Interleaved,
    /// All sines, then all cosines.
    Halves,
}

/// Linear interpolation of a learned table along its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resize {
    /// Rows afterwards.
    pub rows: usize,
    /// Whether first and last rows are kept in place; otherwise half-pixel centres are used.
    pub align_corners: bool,
}

/// One rotation of q and k.
#[derive(Clone, Debug, PartialEq)]
pub struct QkRotation {
    /// How channels pair up.
    pub pairing: Pairing,
    /// Rotation of the queries; positions are expressions over `q` and `n`.
    pub query: Rotation,
    /// Rotation of the keys; positions are expressions over `k` and `n`.
    pub key: Rotation,
}

impl QkRotation {
    /// The usual turn: q and k rotated alike by their own positions, `A` on both tables.
    pub fn rotary(inv_freq: Vec<f64>, amplitude: f64, pairing: Pairing) -> QkRotation {
        let side = |position| Rotation {
            position: Positions::All(position),
            inv_freq: inv_freq.clone(),
            amplitude,
            waves: Waves::Plain,
        };
        QkRotation {
            pairing,
            query: side(Expr::Query),
            key: side(Expr::Key),
        }
    }
}

/// Which two channels make a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pairing {
    /// Pair p is channels (p, p + rotary_dim/2): "rotate half", NeoX, Hugging Face Llama.
    HalfSplit,
    /// Pair p is channels (2p, 2p + 1): RoFormer, GPT-J, Meta Llama.
    Interleaved,
}

/// Rotation of one side: pair p of a token at position x turns by `x · inv_freq[p]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotation {
    /// The position that the angle is made from; real-valued.
    pub position: Positions,
    /// Radians per token; one frequency per pair unless `waves` mixes them.
    pub inv_freq: Vec<f64>,
    /// Multiplies cos and sin ("attention factor"): scores get the product of both sides' amplitudes.
    pub amplitude: f64,
    /// What stands in the place of cosine and sine.
    pub waves: Waves,
}

impl Rotation {
    /// Pairs of channels that are turned, from the first on; other channels pass through.
    pub fn pairs(&self) -> usize {
        match &self.waves {
            Waves::Plain | Waves::Growing { .. } => self.inv_freq.len(),
            Waves::Mixed(mix) => mix.pairs,
        }
    }
}

/// What multiplies the two channels of a pair in the place of cosine and sine.
#[derive(Clone, Debug, PartialEq)]
pub enum Waves {
    /// cos φ and sin φ.
    Plain,
    /// Both times exp(rate · (x − origin)) for a token at index x, one rate per pair (xPos).
    Growing {
        /// Natural logarithm of the factor per token.
        rates: Vec<f64>,
        /// Index at which the factor is 1.
        origin: f64,
    },
    /// Weighted sums of the cosines, and of the sines, of all frequencies (FoPE).
    Mixed(Mix),
}

/// The weights of [`Waves::Mixed`].
#[derive(Clone, Debug, PartialEq)]
pub struct Mix {
    /// Of the cosines, \[heads, frequencies, mixed pairs\], row-major.
    pub cos: Vec<f64>,
    /// Of the sines, likewise.
    pub sin: Vec<f64>,
    /// All query heads, or for keys all key/value heads.
    pub heads: usize,
    /// Pairs that are mixed, from the first.
    pub mixed: usize,
    /// Pairs in all.
    pub pairs: usize,
    /// What stands for cosine and sine in the pairs that are not mixed.
    pub rest: (f64, f64),
}

/// Positions of a rotation.
#[derive(Clone, Debug, PartialEq)]
pub enum Positions {
    /// The same for all heads and pairs.
    All(Expr),
    /// One per query head (for keys: one per key/value head).
    PerHead(Vec<Expr>),
    /// One per pair.
    PerPair(Vec<Expr>),
}

impl Positions {
    /// One expression for all heads and pairs, or one each.
    pub fn all(&self) -> &[Expr] {
        match self {
            Positions::All(position) => std::slice::from_ref(position),
            Positions::PerHead(positions) | Positions::PerPair(positions) => positions,
        }
    }
}

/// A number per token and query head, computed from the layer's input: a gate, a decay, their running sum.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenVector {
    /// Name; the score reads it as `name@q` at the query and `name@k` at the key.
    pub name: String,
    /// Name of the parameter \[heads, width\] whose rows are multiplied with the layer's input x: `raw` is ⟨w_h, x_t⟩.
    pub weight: String,
    /// From `raw`, the token's position `q`, `n` and parameters to the value.
    pub value: Expr,
    /// Whether the value is summed over the tokens so far, this one included.
    pub cumulative: bool,
}

/// What may be cached of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cache {
    /// The rotated key stays valid for ever.
    Rotated,
    /// The tables depend on the current length: only the unrotated key stays valid.
    Unrotated,
}
