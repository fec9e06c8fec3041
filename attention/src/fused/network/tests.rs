use super::*;
use crate::ops::simd::{Kernel, dispatch};
use crate::testing::noise;

/// The value, and the gradients of the input and of w₁, b₁, w₂, b₂, of one number, as written.
fn direct([w1, b1, w2, b2]: &[Vec<f32>; 4], head: usize, x: f64) -> (f64, f64, [Vec<f64>; 4]) {
    let hidden = w1.len();
    let (mut y, mut slope) = (f64::from(b2[head]), 0.0);
    let mut gradients = [w1, b1, w2, b2].map(|weights| vec![0.0; weights.len()]);
    gradients[3][head] = 1.0;
    for unit in 0..hidden {
        let [w1, b1, w2] = [w1[unit], b1[unit], w2[head * hidden + unit]].map(f64::from);
        let before = w1 * x + b1;
        if before > 0.0 {
            y += w2 * before;
            slope += w2 * w1;
            gradients[0][unit] = w2 * x;
            gradients[1][unit] = w2;
            gradients[2][head * hidden + unit] = before;
        }
    }
    (y, slope, gradients)
}

struct Row<'a> {
    network: &'a Network,
    head: usize,
    x: &'a [f32],
    up: &'a [f32],
    y: &'a mut [f32],
    down: &'a mut [f32],
    waiting: &'a mut [f32],
}

impl Kernel for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (network, head) = (self.network, self.head);
        network.forward(s, head, self.x, self.y);
        network.backward(s, head, (self.x, self.up), self.down, self.waiting);
    }
}

/// Rows of each kind through a network, head by head, against the sum as written.
fn hold(weights: [Vec<f32>; 4], rows: &[Vec<f32>]) {
    let network = Network::new([0, 1, 2, 3].map(|part| &*weights[part]));
    let mut waiting = network.waiting();
    let mut found = weights.clone().map(|part| vec![0.0; part.len()]);
    let mut expected = found.clone();
    for head in 0..weights[3].len() {
        for (n, x) in rows.iter().enumerate() {
            let up: Vec<f32> = noise(n as u64, x.len()).iter().map(|x| *x as f32).collect();
            let (mut y, mut down) = (vec![0.0; x.len()], vec![1.0; x.len()]);
            dispatch(Row {
                network: &network,
                head,
                x,
                up: &up,
                y: &mut y,
                down: &mut down,
                waiting: &mut waiting,
            });
            for (i, x) in x.iter().enumerate() {
                let (value, slope, gradients) = direct(&weights, head, f64::from(*x));
                let close = |found: f32, expected: f64| {
                    let error = (f64::from(found) - expected).abs();
                    assert!(
                        error < 2e-5 * (1.0 + expected.abs()),
                        "{found} for {expected} at {x}"
                    );
                };
                close(y[i], value);
                close(down[i], 1.0 + slope * f64::from(up[i]));
                for (sums, part) in expected.iter_mut().zip(gradients) {
                    let pairs = sums.iter_mut().zip(part);
                    pairs.for_each(|(sum, x)| *sum += x * f64::from(up[i]));
                }
            }
        }
        network.settle(head, &mut waiting, &mut found);
        assert!(waiting.iter().all(|x| *x == 0.0));
    }
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert!(
            (found - expected).abs() < 1e-4 * (1.0 + expected.abs()),
            "{found} for {expected}"
        );
    }
}

fn rows() -> Vec<Vec<f32>> {
    let row = |from: f32, step: f32| (0..48).map(|i| from + step * i as f32).collect();
    // Across all bends, between two, and at 0 exactly.
    vec![
        row(-2.0, 0.09),
        row(0.31, 1e-4),
        row(0.5, 0.004),
        row(0.0, 0.0),
        row(9.0, -0.2),
    ]
}

fn weights(hidden: usize, heads: usize) -> [Vec<f32>; 4] {
    let draw = |seed, n| noise(seed, n).iter().map(|x| *x as f32).collect();
    [
        draw(1, hidden),
        draw(2, hidden),
        draw(3, heads * hidden),
        draw(4, heads),
    ]
}

#[test]
fn equals_the_sum_over_units() {
    for (hidden, heads) in [(1, 1), (7, 2), (32, 3)] {
        hold(weights(hidden, heads), &rows());
    }
}

#[test]
fn units_that_bend_at_zero_or_never_do_as_written() {
    let [mut w1, mut b1, w2, b2] = weights(12, 2);
    b1[..6].fill(0.0);
    w1[5] = -w1[5];
    w1[6..10].fill(0.0);
    (b1[6], b1[7], b1[8]) = (0.4, -0.4, 0.0);
    hold([w1, b1, w2, b2], &rows());
}

#[test]
fn a_weight_or_input_that_is_no_number_shows() {
    for part in 0..4 {
        let mut weights = weights(3, 1);
        weights[part][0] = f32::NAN;
        let network = Network::new([0, 1, 2, 3].map(|part| &*weights[part]));
        let line = &network.lines[0];
        assert!(
            line.parts
                .iter()
                .all(|(slope, height)| (slope + height).is_nan())
        );
    }
    let weights = weights(3, 1);
    let network = Network::new([0, 1, 2, 3].map(|part| &*weights[part]));
    let (mut y, mut down, mut waiting) = ([0.0; 16], [0.0; 16], network.waiting());
    let mut x = [0.5; 16];
    x[3] = f32::NAN;
    let mut up = [1.0; 16];
    up[3] = 0.0;
    dispatch(Row {
        network: &network,
        head: 0,
        x: &x,
        up: &up,
        y: &mut y,
        down: &mut down,
        waiting: &mut waiting,
    });
    assert!(y[3].is_nan() && y[2].is_finite());
    assert!(down.iter().chain(&waiting).all(|x| x.is_finite()));
}
