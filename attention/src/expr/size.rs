//! How large an expression may be. Every walk over one is recursive, so depth is limited where trees come in: text when
//! it is read, and plans when they are checked.

use super::Expr;

impl Expr {
    /// Largest depth of an expression in a plan, a leaf being 1 deep. Text may be a little less deep, which leaves room
    /// for what a scheme puts around it.
    pub const MAX_DEPTH: usize = 256;

    /// Largest number of parts of an expression in a plan.
    pub const MAX_PARTS: usize = 4096;

    /// What makes the expression too large for a plan, if it is. Needs no recursion, and stops at the limits.
    pub fn excess(&self) -> Option<String> {
        let mut parts = 0;
        let mut rest = vec![(self, 1)];
        while let Some((part, depth)) = rest.pop() {
            parts += 1;
            if depth > Expr::MAX_DEPTH {
                return Some(too_deep(Expr::MAX_DEPTH));
            }
            if parts > Expr::MAX_PARTS {
                return Some(too_many());
            }
            let below = part.children().into_iter().map(|child| (child, depth + 1));
            rest.extend(below);
        }
        None
    }
}

/// Why a tree is refused, and what to write in its place.
pub(super) fn too_deep(most: usize) -> String {
    format!(
        "more than {most} deep: each term of a sum without parentheses adds one level; halves in parentheses add one \
         together, and a table `t[q - k]` holds a number for each distance"
    )
}

pub(super) fn too_many() -> String {
    let most = Expr::MAX_PARTS;
    format!(
        "more than {most} parts: every pair of tokens would compute them; a table `t[q - k]` holds a number for each \
         distance"
    )
}

#[cfg(test)]
mod tests {
    use crate::expr::{Expr, number, raw};

    #[test]
    fn the_limits_are_met_exactly() {
        let chain = |terms: usize| (1..terms).fold(raw(), |sum, _| sum + raw());
        assert_eq!(chain(Expr::MAX_DEPTH).excess(), None);
        let why = chain(Expr::MAX_DEPTH + 1).excess().unwrap();
        assert!(why.starts_with("more than 256 deep"), "{why}");
        // 2^12 − 1 parts, twelve deep, and then as many again.
        let tree = (1..12).fold(raw(), |half, _| half.clone() + half);
        assert_eq!(tree.excess(), None);
        assert_eq!((-tree.clone()).excess(), None);
        let why = (tree + number(1.0)).excess().unwrap();
        assert!(why.starts_with("more than 4096 parts"), "{why}");
        // 2^200 parts in the memory of 200: it stops at the limit.
        let shared = (0..200).fold(raw(), |half, _| half.clone() + half);
        assert!(shared.excess().is_some());
    }
}
