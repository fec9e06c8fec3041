//! A shorter way for gradients of variables.
//!
//! candle's backward pass fills a place with zeros for every gradient, adds what an operation gives and writes the sum,
//! also where a variable is used once. Operations of this crate hand gradients of variables over instead.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, TensorId};
use std::cell::RefCell;
use std::collections::HashMap;

thread_local! {
    /// What operations handed over in the backward pass that this thread is in, if it is in one.
    static GIVEN: RefCell<Option<HashMap<TensorId, Tensor>>> = const { RefCell::new(None) };
}

/// The backward pass from `result`, with the gradients that were handed over.
pub(crate) fn backward(result: &Tensor) -> Result<GradStore> {
    let outer = GIVEN.replace(Some(HashMap::new()));
    let found = result.backward();
    let given = GIVEN.replace(outer);
    let mut found = found?;
    for (id, gradient) in given.into_iter().flatten() {
        let sum = match found.get_id(id) {
            Some(other) => other.add(&gradient)?,
            None => gradient,
        };
        found.insert_id(id, sum);
    }
    Ok(found)
}

/// Hands over the gradient of an operand that is a variable; any other operand's comes back, for candle.
pub(crate) fn hand_over(operand: &Tensor, gradient: Tensor) -> Result<Option<Tensor>> {
    if !operand.is_variable() {
        return Ok(Some(gradient));
    }
    GIVEN.with_borrow_mut(|given| {
        let Some(given) = given else {
            return Ok(Some(gradient));
        };
        let sum = match given.remove(&operand.id()) {
            Some(other) => other.add(&gradient)?,
            None => gradient,
        };
        given.insert(operand.id(), sum);
        Ok(None)
    })
}
