//! `clipwright classify`: ranks labels by how well they fit a picture.

use super::pictures::Images;
use super::ranking::{Logits, Ranking};
use super::texts::{distinct, labels, templates, warn_long};
use super::{CliError, Context};
use crate::app::number::positive;
use crate::embed::Family;
use crate::eval::templates::embed_classes;
use crate::files;
use clap::Args;
use std::path::PathBuf;

/// The temperature with which BLIP's training begins. Its published files are without the one with which it ended.
const TEMPERATURE: f32 = 0.07;

/// Name what pictures show, choosing from your own labels
///
/// This is zero-shot classification: nothing is trained. Every label is put into sentences ("a photo of a cat."), each
/// sentence is embedded, and the picture is compared with the mean of a label's embeddings. The probabilities are the
/// softmax of the cosines times the model's learnt scale: they say which of THESE labels fits best, not whether any of
/// them fits well. A model that was trained by the sigmoid loss (SigLIP) gives each label a probability by itself: all
/// may fit, or none.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  clipwright classify photo.jpg --labels cat,dog,bird
  clipwright classify photos/ --labels-file imagenet.txt --templates openai -k 3
  clipwright classify photos/ --labels cat,dog --json > answers.jsonl

A line of JSON for each picture:
  {\"image\", \"best\": [{\"index\", \"text\", \"cosine\", \"probability\"}, …]}
index counts the labels as they were given, from 0.")]
pub(crate) struct Classify {
    #[command(flatten)]
    images: Images,
    /// Labels to choose from, separated by commas
    #[arg(long, value_name = "LABELS", value_delimiter = ',', required_unless_present = "labels_file")]
    labels: Vec<String>,
    /// File with the labels to choose from: text, one per line, a JSON list, or a CSV file; `-` is standard input
    ///
    /// A CSV file has one column, or one that is called `label` or `name`. A label that is repeated counts once; the
    /// others keep their places in the list.
    #[arg(long, value_name = "FILE", conflicts_with = "labels")]
    labels_file: Option<PathBuf>,
    /// Sentences that labels are put into: `simple`, `openai`, or a text file
    ///
    /// `simple` is "a photo of a {}."; `openai` are the 80 sentences of OpenAI's ImageNet results. A file has one
    /// sentence per line, in which {} stands for the label.
    #[arg(long, value_name = "simple|openai|FILE", default_value = "simple")]
    templates: String,
    /// Number of labels to show for each picture
    #[arg(short, value_name = "K", default_value_t = 5, value_parser = positive())]
    k: usize,
    /// Exit with code 0 even if some of the pictures cannot be read
    #[arg(long)]
    skip_unreadable: bool,
}

impl Classify {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        let (places, labels) = self.labels()?;
        let templates = templates(&self.templates)?;
        let named = self.images.find()?;
        named.warn_passed_over();
        let model = context.open_either()?.both()?;
        warn_long(&model, &labels, &templates);
        let logits = match &model {
            Family::Clip(clip) => Logits::of(clip),
            Family::Blip(_) => {
                note!(
                    "note: a BLIP is saved without its temperature; probabilities are those of {TEMPERATURE}, with which \
                     training begins"
                );
                Logits::Softmax { scale: 1.0 / TEMPERATURE }
            }
        };
        match (logits, &labels[..]) {
            (Logits::Sigmoid { .. }, _) => note!(
                "note: this model has a bias (SigLIP), so each label has a probability by itself; they do not add up to 1"
            ),
            (Logits::Softmax { .. }, [label]) => note!(
                "note: with {label:?} as the only label its probability is always 1; the cosine says how well it fits, and \
                 more labels give it something to be compared with"
            ),
            (Logits::Softmax { .. }, _) => {}
        }
        let bar = context.output.progress(labels.len(), "labels");
        let classes = embed_classes(&model, &labels, &templates, |n| bar.inc(n as u64));
        bar.finish_and_clear();
        let bar = context.output.progress(named.paths.len(), "pictures");
        let tally = named.embed(&model, &bar, |i, embedding| {
            let image = files::name(&named.paths[i]).into_owned();
            let ranking = Ranking::new(image, embedding, &labels, classes.view(), logits, self.k).at(&places);
            bar.suspend(|| context.output.show(&ranking))
        })?;
        tally.verdict(self.skip_unreadable)
    }

    /// Returns the distinct labels, each with its position in the list.
    fn labels(&self) -> Result<(Vec<usize>, Vec<String>), CliError> {
        let (labels, place) = match &self.labels_file {
            Some(path) => (labels(path)?, path.display().to_string()),
            None => (self.labels.iter().map(|label| label.trim().to_owned()).collect(), "--labels".to_owned()),
        };
        let (places, labels) = distinct(labels);
        if labels.is_empty() { Err(CliError::NoTexts { place }) } else { Ok((places, labels)) }
    }
}
