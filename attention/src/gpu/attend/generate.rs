//! The kernels of a plan as text, with the numbers and tables that they read. Needs no device.

use super::kernels::{Shape, Text};
use super::program::{Lowering, Places};
use super::rotate;
use super::text::TILE;
use super::words::{Data, Words};
use crate::expr::Side;
use crate::mask::Mask;
use crate::score::hidden_tiles;
use crate::spec::Precision;
use crate::tables::Tables;
use crate::{Error, Result, choice};

/// WGSL generated from a plan for calls of one shape.
#[derive(Clone, Debug)]
pub struct Kernels {
    pub(super) batch: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) dim: usize,
    /// Raw scores of a pair.
    pub(super) turns: usize,
    /// Names, shapes and addresses of what the formulas read of the caller's.
    pub(super) needed: Vec<(String, Vec<usize>, usize)>,
    /// Constants, as bits.
    pub(super) data: Vec<u32>,
    pub(super) words: Vec<u32>,
    pub(super) rotations: Vec<(&'static str, String)>,
    pub(super) forward: Text,
    pub(super) by_query: Text,
    pub(super) by_key: Text,
    pub(super) scores: String,
}

impl Kernels {
    /// Generates the kernels of `tables` under `mask` for `batch` entries, for tensor cores if they are to round to bf16.
    /// Fails if the plan has hooks.
    pub fn new(
        tables: &Tables,
        mask: &Mask,
        batch: usize,
        precision: Precision,
    ) -> Result<Kernels> {
        let plan = tables.plan();
        let supported = choice::supports(plan, tables.device());
        supported.map_err(|why| Error::Unsupported { name: "fused", why })?;
        mask.check(tables.tokens())?;
        let geometry = tables.geometry();
        let (needed, places) = needed(tables, batch);
        let mut data = Data::default();
        let mut words = Words::default();
        fixed_words(tables, mask, &mut data, &mut words);
        let mut lowering = Lowering::new(tables, &places, &mut data, &mut words);
        let score = lowering.formula(&plan.score)?;
        let query_scale = plan.query_scale.as_ref();
        let query_scale = query_scale.map(|x| lowering.formula(x)).transpose()?;
        let fixed = std::mem::take(&mut lowering.fixed);
        let turns = plan.score.raw_count().max(1);
        let shape = Shape {
            dim: geometry.head_dim,
            turns,
            score,
            query_scale,
            fixed,
        };
        let mut rotations: Vec<(&str, String)> = Vec::new();
        for turn in tables.rotations().iter().take(turns) {
            for (name, back) in [("rotation", false), ("gradients of the rotation", true)] {
                let text = rotate::text(turn.pairing, back);
                if turn.query.pairs.max(turn.key.pairs) > 0
                    && !rotations.iter().any(|(_, x)| *x == text)
                {
                    rotations.push((name, text));
                }
            }
        }
        let [forward, by_query, by_key] = match precision {
            Precision::F32 | Precision::Tf32 => [
                shape.forward()?,
                shape.backward_by_query()?,
                shape.backward_by_key()?,
            ],
            Precision::Bf16 => [
                shape.forward_by_warps()?,
                shape.backward_by_query_by_warps()?,
                shape.backward_by_key_by_warps()?,
            ],
        };
        Ok(Kernels {
            batch,
            heads: geometry.heads,
            kv_heads: geometry.kv_heads,
            queries: tables.queries().len(),
            keys: tables.keys().len(),
            dim: geometry.head_dim,
            turns,
            needed,
            data: data.0,
            words: words.all().to_vec(),
            rotations,
            forward,
            by_query,
            by_key,
            scores: shape.scores(),
        })
    }

    /// Name and text of each kernel, in the order that they run.
    pub fn texts(&self) -> Vec<(&'static str, &str)> {
        let rotations = self
            .rotations
            .iter()
            .map(|(name, text)| (*name, text.as_str()));
        rotations
            .chain([
                ("attention", self.forward.text.as_str()),
                ("gradients by query", self.by_query.text.as_str()),
                ("gradients by key", self.by_key.text.as_str()),
                ("scores, for explanations", self.scores.as_str()),
            ])
            .collect()
    }

    pub(super) fn lines(&self) -> usize {
        self.batch * self.heads
    }

    /// Workgroups of a kernel that has blocks of queries.
    pub(super) fn blocks_of_queries(&self, of: &Text) -> usize {
        self.lines() * self.queries.div_ceil(of.side)
    }

    pub(super) fn rows(&self) -> usize {
        self.lines() * self.queries
    }
}

/// What the formulas read of the caller's, and where it lies in one flat vector.
fn needed(tables: &Tables, batch: usize) -> (Vec<(String, Vec<usize>, usize)>, Places) {
    let plan = tables.plan();
    let mut found: Vec<(String, Vec<usize>)> = Vec::new();
    for formula in [Some(&plan.score), plan.query_scale.as_ref()]
        .into_iter()
        .flatten()
    {
        for name in formula.param_names() {
            let known = found.iter().any(|(known, _)| *known == name);
            if !known && !tables.constants().contains_key(&name) {
                let shape = plan
                    .param(&name)
                    .map_or(Vec::new(), |spec| spec.shape.clone());
                found.push((name, shape));
            }
        }
    }
    for (name, side) in plan.score.token_names() {
        let count = match side {
            Side::Query => tables.queries().len(),
            Side::Key => tables.keys().len(),
        };
        let shape = vec![batch, tables.geometry().heads, count];
        found.push((format!("{name}@{side}"), shape));
    }
    let mut start = 0;
    let placed = found.into_iter().map(|(name, shape)| {
        let at = start;
        start += shape.iter().product::<usize>();
        (name, shape, at)
    });
    let placed: Vec<_> = placed.collect();
    let places = placed.iter().map(|(name, _, at)| (name.clone(), *at));
    let places = places.collect();
    (placed, places)
}

/// The words that every kernel reads, in the order of their names in the text.
fn fixed_words(tables: &Tables, mask: &Mask, data: &mut Data, words: &mut Words) {
    // A binding has at least one element.
    data.add_whole(&[0]);
    let documents = mask.documents.as_ref().map(|of| data.add_whole(of));
    let none = u32::MAX as usize;
    let geometry = tables.geometry();
    for x in [
        geometry.heads,
        geometry.kv_heads,
        tables.queries().len(),
        tables.keys().len(),
        tables.queries().start,
        tables.keys().start,
        usize::from(mask.causal),
        mask.window.unwrap_or(none),
        mask.sinks,
        documents.unwrap_or(none),
    ] {
        words.add(x);
    }
    words.bits((tables.scale() as f32).to_bits());
    let hidden = hidden_tiles(tables, TILE, TILE);
    words.add(match hidden.contains(&true) {
        true => data.add_whole(&hidden.into_iter().map(u32::from).collect::<Vec<_>>()),
        false => none,
    });
}
