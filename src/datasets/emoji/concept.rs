//! The concepts that the pictures show.

/// Whether a concept may be trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    Train,
    HeldOut,
}

/// One emoji concept, which up to eight pictures show.
#[derive(Clone, Debug)]
pub struct Concept {
    /// Code points in hexadecimal, joined by hyphens.
    pub hex: &'static str,
    pub split: Split,
    /// Unicode's coarse category, such as "food-drink".
    pub group: &'static str,
    /// Unicode's fine category, such as "food-fruit".
    pub subgroup: &'static str,
    /// The English name: the concept's class in zero-shot classification. No two concepts share one.
    pub label: &'static str,
    /// English keywords.
    pub keywords: Vec<&'static str>,
    /// Whether a mirrored picture still shows this concept.
    pub may_flip: bool,
}

impl Concept {
    /// Returns whether the concept is a flag. All vendors draw a flag nearly alike, so results are also given without
    /// flags.
    pub fn is_flag(&self) -> bool {
        self.group == "flags"
    }
}
