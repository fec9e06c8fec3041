//! The weights of a decoder: which there are, their names and shapes.
//!
//! Names follow the Phi-3 layout of Hugging Face (fused qkv and gate-up).

use super::architecture::{Architecture, Norm, QueryKeyNorm, Residual};
use super::experts::{Experts, Scores};
use super::latent::Latent;
use farspan_attention::plan::Geometry;
use std::borrow::Cow;

/// Standard deviation of initial weights (GPT-2); output projections are divided by √(2·layers).
const INIT_STD: f64 = 0.02;

/// The part that no gradient moves.
const CORRECTION: &str = "mlp.router.correction";

/// Whether gradients move the weight of this name.
pub(super) fn learns(name: &str) -> bool {
    !name.contains(CORRECTION)
}

/// What a weight is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Embed,
    ProjectIn,
    EmbedNorm,
    AttentionNorm,
    QueryNorm,
    KeyNorm,
    Qkv,
    /// To the vector that queries come from.
    QueryDown,
    QueryDownNorm,
    QueryUp,
    /// To the vector that keys and values come from, and to the channels of keys that turn.
    LatentDown,
    LatentNorm,
    LatentUp,
    Sinks,
    Out,
    AttentionPostNorm,
    MlpNorm,
    Up,
    Down,
    /// Scores experts.
    Router,
    /// Is added to these scores for the choice.
    Correction,
    /// Of the expert of this number.
    ExpertUp(usize),
    ExpertDown(usize),
    SharedUp,
    SharedDown,
    SharedGate,
    MlpPostNorm,
    Norm,
    ProjectOut,
    Head,
}

impl Part {
    /// Its name, without layer and ending.
    pub(crate) fn name(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Part::Embed => "model.embed_tokens",
            Part::ProjectIn => "model.project_in",
            Part::EmbedNorm => "model.embed_norm",
            Part::AttentionNorm => "input_layernorm",
            Part::QueryNorm => "self_attn.q_norm",
            Part::KeyNorm => "self_attn.k_norm",
            Part::Qkv => "self_attn.qkv_proj",
            Part::QueryDown => "self_attn.q_a_proj",
            Part::QueryDownNorm => "self_attn.q_a_layernorm",
            Part::QueryUp => "self_attn.q_b_proj",
            Part::LatentDown => "self_attn.kv_a_proj_with_mqa",
            Part::LatentNorm => "self_attn.kv_a_layernorm",
            Part::LatentUp => "self_attn.kv_b_proj",
            Part::Sinks => "self_attn.sinks",
            Part::Out => "self_attn.o_proj",
            Part::AttentionPostNorm => "self_attn.post_norm",
            Part::MlpNorm => "post_attention_layernorm",
            Part::Up => "mlp.gate_up_proj",
            Part::Down => "mlp.down_proj",
            Part::Router => "mlp.router",
            Part::Correction => CORRECTION,
            Part::ExpertUp(n) => return format!("mlp.experts.{n}.gate_up_proj").into(),
            Part::ExpertDown(n) => return format!("mlp.experts.{n}.down_proj").into(),
            Part::SharedUp => "mlp.shared.gate_up_proj",
            Part::SharedDown => "mlp.shared.down_proj",
            Part::SharedGate => "mlp.shared.gate",
            Part::MlpPostNorm => "mlp.post_norm",
            Part::Norm => "model.norm",
            Part::ProjectOut => "model.project_out",
            Part::Head => "lm_head",
        })
    }

    /// Whether it is a norm of the residual stream, or of what is added to it.
    pub(crate) fn is_norm(self) -> bool {
        use Part::{
            AttentionNorm, AttentionPostNorm, EmbedNorm, KeyNorm, MlpNorm, MlpPostNorm, Norm,
            QueryNorm,
        };
        matches!(
            self,
            EmbedNorm
                | AttentionNorm
                | QueryNorm
                | KeyNorm
                | AttentionPostNorm
                | MlpNorm
                | MlpPostNorm
                | Norm
        )
    }
}

/// A part of a decoder, or of one of its layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) layer: Option<usize>,
    pub(crate) part: Part,
}

impl Spot {
    /// A part of a layer.
    pub(crate) fn of(layer: usize, part: Part) -> Spot {
        Spot {
            layer: Some(layer),
            part,
        }
    }

    /// A part of the whole decoder.
    pub(crate) fn whole(part: Part) -> Spot {
        Spot { layer: None, part }
    }

    /// Its name, without ending.
    pub(crate) fn name(self) -> String {
        match self.layer {
            Some(layer) => format!("model.layers.{layer}.{}", self.part.name()),
            None => self.part.name().into_owned(),
        }
    }
}

/// One weight.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spec {
    pub(crate) spot: Spot,
    /// Whether it is added rather than multiplied with.
    pub(crate) bias: bool,
    pub(crate) shape: Vec<usize>,
    pub(super) init: Init,
}

/// What it starts with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Init {
    Zeros,
    Ones,
    Normal(f64),
}

impl Spec {
    /// Its name.
    pub(crate) fn name(&self) -> String {
        let end = if self.bias { "bias" } else { "weight" };
        format!("{}.{end}", self.spot.name())
    }
}

/// All weights of a decoder without its scheme's, in a fixed order; the embedding is the first.
pub(crate) fn specs(architecture: &Architecture) -> Vec<Spec> {
    let mut list = List {
        architecture,
        layer: None,
        specs: Vec::new(),
    };
    let (width, vocab) = (architecture.geometry.width, architecture.vocab);
    let embed = architecture.embed_width.unwrap_or(width);
    let projected = architecture.embed_width.is_some();
    list.matrix(Part::Embed, vocab, embed, false, INIT_STD);
    if projected {
        list.matrix(Part::ProjectIn, width, embed, false, INIT_STD);
    }
    if architecture.embed_norm {
        list.norm(Part::EmbedNorm, width);
    }
    for layer in 0..architecture.geometry.layers {
        list.layer = Some(layer);
        list.of_layer();
    }
    list.layer = None;
    if architecture.final_norm {
        list.norm(Part::Norm, width);
    }
    if projected {
        list.matrix(Part::ProjectOut, embed, width, false, INIT_STD);
    }
    if !architecture.tied {
        list.matrix(Part::Head, vocab, embed, false, INIT_STD);
    }
    if architecture.bias.head {
        list.push(Part::Head, true, vec![vocab], Init::Zeros);
    }
    list.specs
}

struct List<'a> {
    architecture: &'a Architecture,
    layer: Option<usize>,
    specs: Vec<Spec>,
}

impl List<'_> {
    fn push(&mut self, part: Part, bias: bool, shape: Vec<usize>, init: Init) {
        let spot = Spot {
            layer: self.layer,
            part,
        };
        self.specs.push(Spec {
            spot,
            bias,
            shape,
            init,
        });
    }

    fn matrix(&mut self, part: Part, out: usize, inner: usize, bias: bool, std: f64) {
        self.push(part, false, vec![out, inner], Init::Normal(std));
        if bias {
            self.push(part, true, vec![out], Init::Zeros);
        }
    }

    fn norm(&mut self, part: Part, width: usize) {
        if self.architecture.norm == Norm::LayerBare {
            return;
        }
        self.push(part, false, vec![width], Init::Ones);
        if self.architecture.bias.norm {
            self.push(part, true, vec![width], Init::Zeros);
        }
    }

    fn of_layer(&mut self) {
        let Architecture { bias, hidden, .. } = *self.architecture;
        let layer = self.layer.unwrap_or_default();
        let Geometry {
            layers,
            width,
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.architecture.geometry;
        let residual = self.architecture.residual;
        let behind_only = [Residual::Behind, Residual::Post].contains(&residual);
        let out_std = INIT_STD / (2.0 * layers as f64).sqrt();
        if !behind_only {
            self.norm(Part::AttentionNorm, width);
        }
        for (part, heads) in [(Part::QueryNorm, heads), (Part::KeyNorm, kv_heads)] {
            match self.architecture.query_key_norm {
                QueryKeyNorm::None | QueryKeyNorm::Turned => {}
                QueryKeyNorm::Head => self.norm(part, head_dim),
                QueryKeyNorm::EachHead => {
                    self.push(part, false, vec![heads * head_dim], Init::Ones);
                }
                QueryKeyNorm::Whole => self.norm(part, heads * head_dim),
            }
        }
        let mut value = head_dim;
        if let Some(latent) = self.architecture.latent {
            self.of_latent(&latent);
            value = latent.value;
        } else {
            let qkv = (heads + 2 * kv_heads) * head_dim;
            self.matrix(Part::Qkv, qkv, width, bias.qkv, INIT_STD);
        }
        if self.architecture.sinks {
            self.push(Part::Sinks, false, vec![heads], Init::Zeros);
        }
        self.matrix(Part::Out, width, heads * value, bias.out, out_std);
        if residual != Residual::ParallelShared && !behind_only {
            self.norm(Part::MlpNorm, width);
        }
        if residual == Residual::Sandwich || behind_only {
            self.norm(Part::AttentionPostNorm, width);
            self.norm(Part::MlpPostNorm, width);
        }
        match &self.architecture.experts {
            Some(experts) if experts.layers[layer] => self.of_experts(experts, out_std),
            _ => self.block([Part::Up, Part::Down], hidden, bias.mlp, out_std),
        }
    }

    /// Queries, keys and values of latent attention.
    fn of_latent(&mut self, latent: &Latent) {
        let Geometry { width, heads, .. } = self.architecture.geometry;
        let bias = self.architecture.bias.qkv;
        let mut from = width;
        if let Some(rank) = latent.query_rank {
            self.matrix(Part::QueryDown, rank, width, bias, INIT_STD);
            self.push(Part::QueryDownNorm, false, vec![rank], Init::Ones);
            from = rank;
        }
        let queries = heads * latent.score();
        self.matrix(Part::QueryUp, queries, from, false, INIT_STD);
        let short = latent.rank + latent.rotary;
        self.matrix(Part::LatentDown, short, width, bias, INIT_STD);
        self.push(Part::LatentNorm, false, vec![latent.rank], Init::Ones);
        let both = heads * (latent.plain + latent.value);
        self.matrix(Part::LatentUp, both, latent.rank, false, INIT_STD);
    }

    /// A feed-forward block.
    fn block(&mut self, [up, down]: [Part; 2], hidden: usize, bias: bool, out_std: f64) {
        let width = self.architecture.geometry.width;
        let rows = if self.architecture.gated {
            2 * hidden
        } else {
            hidden
        };
        self.matrix(up, rows, width, bias, INIT_STD);
        self.matrix(down, width, hidden, bias, out_std);
    }

    fn of_experts(&mut self, experts: &Experts, out_std: f64) {
        let (width, bias) = (self.architecture.geometry.width, self.architecture.bias.mlp);
        let Experts { count, hidden, .. } = *experts;
        self.matrix(Part::Router, count, width, experts.router_bias, INIT_STD);
        if experts.routing.scores == Scores::Corrected {
            self.push(Part::Correction, false, vec![count], Init::Zeros);
        }
        for number in 0..count {
            let parts = [Part::ExpertUp(number), Part::ExpertDown(number)];
            self.block(parts, hidden, bias, out_std);
        }
        if let Some(hidden) = experts.shared {
            self.block([Part::SharedUp, Part::SharedDown], hidden, bias, out_std);
        }
        if experts.shared_gate {
            self.matrix(Part::SharedGate, 1, width, false, INIT_STD);
        }
    }
}
