//! A plan's numbers one by one, in f64: what explanations and comparisons with papers need.

use crate::expr::ParamValues;
use crate::plan::{Pairing, Plan, Positions};
use crate::tables::Table;
use crate::{Error, Result};

/// The score of a pair whose raw scores are all 0, at one head: the bias of a score scheme. `n` is the number of
/// positions in use. `params` holds the parameters that are not constants of the plan.
pub fn bias(
    plan: &Plan,
    (head, heads): (usize, usize),
    i: usize,
    j: usize,
    n: usize,
    params: &ParamValues,
) -> Result<f64> {
    let raw = vec![0.0; plan.raw_scores()];
    score(plan, &raw, (head, heads), i, j, n, params)
}

/// The score of a pair with these raw scores, one per turn (at least one).
pub fn score(
    plan: &Plan,
    raw: &[f64],
    (head, heads): (usize, usize),
    i: usize,
    j: usize,
    n: usize,
    params: &ParamValues,
) -> Result<f64> {
    let mut params = params.clone();
    for spec in &plan.params {
        if let Some(values) = spec.constant() {
            params.insert(spec.name.clone(), values);
        }
    }
    crate::naive::score(
        &plan.score,
        raw,
        (i as f64, j as f64, n as f64),
        (head, heads),
        &params,
    )
}

/// Frequencies of turn `turn` in radians per token, of the queries; those of the keys are nearly always the same.
pub fn inv_freq(plan: &Plan, turn: usize) -> Result<&[f64]> {
    match plan.rotations.get(turn) {
        Some(turn) => Ok(&turn.query.inv_freq),
        None => Err(no_turn(plan, turn)),
    }
}

/// The matrix \[head_dim, head_dim\], row-major, that rotates a query vector of head `head` at `position` under turn
/// `turn`, amplitude included. `n` is the number of positions in use.
pub fn rotation_matrix(
    plan: &Plan,
    turn: usize,
    head: usize,
    position: usize,
    n: usize,
    head_dim: usize,
) -> Result<Vec<f64>> {
    let turn = plan
        .rotations
        .get(turn)
        .ok_or_else(|| no_turn(plan, turn))?;
    let pairs = turn.query.pairs();
    if 2 * pairs > head_dim {
        let expected = format!("at least {} for {pairs} pairs", 2 * pairs);
        return Err(Error::Argument {
            what: "head_dim",
            expected,
            found: head_dim.to_string(),
        });
    }
    if let Positions::PerHead(of) = &turn.query.position
        && head >= of.len()
    {
        let expected = format!("below {}", of.len());
        return Err(Error::Argument {
            what: "head",
            expected,
            found: head.to_string(),
        });
    }
    let table = Table::new(&turn.query, position..position + 1, n)?;
    let (cos, sin) = table.row(head, 0);
    let mut matrix = vec![0.0; head_dim * head_dim];
    for channel in 0..head_dim {
        matrix[channel * head_dim + channel] = 1.0;
    }
    for pair in 0..pairs {
        let (a, b) = Pairing::channels(turn.pairing, pair, pairs);
        matrix[a * head_dim + a] = cos[pair];
        matrix[a * head_dim + b] = -sin[pair];
        matrix[b * head_dim + a] = sin[pair];
        matrix[b * head_dim + b] = cos[pair];
    }
    Ok(matrix)
}

fn no_turn(plan: &Plan, turn: usize) -> Error {
    let expected = format!("below {}", plan.rotations.len());
    Error::Argument {
        what: "turn",
        expected,
        found: turn.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::{distance, param, raw};
    use crate::plan::{Init, ParamSpec, QkRotation};

    #[test]
    fn constants_come_from_the_plan() {
        let plan = Plan {
            score: raw() - param("slope") * distance(),
            params: vec![ParamSpec {
                name: "slope".into(),
                shape: vec![2],
                init: Init::Values(vec![0.5, 0.25]),
                learned: false,
                per_layer: false,
                clamp: None,
            }],
            ..Plan::default()
        };
        assert_eq!(
            bias(&plan, (1, 2), 9, 5, 10, &ParamValues::new()).unwrap(),
            -1.0
        );
        let message = bias(&plan, (2, 2), 9, 5, 10, &ParamValues::new())
            .unwrap_err()
            .to_string();
        assert!(message.contains("head 2 of 2"), "{message}");
    }

    #[test]
    fn rotation_matrices_are_orthogonal_times_the_amplitude() {
        let turn = QkRotation::rotary(vec![1.0, 0.3], 1.5, Pairing::Interleaved);
        let plan = Plan {
            rotations: vec![turn],
            ..Plan::default()
        };
        let m = rotation_matrix(&plan, 0, 0, 7, 8, 6).unwrap();
        for a in 0..6 {
            for b in 0..6 {
                let dot: f64 = (0..6).map(|c| m[a * 6 + c] * m[b * 6 + c]).sum();
                let expected = f64::from(u8::from(a == b)) * if a < 4 { 2.25 } else { 1.0 };
                assert!((dot - expected).abs() < 1e-12);
            }
        }
        assert_eq!(inv_freq(&plan, 0).unwrap(), [1.0, 0.3]);
        assert!(inv_freq(&plan, 1).is_err());
    }
}
