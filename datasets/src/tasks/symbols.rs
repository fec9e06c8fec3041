//! The symbols of a task: kinds of them, each with ids of its own.

use crate::rng::Stream;
use std::ops::Range;

/// How the symbols of a kind look to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// `<name>`; for a kind of one symbol.
    Mark(&'static str),
    /// `a`, `b`, … `z`, `aa`, …
    Lower,
    /// `A`, `B`, … `Z`, `AA`, …
    Upper,
    /// `0`, `1`, …
    Number,
    /// `#1`, `#2`, …: counted from 1.
    Ordinal,
    /// A word and a number, `word0`, `word1`, …: for a second kind of numbers.
    Named(&'static str),
}

/// Kinds of symbols. The first one's ids begin at 0, each other's where the one before ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alphabet(Vec<(Look, usize)>);

impl Alphabet {
    /// The alphabet of these kinds: how they look and how many symbols each has.
    pub fn of(kinds: impl IntoIterator<Item = (Look, usize)>) -> Alphabet {
        Alphabet(kinds.into_iter().collect())
    }

    /// Symbols in all.
    pub fn size(&self) -> usize {
        self.0.iter().map(|(_, size)| size).sum()
    }

    /// The ids of a kind, by its place in the list.
    pub(crate) fn ids(&self, kind: usize) -> Range<u32> {
        let from: usize = self.0[..kind].iter().map(|(_, size)| size).sum();
        from as u32..(from + self.0[kind].1) as u32
    }

    /// Id of the i-th symbol of a kind.
    pub(crate) fn id(&self, kind: usize, i: usize) -> u32 {
        self.ids(kind).start + i as u32
    }

    /// A symbol of a kind, drawn uniformly.
    pub(crate) fn draw(&self, rng: &mut Stream, kind: usize) -> u32 {
        self.id(kind, rng.below(self.0[kind].1 as u64) as usize)
    }

    /// `count` symbols of a kind, drawn uniformly, each anew.
    pub(crate) fn draw_many(&self, rng: &mut Stream, kind: usize, count: usize) -> Vec<u32> {
        (0..count).map(|_| self.draw(rng, kind)).collect()
    }

    /// `count` different symbols of a kind, in random order.
    pub(crate) fn draw_different(&self, rng: &mut Stream, kind: usize, count: usize) -> Vec<u32> {
        let drawn = rng.choose_distinct(self.0[kind].1, count);
        drawn.into_iter().map(|i| self.id(kind, i)).collect()
    }

    /// The ids of the symbols of the same kind, its own among them; none for an id that is no symbol.
    pub fn kind(&self, token: u32) -> Range<u32> {
        let kinds = (0..self.0.len()).map(|kind| self.ids(kind));
        kinds
            .into_iter()
            .find(|ids| ids.contains(&token))
            .unwrap_or(0..0)
    }

    /// A token as a person reads it.
    pub fn render(&self, token: u32) -> String {
        let mut i = token;
        for (look, size) in &self.0 {
            match i.checked_sub(*size as u32) {
                Some(rest) => i = rest,
                None => return look.render(i),
            }
        }
        format!("<{token}?>")
    }
}

impl Look {
    fn render(self, i: u32) -> String {
        match self {
            Look::Mark(name) => format!("<{name}>"),
            Look::Lower => letters(i, b'a'),
            Look::Upper => letters(i, b'A'),
            Look::Number => i.to_string(),
            Look::Ordinal => format!("#{}", i + 1),
            Look::Named(word) => format!("{word}{i}"),
        }
    }
}

/// 0 → a, 25 → z, 26 → aa.
fn letters(mut n: u32, first: u8) -> String {
    let mut letters = Vec::new();
    loop {
        letters.push(char::from(first + (n % 26) as u8));
        match (n / 26).checked_sub(1) {
            Some(rest) => n = rest,
            None => return letters.into_iter().rev().collect(),
        }
    }
}
