//! What the heads of a trained cell look at: weights of its own attention over text that it was not trained on.

use super::super::Failure;
use crate::Error;
use crate::cli::table::{Table, number};
use crate::measure::Subject;
use crate::model::Decoder;
use crate::source::Source;
use serde::Serialize;

/// Windows that are looked at.
const WINDOWS: usize = 4;
/// Longest window: all of its weights are held at once.
const LONGEST: usize = 4096;
/// Heads and positions that are drawn, at most.
const HEADS: usize = 8;
const MATRIX: usize = 64;

/// Weights of one layer, over the queries of some windows of held-out text or of prompts.
#[derive(Debug, Serialize)]
pub(super) struct Looks {
    layer: usize,
    /// Windows that were read, and tokens of each.
    windows: usize,
    tokens: usize,
    heads: Vec<Head>,
    #[serde(skip)]
    pub(super) positions: Vec<usize>,
}

#[derive(Debug, Serialize)]
struct Head {
    head: usize,
    /// Mean over queries of −Σ w·ln w, in nats.
    entropy: f64,
    /// Mean over queries of the largest weight.
    largest: f64,
    /// Mean weight of the key at distance 0, 1, 2, …, over the queries that have one.
    by_distance: Vec<Option<f64>>,
    #[serde(skip)]
    matrix: Vec<Vec<Option<f64>>>,
}

/// Curves or matrices by the name of their head.
type Named<T> = Vec<(String, T)>;

impl Looks {
    /// Layer `layer` of `model` over windows of `tokens` tokens of `source`.
    pub(super) fn at(
        model: Decoder,
        source: &Source,
        layer: usize,
        tokens: usize,
    ) -> Result<Looks, Failure> {
        if !(2..=LONGEST).contains(&tokens) {
            return Err(Failure::usage(format!(
                "--length: a cell's attention is looked at over 2 to {LONGEST} tokens, found {tokens}"
            )));
        }
        match source {
            Source::Text(text) => text.check_validation(tokens).map_err(Error::from)?,
            Source::Task(_, task) if tokens < task.shortest() => {
                let least = task.shortest();
                return Err(Failure::usage(format!(
                    "--length: expected at least {least} tokens ({}), found {tokens}",
                    task.why()
                )));
            }
            Source::Task(..) => {}
        }
        let texts = model.reads_texts()?.then(|| source.token_texts());
        let model = model.with_texts(texts.unwrap_or_default().into());
        let recipe = model.scheme.recipe(&model.architecture.geometry)?;
        let subject = Subject {
            model: &model,
            recipe: &recipe,
            seed: 0,
        };
        let ready = match subject.at(tokens)? {
            Ok(ready) => ready,
            Err(reason) => return Err(Failure::usage(reason)),
        };
        let mut sums: Vec<Sums> = Vec::new();
        sums.resize_with(model.architecture.geometry.heads, || Sums::new(tokens));
        for (index, mut batch) in source
            .validation(1, tokens, WINDOWS)
            .into_iter()
            .enumerate()
        {
            subject.place("explain", index, &mut batch);
            if let Some(kind) = model.reads_ids()? {
                source.give(&kind, &mut batch)?;
            }
            // What stands behind the last answer of a prompt only fills the window.
            let scored = batch.weights.iter().rposition(|&w| w > 0.0);
            let read = scored.map_or(tokens, |last| last + 1);
            let weights = model.attention_weights(&batch, &ready, layer)?;
            for (sums, weights) in sums.iter_mut().zip(weights.chunks(tokens * tokens)) {
                sums.add(weights, read);
            }
        }
        let positions = spread(tokens, MATRIX);
        let head = |(head, sums): (usize, Sums)| sums.head(head, &positions);
        Ok(Looks {
            layer,
            windows: WINDOWS,
            tokens,
            heads: sums.into_iter().enumerate().map(head).collect(),
            positions,
        })
    }

    /// Shares of the weight by distance, one row for each head.
    pub(super) fn text(&self) -> String {
        let bounds: Vec<usize> = (0..usize::BITS)
            .map(|n| 1usize << n)
            .take_while(|bound| *bound < self.tokens)
            .collect();
        let ranges: Vec<(usize, usize)> = std::iter::once((0, 1))
            .chain(bounds.iter().map(|&low| (low, (2 * low).min(self.tokens))))
            .collect();
        let name = |(low, end): &(usize, usize)| match end - low {
            1 => format!(">{low}"),
            _ => format!(">{low}–{}", end - 1),
        };
        let mut columns = vec![">head".into(), ">entropy".into(), ">largest".into()];
        columns.extend(ranges.iter().map(name));
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let mut table = Table::new(&columns);
        for head in &self.heads {
            let mean = |(low, end): &(usize, usize)| {
                let known: Vec<f64> = head.by_distance[*low..*end]
                    .iter()
                    .flatten()
                    .copied()
                    .collect();
                number(known.iter().sum::<f64>() / known.len().max(1) as f64)
            };
            let mut row = vec![
                head.head.to_string(),
                number(head.entropy),
                number(head.largest),
            ];
            row.extend(ranges.iter().map(mean));
            table.row(row);
        }
        let (layer, windows, tokens) = (self.layer, self.windows, self.tokens);
        format!(
            "\nAttention of layer {layer} over {windows} windows of {tokens} tokens that it was not trained on: mean weight of a \
             key by distance\n{}",
            table.text()
        )
    }

    /// Mean weights by distance.
    pub(super) fn curves(&self) -> Named<Vec<Option<f64>>> {
        let shown = spread(self.heads.len(), HEADS).into_iter();
        shown
            .map(|head| (format!("head {head}"), self.heads[head].by_distance.clone()))
            .collect()
    }

    /// Mean weights by query and key.
    pub(super) fn matrices(&self) -> Named<Vec<Vec<Option<f64>>>> {
        let shown = spread(self.heads.len(), HEADS / 2).into_iter();
        shown
            .map(|head| (format!("head {head}"), self.heads[head].matrix.clone()))
            .collect()
    }

    pub(super) fn distances(&self) -> Vec<usize> {
        (0..self.tokens).collect()
    }
}

/// Sums over windows of one head.
struct Sums {
    tokens: usize,
    /// By query and key.
    weights: Vec<f64>,
    /// Windows that have each query.
    windows: Vec<usize>,
    entropy: f64,
    largest: f64,
    queries: usize,
}

impl Sums {
    fn new(tokens: usize) -> Sums {
        Sums {
            tokens,
            weights: vec![0.0; tokens * tokens],
            windows: vec![0; tokens],
            entropy: 0.0,
            largest: 0.0,
            queries: 0,
        }
    }

    fn add(&mut self, weights: &[f32], read: usize) {
        for (query, row) in weights.chunks(self.tokens).take(read).enumerate() {
            let row: Vec<f64> = row.iter().map(|w| f64::from(*w)).collect();
            let positive = row.iter().filter(|w| **w > 0.0);
            self.entropy -= positive.map(|w| w * w.ln()).sum::<f64>();
            self.largest += row.iter().copied().fold(0.0, f64::max);
            self.queries += 1;
            self.windows[query] += 1;
            let sums = &mut self.weights[query * self.tokens..][..self.tokens];
            sums.iter_mut().zip(&row).for_each(|(sum, w)| *sum += w);
        }
    }

    fn head(self, head: usize, positions: &[usize]) -> Head {
        let at_distance = |distance: usize| {
            let queries = distance..self.tokens;
            let seen: usize = self.windows[queries.clone()].iter().sum();
            let sum: f64 = queries
                .map(|query| self.weights[query * self.tokens + query - distance])
                .sum();
            (seen > 0).then(|| sum / seen as f64)
        };
        let cell = |query: usize, key: usize| {
            let seen = self.windows[query];
            let mean = self.weights[query * self.tokens + key] / seen.max(1) as f64;
            (key <= query && seen > 0).then_some(mean)
        };
        let row = |&query: &usize| positions.iter().map(|&key| cell(query, key)).collect();
        let queries = self.queries.max(1) as f64;
        Head {
            head,
            entropy: self.entropy / queries,
            largest: self.largest / queries,
            by_distance: (0..self.tokens).map(at_distance).collect(),
            matrix: positions.iter().map(row).collect(),
        }
    }
}

/// At most `most` whole numbers below `end`, evenly spread, the first and the last among them.
fn spread(end: usize, most: usize) -> Vec<usize> {
    if end <= most {
        return (0..end).collect();
    }
    (0..most).map(|i| i * (end - 1) / (most - 1)).collect()
}
