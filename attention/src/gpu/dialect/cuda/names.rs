//! Names of C++ that no two things share.

use std::collections::BTreeSet;

/// Words of C++ that WGSL leaves to programs, and functions that are called.
const WORDS: &str = "and bitand bitor bool case char char16_t char32_t char8_t compl dim3 double float goto int long not \
    operator or private short signed sizeof unsigned void wchar_t xor farspan farspan_kernel threadIdx blockIdx blockDim \
    gridDim fabsf expf exp2f logf log2f powf sqrtf tanhf sinf cosf floorf ceilf fmaf";

/// Names that are taken.
#[derive(Clone, Debug)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    /// Every word that `text` mentions, but short ones: these are parameters and members, which hide nothing.
    pub(super) fn of(text: &str) -> Names {
        let inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let words = text.split(|c| !inside(c)).filter(|word| word.len() > 2);
        let words = words.chain(WORDS.split_whitespace());
        Names(words.map(str::to_string).collect())
    }

    /// `wanted`, or `otherwise` where nothing is; with a number behind if it is taken.
    pub(super) fn unique(&mut self, wanted: Option<&str>, otherwise: &str) -> String {
        let ascii = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let base: String = wanted.unwrap_or(otherwise).chars().map(ascii).collect();
        let numbered = (2..).map(|n| format!("{base}_{n}"));
        let mut names = std::iter::once(base.clone()).chain(numbered);
        let free = names.find(|name| !self.0.contains(name));
        let free = free.unwrap_or(base);
        self.0.insert(free.clone());
        free
    }
}
