//! What a device reaches at its best, for figures to be held against.

use crate::ops::linear::{self, View};
use crate::{Device, Result, Tensor};
use serde::Serialize;
use std::hint::black_box;
use std::time::Instant;

/// Measured rates of a device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rates {
    /// Floating-point operations per second of a large f32 matrix product.
    pub flops_per_second: f64,
    /// Bytes read and written per second by a pass over a large array.
    pub bytes_per_second: f64,
}

/// Each rate is the best of three measurements, after one for warming up, each long enough to be timed: repetitions
/// double until a tenth of a second has passed.
pub fn rates(device: &Device) -> Result<Rates> {
    const SIDE: usize = 512;
    const CELLS: usize = 1 << 22;
    let square = Tensor::full(0.5f32, (SIDE, SIDE), device)?;
    let product = per_second(device, &|| square.matmul(&square).map(|_| ()))?;
    let row = Tensor::full(0.5f32, CELLS, device)?;
    let sum = per_second(device, &|| row.affine(1.5, 1.0).map(|_| ()))?;
    Ok(Rates {
        flops_per_second: product * 2.0 * (SIDE * SIDE * SIDE) as f64,
        // One array in, one out.
        bytes_per_second: sum * 2.0 * (4 * CELLS) as f64,
    })
}

fn per_second(device: &Device, work: &dyn Fn() -> Result<()>) -> Result<f64> {
    let time = |times: usize| {
        let start = Instant::now();
        for _ in 0..times {
            work()?;
        }
        device.synchronize()?;
        Ok::<_, crate::Error>(start.elapsed().as_secs_f64())
    };
    time(1)?;
    let mut times = 1;
    while time(times)? < 0.1 {
        times *= 2;
    }
    let mut best = 0f64;
    for _ in 0..3 {
        best = best.max(times as f64 / time(times)?);
    }
    Ok(best)
}

/// A linear layer on the processor, for its matrix products alone.
#[derive(Debug)]
pub struct Products {
    x: Vec<f32>,
    dy: Vec<f32>,
    weight: Vec<f32>,
    rows: usize,
    inner: usize,
    out: usize,
}

/// One of the three matrix products that a linear layer costs in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Product {
    /// x · weightᵀ
    Forward,
    /// dy · weight
    GradientOfRows,
    /// dyᵀ · x
    GradientOfWeight,
}

impl Products {
    /// `rows` rows through a weight (out, inner).
    pub fn new(rows: usize, inner: usize, out: usize) -> Products {
        Products {
            x: vec![0.5; rows * inner],
            dy: vec![0.5; rows * out],
            weight: vec![0.5; out * inner],
            rows,
            inner,
            out,
        }
    }

    /// Floating-point operations of each of them, a multiply-add counting as two.
    pub fn flops(&self) -> f64 {
        2.0 * (self.rows * self.inner * self.out) as f64
    }

    /// Computes one, on all threads, as [`ops::linear`](fn@crate::ops::linear) does.
    pub fn run(&self, product: Product) {
        let x = View::rows(&self.x, self.rows, self.inner);
        let dy = View::rows(&self.dy, self.rows, self.out);
        let weight = View::rows(&self.weight, self.out, self.inner);
        black_box(match product {
            Product::Forward => linear::product(x, weight.transposed()),
            Product::GradientOfRows => linear::product(dy, weight),
            Product::GradientOfWeight => linear::product(dy.transposed(), x),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_the_processor_are_positive_numbers() {
        let rates = rates(&Device::cpu()).unwrap();
        for rate in [rates.flops_per_second, rates.bytes_per_second] {
            assert!(rate.is_finite() && rate > 1e6, "{rates:?}");
        }
    }
}
