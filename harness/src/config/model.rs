//! Presets: from one dial to all sizes of a decoder.

use super::types::ModelConfig;
use crate::Error;
use crate::checkpoint::config::{self, Reading};
use crate::model::{Architecture, Biases, Norm, Shape};
use crate::origin;
use farspan_attention::plan::Geometry;

/// Largest preset.
pub const LARGEST: usize = 24;
/// Hidden widths of presets are multiples of this.
const HIDDEN_STEP: usize = 16;
/// No size is larger than this: products of sizes must stay countable.
const LARGEST_SIZE: usize = 1 << 20;

/// What a rule of the decoder says about a key of `[model]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// Key in `[model]`; empty for the table.
    pub(super) key: &'static str,
    pub(super) what: String,
}

impl ModelConfig {
    /// The preset `dN`.
    pub fn preset(layers: usize) -> ModelConfig {
        ModelConfig {
            size: Some(format!("d{layers}")),
            ..ModelConfig::default()
        }
    }

    /// How the config of a checkpoint is read.
    pub(crate) fn reading(&self) -> Reading {
        Reading {
            ignore_keys: self.ignore_keys.clone(),
            trained_length: self.trained_length,
        }
    }

    /// The decoder: the preset's sizes, then every field that is set. `vocab` comes from the data,
    /// `trained_length` (tokens) from the training.
    pub fn resolve(&self, vocab: usize, trained_length: usize) -> crate::Result<Architecture> {
        self.architecture(vocab, trained_length).map_err(|broken| {
            let dot = if broken.key.is_empty() { "" } else { "." };
            Error::Config(format!("model{dot}{}: {}", broken.key, broken.what))
        })
    }

    pub(super) fn architecture(
        &self,
        vocab: usize,
        trained_length: usize,
    ) -> Result<Architecture, Broken> {
        if let Some(checkpoint) = &self.checkpoint {
            return self.of_checkpoint(checkpoint);
        }
        for (key, set) in [
            ("ignore_keys", !self.ignore_keys.is_empty()),
            ("trained_length", self.trained_length.is_some()),
        ] {
            if set {
                return broken(key, "is for a `checkpoint` only".into());
            }
        }
        let dial = self.dial()?;
        let size = |key, set: Option<usize>, preset: Option<usize>| match set.or(preset) {
            Some(size) if (1..=LARGEST_SIZE).contains(&size) => Ok(size),
            Some(size) => broken(key, format!("expected 1 to {LARGEST_SIZE}, found {size}")),
            None => broken(
                "",
                format!(
                    "expected `size` (d1 to d{LARGEST}), or `layers`, `width` and `heads`; `{key}` is missing"
                ),
            ),
        };
        let layers = size("layers", self.layers, dial)?;
        let width = size("width", self.width, dial.map(|n| 32 * n))?;
        let heads = size("heads", self.heads, dial.map(|n| n.max(4)))?;
        let kv_heads = size("kv_heads", self.kv_heads, Some(heads))?;
        if !heads.is_multiple_of(kv_heads) {
            return broken(
                "kv_heads",
                format!("expected a divisor of the {heads} heads, found {kv_heads}"),
            );
        }
        if self.head_dim.is_none() && !width.is_multiple_of(heads) {
            let what = format!(
                "expected a divisor of the width {width} (or set `head_dim`), found {heads}"
            );
            return broken("heads", what);
        }
        let head_dim = size("head_dim", self.head_dim, Some(width / heads))?;
        let swiglu = (8 * width).div_ceil(3).next_multiple_of(HIDDEN_STEP);
        let hidden = size("hidden", self.hidden, Some(swiglu))?;
        let geometry = Geometry {
            layers,
            width,
            heads,
            kv_heads,
            head_dim,
            trained_length,
        };
        let shape = Shape {
            geometry,
            hidden,
            vocab,
        };
        self.with_blocks(&shape)
    }

    /// The decoder of these sizes, with the choices of the family that it is to be like, then those that are set.
    fn with_blocks(&self, shape: &Shape) -> Result<Architecture, Broken> {
        let mut a = match &self.like {
            None => Architecture::plain(shape),
            Some(family) => match config::like(family) {
                Ok(theirs) => theirs.at(shape),
                Err(error) => return broken("like", error.to_string()),
            },
        };
        let g = shape.geometry;
        a.norm = self.norm.unwrap_or(a.norm);
        a.query_key_norm = self.query_key_norm.unwrap_or(a.query_key_norm);
        a.residual = self.block.unwrap_or(a.residual);
        a.activation = self.activation.unwrap_or(a.activation);
        a.gated = self.gated.unwrap_or(a.gated);
        a.tied = self.tied.unwrap_or(a.tied);
        if let Some(on) = self.biases {
            let norm = on && a.norm == Norm::Layer;
            a.bias = Biases {
                qkv: on,
                out: on,
                mlp: on,
                norm,
                head: false,
            };
        }
        for (key, set, slot) in [
            ("embed_scale", self.embed_scale, &mut a.embed_scale),
            ("score_scale", self.score_scale, &mut a.score_scale),
            ("residual_scale", self.residual_scale, &mut a.residual_scale),
            ("logit_scale", self.logit_scale, &mut a.logit_scale),
        ] {
            *slot = positive(key, set)?.unwrap_or(*slot);
        }
        for (key, set, slot) in [
            ("score_cap", self.score_cap, &mut a.score_cap),
            ("logit_cap", self.logit_cap, &mut a.logit_cap),
        ] {
            *slot = positive(key, set)?.or(*slot);
        }
        let windowed: Vec<bool> = match &self.windowed {
            Some(pattern) if pattern.is_empty() => {
                return broken("windowed", "expected at least one entry".into());
            }
            Some(pattern) => pattern.iter().copied().cycle().take(g.layers).collect(),
            None => a.windows.iter().map(Option::is_some).collect(),
        };
        let window = self.window.unwrap_or(g.trained_length.div_ceil(2).max(1));
        if window == 0 {
            return broken("window", "expected at least 1, found 0".into());
        }
        if self.window.is_some() && !windowed.contains(&true) {
            let what =
                "is for layers that have one: set `windowed`, or `like` a family with windows";
            return broken("window", what.into());
        }
        a.windows = windowed.iter().map(|on| on.then_some(window)).collect();
        Ok(a)
    }

    /// That of a checkpoint.
    fn of_checkpoint(&self, checkpoint: &str) -> Result<Architecture, Broken> {
        let alone = ModelConfig {
            checkpoint: Some(checkpoint.to_string()),
            ignore_keys: self.ignore_keys.clone(),
            trained_length: self.trained_length,
            ..ModelConfig::default()
        };
        if *self != alone {
            let what = "a checkpoint gives all sizes: leave out what is no `ignore_keys` or `trained_length`";
            return broken("checkpoint", what.into());
        }
        let read = origin::folder(checkpoint).and_then(|dir| config::read(&dir, &self.reading()));
        match read {
            Ok(understood) => Ok(understood.architecture),
            Err(error) => broken("checkpoint", error.to_string()),
        }
    }

    fn dial(&self) -> Result<Option<usize>, Broken> {
        let Some(size) = &self.size else {
            return Ok(None);
        };
        let number = size.strip_prefix('d').and_then(|n| n.parse().ok());
        match number {
            Some(n) if (1..=LARGEST).contains(&n) => Ok(Some(n)),
            _ => broken(
                "size",
                format!("expected a preset d1 to d{LARGEST}, found {size:?}"),
            ),
        }
    }
}

fn positive(key: &'static str, set: Option<f64>) -> Result<Option<f64>, Broken> {
    match set {
        Some(x) if !(x > 0.0 && x.is_finite()) => {
            broken(key, format!("expected a number above 0, found {x}"))
        }
        set => Ok(set),
    }
}

fn broken<T>(key: &'static str, what: String) -> Result<T, Broken> {
    Err(Broken { key, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_follow_the_dial() {
        let shape = ModelConfig::preset(4).resolve(256, 128).unwrap();
        let expected = Geometry {
            layers: 4,
            width: 128,
            heads: 4,
            kv_heads: 4,
            head_dim: 32,
            trained_length: 128,
        };
        assert_eq!(
            (shape.geometry, shape.hidden, shape.vocab),
            (expected, 352, 256)
        );
        for n in 1..=LARGEST {
            let Geometry {
                width,
                heads,
                head_dim,
                ..
            } = ModelConfig::preset(n).resolve(256, 8).unwrap().geometry;
            assert_eq!(
                (width, heads * head_dim, head_dim % 2),
                (32 * n, width, 0),
                "d{n}"
            );
        }
    }

    #[test]
    fn a_field_that_is_set_wins_over_the_dial() {
        let config = ModelConfig {
            kv_heads: Some(2),
            hidden: Some(100),
            ..ModelConfig::preset(4)
        };
        let shape = config.resolve(256, 128).unwrap();
        assert_eq!(
            (shape.geometry.kv_heads, shape.geometry.layers, shape.hidden),
            (2, 4, 100)
        );
    }

    #[test]
    fn sizes_that_cannot_be_are_refused_with_the_rule() {
        let base = ModelConfig::preset(4);
        for (config, message) in [
            (
                ModelConfig::preset(0),
                "model.size: expected a preset d1 to d24, found \"d0\"",
            ),
            (
                ModelConfig::preset(25),
                "model.size: expected a preset d1 to d24, found \"d25\"",
            ),
            (
                ModelConfig {
                    kv_heads: Some(3),
                    ..base.clone()
                },
                "model.kv_heads: expected a divisor of the 4 heads, found 3",
            ),
            (
                ModelConfig {
                    heads: Some(5),
                    ..base.clone()
                },
                "model.heads: expected a divisor of the width 128 (or set `head_dim`), found 5",
            ),
            (
                ModelConfig {
                    layers: Some(0),
                    ..base
                },
                "model.layers: expected 1 to 1048576, found 0",
            ),
            (
                ModelConfig {
                    layers: Some(2),
                    ..ModelConfig::default()
                },
                "model: expected `size` (d1 to d24), or `layers`, `width` and `heads`; `width` is missing",
            ),
        ] {
            assert_eq!(config.resolve(256, 128).unwrap_err().to_string(), message);
        }
    }
}
