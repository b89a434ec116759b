//! The division of the set into a part that a model is trained on and a part that judges it.

use super::concept::{Concept, Split};
use super::vendor::Vendor;

/// The part of the training data to train on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The whole training data, for a model that is judged on Twemoji.
    Whole,
    /// The training data without one vendor and a seeded tenth of the concepts. While a recipe is chosen, these take
    /// the place of Twemoji and of the held-out concepts.
    Validation { vendor: Vendor, seed: u64 },
}

impl Cut {
    /// Returns the vendor whose pictures judge a model trained on this cut.
    pub(crate) fn judge(self) -> Vendor {
        match self {
            Cut::Whole => Vendor::HELD_OUT,
            Cut::Validation { vendor, .. } => vendor,
        }
    }

    /// Returns the side of the cut that a concept is on, or `None` if a model of this cut may neither train nor be
    /// judged on it.
    pub fn side(self, concept: &Concept) -> Option<Side> {
        match (self, concept.split) {
            (Cut::Whole, Split::HeldOut) => Some(Side::HeldOut),
            (Cut::Validation { .. }, Split::HeldOut) => None,
            (Cut::Validation { seed, .. }, Split::Train) if is_in_tenth(concept.hex, seed) => Some(Side::HeldOut),
            (_, Split::Train) => Some(Side::Trained),
        }
    }
}

/// The side of a [`Cut`] that a concept or a vendor is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Trained,
    HeldOut,
}

/// Returns whether the concept is in the seeded tenth. The choice depends on its code points alone, so that reordering
/// the file does not change it.
fn is_in_tenth(hex: &str, seed: u64) -> bool {
    crate::random::key(hex.bytes().chain(seed.to_le_bytes())).is_multiple_of(10)
}
