//! The division of the set into a part that a model is trained on and a part that judges it.

use super::concept::{Concept, Split};
use super::vendor::Vendor;
use crate::random::mix;

/// The part of the training data to train on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The whole training data, for a model that is judged on Twemoji.
    Whole,
    /// The training data without one vendor, its kin, whose drawings are the same in another rendering, and a seeded
    /// tenth of the concepts. While a recipe is chosen, the vendor and these concepts take the place of Twemoji and of
    /// the held-out concepts.
    Validation { vendor: Vendor, seed: u64 },
    /// The 64 concepts of a lesson, which is short: things that everyone knows and that all vendors draw. No concept is
    /// held out.
    Lesson,
}

/// The names of the concepts of [`Cut::Lesson`].
#[rustfmt::skip]
const LESSON: [&str; 64] = [
    "dog", "cat", "tiger", "horse", "cow", "pig", "elephant", "mouse", "bear", "koala", "panda", "chicken", "bird",
    "penguin", "frog", "crocodile", "turtle", "snake", "whale", "dolphin", "octopus", "ant", "honeybee", "spider",
    "sunflower", "tulip", "cactus", "mushroom", "grapes", "watermelon", "lemon", "banana", "pineapple", "red apple",
    "cherries", "tomato", "eggplant", "ear of corn", "bread", "hamburger", "pizza", "rice ball", "doughnut",
    "birthday cake", "hot beverage", "beer mug", "volcano", "house", "bus", "bicycle", "anchor", "ship", "airplane",
    "rocket", "rainbow", "umbrella", "snowflake", "soccer ball", "guitar", "violin", "books", "key", "hammer",
    "bomb",
];

impl Cut {
    /// The cut by which recipes are chosen for drawings that resemble those trained on.
    pub const NEAR: Cut = Cut::Validation { vendor: Vendor::Noto, seed: 0 };
    /// The cut by which recipes are chosen for drawings of another style: black on white, without a coloured one of the
    /// same hand.
    pub const FAR: Cut = Cut::Validation { vendor: Vendor::FluentHighContrast, seed: 0 };

    /// Returns the vendor whose pictures judge a model trained on this cut.
    pub(crate) fn judge(self) -> Vendor {
        match self {
            Cut::Whole | Cut::Lesson => Vendor::HELD_OUT,
            Cut::Validation { vendor, .. } => vendor,
        }
    }

    /// Whether a model of this cut is trained on the vendor's pictures.
    pub(crate) fn trains_on(self, vendor: Vendor) -> bool {
        vendor != Vendor::HELD_OUT && !vendor.is_kin(self.judge())
    }

    /// Returns the side of the cut that a concept is on, or `None` if a model of this cut may neither train nor be
    /// judged on it.
    pub fn side(self, concept: &Concept) -> Option<Side> {
        match (self, concept.split) {
            (Cut::Lesson, _) => LESSON.contains(&concept.label).then_some(Side::Trained),
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
/// the file does not change it. It must stay as it is, since models that were trained on a cut are judged on it.
fn is_in_tenth(hex: &str, seed: u64) -> bool {
    mix(fnv_1a(hex.bytes().chain(seed.to_le_bytes()))).is_multiple_of(10)
}

/// Returns the 64-bit FNV-1a hash of the bytes (Fowler, Noll and Vo).
fn fnv_1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenth_stays_the_same() {
        assert_eq!(fnv_1a("foobar".bytes()), 0x8594_4171_f739_67e8);
        let tenth = |seed| (0x1f600..0x1f650u32).filter(move |code| is_in_tenth(&format!("{code:X}"), seed));
        assert_eq!(
            tenth(0).collect::<Vec<_>>(),
            [0x1_f611, 0x1_f621, 0x1_f629, 0x1_f62a, 0x1_f62c, 0x1_f62e, 0x1_f638, 0x1_f63c, 0x1_f644, 0x1_f64e]
        );
        assert_eq!(
            tenth(1).collect::<Vec<_>>(),
            [
                0x1_f604, 0x1_f606, 0x1_f60c, 0x1_f610, 0x1_f617, 0x1_f622, 0x1_f635, 0x1_f638, 0x1_f63d, 0x1_f63e,
                0x1_f647
            ]
        );
    }
}
