//! `clipwright explain picture`: where in a picture texts are.

use super::drawings::{Drawn, Seen, shades};
use crate::app::commands::pictures::Turning;
use crate::app::commands::texts::warn_truncated;
use crate::app::commands::{CliError, Context};
use crate::app::plot::heat::{Drawing, over};
use crate::embed::TextEncoder;
use crate::embed::explainer::{Explainer, Heat};
use crate::eval::templates::PLACE;
use crate::pictures::Preprocess;
use clap::Args;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

const TITLE: &str = "Where the model finds each text";

/// Show where in a picture texts are, by a CLIP's own backward pass
///
/// The gradient of a text's cosine says what each place of the picture would have to change for the text. Where a place
/// differs from the mean of all in that direction already, it speaks for the text: that is its heat (gradient times
/// activation, after Grad-CAM, Selvaraju et al. 2017). With one text it is the cosine that is explained, with more of them
/// by how much each one's exceeds their mean: what speaks for all of them alike, no map shows. So the maps of a picture
/// belong together, and share one scale: the strongest colour is the largest heat of them all.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  clipwright explain picture photo.jpg \"a dog\" \"a red ball\" --output where.png
  clipwright explain picture photo.jpg \"a dog\" --output where.html
  clipwright explain picture photo.jpg \"a dog\" \"a cat\" --json

As JSON: {\"image\", \"square\", \"texts\": [{\"text\", \"cosine\", \"heat\"}, …]}
square is what the model sees of the picture: its left, top, right and bottom
edge in pixels; heat has a list for each row of the grid that lies over it.

A model tells the places of a ResNet's last map or the patches of a ViT apart:
2 × 2 in Emoji-RN-S, 4 × 4 in Emoji-ViT-S, 7 × 7 in RN50 and ViT-B-32. It
looks nine times, shifted by thirds of a place, so a map has 3 × 3 cells for
each. A model knows what it was trained on: one of emoji says little about
photographs.")]
pub(crate) struct Where {
    /// Picture: PNG, JPEG, WebP, GIF, BMP, TIFF; `-` is standard input
    #[arg(value_name = "FILE")]
    image: PathBuf,
    /// Texts to look for, each in quotes
    #[arg(value_name = "TEXT", required = true)]
    texts: Vec<String>,
    #[command(flatten)]
    reading: Turning,
    #[command(flatten)]
    drawn: Drawn,
}

impl Where {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        let seen = Seen::read(&self.image, self.reading)?;
        let checkpoint = context.open(&context.model_path()?, None)?;
        let (explainer, encoder) = (Explainer::new(&checkpoint)?, TextEncoder::new(&checkpoint)?);
        warn_truncated(&encoder, &self.texts, &[PLACE]);
        let heats = explainer.heat(&seen.picture, encoder.encode(&self.texts).view());
        let report = Report::new(&seen, explainer.preprocess(), &self.texts, &heats);
        self.drawn.write(TITLE, &report.about(), || report.tiles(&seen, explainer.preprocess(), &heats))?;
        context.output.show(&report)
    }
}

/// A picture with its texts.
#[derive(Serialize)]
struct Report<'a> {
    image: &'a str,
    square: [f64; 4],
    texts: Vec<Found<'a>>,
}

/// A text and where it is.
#[derive(Serialize)]
struct Found<'a> {
    text: &'a str,
    cosine: f32,
    heat: Vec<Vec<f32>>,
}

impl<'a> Report<'a> {
    fn new(seen: &'a Seen, preprocess: &Preprocess, texts: &'a [String], heats: &[Heat]) -> Self {
        let found = |(text, Heat { cosine, map }): (&'a String, &Heat)| {
            let heat = map.rows().into_iter().map(|row| row.to_vec()).collect();
            Found { text, cosine: *cosine, heat }
        };
        let square = preprocess.square(seen.picture.width, seen.picture.height);
        Report { image: &seen.name, square, texts: texts.iter().zip(heats).map(found).collect() }
    }

    /// Returns what the drawings show.
    fn about(&self) -> String {
        let speaks = match self.texts.len() {
            1 => "Colour marks what speaks for the text.",
            _ => {
                "Colour marks what speaks for a text rather than for the mean of all that are shown, in one scale for them \
                 all: the strongest is the largest heat of any."
            }
        };
        let cells = self.texts[0].heat.len();
        format!(
            "{speaks} {cells} × {cells} cells, three along the edge of each place that the model tells apart, are blended."
        )
    }

    /// Returns the largest heat of all texts.
    fn largest(&self) -> f32 {
        self.texts.iter().flat_map(|found| found.heat.iter().flatten()).fold(0.0, |a, &b| b.max(a))
    }

    /// Returns the picture, and its heat for each text.
    fn tiles(&self, seen: &Seen, preprocess: &Preprocess, heats: &[Heat]) -> Vec<Drawing> {
        let (picture, square) = seen.shown(preprocess);
        let tile = |(found, heat): (&Found, &Heat)| Drawing {
            image: over(&picture, square, &heat.map, self.largest()),
            title: found.text.to_owned(),
            note: found.note(),
        };
        let maps: Vec<Drawing> = self.texts.iter().zip(heats).map(tile).collect();
        let itself = Drawing { image: picture.clone(), title: "the picture".into(), note: String::new() };
        [itself].into_iter().chain(maps).collect()
    }
}

impl Found<'_> {
    fn note(&self) -> String {
        let is_cold = self.heat.iter().flatten().all(|&heat| heat == 0.0);
        format!("cosine {:.3}{}", self.cosine, if is_cold { ", no place stands out" } else { "" })
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.image)?;
        self.texts.iter().try_for_each(|found| {
            write!(f, "\n{:7.4}  {}", found.cosine, found.text)?;
            shades(f, &found.heat, self.largest())
        })
    }
}
