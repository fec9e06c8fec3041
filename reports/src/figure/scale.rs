//! Axes: where a value lies, and which values get a tick.

/// Maps values to 0 (start of the axis) to 1 (its end).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scale {
    /// Equal steps.
    Linear { low: f64, high: f64 },
    /// Equal ratios; both ends above 0.
    Log { low: f64, high: f64 },
}

impl Scale {
    /// A linear axis over `values` with a margin of `pad` of the span at both ends. A span of zero becomes one around it.
    pub(crate) fn linear(values: impl IntoIterator<Item = f64>, pad: f64) -> Scale {
        let (low, high) = ends(values).unwrap_or((0.0, 1.0));
        let span = if high > low {
            high - low
        } else {
            low.abs().max(1.0) * 0.2
        };
        let middle = 0.5 * (low + high);
        let half = 0.5 * (high - low).max(if high > low { 0.0 } else { span });
        Scale::Linear {
            low: middle - half - pad * span,
            high: middle + half + pad * span,
        }
    }

    /// A logarithmic axis over the positive `values`, with a margin. Equal ends become a factor of two around them.
    pub(crate) fn log(values: impl IntoIterator<Item = f64>, pad: f64) -> Scale {
        let (low, high) = ends(values.into_iter().filter(|&v| v > 0.0)).unwrap_or((1.0, 10.0));
        let (low, high) = if high > low * (1.0 + 1e-9) {
            (low, high)
        } else {
            (low / 1.5, high * 1.5)
        };
        let margin = (high / low).powf(pad);
        Scale::Log {
            low: low / margin,
            high: high * margin,
        }
    }

    /// Both ends.
    pub(crate) fn range(self) -> (f64, f64) {
        match self {
            Scale::Linear { low, high } | Scale::Log { low, high } => (low, high),
        }
    }

    /// The place of a value, clamped to the axis.
    pub(crate) fn at(self, value: f64) -> f64 {
        let share = match self {
            Scale::Linear { low, high } => (value - low) / (high - low),
            Scale::Log { low, high } => (value.max(low * 1e-6) / low).ln() / (high / low).ln(),
        };
        if share.is_nan() {
            0.0
        } else {
            share.clamp(0.0, 1.0)
        }
    }

    /// Whether a value lies on the axis (with a little slack for rounding).
    pub(crate) fn holds(self, value: f64) -> bool {
        let (low, high) = self.range();
        let slack = (high - low) * 1e-9;
        value >= low - slack && value <= high + slack
    }

    /// Round values on the axis, about `wanted` of them.
    pub(crate) fn ticks(self, wanted: usize) -> Vec<f64> {
        match self {
            Scale::Linear { low, high } => linear_ticks(low, high, wanted),
            Scale::Log { low, high } => log_ticks(low, high, wanted),
        }
    }
}

/// Smallest and largest finite value.
fn ends(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .into_iter()
        .filter(|v| v.is_finite())
        .fold(None, |found, v| match found {
            None => Some((v, v)),
            Some((low, high)) => Some((v.min(low), v.max(high))),
        })
}

fn linear_ticks(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let rough = (high - low) / wanted.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|m| m * power)
        .find(|&s| s >= rough * 0.999);
    let step = step.unwrap_or(10.0 * power);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

/// Mantissas from sparse to dense; the densest set that still has at most `wanted` ticks is taken.
const MANTISSAS: [&[f64]; 5] = [
    &[1.0],
    &[1.0, 3.0],
    &[1.0, 2.0, 5.0],
    &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0],
    &[1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
];

fn log_ticks(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let on_axis = |mantissas: &[f64]| -> Vec<f64> {
        let all = decades
            .clone()
            .flat_map(|d| mantissas.iter().map(move |m| m * 10f64.powi(d)));
        all.filter(|&v| v >= low * 0.9999 && v <= high * 1.0001)
            .collect()
    };
    let fitting = MANTISSAS
        .iter()
        .map(|m| on_axis(m))
        .filter(|t| t.len() <= wanted.max(2));
    let best = fitting.max_by_key(Vec::len).unwrap_or_default();
    if best.len() >= 3 {
        return best;
    }
    let even = linear_ticks(low, high, wanted.saturating_sub(1));
    let even: Vec<f64> = even.into_iter().filter(|&v| v > 0.0).collect();
    if even.len() > best.len() && even.len() <= wanted + 1 {
        even
    } else {
        best
    }
}

/// A number as short as it can be: 0.5, 12, 1500, 2.5e6.
pub(crate) fn label(value: f64) -> String {
    let size = value.abs();
    let text = match size {
        0.0 => return "0".to_owned(),
        s if !(1e-4..1e7).contains(&s) => return format!("{value:.0e}").replace('-', "−"),
        s if s >= 100.0 => format!("{value:.0}"),
        s if s >= 1.0 => trim(&format!("{value:.2}")),
        _ => trim(&format!("{value:.4}")),
    };
    text.replace('-', "−")
}

fn trim(text: &str) -> String {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_on_the_axis() {
        assert_eq!(
            linear_ticks(0.0, 1.0, 5),
            vec![0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]
        );
        assert_eq!(
            log_ticks(5.5, 60.0, 7),
            vec![7.0, 10.0, 15.0, 20.0, 30.0, 50.0]
        );
        assert_eq!(log_ticks(1.0, 1e6, 7).len(), 7);
        let narrow = log_ticks(6.61, 6.92, 6);
        assert!(
            narrow.len() >= 3 && narrow.iter().all(|v| (6.6..6.93).contains(v)),
            "{narrow:?}"
        );
    }

    #[test]
    fn an_axis_without_extent_still_has_one() {
        for scale in [
            Scale::linear([3.0], 0.05),
            Scale::log([3.0, 3.0], 0.05),
            Scale::linear([0.0], 0.0),
        ] {
            let (low, high) = scale.range();
            assert!(high > low, "{scale:?}");
            assert!(!scale.ticks(5).is_empty(), "{scale:?}");
        }
        assert_eq!(Scale::linear([f64::NAN], 0.0).range(), (0.0, 1.0));
    }

    #[test]
    fn labels_are_short() {
        for (value, expected) in [
            (0.0, "0"),
            (128.0, "128"),
            (16384.0, "16384"),
            (0.25, "0.25"),
            (7.5, "7.5"),
            (-0.02, "−0.02"),
            (2e7, "2e7"),
        ] {
            assert_eq!(label(value), expected);
        }
    }
}
