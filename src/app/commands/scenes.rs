//! `clipwright scenes`: writes scenes of the embedded emoji with captions, questions and answers.

use super::convert::check_empty;
use super::scene_files::{write_folder, write_shards};
use super::{CliError, Context};
use crate::app::number::{positive, up_to};
use crate::app::train::values::share;
use crate::counted::counted;
use crate::datasets::emoji::{Emoji, Language};
use crate::datasets::scenes::{Division, LANGUAGES, Noise, SceneOptions, Scenes};
use crate::files::serialize_name;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Largest width of a picture. The drawings have 64 pixels, so that nothing is gained long before.
const MAX_IMAGE_SIZE: u32 = 2048;

/// Write scenes of the embedded emoji with captions, questions and answers
///
/// A scene shows one to three drawings on a plain ground: "a camel to the left of two red hearts". It depends on the
/// seed, the split and its number alone. A caption depends on the languages and the share of noise too, a picture
/// on its size.
#[derive(Debug, Args)]
#[command(after_help = "\
Splits, no two of which share a drawing:
  train          about 300 kinds, by all vendors but noto and twemoji
  val            the same kinds, drawn by noto
  val-concepts   kinds that train lacks, drawn by noto
  test           the kinds of train, drawn by twemoji
  test-concepts  kinds that neither train nor val has, drawn by twemoji
In train some kinds are frequent and most are rare, as words are in a language;
the other splits show all kinds equally often.

A folder has images/, metadata.jsonl with the captions and what each picture
shows, and questions.json and answers.json in the format of VQA. Shards of
1,000 scenes have .png, .txt and .json, questions included.

A noisy caption is that of another scene, says nothing (\"image 123\"), or is in
another language; \"noise\" says which, and is null for all others.

Examples:
  clipwright scenes --out scenes --count 10000
  clipwright scenes --out val --split val --languages en,de,ru
  clipwright scenes --out web --caption-noise 0.3 --format webdataset
  train --train-data scenes --val-data val")]
pub(crate) struct ScenesCommand {
    /// Folder to write. It is created; if it exists, it must be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of scenes
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = positive())]
    count: usize,
    /// Seed of everything random
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// Width and height of the pictures
    #[arg(long, value_name = "PIXELS", default_value_t = 224, value_parser = up_to(MAX_IMAGE_SIZE))]
    image_size: usize,
    /// Languages of captions and questions, separated by commas
    #[arg(long, value_name = "CODES", value_delimiter = ',', default_value = "en", value_parser = languages())]
    languages: Vec<Language>,
    /// Share of captions that are wrong, vague or in another language
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    caption_noise: f64,
    /// Which vendors' drawings of which kinds the scenes are made of
    #[arg(long, value_name = "SPLIT", default_value = "train", value_parser = divisions())]
    split: Division,
    /// How the scenes are stored
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// Pictures, a table, and files of questions and answers
    #[default]
    Folder,
    /// Tar shards
    Webdataset,
}

fn languages() -> impl TypedValueParser<Value = Language> {
    let codes = PossibleValuesParser::new(LANGUAGES.map(Language::code));
    codes.map(|code| Language::from_code(&code).expect("one of the codes"))
}

fn divisions() -> impl TypedValueParser<Value = Division> {
    let names = PossibleValuesParser::new(Division::ALL.map(Division::name));
    let named = |name: String| Division::ALL.into_iter().find(|division| division.name() == name);
    names.map(move |name| named(name).expect("one of the names"))
}

impl ScenesCommand {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        context.refuse_model("scenes are made without a model; leave out --model")?;
        check_empty(&self.out)?;
        let scenes = Scenes::new(Arc::new(Emoji::load()), self.options());
        let bar = context.output.progress(self.count, "scenes");
        let questions = match self.format {
            Format::Folder => write_folder(&scenes, &self.out, &bar),
            Format::Webdataset => write_shards(&scenes, &self.out, &bar),
        }?;
        bar.finish_and_clear();
        let noise: Vec<Noise> = (0..self.count).filter_map(|number| scenes.caption(number).noise).collect();
        let of = |kind| noise.iter().filter(|&&noise| noise == kind).count();
        let (wrong, vague, foreign) = (of(Noise::Wrong), of(Noise::Vague), of(Noise::Foreign));
        let ScenesCommand { out: folder, count: scenes, format, .. } = self;
        context.output.show(&Report { folder, format, scenes, questions, wrong, vague, foreign })
    }

    fn options(&self) -> SceneOptions {
        SceneOptions {
            division: self.split,
            seed: self.seed,
            count: self.count,
            image_size: self.image_size,
            languages: self.languages.clone(),
            caption_noise: self.caption_noise as f32,
        }
    }
}

#[derive(Serialize)]
struct Report {
    #[serde(serialize_with = "serialize_name")]
    folder: PathBuf,
    format: Format,
    scenes: usize,
    questions: usize,
    /// Numbers of noisy captions.
    wrong: usize,
    vague: usize,
    foreign: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Report { folder, scenes, questions, wrong, vague, foreign, .. } = self;
        write!(f, "{}: {}, {}", folder.display(), counted(*scenes, "scene"), counted(*questions, "question"))?;
        match wrong + vague + foreign {
            0 => Ok(()),
            noise => write!(f, "; noisy captions: {noise} ({wrong} wrong, {vague} vague, {foreign} foreign)"),
        }
    }
}
