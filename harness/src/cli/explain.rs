//! `explain`: a scheme at given settings, in words and numbers.

mod device;

use super::table::{Table, number, wrap};
use super::{Ended, Failure, json, print, tell};
use crate::config::{self, LONGEST};
use clap::Args;
use device::{OnDevice, Place};
use farspan_attention::Device;
use farspan_attention::plan::Geometry;
use farspan_pe::{Bias, Explanation, Len, Registry, RotationReach, Served, explain};
use farspan_reports::figure::{Rasteriser, Theme, scores as figure};
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    farspan explain alibi --heads 8\n  \
    farspan explain yarn factor=4 --head-dim 64 --trained-length 2048 --length 8192 --json\n  \
    farspan explain rope base=500000 --head-dim 128\n  \
    farspan explain kerple --queries 100,1000 --keys 0,50,99\n  \
    farspan explain fire --device wgpu --png fire\n  \
    farspan explain alibi --wgsl --head-dim 64 --heads 8")]
pub(super) struct Explain {
    /// Id of the scheme (see `farspan list schemes`)
    scheme: String,
    /// The scheme's own settings: `factor=4 base=500000`
    #[arg(value_name = "KEY=VALUE")]
    settings: Vec<String>,
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
    /// Tell what this device (auto, cpu, cuda[:i], metal[:i] or wgpu[:i]) makes of the scheme, and draw the scores that
    /// its kernel computes
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Print the kernels that are generated for wgpu, and nothing else; needs no adapter
    #[arg(long)]
    wgsl: bool,
    /// Draw the score against distance and as a matrix: PREFIX-distance.png, PREFIX-matrix.png
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
}

/// No size of a model is larger.
const LARGEST_SIZE: usize = 1 << 16;
/// Width of running text.
const WIDTH: usize = 96;

impl Explain {
    pub(super) fn run(&self, registry: &Registry) -> Ended {
        let settings = config::settings(&self.settings).map_err(Failure::usage)?;
        let scheme = registry.parse(&self.scheme, settings)?;
        let model = self.model()?;
        let length = self.length.unwrap_or(self.trained_length);
        for (flag, value) in [
            ("--length", length),
            ("--trained-length", self.trained_length),
        ] {
            within(flag, value, LONGEST)?;
        }
        let queries = self.queries.clone().unwrap_or_else(|| vec![length - 1]);
        let last = queries.iter().copied().max().unwrap_or(length - 1);
        let keys = self.keys.clone().unwrap_or_else(|| before(last));
        if self.wgsl {
            return print(&device::wgsl(scheme.as_ref(), &model, length)?);
        }
        let device = Device::open(&self.device).map_err(|e| Failure::usage(e.to_string()))?;
        let found = explain(scheme.as_ref(), &model, Len(length), &queries, &keys)?;
        let place = Place {
            scheme: scheme.as_ref(),
            model: &model,
            length,
            device: &device,
        };
        let there = place.look(found.bias.as_ref())?;
        if self.json {
            json(&Told {
                found: &found,
                on_device: there.as_ref(),
            })?;
        } else {
            let there = there.map_or_else(String::new, |there| there.text());
            print(&format!("{}{there}", text(&found)))?;
        }
        self.draw(&place)
    }

    /// The pictures that were asked for.
    fn draw(&self, place: &Place<'_>) -> Ended {
        if self.png.is_none() && self.svg.is_none() {
            return Ok(0);
        }
        let (scheme, model) = (place.scheme, place.model);
        let Some(found) = place.scores()? else {
            let text = format!(
                "{} has no picture: its scores depend on the content of tokens",
                scheme.id()
            );
            return Err(Failure::usage(text));
        };
        let title = scheme.card().title;
        let names = found.heads.iter().map(|head| match found.heads.len() {
            1 => "all heads".to_string(),
            _ => format!("head {head}"),
        });
        let names: Vec<String> = names.collect();
        let curves: Vec<_> = names.iter().cloned().zip(found.by_distance).collect();
        let panels: Vec<_> = names.iter().cloned().zip(found.matrix).collect();
        let drawings = [
            (
                "distance",
                figure::by_distance(title, &found.distances, &curves, model.trained_length),
            ),
            ("matrix", figure::matrix(title, &found.positions, &panels)),
        ];
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
        Ok(0)
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

fn text(e: &Explanation) -> String {
    let mut out = String::new();
    let mut line = |text: &str| {
        let _ = writeln!(out, "{text}");
    };
    let doubt = if e.experimental {
        ", formula not confirmed"
    } else {
        ""
    };
    line(&format!(
        "{} ({}, {} family{doubt})",
        e.title, e.id, e.family
    ));
    line(&e.paper);
    wrap(&e.idea, WIDTH).iter().for_each(|text| line(text));
    line(&format!("Needs {}.", e.needs));
    line("\nFormula");
    e.formula
        .text
        .lines()
        .for_each(|text| line(&format!("  {text}")));
    line("\nSettings");
    line(settings(e).trim_end());
    let m = &e.model;
    line(&format!(
        "\nWith {} layer(s) of {} heads of {} channels, width {}, trained at {} tokens, {} positions in use:",
        m.layers, m.heads, m.head_dim, m.width, m.trained_length, e.length
    ));
    for turn in 0..e.inv_freq.len() {
        line(&format!("\n{}", frequencies(e, turn).trim_end()));
    }
    if !e.inv_freq.is_empty() {
        line(&format!(
            "\nScale\n  cos and sin × {}, so scores × {}",
            number(e.attention_scale),
            number(e.score_scale)
        ));
    }
    if let Some(embedding) = &e.embedding {
        line(&format!("\nAdded to the embeddings\n  {}", embedding.text));
    }
    if !e.params.is_empty() {
        line("\nParameters");
        line(params(e).trim_end());
    }
    if let Some(bias) = &e.bias {
        line(&format!("\n{}", biases(bias).trim_end()));
    }
    line("\nCost");
    wrap(&e.cost.text, WIDTH - 2)
        .iter()
        .for_each(|text| line(&format!("  {text}")));
    if let Some(rotation) = &e.rotation {
        line("\nHow far the rotation carries");
        reach(e, rotation)
            .iter()
            .for_each(|text| line(&format!("  {text}")));
    }
    line("\nRuns with");
    line(served(&e.implementations).trim_end());
    line("\nRuns on");
    line(served(&e.devices).trim_end());
    line(&format!("\nPlan {}", e.plan_hash));
    out
}

/// What theory says of a rotation.
fn reach(e: &Explanation, rotation: &RotationReach) -> Vec<String> {
    let mut lines = Vec::new();
    let negative = match rotation.first_negative_distance {
        Some(distance) => format!(
            "from distance {distance} on, a key like the query may stand out less than others"
        ),
        None => format!(
            "a key like the query stands out at all distances below {}",
            e.length
        ),
    };
    lines.push(format!("{negative} (arXiv 2405.14591)"));
    if let Some(base) = rotation.smallest_base {
        lines.push(format!(
            "smallest base for which that holds up to {} tokens: about {base:.0}",
            e.length
        ));
    }
    lines.push(format!(
        "{} of {} turned channels make a full turn within the trained length (critical dimension, arXiv 2310.05209)",
        rotation.critical_dim,
        2 * e.inv_freq.first().map_or(0, Vec::len)
    ));
    lines
}

fn served(list: &[Served]) -> String {
    let mut table = Table::new(&["", "", ""]).indented(2);
    for entry in list {
        let runs = if entry.runs { "yes" } else { "no" };
        table.row([entry.name.to_string(), runs.to_string(), entry.why.clone()]);
    }
    table.text()
}

fn settings(e: &Explanation) -> String {
    if e.setting_docs.is_empty() {
        return "  none".into();
    }
    let mut table = Table::new(&["key", "value", "what"]).indented(2);
    for setting in &e.setting_docs {
        let value = match &setting.value {
            serde_json::Value::Null => "not set".to_string(),
            value => value.to_string(),
        };
        let default = match &setting.default {
            serde_json::Value::Null => String::new(),
            default => format!("; default {default}"),
        };
        let what = format!("{} ({}{default})", setting.doc, setting.rule);
        table.row([setting.key.clone(), value, what]);
    }
    table.text()
}

/// The frequencies of one turn: the first and last pairs, and where a pair no longer turns once.
fn frequencies(e: &Explanation, turn: usize) -> String {
    let (inv_freq, turns) = (&e.inv_freq[turn], &e.turns_in_trained_length[turn]);
    let pairs = inv_freq.len();
    let slow = turns.iter().filter(|&&t| t < 1.0).count();
    let boundary = turns.iter().position(|&t| t < 1.0);
    let mut rows: Vec<usize> = (0..pairs.min(3))
        .chain(pairs.saturating_sub(3)..pairs)
        .collect();
    rows.extend(boundary.into_iter().flat_map(|i| [i.saturating_sub(1), i]));
    rows.sort_unstable();
    rows.dedup();
    let several = e.inv_freq.len() > 1;
    let title = if several {
        format!("Frequencies of turn {turn}")
    } else {
        "Frequencies".to_string()
    };
    let position = &e.positions[turn];
    let place = match (position.query.as_slice(), position.key.as_slice()) {
        ([q], [k]) => format!("positions {q} and {k}"),
        (q, k) => format!(
            "positions per {} ({}) and per {} ({})",
            position.query_axis,
            q.len(),
            position.key_axis,
            k.len()
        ),
    };
    let mut table =
        Table::new(&[">pair", ">inv_freq", ">wavelength", ">turns when trained"]).indented(2);
    let mut last = None;
    for i in rows {
        if last.is_some_and(|last: usize| i > last + 1) {
            table.row(["…", "", "", ""]);
        }
        last = Some(i);
        let wavelength = number(e.wavelengths[turn][i]);
        table.row([
            i.to_string(),
            number(inv_freq[i]),
            wavelength,
            number(turns[i]),
        ]);
    }
    format!(
        "{title} ({pairs} pairs, {place}; wavelengths in tokens)\n{}  {slow} of {pairs} pairs turn less than once \
         within the trained length\n",
        table.text()
    )
}

fn params(e: &Explanation) -> String {
    let mut table = Table::new(&["name", "shape", "", "values"]).indented(2);
    for param in &e.params {
        let kind = match (param.learned, param.per_layer) {
            (false, _) => "constant",
            (true, false) => "learned, shared by layers",
            (true, true) => "learned, one per layer",
        };
        let few = |values: &[f64]| {
            values
                .iter()
                .map(|&x| number(x))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let values = match &param.values {
            Some(values) if values.len() <= 16 => few(values),
            Some(values) => format!("{} … ({} in all)", few(&values[..8]), values.len()),
            None => param.text.clone(),
        };
        table.row([
            param.name.clone(),
            format!("{:?}", param.shape),
            kind.into(),
            values,
        ]);
    }
    table.text()
}

/// What is added to the score, by distance where one query is shown.
fn biases(bias: &Bias) -> String {
    let mut out = format!("Added to scores ({})\n", bias.note);
    for (i, query) in bias.queries.iter().enumerate() {
        let keys: Vec<(usize, usize)> = bias
            .keys
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, key)| key <= query)
            .rev()
            .collect();
        let titles: Vec<String> = keys
            .iter()
            .map(|(_, key)| format!(">{}", query - key))
            .collect();
        let mut columns = vec!["head"];
        columns.extend(titles.iter().map(String::as_str));
        let mut table = Table::new(&columns).indented(2);
        for (head, rows) in bias.values.iter().enumerate() {
            let cell = |&(j, _): &(usize, usize)| rows[i][j].map_or("hidden".to_string(), short);
            table.row(std::iter::once(head.to_string()).chain(keys.iter().map(cell)));
        }
        out.push_str(&format!(
            "  query {query}; columns are distances to the key\n{}",
            table.text()
        ));
    }
    out
}

/// Four significant digits: there are many columns.
fn short(x: f64) -> String {
    match x.abs() {
        _ if x == 0.0 => "0".into(),
        a if !(1e-3..1e4).contains(&a) => format!("{x:.1e}"),
        a => format!(
            "{x:.*}",
            (3 - a.log10().floor() as i32).clamp(0, 4) as usize
        ),
    }
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
