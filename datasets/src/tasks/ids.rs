//! Ids that a task gives to tokens beside their order, for encodings that read them (Abacus: McLeish et al. 2024, arXiv
//! 2405.17399; position coupling: Cho et al. 2024, arXiv 2405.20671).

use super::AnyTask;
use crate::batch::Batch;

/// Place of a digit in its number, of a symbol in its operand, from 1; 0 for all other tokens.
pub const PLACES: &str = "place";
/// The same id, from 1, for digits of equal significance in operands and answer, for symbols that correspond; 0 for
/// tokens that stand for nothing.
pub const COUPLED: &str = "coupled";

/// Ids of a kind for the fed tokens of windows with one example each (row-major, as the batch), 0 behind its last
/// answer; the task's own words if it gives none.
pub fn given_ids(task: &dyn AnyTask, kind: &str, batch: &Batch) -> Result<Vec<f64>, String> {
    let rows = batch.tokens.chunks(batch.len);
    let mut all = Vec::with_capacity(batch.tokens.len());
    for (row, weights) in rows.zip(batch.weights.chunks(batch.len)) {
        // A token behind the one that the last answer is predicted at only fills the window.
        let fed = weights.iter().rposition(|&w| w > 0.0).map_or(0, |i| i + 1);
        let ids = task.ids(kind, &row[..fed])?;
        assert_eq!(ids.len(), fed, "{}: one id for each token", task.id());
        let rest = std::iter::repeat_n(0, batch.len - fed);
        all.extend(ids.into_iter().chain(rest).map(f64::from));
    }
    Ok(all)
}

/// That a task gives no ids of a kind, and why.
pub fn none<T>(task: &str, kind: &str, why: &str) -> Result<T, String> {
    Err(format!("{task} gives its tokens no ids {kind:?}: {why}"))
}

/// Place of each token in its run of tokens that `counts`, from 1; 0 for the others.
pub(crate) fn runs(tokens: &[u32], counts: impl Fn(u32) -> bool) -> Vec<u32> {
    let mut place = 0;
    let step = |&token: &u32| {
        place = if counts(token) { place + 1 } else { 0 };
        place
    };
    tokens.iter().map(step).collect()
}
