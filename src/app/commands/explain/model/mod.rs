//! `clipwright explain model`: the parts of a model, and what each takes.
//!
//! | file | what it knows |
//! |---|---|
//! | `towers` | the parts of either family, equal neighbours together |
//! | `report`, `page` | what is printed, and the page of boxes |

mod page;
mod report;
mod towers;

use super::page::Page;
use crate::app::commands::bench::may_be_preset;
use crate::app::commands::{CliError, Context};
use crate::checkpoint::Checkpoint;
use crate::embed::Opened;
use crate::models::blip::Parts;
use crate::models::{Keep, blip, clip};
use clap::{Args, value_parser};
use report::Report;
use std::path::{Path, PathBuf};
use towers::Sizes;

/// Show a model's parts: sizes in and out, parameters, arithmetic, memory
///
/// Multiply-adds are those of a forward pass of one picture or of one text, and only those that a result depends on;
/// a backward pass takes twice as many. Kept is what a step of training keeps of one pair from the forward to the
/// backward pass. Every number is that of the code: the parameter tables, the tables of its buffers, and the counts of
/// `clipwright bench`. Nothing of a checkpoint is read but its sizes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  clipwright explain model ViT-B-32
  clipwright explain model BLIP-base --caption-tokens 20 --output blip.html
  clipwright explain model openai/clip-vit-base-patch16 --json

A line of JSON:
  {\"model\", \"caption_tokens\", \"grad_checkpointing\", \"parameters\",
   \"towers\": [{\"name\", \"parts\": [{\"name\", \"count\", \"input\", \"output\", \"parameters\", \"shared\",
    \"multiply_adds\", \"kept_bytes\"}], \"parameters\", \"multiply_adds\", \"kept_bytes\"}]}
count is how many equal parts follow each other, and all numbers behind it are those of all of them together; shared
are parameters that another part has, too.")]
pub(crate) struct Model {
    /// Preset, model folder or file of weights [default: that of --model, or ViT-B-32]
    #[arg(value_name = "NAME|PATH")]
    name: Option<PathBuf>,
    /// Length of the text in tokens, start and end included
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = value_parser!(u32).range(2..))]
    caption_tokens: u32,
    /// Keep the inputs alone of each block, and compute the other activations twice
    #[arg(long)]
    grad_checkpointing: bool,
    #[command(flatten)]
    page: Page,
}

impl Model {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        let name = match self.name {
            Some(name) => {
                context.refuse_model("explain model takes NAME or --model, not both")?;
                name
            }
            None => context.named_model().unwrap_or_else(|| "ViT-B-32".into()),
        };
        let (sizes, tokens) = (sizes(context, &name)?, self.caption_tokens as usize);
        if let Some(limit) = sizes.longest_text().filter(|limit| tokens > *limit) {
            let reason = format!("--caption-tokens {tokens}: {} reads {limit} at most", name.display());
            return Err(CliError::Usage(reason));
        }
        let keep = Keep::All.checkpointed(self.grad_checkpointing);
        let report =
            Report::new(name.display().to_string(), tokens, self.grad_checkpointing, sizes.towers(tokens, keep));
        self.page.write(&report.model, page::STYLE, || page::body(&report))?;
        context.output.show(&report)
    }
}

/// Returns the sizes of a preset, or of a checkpoint, of which nothing else is read.
fn sizes(context: &Context, name: &Path) -> Result<Sizes, CliError> {
    if may_be_preset(name) {
        let text = name.to_string_lossy();
        return Ok(match blip::Config::preset(&text, Parts::Pretrained) {
            Some(config) => Sizes::Blip(Box::new(config)),
            None => Sizes::of_clip(&clip::Config::preset(&text)?),
        });
    }
    Ok(match context.open_found(name)? {
        Opened::Blip(described) => Sizes::Blip(Box::new(described.config)),
        Opened::Clip(checkpoint) => of_checkpoint(&checkpoint)?,
    })
}

fn of_checkpoint(checkpoint: &Checkpoint) -> Result<Sizes, CliError> {
    let scalars = [checkpoint.logit_scale()?, checkpoint.logit_bias()?].into_iter().flatten().count();
    let architecture = &checkpoint.architecture;
    Ok(Sizes::Clip { image: architecture.vision(), text: architecture.text(), scalars })
}
