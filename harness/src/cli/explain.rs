//! `explain`: a scheme at given settings, in words and numbers.

mod device;
mod looks;
mod text;
mod trained;

use super::{Ended, Failure, device, json, print, spec, tell};
use crate::config::LONGEST;
use crate::model::Decoder;
use crate::origin;
use crate::scheme::Positional;
use clap::Args;
use device::{Language, OnDevice, Place};
use farspan_attention::DeviceSpec;
use farspan_attention::plan::Geometry;
use farspan_pe::{AnyScheme, Explanation, Len, Registry, explain, scores};
use farspan_reports::figure::scores::{self as figure, Shown};
use farspan_reports::figure::{Drawing, Rasteriser, Theme};
use looks::Looks;
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use text::text;
use trained::Trained;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    farspan explain alibi --heads 8\n  \
    farspan explain yarn factor=4 --head-dim 64 --trained-length 2048 --length 8192 --json\n  \
    farspan explain rope base=500000 --head-dim 128\n  \
    farspan explain kerple --queries 100,1000 --keys 0,50,99\n  \
    farspan explain fire --device wgpu --png fire\n  \
    farspan explain --cell runs/quickstart:language/kerple/s0 --layer 1 --png learned\n  \
    farspan explain alibi --wgsl --head-dim 64 --heads 8\n  \
    farspan explain alibi --cuda --head-dim 64 --heads 8")]
pub(super) struct Explain {
    /// Id of the scheme (see `farspan list schemes`), or the reference library's word for it
    #[arg(required_unless_present = "cell", conflicts_with = "cell")]
    scheme: Option<String>,
    /// The scheme's own settings: `factor=4 base=500000`
    #[arg(value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Explain the scheme of a trained model with what it learned: a finished cell of a run (RUN:CELL), a checkpoint
    /// folder or a model id in the Hugging Face cache; sizes are the model's
    #[arg(long, value_name = "RUN:CELL")]
    cell: Option<String>,
    /// Layer of that model
    #[arg(long, default_value_t = 0, requires = "cell")]
    layer: usize,
    /// Channels of a head
    #[arg(long, default_value_t = 64)]
    head_dim: usize,
    /// Query heads
    #[arg(long, default_value_t = 8)]
    heads: usize,
    /// Key/value heads [default: as many as query heads]
    #[arg(long)]
    kv_heads: Option<usize>,
    /// Layers
    #[arg(long, default_value_t = 1)]
    layers: usize,
    /// Width of the residual stream [default: heads × head-dim]
    #[arg(long)]
    width: Option<usize>,
    /// Length that the weights were trained with, in tokens
    #[arg(long, default_value_t = 2048)]
    trained_length: usize,
    /// Positions in use [default: the trained length]
    #[arg(long)]
    length: Option<usize>,
    /// Query positions that biases are shown for [default: the last]
    #[arg(long, value_delimiter = ',')]
    queries: Option<Vec<usize>>,
    /// Key positions that biases are shown for [default: 0, 1, 2, 4, … before the last query]
    #[arg(long, value_delimiter = ',')]
    keys: Option<Vec<usize>>,
    #[arg(
        long,
        default_value = "cpu",
        help = format!(
            "Tell what this device ({}) makes of the scheme, and draw the scores that its kernel computes",
            DeviceSpec::FORMS
        )
    )]
    device: String,
    /// Print the kernels that are generated for wgpu, and nothing else; needs no adapter
    #[arg(long)]
    wgsl: bool,
    /// Print the same kernels as CUDA C++, as NVRTC gets them, and nothing else; needs no device. With --device cuda+bf16
    /// those for tensor cores
    #[arg(long, conflicts_with = "wgsl")]
    cuda: bool,
    /// Draw the score against distance and as a matrix, and what it weighs after the softmax: PREFIX-distance.png,
    /// PREFIX-weights.png, PREFIX-matrix.png; what an extension extends is drawn beside it. With --cell also what the heads
    /// look at in text that was not trained on: PREFIX-attention.png, PREFIX-attention-matrix.png
    #[arg(long, value_name = "PREFIX")]
    png: Option<PathBuf>,
    /// The same as SVG
    #[arg(long, value_name = "PREFIX")]
    svg: Option<PathBuf>,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    found: &'a Explanation,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_device: Option<&'a OnDevice>,
    /// What the heads of a cell look at.
    #[serde(skip_serializing_if = "Option::is_none")]
    attention: Option<&'a Looks>,
}

/// A scheme, the sizes it is explained for, and the model whose weights it has.
type Explained = (Box<dyn AnyScheme>, Geometry, Option<Decoder>);

/// No size of a model is larger.
const LARGEST_SIZE: usize = 1 << 16;
impl Explain {
    pub(super) fn run(&self, registry: &Registry) -> Ended {
        let (scheme, model, decoder) = self.subject(registry)?;
        let length = self.length.unwrap_or(model.trained_length);
        for (flag, value) in [
            ("--trained-length", self.trained_length),
            ("--length", length),
        ] {
            within(flag, value, LONGEST)?;
        }
        let queries = self.queries.clone().unwrap_or_else(|| vec![length - 1]);
        let last = queries.iter().copied().max().unwrap_or(length - 1);
        let keys = self.keys.clone().unwrap_or_else(|| before(last));
        let language = match (self.wgsl, self.cuda) {
            (true, _) => Some(Language::Wgsl),
            (_, true) => Some(Language::Cuda(spec(&self.device)?.precision())),
            _ => None,
        };
        if let Some(language) = language {
            return print(&device::kernels(scheme.as_ref(), &model, length, language)?);
        }
        let device = device(&self.device)?;
        let found = explain(scheme.as_ref(), &model, Len(length), &queries, &keys)?;
        let place = Place {
            scheme: scheme.as_ref(),
            model: &model,
            length,
            device: &device,
        };
        let there = place.look(found.bias.as_ref())?;
        let looks = self.looks(decoder, length)?;
        if self.json {
            json(&Told {
                found: &found,
                on_device: there.as_ref(),
                attention: looks.as_ref(),
            })?;
        } else {
            let there = there.map_or_else(String::new, |there| there.text());
            if let Some(cell) = &self.cell {
                print(&format!("Layer {} of {cell}, as trained\n\n", self.layer))?;
            }
            let looks = looks.as_ref().map_or_else(String::new, Looks::text);
            print(&format!("{}{there}{looks}", text(&found)))?;
        }
        if self.png.is_none() && self.svg.is_none() {
            return Ok(0);
        }
        let looked = self.draw_looks(&place, looks.as_ref())?;
        self.draw(&place, looked, registry)
    }

    /// What the heads of a cell look at, over what it reads; a checkpoint folder has no text of its own.
    fn looks(&self, model: Option<Decoder>, length: usize) -> Result<Option<Looks>, Failure> {
        let (Some(cell), Some(model)) = (&self.cell, model) else {
            return Ok(None);
        };
        let source = origin::source(cell)?;
        let looks = source.map(|source| Looks::at(model, &source, self.layer, length));
        looks.transpose()
    }

    /// What is explained, and the model it is explained for.
    fn subject(&self, registry: &Registry) -> Result<Explained, Failure> {
        if let Some(cell) = &self.cell {
            let (trained, decoder) = Trained::open(cell, self.layer, registry)?;
            let model = trained.model;
            return Ok((Box::new(trained), model, Some(decoder)));
        }
        let id = self.scheme.as_deref().unwrap_or_default();
        let asked = Positional::in_words(id, &self.settings).map_err(Failure::usage)?;
        let scheme = registry.parse(&asked.id, Value::Object(asked.settings))?;
        Ok((scheme, self.model()?, None))
    }

    /// Pictures of what the heads of a cell look at; whether there are any.
    fn draw_looks(&self, place: &Place<'_>, looks: Option<&Looks>) -> Result<bool, Failure> {
        let Some(looks) = looks else {
            return Ok(false);
        };
        let (title, trained) = (place.scheme.card().title, place.model.trained_length);
        let (distances, curves) = (looks.distances(), looks.curves());
        let curves = figure::by_distance(title, Shown::Attention, &distances, &curves, trained);
        let matrix = figure::matrix(title, &looks.positions, &looks.matrices());
        self.write(&[("attention", curves), ("attention-matrix", matrix)])?;
        Ok(true)
    }

    /// The pictures of scores; a scheme that reads content has none but those of its attention.
    fn draw(&self, place: &Place<'_>, looked: bool, registry: &Registry) -> Ended {
        let (scheme, model) = (place.scheme, place.model);
        let Some(found) = place.scores()? else {
            if looked {
                return Ok(0);
            }
            let text = format!(
                "{} has no picture without weights: its scores depend on the content of tokens; --cell RUN:CELL draws \
                 what a trained one looks at",
                scheme.id()
            );
            return Err(Failure::usage(text));
        };
        let title = scheme.card().title;
        let names: Vec<String> = head_names(&found.heads, "");
        let mut curves: Vec<_> = names.iter().cloned().zip(found.by_distance).collect();
        let mut weights: Vec<_> = names.iter().cloned().zip(found.weights).collect();
        // What is extended stands beside it, unless a cell says what its own weights are.
        let own = Positional::of(scheme).extended(registry)?;
        if let Some(base) = own.filter(|_| self.cell.is_none()) {
            let base = registry.parse(&base.id, Value::Object(base.settings))?;
            if let Ok(Some(base_scores)) = scores(base.as_ref(), model, Len(place.length)) {
                let names = head_names(&base_scores.heads, &format!("{}: ", base.id()));
                curves.extend(names.iter().cloned().zip(base_scores.by_distance));
                weights.extend(names.into_iter().zip(base_scores.weights));
            }
        }
        let panels: Vec<_> = names.iter().cloned().zip(found.matrix).collect();
        let (distances, trained) = (&found.distances, model.trained_length);
        let against =
            |shown, curves: &[_]| figure::by_distance(title, shown, distances, curves, trained);
        let drawings = [
            ("distance", against(Shown::Scores, &curves)),
            ("weights", against(Shown::Weights, &weights)),
            ("matrix", figure::matrix(title, &found.positions, &panels)),
        ];
        self.write(&drawings)?;
        Ok(0)
    }

    /// Writes PREFIX-WHAT.svg and .png, whichever were asked for.
    fn write(&self, drawings: &[(&str, Drawing)]) -> Result<(), Failure> {
        let maker = Rasteriser::default();
        for (what, drawing) in drawings {
            let svg = drawing.file(Theme::Light);
            if let Some(prefix) = &self.svg {
                write(prefix, what, "svg", svg.as_bytes())?;
            }
            if let Some(prefix) = &self.png {
                let png = maker.png(&svg).map_err(|e| Failure::usage(e.to_string()))?;
                write(prefix, what, "png", &png)?;
            }
        }
        Ok(())
    }

    fn model(&self) -> Result<Geometry, Failure> {
        let kv_heads = self.kv_heads.unwrap_or(self.heads);
        let width = self
            .width
            .unwrap_or(self.heads.saturating_mul(self.head_dim));
        for (flag, value) in [
            ("--heads", self.heads),
            ("--kv-heads", kv_heads),
            ("--head-dim", self.head_dim),
            ("--layers", self.layers),
            ("--width", width),
        ] {
            within(flag, value, LARGEST_SIZE)?;
        }
        if !self.heads.is_multiple_of(kv_heads) {
            let text = format!(
                "--kv-heads: expected a divisor of the {} heads, found {kv_heads}",
                self.heads
            );
            return Err(Failure::usage(text));
        }
        Ok(Geometry {
            layers: self.layers,
            width,
            heads: self.heads,
            kv_heads,
            head_dim: self.head_dim,
            trained_length: self.trained_length,
        })
    }
}

/// A name for each head that is shown, behind `of`.
fn head_names(heads: &[usize], of: &str) -> Vec<String> {
    let name = |head: &usize| match heads.len() {
        1 => format!("{of}all heads"),
        _ => format!("{of}head {head}"),
    };
    heads.iter().map(name).collect()
}

/// Writes PREFIX-WHAT.EXTENSION and names it on stderr.
fn write(prefix: &Path, what: &str, extension: &str, bytes: &[u8]) -> Ended {
    let mut name = prefix.as_os_str().to_owned();
    name.push(format!("-{what}.{extension}"));
    let path = PathBuf::from(name);
    std::fs::write(&path, bytes)
        .map_err(|e| Failure::usage(format!("cannot write {}: {e}", path.display())))?;
    tell(&format!("wrote {}", path.display()));
    Ok(0)
}

fn within(flag: &str, value: usize, most: usize) -> Result<(), Failure> {
    if (1..=most).contains(&value) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{flag}: expected 1 to {most}, found {value}"
    )))
}

/// Positions at distances 0, 1, 2, 4, … from `last`, and 0; in increasing order.
fn before(last: usize) -> Vec<usize> {
    let powers = (0..usize::BITS)
        .map(|n| 1usize << n)
        .take_while(|&distance| distance < last);
    let mut positions: Vec<usize> = powers
        .map(|distance| last - distance)
        .chain([last, 0])
        .collect();
    positions.sort_unstable();
    positions.dedup();
    positions
}

#[cfg(test)]
mod tests {
    use super::before;

    #[test]
    fn keys_double_their_distance_and_reach_the_start() {
        assert_eq!(before(0), [0]);
        assert_eq!(before(9), [0, 1, 5, 7, 8, 9]);
    }
}
