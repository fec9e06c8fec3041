//! `rank`: where schemes stand among all others in the standard study.

use super::run::options;
use super::table::Table;
use super::work::{Work, end};
use super::{Ended, Failure, json, print};
use crate::config::suggest::closest;
use crate::config::{Loaded, is_key};
use crate::standard::{self, NAME, PROTOCOL};
use crate::{Error, grid};
use clap::Args;
use farspan_datasets::foreign;
use farspan_pe::Registry;
use farspan_reports::page::render;
use farspan_reports::store::{LoadedRun, RunDir, load, write_atomic};
use farspan_reports::summary::{Ranking, rankings, summarise};
use farspan_reports::table::ranking::{document, score};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Bytes of a config beyond which it is taken for something else.
const LARGEST: u64 = 1 << 20;
/// Named neighbours on each side.
const NEAR: usize = 2;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    farspan rank alibi                              # from the records in the program\n  \
    farspan rank                                    # everyone, as docs/results.md\n  \
    farspan rank mine schemes.mine.custom.score='raw - 0.1 * log1p(q - k)' --run\n  \
    farspan rank mine --config my.toml --run        # [schemes.mine.ID] of a config\n\n\
    A rank is a range where differences are not significant: paired over the same units and seeds, corrected over all other \
    schemes. docs/standard.md has the protocol.")]
pub(super) struct Rank {
    /// Schemes by name, those of the registry by id; and `schemes.NAME.ID.KEY=VALUE` for one's own [default: everyone]
    #[arg(value_name = "SCHEME")]
    schemes: Vec<String>,
    /// A config whose schemes may be named, too
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Run the protocol for these schemes first; resumes what was stopped
    #[arg(long, requires = "schemes")]
    run: bool,
    /// Run folder of these schemes [default: runs/standard-1/NAMES]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Records of others: a run folder or a pack [default: those in the program]
    #[arg(long, value_name = "DIR")]
    records: Option<PathBuf>,
    /// Where the page goes [default: runs/standard-1/NAMES.html, beside the run folder]
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    #[command(flatten)]
    work: Work,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

impl Rank {
    pub(super) fn run(self, registry: &Registry, command: String) -> Ended {
        let (names, arguments) = self.parted()?;
        if names.is_empty() {
            return self.everyone();
        }
        let mut loaded = standard::protocol(
            &self.own_schemes(&arguments, registry)?,
            &arguments,
            registry,
        )
        .map_err(Error::from)?;
        narrow(&mut loaded, &names)?;
        let folder = Path::new("runs").join(NAME).join(names.join("+"));
        let out = self.out.clone().unwrap_or(folder);
        let mut field = self.records()?;
        let mut code = 0;
        if self.run {
            let device = super::device(&loaded.run.device)?;
            tracing::info!("device {}", device.note());
            let options = options(&loaded, Some(out.clone()), self.work.clone(), command);
            let outcome = grid::run(&loaded.run, &options, registry)?;
            code = end(&outcome, self.work.quiet);
            if outcome.interrupted.is_some() {
                return Ok(code);
            }
        }
        if RunDir::exists(&out) {
            field = standard::joined(field, load(&out)?, &names)?;
        }
        let there = |name: &String| field.results().any(|(c, _)| c.planned.scheme == *name);
        if let Some(name) = names.iter().find(|name| !there(name)) {
            return Err(Failure::usage(format!(
                "{name} has no records in {NAME} and none in {}: add --run to make them",
                out.display()
            )));
        }
        let all = rankings(&field);
        match self.json {
            true => json(&chosen(&all, &names))?,
            false => print(&text(&all, &names))?,
        };
        let beside = || PathBuf::from(format!("{}.html", out.display()));
        let page = self.page.unwrap_or_else(beside);
        write_page(field, &names, &page)?;
        super::tell(&format!("page: {}", page.display()));
        Ok(code)
    }

    fn everyone(&self) -> Ended {
        let field = self.records()?;
        match self.json {
            true => json(&rankings(&field)),
            false => print(&document(&field)),
        }
    }

    fn records(&self) -> Result<LoadedRun, Failure> {
        Ok(match &self.records {
            Some(dir) => standard::records_in(dir)?,
            None => standard::records()?,
        })
    }

    /// Names of schemes, and settings of some.
    fn parted(&self) -> Result<(Vec<String>, Vec<String>), Failure> {
        let (settings, names): (Vec<String>, Vec<String>) =
            self.schemes.iter().cloned().partition(|s| s.contains('='));
        let other = settings.iter().find(|s| !s.starts_with("schemes."));
        if let Some(other) = other {
            let what = match is_key(other) {
                true => "the protocol stands as it is",
                false => "expected the name of a scheme, or schemes.NAME.ID.KEY=VALUE",
            };
            return Err(Failure::usage(format!("{other}: {what}")));
        }
        Ok((names, settings))
    }

    /// The tables of one's own schemes, as text: those of a config, and one for each that only `arguments` know.
    fn own_schemes(&self, arguments: &[String], registry: &Registry) -> Result<String, Failure> {
        let mut own = match &self.config {
            Some(path) => schemes_of(path)?,
            None => toml::Table::new(),
        };
        for argument in arguments {
            let key = argument.split_once('=').map_or("", |(key, _)| key);
            // What is no such key is told where the arguments are laid over the protocol.
            let Some((name, id)) = toml::from_str(&format!("{key} = 0"))
                .ok()
                .and_then(|all: toml::Table| scheme_in(&all))
            else {
                continue;
            };
            let empty = toml::Table::from_iter([(id, toml::Value::Table(toml::Table::new()))]);
            own.entry(name).or_insert(toml::Value::Table(empty));
        }
        let known: toml::Table = PROTOCOL
            .parse()
            .map_err(|e| Failure::usage(format!("{NAME}: {e}")))?;
        let taken =
            |name: &&String| known["schemes"].get(name).is_some() || registry.get(name).is_ok();
        if let Some(name) = own.keys().find(taken) {
            return Err(Failure::usage(format!(
                "schemes.{name} is a scheme of the protocol, which stands as it is: call yours something else"
            )));
        }
        if own.is_empty() {
            return Ok(String::new());
        }
        let own = toml::Table::from_iter([("schemes".to_string(), toml::Value::Table(own))]);
        toml::to_string(&own).map_err(|e| Failure::usage(e.to_string()))
    }
}

/// `[schemes]` of a config.
fn schemes_of(path: &Path) -> Result<toml::Table, Failure> {
    let wrong = |what: String| Failure::usage(format!("{}: {what}", path.display()));
    let text = foreign::read_text(path, "a config", LARGEST).map_err(|e| wrong(e.to_string()))?;
    let mut config: toml::Table = text
        .parse()
        .map_err(|e: toml::de::Error| wrong(e.to_string()))?;
    match config.remove("schemes") {
        Some(toml::Value::Table(schemes)) => Ok(schemes),
        _ => Err(wrong("expected [schemes.NAME.ID], found none".into())),
    }
}

/// Name and id of the scheme that `schemes.NAME.ID.KEY` is about.
fn scheme_in(key: &toml::Table) -> Option<(String, String)> {
    let (name, ids) = key.get("schemes")?.as_table()?.iter().next()?;
    let (id, settings) = ids.as_table()?.iter().next()?;
    settings.as_table()?;
    Some((name.clone(), id.clone()))
}

/// Leaves of the protocol's schemes those that are asked for, and what they extend.
fn narrow(loaded: &mut Loaded, names: &[String]) -> Result<(), Failure> {
    let schemes = &mut loaded.run.schemes;
    for name in names {
        if schemes.iter().any(|s| s.name == *name) {
            continue;
        }
        let near = closest(name, schemes.iter().map(|s| s.name.as_str()));
        let hint = near.map_or(String::new(), |near| format!("; did you mean {near:?}?"));
        return Err(Failure::usage(format!(
            "no scheme is named {name:?}: expected an id of `farspan list schemes`, or a scheme of your own ({}){hint}",
            "schemes.NAME.ID.KEY=VALUE or --config FILE"
        )));
    }
    let mut wanted = names.to_vec();
    let bases = schemes.iter().filter(|s| names.contains(&s.name));
    wanted.extend(bases.filter_map(|s| s.base.clone()));
    schemes.retain(|s| wanted.contains(&s.name));
    let left = |name: &String| schemes.iter().any(|s| s.name == *name);
    loaded.run.reference = loaded.run.reference.take().filter(left);
    Ok(())
}

/// Curves of the schemes, in the order of the rankings.
fn labels<'a>(rankings: &'a Ranking, names: &'a [String]) -> impl Iterator<Item = &'a str> {
    let mine = rankings.rows.iter().filter(|r| names.contains(&r.scheme));
    mine.map(|row| row.label.as_str())
}

fn text(all: &[Ranking], names: &[String]) -> String {
    let columns = [
        "study", "curve", "score", ">rank", ">of", ">range", "nearest",
    ];
    let mut table = Table::new(&columns);
    let mut beside = String::new();
    for rankings in all {
        for label in labels(rankings, names) {
            let Some(row) = rankings.of(label) else {
                continue;
            };
            table.row([
                rankings.study.clone(),
                label.to_string(),
                score(rankings, row),
                row.place.to_string(),
                rankings.rows.len().to_string(),
                format!("{}–{}", row.best, row.worst),
                rankings.neighbours(label, NEAR).join(", "),
            ]);
        }
        for (label, why) in &rankings.unranked {
            if names
                .iter()
                .any(|name| label == name || label.starts_with(&format!("{name} (")))
            {
                beside.push_str(&format!("\n{}, {label}: not ranked, {why}", rankings.study));
            }
        }
    }
    format!(
        "{}{beside}\nscore: mean over the lengths past the trained one; range: ranks that the data leave, each difference paired \
         over units and seeds and corrected over all other curves\n",
        table.text()
    )
}

fn chosen(all: &[Ranking], names: &[String]) -> Value {
    let of = |rankings: &Ranking| {
        let rows = labels(rankings, names).filter_map(|label| {
            let mut row = serde_json::to_value(rankings.of(label)?).ok()?;
            row["nearest"] = rankings.neighbours(label, NEAR).into();
            row["of"] = rankings.rows.len().into();
            row["study"] = rankings.study.clone().into();
            Some(row)
        });
        rows.collect::<Vec<Value>>()
    };
    all.iter().flat_map(of).collect()
}

/// The page of all schemes, with the first of those asked for as the one that others are compared with.
fn write_page(mut field: LoadedRun, names: &[String], page: &Path) -> Result<(), Failure> {
    field.plan.reference = names.first().cloned();
    field.plan.name = format!("{NAME}: {}", names.join(", "));
    if let Some(folder) = page.parent() {
        let made = std::fs::create_dir_all(folder);
        made.map_err(|e| Error::io(format!("making {}", folder.display()), e))?;
    }
    write_atomic(page, render(&[summarise(&field)])?.as_bytes())?;
    Ok(())
}
