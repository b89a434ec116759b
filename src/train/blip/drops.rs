//! What a step drops at random, in each of its passes.
//!
//! A pass has a stream of its own, and a row of it is named by its place in the batch of all ranks. So a micro-batch that
//! goes forward twice drops the same twice, whatever its size, and a run that was stopped goes on with the same draws.

use super::options::Rates;
use crate::layers::dropout::Pass;
use crate::train::objective::StepId;
use std::ops::Range;

/// A pass of a step, which names its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// Pictures become tokens.
    Images,
    /// Texts become features.
    Texts,
    /// The momentum copy does both.
    MomentumImages,
    MomentumTexts,
    /// Texts are matched with pictures.
    Pairs,
    /// Questions are read.
    Questions,
    /// Texts are written.
    Written,
}

/// What the streams' names begin with, so that none is that of a negative's draw.
const DROPS: u64 = 2;

/// The rates, and the step that draws.
#[derive(Default)]
pub(super) struct Drops {
    rates: Rates,
    id: StepId,
    /// The places of this rank's pictures in the batch of all ranks.
    places: Vec<u32>,
}

impl Drops {
    /// # Panics
    /// If a rate is no probability below 1.
    #[track_caller]
    pub fn new(rates: Rates) -> Self {
        for (name, rate) in [("dropout", rates.dropout), ("depth", rates.depth)] {
            assert!((0.0..1.0).contains(&rate), "{name} with a rate of {rate}, not from 0 to below 1");
        }
        Drops { rates, ..Drops::default() }
    }

    /// Begins a step with this many pictures on this rank.
    pub fn begin(&mut self, pictures: usize, id: StepId) {
        self.id = id;
        self.places.clear();
        self.places.extend((0..pictures).map(|i| id.place(i, pictures) as u32));
    }

    /// Returns what the image encoder drops of these pictures.
    pub fn images(&self, stream: Stream, pictures: &Range<usize>) -> Option<Pass<'_>> {
        Some(Pass { rate: self.rates.depth, key: self.key(stream), places: &self.places[pictures.clone()] })
    }

    /// Returns what a text Transformer drops of the texts of these pictures, one each.
    pub fn texts(&self, stream: Stream, pictures: &Range<usize>) -> Option<Pass<'_>> {
        self.texts_at(stream, &self.places[pictures.clone()])
    }

    /// Returns what a text Transformer drops of texts whose places in the step's pass are these.
    pub fn texts_at<'a>(&self, stream: Stream, places: &'a [u32]) -> Option<Pass<'a>> {
        Some(Pass { rate: self.rates.dropout, key: self.key(stream), places })
    }

    fn key(&self, stream: Stream) -> u64 {
        self.id.key(&[DROPS, stream as u64])
    }
}
