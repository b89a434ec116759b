//! Scores of generated captions against the captions that people gave to the same pictures.
//!
//! The same numbers as those of `pycocoevalcap`, with which nearly all published results were computed.
//!
//! | file | what it knows |
//! |---|---|
//! | [`words`] | the words of a caption |
//! | `captioned` | a caption and its references, and their n-grams |
//! | [`bleu`] | which share of the generated n-grams do the references have? |
//! | [`rouge`] | how long is the longest common subsequence? |
//! | [`cider`] | how alike are the n-grams, weighted by how much they tell? |
//!
//! METEOR and SPICE need word lists and parsers of their own and are left out.

pub mod bleu;
mod captioned;
pub mod cider;
pub mod rouge;
pub mod words;

pub use captioned::{Captioned, MAX_N};

/// The scores of a set of captions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CaptionScores {
    /// BLEU@1 to BLEU@4, in [0, 1].
    pub bleu: [f64; MAX_N],
    /// ROUGE-L, in [0, 1].
    pub rouge_l: f64,
    /// CIDEr-D, in [0, 10].
    pub cider: f64,
}

impl CaptionScores {
    /// Scores a set of captions; all are 0 without captions.
    pub fn of(captions: &[Captioned]) -> Self {
        Self { bleu: bleu::bleu(captions), rouge_l: rouge::rouge_l(captions), cider: cider::cider_d(captions) }
    }
}
