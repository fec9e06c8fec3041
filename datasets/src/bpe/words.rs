//! Cutting text into the words that byte pairs are merged in, quickly where the text is ASCII.
//!
//! The rule is GPT-2's pattern, which the `tokenizers` crate applies in its byte-level splitter:
//!
//! ```text
//! 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//! ```

/// Pieces that are looked at on their own are at least this long, bytes.
const PIECE: usize = 1 << 12;
/// Endings that are words of their own.
const ENDINGS: [&str; 7] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

/// Cuts a text where words end in any case, so that the words of the pieces are the words of the whole: after a line
/// break between two characters that are not blank.
pub(crate) fn pieces(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut at = PIECE;
    while at + 1 < bytes.len() {
        let is_cut = bytes[at] == b'\n'
            && bytes[at - 1].is_ascii_graphic()
            && bytes[at + 1].is_ascii_graphic();
        if is_cut {
            pieces.push(&text[start..=at]);
            start = at + 1;
            at += PIECE;
        } else {
            at += 1;
        }
    }
    pieces.push(&text[start..]);
    pieces
}

/// Words of an ASCII text. Together they are the text.
pub(crate) fn ascii_words(text: &str) -> impl Iterator<Item = &str> {
    debug_assert!(text.is_ascii());
    let mut rest = text;
    std::iter::from_fn(move || {
        let (word, tail) = rest.split_at(word_length(rest)?);
        rest = tail;
        Some(word)
    })
}

#[derive(PartialEq)]
enum Class {
    Blank,
    Letter,
    Digit,
    Sign,
}

fn class(byte: u8) -> Class {
    match byte {
        b'\t'..=b'\r' | b' ' => Class::Blank,
        b'a'..=b'z' | b'A'..=b'Z' => Class::Letter,
        b'0'..=b'9' => Class::Digit,
        _ => Class::Sign,
    }
}

/// Length of the first word; none at the end.
fn word_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let first = *bytes.first()?;
    if let Some(ending) = ENDINGS.iter().find(|ending| text.starts_with(**ending)) {
        return Some(ending.len());
    }
    let run = |from: usize, wanted: Class| {
        from + bytes[from..]
            .iter()
            .take_while(|byte| class(**byte) == wanted)
            .count()
    };
    let start = usize::from(first == b' ');
    match bytes.get(start).map(|byte| class(*byte)) {
        Some(Class::Blank) | None => {
            // The last blank before a word goes with the word, or at least not with the blanks before it.
            let end = run(0, Class::Blank);
            Some(if end < bytes.len() && end > 1 {
                end - 1
            } else {
                end
            })
        }
        Some(wanted) => Some(run(start, wanted)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

    #[test]
    fn words_are_those_of_the_crate() {
        let mut stream = Stream::new(0, "words");
        let parts = [
            "a", "s", "t", "re", "ll", "d", "m", "'ve", "'", "''", " ", "  ", "\n", "\t", "\r",
            "\u{b}", "\u{1c}", "\u{0}", "7", "42", "_", "(", "::", "-",
        ];
        for _ in 0..20_000 {
            let n = stream.below(12);
            let text: String = (0..n)
                .map(|_| parts[stream.below(parts.len() as u64) as usize])
                .collect();
            let mut split = PreTokenizedString::from(text.as_str());
            ByteLevel::new(false, true, true)
                .pre_tokenize(&mut split)
                .unwrap();
            let expected: Vec<&str> = split
                .get_splits(OffsetReferential::Original, OffsetType::Byte)
                .into_iter()
                .map(|(_, (from, to), _)| &text[from..to])
                .collect();
            assert_eq!(expected, ascii_words(&text).collect::<Vec<_>>(), "{text:?}");
        }
    }
}
