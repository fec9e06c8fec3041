//! `generate`: a checkpoint goes on with a text.

use super::pretrained::{Source, at_least_one, notes_untrained, tell_notes};
use super::{Ended, Failure, json, print};
use crate::Error;
use crate::checkpoint::ends::ends;
use crate::checkpoint::text::Tokenizer;
use crate::model::generate::{Choice, generate};
use crate::scheme::Positional;
use clap::Args;
use farspan_pe::Registry;
use serde_json::json;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    farspan generate --model DIR --prompt \"Once upon a time\"\n  \
    farspan generate --model DIR --prompt \"Once\" --temperature 0.8 --top-k 40 --seed 1 --scheme yarn,factor=4")]
pub(super) struct Generate {
    #[command(flatten)]
    source: Source,
    /// Scheme instead of the config's: an id and settings
    #[arg(long, value_name = "ID,KEY=VALUE,…")]
    scheme: Option<Positional>,
    /// Text to go on with
    #[arg(long)]
    prompt: String,
    /// New tokens
    #[arg(long, default_value_t = 64)]
    tokens: usize,
    /// Logits are divided by it before a token is drawn; 0: the most likely token
    #[arg(long, default_value_t = 0.0)]
    temperature: f64,
    /// Draw among so many most likely tokens [default: all]
    #[arg(long, value_parser = at_least_one)]
    top_k: Option<usize>,
    /// Seed of the draws [default: 0]
    #[arg(long)]
    seed: Option<u64>,
    /// Ids that end the text, beside the checkpoint's own (EOS)
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    stop: Vec<u32>,
    /// Go on behind the checkpoint's own end of text
    #[arg(long)]
    ignore_eos: bool,
    /// Print prompt, text and token ids as JSON, at the end
    #[arg(long)]
    json: bool,
}

impl Generate {
    pub(super) fn run(&self, registry: &Registry) -> Ended {
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            let text = format!(
                "--temperature: expected 0 or more, found {}",
                self.temperature
            );
            return Err(Failure::usage(text));
        }
        if self.temperature == 0.0 && (self.top_k.is_some() || self.seed.is_some()) {
            let text = "--top-k and --seed are for draws: set --temperature above 0 as well";
            return Err(Failure::usage(text));
        }
        let choice = match self.temperature {
            0.0 => Choice::Greedy,
            temperature => Choice::Sampled {
                temperature,
                among: self.top_k.unwrap_or(usize::MAX),
            },
        };
        let dir = self.source.dir()?;
        let tokenizer = Tokenizer::open(&dir)?;
        let prompt = tokenizer.beginning("--prompt", &self.prompt)?.ids;
        let model = self.source.open(registry, self.scheme.as_ref())?;
        tell_notes(&notes_untrained(&model.architecture, model.scheme.as_ref()));
        let mut stops = self.stop.clone();
        if !self.ignore_eos {
            stops.extend(ends(&dir, &tokenizer)?);
        }
        let mut shown = tokenizer.text(&prompt)?;
        if !self.json {
            print(&shown)?;
        }
        let mut ids = prompt.clone();
        let way = (self.seed.unwrap_or(0), self.source.chunk);
        generate(&model, &prompt, self.tokens, choice, way, |id| {
            ids.push(id);
            let text = tokenizer.text(&ids)?;
            // A character may take several tokens; it is shown once it is whole.
            if let Some(new) = text
                .strip_prefix(&shown)
                .filter(|new| !new.ends_with('\u{fffd}'))
            {
                if !self.json {
                    print(new).map_err(|failure| {
                        Error::io("the terminal", std::io::Error::other(failure.text))
                    })?;
                }
                shown = text;
            }
            Ok(!stops.contains(&id))
        })?;
        if self.json {
            let new = ids.split_off(prompt.len());
            let text = tokenizer.text(&new)?;
            return json(
                &json!({ "prompt": self.prompt, "text": text, "prompt_ids": prompt, "ids": new }),
            );
        }
        print("\n")
    }
}
