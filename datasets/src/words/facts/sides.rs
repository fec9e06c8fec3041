//! Places on a grid, and what lies on which side of what.

use super::story::{Asked, PLACES};
use crate::rng::Stream;

const SIDES: [(&str, i32, i32); 4] = [
    ("north", 0, 1),
    ("south", 0, -1),
    ("east", 1, 0),
    ("west", -1, 0),
];

/// A path of places on a grid, each beside one before; so on each side of a place lies at most one.
pub(super) fn sides(rng: &mut Stream, facts: usize) -> (Vec<String>, Asked) {
    assert!(
        facts < PLACES.len(),
        "{facts} steps between {} places",
        PLACES.len()
    );
    let order = rng.choose_distinct(PLACES.len(), facts + 1);
    let mut at = vec![(0_i32, 0_i32)];
    // (what lies, side, of what)
    let mut told: Vec<(usize, usize, usize)> = Vec::new();
    while told.len() < facts {
        let from = rng.below(at.len() as u64) as usize;
        let side = rng.below(4) as usize;
        let (_, east, north) = SIDES[side];
        let next = (at[from].0 + east, at[from].1 + north);
        if at.contains(&next) {
            continue;
        }
        let (old, new) = (order[from], order[at.len()]);
        at.push(next);
        // Said from either end: north of is the other way round south of.
        told.push(match rng.below(2) {
            0 => (new, side, old),
            _ => (old, side ^ 1, new),
        });
    }
    rng.shuffle(&mut told);
    let fact = rng.below(told.len() as u64) as usize;
    let (what, side, of) = told[fact];
    let (subject, side, object) = (PLACES[what], SIDES[side].0, PLACES[of]);
    let asked = match rng.below(2) {
        0 => Asked {
            question: format!("What is {side} of the {object}?"),
            beginning: format!("{} of the {object} is the", capital(side)),
            answer: subject,
            deciding: vec![fact],
        },
        _ => Asked {
            question: format!("What is the {subject} {side} of?"),
            beginning: format!("The {subject} is {side} of the"),
            answer: object,
            deciding: vec![fact],
        },
    };
    let says = |&(what, side, of): &(usize, usize, usize)| {
        format!(
            "The {} is {} of the {}.",
            PLACES[what], SIDES[side].0, PLACES[of]
        )
    };
    (told.iter().map(says).collect(), asked)
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_uppercase() + rest
}
