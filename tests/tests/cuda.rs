//! Every scheme on a card of CUDA against the processor, as `wgpu.rs` has it for wgpu: attention over documents, loss and
//! gradients of a step, training and perplexity past the trained length; what goes wrong; the command line.
//!
//! The card is made of C++ (see `fake_cuda.rs`), so that all but the card is what runs elsewhere: the driver, its copies and
//! launches, the text of the kernels. Threads of a block take turns in three orders, so that a missing barrier shows.

use farspan_acceptance::fake_cuda::{self, ORDERS, inside, is_inside};
use farspan_acceptance::parity::{documents, step, training};
use farspan_attention::{Device, Tensor};
use std::path::PathBuf;

#[path = "cuda/commands.rs"]
mod commands;
#[path = "cuda/mishaps.rs"]
mod mishaps;

/// The card, rounding as `spec` says, with kernels kept for the next run of the tests.
fn card(spec: &str) -> Device {
    let folder = std::env::var_os("FARSPAN_CACHE").map(PathBuf::from);
    farspan_attention::gpu::keep_kernels(fake_cuda::kernels(&folder.expect("a card")));
    Device::open(spec).expect("the fake card")
}

/// Which of the schemes run in an order: each in one.
fn share(number: usize) -> usize {
    let order = std::env::var("FAKE_ORDER").expect("an order");
    let order = ORDERS.iter().position(|x| *x == order);
    (number + order.expect("a known order")) % ORDERS.len()
}

/// Runs a test once in each order, at the same time.
fn in_each_order(test: &str, body: &(dyn Fn() + Sync)) {
    if is_inside(test) {
        return body();
    }
    std::thread::scope(|scope| {
        for order in ORDERS {
            scope.spawn(move || inside(test, &[("FAKE_ORDER", order)], body));
        }
    });
}

#[test]
fn cuda_attends_within_documents() {
    in_each_order("cuda_attends_within_documents", &|| {
        documents::agree(&card("cuda"), documents::SHORT, &|number, _| {
            share(number) == 0
        });
    });
}

#[test]
fn cuda_agrees_on_loss_and_gradients_of_every_scheme() {
    in_each_order("cuda_agrees_on_loss_and_gradients_of_every_scheme", &|| {
        step::agree(&card("cuda"), &|number| share(number) == 1);
    });
}

#[test]
fn cuda_trains_and_extrapolates_like_the_processor() {
    in_each_order("cuda_trains_and_extrapolates_like_the_processor", &|| {
        training::agree(&card("cuda"), &|number, _| share(number) == 2);
    });
}

#[test]
fn cuda_rounds_products_as_its_name_says() {
    inside("cuda_rounds_products_as_its_name_says", &[], &|| {
        // TF32 has the first of these numbers, bf16 neither.
        let (x, y) = (1.0 + 2f32.powi(-9), 1.0 + 2f32.powi(-12));
        for (name, expected) in [
            ("cuda", [x, y]),
            ("cuda+tf32", [x, 1.0]),
            ("cuda+bf16", [1.0, 1.0]),
        ] {
            let device = card(name);
            let of = |values: Vec<f32>, shape: &[usize]| Tensor::from_vec(values, shape, &device);
            let numbers = of(vec![x, y], &[2, 1]).expect("two numbers");
            let one = of(vec![1.0], &[1, 1]).expect("a number");
            let product = numbers.matmul(&one).expect("a product");
            let found = product.to_flat::<f32>().expect("f32 values");
            assert_eq!(found, expected, "{name}");
        }
    });
}

/// Every fourth scheme, each in one order; `FARSPAN_ALL=1` all of them.
fn some(number: usize) -> bool {
    let all = std::env::var_os("FARSPAN_ALL").is_some();
    share(number) == 0 && (all || number.is_multiple_of(4))
}

#[test]
fn cuda_attends_on_tensor_cores() {
    in_each_order("cuda_attends_on_tensor_cores", &|| {
        documents::agree(&card("cuda+bf16"), documents::LONG, &|number, _| {
            some(number)
        });
    });
}

/// One raw score and two: workgroups share the channels of both.
#[test]
fn cuda_sums_wide_heads_on_tensor_cores() {
    let order = [("FAKE_ORDER", "reverse")];
    inside("cuda_sums_wide_heads_on_tensor_cores", &order, &|| {
        documents::agree(&card("cuda+bf16"), documents::WIDE, &|_, id| {
            ["alibi", "rerope"].contains(&id)
        });
    });
}

#[test]
fn cuda_agrees_on_a_step_on_tensor_cores() {
    in_each_order("cuda_agrees_on_a_step_on_tensor_cores", &|| {
        step::agree(&card("cuda+bf16"), &some);
    });
}
