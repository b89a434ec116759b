//! `clipwright classify`: ranks labels by how well they fit a picture.

use super::pictures::Images;
use super::ranking::{Logits, Ranking};
use super::texts::{distinct, labels, templates, warn_cut_by_clip, warn_long};
use super::{CliError, Context};
use crate::app::number::positive;
use crate::checkpoint::Checkpoint;
use crate::embed::{Clip, Family, ImageEncoder, LoadError, Opened, PassingImages, PassingText};
use crate::eval::templates::{embed_classes, embed_classes_by};
use crate::files;
use clap::Args;
use ndarray::{Array2, ArrayView1};
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
        let opened = context.open_either()?;
        let passing = passing_images(&opened, labels.len() * templates.len(), named.paths.len());
        // A few pictures are decoded and embedded while the labels are.
        let (asked, passed) = rayon::join(
            || Asked::read(context, opened, &labels, &templates),
            || passing.map(|tower| named.collect_in_passing(&tower)),
        );
        let (Asked { model, logits, classes }, passed) = (asked?, passed.transpose()?);
        let bar = context.output.progress(named.paths.len(), "pictures");
        let each = |i: usize, embedding: ArrayView1<f32>| {
            let image = files::name(&named.paths[i]).into_owned();
            let ranking = Ranking::new(image, embedding, &labels, classes.view(), logits, self.k).at(&places);
            bar.suspend(|| context.output.show(&ranking))
        };
        let tally = match passed {
            Some((rows, tally)) => {
                rows.iter().try_for_each(|(i, row)| each(*i, row.view()))?;
                tally
            }
            None => named.embed(&model.into_images()?, &bar, each)?,
        };
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

/// Returns how the cosines of a model become probabilities, and says what is not known of it.
pub(super) fn logits_of(model: &Family<Clip>) -> Logits {
    match model {
        Family::Clip(clip) => Logits::of(clip),
        Family::Blip(_) => {
            note!(
                "note: a BLIP is saved without its temperature; probabilities are those of {TEMPERATURE}, with which \
                 training begins"
            );
            Logits::Softmax { scale: 1.0 / TEMPERATURE }
        }
    }
}

/// What pictures are compared with.
struct Asked {
    model: Model,
    logits: Logits,
    /// One embedding per label.
    ///
    /// (N,e)
    classes: Array2<f32>,
}

impl Asked {
    /// Reads what embeds texts, and embeds the labels.
    fn read(context: &Context, opened: Opened, labels: &[String], templates: &[String]) -> Result<Self, CliError> {
        let model = Model::read(opened, labels.len() * templates.len())?;
        model.warn_long(labels, templates);
        let logits = model.logits()?;
        match (logits, labels) {
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
        let classes = model.classes(labels, templates, |n| bar.inc(n as u64))?;
        bar.finish_and_clear();
        Ok(Asked { model, logits, classes })
    }
}

/// Whether a CLIP is asked for so few sentences that it is faster to read it in passing.
fn passes(checkpoint: &Checkpoint, sentences: usize) -> bool {
    PassingText::fits(checkpoint, sentences) && checkpoint.architecture.config().is_some()
}

/// Returns what embeds so many pictures while it is read, if that is faster than to read it first.
fn passing_images(opened: &Opened, sentences: usize, pictures: usize) -> Option<PassingImages> {
    match opened {
        Opened::Clip(checkpoint) if passes(checkpoint, sentences) => PassingImages::fitting(checkpoint, pictures),
        _ => None,
    }
}

/// A model that embeds labels once, and then pictures.
enum Model {
    /// The text tower is read while the labels go through it, and the image tower when they have, unless a few pictures go
    /// through it meanwhile.
    Passing(Box<PassingText>),
    Whole(Box<Family<Clip>>),
}

impl Model {
    /// Reads the model, or only opens a CLIP that is to be read in passing.
    fn read(opened: Opened, sentences: usize) -> Result<Self, LoadError> {
        match opened {
            Opened::Clip(checkpoint) if passes(&checkpoint, sentences) => {
                Ok(Model::Passing(Box::new(PassingText::new(*checkpoint)?)))
            }
            opened => Ok(Model::Whole(Box::new(opened.both()?))),
        }
    }

    fn warn_long(&self, labels: &[String], templates: &[String]) {
        match self {
            Model::Passing(tower) => {
                warn_cut_by_clip((tower.tokenizer(), tower.context_length()), labels, templates);
            }
            Model::Whole(model) => warn_long(&**model, labels, templates),
        }
    }

    fn logits(&self) -> Result<Logits, LoadError> {
        Ok(match self {
            Model::Passing(tower) => {
                let checkpoint = tower.checkpoint();
                let scale = checkpoint.logit_scale()?.expect("a checkpoint of both towers has one");
                Logits::new(scale.exp(), checkpoint.logit_bias()?)
            }
            Model::Whole(model) => logits_of(model),
        })
    }

    /// Returns one embedding per label.
    ///
    /// result (N,e)
    fn classes(&self, labels: &[String], templates: &[String], done: impl Fn(usize)) -> Result<Array2<f32>, LoadError> {
        match self {
            Model::Passing(tower) => embed_classes_by(|sentences| tower.encode(sentences), labels, templates, done),
            Model::Whole(model) => Ok(embed_classes(&**model, labels, templates, done)),
        }
    }

    /// Returns what embeds pictures.
    fn into_images(self) -> Result<Family<ImageEncoder>, LoadError> {
        Ok(match self {
            Model::Passing(tower) => Family::Clip(ImageEncoder::new(tower.checkpoint())?),
            Model::Whole(model) => match *model {
                Family::Clip(clip) => Family::Clip(clip.image),
                Family::Blip(blip) => Family::Blip(blip),
            },
        })
    }
}
