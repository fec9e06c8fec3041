//! What a decoder is beside its weights and its scheme: sizes, norms, orders, scales.

use super::experts::Experts;
use super::latent::Latent;
use crate::scheme::Positional;
use farspan_attention::plan::Geometry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All sizes of a decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// What a scheme sees of it.
    #[serde(flatten)]
    pub geometry: Geometry,
    /// Hidden width of the block after attention.
    pub hidden: usize,
    /// Vocabulary size.
    pub vocab: usize,
}

/// A decoder as plain data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Architecture {
    /// Family (`model_type`).
    pub family: String,
    /// Sizes that a scheme sees; the trained length is that before any extension.
    pub geometry: Geometry,
    /// Hidden width of the block after attention.
    pub hidden: usize,
    /// Vocabulary size.
    pub vocab: usize,
    /// The positional encoding that the weights were trained or extended with.
    pub positional: Positional,
    /// Layers that keep a scheme of their own, whatever scheme the others are given; empty: none does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apart: Vec<Option<Positional>>,
    /// A scheme that the config has settings for, beside its own: whoever asks for it gets them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offers: Option<Positional>,
    /// Kind of all norms of the residual stream.
    pub norm: Norm,
    /// Added to the variance in norms.
    pub norm_eps: f64,
    /// Activation of the block after attention.
    pub activation: Activation,
    /// Whether the activation gates a second projection (SwiGLU, GeGLU).
    pub gated: bool,
    /// Whether the gate is clipped and sharpened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clamped: Option<Clamped>,
    /// Blocks of which each token sees a few, in the place of the block after attention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experts: Option<Experts>,
    /// How the two sublayers of a layer join the residual stream.
    pub residual: Residual,
    /// Multiplies what a sublayer adds to the residual stream.
    pub residual_scale: f64,
    /// Which projections add a bias.
    pub bias: Biases,
    /// How queries and keys are normalised.
    pub query_key_norm: QueryKeyNorm,
    /// Keys and values out of one short vector per token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latent: Option<Latent>,
    /// Whether each head has a learned logit that takes part in every softmax and adds nothing.
    #[serde(default)]
    pub sinks: bool,
    /// Multiplies the token embeddings.
    pub embed_scale: f64,
    /// Whether the embeddings are normalised.
    pub embed_norm: bool,
    /// Width of the embeddings where it is not that of the residual stream: they are projected on the way in, and the
    /// stream is on the way out.
    pub embed_width: Option<usize>,
    /// Whether the stream is normalised behind the last layer.
    pub final_norm: bool,
    /// Whether the head is the transposed embedding.
    pub tied: bool,
    /// Whether each row of the head is divided by its length (Baichuan 2, arXiv 2309.10305, section 2.5).
    pub unit_head: bool,
    /// Multiplies scores beside 1/√head_dim.
    pub score_scale: f64,
    /// Whether the scores of layer l, counted from 0, are divided by l + 1 as well.
    pub score_by_layer: bool,
    /// Whether ALiBi's slopes, positions and their products are rounded to bfloat16, as the reference does for Falcon.
    pub rounded_bias: bool,
    /// Scores s become c·tanh(s/c).
    pub score_cap: Option<f64>,
    /// Logits z become c·tanh(z/c).
    pub logit_cap: Option<f64>,
    /// Multiplies the logits.
    pub logit_scale: f64,
    /// Queries, keys and values are clipped to ± this.
    pub clip: Option<f64>,
    /// Keys at least this many tokens back are hidden, per layer.
    pub windows: Vec<Option<usize>>,
    /// Tokens of the chunks of a text that see nothing of each other, per layer; empty: no layer has any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chunks: Vec<Option<usize>>,
    /// A second length that the weights may have been trained with, as far as the config tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_length: Option<usize>,
    /// What a reader of numbers should know: what was doubtful, and what was read against advice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Kind of norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// x / rms(x) · w
    Rms,
    /// x / rms(x) · (1 + w): Gemma. The 1 is added when the weights are loaded.
    RmsOffset,
    /// (x − mean) / std · w + b, the bias where there is one.
    Layer,
    /// (x − mean) / std · (1 + w) + b: Nemotron. The 1 is added when the weights are loaded.
    LayerOffset,
    /// (x − mean) / std, nothing learned: OLMo.
    LayerBare,
}

/// Norms of queries and keys, of the kind of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum QueryKeyNorm {
    /// None.
    #[default]
    None,
    /// Each head by itself, with one weight per channel of a head.
    Head,
    /// Each head by itself, with weights of its own and no bias.
    EachHead,
    /// All heads together, with one weight per channel.
    Whole,
    /// Each head by itself, behind its rotation and with nothing learned, in layers without a scheme of their own.
    Turned,
}

/// Elementwise function of the block after attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// x · sigmoid(x)
    Silu,
    /// x · Φ(x), by the error function.
    Gelu,
    /// The tanh form of GELU.
    GeluTanh,
    /// max(x, 0)
    Relu,
    /// max(x, 0)² (So et al. 2021, arXiv 2109.08668, section 4).
    SquaredRelu,
}

/// The gate of GPT-OSS: (u + 1) · g · σ(α·g), with g clipped from above and u on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clamped {
    /// α
    pub sharpness: f64,
    /// Where both are clipped.
    pub limit: f64,
}

/// How attention (A) and the block after it (M) join the residual stream x.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Residual {
    /// x += A(n₁(x)); x += M(n₂(x))
    Sequential,
    /// x += A(n₁(x)) + M(n₂(x))
    Parallel,
    /// x += A(n(x)) + M(n(x)), one norm for both
    ParallelShared,
    /// x += p₁(A(n₁(x))); x += p₂(M(n₂(x))), norms behind both as well
    Sandwich,
    /// x += p₁(A(x)); x += p₂(M(x)), norms behind the sublayers only
    Behind,
    /// x = p₁(x + A(x)); x = p₂(x + M(x)), the stream itself is normalised: the layers of the first Transformers
    Post,
    /// h = n₁(x); x = h + A(h); h = n₂(x); x = h + M(h): the stream is the norm's output
    FromNorm,
}

/// Which projections add a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Biases {
    /// Queries, keys and values.
    pub qkv: bool,
    /// Output of attention.
    pub out: bool,
    /// The block after attention.
    pub mlp: bool,
    /// LayerNorms.
    pub norm: bool,
    /// Logits.
    pub head: bool,
}

impl Architecture {
    /// A plain Llama of these sizes; a family changes what differs.
    pub(crate) fn llama_like(
        family: &str,
        geometry: Geometry,
        hidden: usize,
        vocab: usize,
    ) -> Self {
        Architecture {
            family: family.to_string(),
            geometry,
            hidden,
            vocab,
            positional: Positional::none(),
            apart: Vec::new(),
            offers: None,
            norm: Norm::Rms,
            norm_eps: 1e-6,
            activation: Activation::Silu,
            gated: true,
            clamped: None,
            experts: None,
            residual: Residual::Sequential,
            residual_scale: 1.0,
            bias: Biases::default(),
            query_key_norm: QueryKeyNorm::None,
            latent: None,
            sinks: false,
            embed_scale: 1.0,
            embed_norm: false,
            embed_width: None,
            final_norm: true,
            tied: false,
            unit_head: false,
            score_scale: 1.0,
            score_by_layer: false,
            rounded_bias: false,
            score_cap: None,
            logit_cap: None,
            logit_scale: 1.0,
            clip: None,
            windows: vec![None; geometry.layers],
            chunks: Vec::new(),
            other_length: None,
            notes: Vec::new(),
        }
    }

    /// The decoder that is trained from scratch where nothing else is asked for: a Llama with tied, scaled embeddings.
    pub fn plain(shape: &Shape) -> Architecture {
        Architecture {
            norm_eps: 1e-5,
            embed_scale: (shape.geometry.width as f64).sqrt(),
            tied: true,
            ..Architecture::llama_like("farspan", shape.geometry, shape.hidden, shape.vocab)
        }
    }

    /// The same choices at other sizes: a decoder to be trained from scratch, under a scheme of its own in every layer.
    pub fn at(self, shape: &Shape) -> Architecture {
        let g = shape.geometry;
        let width = |width: usize| (width as f64).sqrt();
        let scaled = self.embed_scale == width(self.geometry.width);
        let windows = self
            .windows
            .iter()
            .copied()
            .cycle()
            .take(g.layers)
            .collect();
        Architecture {
            geometry: g,
            hidden: shape.hidden,
            vocab: shape.vocab,
            embed_scale: if scaled {
                width(g.width)
            } else {
                self.embed_scale
            },
            windows,
            apart: Vec::new(),
            positional: Positional::none(),
            rounded_bias: false,
            other_length: None,
            notes: Vec::new(),
            family: "farspan".into(),
            ..self
        }
    }

    /// Whether `scheme` is that of the weights, whatever other settings it has.
    pub(super) fn trained_under(&self, scheme: &Positional) -> bool {
        let mut own = self.positional.settings.iter();
        let same = |(key, value)| scheme.settings.get(key) == Some(value);
        scheme.id == self.positional.id && own.all(same)
    }

    /// The same decoder with `scheme` as its own. What is rounded under the scheme of its weights alone is not under
    /// another one, nor under other settings.
    pub(crate) fn under(mut self, scheme: Positional) -> Architecture {
        self.rounded_bias &= self.trained_under(&scheme);
        self.positional = scheme;
        self
    }

    /// Its sizes.
    pub fn shape(&self) -> Shape {
        Shape {
            geometry: self.geometry,
            hidden: self.hidden,
            vocab: self.vocab,
        }
    }

    /// Whether a layer keeps a scheme of its own.
    pub(super) fn stands_apart(&self, layer: usize) -> bool {
        self.apart.get(layer).is_some_and(Option::is_some)
    }

    /// Whether the attention sublayer of a layer is a norm, a packed projection and a projection back, and nothing else.
    pub(super) fn plain_attention(&self) -> bool {
        self.plain_sublayers()
            && !self.bias.qkv
            && !self.bias.out
            && self.query_key_norm == QueryKeyNorm::None
            && self.latent.is_none()
            && !self.sinks
            && self.clip.is_none()
    }

    /// Whether the sublayer after attention is a norm and a SwiGLU block, and nothing else.
    pub(super) fn plain_mlp(&self, layer: usize) -> bool {
        let one = self.experts.as_ref().is_none_or(|e| !e.layers[layer]);
        let swiglu = self.gated && self.activation == Activation::Silu && self.clamped.is_none();
        self.plain_sublayers() && one && swiglu && !self.bias.mlp
    }

    fn plain_sublayers(&self) -> bool {
        self.residual == Residual::Sequential
            && self.residual_scale == 1.0
            && matches!(self.norm, Norm::Rms | Norm::RmsOffset)
    }

    /// Learned numbers, without the scheme's.
    pub fn parameters(&self) -> u64 {
        let specs = super::parts::specs(self);
        let numbers = |shape: &Vec<usize>| shape.iter().product::<usize>() as u64;
        specs.iter().map(|spec| numbers(&spec.shape)).sum()
    }

    /// Floating-point operations of a forward pass over `len` tokens, for each token.
    pub fn flops_per_token(&self, len: usize) -> f64 {
        self.forward_flops(len) / len as f64
    }

    /// Floating-point operations of one forward pass over `len` tokens (multiply and add counted apart, causal
    /// attention at half the square).
    pub fn forward_flops(&self, len: usize) -> f64 {
        let Geometry {
            layers,
            width,
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.geometry;
        let (n, w) = (len as f64, width as f64);
        let projections = match &self.latent {
            Some(latent) => latent.numbers(width, heads),
            None => width * (2 * heads + 2 * kv_heads) * head_dim,
        } as f64;
        let matrices = if self.gated { 3.0 } else { 2.0 };
        let block = |hidden: usize| matrices * w * hidden as f64;
        let attention = (heads * head_dim) as f64 * n;
        let with_experts = |experts: &Experts| {
            let router = w * experts.count as f64;
            let chosen = experts.chosen as f64 * block(experts.hidden);
            router + chosen + experts.shared.map_or(0.0, block)
        };
        let of_layer = |layer: usize| match &self.experts {
            Some(experts) if experts.layers[layer] => with_experts(experts),
            _ => block(self.hidden),
        };
        let mlps: f64 = (0..layers).map(of_layer).sum();
        2.0 * n * (layers as f64 * (projections + attention) + mlps + w * self.vocab as f64)
    }
}
