//! What attention gives under a plan: values, gradients, causality, independence of neighbours.

use super::bench::{self, Bench};
use super::{LENGTHS, TRAINED, parsed, plans, served, variants::alternatives};
use farspan_attention::attend::Implementation::{Auto, Composed, Naive};
use farspan_attention::expr::Expr;
use farspan_attention::plan::{Embed, Plan, PositionIds, Positions, QkRotation, Rotation, Waves};
use farspan_pe::Registry;
use serde_json::json;
use std::collections::BTreeSet;

/// And a change is seen in what attention gives, in one process: nothing is cached between two settings.
#[test]
fn two_settings_give_two_outputs() {
    let length = 4 * TRAINED;
    let bench = Bench::new(1, length);
    for entry in Registry::builtin().entries() {
        let outputs: Vec<_> = [json!({})]
            .into_iter()
            .chain(alternatives(entry))
            .map(|settings| served(entry.id, parsed(entry, settings).as_ref(), length))
            .map(|plan| plan.map(|plan| bench.forward(&plan, Composed)))
            .collect();
        // A table's number of rows shows only in which lengths it serves.
        let differs = |other: &Option<Vec<f64>>| match (&outputs[0], other) {
            (Some(one), Some(other)) => bench::distance(one, other) > 1e-4,
            (one, other) => one.is_some() != other.is_some(),
        };
        // Those of a table of given ids say how long it is, how it is drawn, and how training moves the ids.
        let plan = served(entry.id, parsed(entry, json!({})).as_ref(), TRAINED);
        let table = |plan: Plan| matches!(plan.position_ids, PositionIds::Given { .. });
        let has_settings = alternatives(entry).next().is_some() && !plan.is_some_and(table);
        assert_eq!(
            outputs[1..].iter().any(differs),
            has_settings,
            "{}",
            entry.id
        );
    }
}

#[test]
fn tensors_agree_with_the_triple_loop() {
    for length in LENGTHS {
        let bench = Bench::new(1, length);
        for (name, plan) in plans(length) {
            let naive = bench.forward(&plan, Naive);
            assert!(naive.iter().all(|x| x.is_finite()), "{name} at {length}");
            for which in [Composed, Auto] {
                // Scores up to some tens in f32.
                let off = bench::distance(&naive, &bench.forward(&plan, which));
                // Where the rounding of the inputs alone moves the output, that of sums and products may do as much.
                let close = off < 2e-5 || off < 2e-5 + 4.0 * bench.unsure(&plan);
                assert!(close, "{name} at {length}, {which}: {off}");
            }
        }
    }
}

#[test]
fn gradients_reach_every_input() {
    let length = 23;
    let bench = Bench::new(2, length);
    // Under some settings of its scheme, every parameter stands off its plateaus.
    let of_scheme = |name: &str, what: &str| {
        let id = name.split_whitespace().next().unwrap_or_default();
        format!("{id}, {what}")
    };
    let (mut plateaus, mut reached) = (BTreeSet::new(), BTreeSet::new());
    for (name, plan) in plans(length) {
        let naive = bench.gradients(&plan, Naive);
        let learned = plan.params.iter().filter(|spec| spec.learned);
        let inputs = ["q", "k", "v"].map(String::from);
        let expected: Vec<String> = inputs
            .into_iter()
            .chain(learned.map(|spec| spec.name.clone()))
            .collect();
        for which in [Composed, Auto] {
            let found = bench.gradients(&plan, which);
            for what in &expected {
                let (a, b) = (&naive[what], &found[what]);
                let finite = a.iter().chain(b).all(|x| x.is_finite());
                assert!(finite, "{name}, {what}, {which}: not finite");
                let largest = a.iter().fold(0.0f64, |m, x| m.max(x.abs()));
                // On a plateau, or where all scores of a query shift alike, there is none.
                let flat = largest <= 1e-6;
                assert!(
                    !flat || bench.effect(&plan, what, 1e-4) < 1e-9,
                    "{name}, {what}: no gradient"
                );
                if flat && bench.effect(&plan, what, 1.0) > 1e-9 {
                    plateaus.insert(of_scheme(&name, what));
                } else {
                    reached.insert(of_scheme(&name, what));
                }
                // Sums over tokens and heads in f32.
                let off = bench::distance(a, b);
                assert!(
                    off < 1e-4 * largest.max(1.0),
                    "{name}, {what}, {which}: {off} of {largest}"
                );
            }
        }
    }
    let dead: Vec<_> = plateaus.difference(&reached).collect();
    assert!(dead.is_empty(), "no gradient under any settings: {dead:?}");
}

#[test]
fn gradients_are_slopes() {
    let bench = Bench::new(1, 11);
    for (name, plan) in plans(11) {
        for (what, slope, difference) in bench.both_gradients(&plan) {
            // Central differences in f64 with a step of 2e-6.
            let off = (slope - difference).abs();
            assert!(
                off < 1e-6 * slope.abs().max(1.0),
                "{name}, {what}: {slope} {difference}"
            );
        }
    }
}

#[test]
fn no_later_token_changes_an_earlier_output() {
    let (length, changed) = (33, 20);
    let (bench, other) = (
        Bench::new(1, length),
        Bench::new(1, length).with_token_changed(changed),
    );
    for (name, plan) in plans(length) {
        for which in [Naive, Composed, Auto] {
            let before = bench.by_token(&bench.forward(&plan, which));
            let after = other.by_token(&other.forward(&plan, which));
            assert_eq!(before[..changed], after[..changed], "{name}, {which}");
            assert_ne!(
                before[changed], after[changed],
                "{name}, {which}: nothing changed"
            );
        }
    }
}

#[test]
fn batch_neighbours_do_not_matter() {
    let length = 19;
    let (alone, together) = (Bench::new(1, length), Bench::new(3, length));
    for (name, plan) in plans(length) {
        for which in [Naive, Composed, Auto] {
            let (a, b) = (alone.forward(&plan, which), together.forward(&plan, which));
            // The order of sums inside a matrix product may depend on its size.
            let off = bench::distance(&a, &b[..a.len()]);
            assert!(off < 1e-6, "{name}, {which}: {off}");
        }
    }
}

/// Whether the plan says that scores depend on positions through their difference alone.
fn claims_shift_invariance(plan: &Plan) -> bool {
    let own = |side: &Rotation, position: Expr| {
        side.position == Positions::All(position) && !matches!(side.waves, Waves::Mixed(_))
    };
    let turn = |turn: &QkRotation| own(&turn.query, Expr::Query) && own(&turn.key, Expr::Key);
    plan.rotations.iter().all(turn)
        && plan.hooks.is_empty()
        && plan.position_ids == PositionIds::Index
        && plan.embed == Embed::Nothing
        && plan.query_scale.is_none()
        && plan.score.is_shift_invariant()
}

#[test]
fn shift_invariance_is_kept_where_it_is_claimed() {
    let (length, shift) = (17, 100);
    let bench = Bench::new(1, length);
    let mut claimed = 0;
    for (name, plan) in plans(length + shift)
        .into_iter()
        .filter(|(_, plan)| claims_shift_invariance(plan))
    {
        for which in [Naive, Composed, Auto] {
            let here = bench.forward(&plan, which);
            let off = bench::distance(&here, &bench.forward_at(&plan, which, shift));
            // Angles of a hundred radians, cast to f32 after the cosine.
            assert!(off < 2e-5, "{name}, {which}: {off}");
        }
        claimed += 1;
    }
    assert!(claimed > 40, "{claimed} claims");
}
