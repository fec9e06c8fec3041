//! `eval`: perplexity of a model under schemes at several lengths, or its answers to prompts in words.
//!
//! The work is that of `run` on a config of one study, which is written here; so it can be stopped and goes on, and it
//! leaves a run folder that `report`, `compare` and `export` open.

mod report;
mod words;

use self::report::text;
use self::words::{WordsArgs, answers};
use super::pretrained::{ConfigKeys, at_least_one, notes_untrained, tell_notes};
use super::written::{self, Carried, add_scheme, carry_out};
use super::{Ended, Failure, json, print};
use crate::checkpoint::config;
use crate::measure::perplexity::{Bos, Protocol, Unit};
use crate::origin;
use crate::scheme::{OWN, Positional, resolve};
use clap::{Args, ValueEnum};
use farspan_pe::Registry;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Confidence of intervals.
const CONFIDENCE: f64 = 0.95;
/// Tokens that `fixed-target` scores, unless the shortest length is less.
const TARGET: usize = 64;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    farspan eval --model DIR --lengths 512,1024,2048 book.txt\n  \
    farspan eval --model runs/quickstart:language/rope/s0 --lengths 128,1024 book.txt\n  \
    farspan eval --model DIR --scheme own --scheme yarn,factor=4 --scheme dca --lengths 512,2048 book.txt\n  \
    farspan eval --model DIR --protocol sliding --stride 64 --lengths 512 a.txt b.txt --json\n  \
    farspan eval --model DIR --tasks passkey,needles,keys=4 --grid depth=5 --lengths 512,1024\n  \
    farspan eval --model DIR --prompts niah_single_1.jsonl\n\n\
    The run folder can be opened by farspan report, compare and export.")]
pub(super) struct Eval {
    /// Checkpoint folder, a model id in the Hugging Face cache, or a finished cell of a run (RUN:CELL)
    #[arg(long, value_name = "DIR")]
    model: String,
    #[command(flatten)]
    keys: ConfigKeys,
    #[arg(long, default_value = "cpu", help = super::devices())]
    device: String,
    /// Schemes to compare: an id and settings, or `own` for the model's [default: own]
    #[arg(long, value_name = "ID,KEY=VALUE,…")]
    scheme: Vec<Positional>,
    /// Tokens fed per window, or of a prompt with its answer
    #[arg(long, value_delimiter = ',', required_unless_present = "prompts", value_parser = at_least_one)]
    lengths: Vec<usize>,
    /// Which tokens are scored, with how much context
    #[arg(long, value_enum, default_value_t = Way::NonOverlap)]
    protocol: Way,
    /// Tokens between the starts of sliding windows, at most the shortest length [default: half of each length]
    #[arg(long, value_name = "TOKENS", value_parser = at_least_one)]
    stride: Option<usize>,
    /// Tokens scored at the end of each segment under fixed-target, at most the shortest length [default: 64, or that]
    #[arg(long, value_name = "TOKENS", value_parser = at_least_one)]
    target: Option<usize>,
    /// What a segment is, over which windows are laid [default: stretches of the longest length; whole documents for
    /// sliding, by-window and prefix]
    #[arg(long, value_enum)]
    unit: Option<Piece>,
    /// How many segments [default: all there are]
    #[arg(long, value_name = "COUNT", value_parser = at_least_one)]
    segments: Option<usize>,
    /// Where BOS stands
    #[arg(long, value_enum, default_value_t = Begins::Document)]
    bos: Begins,
    /// Run folder [default: runs/eval-HASH, made of all that is asked for]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    words: WordsArgs,
    /// Text files: paths or globs; each file is one document, `.parquet` and `.jsonl` one in each row (column `text`)
    #[arg(required_unless_present_any = ["tasks", "prompts"], value_name = "FILE")]
    texts: Vec<String>,
    /// Print everything, with losses by position, as JSON
    #[arg(long)]
    json: bool,
}

/// How windows are laid.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Way {
    /// Consecutive windows, all tokens
    NonOverlap,
    /// Overlapping windows, each token once
    Sliding,
    /// The same last tokens of each segment at each length
    FixedTarget,
    /// As sliding, with the mean over windows in place of tokens, as YaRN's script takes it
    ByWindow,
    /// The first tokens of each segment in one window, as YaRN's script reads truncated documents
    Prefix,
}

impl Way {
    fn protocol(self) -> Protocol {
        match self {
            Way::NonOverlap => Protocol::NonOverlap,
            Way::Sliding => Protocol::Sliding,
            Way::FixedTarget => Protocol::FixedTarget,
            Way::ByWindow => Protocol::ByWindow,
            Way::Prefix => Protocol::Prefix,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Piece {
    /// As many targets as the longest length, inside one document
    Stretch,
    /// A whole document that holds the longest length
    Document,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Begins {
    /// At the start of each document, as the tokenizer puts it
    Document,
    /// In place of the first token of each window
    Window,
    /// Nowhere
    None,
}

impl Begins {
    fn words(self) -> &'static str {
        match self {
            Begins::Document => "as the tokenizer puts it, at the start of each document only",
            Begins::Window => "in place of the first token of each window",
            Begins::None => "nowhere",
        }
    }
}

impl Eval {
    pub(super) fn run(&self, registry: &Registry, command: String) -> Ended {
        self.check()?;
        let architecture = config::read(&origin::folder(&self.model)?, &self.keys.reading())?;
        let architecture = architecture.architecture;
        let mut schemes = Map::new();
        let own = Positional::new(OWN, Map::new());
        let asked = if self.scheme.is_empty() {
            std::slice::from_ref(&own)
        } else {
            &self.scheme
        };
        let mut told: Vec<String> = Vec::new();
        for asked in asked {
            let scheme = resolve(registry, &architecture, Some(asked))?;
            for note in notes_untrained(&architecture, scheme.as_ref()) {
                if !told.contains(&note) {
                    tell_notes([&note]);
                    told.push(note);
                }
            }
            let (name, own) = (asked.to_string(), &architecture.positional);
            let asked = if asked.id == OWN { own } else { asked };
            add_scheme(&mut schemes, &name, asked, Map::new(), (OWN, own), registry)?;
        }
        let words = self.words.settings(&self.rising())?;
        let asked = words.is_some();
        let config = self.config(schemes, words);
        let folder = self.out.clone().unwrap_or_else(|| {
            let hash = blake3::hash(config.to_string().as_bytes()).to_hex();
            PathBuf::from(format!("runs/eval-{}", &hash[..12]))
        });
        let how = Carried {
            folder: &folder,
            device: &self.device,
            quiet: false,
            command,
        };
        let dir = match carry_out(&config, "eval", how, registry)? {
            Ok(dir) => dir,
            Err(code) => return Ok(code),
        };
        if asked {
            let found = answers(&dir, folder, told)?;
            return match self.json {
                true => json(&found),
                false => print(&words::text(&found)),
            };
        }
        let report = self.report(&dir, folder, told)?;
        match self.json {
            true => json(&report),
            false => print(&text(&report)),
        }
    }

    fn rising(&self) -> Vec<usize> {
        let mut lengths = self.lengths.clone();
        lengths.sort_unstable();
        lengths.dedup();
        lengths
    }

    /// Refuses flags of other protocols, and those that do not fit the shortest window.
    fn check(&self) -> Result<(), Failure> {
        let sliding = &[Protocol::Sliding, Protocol::ByWindow][..];
        for (flag, set, protocols) in [
            ("--stride", self.stride, sliding),
            ("--target", self.target, &[Protocol::FixedTarget]),
        ] {
            let Some(tokens) = set else { continue };
            if !protocols.contains(&self.protocol.protocol()) {
                let names: Vec<&str> = protocols.iter().map(|p| p.name()).collect();
                let text = format!("{flag} is for --protocol {}", names.join(" or "));
                return Err(Failure::usage(text));
            }
            let shortest = self.shortest();
            if tokens > shortest {
                return Err(Failure::usage(format!(
                    "{flag}: expected at most the shortest of --lengths, {shortest}, found {tokens}"
                )));
            }
        }
        Ok(())
    }

    fn shortest(&self) -> usize {
        // `lengths` is not empty: clap requires it.
        self.lengths.iter().copied().min().unwrap_or(1)
    }

    fn unit(&self) -> Unit {
        match (self.unit, self.protocol) {
            (Some(Piece::Document), _) => Unit::Document,
            (None, Way::Sliding | Way::ByWindow | Way::Prefix) => Unit::Document,
            (Some(Piece::Stretch), _) | (None, _) => Unit::Stretch,
        }
    }

    /// The run as a config: of perplexity, or of prompts in words.
    fn config(&self, schemes: Map<String, Value>, words: Option<Value>) -> Value {
        let mut config = json!({
            "name": "eval",
            "seeds": [0],
            "confidence": CONFIDENCE,
            "device": self.device,
            "model": written::model(&self.model, &self.keys),
            "schemes": schemes,
        });
        if let Some(words) = words {
            config["evaluate"] = json!({ "words": words });
            return config;
        }
        let target = self.target.unwrap_or(TARGET.min(self.shortest()));
        let mut perplexity = json!({
            "lengths": self.rising(),
            "segments": self.segments.map_or(json!("all"), |count| json!(count)),
            "protocols": [self.protocol.protocol()],
            "unit": self.unit(),
            "target": target,
            "bos": if matches!(self.bos, Begins::Window) { Bos::Window } else { Bos::Text },
        });
        if let Some(tokens) = self.stride {
            perplexity["stride"] = json!({ "tokens": tokens });
        }
        let mut data = written::texts(&self.texts);
        data.insert("validation".into(), json!(0));
        data.insert("test".into(), json!(1));
        let at_documents = matches!(self.bos, Begins::Document);
        data.insert("bos".into(), json!(at_documents));
        config["data"] = Value::Object(data);
        config["evaluate"] = json!({ "perplexity": perplexity });
        config
    }
}
