//! Turns and their rotations.

use super::checks::{check_count, check_finite, forbid};
use crate::expr::{Expr, Side};
use crate::plan::{Geometry, Positions, QkRotation, Rotation, Waves};
use crate::{Error, Result};

pub(super) fn check_turn(turn: &QkRotation, geometry: &Geometry, place: &str) -> Result<()> {
    let pairs = turn.query.pairs();
    if turn.key.pairs() != pairs {
        let why = format!("{pairs} pairs for queries, {} for keys", turn.key.pairs());
        return Err(Error::plan(place, why));
    }
    if 2 * pairs > geometry.head_dim {
        let why = format!(
            "{pairs} pairs need {} channels, head_dim is {}",
            2 * pairs,
            geometry.head_dim
        );
        return Err(Error::plan(place, why));
    }
    check_rotation(
        &turn.query,
        Side::Query,
        geometry.heads,
        &format!("{place}.query"),
    )?;
    check_rotation(
        &turn.key,
        Side::Key,
        geometry.kv_heads,
        &format!("{place}.key"),
    )
}

fn check_rotation(rotation: &Rotation, side: Side, heads: usize, place: &str) -> Result<()> {
    check_finite(&format!("{place}.inv_freq"), &rotation.inv_freq)?;
    check_finite(&format!("{place}.amplitude"), &[rotation.amplitude])?;
    check_waves(rotation, heads, place)?;
    let pairs = rotation.pairs();
    let (found, expected, what) = match &rotation.position {
        Positions::All(_) => (1, 1, ""),
        Positions::PerHead(positions) => (positions.len(), heads, "heads"),
        Positions::PerPair(positions) => (positions.len(), pairs, "pairs"),
    };
    if found != expected {
        let why = format!("{found} positions for {expected} {what}");
        return Err(Error::plan(format!("{place}.position"), why));
    }
    let (own, other) = match side {
        Side::Query => ("q and n", Expr::Key),
        Side::Key => ("k and n", Expr::Query),
    };
    rotation.position.all().iter().try_for_each(|position| {
        forbid(
            position,
            &format!("{place}.position"),
            &format!("anything but {own}"),
            &|part| {
                matches!(part, Expr::Raw(_) | Expr::Param(_) | Expr::Lookup { .. })
                    || matches!(part, Expr::Token(..) | Expr::Net { .. })
                    || *part == other
            },
        )
    })
}

fn check_waves(rotation: &Rotation, heads: usize, place: &str) -> Result<()> {
    let place = format!("{place}.waves");
    let frequencies = rotation.inv_freq.len();
    match &rotation.waves {
        Waves::Plain => Ok(()),
        Waves::Growing { rates, origin } => {
            check_finite(&place, rates)?;
            check_finite(&place, &[*origin])?;
            check_count(&place, "rates", frequencies, rates.len())
        }
        Waves::Mixed(mix) => {
            check_finite(&place, &mix.cos)?;
            check_finite(&place, &mix.sin)?;
            check_finite(&place, &[mix.rest.0, mix.rest.1])?;
            check_count(&place, "heads", heads, mix.heads)?;
            let weights = mix.heads * frequencies * mix.mixed;
            check_count(&place, "weights of cosines", weights, mix.cos.len())?;
            check_count(&place, "weights of sines", weights, mix.sin.len())?;
            if mix.mixed > mix.pairs {
                let why = format!("{} pairs mixed of {}", mix.mixed, mix.pairs);
                return Err(Error::plan(place, why));
            }
            if matches!(rotation.position, Positions::PerPair(_)) {
                return Err(Error::plan(
                    place,
                    "mixed pairs have no positions of their own",
                ));
            }
            Ok(())
        }
    }
}
