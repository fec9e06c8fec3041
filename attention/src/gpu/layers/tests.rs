//! Layers as single kernels against those of the processor, in both ways of sharing a row.

use super::loss::{self, cross_entropy_by};
use super::norm::{self, norm_by};
use super::swiglu::backward as swiglu_backward;
use super::{swiglu, token_scores};
use crate::gpu::kernels::{self, Fold, Rows};
use crate::gpu::tests::{close, context, spec};
use crate::gpu::{Array, Context, Kind, Traced, optim, validate};
use crate::{Device, Result, Tensor, Var, ops, testing::noise};

fn values(seed: u64, dims: &[usize]) -> Vec<f32> {
    let values = noise(seed, dims.iter().product());
    values.into_iter().map(|x| (0.4 + x) as f32).collect()
}

/// Values and gradients, of a random weighting of the result, on the device and on the processor.
#[track_caller]
fn check(
    context: &Context,
    shapes: &[&[usize]],
    ours: &dyn Fn(&[Traced]) -> Result<Traced>,
    theirs: &dyn Fn(&[Tensor]) -> Result<Tensor>,
) {
    let (mut traced, mut vars) = (Vec::new(), Vec::new());
    for (seed, dims) in shapes.iter().enumerate() {
        let values = values(seed as u64 + 1, dims);
        let array = Array::from_f32(context, &values, dims).unwrap();
        traced.push(Traced::variable(&array).unwrap());
        let tensor = Tensor::from_vec(values, *dims, &Device::cpu()).unwrap();
        vars.push(Var::new(tensor).unwrap());
    }
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.tensor().clone()).collect();
    let (y, z) = (ours(&traced).unwrap(), theirs(&tensors).unwrap());
    assert_eq!(y.dims(), z.dims());
    close(&y.array().to_f32().unwrap(), &z.to_flat().unwrap(), 1e-5);
    let weights = values(77, y.dims());
    let w = Array::from_f32(context, &weights, y.dims()).unwrap();
    let v = Tensor::from_vec(weights, z.dims(), &Device::cpu()).unwrap();
    let gradients = y.mul(&Traced::constant(w)).unwrap().backward().unwrap();
    let expected = z.mul(&v).unwrap().backward().unwrap();
    for (x, var) in traced.iter().zip(&vars) {
        let gradient = gradients.get(x).expect("a gradient");
        let expected = expected.get(var).expect("a gradient");
        assert_eq!(gradient.dims(), expected.dims());
        close(
            &gradient.to_f32().unwrap(),
            &expected.to_flat().unwrap(),
            5e-5,
        );
    }
}

/// The forms that any adapter runs.
const FORMS: [Rows; 2] = [Rows::Shared, Rows::Apart];

/// These, and the form with subgroups where the adapter has them; its line in `list devices` says which.
fn forms() -> Vec<Rows> {
    let mut forms = FORMS.to_vec();
    let has = context().has_subgroups();
    assert_eq!(has, !context().bounds().contains("no subgroups"));
    if has {
        forms.push(Rows::Subgroups);
    }
    eprintln!("rows in {} forms on {}", forms.len(), context().describe());
    forms
}

#[test]
fn norms_of_odd_widths() {
    for form in forms() {
        for width in [1, 7, 65, 130] {
            check(
                context(),
                &[&[3, 43, width], &[width]],
                &|x| norm_by(form, &x[0], &x[1], None, 1e-5),
                &|x| ops::rms_norm(&x[0], &x[1], 1e-5),
            );
        }
        // A row of one channel has no variance.
        for width in [7, 65, 130] {
            check(
                context(),
                &[&[3, 43, width], &[width], &[width]],
                &|x| norm_by(form, &x[0], &x[1], Some(&x[2]), 1e-5),
                &|x| ops::layer_norm(&x[0], &x[1], &x[2], 1e-5),
            );
        }
    }
}

#[test]
fn gated_activations() {
    for hidden in [1, 5, 67] {
        check(
            context(),
            &[&[2, 3, 2 * hidden]],
            &|x| swiglu(&x[0]),
            &|x| ops::swiglu(&x[0]),
        );
    }
    // Halves of something transposed.
    check(
        context(),
        &[&[6, 5]],
        &|x| swiglu(&x[0].transpose(0, 1)?),
        &|x| ops::swiglu(&x[0].t()?.contiguous()?),
    );
}

/// Tokens, width, vocabulary.
const SIZES: [usize; 3] = [30, 9, 100];

fn targets() -> Vec<u32> {
    (0..SIZES[0]).map(|t| (t * 37 % SIZES[2]) as u32).collect()
}

/// With hidden states `scale` times as large as those of other tests.
#[track_caller]
fn check_loss(context: &Context, form: Rows, weights: &[f32], scale: f64) {
    let [tokens, width, vocab] = SIZES;
    let total: f32 = weights.iter().sum();
    let rows: Vec<usize> = (0..tokens).filter(|t| weights[*t] != 0.0).collect();
    let chosen: Vec<u32> = rows.iter().map(|t| targets()[*t]).collect();
    let shares: Vec<f64> = rows
        .iter()
        .map(|t| f64::from(weights[*t] / total))
        .collect();
    check(
        context,
        &[&[tokens, width], &[vocab, width]],
        &|x| {
            cross_entropy_by(
                form,
                &x[0].affine(scale, 0.0)?,
                &x[1],
                &rows,
                (&chosen, &shares),
            )
        },
        &|x| ops::cross_entropy(&x[0].affine(scale, 0.0)?, &x[1], &targets(), weights),
    );
}

/// An adapter whose arrays hold the logits of ten tokens, and whose grids are five workgroups wide.
fn small() -> Context {
    Context::open_with(spec(), &|limits| {
        limits.array = 4096;
        limits.groups = 5;
    })
    .unwrap()
}

#[test]
fn losses_of_all_tokens_and_of_some() {
    let some: Vec<f32> = (0..SIZES[0]).map(|t| [1.0, 0.0, 0.3][t % 3]).collect();
    for form in forms() {
        check_loss(context(), form, &[1.0; 30], 1.0);
        check_loss(context(), form, &some, 1.0);
        // Exponentials of logits that far apart are finite only beside the largest of the whole row.
        check_loss(context(), form, &some, 400.0);
    }
}

#[test]
fn logits_beyond_the_largest_array_are_never_one() {
    let [tokens, width, vocab] = SIZES;
    let context = small();
    assert!(4 * (tokens * vocab) as u64 > context.largest_array());
    let some: Vec<f32> = (0..tokens).map(|t| [1.0, 0.0, 0.3][t % 3]).collect();
    for form in forms() {
        check_loss(&context, form, &[1.0; 30], 1.0);
        check_loss(&context, form, &some, 1.0);
    }
    let (h, w) = (values(1, &[tokens, width]), values(2, &[vocab, width]));
    let traced = |values: &[f32], dims: &[usize]| {
        Traced::constant(Array::from_f32(&context, values, dims).unwrap())
    };
    let (x, y) = (traced(&h, &[tokens, width]), traced(&w, &[vocab, width]));
    let found = token_scores(&x, &y, &targets()).unwrap();
    let tensor = |values, dims: &[usize]| Tensor::from_vec(values, dims, &Device::cpu()).unwrap();
    let (x, y) = (tensor(h, &[tokens, width]), tensor(w, &[vocab, width]));
    let expected = ops::token_scores(&x, &y, &targets()).unwrap();
    assert_eq!(found.len(), tokens);
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.argmax, expected.argmax);
        close(&[found.nll], &[expected.nll], 1e-5);
    }
}

#[test]
fn a_loss_of_logits_that_are_no_numbers_is_none() {
    let [tokens, width, vocab] = SIZES;
    let mut h = values(1, &[tokens, width]);
    h[3 * width] = f32::NAN;
    let h = Traced::constant(Array::from_f32(context(), &h, &[tokens, width]).unwrap());
    let w = Array::from_f32(context(), &values(2, &[vocab, width]), &[vocab, width]).unwrap();
    let scores = token_scores(&h, &Traced::constant(w), &targets()).unwrap();
    let lost: Vec<usize> = (0..tokens).filter(|t| scores[*t].nll.is_nan()).collect();
    assert_eq!(lost, [3]);
}

/// Every kernel that is not generated from a plan or from a formula.
#[test]
fn kernels_of_their_own_are_valid() {
    let mut texts = vec![
        norm::by_columns(),
        swiglu_backward(),
        kernels::cumsum(false),
        kernels::cumsum(true),
        kernels::fill(),
        kernels::pad(),
        kernels::scatter(false),
        kernels::scatter(true),
        kernels::matmul(1),
        kernels::matmul(4),
        kernels::matmul_apart(),
        optim::norm(),
    ];
    for n in [1, 2, 16] {
        texts.extend([optim::squares(n), optim::adamw(n)]);
    }
    for form in FORMS {
        for yes in [false, true] {
            texts.extend([
                norm::forward(form, yes),
                norm::backward(form, yes),
                loss::kernel(form, yes),
            ]);
        }
    }
    for kind in [Kind::F32, Kind::U32] {
        texts.extend([
            kernels::paste(kind),
            kernels::select(kind, false),
            kernels::select(kind, true),
        ]);
        for rank in 0..5 {
            texts.push(kernels::map(&[kind, kind], kind, "a + b * g", rank));
        }
    }
    for fold in [Fold::Sum, Fold::Max, Fold::ArgMax] {
        texts.extend([kernels::reduce(fold, false), kernels::reduce(fold, true)]);
    }
    for text in texts {
        validate(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    }
    let message = validate("fn main() { let x = 1u + 1.0f; }").unwrap_err();
    assert!(message.to_string().contains("valid WGSL"), "{message}");
}
