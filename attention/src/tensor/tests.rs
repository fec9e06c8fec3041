//! Gradients and errors of the tensor type.

use super::*;

fn row(values: &[f32]) -> Tensor {
    Tensor::from_vec(values.to_vec(), values.len(), &Device::cpu()).unwrap()
}

#[test]
fn softmax_keeps_its_gradient() {
    let x = Var::new(row(&[0.1, -0.4, 1.3])).unwrap();
    let weights = row(&[1.0, 2.0, -1.0]);
    let loss = x
        .tensor()
        .softmax(0)
        .unwrap()
        .mul(&weights)
        .unwrap()
        .sum_all()
        .unwrap();
    let found = loss
        .backward()
        .unwrap()
        .get(&x)
        .unwrap()
        .to_vec1::<f32>()
        .unwrap();
    let p = x.tensor().softmax(0).unwrap().to_vec1::<f32>().unwrap();
    let mean = p[0] + 2.0 * p[1] - p[2];
    for (i, w) in [1.0, 2.0, -1.0].into_iter().enumerate() {
        assert!((found[i] - p[i] * (w - mean)).abs() < 1e-6, "{found:?}");
    }
}

#[test]
fn shape_errors_print_both_sides() {
    let message = row(&[1.0, 2.0]).reshape((3, 1)).unwrap_err().to_string();
    assert!(
        message.contains("2 elements") && message.contains("[3, 1]"),
        "{message}"
    );
    let message = Tensor::from_vec(vec![0f32; 3], 4, &Device::cpu())
        .unwrap_err()
        .to_string();
    assert!(
        message.contains('3') && message.contains("[4]"),
        "{message}"
    );
    let message = row(&[1.0, 2.0]).add(&row(&[1.0])).unwrap_err().to_string();
    assert!(
        message.contains("[2]") && message.contains("[1]"),
        "{message}"
    );
}

#[test]
fn a_variable_is_replaced_in_place_and_its_gradient_has_no_history() {
    let x = Var::new(row(&[1.0, 2.0])).unwrap();
    x.set(&row(&[3.0, 4.0])).unwrap();
    let gradients = x.tensor().sqr().unwrap().backward().unwrap();
    let gradient = gradients.get(&x).unwrap();
    assert_eq!(gradient.to_vec1::<f32>().unwrap(), [6.0, 8.0]);
    assert!(!gradient.tracked());
    let other = Var::new(row(&[1.0])).unwrap();
    assert!(gradients.get(&other).is_none());
}

#[test]
fn embedding_gathers_rows_and_scatters_gradients() {
    let table =
        Var::new(Tensor::from_vec(vec![1f32, 2., 3., 4., 5., 6.], (3, 2), &Device::cpu()).unwrap())
            .unwrap();
    let ids = Tensor::from_vec(vec![2u32, 0, 2], (3, 1), &Device::cpu()).unwrap();
    let rows = table.tensor().embedding(&ids).unwrap();
    assert_eq!(rows.dims(), [3, 1, 2]);
    assert_eq!(rows.to_flat::<f32>().unwrap(), [5., 6., 1., 2., 5., 6.]);
    let gradient = rows.backward().unwrap().get(&table).unwrap();
    assert_eq!(gradient.to_flat::<f32>().unwrap(), [1., 1., 0., 0., 2., 2.]);
}
