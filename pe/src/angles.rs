//! Frequencies of the rotary family, in f64.
//!
//! Throughout: d rotated channels make d/2 pairs; pair p turns by θ_p = b^(−2p/d) radians per token, b the base.

use crate::error::{PlanError, check, check_model};
use farspan_attention::plan::{Geometry, Pairing, Plan, QkRotation};
use schemars::JsonSchema;
use std::f64::consts::TAU;

/// θ_p = base^(−2p/dim) in radians per token, for p = 0 … dim/2 − 1 (arXiv 2104.09864, section 3.2.2).
pub fn inv_freq(base: f64, dim: usize) -> Vec<f64> {
    (0..dim / 2)
        .map(|p| base.powf(-2.0 * p as f64 / dim as f64))
        .collect()
}

/// Tokens in one turn, 2π/θ.
pub fn wavelength(inv_freq: f64) -> f64 {
    TAU / inv_freq
}

/// Turns within `length` tokens, length · θ/2π.
pub fn turns(inv_freq: f64, length: usize) -> f64 {
    length as f64 * inv_freq / TAU
}

/// The real-valued pair index that makes `turns` turns within `length` tokens:
/// c(t) = d · ln(L / 2πt) / (2 ln b) (arXiv 2309.00071, appendix; the authors' code).
pub fn pair_with_turns(turns: f64, base: f64, dim: usize, length: usize) -> f64 {
    dim as f64 * (length as f64 / (TAU * turns)).ln() / (2.0 * base.ln())
}

/// The base that interpolates the slowest of `dim`/2 pairs by `stretch` and leaves the fastest alone:
/// b′ = b · stretch^(d/(d−2)). `dim` must be above 2.
pub fn ntk_base(base: f64, stretch: f64, dim: usize) -> f64 {
    base * stretch.powf(dim as f64 / (dim as f64 - 2.0))
}

/// The first pair that makes less than one turn within `trained` tokens, ⌈(d/2)·log_b(L/2π)⌉ (LongRoPE2, arXiv
/// 2502.20082, section 3.1; twice this is the critical dimension of the scaling laws, arXiv 2310.05209, section 3).
pub fn critical_pair(base: f64, dim: usize, trained: usize) -> usize {
    let pair = dim as f64 / 2.0 * (trained as f64 / TAU).ln() / base.ln();
    pair.ceil().max(0.0) as usize
}

/// The base at which the critical pair turns as far in `length` tokens as it did in `trained` under `base`:
/// b^(ln(T/2π) / ln(L/2π)) (arXiv 2310.05209, section 4; LongRoPE2's "NTK"). Both lengths must be above 2π.
pub fn critical_base(base: f64, trained: usize, length: usize) -> f64 {
    let log = |tokens: usize| (tokens as f64 / TAU).ln();
    base.powf(log(length) / log(trained))
}

/// Length up to which a model tuned with `base` extrapolates if its critical dimension is `critical_dim` of `dim`:
/// 2π·b^(d_c/d) (arXiv 2310.05209, section 4).
pub fn extrapolation_limit(base: f64, critical_dim: usize, dim: usize) -> f64 {
    TAU * base.powf(critical_dim as f64 / dim as f64)
}

/// S(m) = Σ_p cos(m·θ_p): how much a key like the query stands out at distance m (arXiv 2405.14591, section 4).
pub fn similarity(inv_freq: &[f64], distance: usize) -> f64 {
    let m = distance as f64;
    inv_freq.iter().map(|theta| (m * theta).cos()).sum()
}

/// The smallest distance below `length` at which [`similarity`] is negative: like keys no longer stand out.
pub fn first_negative(inv_freq: &[f64], length: usize) -> Option<usize> {
    (0..length).find(|&m| similarity(inv_freq, m) < 0.0)
}

/// The smallest base among `points` from 10 to 1000·`length`, evenly spread on a log scale, whose [`similarity`] is
/// nowhere negative below `length` (arXiv 2405.14591, section 4; feasible bases are not an interval, hence no bisection).
/// `None` if there is none on the grid.
pub fn smallest_base(dim: usize, length: usize, points: usize) -> Option<f64> {
    let (low, high) = (10f64.ln(), (1000.0 * length as f64).ln());
    let step = (high - low) / (points.max(2) - 1) as f64;
    // Where one base fails, the next one fails nearly there: looking there first saves most of the work.
    let mut last = 0usize;
    (0..points)
        .map(|i| (low + step * i as f64).exp())
        .find(|&base| {
            let inv_freq = inv_freq(base, dim);
            let near = last.saturating_sub(8)..(last + 64).min(length);
            let failing = near
                .clone()
                .find(|&m| similarity(&inv_freq, m) < 0.0)
                .or_else(|| first_negative(&inv_freq, length));
            last = failing.unwrap_or(last);
            failing.is_none()
        })
}

/// The settings that every scheme of the rotary family has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rotary {
    pub(crate) base: f64,
    pub(crate) pairing: Pairing,
    pub(crate) partial: f64,
}

impl Rotary {
    /// Defaults of all schemes: b = 10000, "rotate half", all channels.
    pub(crate) const DEFAULT: Rotary = Rotary {
        base: 10000.0,
        pairing: Pairing::HalfSplit,
        partial: 1.0,
    };

    /// The defaults at another base.
    pub(crate) const fn of_base(base: f64) -> Rotary {
        Rotary {
            base,
            ..Rotary::DEFAULT
        }
    }

    pub(crate) fn check(&self) -> Result<(), PlanError> {
        check(
            "base",
            self.base,
            "above 1 and finite",
            self.base > 1.0 && self.base.is_finite(),
        )?;
        let whole = self.partial > 0.0 && self.partial <= 1.0;
        check("partial", self.partial, "above 0 and at most 1", whole)
    }

    /// Rotated channels d: the largest whole number not above partial · head_dim, as published code truncates it.
    /// Must be even and at least `least`.
    pub(crate) fn dim(&self, model: &Geometry, least: usize) -> Result<usize, PlanError> {
        // The product of a fraction such as 0.4 may fall short of the whole number that is meant by one rounding.
        let dim = (model.head_dim as f64 * self.partial + 1e-9).floor() as usize;
        let rule = format!(
            "even and at least {least}, for channels turn in pairs (head_dim {}, partial {})",
            model.head_dim, self.partial
        );
        check_model(
            "rotated channels",
            dim,
            &rule,
            dim.is_multiple_of(2) && dim >= least,
        )?;
        Ok(dim)
    }

    /// A plan that is nothing but this rotation.
    pub(crate) fn plan(&self, inv_freq: Vec<f64>, amplitude: f64) -> Plan {
        Plan {
            rotations: vec![QkRotation::rotary(inv_freq, amplitude, self.pairing)],
            ..Plan::default()
        }
    }
}

/// Declares the settings of a scheme that turns queries and keys: the three that all of them have, and its own with
/// their defaults.
macro_rules! rotary_settings {
    (
        $(#[$meta:meta])*
        $name:ident {
            $($(#[$field_meta:meta])* $field:ident: $type:ty = $default:expr,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            /// Base b of the frequencies ("rope_theta"); for an extension, the base scheme's unless set.
            #[schemars(extend("exclusiveMinimum" = 1))]
            pub base: f64,
            /// Which two channels make a pair; for an extension, the base scheme's unless set.
            #[schemars(with = "crate::angles::PairingSchema")]
            pub pairing: farspan_attention::plan::Pairing,
            /// Share of each head's channels that turn, from the first; for an extension, the base scheme's unless set.
            #[schemars(extend("exclusiveMinimum" = 0), range(max = 1))]
            pub partial: f64,
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> $name {
                let crate::angles::Rotary { base, pairing, partial } = crate::angles::Rotary::DEFAULT;
                $name { base, pairing, partial, $($field: $default,)* }
            }
        }

        impl $name {
            /// The settings that all rotations have.
            fn rotary(&self) -> crate::angles::Rotary {
                crate::angles::Rotary {
                    base: self.base,
                    pairing: self.pairing,
                    partial: self.partial,
                }
            }
        }
    };
}
pub(crate) use rotary_settings;

/// The length that weights were trained with: the setting if there is one, else the model's.
pub(crate) fn trained_length(setting: Option<usize>, model: &Geometry) -> Result<usize, PlanError> {
    let length = setting.unwrap_or(model.trained_length);
    check_model("trained_length", length, "at least 1", length >= 1)?;
    Ok(length)
}

/// [`Pairing`] as the settings' schema describes it.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
#[expect(
    dead_code,
    reason = "only its schema is used: the type itself belongs to attention"
)]
pub(crate) enum PairingSchema {
    /// Pair p is channels (p, p + d/2): "rotate half", NeoX, Hugging Face Llama.
    HalfSplit,
    /// Pair p is channels (2p, 2p + 1): RoFormer, GPT-J, Meta Llama.
    Interleaved,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: Geometry = Geometry {
        layers: 1,
        width: 64,
        heads: 1,
        kv_heads: 1,
        head_dim: 192,
        trained_length: 4096,
    };

    fn dim(head_dim: usize, partial: f64) -> Result<usize, PlanError> {
        Rotary {
            partial,
            ..Rotary::DEFAULT
        }
        .dim(&Geometry { head_dim, ..MODEL }, 2)
    }

    #[test]
    fn partial_rotations_count_channels_as_published_code_does() {
        assert_eq!(dim(80, 0.4).unwrap(), 32);
        assert_eq!(dim(192, 1.0 / 3.0).unwrap(), 64);
        assert_eq!(dim(10, 0.29).unwrap(), 2);
        let message = dim(15, 1.0).unwrap_err().to_string();
        assert_eq!(
            message,
            "rotated channels = 15: must be even and at least 2, for channels turn in pairs \
             (head_dim 15, partial 1)"
        );
    }

    #[test]
    fn the_pair_with_t_turns_makes_t_turns() {
        let pair = pair_with_turns(7.0, 10000.0, 64, 4096);
        let frequency = 10000f64.powf(-2.0 * pair / 64.0);
        assert!((turns(frequency, 4096) - 7.0).abs() < 1e-9);
    }
}
