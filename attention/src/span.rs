//! Which queries and keys a call has, where they stand, and how large all is.

use crate::geometry::Geometry;
use crate::{Device, Error, Result};
use std::ops::Range;
use std::sync::Arc;

/// Queries and keys of calls of one shape: their positions, the model's sizes, and where attention runs.
#[derive(Clone, Debug)]
pub struct Span {
    geometry: Geometry,
    queries: Range<usize>,
    keys: Range<usize>,
    /// Position of each token from token 0 on, if it is not the token's index.
    positions: Option<Arc<[f64]>>,
    device: Device,
    scale: f64,
}

impl Span {
    /// Queries and keys at these positions; `softmax_scale` multiplies 1/√head_dim.
    pub(crate) fn new(
        geometry: &Geometry,
        (queries, keys): (Range<usize>, Range<usize>),
        positions: Option<Arc<[f64]>>,
        softmax_scale: f64,
        device: &Device,
    ) -> Result<Span> {
        for (what, range) in [("queries", &queries), ("keys", &keys)] {
            if range.start > range.end {
                let expected = "a range of positions that ends after its start".into();
                return Err(Error::Argument {
                    what,
                    expected,
                    found: format!("{range:?}"),
                });
            }
        }
        Ok(Span {
            geometry: *geometry,
            queries,
            keys,
            positions,
            device: device.clone(),
            scale: softmax_scale / (geometry.head_dim as f64).sqrt(),
        })
    }

    pub(crate) fn with_kv_heads(&self, kv_heads: usize) -> Span {
        let geometry = Geometry {
            kv_heads,
            ..self.geometry
        };
        Span {
            geometry,
            ..self.clone()
        }
    }

    /// The model's sizes.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Positions of the queries.
    pub fn queries(&self) -> Range<usize> {
        self.queries.clone()
    }

    /// Positions of the keys.
    pub fn keys(&self) -> Range<usize> {
        self.keys.clone()
    }

    /// Number of tokens in use: the largest index plus one.
    pub fn tokens(&self) -> usize {
        self.queries.end.max(self.keys.end)
    }

    /// Number of positions in use, n: the largest plus one.
    pub fn context_len(&self) -> f64 {
        match &self.positions {
            None => self.tokens() as f64,
            Some(positions) => positions.iter().copied().fold(-1.0, f64::max) + 1.0,
        }
    }

    /// Position of token `t`: its index, unless positions were given.
    pub fn position(&self, t: usize) -> f64 {
        self.positions
            .as_ref()
            .map_or(t as f64, |positions| positions[t])
    }

    /// Whether every token stands at its index, so that equal distances in tokens are equal distances in positions.
    pub fn is_regular(&self) -> bool {
        self.positions.is_none()
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The factor of every raw score: softmax scale / √head_dim.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// All q − k that occur.
    pub fn distances(&self) -> Range<i64> {
        let (queries, keys) = (&self.queries, &self.keys);
        if queries.is_empty() || keys.is_empty() {
            return 0..0;
        }
        // Positions are far below 2⁶³.
        (queries.start as i64 - (keys.end as i64 - 1))..(queries.end as i64 - keys.start as i64)
    }
}
