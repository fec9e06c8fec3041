//! The command line as it was typed.

use super::quoted;
use crate::config;

/// The argument that clap refuses because a config key was given as if it were a flag (`--train.steps=5`).
pub(super) fn dashed<'a>(arguments: &'a [String], error: &clap::Error) -> Option<&'a str> {
    if error.kind() != clap::error::ErrorKind::UnknownArgument {
        return None;
    }
    let keys = arguments.iter().filter_map(|a| a.strip_prefix("--"));
    let mut keys = keys.filter(|a| {
        let (key, value) = a.split_once('=').unwrap_or((a, ""));
        !value.is_empty() && config::is_key(key)
    });
    keys.next()
}

/// `-KEY` removes a config key; clap would take it for a row of short flags, so it gets another sign.
pub(super) fn removal(argument: &str) -> String {
    let key = argument.strip_prefix('-').filter(|key| config::is_key(key));
    key.map_or_else(|| argument.to_string(), |key| format!("~{key}"))
}

/// The command line for provenance: without the path of the program, quoted where a shell needs it.
pub(super) fn command_line(arguments: &[String]) -> String {
    let rest = arguments.iter().skip(1).map(|argument| quoted(argument));
    std::iter::once("farspan".to_string())
        .chain(rest)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_to_remove_are_told_from_flags() {
        for (argument, expected) in [
            ("-train.lr", "~train.lr"),
            ("-sweep", "~sweep"),
            ("-schemes.nope", "~schemes.nope"),
            ("-k", "-k"),
            ("-kalibi", "-kalibi"),
            ("-vv", "-vv"),
            ("--device", "--device"),
            ("-o", "-o"),
            ("train.lr=1", "train.lr=1"),
            ("-trian.lr", "-trian.lr"),
        ] {
            assert_eq!(removal(argument), expected);
        }
    }

    #[test]
    fn the_command_line_is_kept_as_a_shell_would_take_it() {
        let arguments = [
            "/a/b/farspan",
            "run",
            "a b.toml",
            "seeds=[0,1]",
            "-k",
            "it's",
        ]
        .map(String::from);
        assert_eq!(
            command_line(&arguments),
            r"farspan run 'a b.toml' 'seeds=[0,1]' -k 'it'\''s'"
        );
    }
}
