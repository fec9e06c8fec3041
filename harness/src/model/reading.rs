//! One text at a time, in pieces: keys and values of earlier pieces are cached unrotated, so that schemes whose rotations
//! follow the length stay exact while the text grows.

use super::forward::{At, Attending, Sublayers};
use super::prepared::distinct;
use super::{Decoder, Pass, sinks};
use crate::{Error, Result};
use farspan_attention::Tensor;
use farspan_attention::attend::{FEED_FORWARD, INPUT, Params};
use farspan_attention::embed::embedding_at;
use farspan_attention::plan::{Plan, PositionIds};
use farspan_attention::prepared::Prepared;
use farspan_attention::residual::Residual;
use farspan_pe::Len;

/// Unrotated keys, and values, of the tokens so far; one pair per layer, each (1, kv_heads, tokens, head_dim).
///
/// Those of all layers but the first are made of attention under the plans of the length that was in use then. When the
/// plans of a longer text are others, no turning of keys mends that: the tokens are read again.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    layers: Vec<(Tensor, Tensor)>,
    ids: Vec<u32>,
    /// What the scheme planned when they were read.
    plans: Vec<Plan>,
    /// Most tokens that were read at once.
    piece: usize,
}

impl Cache {
    /// Tokens so far.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

/// Whether a text must be read at once under `plan`: its scores read the number of positions in use, a hook looks at all
/// tokens together.
fn reads_whole(plan: &Plan) -> bool {
    let text = plan.to_string();
    let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    !plan.hooks.is_empty() || words.any(|word| word == "n")
}

impl Decoder {
    /// Tokens of a text of `context_len` that may run at once: `chunk`, or all where a text must be read at once.
    pub fn chunk(&self, chunk: usize, context_len: usize) -> Result<usize> {
        let whole = self.plans(Len(context_len))?.iter().any(reads_whole);
        Ok(if whole { context_len } else { chunk.max(1) })
    }

    /// Runs a whole text in pieces of `chunk` tokens and hands each piece's part of the residual stream, with the
    /// number of its first token, to `each`. Memory is linear in the length.
    pub fn run(
        &self,
        ids: &[u32],
        chunk: usize,
        each: impl FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<()> {
        self.run_within(ids.len(), ids, chunk, each)
    }

    /// As [`run`](Decoder::run), the text being the beginning of one of `context_len` tokens.
    pub fn run_within(
        &self,
        context_len: usize,
        ids: &[u32],
        chunk: usize,
        mut each: impl FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<()> {
        let chunk = self.chunk(chunk, context_len)?;
        let mut cache = Cache::default();
        for piece in ids.chunks(chunk) {
            let start = cache.len();
            each(start, &self.read(piece, &mut cache, context_len)?)?;
        }
        Ok(())
    }

    /// Runs `ids`, which follow the tokens of `cache`, as part of a text of `context_len` tokens, and returns the residual
    /// stream after the last norm, (ids, width). The cache grows by `ids`. Where the scheme plans otherwise for `context_len`
    /// than for the length that the cache was made at, or needs the whole text, all tokens are read again.
    pub fn read(&self, ids: &[u32], cache: &mut Cache, context_len: usize) -> Result<Tensor> {
        let plans = self.planned(Len(context_len))?;
        let whole = plans.iter().any(reads_whole);
        if cache.is_empty() || (cache.plans == plans && !whole) {
            return self.append(ids, cache, plans, context_len);
        }
        let past = std::mem::take(cache);
        let new = ids.len();
        let ids = [past.ids.as_slice(), ids].concat();
        let piece = if whole {
            ids.len()
        } else {
            past.piece.max(new)
        };
        let mut rows = Vec::new();
        for piece in ids.chunks(piece) {
            let read = self.append(piece, cache, plans.clone(), context_len)?;
            if cache.len() > past.ids.len() {
                rows.push(read);
            }
        }
        let rows = Tensor::cat(&rows.iter().collect::<Vec<_>>(), 0)?;
        Ok(rows.narrow(0, rows.dim(0)? - new, new)?.contiguous()?)
    }

    /// As [`read`](Decoder::read), under `plans`, which are those of the cache.
    fn append(
        &self,
        ids: &[u32],
        cache: &mut Cache,
        planned: Vec<Plan>,
        context_len: usize,
    ) -> Result<Tensor> {
        let (past, new) = (cache.len(), ids.len());
        let now = past + new;
        if new == 0 || context_len < now {
            let text = format!("{new} tokens behind {past} in a text of {context_len}");
            return Err(Error::Bug(text));
        }
        let plans = self.adapted(self.scheme.as_ref(), planned.clone(), Len(context_len))?;
        if context_len > now && plans.iter().any(reads_whole) {
            let text = format!("a text that must be read at once: {now} of {context_len} tokens");
            return Err(Error::Bug(text));
        }
        let all = [cache.ids.as_slice(), ids].concat();
        let (prepared, of_layer) = distinct(&plans, |plan| {
            let (queries, keys) = (past..now, 0..now);
            let geometry = &self.architecture.geometry;
            let (at, _) = self.places(plan, &all)?;
            sinks::prepared(plan, geometry, (queries, keys), at.as_deref(), &self.device)
        })?;
        let forward = self.forward(Pass::Evaluate);
        let width = self.architecture.geometry.width;
        let at: Vec<f64> = match self.places(&plans[0], &all)?.1 {
            None => (past..now).map(|t| t as f64).collect(),
            Some(inside) => inside[past..].to_vec(),
        };
        let params = forward.scheme_params(&plans[0], 0)?;
        let mut x = forward.tokens(ids, &[1, new])?;
        let table = embedding_at(&plans[0].embed, width, &at, &params, &self.device)?;
        let mut infused = None;
        match table {
            Some(table) if plans[0].infused => infused = Some(table.broadcast_as(x.dims())?),
            Some(table) => x = x.broadcast_add(&table)?,
            None => {}
        }
        let mut stream = Residual::new(forward.embed_norm(x)?);
        let mut piece = Piece {
            decoder: self,
            plans: &plans,
            prepared: &prepared,
            of_layer: &of_layer,
            infused,
            carried: Params::new(),
            layers: &mut cache.layers,
        };
        for layer in 0..plans.len() {
            forward.layer(&mut stream, layer, &mut piece)?;
        }
        cache.piece = cache.piece.max(new);
        (cache.plans, cache.ids) = (planned, all);
        forward.end(&stream.rows()?)
    }

    /// Positions of all tokens as scores see them, and as the embedding does, where these are not their indices.
    fn places(&self, plan: &Plan, ids: &[u32]) -> Result<(Places, Places)> {
        Ok(match &plan.position_ids {
            PositionIds::Index => (None, None),
            PositionIds::Segments { separators, places } => {
                let closes = ids.iter().map(|id| self.closes(*id, separators));
                let (segments, inside) = PositionIds::segments(closes, *places);
                (Some(segments), Some(inside))
            }
            PositionIds::Given { ids: kind, scores } => {
                let given = self.ids_of_text(kind, ids)?;
                (scores.then(|| given.clone()), Some(given))
            }
        })
    }
}

/// Positions of tokens; `None`: their indices.
type Places = Option<Vec<f64>>;

/// A piece of a text on its way through the layers.
struct Piece<'p> {
    decoder: &'p Decoder,
    plans: &'p [Plan],
    prepared: &'p [Prepared],
    of_layer: &'p [usize],
    infused: Option<Tensor>,
    carried: Params,
    /// What is cached of each layer.
    layers: &'p mut Vec<(Tensor, Tensor)>,
}

impl Attending for Piece<'_> {
    fn plan(&self, layer: usize) -> &Plan {
        &self.plans[layer]
    }

    fn infused(&self, layer: usize) -> Option<&Tensor> {
        self.infused.as_ref().filter(|_| self.plans[layer].infused)
    }

    fn tokens(&self) -> usize {
        self.prepared[0].tokens()
    }

    fn feeds(&self, layer: usize) -> bool {
        let next = self.plans.get(layer + 1);
        next.is_some_and(Plan::reads_feed_forward)
    }

    fn feed(&mut self, added: &Tensor) -> Result<()> {
        self.carried.insert(FEED_FORWARD.into(), added.clone());
        Ok(())
    }

    /// Keys and values go through the cache.
    fn sublayers(&mut self) -> Option<&mut dyn Sublayers> {
        None
    }

    /// Attention over what is cached and the new tokens, whose keys and values go into the cache.
    fn attend(&mut self, at: &At, qkv: &Tensor, input: &Tensor) -> Result<Tensor> {
        let g = &self.decoder.architecture.geometry;
        let [q, k, v] = sinks::apart(qkv, g)?;
        let (k, v) = match self.layers.get(at.layer) {
            Some((keys, values)) => (Tensor::cat(&[keys, &k], 2)?, Tensor::cat(&[values, &v], 2)?),
            None => (k, v),
        };
        let kept = (k.clone(), v.clone());
        match self.layers.get_mut(at.layer) {
            Some(slot) => *slot = kept,
            None => self.layers.push(kept),
        }
        let mut params = at.params.clone();
        params.append(&mut self.carried);
        if self.plans[at.layer].reads_input() {
            params.insert(INPUT.into(), input.clone());
        }
        let prepared = &self.prepared[self.of_layer[at.layer]];
        let out = sinks::attended([&q, &k, &v], prepared, &params, at)?;
        self.carried = out.carried;
        sinks::joined(&out.output)
    }
}
