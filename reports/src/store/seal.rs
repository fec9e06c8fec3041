//! A file carries the hash of its own bytes, so that its reader sees when they are not what was written.
//!
//! A JSON table ends with `"blake3"`, the hash of every byte before that entry. A line of a file that grows ends with
//! the hash of the line and of its context: what it belongs to, and where it stands.

/// What stands before and after the hash of a table.
const BEFORE: &str = ",\n  \"blake3\": \"";
const AFTER: &str = "\"\n}\n";
/// The same for a line.
const BEFORE_OF_LINE: &str = ",\"blake3\":\"";
const AFTER_OF_LINE: &str = "\"}";
/// Characters of a hash.
const HASH: usize = 64;

/// What a look at the end of a file shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seal {
    /// The bytes are those that were written.
    Whole,
    /// They are not.
    Broken,
    /// There is no hash: cut off, changed, or written before files had one.
    Absent,
}

/// A table, printed with an indent of two, with its hash as the last entry; `None` if `text` is no such table.
pub(super) fn table(text: &str) -> Option<String> {
    let body = text.strip_suffix("\n}")?;
    let hash = blake3::hash(body.as_bytes()).to_hex();
    Some(format!("{body}{BEFORE}{hash}{AFTER}"))
}

/// Whether a file holds what [`table`] made.
pub(super) fn look(bytes: &[u8]) -> Seal {
    let at = bytes
        .len()
        .saturating_sub(BEFORE.len() + HASH + AFTER.len());
    let (body, end) = bytes.split_at(at);
    let hash = end
        .strip_prefix(BEFORE.as_bytes())
        .and_then(|end| end.strip_suffix(AFTER.as_bytes()));
    match hash {
        Some(hash) if blake3::hash(body).to_hex().as_bytes() == hash => Seal::Whole,
        Some(_) => Seal::Broken,
        None => Seal::Absent,
    }
}

/// A line that holds a JSON table, with its hash as the last entry; other lines stay as they are.
#[must_use]
pub fn seal_line(context: &str, line: &str) -> String {
    match line.strip_suffix('}') {
        Some(body) => format!(
            "{body}{BEFORE_OF_LINE}{}{AFTER_OF_LINE}",
            of_line(context, body)
        ),
        None => line.to_string(),
    }
}

/// Whether a line is what [`seal_line`] made in this context.
#[must_use]
pub fn line_is_whole(context: &str, line: &str) -> bool {
    let end = line.strip_suffix(AFTER_OF_LINE);
    let parts = end.and_then(|rest| rest.rsplit_once(BEFORE_OF_LINE));
    parts.is_some_and(|(body, hash)| of_line(context, body) == hash)
}

fn of_line(context: &str, body: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(context.len() as u64).to_le_bytes());
    hasher.update(context.as_bytes());
    hasher.update(body.as_bytes());
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_table_shows() {
        let sealed = table("{\n  \"a\": 1\n}").unwrap_or_default();
        assert!(
            serde_json::from_str::<serde_json::Value>(&sealed).is_ok(),
            "{sealed}"
        );
        assert_eq!(look(sealed.as_bytes()), Seal::Whole);
        for bit in 0..8 * sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(look(&bytes), Seal::Whole, "bit {bit}");
        }
        for end in 0..sealed.len() {
            assert_ne!(look(&sealed.as_bytes()[..end]), Seal::Whole, "cut at {end}");
        }
    }

    #[test]
    fn every_flipped_bit_of_a_line_and_another_place_show() {
        let line = seal_line("cell 3", "{\"a\":1}");
        assert!(line_is_whole("cell 3", &line), "{line}");
        assert!(!line_is_whole("cell 4", &line));
        for bit in 0..8 * line.len() {
            let mut bytes = line.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let changed = String::from_utf8_lossy(&bytes);
            assert!(!line_is_whole("cell 3", &changed), "bit {bit}");
        }
    }
}
