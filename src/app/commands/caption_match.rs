//! `clipwright caption-match`: the captions that describe a picture best.

use super::pictures::{Named, Reading};
use super::ranking::Ranking;
use super::texts::{lines, warn_truncated};
use super::{CliError, Context};
use crate::app::number::positive;
use crate::eval::templates::PLACE;
use clap::Args;
use std::path::PathBuf;

/// Find the captions that describe a picture best
///
/// This is image-to-text retrieval: captions are used unchanged and ranked by the cosine of their embedding with the
/// picture's. The probabilities are the softmax over all captions of the file, at the model's learnt scale.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  clipwright caption-match photo.jpg --captions captions.txt -k 10

As JSON: {\"image\", \"best\": [{\"index\", \"text\", \"cosine\", \"probability\"}, …]}; index counts captions from 0.")]
pub struct CaptionMatch {
    /// Picture to describe: PNG, JPEG, WebP, GIF, BMP or TIFF
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// Text file with one caption per line, `-` for standard input; blank lines are skipped
    #[arg(long, value_name = "FILE")]
    captions: PathBuf,
    /// Number of captions to show
    #[arg(short, value_name = "K", default_value_t = 5, value_parser = positive())]
    k: usize,
    #[command(flatten)]
    reading: Reading,
}

impl CaptionMatch {
    pub fn run(self, context: &Context) -> Result<(), CliError> {
        let captions: Vec<String> = lines(&self.captions)?.into_iter().map(|(_, line)| line).collect();
        let clip = context.clip()?;
        warn_truncated(&clip.text, &captions, &[PLACE]);
        let rows = clip.encode_text(&captions);
        let image = self.image.display().to_string();
        let bar = context.output.progress(1, "pictures");
        let tally = Named::one(self.image, self.reading).embed(&clip.image, &bar, |_, embedding| {
            context.output.show(&Ranking::new(image.clone(), embedding, &captions, rows.view(), clip.scale(), self.k))
        })?;
        tally.verdict(false)
    }
}
