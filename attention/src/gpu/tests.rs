//! Device arrays against candle on the processor.

mod limits;
mod optim;
mod tape;
mod tensors;
mod train;

use super::array::Array;
use super::context::Context;
use super::kernels::Fold;
use super::kind::Kind;
use crate::DeviceSpec;
use crate::testing::noise;
use std::sync::OnceLock;

/// The device of these tests: the first adapter of wgpu, or the one that `FARSPAN_TEST_DEVICE` names.
pub(super) fn spec() -> DeviceSpec {
    let asked = std::env::var("FARSPAN_TEST_DEVICE");
    asked.map_or(DeviceSpec::Wgpu(0), |name| name.parse().unwrap())
}

/// Opened anew.
pub(super) fn opened() -> Context {
    Context::open(spec()).expect(
        "these tests need a Vulkan, Metal or DirectX 12 adapter, such as Mesa's software one",
    )
}

/// One adapter for all tests: software Vulkan where there is no GPU.
pub(super) fn context() -> &'static Context {
    static CONTEXT: OnceLock<Context> = OnceLock::new();
    CONTEXT.get_or_init(opened)
}

pub(super) type Candle = candle_core::Tensor;

/// The same numbers on both sides.
pub(super) fn both(seed: u64, dims: &[usize]) -> (Array, Candle) {
    let values: Vec<f32> = noise(seed, dims.iter().product())
        .into_iter()
        .map(|x| x as f32)
        .collect();
    let array = Array::from_f32(context(), &values, dims).unwrap();
    (
        array,
        Candle::from_vec(values, dims, &candle_core::Device::Cpu).unwrap(),
    )
}

#[track_caller]
pub(super) fn close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    for (place, (x, y)) in found.iter().zip(expected).enumerate() {
        let near = (x - y).abs() <= tolerance * (1.0 + y.abs());
        assert!(
            near || x == y || (x.is_nan() && y.is_nan()),
            "[{place}]: {x}, expected {y}"
        );
    }
}

#[track_caller]
pub(super) fn same(found: &Array, expected: &Candle) {
    assert_eq!(found.dims(), expected.dims());
    let expected = expected.flatten_all().unwrap();
    close(&found.to_f32().unwrap(), &expected.to_vec1().unwrap(), 1e-5);
}

#[test]
fn the_adapter_is_named_and_others_are_refused() {
    assert!(!context().describe().is_empty());
    assert!(crate::gpu::list(spec()).unwrap()[0].starts_with(&context().describe()));
    let (far, what) = match spec() {
        DeviceSpec::Cuda(_, precision) => (DeviceSpec::Cuda(99, precision), "card below"),
        _ => (DeviceSpec::Wgpu(99), "adapter below"),
    };
    let message = Context::open(far).unwrap_err().to_string();
    assert!(
        message.contains(&far.to_string()) && message.contains(what),
        "{message}"
    );
    let message = context().alloc(1 << 40).unwrap_err().to_string();
    assert!(
        message.contains(&context().largest_array().to_string()),
        "{message}"
    );
    let message = context()
        .dispatch("fn main() {", &[], &[], 1)
        .unwrap_err()
        .to_string();
    assert!(message.contains("kernel"), "{message}");
}

#[test]
fn memory_and_pipelines_are_used_again() {
    let context = opened();
    let step = || {
        Array::full(&context, 2.0, &[1000])
            .unwrap()
            .sum_all()
            .unwrap()
            .to_f32()
            .unwrap()
    };
    assert_eq!(step(), [2000.0]);
    let kernels = context.kernels();
    for _ in 0..600 {
        // More commands than one submission holds.
        Array::full(&context, 1.0, &[70]).unwrap();
    }
    assert_eq!(step(), [2000.0]);
    assert_eq!(context.kernels(), kernels);
}

#[test]
fn views_move_no_data_and_read_back_whole() {
    let (x, c) = both(1, &[3, 4, 5]);
    same(&x, &c);
    same(&x.transpose(0, 2).unwrap(), &c.transpose(0, 2).unwrap());
    same(&x.narrow(1, 1, 2).unwrap(), &c.narrow(1, 1, 2).unwrap());
    let turned = x.transpose(1, 2).unwrap().narrow(1, 2, 3).unwrap();
    let expected = c.transpose(1, 2).unwrap().narrow(1, 2, 3).unwrap();
    same(&turned, &expected);
    same(
        &turned.reshape(&[9, 4]).unwrap(),
        &expected.reshape((9, 4)).unwrap(),
    );
    let (row, c) = both(2, &[4, 1]);
    same(
        &row.broadcast_as(&[2, 4, 3]).unwrap(),
        &c.broadcast_as((2, 4, 3)).unwrap(),
    );
    let message = x.reshape(&[7]).unwrap_err().to_string();
    assert!(message.contains("60"), "{message}");
    assert!(x.narrow(1, 3, 2).is_err() && x.transpose(0, 3).is_err());
}

#[test]
fn parts_join_along_any_axis() {
    let (x, c) = both(1, &[2, 3, 4]);
    let (y, d) = both(2, &[2, 5, 4]);
    let (turned, cut) = (y.narrow(1, 1, 3).unwrap(), d.narrow(1, 1, 3).unwrap());
    same(
        &Array::cat(&[&x, &y], 1).unwrap(),
        &Candle::cat(&[&c, &d], 1).unwrap(),
    );
    same(
        &Array::cat(&[&x, &turned], 0).unwrap(),
        &Candle::cat(&[&c, &cut], 0).unwrap(),
    );
    same(
        &Array::cat(&[&turned, &x], 2).unwrap(),
        &Candle::cat(&[&cut, &c], 2).unwrap(),
    );
    assert!(Array::cat(&[&x, &y], 0).is_err());
}

#[test]
fn products_of_odd_sizes_and_of_views() {
    for (m, k, n) in [(1, 1, 1), (3, 5, 2), (17, 16, 33), (65, 19, 70)] {
        let (x, c) = both(1, &[2, m, k]);
        let (y, d) = both(2, &[2, k, n]);
        let (z, e) = both(3, &[2, n, k]);
        for apart in [false, true] {
            same(&x.product(&y, apart).unwrap(), &c.matmul(&d).unwrap());
            let turned = z.transpose(1, 2).unwrap();
            let product = x.product(&turned, apart).unwrap();
            same(&product, &c.matmul(&e.t().unwrap()).unwrap());
        }
    }
    // Heads between tokens and channels, as a projection leaves them.
    let (x, c) = both(4, &[2, 5, 3, 4]);
    let (x, c) = (x.transpose(1, 2).unwrap(), c.transpose(1, 2).unwrap());
    let expected = c
        .contiguous()
        .unwrap()
        .matmul(&c.t().unwrap().contiguous().unwrap());
    same(
        &x.matmul(&x.transpose(2, 3).unwrap()).unwrap(),
        &expected.unwrap(),
    );
    let message = x.matmul(&x).unwrap_err().to_string();
    assert!(message.contains("right side"), "{message}");
}

#[test]
fn reductions_over_short_and_long_axes() {
    for dims in [[2, 7, 3], [2, 130, 3], [70, 1, 65]] {
        let (x, c) = both(5, &dims);
        for axis in 0..3 {
            same(&x.sum_keepdim(axis).unwrap(), &c.sum_keepdim(axis).unwrap());
            same(
                &x.reduce(Fold::Max, axis).unwrap(),
                &c.max_keepdim(axis).unwrap(),
            );
            let places = x.reduce(Fold::ArgMax, axis).unwrap().to_u32().unwrap();
            let expected = c.argmax(axis).unwrap().flatten_all().unwrap();
            assert_eq!(places, expected.to_vec1::<u32>().unwrap());
        }
        same(&x.sum_all().unwrap(), &c.sum_all().unwrap());
        same(&x.cumsum(1, false).unwrap(), &c.cumsum(1).unwrap());
    }
    let x = Array::full(context(), 1.0, &[9001]).unwrap();
    assert_eq!(x.sum_all().unwrap().to_f32().unwrap(), [9001.0]);
    let x = Array::from_f32(context(), &[1.0, 2.0, 4.0], &[3]).unwrap();
    assert_eq!(
        x.cumsum(0, true).unwrap().to_f32().unwrap(),
        [7.0, 6.0, 4.0]
    );
    assert_eq!(
        Array::full(context(), 1.0, &[0, 2])
            .unwrap()
            .sum_all()
            .unwrap()
            .to_f32()
            .unwrap(),
        [0.0]
    );
}

#[test]
fn ties_go_to_the_first_place() {
    for len in [5, 200] {
        let x = Array::full(context(), 3.0, &[len]).unwrap();
        assert_eq!(x.reduce(Fold::ArgMax, 0).unwrap().to_u32().unwrap(), [0]);
    }
}

#[test]
fn indices_gather_and_scatter() {
    let (x, c) = both(6, &[3, 5, 2]);
    let ids = vec![4u32, 0, 4, 2];
    let (i, j) = (
        Array::from_u32(context(), &ids, &[4]).unwrap(),
        Candle::from_vec(ids, 4, &candle_core::Device::Cpu).unwrap(),
    );
    let rows = x.select(&i, 1, false).unwrap();
    same(&rows, &c.index_select(&j, 1).unwrap());
    let back = rows.scatter(&i, 1, false, &[3, 5, 2]).unwrap();
    let zeros = c.zeros_like().unwrap();
    same(
        &back,
        &zeros
            .index_add(&j, &c.index_select(&j, 1).unwrap(), 1)
            .unwrap(),
    );
    let each: Vec<u32> = (0..3 * 2 * 2).map(|i| (i * 7 % 5) as u32).collect();
    let (i, j) = (
        Array::from_u32(context(), &each, &[3, 2, 2]).unwrap(),
        Candle::from_vec(each, (3, 2, 2), &candle_core::Device::Cpu).unwrap(),
    );
    let found = x.select(&i, 1, true).unwrap();
    same(&found, &c.gather(&j, 1).unwrap());
    let back = found.scatter(&i, 1, true, &[3, 5, 2]).unwrap();
    same(
        &back,
        &zeros.scatter_add(&j, &c.gather(&j, 1).unwrap(), 1).unwrap(),
    );
    let past = Array::from_u32(context(), &[5], &[1]).unwrap();
    assert!(
        x.select(&past, 1, false)
            .unwrap()
            .to_f32()
            .unwrap()
            .iter()
            .all(|x| x.is_nan())
    );
    assert!(x.select(&x, 1, false).is_err());
}

#[test]
fn formulas_broadcast() {
    let (x, c) = both(7, &[3, 1, 4]);
    let (y, d) = both(8, &[5, 1]);
    same(
        &x.pair(&y, Kind::F32, "a - b").unwrap(),
        &c.broadcast_sub(&d).unwrap(),
    );
    let sum = x.pair(&y, Kind::F32, "a * b").unwrap();
    let product = c.broadcast_mul(&d).unwrap();
    same(
        &sum.sum_to(&[5, 1]).unwrap(),
        &product.sum_keepdim(2).unwrap().sum(0).unwrap(),
    );
    assert!(x.pair(&both(9, &[3, 3]).0, Kind::F32, "a").is_err());
}
