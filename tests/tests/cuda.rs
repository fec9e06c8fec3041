//! Every scheme on a card of CUDA against the processor, as `wgpu.rs` has it for wgpu: attention over documents, loss and
//! gradients of a step, training and perplexity past the trained length; what goes wrong; the command line.
//!
//! The card is made of C++ (see `fake_cuda.rs`), so that all but the card is what runs elsewhere: the driver, its copies and
//! launches, the text of the kernels. Threads of a block take turns in three orders, so that a missing barrier shows.

use farspan_acceptance::fake_cuda::{self, ORDERS, inside, is_inside};
use farspan_acceptance::parity::{documents, step, training};
use farspan_attention::Device;
use std::path::PathBuf;

#[path = "cuda/commands.rs"]
mod commands;
#[path = "cuda/mishaps.rs"]
mod mishaps;

/// The card, with kernels kept for the next run of the tests.
fn card() -> Device {
    let folder = std::env::var_os("FARSPAN_CACHE").map(PathBuf::from);
    farspan_attention::gpu::keep_kernels(fake_cuda::kernels(&folder.expect("a card")));
    Device::open("cuda").expect("the fake card")
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
        documents::agree(&card(), &|number| share(number) == 0);
    });
}

#[test]
fn cuda_agrees_on_loss_and_gradients_of_every_scheme() {
    in_each_order("cuda_agrees_on_loss_and_gradients_of_every_scheme", &|| {
        step::agree(&card(), &|number| share(number) == 1);
    });
}

#[test]
fn cuda_trains_and_extrapolates_like_the_processor() {
    in_each_order("cuda_trains_and_extrapolates_like_the_processor", &|| {
        training::agree(&card(), &|number, _| share(number) == 2);
    });
}
