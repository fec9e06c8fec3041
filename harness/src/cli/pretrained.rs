//! Arguments of all commands that run a checkpoint.

use super::Failure;
use crate::checkpoint::config::Positional;
use crate::checkpoint::decoder::Pretrained;
use crate::checkpoint::files::Files;
use crate::checkpoint::hub;
use clap::Args;
use farspan_attention::Device;
use farspan_pe::Registry;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct Source {
    /// Checkpoint folder with config.json and safetensors weights, or a model id in the Hugging Face cache
    #[arg(long, value_name = "DIR")]
    model: String,
    /// Device: auto, cpu, cuda[:i], metal[:i] or wgpu[:i]
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Tokens that run at once; less needs less memory
    #[arg(long, default_value_t = 512, value_name = "TOKENS")]
    pub(super) chunk: usize,
    /// Read weights that are NaN or infinite as they are, in place of refusing them
    #[arg(long)]
    allow_non_finite: bool,
}

impl Source {
    /// The checkpoint's folder.
    pub(super) fn dir(&self) -> Result<PathBuf, Failure> {
        Ok(hub::folder(&self.model)?)
    }

    /// The model under `scheme`, or under the scheme of its config.
    pub(super) fn open(
        &self,
        registry: &Registry,
        scheme: Option<&Positional>,
    ) -> Result<Pretrained, Failure> {
        let device = Device::open(&self.device).map_err(|e| Failure::usage(e.to_string()))?;
        let files = Files::open(&self.dir()?)?.with_non_finite(self.allow_non_finite);
        Ok(Pretrained::from_files(&files, registry, scheme, &device)?)
    }
}
