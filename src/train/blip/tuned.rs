//! What the objectives of captions and of answers have in common: a model that learns to write in view of pictures.
//!
//! Their losses need nothing of a picture before its backward pass, so a micro-batch goes forward once.

use super::drops::{Drops, Stream};
use super::mean::Mean;
use super::options::Rates;
use super::passes::fill_ranges;
use super::vision::Vision;
use super::writing::Writer;
use crate::layers::rows;
use crate::models::Keep;
use crate::models::blip::{Blip, Config, Model, Parts};
use crate::params::{Params, Spec};
use crate::train::metric::Metric;
use crate::train::world::World;
use crate::tree::Arena;
use ndarray::ArrayView2;
use std::ops::Range;

/// A model in fine-tuning, with the buffers of its image encoder and of its decoder.
pub(super) struct Tuned {
    pub config: Config,
    pub params: Params<Blip<Spec>>,
    pub drops: Drops,
    pub vision: Vision,
    pub writer: Writer,
    pub scratch: Arena,
    /// The rows of each picture, and that each is looked at by one text.
    pub picture_rows: Vec<Range<usize>>,
    pub one_each: Vec<Range<usize>>,
    /// The loss.
    pub mean: Mean,
    pub grad_checkpointing: bool,
}

impl Tuned {
    /// # Panics
    /// If the model is for another task.
    #[track_caller]
    pub fn new(model: &Model, parts: Parts, rates: Rates) -> Self {
        assert_eq!(model.config.parts, parts, "the parts of the model");
        Tuned {
            config: model.config,
            params: model.params.clone(),
            drops: Drops::new(rates),
            vision: Vision::default(),
            writer: Writer::default(),
            scratch: Arena::default(),
            picture_rows: vec![],
            one_each: vec![],
            mean: Mean::default(),
            grad_checkpointing: false,
        }
    }

    /// Returns a copy of the model as it is now.
    pub fn model(&self) -> Model {
        Model { config: self.config, params: self.params.clone() }
    }

    /// Goes forward through the image encoder if its backward pass follows.
    pub fn forward(&mut self, images: ArrayView2<f32>, range: &Range<usize>, keep: Keep) {
        if keep == Keep::Nothing {
            return;
        }
        let keep = keep.checkpointed(self.grad_checkpointing);
        let Tuned { config, params, drops, vision, scratch, picture_rows, one_each, .. } = self;
        let (shape, p) = (config.vit(), params.view());
        let depth = drops.images(Stream::Images, range);
        vision.look(&p.visual_encoder, &shape, rows(images, range), keep, depth, scratch);
        fill_ranges(picture_rows, range.len(), shape.grid.tokens());
        fill_ranges(one_each, range.len(), 1);
    }

    pub fn losses<W: World>(&mut self, world: &W) -> Vec<Metric> {
        self.mean.finish(world);
        let chance = self.mean.chance(self.config.text.vocab_size);
        vec![Metric::new("loss", self.mean.loss()).against_chance(chance)]
    }

    pub fn metrics(&self) -> Vec<Metric> {
        self.mean.accuracy("accuracy").into_iter().collect()
    }
}
