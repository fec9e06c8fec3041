//! What a hook does, in a form that a kernel knows.
//!
//! A hook is written in tensor operations, which run anywhere; where what it does has one of these forms, kernels of the
//! CPU run in its place, with memory linear in length. A form is a *shape of intervention*, given by data; kernels know
//! no scheme. The hook's own tensor operations stay what the form must agree with
//! ([`Implementation::Composed`](crate::attend::Implementation::Composed) runs them).

use crate::Tensor;

/// What a hook does, with the tensors that it reads.
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "one is made for a call, and none is kept; how large tensors are depends on the features"
)]
pub enum Form {
    /// A sum along each row of scores, from the nearest key outwards.
    Scan(Scan),
    /// A sum down each column of scores.
    Votes(Votes),
    /// Reflections between query and key.
    Reflections(Reflections),
    /// A map across the heads of each pair.
    Heads(HeadMap),
}

/// A sum along each row of scores: c_qk = Σ_{k ≤ t} gate(s_qt) over the visible keys t, s the plan's scores.
#[derive(Clone, Debug)]
pub struct Scan {
    /// What a pair adds.
    pub gate: Gate,
    /// Whether the query's own key is among them. If not, it gets no share of [`Share::Sticks`] either.
    pub own: bool,
    /// What the sum does to the score.
    pub effect: Effect,
    /// How scores become weights.
    pub share: Share,
}

/// What a pair adds to the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// σ(s), between 0 and 1.
    Sigmoid,
    /// ln(1 + eˢ) = −ln(1 − σ(s)).
    Softplus,
}

/// What the sum does to the score.
#[derive(Clone, Debug)]
pub enum Effect {
    /// s − c
    Subtract,
    /// s + scale · ⟨q, table\[:, p\]⟩, p = min(c, rows − 1), read between neighbouring rows; q as the layer projected it.
    Read {
        /// (head_dim, rows), with rows ≥ 1.
        table: Tensor,
        /// Factor of the products.
        scale: f64,
    },
}

/// How scores become weights of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Softmax.
    Softmax,
    /// eˢ for a score that is not positive, without normalisation: pieces of a stick.
    Sticks {
        /// Whether the query's own value gets e^−c for the sum c of the whole row, what is left of the stick.
        rest: bool,
    },
}

/// Raw scores q_iᵀ·H_i·H_{i−1}·…·H_{j+1}·k_j with H_t = I − β_t·w_t·w_tᵀ, times the plan's scale, plus c_i − c_j; softmax.
/// Queries and keys must be the same tokens under a causal mask, and the plan's own score the raw one.
#[derive(Clone, Debug)]
pub struct Reflections {
    /// w: (batch, kv_heads, tokens, head_dim), of any length.
    pub vectors: Tensor,
    /// β: (batch, kv_heads, tokens).
    pub strengths: Tensor,
    /// c: (batch, heads, tokens), if there is one.
    pub gain: Option<Tensor>,
}

/// A network over the heads of each pair: s + b + w₂·lrelu(w₁·\[s; b\] + b₁) + b₂, s the raw scores of all heads, b a
/// bias by distance; softmax. The mask must be causal, positions are counted in whole tokens, and the plan's own score
/// is the raw one, turned or not.
#[derive(Clone, Debug)]
pub struct HeadMap {
    /// w₁: (hidden, heads or, with a bias, 2 · heads), and b₁: (hidden).
    pub first: (Tensor, Tensor),
    /// w₂: (heads, hidden), and b₂: (heads).
    pub second: (Tensor, Tensor),
    /// Slope of lrelu below 0.
    pub slope: f64,
    /// b: (heads, distances from 0 to the largest between a query and a key).
    pub bias: Option<Tensor>,
}

/// A sum down each column of scores: s_qk − Σ_{t < q} max(s′_tk, 0), s the raw scores and s′ those of the first head, over
/// the queries t after key k that see it; the first key of the call is spared. Softmax. Queries and keys must be the same
/// tokens under a causal mask, and the plan's own score the raw one, turned or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Votes;
