//! Loss and all gradients of one step.

use super::{Sizes, apart, batch, decoder, distance, flat, norm, plans, schemes, sizes};
use farspan::model::Shape;
use farspan_attention::Device;
use farspan_datasets::Batch;
use farspan_pe::{AnyScheme, Len};

/// Loss, implementation, and gradients by name.
type Found = (f64, &'static str, Vec<(String, Vec<f64>)>);

fn loss_and_gradients(
    shape: &Shape,
    scheme: &dyn AnyScheme,
    batch: &Batch,
    device: &Device,
) -> farspan::Result<Found> {
    let decoder = decoder(shape, scheme, batch.len, device);
    let ready = decoder.prepare(Len(batch.len), batch.len)?;
    let (loss, implementation) = decoder.loss(batch, &ready)?;
    let gradients = loss.backward()?;
    let found = decoder.weights().iter().map(|(name, weight)| {
        let zeros = || vec![0.0; weight.var.tensor().elem_count()];
        let gradient = gradients.get(&weight.var).map_or_else(zeros, |x| flat(&x));
        (name.clone(), gradient)
    });
    Ok((
        f64::from(loss.to_scalar::<f32>()?),
        implementation,
        found.collect(),
    ))
}

/// What differs between the devices by more than it may.
fn compare(id: &str, scheme: &dyn AnyScheme, device: &Device) -> farspan::Result<Vec<String>> {
    let Sizes {
        shape,
        rows,
        len,
        seed,
    } = sizes();
    let Some((layers, len)) = plans(id, scheme, &shape.geometry, len) else {
        let drawn = std::env::var_os("FARSPAN_SEED").is_some();
        assert!(drawn, "{id} refuses the sizes of this test");
        return Ok(Vec::new());
    };
    let batch = batch(scheme, &shape.geometry, (rows, len), seed);
    let (loss, ran, gradients) = loss_and_gradients(&shape, scheme, &batch, device)?;
    let (expected, usual, exact) = loss_and_gradients(&shape, scheme, &batch, &Device::cpu())?;
    let mut wrong = Vec::new();
    // What kernels know of hooks, they know on the processor alone.
    let mut hooks = layers.iter().flat_map(|plan| &plan.hooks);
    let formed = hooks.any(|hook| hook.has_form()) && (ran, usual) == ("composed", "fused");
    if ran != usual && !formed {
        wrong.push(format!("{id}: ran {ran}, on the processor {usual}"));
    }
    let allowed = apart(device.spec().precision());
    if (loss - expected).abs() > allowed * expected || !loss.is_finite() {
        wrong.push(format!("{id}: loss {loss}, expected {expected}"));
    }
    // A gradient that is zero in theory is rounding on both sides.
    let all = norm(&exact.iter().map(|(_, x)| norm(x)).collect::<Vec<_>>());
    for ((name, found), (_, exact)) in gradients.iter().zip(&exact) {
        let far = distance(found, exact) / (norm(exact) + allowed * all);
        if far > allowed || far.is_nan() {
            wrong.push(format!("{id}: gradient of {name}: {far:.1e} apart"));
        }
    }
    Ok(wrong)
}

/// Holds the schemes whose number `which` takes against the processor.
pub fn agree(device: &Device, which: &dyn Fn(usize) -> bool) {
    let mut wrong = Vec::new();
    for (number, (id, scheme)) in schemes().into_iter().enumerate() {
        if !which(number) {
            continue;
        }
        match compare(id, scheme.as_ref(), device) {
            Ok(found) => wrong.extend(found),
            Err(e) => wrong.push(format!("{id}: {e}")),
        }
    }
    assert!(
        wrong.is_empty(),
        "on {}, {:?}:\n{}",
        device.note(),
        sizes(),
        wrong.join("\n")
    );
}
