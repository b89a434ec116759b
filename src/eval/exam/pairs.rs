//! How good the model is on pairs of one's own: each caption should find its picture, and each picture its caption.

use crate::datasets::error::{BadReport, DatasetError};
use crate::datasets::{Dataset, Example};
use crate::embed::Embed;
use crate::eval::report::{Report, Row};
use crate::eval::retrieval::{self, Pairs, identify};
use crate::pictures::Picture;
use crate::random::rng;
use ndarray::{Array2, Axis, concatenate};
use rayon::prelude::*;
use std::sync::Arc;

/// Retrieval gets harder with every pair; a fixed, affordable number keeps runs comparable.
const MOST: usize = 2000;

/// Examples decoded at a time.
const BATCH: usize = 128;

/// Some pairs, asked in both directions.
pub struct PairsExam {
    dataset: Arc<dyn Dataset>,
    /// What the table calls them.
    name: &'static str,
    /// Positions in the dataset, evenly spread.
    asked: Vec<usize>,
}

impl PairsExam {
    pub fn new(dataset: Arc<dyn Dataset>, name: &'static str) -> Self {
        let n = dataset.concepts().len();
        let asked = (0..n.min(MOST)).map(|i| i * n / n.min(MOST)).collect();
        PairsExam { dataset, name, asked }
    }

    /// # Errors
    /// If not one of the pairs can be read.
    pub fn check(&self) -> Result<(), DatasetError> {
        let mut bad = BadReport::default();
        let some = self.asked.chunks(BATCH).any(|places| !self.read(places, &mut bad).is_empty());
        if some { Ok(()) } else { Err(self.empty(bad)) }
    }

    fn empty(&self, report: BadReport) -> DatasetError {
        DatasetError::Empty { place: self.name.into(), report }
    }

    /// The table, one row, and the pairs that could not be read for it.
    ///
    /// # Errors
    /// If that is all of them.
    pub fn report(&self, embedder: &impl Embed) -> Result<(Report, BadReport), DatasetError> {
        let mut bad = BadReport::default();
        let (mut images, mut texts, mut captions, mut pictures) = (vec![], vec![], vec![], vec![]);
        for places in self.asked.chunks(BATCH) {
            let examples = self.read(places, &mut bad);
            let own: Vec<&str> = examples.iter().map(|example| example.caption.as_str()).collect();
            images.push(embedder.pictures(examples.len(), |i, picture| picture.clone_from(&examples[i].picture)));
            texts.push(embedder.captions(&own));
            captions.extend(examples.iter().map(|example| example.caption.clone()));
            pictures.extend(examples.into_iter().map(|example| digest(&example.picture)));
        }
        if captions.is_empty() {
            return Err(self.empty(bad));
        }
        let (images, texts) = (stack(&images), stack(&texts));
        let caption = identify(&captions);
        let (text_concept, first): (Vec<usize>, Vec<usize>) = distinct(&caption);
        let identity = identify(&pictures);
        let pairs = Pairs { image_concept: &caption, image_identity: &identity, text_concept: &text_concept };
        let texts = texts.select(Axis(0), &first);
        let row = Row {
            concepts: "own".into(),
            pictures: self.name.into(),
            without_flags: false,
            images: images.nrows(),
            zero_shot: None,
            retrieval: retrieval::retrieval(images.view(), texts.view(), &pairs),
            retrieval_chance: retrieval::chance(&pairs),
        };
        Ok((Report { rows: vec![row] }, bad))
    }

    /// The first `n` pairs that can be read.
    pub fn sample(&self, n: usize) -> Vec<Example> {
        self.read(&self.asked[..n.min(self.asked.len())], &mut BadReport::default())
    }

    /// Pairs that cannot be read are left out, and counted.
    fn read(&self, places: &[usize], bad: &mut BadReport) -> Vec<Example> {
        let read = |&place: &usize| {
            let mut example = Example::default();
            self.dataset.read(place, &mut rng(&[place as u64]), &mut example).map(|()| example)
        };
        let outcomes: Vec<_> = places.par_iter().map(read).collect();
        outcomes.iter().for_each(|outcome| bad.count(outcome));
        outcomes.into_iter().flatten().collect()
    }
}

/// Each caption once, with the place of its first copy.
fn distinct(caption: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut seen = 0;
    let first = caption.iter().enumerate().filter(|&(_, &c)| {
        let new = c == seen;
        seen += usize::from(new);
        new
    });
    first.map(|(place, &c)| (c, place)).unzip()
}

/// Equal for equal pictures.
fn digest(picture: &Picture) -> (usize, usize, u64) {
    (picture.width, picture.height, crate::random::key(picture.samples.iter().copied()))
}

fn stack(parts: &[Array2<f32>]) -> Array2<f32> {
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    concatenate(Axis(0), &views).expect("at least one batch, rows of one width")
}
