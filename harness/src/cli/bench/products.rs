//! `bench products`: what share of the processor's peak the matrix products of a training step reach.

use super::DecoderBench;
use crate::bench::{Entrant, median, race};
use crate::cli::table::Table;
use crate::cli::{Ended, Failure, json, print};
use crate::machine;
use farspan_attention::bench::{Product, Products};
use farspan_attention::ops;
use serde::Serialize;

/// Rows of the vocabulary's product that the loss takes at a time, of a vocabulary of 4096.
const LOSS_ROWS: usize = 512;

/// One product of a training step.
#[derive(Debug, Serialize)]
struct Row {
    layer: &'static str,
    product: Product,
    rows: usize,
    inner: usize,
    out: usize,
    /// How often a step computes it.
    times: usize,
    seconds: f64,
    flops_per_second: f64,
    of_peak: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: String,
    version: &'static str,
    threads: usize,
    peak_flops_per_second: f64,
    rows: Vec<Row>,
    /// Of all products of a step, each as often as it is computed.
    seconds: f64,
    flops_per_second: f64,
    of_peak: f64,
}

impl DecoderBench {
    pub(super) fn products(&self) -> Ended {
        self.common.start()?;
        if !self.common.open()?.is_cpu() {
            let text = format!(
                "bench products: expected --device cpu, found {}",
                self.common.device
            );
            return Err(Failure::usage(text));
        }
        let mut report = Report {
            machine: machine::machine(),
            version: machine::version(),
            threads: ops::threads(),
            peak_flops_per_second: ops::peak_flops(),
            rows: Vec::new(),
            seconds: 0.0,
            flops_per_second: 0.0,
            of_peak: 0.0,
        };
        let mut flops = 0.0;
        for &length in &self.length {
            for layer in self.layers_of_a_step(length) {
                flops += self.time(layer, &mut report)?;
            }
        }
        report.seconds = report.rows.iter().map(|r| r.times as f64 * r.seconds).sum();
        report.flops_per_second = flops / report.seconds;
        report.of_peak = report.flops_per_second / report.peak_flops_per_second;
        if self.common.json {
            return json(&report);
        }
        let table = table(&report);
        let table = match self.common.markdown {
            true => table.markdown(),
            false => table.text(),
        };
        print(&format!(
            "{}, {} threads, peak {:.0} GFLOP/s\n\n{table}",
            report.machine,
            report.threads,
            report.peak_flops_per_second * 1e-9
        ))
    }

    /// Names, (rows, in, out) and how often a step goes through them.
    fn layers_of_a_step(&self, length: usize) -> [(&'static str, [usize; 3], usize); 5] {
        let (rows, width) = (self.batch * length, self.width);
        let heads = self.common.heads;
        let head_dim = width / heads.max(1);
        let all = (heads + 2 * self.common.kv_heads()) * head_dim;
        let at_once = LOSS_ROWS.min(rows);
        [
            ("qkv", [rows, width, all], self.layers),
            ("out", [rows, heads * head_dim, width], self.layers),
            ("gate, up", [rows, width, 2 * self.hidden], self.layers),
            ("down", [rows, self.hidden, width], self.layers),
            (
                "vocabulary",
                [at_once, width, self.vocab],
                rows.div_ceil(at_once),
            ),
        ]
    }

    /// Adds the rows of one layer; returns the floating-point operations of a step in them.
    fn time(
        &self,
        (layer, [rows, inner, out], times): (&'static str, [usize; 3], usize),
        report: &mut Report,
    ) -> Result<f64, Failure> {
        let products = Products::new(rows, inner, out);
        let all = [
            Product::Forward,
            Product::GradientOfRows,
            Product::GradientOfWeight,
        ];
        let mut entrants = all.map(|product| {
            let products = &products;
            Entrant::new(layer, move || {
                products.run(product);
                Ok(())
            })
        });
        let samples = race(self.common.repeats, &mut entrants)?;
        for (product, samples) in all.into_iter().zip(samples) {
            let seconds = median(&samples);
            let flops_per_second = products.flops() / seconds;
            report.rows.push(Row {
                layer,
                product,
                rows,
                inner,
                out,
                times,
                seconds,
                flops_per_second,
                of_peak: flops_per_second / report.peak_flops_per_second,
            });
        }
        Ok((all.len() * times) as f64 * products.flops())
    }
}

fn table(report: &Report) -> Table {
    let mut table = Table::new(&[
        "layer", "product", ">rows", ">in", ">out", ">times", ">ms", ">GFLOP/s", ">of peak",
    ]);
    let rates = |seconds: f64, rate: f64, of_peak: f64| {
        [
            format!("{:.1}", seconds * 1e3),
            format!("{:.0}", rate * 1e-9),
            format!("{:.0} %", of_peak * 100.0),
        ]
    };
    for row in &report.rows {
        let product = match row.product {
            Product::Forward => "x · Wᵀ",
            Product::GradientOfRows => "dy · W",
            Product::GradientOfWeight => "dyᵀ · x",
        };
        let sizes = [row.rows, row.inner, row.out, row.times].map(|n| n.to_string());
        let rates = rates(row.seconds, row.flops_per_second, row.of_peak);
        let names = [row.layer.to_string(), product.to_string()];
        table.row(names.into_iter().chain(sizes).chain(rates));
    }
    let all = rates(report.seconds, report.flops_per_second, report.of_peak);
    let names = ["all of a step", "", "", "", "", ""].map(String::from);
    table.row(names.into_iter().chain(all));
    table
}
