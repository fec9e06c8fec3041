//! Where a checkpoint keeps each tensor of the shared decoder, and in which order of rows.

use super::experts::{ExpertNames, Stacked};
use crate::model::parts::{Part, Spec, specs};
use crate::model::{Architecture, Norm, QueryKeyNorm};
use std::borrow::Cow;

/// One tensor of the decoder and the tensors of the checkpoint that it is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// Name in the decoder.
    pub name: String,
    /// Shape in the decoder.
    pub shape: Vec<usize>,
    /// Tensors of the checkpoint, laid one below the other, with the shapes they must have.
    pub parts: Vec<(String, Vec<usize>)>,
    /// What is done to them.
    pub arrange: Arrange,
}

impl Slot {
    /// A tensor that is stored as the decoder has it.
    pub(super) fn own(name: String, shape: Vec<usize>) -> Slot {
        Slot {
            parts: vec![(name.clone(), shape.clone())],
            name,
            shape,
            arrange: Arrange::AsIs,
        }
    }
}

/// Difference between a tensor of a checkpoint and ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrange {
    /// None.
    AsIs,
    /// Stored (in, out), as GPT-2 does.
    Transposed,
    /// Rows come in groups of some query heads, some key heads and as many value heads; ours are all queries, all keys,
    /// all values.
    Grouped {
        /// Groups.
        groups: usize,
        /// Query heads of a group.
        queries: usize,
        /// Key heads of a group.
        keys: usize,
        /// Whether a group's values stand before its keys.
        values_first: bool,
    },
    /// 1 is added to each value: the norms of Gemma and Nemotron.
    PlusOne,
    /// A slice of one tensor.
    Stacked(Stacked),
    /// So many rows in front are for tokens that are no part of a text.
    Behind(usize),
}

/// The names of a family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    /// Stands before all names but the head's.
    pub(super) prefix: &'static str,
    /// Stands there in a checkpoint of the bare model.
    pub(super) bare_prefix: &'static str,
    pub(super) embed: &'static str,
    pub(super) embed_norm: &'static str,
    /// Projections of embeddings to the stream, and back.
    pub(super) project: [&'static str; 2],
    /// Learned positions.
    pub(super) positions: Option<&'static str>,
    /// Rows of their table before that of the first token.
    pub(super) rows_before: usize,
    /// Stands before the number of a layer.
    pub(super) layers: &'static str,
    pub(super) attention_norm: &'static str,
    pub(super) attention_post_norm: &'static str,
    pub(super) mlp_norm: &'static str,
    pub(super) mlp_post_norm: &'static str,
    pub(super) qkv: Qkv,
    /// Norms of queries and of keys. `#` stands for the number of a head, where each has a tensor of its own.
    pub(super) query_key_norms: [&'static str; 2],
    pub(super) out: &'static str,
    /// One projection, or those of the gate and of what is gated.
    pub(super) up: &'static [&'static str],
    pub(super) down: &'static str,
    pub(super) experts: ExpertNames,
    pub(super) norm: &'static str,
    pub(super) head: &'static str,
    /// Whether matrices are stored (in, out).
    pub(super) transposed: bool,
    /// Whether there may be layers behind the last that do something else, and are not read.
    pub(super) more_layers: bool,
    /// Ends of the names of buffers that hold nothing learned.
    pub(super) buffers: &'static [&'static str],
    /// Whether all names and numbers are the decoder's own, its scheme's parameters among them.
    pub(super) own: bool,
}

/// How queries, keys and values are stored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Qkv {
    /// Three matrices.
    Separate([&'static str; 3]),
    /// One, in our order.
    Fused(&'static str),
    /// One, in groups of a key/value head each ([`Arrange::Grouped`]).
    Grouped(&'static str),
    /// One, in so many groups of equal size, values before keys: CodeGen, trained on as many processors.
    Shared(&'static str, usize),
}

impl Names {
    /// The decoder's own.
    pub(super) const OWN: Names = Names {
        prefix: "",
        embed: "model.embed_tokens",
        buffers: &[],
        own: true,
        ..Names::LLAMA
    };

    /// Llama's, which most families share.
    pub(super) const LLAMA: Names = Names {
        prefix: "model.",
        bare_prefix: "",
        embed: "embed_tokens",
        embed_norm: "",
        project: ["", ""],
        positions: None,
        rows_before: 0,
        layers: "layers",
        attention_norm: "input_layernorm",
        attention_post_norm: "",
        mlp_norm: "post_attention_layernorm",
        mlp_post_norm: "",
        qkv: Qkv::Separate(["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
        query_key_norms: ["self_attn.q_norm", "self_attn.k_norm"],
        out: "self_attn.o_proj",
        up: &["mlp.gate_proj", "mlp.up_proj"],
        down: "mlp.down_proj",
        experts: ExpertNames::QWEN,
        norm: "norm",
        head: "lm_head",
        transposed: false,
        more_layers: false,
        buffers: &["rotary_emb.inv_freq"],
        own: false,
    };
}

/// All slots of `architecture`, the embedding's first; `prefixed` tells whether the checkpoint's names start with the
/// family's prefix.
pub(super) fn slots(architecture: &Architecture, names: &Names, prefixed: bool) -> Vec<Slot> {
    let prefix = match prefixed {
        true => names.prefix,
        false => names.bare_prefix,
    };
    let layout = Layout {
        architecture,
        names,
        prefix,
    };
    let mut slots: Vec<Slot> = specs(architecture).iter().map(|s| layout.slot(s)).collect();
    if let Some(table) = names.positions {
        let g = &architecture.geometry;
        let rows = |before: usize| vec![before + g.trained_length, g.width];
        let stored = rows(names.rows_before);
        slots.push(Slot {
            name: "scheme.wpe".into(),
            parts: vec![(format!("{prefix}{table}.weight"), stored)],
            shape: rows(0),
            arrange: match names.rows_before {
                0 => Arrange::AsIs,
                before => Arrange::Behind(before),
            },
        });
    }
    slots
}

struct Layout<'a> {
    architecture: &'a Architecture,
    names: &'a Names,
    prefix: &'static str,
}

impl Layout<'_> {
    /// Where a weight lies.
    fn slot(&self, spec: &Spec) -> Slot {
        if self.names.own {
            return Slot::own(spec.name(), spec.shape.clone());
        }
        let (rows, tail) = (spec.shape[0], &spec.shape[1..]);
        let arrange = self.arrange(spec);
        let part = |(name, rows): (Cow<'static, str>, usize)| {
            let shape = match arrange {
                Arrange::Transposed => [tail, &[rows]].concat(),
                Arrange::Stacked(stacked) => stacked.whole(&spec.shape),
                _ => [&[rows], tail].concat(),
            };
            (self.named(spec, &name), shape)
        };
        let parts = self.heads(spec).unwrap_or_else(|| {
            let stored = self.stored(spec.spot.part, rows).into_iter();
            stored.map(part).collect()
        });
        Slot {
            name: spec.name(),
            shape: spec.shape.clone(),
            parts,
            arrange,
        }
    }

    /// The whole name of a tensor that the family calls `name`.
    fn named(&self, spec: &Spec, name: &str) -> String {
        let end = match (self.arrange(spec), spec.bias) {
            (Arrange::Stacked(_), true) => "_bias",
            (Arrange::Stacked(_), false) => "",
            _ if [Part::Correction, Part::Sinks].contains(&spec.spot.part) => "",
            (_, true) => ".bias",
            (_, false) => ".weight",
        };
        match spec.spot.layer {
            _ if spec.spot.part == Part::Head => format!("{name}{end}"),
            None => format!("{}{name}{end}", self.prefix),
            Some(layer) => format!("{}{}.{layer}.{name}{end}", self.prefix, self.names.layers),
        }
    }

    /// Tensors of a norm whose heads have weights of their own: one for each head, or one with a row for each.
    fn heads(&self, spec: &Spec) -> Option<Vec<(String, Vec<usize>)>> {
        let [queries, keys] = self.names.query_key_norms;
        let name = match spec.spot.part {
            Part::QueryNorm => queries,
            Part::KeyNorm => keys,
            _ => return None,
        };
        if self.architecture.query_key_norm != QueryKeyNorm::EachHead {
            return None;
        }
        let head_dim = self.architecture.geometry.head_dim;
        let heads = spec.shape[0] / head_dim;
        if !name.contains('#') {
            return Some(vec![(self.named(spec, name), vec![heads, head_dim])]);
        }
        let head = |head: usize| self.named(spec, &name.replace('#', &head.to_string()));
        Some((0..heads).map(|n| (head(n), vec![head_dim])).collect())
    }

    /// The family's names of a part with so many rows, and how many of these each of them holds.
    fn stored(&self, part: Part, rows: usize) -> Vec<(Cow<'static, str>, usize)> {
        let (names, architecture) = (self.names, self.architecture);
        let g = &architecture.geometry;
        let one = |name: &'static str| vec![(Cow::Borrowed(name), rows)];
        match part {
            Part::Embed => one(names.embed),
            Part::ProjectIn => one(names.project[0]),
            Part::ProjectOut => one(names.project[1]),
            Part::EmbedNorm => one(names.embed_norm),
            Part::AttentionNorm => one(names.attention_norm),
            Part::QueryNorm => one(names.query_key_norms[0]),
            Part::KeyNorm => one(names.query_key_norms[1]),
            Part::Qkv => match names.qkv {
                Qkv::Separate([q, k, v]) => {
                    let keys = g.kv_heads * g.head_dim;
                    let parts = [(q, g.heads * g.head_dim), (k, keys), (v, keys)];
                    parts.map(|(name, rows)| (name.into(), rows)).to_vec()
                }
                Qkv::Fused(name) | Qkv::Grouped(name) | Qkv::Shared(name, _) => one(name),
            },
            Part::QueryUp if architecture.latent.is_some_and(|l| l.query_rank.is_none()) => {
                one("self_attn.q_proj")
            }
            Part::QueryDown
            | Part::QueryDownNorm
            | Part::QueryUp
            | Part::LatentDown
            | Part::LatentNorm
            | Part::LatentUp => vec![(part.name(), rows)],
            Part::Sinks => one("self_attn.sinks"),
            Part::Out => one(names.out),
            Part::AttentionPostNorm => one(names.attention_post_norm),
            Part::MlpNorm => one(names.mlp_norm),
            Part::Up => match (names.up, architecture.gated) {
                ([fused], true) => one(fused),
                (parts, _) => parts
                    .iter()
                    .map(|part| (Cow::Borrowed(*part), architecture.hidden))
                    .collect(),
            },
            Part::Down => one(names.down),
            Part::Router
            | Part::Correction
            | Part::ExpertUp(_)
            | Part::ExpertDown(_)
            | Part::SharedUp
            | Part::SharedDown
            | Part::SharedGate => names.experts.stored(part, rows),
            Part::MlpPostNorm => one(names.mlp_post_norm),
            Part::Norm => one(names.norm),
            Part::Head => one(names.head),
        }
    }

    fn arrange(&self, spec: &Spec) -> Arrange {
        let part = spec.spot.part;
        let g = &self.architecture.geometry;
        if let Some(slice) = (self.names.experts).slice(part, self.architecture.experts.as_ref()) {
            return Arrange::Stacked(slice);
        }
        let offset = [Norm::RmsOffset, Norm::LayerOffset].contains(&self.architecture.norm);
        match self.names.qkv {
            Qkv::Grouped(_) if part == Part::Qkv => Arrange::Grouped {
                groups: g.kv_heads,
                queries: g.heads / g.kv_heads,
                keys: 1,
                values_first: false,
            },
            Qkv::Shared(_, groups) if part == Part::Qkv => Arrange::Grouped {
                groups,
                queries: g.heads / groups,
                keys: g.kv_heads / groups,
                values_first: true,
            },
            _ if offset && part.is_norm() && !spec.bias => Arrange::PlusOne,
            _ if self.names.transposed && spec.spot.layer.is_some() && spec.shape.len() == 2 => {
                Arrange::Transposed
            }
            _ => Arrange::AsIs,
        }
    }
}
