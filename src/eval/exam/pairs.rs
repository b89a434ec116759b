//! How good a model is on pairs of the user's: each caption should find its picture, and each picture its caption.

use super::sampling::spread;
use crate::datasets::{Dataset, Example};
use crate::embed::batched::Embed;
use crate::error::{BadExample, BadLimit, BadReport, InputError};
use crate::eval::report::{Report, Row, ZeroShot};
use crate::eval::retrieval::{self, GroundTruth, first_of_each, identify};
use crate::eval::templates::{PLACE, embed_classes};
use crate::pictures::{Channels, Picture};
use crate::random::{key, rng};
use ndarray::{Array2, ArrayView2, Axis, concatenate};
use rayon::prelude::*;
use std::sync::{Arc, Mutex};

/// Examples that go through the image tower at a time.
const BATCH: usize = 128;

/// Examples of a data set, asked in both directions.
pub struct PairsExam {
    dataset: Arc<dyn Dataset>,
    /// What the table calls the pictures.
    name: &'static str,
    /// Positions in the dataset.
    asked: Vec<usize>,
}

impl PairsExam {
    /// Retrieval gets harder with every pair; this fixed, affordable number keeps runs comparable.
    pub const MAX_PAIRS: usize = 2000;

    /// Asks at most `most` of the examples, evenly spread.
    pub fn new(dataset: Arc<dyn Dataset>, name: &'static str, most: usize) -> Self {
        let asked = spread(dataset.concepts().len(), most).collect();
        PairsExam { dataset, name, asked }
    }

    /// The number of examples that are asked.
    pub fn questions(&self) -> usize {
        self.asked.len()
    }

    /// Reads examples until one is good.
    ///
    /// # Errors
    /// If none is.
    pub fn check(&self) -> Result<(), InputError> {
        let mut bad = BadReport::default();
        let some = self.asked.chunks(BATCH).any(|places| !self.read(places, &mut bad).is_empty());
        if some { Ok(()) } else { Err(self.empty(bad)) }
    }

    fn empty(&self, report: BadReport) -> InputError {
        InputError::Empty { place: self.name.into(), report }
    }

    /// The table, one row, and the pairs that could not be read for it.
    ///
    /// # Errors
    /// If that is all of them.
    pub fn report(&self, model: &impl Embed) -> Result<(Report, BadReport), InputError> {
        let seen = self.look(model, BadLimit { share: 1.0, after: u64::MAX }, || {})?;
        let (captions, truth) = seen.distinct_captions();
        let texts = embed_classes(model, &captions, &[PLACE], |_| {});
        Ok((Report { rows: vec![seen.row(self.name, texts.view(), &truth, false)] }, seen.bad))
    }

    /// The first `n` of the asked pairs, without those that cannot be read.
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

    /// Embeds the pictures that are asked; one a thread is in memory at a time. `done` is called after each.
    ///
    /// # Errors
    /// If more examples cannot be read than `limit` allows, or none can.
    pub fn look(&self, model: &impl Embed, limit: BadLimit, done: impl Fn() + Sync) -> Result<Seen, InputError> {
        let mut seen = Seen::default();
        let mut images = Vec::new();
        for places in self.asked.chunks(BATCH) {
            let outcomes: Mutex<Vec<_>> = Mutex::new(places.iter().map(|_| None).collect());
            let rows = model.pictures(places.len(), |i, picture| {
                let outcome = look_at(&*self.dataset, places[i], picture);
                outcomes.lock().expect("no thread panics here")[i] = Some(outcome);
                done();
            });
            let outcomes = outcomes.into_inner().expect("no thread panics here").into_iter().flatten();
            let keys = places.iter().map(|&place| self.dataset.concepts()[place]);
            images.push(rows.select(Axis(0), &seen.take(keys.zip(outcomes))));
            limit.check(&seen.bad)?;
        }
        if limit.after < u64::MAX {
            BadLimit { after: 0, ..limit }.check(&seen.bad)?;
        }
        if seen.captions.is_empty() {
            return Err(self.empty(seen.bad));
        }
        let views: Vec<_> = images.iter().map(|part| part.view()).collect();
        seen.images = concatenate(Axis(0), &views).expect("at least one example, rows of one width");
        Ok(seen)
    }
}

/// Tells pictures apart: width, height, and a hash of the samples.
pub type Digest = (usize, usize, u64);

/// The examples that could be read, in order.
#[derive(Default)]
pub struct Seen {
    /// Unit-length embeddings of the pictures, (N, e).
    pub images: Array2<f32>,
    pub captions: Vec<String>,
    /// The dataset's keys.
    pub keys: Vec<u64>,
    /// Equal for equal pictures.
    pub digests: Vec<Digest>,
    /// The examples that could not be read.
    pub bad: BadReport,
}

impl Seen {
    /// Takes what was read of a batch, with the dataset's keys; the places of the good ones.
    fn take(&mut self, batch: impl Iterator<Item = (u64, Result<(String, Digest), BadExample>)>) -> Vec<usize> {
        let mut good = Vec::new();
        for (i, (key, outcome)) in batch.enumerate() {
            self.bad.count(&outcome);
            let Ok((caption, digest)) = outcome else { continue };
            good.push(i);
            self.captions.push(caption);
            self.keys.push(key);
            self.digests.push(digest);
        }
        good
    }

    /// Every caption once, and for each picture the place of its own among them.
    pub fn distinct_captions(&self) -> (Vec<String>, Vec<usize>) {
        let own = identify(&self.captions);
        (first_of_each(&own).into_iter().map(|place| self.captions[place].clone()).collect(), own)
    }

    /// The row of the table that asks for `texts` (M, e), unit rows: picture n belongs to text `truth[n]`. Where the texts
    /// are `classes` the pictures are also classified.
    #[track_caller]
    pub fn row(&self, name: &str, texts: ArrayView2<f32>, truth: &[usize], classes: bool) -> Row {
        let images = self.images.view();
        let identity = identify(&self.digests);
        let own: Vec<usize> = (0..texts.nrows()).collect();
        let who = GroundTruth { image_concept: truth, image_identity: &identity, text_concept: &own };
        Row {
            concepts: "own".into(),
            pictures: name.into(),
            without_flags: false,
            images: images.nrows(),
            zero_shot: classes.then(|| ZeroShot::measure(images, texts, truth, None)),
            retrieval: retrieval::retrieval(images, texts, &who),
            retrieval_chance: retrieval::chance(&who),
        }
    }
}

/// Reads one example: its caption, and what tells its picture from others. After an error the picture is a black pixel,
/// whose row nobody reads.
fn look_at(dataset: &dyn Dataset, place: usize, picture: &mut Picture) -> Result<(String, Digest), BadExample> {
    let mut example = Example { picture: std::mem::take(picture), ..Example::default() };
    let read = dataset.read(place, &mut rng(&[place as u64]), &mut example);
    *picture = example.picture;
    if let Err(error) = read {
        *picture = Picture::new(1, 1, Channels::Rgb);
        return Err(error);
    }
    Ok((example.caption, (picture.width, picture.height, key(picture.samples.iter().copied()))))
}
