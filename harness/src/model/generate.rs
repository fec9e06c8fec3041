//! Text that goes on, token by token.

use super::{Cache, Decoder};
use crate::{Error, Result};
use farspan_datasets::rng::Stream;

/// How the next token is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Choice {
    /// The most likely one; of equal ones the lowest id.
    Greedy,
    /// By chance, after division of the logits by `temperature`, among the `among` most likely.
    Sampled {
        /// Above 0.
        temperature: f64,
        /// At least 1.
        among: usize,
    },
}

/// Runs `prompt` in pieces of `chunk` tokens and appends `tokens` more; `each` is told of every new one, and ends the
/// text with `false`. Every step gives what a reading of the whole text so far would give (see [`Cache`]).
pub fn generate(
    model: &Decoder,
    prompt: &[u32],
    tokens: usize,
    choice: Choice,
    (seed, chunk): (u64, usize),
    mut each: impl FnMut(u32) -> Result<bool>,
) -> Result<Vec<u32>> {
    let mut stream = Stream::new(seed, "generate");
    let mut ids = prompt.to_vec();
    let mut cache = Cache::default();
    let chunk = model.chunk(chunk, prompt.len().max(1))?;
    let mut last = None;
    for piece in prompt.chunks(chunk) {
        let hidden = model.read(piece, &mut cache, prompt.len())?;
        last = Some(hidden.narrow(0, piece.len() - 1, 1)?.contiguous()?);
    }
    let mut hidden =
        last.ok_or_else(|| Error::Data("expected a prompt of at least one token".into()))?;
    for step in 0..tokens {
        if step > 0 {
            let newest = &ids[ids.len() - 1..];
            hidden = model.read(newest, &mut cache, ids.len())?;
        }
        let logits = model.logits(&hidden)?.to_flat::<f32>()?;
        let id = pick(&logits, choice, &mut stream)?;
        ids.push(id);
        if !each(id)? {
            break;
        }
    }
    Ok(ids)
}

fn pick(logits: &[f32], choice: Choice, stream: &mut Stream) -> Result<u32> {
    if let Some(at) = logits.iter().position(|x| x.is_nan()) {
        return Err(Error::Data(format!("the logit of token {at} is NaN")));
    }
    let mut order: Vec<usize> = (0..logits.len()).collect();
    // Stable: of equal logits the lowest id comes first.
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    let Choice::Sampled { temperature, among } = choice else {
        return Ok(order[0] as u32);
    };
    order.truncate(among.max(1));
    let top = f64::from(logits[order[0]]);
    let weight = |&id: &usize| ((f64::from(logits[id]) - top) / temperature).exp();
    let sum: f64 = order.iter().map(weight).sum();
    let mut left = stream.uniform() * sum;
    for id in &order {
        left -= weight(id);
        if left < 0.0 {
            return Ok(*id as u32);
        }
    }
    // Rounding may leave a crumb behind the last one.
    Ok(order[order.len() - 1] as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_draws_follow_the_softmax() {
        let logits = [0.0, 2f32.ln(), 4f32.ln(), -1.0];
        let mut stream = Stream::new(1, "test");
        let mut counts = [0f64; 4];
        let choice = Choice::Sampled {
            temperature: 1.0,
            among: 3,
        };
        for _ in 0..7000 {
            counts[pick(&logits, choice, &mut stream).unwrap() as usize] += 1.0;
        }
        for (count, share) in counts.iter().zip([1.0, 2.0, 4.0, 0.0]) {
            // Four standard deviations of a binomial count.
            assert!((count - 1000.0 * share).abs() < 170.0, "{counts:?}");
        }
        assert_eq!(counts[3], 0.0);
        let cold = Choice::Sampled {
            temperature: 0.01,
            among: 4,
        };
        assert_eq!(pick(&logits, cold, &mut stream).unwrap(), 2);
        assert_eq!(
            pick(&[1.0, 3.0, 3.0], Choice::Greedy, &mut stream).unwrap(),
            1
        );
        assert!(pick(&[1.0, f32::NAN], Choice::Greedy, &mut stream).is_err());
    }
}
