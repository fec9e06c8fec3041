//! How wide a text is in the figure font, so that legends and labels can be laid out before anything is drawn.

/// Advances of U+0020 to U+007E in Inter Regular (version 3.019), in thousandths of the font size.
const REGULAR: [u16; 95] = [
    281, 278, 403, 631, 638, 812, 639, 222, 362, 362, 500, 659, 280, 460, 276, 357, 625, 464, 605,
    636, 642, 608, 624, 571, 616, 624, 276, 280, 659, 659, 659, 507, 936, 676, 651, 727, 719, 598,
    587, 743, 740, 264, 543, 652, 562, 889, 753, 761, 635, 761, 639, 638, 642, 741, 676, 949, 642,
    665, 625, 362, 357, 362, 469, 452, 497, 564, 621, 558, 621, 582, 361, 609, 591, 237, 237, 544,
    237, 869, 585, 597, 609, 609, 372, 523, 364, 581, 557, 812, 540, 557, 541, 362, 327, 362, 659,
];

/// The bold cut is wider by about this share (mean over the same characters in Inter SemiBold).
const BOLD: f64 = 1.035;

/// Width of `text` at a font size, in the same unit as the size. Characters past ASCII count as wide as an em dash at
/// most, so a label is never wider than this by much.
pub(crate) fn width(text: &str, size: f64, bold: bool) -> f64 {
    let thousandths: f64 = text.chars().map(advance).sum();
    thousandths / 1000.0 * size * if bold { BOLD } else { 1.0 }
}

fn advance(c: char) -> f64 {
    let code = c as usize;
    match c {
        ' '..='~' => f64::from(REGULAR[code - 0x20]),
        '·' => 276.0,
        '×' | '−' | '±' | '≥' | '≤' => 659.0,
        '–' => 500.0,
        '…' => 821.0,
        '\u{a1}'..='\u{3ff}' => 700.0,
        _ => 1000.0,
    }
}

/// `text`, cut with an ellipsis where it would be wider than `room`.
pub(crate) fn fit(text: &str, size: f64, room: f64) -> String {
    if width(text, size, false) <= room {
        return text.to_owned();
    }
    let mut kept: Vec<char> = text.chars().take(200).collect();
    while !kept.is_empty() {
        kept.pop();
        let cut = format!("{}…", kept.iter().collect::<String>().trim_end());
        if width(&cut, size, false) <= room {
            return cut;
        }
    }
    "…".to_owned()
}

/// `text` without characters that XML forbids or that would turn the reading direction: each becomes U+FFFD.
pub(crate) fn clean(text: &str) -> String {
    let forbidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    text.chars()
        .map(|c| if forbidden(c) { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_keeps_the_promise() {
        for room in [5.0, 20.0, 40.0, 80.0] {
            let cut = fit("a rather long name of a scheme", 12.0, room);
            assert!(
                width(&cut, 12.0, false) <= room.max(width("…", 12.0, false)),
                "{cut} in {room}"
            );
        }
        assert_eq!(fit("rope", 12.0, 80.0), "rope");
    }

    #[test]
    fn control_and_direction_marks_are_replaced() {
        assert_eq!(
            clean("a\u{1b}[31mb\u{202e}c\n"),
            "a\u{fffd}[31mb\u{fffd}c\u{fffd}"
        );
    }
}
