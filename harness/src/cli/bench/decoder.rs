//! `bench train` and `bench eval`: a whole decoder.

use super::{Common, Contestant, parsed};
use crate::bench::decoder::{self, Evaluating, Training, train_config};
use crate::bench::{Pass, memory};
use crate::cli::{Ended, print};
use crate::config::types::TrainConfig;
use crate::model::Shape;
use clap::Args;
use farspan_attention::Device;
use farspan_attention::plan::Geometry;
use farspan_pe::Registry;

#[derive(Debug, Args)]
pub(super) struct DecoderBench {
    #[command(flatten)]
    pub(super) common: Common,
    /// Length of a window in tokens
    #[arg(long, value_delimiter = ',', default_values_t = [512])]
    pub(super) length: Vec<usize>,
    /// Windows at once
    #[arg(long, default_value_t = 8)]
    pub(super) batch: usize,
    /// Width of the residual stream
    #[arg(long, default_value_t = 256)]
    pub(super) width: usize,
    /// Layers
    #[arg(long, default_value_t = 6)]
    pub(super) layers: usize,
    /// Hidden width of the feed-forward block
    #[arg(long, default_value_t = 688)]
    pub(super) hidden: usize,
    /// Size of the vocabulary
    #[arg(long, default_value_t = 4096)]
    pub(super) vocab: usize,
}

impl DecoderBench {
    pub(super) fn run(&self, registry: &Registry, pass: Pass) -> Ended {
        let schemes = self.common.schemes(&["rope"]);
        self.common.start()?;
        let config = train_config();
        if self.common.peak_only {
            let (scheme, length) = (&schemes[0], self.length[0]);
            let peak = memory::peak_of(|| {
                let mut work = self.work(registry, scheme, length, pass, &config)?.0;
                // Moments are there from the first step on; the second is like all others.
                work()?;
                work().map(|_| ())
            })?;
            return print(&format!("{peak}\n"));
        }
        let mut rows = Vec::new();
        for &length in &self.length {
            let mut contestants = Vec::new();
            for scheme in &schemes {
                let (work, flops) = self.work(registry, scheme, length, pass, &config)?;
                let size = (self.batch, length);
                contestants.push(Contestant {
                    scheme: scheme.clone(),
                    flops,
                    work,
                    alone: self.alone(scheme, length, pass),
                    peers: decoder::peer_cases(scheme, &self.shape(), size, pass),
                });
            }
            let tokens = self.batch * length;
            rows.extend(
                self.common
                    .measure(&mut contestants, pass, length, tokens)?,
            );
        }
        self.common.print(rows)
    }

    #[expect(clippy::type_complexity, reason = "a call and its cost, used twice")]
    fn work<'a>(
        &self,
        registry: &Registry,
        scheme: &str,
        length: usize,
        pass: Pass,
        config: &'a TrainConfig,
    ) -> crate::Result<(Box<dyn FnMut() -> crate::Result<&'static str> + 'a>, f64)> {
        let shape = self.shape();
        let scheme = parsed(registry, scheme)?;
        let size = (self.batch, length);
        let device = Device::open(&self.common.device)?;
        Ok(if pass == Pass::Train {
            let mut training = Training::new(&shape, &scheme, size, config, &device)?;
            let flops = training.flops();
            (Box::new(move || training.run()), flops)
        } else {
            let evaluating = Evaluating::new(&shape, &scheme, size, &device)?;
            let flops = evaluating.flops();
            (Box::new(move || evaluating.run()), flops)
        })
    }

    fn shape(&self) -> Shape {
        Shape {
            geometry: Geometry {
                layers: self.layers,
                width: self.width,
                heads: self.common.heads,
                kv_heads: self.common.kv_heads(),
                head_dim: self.width / self.common.heads.max(1),
                trained_length: self.common.trained_length,
            },
            hidden: self.hidden,
            vocab: self.vocab,
        }
    }

    fn alone(&self, scheme: &str, length: usize, pass: Pass) -> Vec<String> {
        let own = [
            ("length", length.to_string()),
            ("batch", self.batch.to_string()),
            ("width", self.width.to_string()),
            ("layers", self.layers.to_string()),
            ("hidden", self.hidden.to_string()),
            ("vocab", self.vocab.to_string()),
        ];
        self.common.alone(pass.name(), scheme, &own)
    }
}
