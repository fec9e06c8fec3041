//! Where a checkpoint keeps its experts: in tensors of their own, or all of a layer in one.

use crate::model::Experts;
use crate::model::parts::Part;
use std::borrow::Cow;
use std::ops::Range;

/// A family's names of experts and of what belongs to them.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExpertNames {
    pub(super) router: &'static str,
    /// What is added to scores for the choice alone.
    pub(super) correction: &'static str,
    /// Stands before the number of an expert.
    pub(super) experts: &'static str,
    /// Projections of the gate and of what is gated, or both in one.
    pub(super) up: &'static [&'static str],
    pub(super) down: &'static str,
    /// Whether all experts of a layer lie in one tensor, as (in, out).
    pub(super) stacked: bool,
    /// Whether outputs of the gate and of what is gated alternate there.
    pub(super) interleaved: bool,
    /// Stands before the projections of the block that all tokens see.
    pub(super) shared: &'static str,
    pub(super) shared_up: &'static [&'static str],
    pub(super) shared_gate: &'static str,
}

impl ExpertNames {
    /// Those of Qwen, which most families share.
    pub(super) const QWEN: ExpertNames = ExpertNames {
        router: "mlp.gate",
        correction: "mlp.gate.e_score_correction_bias",
        experts: "mlp.experts",
        up: &["gate_proj", "up_proj"],
        down: "down_proj",
        stacked: false,
        interleaved: false,
        shared: "mlp.shared_expert",
        shared_up: &["gate_proj", "up_proj"],
        shared_gate: "mlp.shared_expert_gate",
    };

    /// The names of a part that belongs to experts and has so many rows, and how many of these each holds.
    pub(super) fn stored(&self, part: Part, rows: usize) -> Vec<(Cow<'static, str>, usize)> {
        let one = |name: Cow<'static, str>| vec![(name, rows)];
        let split = |prefix: &str, names: &[&str]| {
            let each = rows / names.len();
            let name = |name: &&str| (Cow::Owned(format!("{prefix}.{name}")), each);
            names.iter().map(name).collect()
        };
        let of = |number: usize| match self.stacked {
            true => self.experts.to_string(),
            false => format!("{}.{number}", self.experts),
        };
        match part {
            Part::Correction => one(self.correction.into()),
            Part::ExpertUp(number) => split(&of(number), self.up),
            Part::ExpertDown(number) => split(&of(number), &[self.down]),
            Part::SharedUp => split(self.shared, self.shared_up),
            Part::SharedDown => split(self.shared, &[self.down]),
            Part::SharedGate => one(self.shared_gate.into()),
            _ => one(self.router.into()),
        }
    }

    /// Which slice of a tensor with all experts a part is.
    pub(super) fn slice(&self, part: Part, experts: Option<&Experts>) -> Option<Stacked> {
        let (number, interleaved) = match part {
            Part::ExpertUp(number) => (number, self.interleaved),
            Part::ExpertDown(number) => (number, false),
            _ => return None,
        };
        let of = experts.filter(|_| self.stacked)?.count;
        Some(Stacked {
            number,
            of,
            interleaved,
        })
    }
}

/// One of the matrices, stored (in, out), or biases, that lie one behind the other in a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stacked {
    /// Which of them.
    pub number: usize,
    /// How many there are.
    pub of: usize,
    /// Whether outputs of the gate and of what is gated alternate; ours are all of the first, then all of the second.
    pub interleaved: bool,
}

impl Stacked {
    /// The shape of the whole tensor, if one of them is `shape` with us.
    pub(super) fn whole(&self, shape: &[usize]) -> Vec<usize> {
        std::iter::once(&self.of)
            .chain(shape.iter().rev())
            .copied()
            .collect()
    }

    /// The numbers of this one among those of the tensor.
    pub(super) fn range(&self, shape: &[usize]) -> Range<usize> {
        let size: usize = shape.iter().product();
        self.number * size..(self.number + 1) * size
    }

    /// Where in the tensor's slice each of our numbers lies.
    fn places(&self, shape: &[usize]) -> impl Iterator<Item = usize> {
        let (out, inner) = (shape[0], shape.get(1).copied().unwrap_or(1));
        let interleaved = self.interleaved;
        let row = move |row: usize| match interleaved {
            true => 2 * (row % (out / 2)) + row / (out / 2),
            false => row,
        };
        (0..out).flat_map(move |r| (0..inner).map(move |column| column * out + row(r)))
    }

    /// The tensor's numbers in our order.
    pub(super) fn ours(&self, shape: &[usize], theirs: &[f32]) -> Vec<f32> {
        self.places(shape).map(|place| theirs[place]).collect()
    }

    /// Our numbers in the tensor's order.
    pub(super) fn theirs(&self, shape: &[usize], ours: &[f32]) -> Vec<f32> {
        let mut theirs = vec![0.0; ours.len()];
        for (place, x) in self.places(shape).zip(ours) {
            theirs[place] = *x;
        }
        theirs
    }
}
