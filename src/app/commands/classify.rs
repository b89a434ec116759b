//! `clipwright classify`: which of these words fits the picture?

use super::pictures::Named;
use super::ranking::Ranking;
use super::texts::{distinct, lines, templates, warn_truncated};
use super::{CliError, Context};
use crate::app::number::positive;
use crate::eval::templates::embed_classes;
use clap::Args;
use std::path::PathBuf;

/// Name what pictures show, choosing from your own labels
///
/// Zero-shot classification: nothing is trained. Every label is put into sentences ("a photo of a cat."), each sentence
/// is embedded, and the mean of a label's embeddings is what the picture is compared with. The probabilities are the
/// softmax of the cosines times the model's learnt scale: they say which of THESE labels fits best, not whether any of
/// them fits well.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  clipwright classify photo.jpg --labels cat,dog,bird
  clipwright classify photos/ --labels-file imagenet.txt --templates openai -k 3
  clipwright classify photos/ --labels cat,dog --json > answers.jsonl

A line of JSON for each picture: {\"image\", \"best\": [{\"index\", \"text\", \"cosine\", \"probability\"}, …]}.")]
pub struct Classify {
    /// Pictures, or folders of pictures: PNG, JPEG, WebP, GIF, BMP, TIFF
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// What to choose from, separated by commas
    #[arg(long, value_name = "LABELS", value_delimiter = ',', required_unless_present = "labels_file")]
    labels: Vec<String>,
    /// The same from a file, one label a line
    #[arg(long, value_name = "FILE", conflicts_with = "labels")]
    labels_file: Option<PathBuf>,
    /// The sentences labels are put into: `simple` is "a photo of a {}.", `openai` the 80 of OpenAI's ImageNet results;
    /// or a file with one a line, {} standing for the label
    #[arg(long, value_name = "simple|openai|FILE", default_value = "simple")]
    templates: String,
    /// Show this many labels for each picture
    #[arg(short, value_name = "K", default_value_t = 5, value_parser = positive())]
    k: usize,
    /// Exit with 0 although some of the pictures could not be read
    #[arg(long)]
    skip_unreadable: bool,
}

impl Classify {
    pub fn run(self, context: &Context) -> Result<(), CliError> {
        let labels = self.labels()?;
        let templates = templates(&self.templates)?;
        let named = Named::expand(self.images)?;
        let clip = context.clip()?;
        warn_truncated(&clip.text, &labels, &templates);
        let bar = context.output.progress(labels.len(), "labels");
        let classes = embed_classes(&clip, &labels, &templates, |n| bar.inc(n as u64));
        bar.finish_and_clear();
        let bar = context.output.progress(named.paths.len(), "pictures");
        let tally = named.embed(&clip.image, &bar, |i, embedding| {
            let image = named.paths[i].display().to_string();
            let ranking = Ranking::new(image, embedding, &labels, classes.view(), clip.scale(), self.k);
            bar.suspend(|| context.output.show(&ranking))
        })?;
        tally.verdict(self.skip_unreadable)
    }

    fn labels(&self) -> Result<Vec<String>, CliError> {
        let (labels, place) = match &self.labels_file {
            Some(path) => (lines(path)?.into_iter().map(|(_, line)| line).collect(), path.display().to_string()),
            None => (self.labels.iter().map(|label| label.trim().to_owned()).collect(), "--labels".to_owned()),
        };
        let labels = distinct(labels);
        if labels.is_empty() { Err(CliError::NoTexts { place }) } else { Ok(labels) }
    }
}
