//! Numbers and lists as words.

use crate::stats::{Estimate, Interval};

/// Three significant digits, as people write them.
pub(super) fn number(x: f64) -> String {
    match x.abs() {
        _ if x.is_nan() => "not a number".into(),
        a if a.is_infinite() => "infinite".into(),
        a if a >= 99_999.5 => format!("{x:.1e}"),
        a if a >= 99.95 => format!("{x:.0}"),
        a if a >= 9.995 => format!("{x:.1}"),
        _ => format!("{x:.2}"),
    }
}

/// With its sign, and enough digits for small differences.
pub(super) fn signed(x: f64) -> String {
    let text = if x.abs() < 0.0995 {
        format!("{:.3}", x.abs())
    } else {
        number(x.abs())
    };
    let zero = text.chars().all(|c| "0.".contains(c));
    match x {
        _ if zero => text,
        x if x < 0.0 => format!("−{text}"),
        _ => format!("+{text}"),
    }
}

/// ` [a, b]`, or nothing.
pub(super) fn bracket(interval: Option<Interval>, format: impl Fn(f64) -> String) -> String {
    interval.map_or_else(String::new, |i| {
        format!(" [{}, {}]", format(i.low), format(i.high))
    })
}

/// `97% [93%, 99%]`.
pub(super) fn percent(share: Estimate) -> String {
    let one = |x: f64| format!("{:.0}%", 100.0 * x);
    format!("{}{}", one(share.value), bracket(share.interval, one))
}

/// With a small first letter, unless it begins an abbreviation.
pub(crate) fn small(title: &str) -> String {
    let mut letters = title.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if !second.is_uppercase() && !second.is_ascii_digit() => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => title.to_string(),
    }
}

/// Items that a sentence holds; tables have the rest.
const MOST: usize = 12;

/// `a, b and c`.
pub(super) fn joined(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        many if many.len() > MOST => {
            let more = many.len() - MOST;
            format!("{} and {more} more", many[..MOST].join(", "))
        }
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
