//! `bench attention`: one call, forward and with gradients.

use super::{Common, Contestant, parsed};
use crate::bench::attention::{self, Attention};
use crate::bench::{Pass, memory};
use crate::cli::{Ended, Failure, print};
use clap::Args;
use farspan_attention::attend::Implementation;
use farspan_attention::plan::Geometry;
use farspan_pe::{Len, Registry};

#[derive(Debug, Args)]
pub(super) struct AttentionBench {
    #[command(flatten)]
    common: Common,
    /// Lengths in tokens
    #[arg(long, value_delimiter = ',', default_values_t = [2048, 8192])]
    length: Vec<usize>,
    /// Windows at once
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Channels of a head
    #[arg(long, default_value_t = 64)]
    head_dim: usize,
    /// What to measure: forward, both
    #[arg(long, value_delimiter = ',', default_values = ["forward", "both"])]
    pass: Vec<String>,
    /// Implementation: auto, fused, composed or naive
    #[arg(long, default_value = "auto")]
    implementation: Implementation,
}

impl AttentionBench {
    pub(super) fn run(&self, registry: &Registry) -> Ended {
        let passes = self.passes()?;
        let schemes = ["nope", "rope", "alibi", "t5", "kerple", "fire"];
        let schemes = self.common.schemes(&schemes);
        self.common.start()?;
        if self.common.peak_only {
            let (scheme, length) = (&schemes[0], self.length[0]);
            let attention = self.case(registry, scheme, length)?;
            let peak = memory::peak_of(|| attention.run(passes[0]).map(|_| ()))?;
            return print(&format!("{peak}\n"));
        }
        let mut rows = Vec::new();
        for &length in &self.length {
            let cases: Vec<(&String, Attention)> = schemes
                .iter()
                .map(|scheme| Ok((scheme, self.case(registry, scheme, length)?)))
                .collect::<Result<_, Failure>>()?;
            for &pass in &passes {
                let mut contestants: Vec<Contestant<'_>> = cases
                    .iter()
                    .map(|(scheme, attention)| self.contestant(scheme, attention, length, pass))
                    .collect();
                let tokens = self.batch * length;
                rows.extend(
                    self.common
                        .measure(&mut contestants, pass, length, tokens)?,
                );
            }
        }
        self.common.print(rows)
    }

    fn contestant<'a>(
        &self,
        scheme: &str,
        attention: &'a Attention,
        length: usize,
        pass: Pass,
    ) -> Contestant<'a> {
        let size = (self.batch, length);
        Contestant {
            scheme: scheme.to_string(),
            flops: attention.flops(pass),
            work: Box::new(move || attention.run(pass)),
            alone: self.alone(scheme, length, pass),
            peers: attention::peer_cases(scheme, &self.geometry(), size, pass),
        }
    }

    fn passes(&self) -> Result<Vec<Pass>, Failure> {
        let pass = |name: &String| match name.as_str() {
            "forward" => Ok(Pass::Forward),
            "both" => Ok(Pass::Both),
            other => {
                let text = format!("--pass: expected forward or both, found {other:?}");
                Err(Failure::usage(text))
            }
        };
        self.pass.iter().map(pass).collect()
    }

    /// Of three layers, so that the second has one on each side that may hand it something or take it.
    fn geometry(&self) -> Geometry {
        Geometry {
            layers: 3,
            width: self.common.heads * self.head_dim,
            heads: self.common.heads,
            kv_heads: self.common.kv_heads(),
            head_dim: self.head_dim,
            trained_length: self.common.trained_length,
        }
    }

    fn case(&self, registry: &Registry, scheme: &str, length: usize) -> Result<Attention, Failure> {
        let geometry = self.geometry();
        let scheme = parsed(registry, scheme)?;
        let plan = scheme.layer_plans(&geometry, Len(length))?.swap_remove(1);
        let size = (self.batch, length);
        let device = self.common.open()?;
        Ok(Attention::new(
            &plan,
            &geometry,
            size,
            self.implementation,
            &device,
        )?)
    }

    fn alone(&self, scheme: &str, length: usize, pass: Pass) -> Vec<String> {
        let own = [
            ("length", length.to_string()),
            ("batch", self.batch.to_string()),
            ("head-dim", self.head_dim.to_string()),
            ("pass", pass.name().into()),
            ("implementation", self.implementation.to_string()),
        ];
        self.common.alone("attention", scheme, &own)
    }
}
