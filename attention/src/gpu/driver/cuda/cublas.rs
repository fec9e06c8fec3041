//! Products of f32 matrices by cuBLAS, which may round them to what tensor cores multiply.

use super::super::kind::{Product, Side};
use super::library::{Loaded, Sought};
use crate::locked::lock;
use crate::spec::Precision;
use cudarc::driver::sys::CUstream;
use std::ffi::{CStr, c_char, c_int, c_longlong, c_void};
use std::sync::Mutex;
use std::{env, ptr};

const SOUGHT: Sought = Sought {
    name: "cuBLAS",
    variable: "FARSPAN_CUBLAS",
    stem: "cublas",
    wheel: "cublas",
    beside: "cublasLt",
    windows: &["cublas64_12.dll", "cublas64_13.dll"],
};

/// Instead of a path: generated kernels compute products.
const NONE: &str = "none";

/// CUDA_R_32F.
const F32: c_int = 0;
/// CUBLAS_GEMM_DEFAULT.
const CHOSEN_THERE: c_int = -1;

/// Of cublasComputeType_t: sums in f32, inputs as they are (CUBLAS_COMPUTE_32F) or rounded (…_FAST_TF32, …_FAST_16BF).
fn compute(precision: Precision) -> c_int {
    match precision {
        Precision::F32 => 68,
        Precision::Tf32 => 77,
        Precision::Bf16 => 75,
    }
}

/// CUBLAS_OP_N and CUBLAS_OP_T.
const AS_IT_IS: c_int = 0;
const TURNED: c_int = 1;

type Status = c_int;
type Handle = *mut c_void;

type Gemm = unsafe extern "C" fn(
    Handle,
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    *const f32,
    u64,
    c_int,
    c_int,
    c_longlong,
    u64,
    c_int,
    c_int,
    c_longlong,
    *const f32,
    u64,
    c_int,
    c_int,
    c_longlong,
    c_int,
    c_int,
    c_int,
) -> Status;

/// The loaded library, for one stream.
#[derive(Debug)]
pub(super) struct Cublas {
    create: unsafe extern "C" fn(*mut Handle) -> Status,
    destroy: unsafe extern "C" fn(Handle) -> Status,
    set_stream: unsafe extern "C" fn(Handle, CUstream) -> Status,
    error: unsafe extern "C" fn(Status) -> *const c_char,
    gemm: Gemm,
    /// Major, minor and patch.
    version: [c_int; 3],
    /// Made for the first product: it takes the device's memory. One thread at a time may use it.
    open: Mutex<Option<Open>>,
    library: Loaded,
}

#[derive(Debug)]
struct Open(Handle);

// SAFETY: a handle may be used by any thread in whose turn the context is current, one at a time, which the mutex sees to.
unsafe impl Send for Open {}

impl Cublas {
    /// Finds one that the driver, of this major version of CUDA, runs; the words are of why there is none. Fails where one
    /// was asked for that cannot be had.
    pub(super) fn find(driver: c_int) -> Result<Result<Cublas, String>, String> {
        let asked = env::var(SOUGHT.variable).unwrap_or_default();
        if asked == NONE {
            return Ok(Err(format!("{} is {NONE}", SOUGHT.variable)));
        }
        match Cublas::load(driver) {
            Err(why) if !asked.is_empty() => Err(why),
            found => Ok(found),
        }
    }

    fn load(driver: c_int) -> Result<Cublas, String> {
        SOUGHT.find(&|library| {
            // SAFETY: the types are those of cublas_v2.h; a device pointer is a number of 64 bits.
            let mut found = unsafe {
                Cublas {
                    create: library.get("cublasCreate_v2")?,
                    destroy: library.get("cublasDestroy_v2")?,
                    set_stream: library.get("cublasSetStream_v2")?,
                    error: library.get("cublasGetStatusString")?,
                    gemm: library.get("cublasGemmStridedBatchedEx")?,
                    version: [0; 3],
                    open: Mutex::new(None),
                    library,
                }
            };
            // SAFETY: as above; it writes a number.
            let property = unsafe {
                type Property = unsafe extern "C" fn(c_int, *mut c_int) -> Status;
                found.library.get::<Property>("cublasGetProperty")?
            };
            for (which, number) in (0..).zip(&mut found.version) {
                // SAFETY: as above.
                let status = unsafe { property(which, number) };
                if status != 0 {
                    return Err(found.words(status));
                }
            }
            match found.version[0] <= driver {
                true => Ok(found),
                false => Err(format!(
                    "expected version {driver} or older, which is the driver's, found {}",
                    found.version[0]
                )),
            }
        })
    }

    /// What computes products, for the record.
    pub(super) fn label(&self) -> String {
        let [major, minor, patch] = self.version;
        format!("cuBLAS {major}.{minor}.{patch}")
    }

    fn words(&self, status: Status) -> String {
        // SAFETY: it gives a string that lives as long as the library.
        let words = unsafe { CStr::from_ptr((self.error)(status)) };
        format!("cuBLAS: {}", words.to_string_lossy())
    }

    fn check(&self, status: Status) -> Result<(), String> {
        match status {
            0 => Ok(()),
            _ => Err(self.words(status)),
        }
    }

    fn handle(&self, stream: CUstream) -> Result<Handle, String> {
        let mut handle = ptr::null_mut();
        // SAFETY: the caller has made the context of the stream current.
        unsafe {
            self.check((self.create)(&mut handle))?;
            self.check((self.set_stream)(handle, stream))?;
        }
        Ok(handle)
    }

    /// Adds the products to the commands of `stream`, whose context is current. `false` for matrices that lie as it cannot
    /// read them: neither along rows nor along columns without gaps.
    ///
    /// # Safety
    /// All memory is the device's, as large as the product says.
    pub(super) unsafe fn product(
        &self,
        stream: CUstream,
        product: &Product,
        precision: Precision,
    ) -> Result<bool, String> {
        let Product {
            batch, m, depth, n, ..
        } = *product;
        let (Some(a), Some(b)) = (lies(&product.a, m, depth), lies(&product.b, depth, n)) else {
            return Ok(false);
        };
        let sizes = [batch, m, depth, n].map(c_int::try_from);
        let [Ok(batch), Ok(m), Ok(depth), Ok(n)] = sizes else {
            return Ok(false);
        };
        if [batch, m, depth, n].contains(&0) {
            return Ok(false);
        }
        let mut open = lock(&self.open);
        let handle = match &*open {
            Some(open) => open.0,
            None => open.insert(Open(self.handle(stream)?)).0,
        };
        let at = |side: &Side| side.memory + 4 * side.offset as u64;
        let stride = |side: &Side| side.batch as c_longlong;
        let (one, zero) = (1.0, 0.0);
        // It takes matrices by columns; by rows they are yᵀ = bᵀ · aᵀ.
        // SAFETY: the caller vouches for the memory; factors are read before it returns.
        let status = unsafe {
            (self.gemm)(
                handle,
                b.0,
                a.0,
                n,
                m,
                depth,
                &one,
                at(&product.b),
                F32,
                b.1,
                stride(&product.b),
                at(&product.a),
                F32,
                a.1,
                stride(&product.a),
                &zero,
                product.y,
                F32,
                n,
                c_longlong::from(m) * c_longlong::from(n),
                batch,
                compute(precision),
                CHOSEN_THERE,
            )
        };
        self.check(status)?;
        Ok(true)
    }

    /// Gives its memory back. The context is current and nothing runs.
    pub(super) fn close(&self) {
        if let Some(Open(handle)) = lock(&self.open).take() {
            // SAFETY: it was made here and is used no more.
            unsafe { (self.destroy)(handle) };
        }
    }
}

/// How cuBLAS reads a matrix of `rows` by `columns`: whether turned, and elements from one line to the next.
fn lies(side: &Side, rows: usize, columns: usize) -> Option<(c_int, c_int)> {
    // Along an axis of one element there is no step.
    let by_rows = columns == 1 || side.column == 1;
    let by_columns = rows == 1 || side.row == 1;
    let line = |count: usize, stride: usize, least: usize| match count {
        1 => c_int::try_from(least).ok(),
        _ if stride >= least => c_int::try_from(stride).ok(),
        _ => None,
    };
    let along_rows = || Some((AS_IT_IS, line(rows, side.row, columns)?));
    let along_columns = || Some((TURNED, line(columns, side.column, rows)?));
    let first = by_rows.then(along_rows).flatten();
    first.or_else(|| by_columns.then(along_columns).flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_are_read_along_rows_or_columns() {
        let found = |rows, columns, row, column| {
            let side = Side {
                memory: 0,
                offset: 0,
                batch: 0,
                row,
                column,
            };
            lies(&side, rows, columns)
        };
        assert_eq!(found(3, 5, 5, 1), Some((AS_IT_IS, 5)));
        assert_eq!(found(3, 5, 8, 1), Some((AS_IT_IS, 8)));
        assert_eq!(found(3, 5, 1, 3), Some((TURNED, 3)));
        // Of one row or column, whatever the strides of the axis say.
        assert_eq!(found(1, 5, 0, 1), Some((AS_IT_IS, 5)));
        assert_eq!(found(5, 1, 1, 0), Some((AS_IT_IS, 1)));
        assert_eq!(found(5, 1, 4, 9), Some((AS_IT_IS, 4)));
        assert_eq!(found(1, 5, 9, 4), Some((TURNED, 4)));
        // Repeated rows, and steps along both axes.
        assert_eq!(found(3, 5, 0, 1), None);
        assert_eq!(found(3, 5, 10, 2), None);
    }
}
