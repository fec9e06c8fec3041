//! Where a checkpoint keeps each tensor of the shared decoder, and in which order of rows.

use super::config::{Architecture, Residual};

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

/// Difference between a tensor of a checkpoint and ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrange {
    /// None.
    AsIs,
    /// Stored (in, out), as GPT-2 does.
    Transposed,
    /// Rows come in groups of some query heads, a key head and a value head; ours are all queries, all keys, all
    /// values.
    Grouped {
        /// Groups: key/value heads.
        groups: usize,
        /// Query heads of a group.
        queries: usize,
        /// Channels of a head.
        head_dim: usize,
    },
    /// 1 is added to each value: Gemma's norms.
    PlusOne,
}

/// The names of a family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    /// Stands before all names but the head's; a checkpoint of the bare model lacks it.
    pub(super) prefix: &'static str,
    pub(super) embed: &'static str,
    pub(super) embed_norm: &'static str,
    /// Learned positions.
    pub(super) positions: Option<&'static str>,
    /// Stands before the number of a layer.
    pub(super) layers: &'static str,
    pub(super) attention_norm: &'static str,
    pub(super) attention_post_norm: &'static str,
    pub(super) mlp_norm: &'static str,
    pub(super) mlp_post_norm: &'static str,
    pub(super) qkv: Qkv,
    pub(super) out: &'static str,
    /// One projection, or those of the gate and of what is gated.
    pub(super) up: &'static [&'static str],
    pub(super) down: &'static str,
    pub(super) norm: &'static str,
    pub(super) head: &'static str,
    /// Whether matrices are stored (in, out).
    pub(super) transposed: bool,
    /// Ends of the names of buffers that hold nothing learned.
    pub(super) buffers: &'static [&'static str],
}

/// How queries, keys and values are stored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Qkv {
    /// Three matrices.
    Separate([&'static str; 3]),
    /// One, in our order.
    Fused(&'static str),
    /// One, in groups ([`Arrange::Grouped`]).
    Grouped(&'static str),
}

impl Names {
    /// Llama's, which most families share.
    pub(super) const LLAMA: Names = Names {
        prefix: "model.",
        embed: "embed_tokens",
        embed_norm: "",
        positions: None,
        layers: "layers",
        attention_norm: "input_layernorm",
        attention_post_norm: "",
        mlp_norm: "post_attention_layernorm",
        mlp_post_norm: "",
        qkv: Qkv::Separate(["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
        out: "self_attn.o_proj",
        up: &["mlp.gate_proj", "mlp.up_proj"],
        down: "mlp.down_proj",
        norm: "norm",
        head: "lm_head",
        transposed: false,
        buffers: &["rotary_emb.inv_freq"],
    };
}

/// All slots of `architecture`; `prefixed` tells whether the checkpoint's names start with the family's prefix.
pub(super) fn slots(architecture: &Architecture, names: &Names, prefixed: bool) -> Vec<Slot> {
    let mut list = List {
        architecture,
        names,
        prefix: if prefixed { names.prefix } else { "" },
        slots: Vec::new(),
    };
    let (width, vocab) = (architecture.geometry.width, architecture.vocab);
    list.one(
        "embed.weight",
        names.embed,
        "weight",
        vec![vocab, width],
        Arrange::AsIs,
    );
    if let Some(table) = names.positions {
        let rows = architecture.geometry.trained_length;
        list.one(
            "scheme.wpe",
            table,
            "weight",
            vec![rows, width],
            Arrange::AsIs,
        );
    }
    if architecture.embed_norm {
        list.norm(
            "embed_norm",
            names.embed_norm,
            width,
            architecture.bias.norm,
        );
    }
    for layer in 0..architecture.geometry.layers {
        list.layer(layer);
    }
    list.norm("norm", names.norm, width, architecture.bias.norm);
    if !architecture.tied {
        list.slots.push(Slot {
            name: "head.weight".into(),
            shape: vec![vocab, width],
            parts: vec![(format!("{}.weight", names.head), vec![vocab, width])],
            arrange: Arrange::AsIs,
        });
    }
    list.slots
}

struct List<'a> {
    architecture: &'a Architecture,
    names: &'a Names,
    prefix: &'static str,
    slots: Vec<Slot>,
}

impl List<'_> {
    fn one(&mut self, ours: &str, theirs: &str, end: &str, shape: Vec<usize>, arrange: Arrange) {
        let stored = match (arrange, shape.as_slice()) {
            (Arrange::Transposed, &[out, inner]) => vec![inner, out],
            _ => shape.clone(),
        };
        self.slots.push(Slot {
            name: ours.to_string(),
            shape,
            parts: vec![(format!("{}{theirs}.{end}", self.prefix), stored)],
            arrange,
        });
    }

    fn norm(&mut self, ours: &str, theirs: &str, width: usize, bias: bool) {
        let arrange = match self.architecture.norm {
            super::config::Norm::RmsOffset => Arrange::PlusOne,
            _ => Arrange::AsIs,
        };
        self.one(
            &format!("{ours}.weight"),
            theirs,
            "weight",
            vec![width],
            arrange,
        );
        if bias {
            self.one(
                &format!("{ours}.bias"),
                theirs,
                "bias",
                vec![width],
                Arrange::AsIs,
            );
        }
    }

    /// A projection from `inner` channels to those of all `parts`, each (name, channels).
    fn linear(
        &mut self,
        ours: &str,
        parts: &[(String, usize)],
        inner: usize,
        bias: bool,
        arrange: Arrange,
    ) {
        let out: usize = parts.iter().map(|(_, n)| n).sum();
        let mut push = |end: &str, tail: &[usize], arrange: Arrange| {
            let stored = |n: usize| match arrange {
                Arrange::Transposed => [tail, &[n]].concat(),
                _ => [&[n], tail].concat(),
            };
            let part = |(theirs, n): &(String, usize)| {
                (format!("{}{theirs}.{end}", self.prefix), stored(*n))
            };
            self.slots.push(Slot {
                name: format!("{ours}.{end}"),
                shape: [&[out], tail].concat(),
                parts: parts.iter().map(part).collect(),
                arrange,
            });
        };
        push("weight", &[inner], arrange);
        if bias {
            let grouped = matches!(arrange, Arrange::Grouped { .. });
            push("bias", &[], if grouped { arrange } else { Arrange::AsIs });
        }
    }

    fn layer(&mut self, layer: usize) {
        let (architecture, names) = (self.architecture, self.names);
        let (g, bias) = (&architecture.geometry, architecture.bias);
        let ours = |part: &str| format!("layers.{layer}.{part}");
        let theirs = |part: &str| format!("{}.{layer}.{part}", names.layers);
        let plain = match names.transposed {
            true => Arrange::Transposed,
            false => Arrange::AsIs,
        };
        let mut norms = vec![("attention_norm", names.attention_norm)];
        if architecture.residual != Residual::ParallelShared {
            norms.push(("mlp_norm", names.mlp_norm));
        }
        if architecture.residual == Residual::Sandwich {
            norms.push(("attention_post_norm", names.attention_post_norm));
            norms.push(("mlp_post_norm", names.mlp_post_norm));
        }
        for (name, stored) in norms {
            self.norm(&ours(name), &theirs(stored), g.width, bias.norm);
        }
        if architecture.query_key_norm {
            self.norm(
                &ours("query_norm"),
                &theirs("self_attn.q_norm"),
                g.head_dim,
                false,
            );
            self.norm(
                &ours("key_norm"),
                &theirs("self_attn.k_norm"),
                g.head_dim,
                false,
            );
        }
        let (queries, keys) = (g.heads * g.head_dim, g.kv_heads * g.head_dim);
        let (parts, arrange) = match names.qkv {
            Qkv::Separate([q, k, v]) => {
                let parts = vec![(theirs(q), queries), (theirs(k), keys), (theirs(v), keys)];
                (parts, plain)
            }
            Qkv::Fused(name) => (vec![(theirs(name), queries + 2 * keys)], plain),
            Qkv::Grouped(name) => {
                let arrange = Arrange::Grouped {
                    groups: g.kv_heads,
                    queries: g.heads / g.kv_heads,
                    head_dim: g.head_dim,
                };
                (vec![(theirs(name), queries + 2 * keys)], arrange)
            }
        };
        self.linear(&ours("qkv"), &parts, g.width, bias.qkv, arrange);
        let out = [(theirs(names.out), g.width)];
        self.linear(&ours("out"), &out, queries, bias.out, plain);
        let hidden = architecture.hidden;
        let up: Vec<_> = match (names.up, architecture.gated) {
            ([fused], true) => vec![(theirs(fused), 2 * hidden)],
            (parts, _) => parts.iter().map(|part| (theirs(part), hidden)).collect(),
        };
        self.linear(&ours("up"), &up, g.width, bias.mlp, plain);
        let down = [(theirs(names.down), g.width)];
        self.linear(&ours("down"), &down, hidden, bias.mlp, plain);
    }
}
