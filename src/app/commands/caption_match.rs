//! `clipwright caption-match`: which of these captions describes the picture?

use super::pictures::Named;
use super::ranking::Ranking;
use super::texts::{lines, warn_truncated};
use super::{CliError, Context};
use crate::app::number::positive;
use crate::eval::templates::PLACE;
use clap::Args;
use std::path::PathBuf;

/// Find the captions that describe a picture best
///
/// Image-to-text retrieval: captions are taken as they stand and ranked by the cosine of their embedding with the
/// picture's. The probabilities are the softmax over all captions of the file, at the model's learnt scale.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  clipwright caption-match photo.jpg --captions captions.txt -k 10

As JSON: {\"image\", \"best\": [{\"index\", \"text\", \"cosine\", \"probability\"}, …]}; index counts captions from 0.")]
pub struct CaptionMatch {
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// A text file with one caption a line; blank lines are passed over
    #[arg(long, value_name = "FILE")]
    captions: PathBuf,
    /// Show this many captions
    #[arg(short, value_name = "K", default_value_t = 5, value_parser = positive())]
    k: usize,
}

impl CaptionMatch {
    pub fn run(self, context: &Context) -> Result<(), CliError> {
        let captions: Vec<String> = lines(&self.captions)?.into_iter().map(|(_, line)| line).collect();
        let clip = context.clip()?;
        warn_truncated(&clip.text, &captions, &[PLACE]);
        let rows = clip.encode_text(&captions);
        let image = self.image.display().to_string();
        let bar = context.output.progress(1, "pictures");
        let tally = Named::from(self.image).embed(&clip.image, &bar, |_, embedding| {
            context.output.show(&Ranking::new(image.clone(), embedding, &captions, rows.view(), clip.scale(), self.k))
        })?;
        tally.verdict(false)
    }
}
