//! The weights of a decoder: which there are, their names and shapes.
//!
//! Names follow the Phi-3 layout of Hugging Face (fused qkv and gate-up).

use super::architecture::{Architecture, Norm, QueryKeyNorm, Residual};
use farspan_attention::plan::Geometry;

/// Standard deviation of initial weights (GPT-2); output projections are divided by √(2·layers).
const INIT_STD: f64 = 0.02;

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
    Out,
    AttentionPostNorm,
    MlpNorm,
    Up,
    Down,
    MlpPostNorm,
    Norm,
    ProjectOut,
    Head,
}

impl Part {
    /// Its name, without layer and ending.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Part::Embed => "model.embed_tokens",
            Part::ProjectIn => "model.project_in",
            Part::EmbedNorm => "model.embed_norm",
            Part::AttentionNorm => "input_layernorm",
            Part::QueryNorm => "self_attn.q_norm",
            Part::KeyNorm => "self_attn.k_norm",
            Part::Qkv => "self_attn.qkv_proj",
            Part::Out => "self_attn.o_proj",
            Part::AttentionPostNorm => "self_attn.post_norm",
            Part::MlpNorm => "post_attention_layernorm",
            Part::Up => "mlp.gate_up_proj",
            Part::Down => "mlp.down_proj",
            Part::MlpPostNorm => "mlp.post_norm",
            Part::Norm => "model.norm",
            Part::ProjectOut => "model.project_out",
            Part::Head => "lm_head",
        }
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
            None => self.part.name().to_string(),
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
                QueryKeyNorm::None => {}
                QueryKeyNorm::Head => self.norm(part, head_dim),
                QueryKeyNorm::EachHead => {
                    self.push(part, false, vec![heads * head_dim], Init::Ones);
                }
                QueryKeyNorm::Whole => self.norm(part, heads * head_dim),
            }
        }
        let qkv = (heads + 2 * kv_heads) * head_dim;
        self.matrix(Part::Qkv, qkv, width, bias.qkv, INIT_STD);
        self.matrix(Part::Out, width, heads * head_dim, bias.out, out_std);
        if residual != Residual::ParallelShared && !behind_only {
            self.norm(Part::MlpNorm, width);
        }
        if residual == Residual::Sandwich || behind_only {
            self.norm(Part::AttentionPostNorm, width);
            self.norm(Part::MlpPostNorm, width);
        }
        let up = if self.architecture.gated {
            2 * hidden
        } else {
            hidden
        };
        self.matrix(Part::Up, up, width, bias.mlp, INIT_STD);
        self.matrix(Part::Down, width, hidden, bias.mlp, out_std);
    }
}
