//! Every scheme on the device that `FARSPAN_PARITY_DEVICE` names, against the processor: for a real card, see
//! `benches/gpu.sh`. Without the variable there is nothing to hold against.

use farspan_acceptance::parity::{documents, step};
use farspan_attention::Device;

#[test]
fn a_device_that_is_named_agrees() {
    let Ok(name) = std::env::var("FARSPAN_PARITY_DEVICE") else {
        return eprintln!("skipped: FARSPAN_PARITY_DEVICE names no device");
    };
    let device = Device::open(&name).expect("the device that is named");
    eprintln!("on {}", device.note());
    documents::agree(&device, documents::LONG, &|_, _| true);
    step::agree(&device, &|_| true);
}
