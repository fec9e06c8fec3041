//! `bench`: how fast attention, training steps and evaluation are on this machine, and how much memory they take.

mod attention;
mod decoder;
mod products;
mod tables;

use super::{Ended, Failure, device, json, print};
use crate::bench::peer::{Case, against};
use crate::bench::{Entrant, Pass, PeerRow, Row, median, memory, race, ratio};
use crate::config;
use crate::machine;
use attention::AttentionBench;
use clap::{Args, Subcommand};
use decoder::DecoderBench;
use farspan_attention::bench::{Rates, rates};
use farspan_attention::ops;
use farspan_attention::{Device, Traffic};
use farspan_pe::{AnyScheme, Registry};
use serde::Serialize;
use std::cell::{Cell, OnceCell, RefCell};
use std::sync::Arc;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    farspan bench attention --scheme nope,rope,alibi,fire --length 2048,8192\n  \
    farspan bench attention -s rope --length 16384 --pass both --json\n  \
    farspan bench train --peer 'python benches/peers/torch_side.py --serve'\n  \
    farspan bench eval -s alibi --length 4096\n  \
    farspan bench products --width 512 --hidden 1376\n\n\
    Schemes take turns, one call each per round; times are medians. Peak memory comes from a fresh process per \
    figure: the largest resident size of one call beyond the size before it (for train and eval: beyond the size \
    before the model was built).")]
pub(super) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Attention alone: forward, and forward with all gradients
    Attention(AttentionBench),
    /// Whole training steps: loss, gradients, clipping, AdamW
    Train(DecoderBench),
    /// Scoring windows of tokens without gradients
    Eval(DecoderBench),
    /// The matrix products of a training step, one by one, on the processor
    Products(DecoderBench),
}

#[derive(Debug, Args)]
struct Common {
    /// Schemes, each an id with settings: `-s alibi -s 'yarn factor=4'`; times are relative to the first
    #[arg(short, long, value_name = "ID [KEY=VALUE …]", value_delimiter = ',')]
    scheme: Vec<String>,
    /// Query heads
    #[arg(long, default_value_t = 8)]
    heads: usize,
    /// Key/value heads [default: as many as query heads]
    #[arg(long)]
    kv_heads: Option<usize>,
    /// Length that schemes take for the trained one
    #[arg(long, default_value_t = 2048)]
    trained_length: usize,
    #[arg(long, default_value = "cpu", help = super::devices())]
    device: String,
    /// Threads [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Rounds
    #[arg(long, default_value_t = 7)]
    repeats: usize,
    /// Another program to take turns with, as a shell command
    #[arg(long, value_name = "COMMAND")]
    peer: Option<String>,
    /// Leave memory out
    #[arg(long)]
    no_memory: bool,
    /// Print everything as JSON, with every sample
    #[arg(long)]
    json: bool,
    /// Print the table in Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Print the peak memory of the only case in bytes, and nothing else (how memory is measured)
    #[arg(long, hide = true)]
    peak_only: bool,
    #[arg(skip)]
    rates: OnceCell<Rates>,
    #[arg(skip)]
    asked: RefCell<Vec<Asked>>,
}

/// What one call asks of a GPU.
#[derive(Clone, Debug, Serialize)]
struct Asked {
    scheme: String,
    pass: Pass,
    length: usize,
    #[serde(flatten)]
    traffic: Traffic,
}

/// What a whole table rests on.
#[derive(Debug, Serialize)]
struct Report {
    machine: String,
    version: &'static str,
    threads: usize,
    device: String,
    /// Floating-point operations per second that all threads could do.
    peak_flops_per_second: f64,
    /// What a device other than the processor reaches.
    rates: Option<Rates>,
    rows: Vec<Row>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    asked: Vec<Asked>,
}

/// One scheme at one length.
struct Contestant<'a> {
    scheme: String,
    flops: f64,
    work: Box<dyn FnMut() -> crate::Result<&'static str> + 'a>,
    /// Arguments of a process that measures its memory.
    alone: Vec<String>,
    peers: Vec<Case>,
}

impl Bench {
    pub(super) fn run(&self, registry: &Registry) -> Ended {
        match &self.what {
            What::Attention(bench) => bench.run(registry),
            What::Train(bench) => bench.run(registry, Pass::Train),
            What::Eval(bench) => bench.run(registry, Pass::Eval),
            What::Products(bench) => bench.products(),
        }
    }
}

/// A scheme written as `id KEY=VALUE …`.
fn parsed(registry: &Registry, scheme: &str) -> crate::Result<Arc<dyn AnyScheme>> {
    let mut words = scheme.split_whitespace().map(String::from);
    let id = words.next().unwrap_or_default();
    let settings: Vec<String> = words.collect();
    let settings = config::settings(&settings).map_err(crate::Error::Config)?;
    Ok(Arc::from(registry.parse(&id, settings)?))
}

impl Common {
    fn kv_heads(&self) -> usize {
        self.kv_heads.unwrap_or(self.heads)
    }

    fn schemes(&self, default: &[&str]) -> Vec<String> {
        match self.scheme.as_slice() {
            [] => default.iter().map(|id| id.to_string()).collect(),
            given => given.to_vec(),
        }
    }

    fn open(&self) -> Result<Device, Failure> {
        device(&self.device)
    }

    /// Checks sizes and sets the number of threads.
    fn start(&self) -> Result<(), Failure> {
        if self.repeats == 0 {
            return Err(Failure::usage("--repeats: expected at least 1, found 0"));
        }
        self.open()?;
        if let Some(threads) = self.threads {
            ops::set_threads(threads).map_err(crate::Error::from)?;
        }
        Ok(())
    }

    fn alone(&self, verb: &str, scheme: &str, own: &[(&str, String)]) -> Vec<String> {
        let shared = [
            ("scheme", scheme.to_string()),
            ("heads", self.heads.to_string()),
            ("kv-heads", self.kv_heads().to_string()),
            ("trained-length", self.trained_length.to_string()),
            ("threads", ops::threads().to_string()),
            ("device", self.device.clone()),
        ];
        let mut arguments = vec!["bench".into(), verb.into(), "--peak-only".into()];
        for (flag, value) in shared.iter().chain(own) {
            arguments.push(format!("--{flag}={value}"));
        }
        arguments
    }

    fn measure(
        &self,
        contestants: &mut [Contestant<'_>],
        pass: Pass,
        length: usize,
        tokens: usize,
    ) -> Result<Vec<Row>, Failure> {
        let implementations = vec![Cell::new("none"); contestants.len()];
        let mut entrants: Vec<Entrant<'_>> = contestants
            .iter_mut()
            .zip(&implementations)
            .map(|(contestant, implementation)| {
                let work = &mut contestant.work;
                Entrant::new(contestant.scheme.clone(), move || {
                    implementation.set(work()?);
                    Ok(())
                })
            })
            .collect();
        let samples = race(self.repeats, &mut entrants)?;
        drop(entrants);
        let all = self.peak()?;
        let mut rows = Vec::new();
        for (i, contestant) in contestants.iter_mut().enumerate() {
            self.count(contestant, pass, length)?;
            let seconds = median(&samples[i]);
            let rate = contestant.flops / seconds;
            rows.push(Row {
                scheme: contestant.scheme.clone(),
                pass,
                length,
                implementation: implementations[i].get(),
                seconds,
                samples: samples[i].clone(),
                relative: ratio(&samples[i], &samples[0]),
                tokens_per_second: tokens as f64 / seconds,
                flops_per_second: rate,
                of_peak: rate / all,
                peak_bytes: match self.no_memory {
                    true => None,
                    false => Some(memory::peak_of_child(&contestant.alone)?),
                },
                peers: self.peers(contestant)?,
            });
        }
        Ok(rows)
    }

    /// What a call asks of a GPU, from one call more.
    fn count(
        &self,
        contestant: &mut Contestant<'_>,
        pass: Pass,
        length: usize,
    ) -> Result<(), Failure> {
        let device = self.open()?;
        let Some(before) = device.traffic() else {
            return Ok(());
        };
        (contestant.work)()?;
        let asked = device.traffic().map(|after| Asked {
            scheme: contestant.scheme.clone(),
            pass,
            length,
            traffic: after - before,
        });
        self.asked.borrow_mut().extend(asked);
        Ok(())
    }

    fn peers(&self, contestant: &mut Contestant<'_>) -> Result<Vec<PeerRow>, Failure> {
        let Some(command) = &self.peer else {
            return Ok(Vec::new());
        };
        let mut rows = Vec::new();
        for case in &contestant.peers {
            let work = &mut contestant.work;
            let mut work = || work().map(|_| ());
            let memory = !self.no_memory;
            rows.push(against(command, case, self.repeats, memory, &mut work)?);
        }
        Ok(rows)
    }

    /// Of the device: on the processor what its instructions allow, elsewhere the measured rate of matrix products.
    fn peak(&self) -> Result<f64, Failure> {
        Ok(self
            .rates()?
            .map_or_else(ops::peak_flops, |rates| rates.flops_per_second))
    }

    /// Measured once per process.
    fn rates(&self) -> Result<Option<Rates>, Failure> {
        let device = self.open()?;
        if device.is_cpu() {
            return Ok(None);
        }
        if let Some(known) = self.rates.get() {
            return Ok(Some(*known));
        }
        let found = rates(&device).map_err(crate::Error::from)?;
        Ok(Some(*self.rates.get_or_init(|| found)))
    }

    fn print(&self, rows: Vec<Row>) -> Ended {
        let (device, rates) = (self.open()?, self.rates()?);
        let report = Report {
            machine: machine::machine(),
            version: machine::version(),
            threads: ops::threads(),
            device: device.note().to_string(),
            peak_flops_per_second: self.peak()?,
            rates,
            rows,
            asked: self.asked.take(),
        };
        if self.json {
            return json(&report);
        }
        let place = match report.rates {
            None => format!("peak {:.0} GFLOP/s", report.peak_flops_per_second * 1e-9),
            Some(Rates {
                flops_per_second,
                bytes_per_second,
            }) => format!(
                "{}\nmatrix products at {:.2} GFLOP/s, copies at {:.2} GB/s; \"of peak\" is of the former",
                report.device,
                flops_per_second * 1e-9,
                bytes_per_second * 1e-9
            ),
        };
        let asked = tables::asked(&report.asked);
        let (rows, asked) = match self.markdown {
            true => (tables::table(&report.rows).markdown(), asked.markdown()),
            false => (tables::table(&report.rows).text(), asked.text()),
        };
        let asked = match report.asked.is_empty() {
            true => String::new(),
            false => format!("\nWhat a call asks of the device\n\n{asked}"),
        };
        print(&format!(
            "{}, {} threads, {place}\n\n{rows}{asked}",
            report.machine, report.threads
        ))
    }
}
