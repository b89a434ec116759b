//! `clipwright explain attention`: what attends to what in a picture, a text, or a caption that is written.

use super::drawings::{Drawn, Seen, shades};
use crate::app::commands::pictures::Turning;
use crate::app::commands::texts::warn_truncated;
use crate::app::commands::{CliError, Context};
use crate::app::number::positive;
use crate::app::plot::heat::{Drawing, matrix, over};
use crate::app::plot::words::{self, Words};
use crate::checkpoint::Checkpoint;
use crate::counted::counted;
use crate::embed::blip::published::PROMPT;
use crate::embed::explainer::{Attended, Explainer};
use crate::embed::{Blip, Opened, Task, TextEncoder};
use crate::eval::templates::PLACE;
use clap::Args;
use ndarray::{Array2, Array3, Axis};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use std::slice::from_ref;

/// Show what a model attends to in a picture or in a text
///
/// Attention gives every token a share of each other; the shares of one token add to 1. In a picture it is the token that
/// leaves the tower: a ViT's class token, or the one query of a ResNet's attention pool. Each head has its own shares.
/// The rollout (Abnar & Zuidema 2020) follows the class token's through all blocks of a ViT. In a text every token attends
/// to itself and those before it, and the last one leaves the tower. A BLIP that writes captions writes one, and shows
/// where it looks for each word.
///
/// Attention says where a model takes from, not what for: `explain picture` asks what speaks for a text.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  clipwright explain attention photo.jpg --output attention.html
  clipwright explain attention photo.jpg --layer 1 --output first.png
  clipwright explain attention --text \"a photo of a cat\" --output text.png
  clipwright explain attention photo.jpg --output words.png \\
    --model Salesforce/blip-image-captioning-base

As JSON, lists of rows of a grid or matrix:
  a picture  {\"image\", \"layer\", \"mean\", \"rollout\", \"heads\": […]}
  a text     {\"text\", \"layer\", \"tokens\", \"means\": [a matrix a layer], \"heads\": […]}
  a caption  {\"image\", \"caption\", \"words\": [{\"word\", \"attention\"}, …]}")]
pub(crate) struct Attention {
    /// Picture: PNG, JPEG, WebP, GIF, BMP, TIFF; `-` is standard input
    #[arg(value_name = "FILE", required_unless_present = "text")]
    image: Option<PathBuf>,
    /// Text instead of a picture
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["image", "exif"])]
    text: Option<String>,
    /// Layer whose heads are shown, counted from 1 [default: the last]
    #[arg(long, value_name = "N", value_parser = positive())]
    layer: Option<usize>,
    #[command(flatten)]
    reading: Turning,
    #[command(flatten)]
    drawn: Drawn,
}

impl Attention {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        let seen = self.image.as_deref().map(|path| Seen::read(path, self.reading)).transpose()?;
        match (seen, context.open_either()?) {
            (Some(seen), Opened::Clip(checkpoint)) => self.of_picture(context, &checkpoint, &seen),
            (Some(seen), Opened::Blip(described)) => {
                self.of_caption(context, &Blip::open(*described, Task::Caption)?, &seen)
            }
            (None, Opened::Clip(checkpoint)) => self.of_text(context, &checkpoint),
            (None, Opened::Blip(described)) => Err(CliError::Usage(format!(
                "--text is for CLIPs, and {} is a BLIP; name a picture instead",
                described.path.display()
            ))),
        }
    }

    /// Returns the layer to show, counted from 0.
    fn layer(&self, layers: usize) -> Result<usize, CliError> {
        match self.layer {
            Some(layer) if layer > layers => Err(CliError::Usage(format!(
                "--layer {layer}: the tower has {} with attention",
                counted(layers, "layer")
            ))),
            layer => Ok(layer.unwrap_or(layers) - 1),
        }
    }

    fn of_picture(&self, context: &Context, checkpoint: &Checkpoint, seen: &Seen) -> Result<(), CliError> {
        let explainer = Explainer::new(checkpoint)?;
        let layer = self.layer(explainer.layers())?;
        let attended = explainer.attention(&seen.picture, layer);
        let about = "Colour marks what the token that leaves the tower attends to. Every drawing has a scale of its own: its \
                     strongest colour is its largest share, which stands below it.";
        self.drawn.write(&format!("Attention in layer {}", layer + 1), about, || {
            let (picture, square) = seen.shown(explainer.preprocess());
            let tile = |(title, grid): (String, Array2<f32>)| {
                let largest = largest(&grid);
                let note = format!("at most {:.1} %", 100.0 * largest);
                Drawing { image: over(&picture, square, &grid, largest), title, note }
            };
            let itself = Drawing { image: picture.clone(), title: "the picture".into(), note: String::new() };
            let rollout = attended.rollout.clone().map(|grid| ("rollout of all layers".to_owned(), grid));
            let all = [("mean of the heads".to_owned(), attended.mean())].into_iter().chain(rollout);
            let heads = attended.heads.iter().cloned().enumerate().map(|(h, grid)| (format!("head {}", h + 1), grid));
            [itself].into_iter().chain(all.chain(heads).map(tile)).collect()
        })?;
        context.output.show(&OfPicture::new(&seen.name, layer, &attended))
    }

    fn of_text(&self, context: &Context, checkpoint: &Checkpoint) -> Result<(), CliError> {
        let text = self.text.as_deref().expect("a text where there is no picture");
        let encoder = TextEncoder::new(checkpoint)?;
        let layer = self.layer(encoder.layers())?;
        warn_truncated(&encoder, &[text.to_owned()], &[PLACE]);
        let (ids, blocks) = encoder.attention(text);
        let token = |&id: &u32| encoder.tokenizer().token(id).unwrap_or_else(|| id.to_string()).replace("</w>", "");
        let tokens: Vec<String> = ids.iter().map(token).collect();
        let about = "Each row is a token, and its colours are the shares that it takes of the tokens: these stand from the \
                     left to the right in the order of the rows. The strongest colour is a share of 1. No token sees those \
                     behind it; the last one leaves the tower.";
        self.drawn.write(&format!("Attention in \"{text}\""), about, || {
            let tile = |(title, shares): (String, Array2<f32>)| Drawing {
                image: matrix(&tokens, &shares),
                title,
                note: String::new(),
            };
            let means = blocks
                .iter()
                .enumerate()
                .map(|(i, block)| (format!("layer {}, mean of its heads", i + 1), mean(block)));
            let heads = blocks[layer].outer_iter().enumerate();
            let heads = heads.map(|(h, head)| (format!("layer {}, head {}", layer + 1, h + 1), head.to_owned()));
            means.chain(heads).map(tile).collect()
        })?;
        context.output.show(&OfText {
            text,
            layer: layer + 1,
            means: blocks.iter().map(|block| rows(&mean(block))).collect(),
            heads: blocks[layer].outer_iter().map(|head| rows(&head.to_owned())).collect(),
            tokens,
        })
    }

    fn of_caption(&self, context: &Context, blip: &Blip, seen: &Seen) -> Result<(), CliError> {
        if self.layer.is_some() {
            return Err(CliError::Usage("--layer is for CLIPs; of a BLIP the last layer is shown".into()));
        }
        let error = |source| CliError::Blip { path: blip.path().into(), source };
        let words = Words::written(blip, &seen.picture, PROMPT, &blip.published_captions()).map_err(error)?;
        self.drawn.write_whole("Where the model looks as it writes each word", || words::words(from_ref(&words)))?;
        context.output.show(&OfCaption::new(&seen.name, &words))
    }
}

fn rows(matrix: &Array2<f32>) -> Vec<Vec<f32>> {
    matrix.rows().into_iter().map(|row| row.to_vec()).collect()
}

fn mean(block: &Array3<f32>) -> Array2<f32> {
    block.mean_axis(Axis(0)).expect("a block has heads")
}

fn largest<'a>(grid: impl IntoIterator<Item = &'a f32>) -> f32 {
    grid.into_iter().copied().fold(0.0, f32::max)
}

/// What is attended to in a picture, as a line of JSON.
#[derive(Serialize)]
struct OfPicture<'a> {
    image: &'a str,
    /// The layer, counted from 1.
    layer: usize,
    mean: Vec<Vec<f32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rollout: Option<Vec<Vec<f32>>>,
    heads: Vec<Vec<Vec<f32>>>,
}

impl<'a> OfPicture<'a> {
    fn new(image: &'a str, layer: usize, attended: &Attended) -> Self {
        let heads = attended.heads.iter().map(rows).collect();
        let rollout = attended.rollout.as_ref().map(rows);
        OfPicture { image, layer: layer + 1, mean: rows(&attended.mean()), rollout, heads }
    }
}

impl fmt::Display for OfPicture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}, layer {}: mean of {}", self.image, self.layer, counted(self.heads.len(), "head"))?;
        shades(f, &self.mean, largest(self.mean.iter().flatten()))?;
        self.rollout.as_ref().map_or(Ok(()), |rollout| {
            write!(f, "\nrollout of all layers")?;
            shades(f, rollout, largest(rollout.iter().flatten()))
        })
    }
}

/// What is attended to in a text, as a line of JSON.
#[derive(Serialize)]
struct OfText<'a> {
    text: &'a str,
    /// The layer of the heads, counted from 1.
    layer: usize,
    tokens: Vec<String>,
    means: Vec<Vec<Vec<f32>>>,
    heads: Vec<Vec<Vec<f32>>>,
}

impl fmt::Display for OfText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:?}, layer {}: shares of the last token, in the mean of the heads", self.text, self.layer)?;
        let last = self.means[self.layer - 1].last().expect("a text has tokens");
        self.tokens.iter().zip(last).try_for_each(|(token, share)| write!(f, "\n{:5.1} %  {token}", 100.0 * share))
    }
}

/// A caption and where the model looks for its words, as a line of JSON.
#[derive(Serialize)]
struct OfCaption<'a> {
    image: &'a str,
    caption: String,
    words: Vec<OfWord<'a>>,
}

#[derive(Serialize)]
struct OfWord<'a> {
    word: &'a str,
    attention: Vec<Vec<f32>>,
}

impl<'a> OfCaption<'a> {
    fn new(image: &'a str, Words { words, .. }: &'a Words) -> Self {
        let caption = words.iter().map(|(word, _)| word.as_str()).collect::<Vec<_>>().join(" ");
        let words = words.iter().map(|(word, grid)| OfWord { word, attention: rows(grid) }).collect();
        OfCaption { image, caption, words }
    }
}

impl fmt::Display for OfCaption<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.image, self.caption)?;
        self.words.iter().try_for_each(|OfWord { word, attention }| {
            write!(f, "\n{word}")?;
            shades(f, attention, largest(attention.iter().flatten()))
        })
    }
}
