//! The two-engine tensor on the device: what it computes elsewhere, and what it refuses.

use super::{close, context};
use crate::{DType, Device, Result, Tensor, Var};

fn device() -> Device {
    Device::from_context(context())
}

/// cos and sin of learned angles at far positions: in f32 they would lose three digits. Gives values and gradients.
fn far_angles(device: &Device) -> Result<[Vec<f32>; 2]> {
    let speeds = Var::new(Tensor::from_vec(vec![1.0f32, 0.37, 0.011], 3, device)?)?;
    let positions = Tensor::from_vec(vec![1.0f64, 4095.0, 70001.0], (3, 1), device)?;
    let wide = speeds.tensor().to_dtype(DType::F64)?;
    let angles = positions.broadcast_mul(&wide)?;
    let cos = angles.cos()?.to_dtype(DType::F32)?;
    let sin = angles.sin()?.to_dtype(DType::F32)?;
    // Both ways home share the angles, and the variable is used here as well.
    let weights = Tensor::from_vec(vec![0.5f32, -1.0, 2.0], 3, device)?;
    let values = cos
        .broadcast_mul(&weights)?
        .add(&sin.sqr()?)?
        .broadcast_add(&speeds.tensor().sqr()?)?;
    let gradient = values.backward()?.get(&speeds).map(|g| g.to_flat());
    Ok([values.to_flat()?, gradient.transpose()?.unwrap_or_default()])
}

#[test]
fn angles_in_f64_visit_the_processor_and_gradients_come_back() {
    let found = far_angles(&device()).unwrap();
    let expected = far_angles(&Device::cpu()).unwrap();
    assert_eq!(found[1].len(), 3);
    for (found, expected) in found.iter().zip(&expected) {
        close(found, expected, 1e-6);
    }
}

#[test]
fn types_and_devices_are_told_and_kept() {
    let x = Tensor::from_vec(vec![0.5f32, -2.0], 2, &device()).unwrap();
    assert_eq!((x.dtype(), x.device()), (DType::F32, device()));
    let wide = x.to_dtype(DType::F64).unwrap();
    assert_eq!((wide.dtype(), wide.device()), (DType::F64, device()));
    assert_eq!(wide.sqr().unwrap().to_vec1::<f64>().unwrap(), [0.25, 4.0]);
    let condition = x.gt(0.0).unwrap();
    assert_eq!(condition.to_vec1::<u32>().unwrap(), [1, 0]);
    let back = wide.to_dtype(DType::F32).unwrap();
    assert!(back.as_traced().is_some());
    let here = back.to_device(&Device::cpu()).unwrap();
    assert_eq!(here.device(), Device::cpu());
    assert_eq!(here.to_vec1::<f32>().unwrap(), [0.5, -2.0]);
    assert_eq!(
        Tensor::full(7u32, 2, &device())
            .unwrap()
            .to_vec1::<u32>()
            .unwrap(),
        [7, 7]
    );
}

#[test]
fn engines_do_not_mix_and_history_does_not_travel() {
    let there = Tensor::ones(2, &device()).unwrap();
    let here = Tensor::ones(2, &Device::cpu()).unwrap();
    let message = there.add(&here).unwrap_err().to_string();
    assert!(
        message.contains(&context().spec().to_string()) && message.contains("cpu"),
        "{message}"
    );
    let var = Var::new(there.clone()).unwrap();
    let message = var
        .tensor()
        .to_device(&Device::cpu())
        .unwrap_err()
        .to_string();
    assert!(message.contains("history"), "{message}");
    let message = var.set(&here).unwrap_err().to_string();
    assert!(message.contains("values on cpu"), "{message}");
    let message = there
        .add(&Tensor::ones(3, &device()).unwrap())
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("[2]") && message.contains("[3]"),
        "{message}"
    );
    let message = there.to_dtype(DType::BF16).unwrap_err().to_string();
    assert!(message.contains("bf16"), "{message}");
}
