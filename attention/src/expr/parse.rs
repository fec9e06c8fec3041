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

mod error;

pub use error::ParseError;
use error::shortened;

use super::size::{too_deep, too_many};
use super::{Binary, Expr, Side, Unary};
use std::str::FromStr;
use std::sync::Arc;

impl FromStr for Expr {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Expr, ParseError> {
        let mut parser = Parser {
            text,
            at: 0,
            depth: 0,
            height: 0,
            parts: 0,
        };
        let expr = parser.sum()?;
        parser.skip_space();
        match parser.rest().chars().next() {
            None => Ok(expr),
            Some(_) => Err(parser.expected("an operator or the end")),
        }
    }
}

/// Deeper nesting than any formula needs; keeps hostile text from exhausting the stack. A scheme may put some more
/// around it, up to [`Expr::MAX_DEPTH`].
const MAX_DEPTH: usize = 200;

/// Characters of a word that a message repeats.
const WORD: usize = 40;

struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// Factors that are open.
    depth: usize,
    /// Depth of the expression that was read last.
    height: usize,
    /// Parts that were made so far.
    parts: usize,
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
                len => format!("`{}`", shortened(&self.rest()[..len], WORD)),
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

    /// `expr`, whose deepest operand is `below` deep, if it is not too large.
    fn made(&mut self, expr: Expr, below: usize) -> Result<Expr, ParseError> {
        self.height = below + 1;
        self.parts += 1;
        if self.height > MAX_DEPTH {
            return Err(self.error(self.at, too_deep(MAX_DEPTH)));
        }
        if self.parts > Expr::MAX_PARTS {
            return Err(self.error(self.at, too_many()));
        }
        Ok(expr)
    }

    fn sum(&mut self) -> Result<Expr, ParseError> {
        self.chain([('+', Binary::Add), ('-', Binary::Sub)], Parser::product)
    }

    fn product(&mut self) -> Result<Expr, ParseError> {
        self.chain([('*', Binary::Mul), ('/', Binary::Div)], Parser::factor)
    }

    /// Operands joined by either of two operators, from the left.
    fn chain(
        &mut self,
        operators: [(char, Binary); 2],
        operand: impl Fn(&mut Self) -> Result<Expr, ParseError>,
    ) -> Result<Expr, ParseError> {
        let mut left = operand(self)?;
        loop {
            let found = operators.iter().find(|(sign, _)| self.takes(*sign));
            let Some((_, op)) = found else {
                return Ok(left);
            };
            let height = self.height;
            let right = operand(self)?;
            let below = height.max(self.height);
            left = self.made(left.binary(*op, right), below)?;
        }
    }

    fn factor(&mut self) -> Result<Expr, ParseError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(self.at, too_deep(MAX_DEPTH)));
        }
        let factor = self.factor_at_depth();
        self.depth -= 1;
        factor
    }

    fn factor_at_depth(&mut self) -> Result<Expr, ParseError> {
        if self.takes('-') {
            self.skip_space();
            // A minus right before a literal belongs to it, so that negative numbers are read back as they were.
            if let Some(x) = self.literal()? {
                return self.made(Expr::Number(-x), 0);
            }
            let inner = -self.factor()?;
            return self.made(inner, self.height);
        }
        if self.takes('(') {
            let inner = self.sum()?;
            self.require(')')?;
            return Ok(inner);
        }
        if let Some(x) = self.literal()? {
            return self.made(Expr::Number(x), 0);
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
        let number = number.map_err(|_| {
            let text = shortened(&rest[..end], WORD);
            self.error(self.at, format!("`{text}` is no number"))
        })?;
        self.at += end;
        Ok(Some(number))
    }

    /// Fails at a word, which starts at `start`, that is too long for a name.
    fn fits(&self, word: &str, start: usize) -> Result<(), ParseError> {
        if word.len() <= MAX_NAME {
            return Ok(());
        }
        let found = word.len();
        let why = format!("a word of {found} characters; names have at most {MAX_NAME}");
        Err(self.error(start, why))
    }

    fn after_word(&mut self, word: &'a str, start: usize) -> Result<Expr, ParseError> {
        self.fits(word, start)?;
        if self.takes('[') {
            return self.parameter(word.into());
        }
        if self.takes('@') {
            return match self.word() {
                Some("q") => self.made(Expr::Token(word.into(), Side::Query), 0),
                Some("k") => self.made(Expr::Token(word.into(), Side::Key), 0),
                Some(other) => {
                    self.at -= other.len();
                    Err(self.expected("`q` or `k` after `@`"))
                }
                None => Err(self.expected("`q` or `k` after `@`")),
            };
        }
        if word == "net" {
            self.skip_space();
            let start = self.at;
            let name = self
                .word()
                .ok_or_else(|| self.expected("the name of the network"))?;
            self.fits(name, start)?;
            let [input] = self.arguments([','; 0])?;
            let name = name.into();
            return self.made(Expr::Net { name, input }, self.height);
        }
        match word {
            "q" => return self.made(Expr::Query, 0),
            "k" => return self.made(Expr::Key, 0),
            "n" => return self.made(Expr::Reach, 0),
            "raw" => return self.made(Expr::Raw(0), 0),
            "select" => {
                let [a, b, then, otherwise] = self.arguments(['<', ',', ','])?;
                let select = Expr::Select {
                    a,
                    b,
                    then,
                    otherwise,
                };
                return self.made(select, self.height);
            }
            _ => {}
        }
        if let Some(Ok(turn)) = word.strip_prefix("raw").map(str::parse::<u8>) {
            return self.made(Expr::Raw(turn.into()), 0);
        }
        if let Some(op) = Unary::ALL.into_iter().find(|op| op.name() == word) {
            let [x] = self.arguments([','; 0])?;
            return self.made(Expr::Unary(op, x), self.height);
        }
        let pair = [Binary::Min, Binary::Max, Binary::Pow]
            .into_iter()
            .find(|op| op.name() == word);
        if let Some(op) = pair {
            let [x, y] = self.arguments([','])?;
            return self.made(Expr::Binary(op, x, y), self.height);
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
                return self.made(Expr::Param(name), 0);
            }
            if self.takes(',') {
                return self.lookup(name, true);
            }
        }
        self.at = start;
        self.lookup(name, false)
    }

    /// The row of a table, up to `]`.
    fn lookup(&mut self, table: Arc<str>, per_head: bool) -> Result<Expr, ParseError> {
        let index = Arc::new(self.sum()?);
        self.require(']')?;
        let lookup = Expr::Lookup {
            table,
            per_head,
            index,
        };
        self.made(lookup, self.height)
    }

    /// As many arguments as there are `between` them, and one; leaves the depth of the deepest.
    fn arguments<const N: usize, const M: usize>(
        &mut self,
        between: [char; M],
    ) -> Result<[Arc<Expr>; N], ParseError> {
        self.require('(')?;
        let mut arguments = vec![Arc::new(self.sum()?)];
        let mut deepest = self.height;
        for symbol in between {
            self.require(symbol)?;
            arguments.push(Arc::new(self.sum()?));
            deepest = deepest.max(self.height);
        }
        self.require(')')?;
        self.height = deepest;
        // Callers ask for M + 1.
        arguments
            .try_into()
            .map_err(|_| self.expected("another argument"))
    }
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '.'
}

/// Characters of the longest name.
const MAX_NAME: usize = 64;

/// Whether `name` can name a parameter or token vector: at most 64 letters, digits, `_` and `.`, not starting with a
/// digit.
pub fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(is_name_char)
}

#[cfg(test)]
mod tests;
