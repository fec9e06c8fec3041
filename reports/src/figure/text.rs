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
        '\u{a1}'..='\u{3ff}' | '\u{1e00}'..='\u{1fff}' => 700.0,
        // Cyrillic: the mean of its capitals.
        '\u{400}'..='\u{52f}' => 740.0,
        // An ideograph, or the code point that stands for a character without a glyph.
        _ => 1100.0,
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

/// `text` with every [hidden](hides) character as U+FFFD.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if hides(c) { '\u{fffd}' } else { c })
        .collect()
}

/// Whether a character is not seen itself but changes how others are read, or cannot be written in XML: controls, marks of
/// direction, line separators, invisible spaces and operators, tags. Names must not hold one; what else is shown has
/// U+FFFD in its place.
#[must_use]
pub fn hides(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
        )
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || matches!(
            c,
            '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}' | '\u{ffa0}'
        )
        || matches!(c, '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
        || u32::from(c) & 0xfffe == 0xfffe
        || matches!(c, '\u{fdd0}'..='\u{fdef}')
}

/// Whether a character is not seen but joins, parts or varies its neighbours, as words of some scripts need it.
pub(crate) fn joins(c: char) -> bool {
    matches!(c, '\u{34f}' | '\u{200c}' | '\u{200d}' | '\u{180b}'..='\u{180d}' | '\u{fe00}'..='\u{fe0f}')
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
        for c in
            "\u{0}\u{7f}\u{85}\u{200b}\u{200e}\u{2028}\u{2066}\u{2069}\u{feff}\u{fffe}\u{e0041}"
                .chars()
        {
            assert!(hides(c), "{:x}", u32::from(c));
        }
        for c in "aé旋ع ‌‍\u{fe0f}\u{fffd}\u{a0}😀".chars() {
            assert!(!hides(c), "{:x}", u32::from(c));
        }
    }
}
