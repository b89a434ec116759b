//! How good a model is on pairs of the user's: each caption should find its picture, and each picture its caption.

use crate::datasets::{BadLimit, BadReport, Dataset, DatasetError, Example};
use crate::embed::rows::{concat_rows, evenly_spread};
use crate::embed::source::{About, Examples, Watched};
use crate::embed::{BATCH, Embed};
use crate::eval::report::{Report, Row, ZeroShot};
use crate::eval::retrieval::{self, GroundTruth, first_of_each, identify};
use crate::eval::templates::{PLACE, embed_classes};
use crate::pictures::Digest;
use crate::random::rng;
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use std::sync::Arc;

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
        let asked = evenly_spread(dataset.concepts().len(), most).collect();
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
    pub fn report(&self, model: &impl Embed) -> Result<(Report, BadReport), DatasetError> {
        let seen = self.look(model, None, || {})?;
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

    /// Embeds the pictures that are asked; `done` is called after each.
    ///
    /// # Errors
    /// If more examples cannot be read than `limit` allows, or none can.
    pub fn look(
        &self,
        model: &impl Embed,
        limit: Option<BadLimit>,
        done: impl Fn() + Sync,
    ) -> Result<Seen, DatasetError> {
        let examples = Examples { dataset: &*self.dataset, positions: &self.asked };
        let (mut parts, mut read) = (Vec::new(), Vec::new());
        let bad = model.stream(&Watched { source: &examples, done }, |batch| {
            parts.push(batch.rows);
            read.extend(batch.read);
            limit.map_or(Ok(()), |limit| limit.check(batch.report))
        })?;
        limit.map_or(Ok(()), |limit| BadLimit { after: 0, ..limit }.check(&bad))?;
        if read.is_empty() {
            return Err(self.empty(bad));
        }
        let keys = read.iter().map(|(i, _)| self.dataset.concepts()[self.asked[*i]]).collect();
        let (captions, digests) = read.into_iter().map(|(_, About { caption, digest })| (caption, digest)).unzip();
        Ok(Seen { images: concat_rows(&parts, model.embed_dim()), captions, keys, digests, bad })
    }
}

/// The examples that could be read, in order.
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
