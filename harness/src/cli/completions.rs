//! Completions for a shell. The shell asks the program itself, so they know the schemes of its registry.

use super::{BUG, Cli, Ended, Failure, print};
use clap::{Command, CommandFactory};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::Shells;
use farspan_datasets::words;
use farspan_pe::Registry;
use farspan_reports::export::Format;
use std::path::Path;

/// By which a shell asks the program for candidates.
const VARIABLE: &str = "FARSPAN_COMPLETE";

/// Answers a shell that asks for candidates; whether one did.
pub(super) fn answer(registry: &Registry) -> Result<bool, clap::Error> {
    let here = std::env::current_dir().ok();
    CompleteEnv::with_factory(|| command(registry))
        .var(VARIABLE)
        .try_complete(std::env::args_os(), here.as_deref())
}

/// Prints what a shell is to run at its start, for the program that this is.
pub(super) fn script(shell: clap_complete::Shell) -> Ended {
    let program = std::env::args_os().next().unwrap_or_default();
    let stem = Path::new(&program).file_stem();
    let name = stem.map_or("farspan".into(), |stem| stem.to_string_lossy());
    let wrong = |what: String| Failure {
        code: BUG,
        text: format!("internal error: {what}"),
    };
    let shells = Shells::builtins();
    let known = shells.completer(&shell.to_string());
    let known = known.ok_or_else(|| wrong(format!("no completions for {shell}")))?;
    let mut script = Vec::new();
    known
        .write_registration(VARIABLE, &name, &name, &name, &mut script)
        .map_err(|e| wrong(e.to_string()))?;
    print(&String::from_utf8_lossy(&script))
}

/// The command line, with what arguments can be.
fn command(registry: &Registry) -> Command {
    let entries = registry.entries().iter();
    let schemes: Vec<(String, String)> = entries
        .map(|entry| (entry.id.to_string(), entry.card.title.to_string()))
        .collect();
    let with_own = [("own".to_string(), "the model's own".to_string())];
    let with_own: Vec<_> = with_own.into_iter().chain(schemes.clone()).collect();
    let tasks: Vec<(String, String)> = words::BUILTIN
        .iter()
        .map(|entry| (entry.id.into(), entry.card.title.into()))
        .collect();
    let known = |ids: &[&str]| -> Vec<(String, String)> {
        ids.iter()
            .map(|id| ((*id).to_string(), String::new()))
            .collect()
    };
    let formats = known(&Format::ALL.map(Format::name));
    let devices = known(&["auto", "cpu", "cuda", "cuda+tf32", "cuda+bf16", "wgpu"]);
    let fill = move |verb: Command| {
        let is = |name: &str| verb.get_name() == name;
        let (evaluates, exports) = (is("eval"), is("export"));
        verb.mut_args(|arg| {
            let values = match arg.get_id().as_str() {
                "scheme" if evaluates => &with_own,
                "scheme" => &schemes,
                "tasks" if evaluates => &tasks,
                "format" if exports => &formats,
                "device" => &devices,
                _ => return arg,
            };
            let values = values.clone();
            arg.add(ArgValueCandidates::new(move || {
                values.iter().map(candidate).collect()
            }))
        })
    };
    Cli::command().mut_subcommands(|verb| match verb.has_subcommands() {
        true => verb.mut_subcommands(&fill),
        false => fill(verb),
    })
}

fn candidate((id, title): &(String, String)) -> CompletionCandidate {
    let help = (!title.is_empty()).then(|| title.clone().into());
    CompletionCandidate::new(id).help(help)
}
