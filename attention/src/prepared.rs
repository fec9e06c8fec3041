//! A plan made ready for one call shape. Owned by the caller: there is no cache of tables anywhere.

use crate::expr::{Expr, ParamValues};
use crate::fused::Compiled;
use crate::plan::{Geometry, Pairing, Plan};
use crate::tables::Table;
use crate::{Device, Error, Result};
use std::ops::Range;
use std::sync::{Arc, OnceLock};
#[cfg(feature = "wgpu")]
use {
    crate::mask::Mask,
    crate::wgpu::{Context, attend::Fused},
    std::sync::{Mutex, PoisonError},
};

/// A plan with its tables for queries and keys at given positions.
#[derive(Clone, Debug)]
pub struct Prepared {
    plan: Plan,
    geometry: Geometry,
    queries: Range<usize>,
    keys: Range<usize>,
    /// Position of each token from token 0 on, if it is not the token's index.
    positions: Option<Arc<[f64]>>,
    device: Device,
    rotations: Vec<PreparedRotation>,
    constants: ParamValues,
    bias: Bias,
    /// What the fused kernel makes of all this, at its first call.
    compiled: OnceLock<Arc<Compiled>>,
    /// Its kernels for the last mask and batch size on a device of wgpu.
    #[cfg(feature = "wgpu")]
    kernels: Arc<Mutex<Option<Kernels>>>,
}

/// Kernels of wgpu for one mask and batch size.
#[cfg(feature = "wgpu")]
type Kernels = (Mask, usize, Fused);

/// The tables of one turn.
#[derive(Clone, Debug)]
pub struct PreparedRotation {
    /// How channels pair up.
    pub pairing: Pairing,
    /// Rotation of the queries: 1 or `heads` tables.
    pub query: Table,
    /// Rotation of the keys: 1 or `kv_heads` tables.
    pub key: Table,
}

/// What is known about the score of a plan before any parameter is.
#[derive(Clone, Debug, PartialEq)]
pub enum Bias {
    /// The score is the raw score.
    None,
    /// raw + bias, where the bias depends on q − k only and on nothing learned.
    Constant(Toeplitz),
    /// raw + bias, where the bias depends on q − k only, and on learned parameters.
    Learned(Expr),
    /// raw + bias, where the bias depends on both positions.
    General(Expr),
    /// Not of this form.
    NotAdditive,
}

/// Values by q − k: \[heads, distances\], row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Toeplitz {
    /// The distances, from the smallest.
    pub distances: Range<i64>,
    /// One row per head, or a single row for all.
    pub values: Vec<f64>,
}

impl Prepared {
    /// Makes `plan` ready for queries and keys at these positions. The number of positions in use, `n`, is the larger
    /// end of the two ranges. Fails if the plan does not fit `geometry`.
    pub fn new(
        plan: &Plan,
        geometry: &Geometry,
        queries: Range<usize>,
        keys: Range<usize>,
        device: &Device,
    ) -> Result<Prepared> {
        Prepared::make(plan, geometry, (queries, keys), None, device)
    }

    /// The same for tokens whose positions are not their indices: token t stands at `positions[t]`, and `n` is the
    /// largest position plus one. The mask goes on counting tokens. Fails if a token has no finite position.
    pub fn with_positions(
        plan: &Plan,
        geometry: &Geometry,
        queries: Range<usize>,
        keys: Range<usize>,
        positions: &[f64],
        device: &Device,
    ) -> Result<Prepared> {
        let end = queries.end.max(keys.end);
        if positions.len() < end || positions.iter().any(|x| !x.is_finite()) {
            return Err(Error::Argument {
                what: "positions",
                expected: format!("a finite number for each of {end} tokens"),
                found: format!(
                    "{} numbers",
                    positions.iter().filter(|x| x.is_finite()).count()
                ),
            });
        }
        let regular = positions.iter().enumerate().all(|(t, &x)| x == t as f64);
        let positions = (!regular).then(|| positions[..end].into());
        Prepared::make(plan, geometry, (queries, keys), positions, device)
    }

    fn make(
        plan: &Plan,
        geometry: &Geometry,
        (queries, keys): (Range<usize>, Range<usize>),
        positions: Option<Arc<[f64]>>,
        device: &Device,
    ) -> Result<Prepared> {
        plan.validate(geometry)?;
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
        let n = extent(&positions, queries.end.max(keys.end));
        let of = |range: &Range<usize>| -> Vec<f64> {
            range.clone().map(|t| place(&positions, t)).collect()
        };
        let turn = |turn: &crate::plan::QkRotation| {
            Ok(PreparedRotation {
                pairing: turn.pairing,
                query: Table::at(&turn.query, &of(&queries), n)?,
                key: Table::at(&turn.key, &of(&keys), n)?,
            })
        };
        let rotations = plan.rotations.iter().map(turn).collect::<Result<_>>()?;
        let constants: ParamValues = plan
            .params
            .iter()
            .filter_map(|spec| Some((spec.name.clone(), spec.constant()?)))
            .collect();
        let distances = positions.is_none().then(|| distances(&queries, &keys));
        let bias = Bias::of(&plan.score, distances, n, geometry.heads, &constants)?;
        Ok(Prepared {
            plan: plan.clone(),
            geometry: *geometry,
            queries,
            keys,
            positions,
            device: device.clone(),
            rotations,
            constants,
            bias,
            compiled: OnceLock::new(),
            #[cfg(feature = "wgpu")]
            kernels: Arc::default(),
        })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
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
        extent(&self.positions, self.tokens())
    }

    /// Position of token `t`: its index, unless positions were given.
    pub fn position(&self, t: usize) -> f64 {
        place(&self.positions, t)
    }

    /// Whether every token stands at its index, so that equal distances in tokens are equal distances in positions.
    pub fn is_regular(&self) -> bool {
        self.positions.is_none()
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Tables, one per turn of the plan.
    pub fn rotations(&self) -> &[PreparedRotation] {
        &self.rotations
    }

    /// Values of the parameters that belong to the plan itself.
    pub fn constants(&self) -> &ParamValues {
        &self.constants
    }

    /// What the score is made of.
    pub fn bias(&self) -> &Bias {
        &self.bias
    }

    /// The plan in the form of the fused kernel.
    pub(crate) fn compiled(&self) -> Result<Arc<Compiled>> {
        if let Some(compiled) = self.compiled.get() {
            return Ok(compiled.clone());
        }
        let compiled = Arc::new(Compiled::new(self)?);
        Ok(self.compiled.get_or_init(|| compiled).clone())
    }

    /// The plan as kernels of its device, which is one of wgpu.
    #[cfg(feature = "wgpu")]
    pub(crate) fn kernels(&self, context: &Context, mask: &Mask, batch: usize) -> Result<Fused> {
        let mut kept = self.kernels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, size, kernels)) = &*kept
            && of == mask
            && *size == batch
        {
            return Ok(kernels.clone());
        }
        let kernels = Fused::new(context, self, mask, batch)?;
        *kept = Some((mask.clone(), batch, kernels.clone()));
        Ok(kernels)
    }

    /// The factor of every raw score: softmax scale / √head_dim.
    pub fn scale(&self) -> f64 {
        self.plan.softmax_scale / (self.geometry.head_dim as f64).sqrt()
    }

    /// All q − k that occur.
    pub fn distances(&self) -> Range<i64> {
        distances(&self.queries, &self.keys)
    }
}

fn place(positions: &Option<Arc<[f64]>>, t: usize) -> f64 {
    positions
        .as_ref()
        .map_or(t as f64, |positions| positions[t])
}

fn extent(positions: &Option<Arc<[f64]>>, tokens: usize) -> f64 {
    match positions {
        None => tokens as f64,
        Some(positions) => positions.iter().copied().fold(-1.0, f64::max) + 1.0,
    }
}

fn distances(queries: &Range<usize>, keys: &Range<usize>) -> Range<i64> {
    if queries.is_empty() || keys.is_empty() {
        return 0..0;
    }
    // Positions are far below 2⁶³.
    (queries.start as i64 - (keys.end as i64 - 1))..(queries.end as i64 - keys.start as i64)
}

impl Bias {
    fn of(
        score: &Expr,
        distances: Option<Range<i64>>,
        n: f64,
        heads: usize,
        constants: &ParamValues,
    ) -> Result<Bias> {
        let Some(bias) = score.additive_bias() else {
            return Ok(Bias::NotAdditive);
        };
        if bias == Expr::Number(0.0) {
            return Ok(Bias::None);
        }
        // A token vector has a batch axis, which a bias has not.
        if !bias.token_names().is_empty() {
            return Ok(Bias::NotAdditive);
        }
        let Some(distances) = distances.filter(|_| bias.is_shift_invariant()) else {
            return Ok(Bias::General(bias));
        };
        if !bias
            .param_names()
            .iter()
            .all(|name| constants.contains_key(name))
        {
            return Ok(Bias::Learned(bias));
        }
        let rows = if bias.depends_on_head() { heads } else { 1 };
        let mut values = Vec::new();
        for head in 0..rows {
            values.extend(bias.toeplitz(distances.clone(), n, (head, heads), constants)?);
        }
        Ok(Bias::Constant(Toeplitz { distances, values }))
    }
}

impl Toeplitz {
    /// Values of one head, by distance from the smallest.
    pub fn head(&self, head: usize) -> &[f64] {
        let len = self.len();
        let head = if self.heads() == 1 { 0 } else { head };
        &self.values[head * len..][..len]
    }

    /// Rows: 1 if all heads share one.
    pub fn heads(&self) -> usize {
        self.values.len() / self.len().max(1)
    }

    /// Number of distances.
    pub fn len(&self) -> usize {
        // `distances` never ends before it starts.
        (self.distances.end - self.distances.start) as usize
    }

    /// Whether there is no distance at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
