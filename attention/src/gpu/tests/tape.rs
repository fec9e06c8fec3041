//! Gradients against candle's.

use super::{Candle, both, close, context, same};
use crate::Result;
use crate::gpu::{Array, Traced};
use candle_core::Var as CandleVar;

type OnDevice<'a> = &'a dyn Fn(&[Traced]) -> Result<Traced>;
type OnCandle<'a> = &'a dyn Fn(&[Candle]) -> candle_core::Result<Candle>;

/// Values and gradients of a random weighting of the result, for positive inputs of these shapes.
#[track_caller]
fn check(shapes: &[&[usize]], ours: OnDevice, theirs: OnCandle) {
    let (mut traced, mut vars) = (Vec::new(), Vec::new());
    for (i, dims) in shapes.iter().enumerate() {
        let (x, c) = both(i as u64 + 1, dims);
        let x = Traced::constant(x).affine(0.5, 0.8).unwrap();
        traced.push(Traced::variable(x.array()).unwrap());
        vars.push(CandleVar::from_tensor(&c.affine(0.5, 0.8).unwrap()).unwrap());
    }
    let candles: Vec<Candle> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let (y, z) = (ours(&traced).unwrap(), theirs(&candles).unwrap());
    same(y.array(), &z);
    let (w, v) = both(77, y.dims());
    let gradients = y.mul(&Traced::constant(w)).unwrap().backward().unwrap();
    let expected = z.mul(&v).unwrap().backward().unwrap();
    for (x, var) in traced.iter().zip(&vars) {
        let gradient = gradients.get(x).expect("a gradient");
        let expected = expected.get(var).expect("a gradient");
        assert_eq!(gradient.dims(), expected.dims());
        let expected = expected.flatten_all().unwrap().to_vec1().unwrap();
        close(&gradient.to_f32().unwrap(), &expected, 2e-5);
    }
}

#[test]
fn elementwise() {
    macro_rules! each {
        ($($name:ident),*) => {$(
            check(&[&[3, 4]], &|x| x[0].affine(1.0, -0.7)?.$name(), &|x| x[0].affine(1.0, -0.7)?.$name());
        )*};
    }
    macro_rules! each_positive {
        ($($name:ident),*) => {$( check(&[&[3, 4]], &|x| x[0].$name(), &|x| x[0].$name()); )*};
    }
    each!(
        neg, exp, sqr, tanh, silu, relu, gelu, gelu_erf, abs, sin, cos
    );
    each_positive!(log, sqrt, recip);
    for power in [3.0, 2.0, 0.5, -1.0] {
        check(&[&[3, 4]], &|x| x[0].powf(power), &|x| x[0].powf(power));
    }
    check(&[&[3, 4]], &|x| x[0].affine(1.0, -0.7)?.powf(3.0), &|x| {
        x[0].affine(1.0, -0.7)?.powf(3.0)
    });
    let huge = Array::from_f32(context(), &[-200.0, 200.0], &[2]).unwrap();
    let huge = Traced::constant(huge);
    let values = |x: Traced| x.array().to_f32().unwrap();
    assert_eq!(values(huge.tanh().unwrap()), [-1.0, 1.0]);
    assert_eq!(values(huge.silu().unwrap()), [-0.0, 200.0]);
    assert!(!huge.floor().unwrap().tracked());
}

#[test]
fn pairs_broadcast() {
    macro_rules! each {
        ($($ours:ident $theirs:ident),*) => {$(
            check(&[&[2, 1, 4], &[3, 1]], &|x| x[0].$ours(&x[1]), &|x| x[0].$theirs(&x[1]));
        )*};
    }
    each!(add broadcast_add, sub broadcast_sub, mul broadcast_mul, div broadcast_div,
        maximum broadcast_maximum, minimum broadcast_minimum);
    // A tie is shared.
    check(&[&[4]], &|x| x[0].maximum(&x[0].affine(1.0, 0.0)?), &|x| {
        x[0].maximum(&x[0].affine(1.0, 0.0)?)
    });
    // The same input twice.
    check(&[&[2, 3]], &|x| x[0].mul(&x[0])?.add(&x[0]), &|x| {
        (&x[0] * &x[0])?.add(&x[0])
    });
    let chosen = |x: &[Traced]| x[0].lt(&x[1])?.where_cond(&x[0].sqr()?, &x[1]);
    check(&[&[3, 4], &[3, 4]], &chosen, &|x| {
        x[0].lt(&x[1])?.where_cond(&x[0].sqr()?, &x[1])
    });
}

#[test]
fn shapes() {
    check(
        &[&[2, 3, 4], &[2, 2, 4]],
        &|x| {
            Traced::cat(&[&x[0].narrow(1, 1, 2)?, &x[1]], 1)?
                .transpose(0, 2)?
                .reshape(&[8, 4])
        },
        &|x| {
            Candle::cat(&[&x[0].narrow(1, 1, 2)?, &x[1]], 1)?
                .transpose(0, 2)?
                .reshape((8, 4))
        },
    );
    check(
        &[&[3, 1]],
        &|x| {
            x[0].broadcast_as(&[2, 3, 4])?
                .unsqueeze(1)?
                .sqr()?
                .squeeze(1)
        },
        &|x| {
            x[0].broadcast_as((2, 3, 4))?
                .unsqueeze(1)?
                .sqr()?
                .squeeze(1)
        },
    );
}

#[test]
fn products_and_reductions() {
    check(&[&[2, 3, 5], &[2, 5, 4]], &|x| x[0].matmul(&x[1]), &|x| {
        x[0].matmul(&x[1])
    });
    check(
        &[&[7, 5], &[4, 5]],
        &|x| x[0].matmul(&x[1].transpose(0, 1)?)?.mean_all(),
        &|x| x[0].matmul(&x[1].t()?)?.mean_all(),
    );
    check(&[&[2, 70]], &|x| x[0].sum_keepdim(1)?.sqr(), &|x| {
        x[0].sum_keepdim(1)?.sqr()
    });
    check(&[&[2, 7, 3]], &|x| x[0].mean_keepdim(1), &|x| {
        x[0].mean_keepdim(1)
    });
    check(&[&[2, 7, 3]], &|x| x[0].max_keepdim(1), &|x| {
        x[0].max_keepdim(1)
    });
    check(&[&[2, 7, 3]], &|x| x[0].cumsum(1), &|x| x[0].cumsum(1));
    check(&[&[2, 7, 3]], &|x| x[0].softmax(1), &|x| {
        let e = x[0].exp()?;
        e.broadcast_div(&e.sum_keepdim(1)?)
    });
    check(&[&[4, 6]], &|x| x[0].log_sum_exp(1), &|x| {
        x[0].exp()?.sum_keepdim(1)?.log()
    });
}

#[test]
fn indices() {
    let rows = [4u32, 0, 4, 2];
    let ours = Traced::constant(Array::from_u32(context(), &rows, &[4]).unwrap());
    let theirs = Candle::new(&rows, &candle_core::Device::Cpu).unwrap();
    check(&[&[5, 3]], &|x| x[0].index_select(&ours, 0), &|x| {
        x[0].index_select(&theirs, 0)
    });
    let (ours, theirs) = (ours.unsqueeze(1).unwrap(), theirs.unsqueeze(1).unwrap());
    check(&[&[4, 5]], &|x| x[0].gather(&ours, 1), &|x| {
        x[0].gather(&theirs, 1)
    });
}

#[test]
fn constants_get_no_gradient_and_variables_can_be_overwritten() {
    let (x, _) = both(1, &[3]);
    let (a, b) = (Traced::variable(&x).unwrap(), Traced::variable(&x).unwrap());
    let y = a.mul(&b.detach()).unwrap();
    let gradients = y.backward().unwrap();
    assert!(gradients.get(&b).is_none() && gradients.get(&a).is_some());
    b.assign(&Array::full(context(), 2.0, &[3]).unwrap())
        .unwrap();
    assert_eq!(b.array().to_f32().unwrap(), [2.0; 3]);
    assert_ne!(x.to_f32().unwrap(), [2.0; 3]);
    assert!(
        b.assign(&Array::full(context(), 2.0, &[4]).unwrap())
            .is_err()
    );
}
