//! Patch dropout (Li et al. 2023, "Scaling Language-Image Pre-training via Masking", section 3): in training an image
//! tower sees some patches of each picture, and the others are neither cut out, nor embedded, nor processed.
//!
//! All pictures keep as many patches, so that their sequences have one length. Which ones is drawn anew for every
//! picture and step.

use crate::random::{Rng, rng};
use rand::RngExt;

/// What one training pass drops of its pictures' patches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PatchDropout<'a> {
    /// The share of a picture's patches that is dropped.
    pub rate: f64,
    /// The pass's own stream, [named](crate::random::key) by seed, step and use.
    pub key: u64,
    /// The place of each picture in the batch of the whole step, so that any micro-batches draw the same.
    pub places: &'a [u32],
}

/// Returns how many of a picture's patches are kept: max(1, ⌊(1 − rate)·patches⌋), as in OpenCLIP.
pub fn kept(rate: f64, patches: usize) -> usize {
    if rate == 0.0 { patches } else { ((patches as f64 * (1.0 - rate)) as usize).max(1) }
}

/// The patches of each picture that a pass embeds: all of them, or some of each.
///
/// The list is kept here and refilled in place, so that a training step allocates none.
#[derive(Clone, Debug, Default)]
pub struct Patches {
    of_each: usize,
    is_whole: bool,
    kept: Vec<u32>,
}

impl Patches {
    /// Draws what is kept of so many pictures with `patches` patches each, which is all of them if nothing is dropped.
    ///
    /// # Panics
    /// If there is not a place for each picture.
    #[track_caller]
    pub fn draw(&mut self, patches: usize, pictures: usize, dropout: Option<PatchDropout>) {
        self.of_each = dropout.map_or(patches, |dropout| kept(dropout.rate, patches));
        self.is_whole = self.of_each == patches;
        self.kept.clear();
        if let Some(PatchDropout { key, places, .. }) = dropout.filter(|_| !self.is_whole) {
            assert_eq!(places.len(), pictures, "patch dropout: places of pictures");
            self.kept.extend(places.iter().flat_map(|&place| draw(self.of_each, patches, rng(&[key, place.into()]))));
        }
    }

    /// Returns how many patches of each picture are embedded.
    pub fn of_each(&self) -> usize {
        self.of_each
    }

    /// Returns the indices of the patches that are embedded, picture by picture and in ascending order, unless these
    /// are all.
    pub fn kept(&self) -> Option<&[u32]> {
        (!self.is_whole).then_some(&self.kept)
    }
}

/// Draws some of the patches without replacement, in ascending order and each choice with the same probability
/// (selection sampling: Knuth, The Art of Computer Programming, volume 2, section 3.4.2, algorithm S).
fn draw(of_each: usize, patches: usize, mut rng: Rng) -> impl Iterator<Item = u32> {
    let mut wanted = of_each as u32;
    (0..patches as u32).filter(move |i| {
        // Of the patches from i on, `wanted` are still to be kept.
        let is_kept = rng.random_range(0..patches as u32 - i) < wanted;
        wanted -= u32::from(is_kept);
        is_kept
    })
}
