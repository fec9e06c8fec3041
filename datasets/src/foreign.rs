//! What comes from outside: opened only if it is a file, read no further than a limit, parsed behind a wall.

use crate::error::DataError;
use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a parser that somebody else wrote: a panic in it is an error that says where, not the end of the program. What
/// `parse` has borrowed mutably must not be used after that.
pub fn guarded<T>(parse: impl FnOnce() -> T) -> Result<T, String> {
    let before = GUARDED.replace(true);
    let parsed = catch_unwind(AssertUnwindSafe(parse));
    GUARDED.set(before);
    parsed.map_err(|panic| {
        let words = panic
            .downcast_ref::<&str>()
            .map(|words| (*words).to_string());
        let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
        let words = words.unwrap_or_else(|| "no words".into());
        format!("something that its parser cannot survive ({words})")
    })
}

/// Whether this thread runs inside [`guarded`], so that a panic hook has nothing to say.
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// Opens a regular file and tells its size. Links are followed; pipes, devices and folders are refused, as they have no
/// size and may have no end.
pub fn open(path: &Path) -> Result<(File, u64), DataError> {
    let failed = |source| DataError::Read {
        path: path.into(),
        source,
    };
    // Before opening: that waits for the other end of a pipe.
    regular(path, &path.metadata().map_err(failed)?)?;
    let file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    regular(path, &about)?;
    Ok((file, about.len()))
}

fn regular(path: &Path, about: &std::fs::Metadata) -> Result<(), DataError> {
    if about.is_file() {
        return Ok(());
    }
    Err(DataError::File {
        path: path.into(),
        expected: "a regular file".into(),
        found: if about.is_dir() {
            "a folder"
        } else {
            "a pipe, device or socket"
        }
        .into(),
    })
}

/// Content of a regular file of at most `most` bytes; `what` it should be stands in the error of a larger one.
pub fn read(path: &Path, what: &'static str, most: u64) -> Result<Vec<u8>, DataError> {
    let (file, size) = open(path)?;
    let too_large = || DataError::TooLarge {
        path: path.into(),
        what,
        limit: most,
        hint: "this is something else, or needs to be made smaller",
    };
    if size > most {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    file.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|source| DataError::Read {
            path: path.into(),
            source,
        })?;
    if bytes.len() as u64 > most {
        return Err(too_large());
    }
    Ok(bytes)
}

/// [`read`] of UTF-8 text.
pub fn read_text(path: &Path, what: &'static str, most: u64) -> Result<String, DataError> {
    String::from_utf8(read(path, what, most)?).map_err(|error| DataError::Utf8 {
        path: path.into(),
        offset: error.utf8_error().valid_up_to() as u64,
    })
}

/// A foreign text as messages quote it: whole if it is short, else its two ends.
pub fn excerpt(text: &str) -> String {
    ends(text, 200)
}

/// The two ends of a text that has more than `most` characters.
pub fn ends(text: &str, most: usize) -> String {
    let left_out = text.chars().count().saturating_sub(most);
    if left_out == 0 {
        return text.to_string();
    }
    let start: String = text.chars().take(most / 2).collect();
    let end: String = text.chars().skip(most / 2 + left_out).collect();
    format!("{start} … ({left_out} characters) … {end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_become_errors_and_the_wall_can_be_seen() {
        assert_eq!(Ok((true, 3)), guarded(|| (is_guarded(), 3)));
        assert!(!is_guarded());
        let error = guarded(|| -> u8 { panic!("index {} is odd", 7) }).unwrap_err();
        assert!(error.contains("index 7 is odd"), "{error}");
        assert!(!is_guarded());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_refused_at_once() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        symlink("pipe", folder.path().join("link")).unwrap();
        for (path, words) in [
            (path, "pipe: expected a regular file, found a pipe"),
            (folder.path().join("link"), "link: expected a regular file"),
            (folder.path().to_path_buf(), "found a folder"),
            ("/dev/zero".into(), "/dev/zero: expected a regular file"),
            (folder.path().join("none"), "none: cannot be read"),
        ] {
            let error = read(&path, "text", 10).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let path = folder.path().join("file");
        std::fs::write(&path, "0123456789").unwrap();
        symlink("file", folder.path().join("good")).unwrap();
        assert_eq!(
            "0123456789",
            read_text(&folder.path().join("good"), "text", 10).unwrap()
        );
        let error = read(&path, "text", 9).unwrap_err().to_string();
        assert!(error.contains("at most 9 bytes of text"), "{error}");
        std::fs::write(&path, b"012\xff").unwrap();
        let error = read_text(&path, "text", 10).unwrap_err().to_string();
        assert!(error.contains("offset 3"), "{error}");
    }
}
