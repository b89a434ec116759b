//! The pairs of a step.

use super::learner::Learner;
use crate::app::commands::CliError;
use crate::app::train::data_options::Storage;
use crate::datasets::emoji::{Cut, Emoji, EmojiTraining, Language};
use crate::datasets::{BadLimit, BadReport, Dataset, DatasetError, Example, OwnPairs};
use crate::digest::digest;
use crate::embed::rows::evenly_spread;
use crate::models::Captions;
use crate::pictures::preprocess::Scratch;
use crate::random::rng;
use crate::text::Tokenizer;
use crate::train::clip;
use clap::Args;
use clap::builder::{RangedU64ValueParser, TypedValueParser};
use ndarray::Array2;
use serde::Serialize;
use std::sync::Arc;

/// Which pairs are taken.
#[derive(Debug, Args)]
pub(super) struct Chosen {
    /// Number of pairs, from 2 to 16, evenly spread over all
    #[arg(short, value_name = "PAIRS", default_value_t = 6, value_parser = number())]
    n: usize,
    /// Own pairs, as `train --train-data` takes them [default: the embedded emoji of the training side]
    #[arg(long, value_name = "TABLE")]
    pairs: Option<String>,
    #[command(flatten)]
    storage: Storage,
}

/// Reads a number of pairs whose table can still be read.
fn number() -> impl TypedValueParser<Value = usize> {
    RangedU64ValueParser::<usize>::new().range(2..=16)
}

impl Chosen {
    /// Opens the data; returns also how it is named in messages.
    fn open(&self) -> Result<(Arc<dyn Dataset>, &str), CliError> {
        let Some(path) = &self.pairs else {
            let emoji = EmojiTraining::new(Arc::new(Emoji::load()), Cut::Whole, &[Language::English]);
            return Ok((Arc::new(emoji), "embedded emoji"));
        };
        let own = OwnPairs::open(path, &self.storage.layout(), BadLimit::default())?;
        Ok((Arc::clone(own.dataset()), path))
    }
}

/// A pair, as it is shown.
#[derive(Serialize)]
pub(super) struct Pair {
    pub caption: String,
    pub tokens: Vec<Token>,
    #[serde(skip)]
    pub example: Example,
}

#[derive(Serialize)]
pub(super) struct Token {
    pub id: u32,
    pub token: String,
}

/// The pairs of a step, as they are shown and as they are learnt.
pub(super) struct Pairs {
    pub shown: Vec<Pair>,
    /// The normalised pictures (N,3·edge²).
    images: Array2<f32>,
    /// The captions' tokens, end to end.
    ids: Vec<u32>,
    offsets: Vec<usize>,
    concepts: Vec<u64>,
    caption_keys: Vec<u64>,
    places: Vec<u64>,
}

impl Pairs {
    /// Reads pairs, without those that cannot be read. At least two must be left.
    pub fn read(chosen: &Chosen, learner: &Learner) -> Result<Self, CliError> {
        let (data, place) = chosen.open()?;
        let (concepts, mut bad) = (data.concepts(), BadReport::default());
        let read = |i: usize| {
            let mut example = Example::default();
            let outcome = data.read(i, &mut rng(&[i as u64]), &mut example);
            bad.count(&outcome);
            outcome.is_ok().then_some((i, example))
        };
        let read: Vec<(usize, Example)> = evenly_spread(concepts.len(), chosen.n).filter_map(read).collect();
        if read.is_empty() {
            return Err(DatasetError::Empty { place: place.into(), report: bad }.into());
        }
        if read.len() < 2 {
            let few = "one usable pair; at least two are needed for a contrast";
            return Err(CliError::Usage(format!("{place}: {few}")));
        }
        if bad.bad > 0 {
            note!("note: pairs that cannot be read: {bad}");
        }
        Ok(Self::prepare(read, concepts, learner))
    }

    /// Makes pictures and captions what the towers take.
    fn prepare(read: Vec<(usize, Example)>, concepts: &[u64], learner: &Learner) -> Self {
        let Learner { config, tokenizer, .. } = learner;
        let n = read.len();
        let mut pairs = Pairs {
            shown: vec![],
            images: Array2::zeros((n, config.model_cfg.vision().image_len())),
            ids: vec![],
            offsets: vec![0],
            concepts: vec![],
            caption_keys: vec![],
            places: vec![],
        };
        let scratch = &mut Scratch::default();
        for ((i, example), mut row) in read.into_iter().zip(pairs.images.rows_mut()) {
            let row = row.as_slice_mut().expect("rows of a new array");
            config.preprocess_cfg.apply(&example.picture, scratch, row);
            let ids = tokenizer.encode(&example.caption, config.model_cfg.text_cfg.context_length).ids;
            pairs.caption_keys.push(digest(ids.iter().map(|id| id.to_le_bytes())).key());
            pairs.concepts.push(concepts[i]);
            pairs.places.push(i as u64);
            pairs.ids.extend(&ids);
            pairs.offsets.push(pairs.ids.len());
            let tokens = named(tokenizer, &example.caption, &ids);
            pairs.shown.push(Pair { caption: example.caption.clone(), tokens, example });
        }
        pairs
    }

    /// Views the pairs as the trainer takes them.
    pub fn batch(&self) -> clip::Pairs<'_> {
        clip::Pairs {
            images: self.images.view(),
            captions: Captions { ids: &self.ids, offsets: &self.offsets },
            concepts: &self.concepts,
            caption_keys: &self.caption_keys,
            examples: &self.places,
            teacher_images: None,
        }
    }

    /// Whether a caption fits another pair's picture, which [`Positives`](crate::loss::positives::Positives) decides by
    /// the same keys.
    pub fn fit(&self, i: usize, j: usize) -> bool {
        self.concepts[i] == self.concepts[j] || self.caption_keys[i] == self.caption_keys[j]
    }
}

/// Adds to ids what they stand for. The last of a caption that is cut off is the end all the same.
fn named(tokenizer: &Tokenizer, caption: &str, ids: &[u32]) -> Vec<Token> {
    let trace = tokenizer.trace(caption);
    let (all, last) = (trace.tokens(), ids.len() - 1);
    let text = |i: usize| if i == last { all.last() } else { all.get(i) };
    ids.iter()
        .enumerate()
        .map(|(i, &id)| Token { id, token: text(i).map_or(String::new(), |token| token.text.clone()) })
        .collect()
}
