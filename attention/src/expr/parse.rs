//! Text to `Expr`. Whatever `Display` writes is read back to an equal tree.
//!
//! ```text
//! sum     = product (("+" | "-") product)*
//! product = factor (("*" | "/") factor)*
//! factor  = "-" factor | number | "(" sum ")" | "raw" | "raw1" … | "q" | "k" | "n"
//!         | name "[" "h" "]" | name "[" "h" "," sum "]" | name "[" sum "]"      parameter, table per head, table
//!         | name "@" ("q" | "k")                                                token vector
//!         | "net" name "(" sum ")"
//!         | function "(" sum ("," sum)* ")" | "select" "(" sum "<" sum "," sum "," sum ")"
//! ```

use super::{Binary, Expr, Side, Unary, select_less};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

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
        let before = self.text[..self.at].chars().count();
        writeln!(f, "expression, column {}: {}", before + 1, self.why)?;
        // One line, so that the caret stands under its character.
        let line: String = self
            .text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        write!(f, "  {line}\n  {:before$}^", "")
    }
}

impl std::error::Error for ParseError {}

impl FromStr for Expr {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Expr, ParseError> {
        let mut parser = Parser {
            text,
            at: 0,
            depth: 0,
        };
        let expr = parser.sum()?;
        parser.skip_space();
        match parser.rest().chars().next() {
            None => Ok(expr),
            Some(_) => Err(parser.expected("an operator or the end")),
        }
    }
}

/// Deeper nesting than any formula needs; keeps hostile text from exhausting the stack.
const MAX_DEPTH: usize = 200;

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// Takes `symbol` if it comes next.
    fn takes(&mut self, symbol: char) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len_utf8();
        }
        found
    }

    fn require(&mut self, symbol: char) -> Result<(), ParseError> {
        if self.takes(symbol) {
            Ok(())
        } else {
            Err(self.expected(&format!("`{symbol}`")))
        }
    }

    fn expected(&mut self, what: &str) -> ParseError {
        self.skip_space();
        let found = match self.rest().chars().next() {
            None => "the end".to_string(),
            Some(_) => match self.word_len() {
                0 => format!("`{}`", self.rest().chars().next().unwrap_or(' ')),
                len => format!("`{}`", &self.rest()[..len]),
            },
        };
        self.error(self.at, format!("expected {what}, found {found}"))
    }

    fn error(&self, at: usize, why: String) -> ParseError {
        ParseError {
            text: self.text.to_string(),
            at,
            why,
        }
    }

    fn word_len(&self) -> usize {
        let rest = self.rest();
        match rest.chars().next() {
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                rest.find(|c: char| !is_name_char(c)).unwrap_or(rest.len())
            }
            _ => 0,
        }
    }

    fn word(&mut self) -> Option<&'a str> {
        self.skip_space();
        let len = self.word_len();
        let word = &self.rest()[..len];
        self.at += len;
        (len > 0).then_some(word)
    }

    fn sum(&mut self) -> Result<Expr, ParseError> {
        let mut left = self.product()?;
        loop {
            if self.takes('+') {
                left = left + self.product()?;
            } else if self.takes('-') {
                left = left - self.product()?;
            } else {
                return Ok(left);
            }
        }
    }

    fn product(&mut self) -> Result<Expr, ParseError> {
        let mut left = self.factor()?;
        loop {
            if self.takes('*') {
                left = left * self.factor()?;
            } else if self.takes('/') {
                left = left / self.factor()?;
            } else {
                return Ok(left);
            }
        }
    }

    fn factor(&mut self) -> Result<Expr, ParseError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(self.at, format!("nested more than {MAX_DEPTH} deep")));
        }
        let factor = self.factor_at_depth();
        self.depth -= 1;
        factor
    }

    fn factor_at_depth(&mut self) -> Result<Expr, ParseError> {
        if self.takes('-') {
            self.skip_space();
            // A minus right before a literal belongs to it, so that negative numbers are read back as they were.
            return Ok(match self.literal()? {
                Some(x) => Expr::Number(-x),
                None => -self.factor()?,
            });
        }
        if self.takes('(') {
            let inner = self.sum()?;
            self.require(')')?;
            return Ok(inner);
        }
        if let Some(x) = self.literal()? {
            return Ok(Expr::Number(x));
        }
        let start = self.at;
        match self.word() {
            Some(word) => self.after_word(word, start),
            None => Err(self.expected("a number, a name or `(`")),
        }
    }

    fn literal(&mut self) -> Result<Option<f64>, ParseError> {
        self.skip_space();
        let rest = self.rest();
        if let word @ ("inf" | "nan") = &rest[..self.word_len()] {
            self.at += word.len();
            return Ok(Some(if word == "inf" {
                f64::INFINITY
            } else {
                f64::NAN
            }));
        }
        if !rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return Ok(None);
        }
        let bytes = rest.as_bytes();
        let digits = |mut i: usize| {
            while bytes.get(i).is_some_and(u8::is_ascii_digit) {
                i += 1;
            }
            i
        };
        let mut end = digits(0);
        if bytes.get(end) == Some(&b'.') {
            end = digits(end + 1);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            end = digits(end + 1 + sign);
        }
        let number = rest[..end].parse();
        let number =
            number.map_err(|_| self.error(self.at, format!("`{}` is no number", &rest[..end])))?;
        self.at += end;
        Ok(Some(number))
    }

    fn after_word(&mut self, word: &'a str, start: usize) -> Result<Expr, ParseError> {
        if self.takes('[') {
            return self.parameter(word.into());
        }
        if self.takes('@') {
            return match self.word() {
                Some("q") => Ok(Expr::Token(word.into(), Side::Query)),
                Some("k") => Ok(Expr::Token(word.into(), Side::Key)),
                Some(other) => {
                    self.at -= other.len();
                    Err(self.expected("`q` or `k` after `@`"))
                }
                None => Err(self.expected("`q` or `k` after `@`")),
            };
        }
        if word == "net" {
            let name = self
                .word()
                .ok_or_else(|| self.expected("the name of the network"))?;
            let [input] = self.arguments()?;
            return Ok(Expr::Net {
                name: name.into(),
                input,
            });
        }
        match word {
            "q" => return Ok(Expr::Query),
            "k" => return Ok(Expr::Key),
            "n" => return Ok(Expr::Reach),
            "raw" => return Ok(Expr::Raw(0)),
            "select" => return self.select(),
            _ => {}
        }
        if let Some(Ok(turn)) = word.strip_prefix("raw").map(str::parse::<u8>) {
            return Ok(Expr::Raw(turn.into()));
        }
        if let Some(op) = Unary::ALL.into_iter().find(|op| op.name() == word) {
            let [x] = self.arguments()?;
            return Ok(Expr::Unary(op, x));
        }
        let pair = [Binary::Min, Binary::Max, Binary::Pow]
            .into_iter()
            .find(|op| op.name() == word);
        if let Some(op) = pair {
            let [x, y] = self.arguments()?;
            return Ok(Expr::Binary(op, x, y));
        }
        let why = format!(
            "unknown word `{word}`; a parameter is written `{word}[h]`, a table `{word}[h, …]` or `{word}[…]`, a \
             token vector `{word}@q` or `{word}@k`"
        );
        Err(self.error(start, why))
    }

    /// After `name[`.
    fn parameter(&mut self, name: Arc<str>) -> Result<Expr, ParseError> {
        let start = self.at;
        if self.word() == Some("h") {
            if self.takes(']') {
                return Ok(Expr::Param(name));
            }
            if self.takes(',') {
                let index = Arc::new(self.sum()?);
                self.require(']')?;
                return Ok(Expr::Lookup {
                    table: name,
                    per_head: true,
                    index,
                });
            }
        }
        self.at = start;
        let index = Arc::new(self.sum()?);
        self.require(']')?;
        Ok(Expr::Lookup {
            table: name,
            per_head: false,
            index,
        })
    }

    fn arguments<const N: usize>(&mut self) -> Result<[Arc<Expr>; N], ParseError> {
        self.require('(')?;
        let mut arguments = Vec::with_capacity(N);
        for i in 0..N {
            if i > 0 {
                self.require(',')?;
            }
            arguments.push(Arc::new(self.sum()?));
        }
        self.require(')')?;
        // The loop pushed exactly N.
        arguments
            .try_into()
            .map_err(|_| self.expected("another argument"))
    }

    fn select(&mut self) -> Result<Expr, ParseError> {
        self.require('(')?;
        let a = self.sum()?;
        self.require('<')?;
        let b = self.sum()?;
        self.require(',')?;
        let then = self.sum()?;
        self.require(',')?;
        let otherwise = self.sum()?;
        self.require(')')?;
        Ok(select_less(a, b, then, otherwise))
    }
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '.'
}

/// Whether `name` can name a parameter or token vector: letters, digits, `_` and `.`, not starting with a digit.
pub fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(is_name_char)
}

#[cfg(test)]
mod tests;
