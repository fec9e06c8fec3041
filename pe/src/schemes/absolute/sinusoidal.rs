//! Sinusoidal embeddings add a fixed vector of sines and cosines of the position to the token embeddings.
//!
//! x_i + scale·PE(i);  with n = width/2:  sin(i·w_m) and cos(i·w_m), w_m = b^(−m/n)
//!
//! Paper: Vaswani et al. 2017, arXiv 1706.03762, section 3.5.
//!
//! Code: three conventions circulate. The paper alternates sine and cosine; Transformer-XL, GPT-NeoX and DeepMind put
//! all sines first; Tensor2Tensor and fairseq do so too and divide the exponent by n − 1, not n. The paper's model
//! multiplies token embeddings by √width before the sum, the sinusoid stays as it is; a decoder without that factor
//! can set `scale` to get the same proportion.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check, check_model};
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Embed, Geometry, Plan, SinusoidLayout};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of sinusoidal embeddings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sinusoidal {
    /// Base b of the frequencies ("maximum timescale").
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
    /// Order of channels and spacing of frequencies.
    pub convention: Convention,
    /// Multiplies the sinusoid.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub scale: f64,
}

/// The conventions of sinusoidal embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Convention {
    /// sin and cos alternate; w_m = b^(−m/n).
    Paper,
    /// All sines, then all cosines; w_m = b^(−m/n).
    TransformerXl,
    /// All sines, then all cosines; w_m = b^(−m/(n−1)).
    Tensor2tensor,
}

impl Default for Sinusoidal {
    fn default() -> Sinusoidal {
        Sinusoidal {
            base: 10000.0,
            convention: Convention::Paper,
            scale: 1.0,
        }
    }
}

impl Scheme for Sinusoidal {
    const ID: &'static str = "sinusoidal";
    const CARD: Card = Card {
        title: "Sinusoidal",
        paper: Paper {
            authors: "Vaswani et al.",
            year: 2017,
            arxiv: "1706.03762",
            section: "3.5",
        },
        family: Family::Absolute,
        idea: "Add fixed sines and cosines of the position, of geometrically spaced \
               wavelengths, to the embeddings.",
        formula: "PE(i)[2m] = sin(i·w_m), PE(i)[2m+1] = cos(i·w_m), \
                  w_m = b^(-2m/D) (convention = \"paper\")",
        latex: concat!(
            r"\mathrm{PE}(i)_{2m} = \sin(i\,w_m),\ \mathrm{PE}(i)_{2m+1} = \cos(i\,w_m),",
            r"\quad w_m = b^{-2m/D}"
        ),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        check(
            "base",
            self.base,
            "above 1 and finite",
            self.base > 1.0 && self.base.is_finite(),
        )?;
        let holds = self.scale > 0.0 && self.scale.is_finite();
        check("scale", self.scale, "above 0 and finite", holds)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let pairs = model.width / 2;
        let (layout, steps, least) = match self.convention {
            Convention::Paper => (SinusoidLayout::Interleaved, pairs, 2),
            Convention::TransformerXl => (SinusoidLayout::Halves, pairs, 2),
            // With a single pair the exponent m/(n − 1) is 0/0.
            Convention::Tensor2tensor => (SinusoidLayout::Halves, pairs.saturating_sub(1), 4),
        };
        let rule = format!("even and at least {least}, for a sine and a cosine per frequency");
        let fits = model.width.is_multiple_of(2) && model.width >= least;
        check_model("width", model.width, &rule, fits)?;
        let inv_freq = (0..pairs)
            .map(|m| self.base.powf(-(m as f64) / steps as f64))
            .collect();
        Ok(Plan {
            embed: Embed::Sinusoid {
                layout,
                inv_freq,
                scale: self.scale,
            },
            ..Plan::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_widths_are_refused() {
        let model = Geometry {
            layers: 1,
            width: 7,
            heads: 1,
            kv_heads: 1,
            head_dim: 4,
            trained_length: 8,
        };
        let error = Scheme::plan(&Sinusoidal::default(), &model, Len(8))
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "width = 7: must be even and at least 2, for a sine and a cosine per frequency"
        );
    }
}
