//! Fine-tuning to write captions: LM alone (Li et al. 2022, section 5.2).
//!
//! ```text
//! loss = mean over all targets of the batch of the smoothed cross-entropy
//! ```
//!
//! A caption may begin with a prompt such as "a picture of", which is given and not learnt.

use super::drops::Stream;
use super::mean::count;
use super::options::Rates;
use super::tuned::Tuned;
use super::vision::Seen;
use super::writing::Wanted;
use crate::layers::rows;
use crate::models::blip::sights::Sights;
use crate::models::blip::{Blip, Model, Parts};
use crate::models::{Captions, Keep};
use crate::params::{Params, Spec};
use crate::train::metric::Metric;
use crate::train::objective::{Objective, State, StepId};
use crate::train::world::World;
use ndarray::ArrayView2;
use std::ops::Range;

/// B pictures and their captions.
#[derive(Clone, Copy, Debug)]
pub struct CaptionBatch<'a> {
    /// The pictures (B,3·height·width), normalised.
    pub images: ArrayView2<'a, f32>,
    /// The captions, one for each picture. `[DEC]` replaces the first token of each; the last one ends it.
    pub captions: Captions<'a>,
    /// How many tokens each caption begins with that are given, at least its first one.
    pub given: &'a [usize],
}

impl CaptionBatch<'_> {
    /// Panics unless there is one of everything for each picture, and every caption has something to learn.
    #[track_caller]
    fn check(&self) {
        let n = self.images.nrows();
        assert_eq!((self.captions.len(), self.given.len()), (n, n), "captions and prompts of {n} pictures");
        let learns = |i: usize| (1..self.captions.of(i).len()).contains(&self.given[i]);
        assert!((0..n).all(learns), "a caption has a token that is given, and one behind them");
    }

    fn wanted(&self, pictures: Range<usize>, weight: f32) -> impl Iterator<Item = Wanted<'_>> + Clone {
        pictures.map(move |i| Wanted { text: self.captions.of(i), given: self.given[i], weight })
    }
}

/// A captioner in training, with every buffer that a step needs.
pub struct CaptionObjective {
    tuned: Tuned,
}

impl CaptionObjective {
    /// Makes an objective that begins with this model.
    ///
    /// # Panics
    /// If the model is no captioner.
    #[track_caller]
    pub fn new(model: &Model, rates: Rates) -> Self {
        CaptionObjective { tuned: Tuned::new(model, Parts::Captioner, rates) }
    }

    /// Keeps the [inputs](Keep::Inputs) alone of the image encoder's blocks if `on` says so.
    #[must_use]
    pub fn grad_checkpointing(mut self, on: bool) -> Self {
        self.tuned.grad_checkpointing = on;
        self
    }

    /// Returns a copy of the model as it is now.
    pub fn model(&self) -> Model {
        self.tuned.model()
    }
}

impl<W: World> Objective<W> for CaptionObjective {
    type Tree = Blip<Spec>;
    type Batch<'a> = CaptionBatch<'a>;

    fn params(&self) -> &Params<Blip<Spec>> {
        &self.tuned.params
    }

    fn saved(&mut self) -> (&mut Params<Blip<Spec>>, State<'_>) {
        (&mut self.tuned.params, vec![])
    }

    fn pictures(batch: &CaptionBatch) -> usize {
        batch.images.nrows()
    }

    fn prepare(&mut self, batch: &CaptionBatch, id: StepId) {
        batch.check();
        self.tuned.drops.begin(batch.images.nrows(), id);
    }

    fn forward(&mut self, batch: &CaptionBatch, range: Range<usize>, keep: Keep, _: StepId) {
        self.tuned.forward(batch.images, &range, keep);
    }

    /// Counts the targets of all ranks.
    fn loss(&mut self, batch: &CaptionBatch, id: StepId, world: &W) {
        let wanted = batch.wanted(0..batch.images.nrows(), 1.0);
        let targets = wanted.map(|wanted| wanted.count(&self.tuned.config)).sum();
        let [_, [all]] = count(world, [targets]);
        self.tuned.mean.begin(all, id.shards);
    }

    /// Goes forward and backward through the decoder, and backward through the image encoder.
    fn backward(&mut self, batch: &CaptionBatch, range: Range<usize>, id: StepId, g: &mut Blip<&mut [f32]>) {
        let Tuned { config, params, drops, vision, writer, scratch, picture_rows, one_each, mean, .. } =
            &mut self.tuned;
        let (p, shape) = (&params.view(), config.vit());
        let Seen { tokens, dtokens } = vision.seen(&shape, range.len());
        let wanted = batch.wanted(range.clone(), mean.weight());
        let (sights, dropout) = (Sights { texts: one_each, rows: picture_rows }, drops.texts(Stream::Written, &range));
        let sums = writer.backward(p, config, wanted, (tokens, dtokens), sights, dropout, scratch, g);
        mean.add(id.shard_of(range.start, batch.images.nrows()), sums);
        vision.backward(&p.visual_encoder, &shape, rows(batch.images, &range), scratch, &mut g.visual_encoder);
    }

    /// Returns the loss of all ranks' captions.
    fn losses(&mut self, world: &W) -> Vec<Metric> {
        self.tuned.losses(world)
    }

    /// Returns the share of targets that were found likeliest.
    fn metrics(&self) -> Vec<Metric> {
        self.tuned.metrics()
    }
}
