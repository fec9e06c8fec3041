//! `eval`: perplexity of a checkpoint under schemes at several lengths.

use super::pretrained::Source;
use super::table::Table;
use super::{Ended, Failure, json, print};
use crate::Error;
use crate::checkpoint::config::Positional;
use crate::checkpoint::decoder::Pretrained;
use crate::checkpoint::perplexity::{Protocol, Scored, Summary, curve, score, summary};
use crate::checkpoint::text::{Document, Tokenizer};
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
    #[arg(long, value_delimiter = ',', required = true)]
    lengths: Vec<usize>,
    /// Which tokens are scored, with how much context
    #[arg(long, value_enum, default_value_t = Way::Nonoverlap)]
    protocol: Way,
    /// Tokens between the starts of sliding windows [default: half the length]
    #[arg(long)]
    stride: Option<usize>,
    /// Tokens scored at the end of each window of `last`
    #[arg(long, default_value_t = 64, value_name = "TOKENS")]
    last: usize,
    /// Windows at most, per scheme and length
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true, value_name = "COUNT")]
    windows: usize,
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

/// Stands for the scheme of the config.
const OWN: &str = "own";

impl Eval {
    pub(super) fn run(&self, registry: &Registry) -> Ended {
        if self.lengths.contains(&0) || self.stride == Some(0) || self.last == 0 {
            return Err(Failure::usage(
                "lengths, --stride and --last are at least 1",
            ));
        }
        let tokenizer = Tokenizer::open(&self.source.dir()?)?;
        let documents = self.documents(&tokenizer)?;
        let own = self.source.open(registry, None)?;
        for document in &documents {
            tokenizer.fits(&document.ids, own.architecture.vocab, &document.name)?;
        }
        let mut rows = Vec::new();
        let default = [Positional::new(OWN, Default::default())];
        let schemes = if self.scheme.is_empty() {
            &default[..]
        } else {
            &self.scheme
        };
        for asked in schemes {
            let given = (asked.id != OWN).then_some(asked);
            let model = own.with_scheme(registry, given)?;
            for &length in &self.lengths {
                rows.push(self.row(&model, &documents, asked, length)?);
            }
        }
        let report = Report {
            documents: documents.iter().map(|d| d.name.clone()).collect(),
            tokens: documents.iter().map(|d| d.ids.len()).sum(),
            bos: "as the tokenizer puts it, at the start of each document only",
            boundaries: "no window crosses the end of a document",
            rows,
        };
        match self.json {
            true => json(&report),
            false => print(&text(&report)),
        }
    }

    fn documents(&self, tokenizer: &Tokenizer) -> Result<Vec<Document>, Failure> {
        let mut documents = Vec::new();
        for path in &self.texts {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path)
                .map_err(|e| Error::io(format!("reading {name}"), e))?;
            documents.push(tokenizer.document(&name, &text)?);
        }
        Ok(documents)
    }

    fn row(
        &self,
        model: &Pretrained,
        documents: &[Document],
        asked: &Positional,
        length: usize,
    ) -> Result<Row, Failure> {
        let stride = self.stride.unwrap_or(length.div_ceil(2));
        let protocol = match self.protocol {
            Way::Nonoverlap => Protocol::NonOverlapping,
            Way::Sliding => Protocol::Sliding(stride),
            Way::Last => Protocol::Last(self.last),
        };
        // `lengths` is not empty: clap requires it.
        let longest = self.lengths.iter().copied().max().unwrap_or(length);
        let sizes = (length, longest);
        let scored = score(
            model,
            documents,
            protocol,
            sizes,
            self.source.chunk,
            self.windows,
        );
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
        let protocol = row.stride.map_or(row.protocol.to_string(), |s| {
            format!("{} by {s}", row.protocol)
        });
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
        "{}\n{} documents, {} tokens; BOS {}; {}\n",
        table.text(),
        report.documents.len(),
        report.tokens,
        report.bos,
        report.boundaries
    )
}
