//! A plan made ready for calls of one shape: its tables, and the kernels that calls have made of them so far.

use crate::fused::Compiled;
use crate::gpu::Context;
use crate::gpu::attend::Fused;
use crate::locked::lock;
use crate::mask::Mask;
use crate::plan::{Geometry, Plan};
use crate::tables::Tables;
use crate::{Device, Result};
use std::ops::{Deref, Range};
use std::sync::{Arc, Mutex, OnceLock};

pub use crate::span::Span;
pub use crate::tables::{Bias, PreparedRotation, Toeplitz};

/// A plan with its [`Tables`] for queries and keys at given positions. Owned by the caller; clones share kernels.
#[derive(Clone, Debug)]
pub struct Prepared {
    tables: Tables,
    /// What the fused kernel of the processor makes of them, at its first call.
    compiled: OnceLock<Arc<Compiled>>,
    /// Generated kernels for the last mask and batch size on another device.
    kernels: Arc<Mutex<Option<Kernels>>>,
    /// The same without hooks, for what these leave to attention.
    plain: Arc<Mutex<Option<Arc<Prepared>>>>,
}

/// Generated kernels for one mask and batch size.
type Kernels = (Mask, usize, Fused);

impl Deref for Prepared {
    type Target = Tables;

    fn deref(&self) -> &Tables {
        &self.tables
    }
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
        Tables::new(plan, geometry, queries, keys, device).map(Prepared::of)
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
        Tables::with_positions(plan, geometry, queries, keys, positions, device).map(Prepared::of)
    }

    fn of(tables: Tables) -> Prepared {
        Prepared {
            tables,
            compiled: OnceLock::new(),
            kernels: Arc::default(),
            plain: Arc::default(),
        }
    }

    /// The same without hooks. If there are as many keys as query heads, each head reads its own.
    pub(crate) fn plain(&self, key_heads: usize) -> Result<Arc<Prepared>> {
        let heads = self.geometry().heads;
        let kv_heads = if key_heads == heads {
            heads
        } else {
            self.geometry().kv_heads
        };
        let mut kept = lock(&self.plain);
        match &*kept {
            Some(plain) if plain.geometry().kv_heads == kv_heads => Ok(plain.clone()),
            _ => {
                let plain = Arc::new(Prepared::of(self.tables.without_hooks(kv_heads)?));
                *kept = Some(plain.clone());
                Ok(plain)
            }
        }
    }

    /// The plan in the form of the fused kernel.
    pub(crate) fn compiled(&self) -> Result<Arc<Compiled>> {
        if let Some(compiled) = self.compiled.get() {
            return Ok(compiled.clone());
        }
        let compiled = Arc::new(Compiled::new(self)?);
        Ok(self.compiled.get_or_init(|| compiled).clone())
    }

    /// The plan as kernels of another device than the processor.
    pub(crate) fn kernels(&self, context: &Context, mask: &Mask, batch: usize) -> Result<Fused> {
        let mut kept = lock(&self.kernels);
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
}
