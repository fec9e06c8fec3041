//! `Card`: what a scheme is called, where it comes from and what it needs.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a scheme is, for people: tables, legends, reports, `explain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Card {
    /// Full name.
    pub title: &'static str,
    /// Where it was published.
    pub paper: Paper,
    /// What kind of scheme it is.
    pub family: Family,
    /// The idea in one sentence.
    pub idea: &'static str,
    /// The defining formula in plain text, where the score of the plan alone does not say it (frequencies, tables).
    pub formula: &'static str,
    /// The same in LaTeX (maths mode).
    pub latex: &'static str,
    /// What must be there before it can be used.
    pub needs: Needs,
    /// Whether it reads ids that some tasks give their tokens.
    pub task_ids: bool,
    /// Whether its formula could not be confirmed from the paper or the authors' code.
    pub experimental: bool,
}

impl Card {
    /// A card to fill in with `..Card::BLANK`: unpublished, trained from scratch, of the bias family.
    pub const BLANK: Card = Card {
        title: "",
        paper: Paper {
            authors: "unpublished",
            year: 0,
            arxiv: "",
            section: "",
        },
        family: Family::Bias,
        idea: "",
        formula: "",
        latex: "",
        needs: Needs::Scratch,
        task_ids: false,
        experimental: false,
    };

    /// Whether extensions of this family read weights that were trained under the scheme.
    #[must_use]
    pub fn is_base_of(&self, family: Family) -> bool {
        self.needs == Needs::Scratch && self.family.extended_as() == family
    }
}

/// A publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Paper {
    /// `Press et al.`
    pub authors: &'static str,
    /// Year of the first version; 0 if unpublished.
    pub year: u16,
    /// arXiv id, `2108.12409`; empty if there is none.
    pub arxiv: &'static str,
    /// Section that defines the scheme, `3`; empty if the whole paper does.
    pub section: &'static str,
}

impl fmt::Display for Paper {
    /// `Press et al. 2021, arXiv 2108.12409, section 3`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.authors)?;
        if self.year != 0 {
            write!(f, " {}", self.year)?;
        }
        if !self.arxiv.is_empty() {
            write!(f, ", arXiv {}", self.arxiv)?;
        }
        if !self.section.is_empty() {
            write!(f, ", section {}", self.section)?;
        }
        Ok(())
    }
}

/// What kind of scheme, in the order in which lists show them: one folder of this crate each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Family {
    /// Rotates queries and keys.
    Rotary,
    /// Rotates them by other distances than those between tokens.
    Remap,
    /// Adds to scores what follows from the positions alone.
    Bias,
    /// Lets queries and keys meet vectors of their distance.
    Relative,
    /// Reads content: what stands in the text moves positions or scores.
    Content,
    /// Gives each position a vector of its own.
    Absolute,
    /// Differs from layer to layer.
    Layerwise,
    /// Lies in how a model is trained.
    Training,
    /// No positional encoding.
    None,
    /// Sharpens all scores of a query alike, by how many tokens there are.
    Scaling,
    /// What a config defines.
    Custom,
}

impl Family {
    /// All, in the order in which lists show them.
    pub const ALL: [Family; 11] = [
        Family::Rotary,
        Family::Remap,
        Family::Bias,
        Family::Relative,
        Family::Content,
        Family::Absolute,
        Family::Layerwise,
        Family::Training,
        Family::None,
        Family::Scaling,
        Family::Custom,
    ];

    /// The family that a trained scheme of this one belongs to for whoever extends it: where it sees positions, layers that
    /// differ rotate, and a temperature leaves scores without any.
    fn extended_as(self) -> Family {
        match self {
            Family::Layerwise => Family::Rotary,
            Family::Scaling => Family::None,
            family => family,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::Rotary => "rotary",
            Family::Remap => "remap",
            Family::Bias => "bias",
            Family::Relative => "relative",
            Family::Content => "content",
            Family::Absolute => "absolute",
            Family::Layerwise => "layerwise",
            Family::Training => "training",
            Family::None => "none",
            Family::Scaling => "scaling",
            Family::Custom => "custom",
        })
    }
}

/// What a scheme must be given before it can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Needs {
    /// Nothing: a model is trained under it from scratch.
    Scratch,
    /// Weights trained under a scheme of this family that itself needs nothing: an extension.
    Base(Family),
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Needs::Scratch => f.write_str("training from scratch"),
            Needs::Base(family) => write!(f, "a trained base of the {family} family"),
        }
    }
}
