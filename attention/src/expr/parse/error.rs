//! What is told of a text that is not an expression.

use std::fmt;

/// Text that is not an expression, and where it stops being one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The whole text.
    pub text: String,
    /// Byte offset of the wrong spot.
    pub at: usize,
    /// What was expected there and what was found.
    pub why: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = self.text.split_at(self.at);
        let column = before.chars().count() + 1;
        writeln!(f, "expression, column {column}: {}", self.why)?;
        // One line, so that the caret stands under its character.
        let mut line: String = match before.char_indices().rev().nth(SHOWN) {
            Some((start, c)) => format!("…{}", &before[start + c.len_utf8()..]),
            None => before.into(),
        };
        let caret = line.chars().count();
        line.push_str(&shortened(after, SHOWN));
        let line: String = line
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        write!(f, "  {line}\n  {:caret$}^", "")
    }
}

/// Characters of the text that are shown on either side of the wrong spot.
const SHOWN: usize = 100;

/// The first `most` characters, and `…` for the rest.
pub(super) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

impl std::error::Error for ParseError {}
