//! The model that takes the step.

use crate::app::commands::convert::random;
use crate::app::commands::{CliError, Context};
use crate::checkpoint::ConfigFile;
use crate::embed::{Opened, tokenizer};
use crate::models::clip::model::Model;
use crate::text::Tokenizer;
use std::path::Path;

/// The preset whose weights are drawn if there is no model.
const PRESET: &str = "Emoji-ViT-S";

/// The model that takes the step, and how it reads pairs.
pub(super) struct Learner {
    /// What is said of where the model is from.
    pub name: String,
    pub model: Model,
    pub config: ConfigFile,
    pub tokenizer: Tokenizer,
}

impl Learner {
    pub fn open(fresh: Option<&str>, seed: Option<u64>, context: &Context) -> Result<Self, CliError> {
        if fresh.is_some() {
            context.refuse_model("--fresh draws the weights of a new model; leave --model out")?;
        }
        match context.found_model().filter(|_| fresh.is_none()) {
            Some(path) if seed.is_some() => {
                let path = path.display();
                Err(CliError::Usage(format!(
                    "--seed: the weights are those of {path}; draw new ones with --fresh PRESET"
                )))
            }
            Some(path) => Self::read(&path, context),
            None => Self::drawn(fresh.unwrap_or(PRESET), seed.unwrap_or(0)),
        }
    }

    fn drawn(preset: &str, seed: u64) -> Result<Self, CliError> {
        let (model, config) = random(preset, seed)?;
        let name = format!("{preset}, weights drawn by seed {seed}");
        Ok(Learner { name, model, config, tokenizer: Tokenizer::clip() })
    }

    fn read(path: &Path, context: &Context) -> Result<Self, CliError> {
        let Opened::Clip(checkpoint) = context.open_found(path)? else {
            return Err(CliError::Usage(format!("{}: a BLIP; this shows the step of a CLIP", path.display())));
        };
        let (model, config) = checkpoint.model()?;
        if config.model_cfg.init_logit_bias.is_some() {
            let reason = "judges each pair by itself, with a bias; this shows the contrast by softmax, without one";
            return Err(CliError::Usage(format!("{}: {reason}", path.display())));
        }
        let (tokenizer, _) = tokenizer(&checkpoint)?;
        Ok(Learner { name: path.display().to_string(), model, config, tokenizer })
    }
}
