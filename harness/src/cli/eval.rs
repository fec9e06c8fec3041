//! `eval`: perplexity of a checkpoint under schemes at several lengths.

use super::pretrained::{Source, at_least_one, notes, tell_notes};
use super::table::Table;
use super::{Ended, Failure, json, print};
use crate::Error;
use crate::checkpoint::perplexity::{Extent, Protocol, Scored, Summary, curve, score, summary};
use crate::checkpoint::text::{Document, Tokenizer, utf8};
use crate::model::Decoder;
use crate::scheme::{OWN, Positional, resolve};
use clap::{Args, ValueEnum};
use farspan_pe::{PlanError, Registry};
use serde::Serialize;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    farspan eval --model DIR --lengths 512,1024,2048 book.txt\n  \
    farspan eval --model DIR --scheme own --scheme yarn,factor=4 --scheme dca --lengths 512,2048 book.txt\n  \
    farspan eval --model DIR --protocol sliding --stride 64 --lengths 512 a.txt b.txt --json")]
pub(super) struct Eval {
    #[command(flatten)]
    source: Source,
    /// Schemes to compare: an id and settings, or `own` for the config's [default: own]
    #[arg(long, value_name = "ID,KEY=VALUE,…")]
    scheme: Vec<Positional>,
    /// Tokens fed per window
    #[arg(long, value_delimiter = ',', required = true, value_parser = at_least_one)]
    lengths: Vec<usize>,
    /// Which tokens are scored, with how much context
    #[arg(long, value_enum, default_value_t = Way::Nonoverlap)]
    protocol: Way,
    /// Tokens between the starts of sliding windows, at most the shortest length [default: half of each length]
    #[arg(long, value_parser = at_least_one)]
    stride: Option<usize>,
    /// Tokens scored at the end of each window of `last`, at most the shortest length [default: 64, or that]
    #[arg(long, value_name = "TOKENS", value_parser = at_least_one)]
    last: Option<usize>,
    /// Windows of the longest length at most; shorter ones are laid over the same tokens
    #[arg(long, value_name = "COUNT", value_parser = at_least_one)]
    windows: Option<usize>,
    /// Text files; each is one document
    #[arg(required = true, value_name = "FILE")]
    texts: Vec<PathBuf>,
    /// Print everything, with losses by tokens of context, as JSON
    #[arg(long)]
    json: bool,
    /// With --json: each token's loss as well
    #[arg(long, requires = "json")]
    per_token: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Way {
    /// Consecutive windows, all tokens
    Nonoverlap,
    /// Overlapping windows, each token once
    Sliding,
    /// The same last tokens at each length
    Last,
}

#[derive(Serialize)]
struct Report {
    documents: Vec<String>,
    tokens: usize,
    bos: &'static str,
    boundaries: &'static str,
    targets: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    scheme: String,
    length: usize,
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stride: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scored: Option<Summary>,
    /// Why there is no number.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_defined: Option<String>,
    by_context: Vec<Part>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    per_token: Vec<Scored>,
}

/// Targets with `from` to `to` − 1 tokens of context.
#[derive(Serialize)]
struct Part {
    from: usize,
    to: usize,
    #[serde(flatten)]
    scored: Summary,
}

impl Eval {
    pub(super) fn run(&self, registry: &Registry) -> Ended {
        self.check()?;
        let tokenizer = Tokenizer::open(&self.source.dir()?)?;
        let documents = self.documents(&tokenizer)?;
        let own = self.source.open(registry, None)?;
        for document in &documents {
            tokenizer.fits(&document.ids, own.architecture.vocab, &document.name)?;
        }
        let mut rows = Vec::new();
        let mut told: Vec<String> = Vec::new();
        let default = [Positional::new(OWN, Default::default())];
        let schemes = if self.scheme.is_empty() {
            &default[..]
        } else {
            &self.scheme
        };
        for asked in schemes {
            let model = own.with_scheme(resolve(registry, &own.architecture, Some(asked))?);
            for note in notes(&model.architecture, model.scheme.as_ref()) {
                if !told.contains(&note) {
                    tell_notes([&note]);
                    told.push(note);
                }
            }
            for &length in &self.lengths {
                rows.push(self.row(&model, &documents, asked, length)?);
            }
        }
        let report = Report {
            documents: documents.iter().map(|d| d.name.clone()).collect(),
            tokens: documents.iter().map(|d| d.ids.len()).sum(),
            bos: "as the tokenizer puts it, at the start of each document only",
            boundaries: "no window crosses the end of a document",
            targets: "the same at every length, in documents that hold the longest",
            notes: told,
            rows,
        };
        match self.json {
            true => json(&report),
            false => print(&text(&report)),
        }
    }

    /// Refuses flags of other protocols, and those that do not fit the shortest window.
    fn check(&self) -> Result<(), Failure> {
        for (flag, set, right, protocol) in [
            (
                "--stride",
                self.stride,
                matches!(self.protocol, Way::Sliding),
                "sliding",
            ),
            (
                "--last",
                self.last,
                matches!(self.protocol, Way::Last),
                "last",
            ),
        ] {
            let Some(tokens) = set else { continue };
            if !right {
                let text = format!("{flag} is for --protocol {protocol}");
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

    fn documents(&self, tokenizer: &Tokenizer) -> Result<Vec<Document>, Failure> {
        let mut documents = Vec::new();
        for path in &self.texts {
            let name = path.display().to_string();
            let text = utf8(path)?;
            documents.push(tokenizer.document(&name, &text)?);
        }
        Ok(documents)
    }

    fn row(
        &self,
        model: &Decoder,
        documents: &[Document],
        asked: &Positional,
        length: usize,
    ) -> Result<Row, Failure> {
        let stride = self.stride.unwrap_or(length.div_ceil(2));
        let last = self.last.unwrap_or_else(|| self.shortest().min(64));
        let protocol = match self.protocol {
            Way::Nonoverlap => Protocol::NonOverlapping,
            Way::Sliding => Protocol::Sliding(stride),
            Way::Last => Protocol::Last(last),
        };
        let extent = Extent {
            length,
            longest: self.lengths.iter().copied().max().unwrap_or(length),
            most: self.windows.unwrap_or(usize::MAX),
        };
        let scored = score(model, documents, protocol, extent, self.source.chunk);
        let (scored, not_defined) = match scored {
            Ok(scored) => (scored, None),
            // A length that a scheme cannot serve is a finding, not a failure.
            Err(Error::Plan(error @ PlanError::NotServed { .. })) => {
                (Vec::new(), Some(error.to_string()))
            }
            Err(error) => return Err(error.into()),
        };
        let part = |(range, scored): (std::ops::Range<usize>, Summary)| Part {
            from: range.start,
            to: range.end,
            scored,
        };
        Ok(Row {
            scheme: asked.to_string(),
            length,
            protocol: protocol.name(),
            stride: matches!(self.protocol, Way::Sliding).then_some(stride),
            last: matches!(self.protocol, Way::Last).then_some(last),
            by_context: curve(&scored).into_iter().map(part).collect(),
            scored: not_defined.is_none().then(|| summary(&scored)),
            not_defined,
            per_token: if self.per_token { scored } else { Vec::new() },
        })
    }
}

fn text(report: &Report) -> String {
    let columns = [
        "scheme",
        "protocol",
        ">length",
        ">perplexity",
        ">bits/byte",
        ">scored tokens",
    ];
    let mut table = Table::new(&columns);
    for row in &report.rows {
        let protocol = match (row.stride, row.last) {
            (Some(stride), _) => format!("{} by {stride}", row.protocol),
            (_, Some(last)) => format!("{} {last}", row.protocol),
            _ => row.protocol.to_string(),
        };
        let numbers = match &row.scored {
            Some(s) => [
                format!("{:.4}", s.perplexity),
                s.bits_per_byte
                    .map_or("-".into(), |bits| format!("{bits:.4}")),
                s.tokens.to_string(),
            ],
            None => ["not defined".into(), "-".into(), "0".into()],
        };
        let [perplexity, bits, tokens] = numbers;
        table.row([
            row.scheme.clone(),
            protocol,
            row.length.to_string(),
            perplexity,
            bits,
            tokens,
        ]);
    }
    format!(
        "{}\n{} documents, {} tokens; BOS {}; {}; scored tokens are {}\n",
        table.text(),
        report.documents.len(),
        report.tokens,
        report.bos,
        report.boundaries,
        report.targets
    )
}
