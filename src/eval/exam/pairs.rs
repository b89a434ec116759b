//! The exam on a user's pairs: each caption should find its picture, and each picture its caption.

use super::part::Part;
use crate::datasets::{BadLimit, BadReport, Dataset, DatasetError, Example};
use crate::digest::Digest;
use crate::embed::rows::{concat_rows, evenly_spread};
use crate::embed::source::{About, Examples, ReadAs, Watched};
use crate::embed::{BATCH, Batch, Blip, BlipError, Embed, Task};
use crate::eval::report::{Report, Row, ZeroShot};
use crate::eval::rerank::rerank;
use crate::eval::retrieval::{self, GroundTruth, Retrieval, first_of_each, identify};
use crate::eval::templates::{PLACE, embed_classes};
use crate::models::blip::model::Source;
use crate::pictures::Reading;
use crate::random::rng;
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;
use std::collections::HashSet;
use std::sync::Arc;

/// The exam on examples of a dataset, in both directions.
pub struct PairsExam {
    dataset: Arc<dyn Dataset>,
    /// The name of the pictures in the table.
    name: String,
    /// Positions of the asked examples in the dataset.
    asked: Vec<usize>,
    /// How pictures are read.
    reading: Reading,
}

impl PairsExam {
    /// Most pairs that a run is judged on. Retrieval gets harder with every pair, so a fixed number keeps runs
    /// comparable.
    pub const MAX_PAIRS: usize = 2000;

    /// Makes an exam on at most `max` of the examples, evenly spread.
    pub fn new(dataset: Arc<dyn Dataset>, name: &str, max: usize) -> Self {
        let asked = evenly_spread(dataset.concepts().len(), max).collect();
        PairsExam { dataset, name: name.into(), asked, reading: Reading::default() }
    }

    /// Reads the pictures in another way than the reference pipelines do.
    pub fn read_as(self, reading: Reading) -> Self {
        PairsExam { reading, ..self }
    }

    /// Returns the name of the pictures in the table.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the number of asked examples.
    pub fn questions(&self) -> usize {
        self.asked.len()
    }

    /// Checks that an example can be read: it reads them batch by batch until one is good.
    ///
    /// # Errors
    /// Returns an error if no example is good.
    pub fn check(&self) -> Result<(), DatasetError> {
        let mut bad = BadReport::default();
        let some = self.asked.chunks(BATCH).any(|places| !self.read(places, &mut bad).is_empty());
        if some { Ok(()) } else { Err(self.empty(bad)) }
    }

    fn empty(&self, report: BadReport) -> DatasetError {
        DatasetError::Empty { place: self.name.as_str().into(), report }
    }

    /// Measures the model; returns a table of one row and the report on the pairs that could not be read.
    ///
    /// # Errors
    /// Returns an error if no pair could be read.
    pub fn report(&self, model: &impl Embed) -> Result<(Report, BadReport), DatasetError> {
        let seen = self.look(model, None, || {})?;
        let (captions, truth) = seen.distinct_captions();
        let texts = embed_classes(model, &captions, &[PLACE], |_| {});
        Ok((Report { rows: vec![seen.row(&self.name, texts.view(), &truth, false)], ..Report::default() }, seen.bad))
    }

    /// Returns at most `n` of the asked pairs, evenly spread, without those that cannot be read.
    pub fn sample(&self, n: usize) -> Vec<Example> {
        let places: Vec<usize> = evenly_spread(self.asked.len(), n).map(|i| self.asked[i]).collect();
        self.read(&places, &mut BadReport::default())
    }

    /// Returns a [`sample`](Self::sample) under the name of the pairs.
    pub fn part(&self, n: usize) -> Part {
        let mut title = self.name.clone();
        title[..1].make_ascii_uppercase();
        Part { title, examples: self.sample(n) }
    }

    /// Reads the pairs at these positions. Those that cannot be read are left out and counted in `bad`.
    fn read(&self, places: &[usize], bad: &mut BadReport) -> Vec<Example> {
        let read = |&place: &usize| {
            let mut example = Example::default();
            self.dataset.read(place, &mut rng(&[place as u64]), &mut example).map(|()| example)
        };
        let outcomes: Vec<_> = places.par_iter().map(read).collect();
        outcomes.iter().for_each(|outcome| bad.count(outcome));
        outcomes.into_iter().flatten().collect()
    }

    /// Embeds the pictures of the asked examples; `done` is called after each.
    ///
    /// # Errors
    /// Returns an error if more examples are bad than `limit` allows, or all are.
    pub fn look(
        &self,
        model: &impl Embed,
        limit: Option<BadLimit>,
        done: impl Fn() + Sync,
    ) -> Result<Seen, DatasetError> {
        let (mut parts, mut read) = (Vec::new(), Vec::new());
        let bad = model.stream(&Watched { source: &self.read_examples(&self.examples()), done }, |batch| {
            parts.push(batch.rows);
            read.extend(batch.read);
            limit.map_or(Ok(()), |limit| limit.check(batch.report))
        })?;
        self.seen(concat_rows(&parts, model.embed_dim()), read, bad, limit)
    }

    /// Does the same with a BLIP, and returns also what it sees in each distinct picture, in the order of the first
    /// copies. The embeddings of a model that does not embed have no columns.
    ///
    /// # Errors
    /// Returns an error under the same conditions, or if the model embeds nothing.
    pub fn look_closely(
        &self,
        blip: &Blip,
        limit: Option<BadLimit>,
        done: impl Fn() + Sync,
    ) -> Result<(Seen, Vec<Source>), LookError> {
        let embeds = blip.check(Task::Match).is_ok();
        let embed_dim = if embeds { blip.config().embed_dim } else { 0 };
        let (mut parts, mut read, mut sources, mut known) = (vec![], vec![], vec![], HashSet::new());
        let bad = blip.stream(
            &Watched { source: &self.read_examples(&self.examples()), done },
            |batch: Batch<About, Source>| {
                parts.push(if embeds {
                    blip.embed_seen(&batch.rows)?
                } else {
                    Array2::zeros((batch.rows.rows.len(), 0))
                });
                let new = (0..batch.read.len()).filter(|&i| known.insert(batch.read[i].1.digest));
                sources.extend(new.map(|i| batch.rows.alone(i)));
                read.extend(batch.read);
                limit.map_or(Ok(()), |limit| limit.check(batch.report).map_err(LookError::from))
            },
        )?;
        Ok((self.seen(concat_rows(&parts, embed_dim), read, bad, limit)?, sources))
    }

    fn read_examples<'a>(&self, source: &'a Examples<'a>) -> ReadAs<'a, Examples<'a>> {
        ReadAs { source, reading: self.reading }
    }

    fn examples(&self) -> Examples<'_> {
        Examples { dataset: &*self.dataset, positions: &self.asked }
    }

    fn seen(
        &self,
        images: Array2<f32>,
        read: Vec<(usize, About)>,
        bad: BadReport,
        limit: Option<BadLimit>,
    ) -> Result<Seen, DatasetError> {
        limit.map_or(Ok(()), |limit| BadLimit { after: 0, ..limit }.check(&bad))?;
        if read.is_empty() {
            return Err(self.empty(bad));
        }
        let places: Vec<usize> = read.iter().map(|(i, _)| self.asked[*i]).collect();
        let keys = places.iter().map(|&place| self.dataset.concepts()[place]).collect();
        let (captions, digests) = read.into_iter().map(|(_, About { caption, digest })| (caption, digest)).unzip();
        Ok(Seen { places, images, captions, keys, digests, bad })
    }
}

/// Why pictures could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error(transparent)]
    Data(#[from] DatasetError),
    #[error(transparent)]
    Blip(#[from] BlipError),
}

/// The examples that could be read, in order, with the embeddings of their pictures.
pub struct Seen {
    /// The position of each example in the dataset.
    pub places: Vec<usize>,
    /// Unit-length embeddings (N,e) of the pictures.
    pub images: Array2<f32>,
    pub captions: Vec<String>,
    /// The dataset's key of each example: equal keys show the same thing.
    pub keys: Vec<u64>,
    /// The digest of each picture, equal for equal pictures.
    pub digests: Vec<Digest>,
    /// The report on the examples that could not be read.
    pub bad: BadReport,
}

impl Seen {
    /// Returns the distinct captions and, for each picture, the position of its own caption among them.
    pub fn distinct_captions(&self) -> (Vec<String>, Vec<usize>) {
        let own = identify(&self.captions);
        (first_of_each(&own).into_iter().map(|place| self.captions[place].clone()).collect(), own)
    }

    /// Returns the row of the table for retrieval among `texts`: picture n belongs to text `truth[n]`. If the texts are
    /// `classes`, the pictures are also classified.
    ///
    /// `texts` (M,e), rows of unit length
    #[track_caller]
    pub fn row(&self, name: &str, texts: ArrayView2<f32>, truth: &[usize], classes: bool) -> Row {
        let images = self.images.view();
        let zero_shot = classes.then(|| ZeroShot::measure(images, texts, truth, None));
        self.row_of(name, texts.nrows(), truth, zero_shot, |who| retrieval::retrieval(images, texts, who))
    }

    /// Returns the row of the table for retrieval whose `k` best candidates are [ranked again](rerank).
    /// `judge(texts_of)` returns for each distinct picture the logits of a match with each of its texts.
    ///
    /// `texts` (M,e), rows of unit length
    ///
    /// # Errors
    /// Returns the error of `judge`.
    #[track_caller]
    pub fn reranked_row<E>(
        &self,
        name: &str,
        texts: ArrayView2<f32>,
        truth: &[usize],
        k: usize,
        judge: impl FnOnce(&[Vec<usize>]) -> Result<Vec<Vec<f32>>, E>,
    ) -> Result<Row, E> {
        let distinct = first_of_each(&identify(&self.digests));
        let cosines = self.images.select(Axis(0), &distinct).dot(&texts.t());
        let scores = rerank(cosines.view(), k, judge)?;
        Ok(self.row_of(name, texts.nrows(), truth, None, |who| retrieval::reranked(&scores, who)))
    }

    fn row_of(
        &self,
        name: &str,
        texts: usize,
        truth: &[usize],
        zero_shot: Option<ZeroShot>,
        retrieve: impl FnOnce(&GroundTruth) -> Retrieval,
    ) -> Row {
        let identity = identify(&self.digests);
        let own: Vec<usize> = (0..texts).collect();
        let who = GroundTruth { image_concept: truth, image_identity: &identity, text_concept: &own };
        Row {
            concepts: "own".into(),
            pictures: name.into(),
            without_flags: false,
            images: self.images.nrows(),
            zero_shot,
            retrieval: retrieve(&who),
            retrieval_chance: retrieval::chance(&who),
        }
    }
}
