//! Feed-forward blocks of which a router picks a few for each token (Shazeer et al. 2017, arXiv 1701.06538, section 2;
//! Fedus et al. 2021, arXiv 2101.03961), with what later models have added to the rule.
//!
//! Which experts a token goes to is no function that can be differentiated: the router's logits are read back once per
//! layer. Rows are gathered by expert, and gathered back; both have gradients, and so have the weights of the sum.

use super::Decoder;
use super::forward::Forward;
use super::parts::{Part, Spot};
use crate::Result;
use farspan_attention::{Tensor, ops};
use serde::{Deserialize, Serialize};

/// Experts of the layers that have any.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Experts {
    /// Which layers have them; the others have one block that sees all tokens.
    pub layers: Vec<bool>,
    /// How many there are in a layer.
    pub count: usize,
    /// How many a token goes to.
    pub chosen: usize,
    /// Hidden width of each.
    pub hidden: usize,
    /// Which those are, and what their outputs weigh.
    pub routing: Routing,
    /// Whether the router adds a bias, which takes part in choice and weights.
    pub router_bias: bool,
    /// Hidden width of a block that all tokens go through as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<usize>,
    /// Whether a sigmoid of the input multiplies the output of that block.
    pub shared_gate: bool,
}

/// From the logits of a token's experts to those that it goes to, and their weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Routing {
    /// What makes scores of logits.
    pub scores: Scores,
    /// Whether the weights of a token are divided by their sum.
    pub normalised: bool,
    /// Multiplies the weights.
    pub scale: f64,
    /// Choice within the best groups only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Groups>,
    /// Whether the weight multiplies what an expert reads, and not what it gives.
    pub on_input: bool,
}

/// What makes scores of a token's logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scores {
    /// Softmax over all experts.
    Softmax,
    /// Sigmoid of each.
    Sigmoid,
    /// The same, to which for the choice alone a number per expert is added that no gradient moves (DeepSeek-V3,
    /// arXiv 2412.19437, section 2.1.2).
    Corrected,
}

/// Neighbouring experts as groups, of which the best are looked at (DeepSeek-V2, arXiv 2405.04434, section 2.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Groups {
    /// How many there are.
    pub count: usize,
    /// How many are looked at.
    pub chosen: usize,
    /// A group is as good as the sum of so many of its best scores.
    pub by: usize,
}

impl Experts {
    /// Whether the numbers go together in a decoder of so many layers.
    pub(crate) fn fits(&self, layers: usize) -> bool {
        let (count, chosen) = (self.count, self.chosen);
        let inside = |groups: &Groups| {
            let divides = (1..=count).contains(&groups.count) && count.is_multiple_of(groups.count);
            divides && {
                let size = count / groups.count;
                let open = (1..=groups.count).contains(&groups.chosen);
                open && (1..=size).contains(&groups.by) && groups.chosen * size >= chosen
            }
        };
        let sizes = (1..=count).contains(&chosen) && self.hidden > 0 && self.shared != Some(0);
        let gate = !self.shared_gate || self.shared.is_some();
        let groups = self.routing.groups.as_ref().is_none_or(inside);
        self.layers.len() == layers && sizes && gate && groups
    }
}

impl Routing {
    /// The usual rule: softmax, whose weights add up to 1 where `normalised`.
    pub fn softmax(normalised: bool) -> Routing {
        Routing {
            scores: Scores::Softmax,
            normalised,
            scale: 1.0,
            groups: None,
            on_input: false,
        }
    }

    /// The `n` experts that a token with these `logits` goes to, the best first; `correction` is there if it is needed.
    fn choice(&self, logits: &[f32], correction: &[f32], n: usize) -> Vec<u32> {
        let scores: Vec<f32> = match self.scores {
            // Both functions keep the order of logits, which have more digits where a sigmoid saturates.
            Scores::Softmax | Scores::Sigmoid => logits.to_vec(),
            Scores::Corrected => {
                let pairs = logits.iter().zip(correction);
                pairs.map(|(x, by)| 1.0 / (1.0 + (-x).exp()) + by).collect()
            }
        };
        let all = 0..scores.len();
        let Some(groups) = self.groups else {
            return best(all, &scores, n);
        };
        let size = scores.len() / groups.count;
        let of_group: Vec<f32> = scores
            .chunks_exact(size)
            .map(|group| {
                let best = best(0..size, group, groups.by);
                best.iter().map(|&i| group[i as usize]).sum()
            })
            .collect();
        let open = best(0..groups.count, &of_group, groups.chosen);
        let inside = all.filter(|i| open.contains(&((i / size) as u32)));
        best(inside, &scores, n)
    }

    /// Weights of the `chosen`, both (tokens, so many of each).
    fn weights(&self, logits: &Tensor, chosen: &Tensor) -> Result<Tensor> {
        let weights = match (self.scores, self.normalised) {
            // The sum over the others cancels.
            (Scores::Softmax, true) => logits.gather(chosen, 1)?.softmax(1)?,
            (Scores::Softmax, false) => logits.softmax(1)?.gather(chosen, 1)?,
            (Scores::Sigmoid | Scores::Corrected, false) => sigmoid(&logits.gather(chosen, 1)?)?,
            (Scores::Sigmoid | Scores::Corrected, true) => {
                let scores = sigmoid(&logits.gather(chosen, 1)?)?;
                scores.broadcast_div(&scores.sum_keepdim(1)?.affine(1.0, 1e-20)?)?
            }
        };
        Ok(match self.scale {
            1.0 => weights,
            scale => weights.affine(scale, 0.0)?,
        })
    }
}

/// The `n` largest among `places` of `scores`, the largest first; of equal ones the first.
fn best(places: impl Iterator<Item = usize>, scores: &[f32], n: usize) -> Vec<u32> {
    let mut places: Vec<u32> = places.map(|place| place as u32).collect();
    places.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
    places.truncate(n);
    places
}

/// σ(x), without a difference of large numbers at either end.
fn sigmoid(x: &Tensor) -> Result<Tensor> {
    let small = x.abs()?.neg()?.exp()?;
    Ok(x.minimum(0.0)?.exp()?.div(&small.affine(1.0, 1.0)?)?)
}

impl Decoder {
    /// The experts of a layer.
    pub(super) fn experts(&self, layer: usize) -> Option<&Experts> {
        let experts = self.architecture.experts.as_ref();
        experts.filter(|experts| experts.layers[layer])
    }
}

impl Forward<'_> {
    /// What the experts of a layer make of `h` (rows, len, width).
    pub(super) fn experts(&self, h: &Tensor, layer: usize, experts: &Experts) -> Result<Tensor> {
        let at = |part| Spot::of(layer, part);
        let width = h.dim(2)?;
        let tokens = h.elem_count() / width;
        let x = h.reshape((tokens, width))?;
        let logits = self.linear(&x, at(Part::Router))?;
        let correction = match experts.routing.scores {
            Scores::Corrected => self.weight(at(Part::Correction))?.to_vec1::<f32>()?,
            Scores::Softmax | Scores::Sigmoid => Vec::new(),
        };
        let rows = logits.detach().to_vec2::<f32>()?;
        let choice = |row: &Vec<f32>| experts.routing.choice(row, &correction, experts.chosen);
        let chosen: Vec<u32> = rows.iter().flat_map(choice).collect();
        let shape = (tokens, experts.chosen);
        let ids = Tensor::from_vec(chosen.clone(), shape, &x.device())?;
        let weights = experts.routing.weights(&logits, &ids)?;

        let mut outputs = Vec::new();
        // Row of the outputs of each place of a token.
        let mut row = vec![0; chosen.len()];
        let mut filled = 0;
        for expert in 0..experts.count {
            let of_expert = |place: &usize| chosen[*place] as usize == expert;
            let places: Vec<usize> = (0..chosen.len()).filter(of_expert).collect();
            if places.is_empty() {
                continue;
            }
            for place in &places {
                row[*place] = filled;
                filled += 1;
            }
            let of_token = |place: &usize| (place / experts.chosen) as u32;
            let ids: Vec<u32> = places.iter().map(of_token).collect();
            let mut read = ops::embed(&x, &ids, &[ids.len()])?;
            if experts.routing.on_input {
                let flat = weights.reshape((chosen.len(), 1))?;
                let places: Vec<u32> = places.iter().map(|place| *place as u32).collect();
                read = read.broadcast_mul(&ops::embed(&flat, &places, &[places.len()])?)?;
            }
            let [up, down] = [Part::ExpertUp(expert), Part::ExpertDown(expert)].map(at);
            outputs.push(self.block(&read, up, down)?);
        }
        let outputs = Tensor::cat(&outputs.iter().collect::<Vec<_>>(), 0)?;
        let mut given = ops::embed(&outputs, &row, &[tokens, experts.chosen])?;
        if !experts.routing.on_input {
            given = given.broadcast_mul(&weights.unsqueeze(2)?)?;
        }
        let mut sum = given.sum_keepdim(1)?.reshape((tokens, width))?;
        if experts.shared.is_some() {
            let mut shared = self.block(&x, at(Part::SharedUp), at(Part::SharedDown))?;
            if experts.shared_gate {
                let gate = sigmoid(&self.linear(&x, at(Part::SharedGate))?)?;
                shared = shared.broadcast_mul(&gate)?;
            }
            sum = sum.add(&shared)?;
        }
        Ok(sum.reshape(h.dims())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_experts_of_the_best_groups_are_chosen() {
        let logits = [3.0, -9.0, 2.0, 2.5, 1.0, 0.0];
        let by = |groups, correction: &[f32]| {
            let scores = match correction {
                [] => Scores::Softmax,
                _ => Scores::Corrected,
            };
            let routing = Routing {
                scores,
                groups,
                ..Routing::softmax(false)
            };
            routing.choice(&logits, correction, 2)
        };
        assert_eq!(by(None, &[]), [0, 3]);
        let groups = |by| {
            Some(Groups {
                count: 3,
                chosen: 1,
                by,
            })
        };
        // The best single one is in the first group, the best two are the second.
        assert_eq!(by(groups(1), &[]), [0, 1]);
        assert_eq!(by(groups(2), &[]), [3, 2]);
        let correction = [0.0, 0.0, 0.0, 0.0, 9.0, 9.0];
        assert_eq!(by(None, &correction), [4, 5]);
    }
}
