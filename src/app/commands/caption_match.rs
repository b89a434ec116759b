//! `clipwright caption-match`: ranks captions by how well they describe a picture.

use super::pictures::Images;
use super::ranking::{Logits, Ranking};
use super::texts::{lines, warn_truncated};
use super::{CliError, Context};
use crate::app::number::positive;
use crate::embed::Family;
use crate::eval::templates::PLACE;
use crate::files;
use clap::Args;
use std::path::PathBuf;

/// Find the captions that describe pictures best
///
/// This is image-to-text retrieval: captions are used unchanged and ranked by the cosine of their embedding with the
/// picture's. The probabilities are the softmax over all captions of the file, at the model's learnt scale; or those of
/// each caption by itself, if the model was trained by the sigmoid loss (SigLIP).
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  clipwright caption-match photo.jpg --captions captions.txt -k 10

A line of JSON for each picture:
  {\"image\", \"best\": [{\"index\", \"text\", \"cosine\", \"probability\"}, …]}
index counts captions from 0.")]
pub(crate) struct CaptionMatch {
    #[command(flatten)]
    images: Images,
    /// Text file with one caption per line, `-` for standard input; blank lines are skipped
    #[arg(long, value_name = "FILE")]
    captions: PathBuf,
    /// Number of captions to show
    #[arg(short, value_name = "K", default_value_t = 5, value_parser = positive())]
    k: usize,
    /// Exit with code 0 even if some of the pictures cannot be read
    #[arg(long)]
    skip_unreadable: bool,
}

impl CaptionMatch {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        let captions: Vec<String> = lines(&self.captions)?.into_iter().map(|(_, line)| line).collect();
        let named = self.images.find()?;
        named.warn_passed_over();
        let clip = context.clip()?;
        warn_truncated(&clip.text, &captions, &[PLACE]);
        let (rows, logits) = (clip.encode_text(&captions), Logits::of(&clip));
        let model = Family::Clip(clip);
        let bar = context.output.progress(named.paths.len(), "pictures");
        let tally = named.embed(&model, &bar, |i, embedding| {
            let image = files::name(&named.paths[i]).into_owned();
            let ranking = Ranking::new(image, embedding, &captions, rows.view(), logits, self.k);
            bar.suspend(|| context.output.show(&ranking))
        })?;
        tally.verdict(self.skip_unreadable)
    }
}
