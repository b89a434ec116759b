//! The division of vendors and concepts into those to train on, to choose with and to judge by.

use crate::datasets::emoji::{Concept, Cut, Side, Vendor};

/// The drawings that scenes are made of. No drawing is in two divisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Division {
    /// Training concepts, but for the tenth kept back, by all vendors but Noto and Twemoji.
    Train,
    /// The concepts of `Train`, drawn by Noto.
    Val,
    /// The tenth of the training concepts that is kept back, drawn by Noto.
    ValConcepts,
    /// The concepts of `Train`, drawn by Twemoji.
    Test,
    /// The held-out concepts, drawn by Twemoji.
    TestConcepts,
}

impl Division {
    /// All divisions.
    pub const ALL: [Division; 5] =
        [Division::Train, Division::Val, Division::ValConcepts, Division::Test, Division::TestConcepts];

    /// Returns the name, such as "val-concepts".
    pub fn name(self) -> &'static str {
        match self {
            Division::Train => "train",
            Division::Val => "val",
            Division::ValConcepts => "val-concepts",
            Division::Test => "test",
            Division::TestConcepts => "test-concepts",
        }
    }

    /// Returns the divisions that judge a run, one of concepts that `Train` has and one of others, and whose drawings
    /// they are of: those for the choice of a recipe if the run `validates` one.
    pub(crate) fn judges(validates: bool) -> ([Division; 2], Vendor) {
        match validates {
            true => ([Division::Val, Division::ValConcepts], Cut::NEAR.judge()),
            false => ([Division::Test, Division::TestConcepts], Cut::Whole.judge()),
        }
    }

    /// Returns whether a vendor's drawing of a concept is in the division.
    pub(super) fn has(self, vendor: Vendor, concept: &Concept) -> bool {
        let is_seen = Cut::NEAR.side(concept) == Some(Side::Trained);
        let (validates, judges) = (vendor == Cut::NEAR.judge(), vendor == Cut::Whole.judge());
        match self {
            Division::Train => is_seen && !validates && !judges,
            Division::Val => is_seen && validates,
            Division::ValConcepts => validates && Cut::NEAR.side(concept) == Some(Side::HeldOut),
            Division::Test => is_seen && judges,
            Division::TestConcepts => judges && Cut::Whole.side(concept) == Some(Side::HeldOut),
        }
    }
}
