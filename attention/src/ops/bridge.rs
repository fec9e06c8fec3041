//! Between candle's storage and slices, and between one thread and many.

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor};
use half::bf16;
use rayon::prelude::*;
use std::ops::{Deref, Range};
use std::sync::{Mutex, MutexGuard};

/// Fewest elements for which waking other threads pays.
const PARALLEL: usize = 1 << 15;

/// These as tensors of candle, if a kernel of ours can run on all of them: f32 on the CPU.
pub(crate) fn ours<const N: usize>(tensors: [&crate::Tensor; N]) -> Option<[&Tensor; N]> {
    let fits = |t: &&Tensor| t.device().is_cpu() && t.dtype() == DType::F32;
    let found: Vec<&Tensor> = tensors
        .iter()
        .filter_map(|t| t.as_candle().filter(fits))
        .collect();
    found.try_into().ok()
}

/// The elements of a contiguous layout.
pub(crate) fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("expected a contiguous tensor, found {layout:?}")
    };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// Read access to the elements of a contiguous f32 tensor on the CPU.
pub(crate) struct Floats<'a> {
    /// candle's read guard, whose type it does not export.
    guard: Box<dyn Deref<Target = Storage> + Sync + 'a>,
    range: Range<usize>,
}

impl<'a> Floats<'a> {
    /// Fails if the tensor is on another device, of another type, or not contiguous.
    pub(crate) fn of(tensor: &'a Tensor) -> Result<Floats<'a>> {
        let (guard, layout) = tensor.storage_and_layout();
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("expected a contiguous tensor, found {layout:?}")
        };
        match &*guard {
            Storage::Cpu(storage) => storage.as_slice::<f32>()?,
            _ => candle_core::bail!("expected a tensor on the CPU"),
        };
        Ok(Floats {
            guard: Box::new(guard),
            range: start..end,
        })
    }

    /// The elements.
    pub(crate) fn get(&self) -> &[f32] {
        match &**self.guard {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.range.clone()],
            // `of` refuses everything else.
            _ => &[],
        }
    }
}

/// Elements of a type that kernels with inputs of several types read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Elements<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
}

/// Read access to the elements of an f32 or bf16 tensor on the CPU.
pub(crate) struct Numbers<'a> {
    guard: Box<dyn Deref<Target = Storage> + Sync + 'a>,
    range: Range<usize>,
}

impl<'a> Numbers<'a> {
    /// The elements of a contiguous tensor. Fails for other layouts, devices and types.
    pub(crate) fn of(tensor: &'a Tensor) -> Result<Numbers<'a>> {
        let Some((start, end)) = tensor.layout().contiguous_offsets() else {
            candle_core::bail!("expected a contiguous tensor, found {:?}", tensor.layout())
        };
        let whole = Numbers::whole(tensor)?;
        Ok(Numbers {
            range: start..end,
            ..whole
        })
    }

    /// All of the storage behind a tensor, whatever its layout.
    pub(crate) fn whole(tensor: &'a Tensor) -> Result<Numbers<'a>> {
        let (guard, _) = tensor.storage_and_layout();
        let end = match &*guard {
            Storage::Cpu(CpuStorage::F32(values)) => values.len(),
            Storage::Cpu(CpuStorage::BF16(values)) => values.len(),
            _ => candle_core::bail!(
                "expected f32 or bf16 on the CPU, found {:?} on {:?}",
                tensor.dtype(),
                tensor.device()
            ),
        };
        Ok(Numbers {
            guard: Box::new(guard),
            range: 0..end,
        })
    }

    /// The elements.
    pub(crate) fn get(&self) -> Elements<'_> {
        match &**self.guard {
            Storage::Cpu(CpuStorage::F32(values)) => Elements::F32(&values[self.range.clone()]),
            Storage::Cpu(CpuStorage::BF16(values)) => Elements::Bf16(&values[self.range.clone()]),
            // `whole` refuses everything else.
            _ => Elements::F32(&[]),
        }
    }
}

/// A tensor out of a kernel.
pub(crate) fn tensor(values: Vec<f32>, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(values, like.shape(), like.device())
}

/// What a forward pass left for the backward pass of operation `name`, or the other way round.
pub(crate) fn lock<'a, T>(name: &str, mutex: &'a Mutex<T>) -> Result<MutexGuard<'a, T>> {
    match mutex.lock() {
        Ok(guard) => Ok(guard),
        Err(_) => candle_core::bail!("{name}: another thread panicked"),
    }
}

/// Whether a job over this many elements should use more than one thread.
pub(crate) fn parallel(elements: usize) -> bool {
    elements >= PARALLEL && rayon::current_num_threads() > 1
}

/// Threads for one matrix product of this many multiplications.
pub(crate) fn gemm_threads(multiplications: usize) -> gemm::Parallelism {
    match rayon::current_num_threads() {
        threads if threads > 1 && multiplications > 1 << 20 => gemm::Parallelism::Rayon(threads),
        _ => gemm::Parallelism::None,
    }
}

/// Elements that one thread fills at a time.
const FILL: usize = 1 << 14;

/// `n` zeros. Pages that are touched for the first time are the kernel's work, so several threads share it.
pub(crate) fn zeros(n: usize) -> Vec<f32> {
    match parallel(n) {
        true => rayon::iter::repeat_n(0.0, n).with_min_len(FILL).collect(),
        false => vec![0.0; n],
    }
}

/// A copy, likewise.
pub(crate) fn copied(values: &[f32]) -> Vec<f32> {
    match parallel(values.len()) {
        true => values.par_iter().copied().with_min_len(FILL).collect(),
        false => values.to_vec(),
    }
}

/// Calls `job(index, chunk)` for chunks of `size` elements, on several threads if that pays.
pub(crate) fn for_chunks(out: &mut [f32], size: usize, job: impl Fn(usize, &mut [f32]) + Sync) {
    if parallel(out.len()) {
        let each = |(index, chunk): (usize, &mut [f32])| job(index, chunk);
        out.par_chunks_mut(size).enumerate().for_each(each);
    } else {
        for (index, chunk) in out.chunks_mut(size).enumerate() {
            job(index, chunk);
        }
    }
}

/// What `job(index, chunk)` gives for chunks of `size` elements, in order, on several threads if that pays.
pub(crate) fn collect_chunks<T: Send>(
    data: &mut [f32],
    size: usize,
    job: impl Fn(usize, &mut [f32]) -> T + Sync + Send,
) -> Vec<T> {
    let each = |(index, chunk): (usize, &mut [f32])| job(index, chunk);
    if parallel(data.len()) {
        data.par_chunks_mut(size).enumerate().map(each).collect()
    } else {
        data.chunks_mut(size).enumerate().map(each).collect()
    }
}

/// `job(index)` for `0..n`, in order of the index, on several threads if a job over `elements` should be.
pub(crate) fn collect<T: Send>(
    n: usize,
    elements: usize,
    job: impl Fn(usize) -> T + Sync + Send,
) -> Vec<T> {
    if parallel(elements) {
        (0..n).into_par_iter().map(job).collect()
    } else {
        (0..n).map(job).collect()
    }
}

/// Threads that kernels share.
pub fn threads() -> usize {
    rayon::current_num_threads()
}

/// Sets the number of threads of this process. Fails once a kernel has run, or if called twice.
pub fn set_threads(threads: usize) -> crate::Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    pool.build_global().map_err(|e| crate::Error::Argument {
        what: "set_threads",
        expected: "a first call, before any kernel ran".into(),
        found: e.to_string(),
    })
}
