//! `clipwright explain step`: one training step of a CLIP, from pairs to moved weights.
//!
//! | file | what it knows |
//! |---|---|
//! | `learner` | the model that takes the step |
//! | `pairs` | the pairs of the step, as the trainer reads them but not varied at random |
//! | `taken` | the step itself: by the tour's functions from embeddings to gradients, by the trainer to moved weights |
//! | `report` | what is printed |
//! | `page`, `tables` | the page, and its tables with a temperature that can be moved |

mod learner;
mod page;
mod pairs;
mod report;
mod tables;
mod taken;

use super::page::{PAIRS, Page};
use crate::app::commands::{CliError, Context};
use crate::app::number::above_zero;
use clap::Args;
use learner::Learner;
use pairs::{Chosen, Pairs};
use report::Report;

/// Show one real training step of a CLIP: embeddings, softmaxes, gradients, moves
///
/// N pictures and N captions become rows of length 1, Î and T̂, and these the logits S = s Î T̂ᵀ. P is the softmax of
/// each row of S, Q that of each column, and dS = (P + Q − hard) / 2N the gradient of the loss, where hard is 2 for a
/// picture and its own caption: where dS is below 0 they are pulled together, where it is above 0 pushed apart. The
/// trainer then takes the step itself, the first one of AdamW, in which nearly every number moves by about --lr, however
/// small its gradient.
///
/// Two pairs of one concept, or with one caption, fit each other, as in training. Pictures are not varied at random.
/// The model is not changed on disk.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  clipwright explain step --fresh Emoji-ViT-S --output step.html
  clipwright explain step --model runs/emoji -n 4 --lr 1e-5
  clipwright explain step --pairs pairs.csv --json

A line of JSON:
  {\"model\", \"lr\", \"pairs\": [{\"caption\", \"tokens\": [{\"id\", \"token\"}]}], \"scale\", \"fits\",
   \"images\", \"texts\", \"cosines\", \"logits\", \"p\", \"q\", \"dlogits\",
   \"dimages\", \"dtexts\", \"dlogit_scale\", \"loss_by_tour\",
   \"before\", \"after\": {\"loss\", \"image_to_text\", \"text_to_image\"}, \"grad_norm\",
   \"tensors\": [{\"name\", \"shape\", \"norm\", \"grad_norm\", \"move_norm\", \"share\"}]}
The loss is the mean of its two directions; share is move_norm / norm, and null where the tensor was 0.")]
pub(crate) struct Step {
    /// Preset whose weights are drawn instead of reading a model [default without a model: Emoji-ViT-S]
    #[arg(long, value_name = "PRESET")]
    fresh: Option<String>,
    /// Seed of the drawn weights [default: 0]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    #[command(flatten)]
    chosen: Chosen,
    /// Learning rate
    #[arg(long, value_name = "RATE", default_value_t = 1e-4, value_parser = above_zero::<f32>)]
    lr: f32,
    #[command(flatten)]
    page: Page,
}

impl Step {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        let learner = Learner::open(self.fresh.as_deref(), self.seed, context)?;
        let pairs = Pairs::read(&self.chosen, &learner)?;
        let report = Report::new(learner, pairs, self.lr);
        let style = [PAIRS, page::STYLE, tables::STYLE].concat();
        self.page.write("One training step", &style, || page::body(&report))?;
        context.output.show(&report)
    }
}
