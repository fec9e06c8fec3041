//! The command line. Data goes to stdout; progress, logs and errors to stderr.
//!
//! Exit codes: 0 fine · 1 finished, but cells failed or diverged · 2 wrong usage or config · 65 data or a model that
//! cannot be used · 70 a bug · 74 input/output · 75 try again later · 130, 143 interrupted, resumable.

mod arguments;
mod bench;
mod catalogue;
mod check;
mod completions;
mod configs;
mod doctor;
mod eval;
mod explain;
mod export;
mod failure;
pub mod filter;
mod finetune;
mod generate;
mod list;
mod logits;
mod merge;
mod new;
mod pack;
mod plan;
mod pretrained;
mod rank;
mod report;
mod run;
mod save;
mod status;
mod submit;
mod table;
pub mod work;
mod written;

use arguments::{command_line, dashed, removal};
use failure::Failure;
pub(crate) use table::{amount, bytes, duration};

use crate::{config, machine, program};
use clap::{CommandFactory, Parser, Subcommand};
use farspan_attention::{Device, DeviceSpec};
use farspan_datasets::foreign;
use farspan_pe::Registry;
use std::io::{IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Characters of a line of a message.
const LONGEST_LINE: usize = 4000;
const CELLS_FAILED: u8 = 1;
const USAGE: u8 = 2;
const DATA: u8 = 65;
const BUG: u8 = 70;
const SYSTEM: u8 = 74;
const LATER: u8 = 75;

/// Trains small language models under any positional encoding and measures what happens past the trained length.
#[derive(Debug, Parser)]
#[command(
    name = "farspan",
    version = machine::version(),
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Start with: farspan run harness/configs/quickstart.toml\n\
                  Exit codes: 0 fine, 1 cells failed or diverged, 2 usage or config, 65 data, 70 bug, \
                  74 input/output, 75 try again, 130/143 interrupted (run again to go on)"
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// Log more to stderr; twice for everything (FARSPAN_LOG=filter for a choice)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Train, measure, report: everything that a config asks for; resumes what was stopped
    Run(run::Run),
    /// Make cells of a run folder as one more worker, beside any number of others on any machines
    Work(work::Worker),
    /// Plan a run and start its workers on a cluster: Slurm, Kubernetes, or machines with ssh
    Submit(submit::Submit),
    /// Put the cells of several run folders into one
    Merge(merge::Merge),
    /// Show what would run: cells, parameters, tokens, FLOPs, memory, time
    Plan(plan::Plan),
    /// Show a run's progress
    Status(status::Status),
    /// Show a run's progress until it ends
    Watch(status::Watch),
    /// Draw the page, figures and tables of runs again; needs no model
    Report(report::Report),
    /// Paired differences between two runs over the same data, with intervals
    Compare(report::Compare),
    /// Write results in a format that other programs read
    Export(export::Export),
    /// Where a scheme stands among all others in the standard study
    Rank(rank::Rank),
    /// Write what a run measured into few small files, which are read like the run folder
    Pack(pack::Pack),
    /// List what there is
    List(list::List),
    /// Explain a scheme at given settings: formula, paper, frequencies, slopes, biases
    Explain(explain::Explain),
    /// Check a config; nothing is read but the file, nothing is written
    Validate(configs::Validate),
    /// Show how Farspan reads a checkpoint, key by key
    Check(check::Check),
    /// Write the logits of a checkpoint for a list of token ids
    Logits(logits::Logits),
    /// Perplexity of a checkpoint under its own or other schemes, at several lengths, or its answers to prompts in words
    Eval(eval::Eval),
    /// Extend a checkpoint's context by fine-tuning, and save the result as a checkpoint
    Finetune(finetune::Finetune),
    /// Save a model, or a finished cell of a run, as a checkpoint folder
    Save(save::Save),
    /// Generate text from a prompt
    Generate(generate::Generate),
    /// Print the JSON Schema of a config, for editors
    Schema,
    /// Start a crate of your own, with a scheme in it
    New(new::New),
    /// Print completions for a shell: verbs, flags, schemes
    #[command(
        after_help = "Example: farspan completions bash > ~/.local/share/bash-completion/completions/farspan\n\n\
        The shell asks the program for candidates, so a program of your own completes your schemes, too."
    )]
    Completions {
        /// Shell
        shell: clap_complete::Shell,
    },
    /// Write man pages into a folder, one for each verb
    #[command(after_help = "Example: farspan man ~/.local/share/man/man1")]
    Man {
        /// Folder; made if it is not there
        dir: PathBuf,
    },
    /// Measure speed and memory: attention, training steps, evaluation
    Bench(bench::Bench),
    /// Check that this machine has what a run needs
    Doctor(doctor::Doctor),
    /// Make one cell of a run folder (started by workers)
    #[command(hide = true)]
    Cell(work::Cell),
}

/// How a command ends: with an exit code, or with an error.
type Ended = Result<u8, Failure>;

/// The program, for the schemes of `registry`. A binary with schemes of its own is this one line:
/// `farspan::cli::main_with(Registry::builtin().with::<Mine>())`.
pub fn main_with(registry: Registry) -> ExitCode {
    program::settle();
    match completions::answer(&registry) {
        Ok(false) => {}
        Ok(true) => return ExitCode::SUCCESS,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(USAGE);
        }
    }
    let arguments: Vec<String> = std::env::args_os()
        .map(|a| a.to_string_lossy().into_owned())
        .collect();
    let cli = match Cli::try_parse_from(arguments.iter().map(|argument| removal(argument))) {
        Ok(cli) => cli,
        Err(error) => {
            if let Some(argument) = dashed(&arguments, &error) {
                tell(&format!(
                    "error: unexpected argument --{argument}: the keys of a config are set without dashes\n  write {argument}"
                ));
                return ExitCode::from(USAGE);
            }
            // Nothing can be done if even this cannot be written.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    if let Err(error) = registry.check() {
        tell(&format!("error: {error}"));
        return ExitCode::from(USAGE);
    }
    log(cli.verbose, &cli.verb);
    quiet_walls();
    let command = command_line(&arguments);
    let ended = catch_unwind(AssertUnwindSafe(|| dispatch(cli.verb, &registry, command)));
    let code = match ended {
        Ok(Ok(code)) => code,
        Ok(Err(failure)) => {
            tell(&format!("error: {}", failure.text));
            failure.code
        }
        Err(_) => {
            tell(
                "error: this is a bug in farspan; please report it with the command line and the words above",
            );
            BUG
        }
    };
    ExitCode::from(code)
}

/// A panic behind a wall becomes an error, which says all there is to say.
fn quiet_walls() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !foreign::is_guarded() {
            tell(panic);
        }
    }));
}

fn dispatch(verb: Verb, registry: &Registry, command: String) -> Ended {
    match verb {
        Verb::Run(run) => run.run(registry, command),
        Verb::Work(work) => work.run(),
        Verb::Submit(submit) => submit.run(registry, command),
        Verb::Merge(merge) => merge.run(&command),
        Verb::Plan(plan) => plan.run(registry, command),
        Verb::Status(status) => status.run(),
        Verb::Watch(watch) => watch.run(),
        Verb::Report(report) => report.run(),
        Verb::Compare(compare) => compare.run(),
        Verb::Export(export) => export.run(),
        Verb::Rank(rank) => rank.run(registry, command),
        Verb::Pack(pack) => pack.run(registry),
        Verb::List(list) => list.run(registry),
        Verb::Explain(explain) => explain.run(registry),
        Verb::Validate(validate) => validate.run(registry),
        Verb::Check(check) => check.run(registry),
        Verb::Logits(logits) => logits.run(registry),
        Verb::Eval(eval) => eval.run(registry, command),
        Verb::Save(save) => save.run(registry),
        Verb::Finetune(finetune) => finetune.run(registry, command),
        Verb::Generate(generate) => generate.run(registry),
        Verb::Schema => json(&config::schema(registry)),
        Verb::New(new) => new.run(),
        Verb::Completions { shell } => completions::script(shell),
        Verb::Man { dir } => man(&dir),
        Verb::Bench(bench) => bench.run(registry),
        Verb::Doctor(doctor) => doctor.run(),
        Verb::Cell(cell) => cell.run(registry),
    }
}

/// Writes `farspan.1` and a page for each verb.
fn man(dir: &Path) -> Ended {
    let written =
        std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(Cli::command(), dir));
    match written {
        Ok(()) => Ok(0),
        Err(e) => Err(Failure {
            code: SYSTEM,
            text: format!("{}: writing man pages: {e}", dir.display()),
        }),
    }
}

/// An argument as a shell takes it, in quotes where it needs them.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    match !argument.is_empty() && argument.chars().all(plain) {
        true => argument.to_string(),
        false => format!("'{}'", argument.replace('\'', r"'\''")),
    }
}

/// Whether these are flags of `work`: a mistake in them would show on the cluster only.
fn check_flags(flags: &[String]) -> Result<(), Failure> {
    let words = ["farspan", "work", "DIR"].map(String::from);
    match Cli::try_parse_from(words.iter().chain(flags)) {
        Ok(_) => Ok(()),
        Err(e) => Err(Failure::usage(format!(
            "behind --: {}",
            e.to_string().trim()
        ))),
    }
}

fn log(verbose: u8, verb: &Verb) {
    let quiet = match verb {
        Verb::Run(run) => run.quiet(),
        Verb::Work(work) => work.quiet(),
        _ => false,
    };
    let ours = |level: &str| {
        let crates = [
            "farspan",
            "farspan_attention",
            "farspan_datasets",
            "farspan_pe",
            "farspan_reports",
        ];
        let parts = crates.map(|name| format!("{name}={level}"));
        format!("warn,{}", parts.join(","))
    };
    let default = match (verbose, quiet) {
        (0, true) => "error".to_string(),
        (0, false) => "warn".to_string(),
        (1, _) => ours("info"),
        (_, _) => ours("debug"),
    };
    let filter = EnvFilter::try_from_env("FARSPAN_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let colour = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .without_time()
        .with_target(false);
    // A program that embeds this one may have a subscriber already; then its own is used.
    let _ = subscriber.try_init();
}

/// The device that `--device` or a config names.
fn device(name: &str) -> Result<Device, Failure> {
    Device::open(name).map_err(|e| Failure::usage(e.to_string()))
}

/// The same, as it is written: it need not be there.
fn spec(name: &str) -> Result<DeviceSpec, Failure> {
    let parsed = name.parse();
    parsed.map_err(|e: farspan_attention::Error| Failure::usage(e.to_string()))
}

/// What help says of `--device`.
fn devices() -> String {
    format!("Device: {}", DeviceSpec::FORMS)
}

/// One line or more for a person, on stderr. Control characters of a config or a name do not reach the terminal.
fn tell(text: &str) {
    let odd = |c: char| table::commands(c) && c != '\n' && c != '\t';
    let text: String = text
        .chars()
        .map(|c| if odd(c) { '\u{fffd}' } else { c })
        .collect();
    // Whatever a message quotes, a person has to find the message in it.
    let lines: Vec<String> = text
        .split('\n')
        .map(|line| foreign::ends(line, LONGEST_LINE))
        .collect();
    // Without a stderr there is nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "{}", lines.join("\n"));
}

/// Data, on stdout. A reader that has seen enough (`| head`) is no error.
fn print(text: &str) -> Ended {
    write_out(text.as_bytes())
}

fn write_out(bytes: &[u8]) -> Ended {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure {
            code: SYSTEM,
            text: format!("writing to stdout: {e}"),
        }),
        _ => Ok(0),
    }
}

/// Data as JSON, on stdout.
fn json(value: &impl serde::Serialize) -> Ended {
    match serde_json::to_string_pretty(value) {
        Ok(text) => print(&format!("{text}\n")),
        Err(e) => Err(Failure {
            code: BUG,
            text: format!("internal error: {e}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
