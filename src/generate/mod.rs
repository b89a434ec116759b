//! The search for texts. A model says how likely each token is to come next; what follows is chosen here.
//!
//! | file | what it is for |
//! |---|---|
//! | [`decoder`] | what a search needs of a model |
//! | [`options`] | what is asked for, and which of it cannot be |
//! | [`process`](mod@process) | repetition penalty and least length, which change the scores of one step |
//! | [`sample`] | the distribution that one step of sampling draws from, and the draw |
//! | [`beams`] | one step of a beam search, in either style |
//! | [`search`] | the loop over steps, for many requests at once |
//!
//! A text is a prompt and the tokens that were chosen behind it, one at each step. The texts of one request that are
//! still open are its beams; greedy search and sampling have one. A text that ended is no row of the next step, and so
//! costs nothing. The requests of one call share the products of the decoder and nothing else: each gets the text that
//! it would get alone.
//!
//! # Numbers
//! The running sums of log-probabilities are f32, as in the references, whose choices between nearly equal beams depend
//! on it. In f64, sums of twenty terms would differ by some 1e-6, and beams that are nearer than this may change places.
//! Of equal scores, the one with the lowest beam and then the lowest token comes first. A NaN logit is less likely than
//! any other, and as it makes its whole row NaN, the score of a text that needed the row is −∞ or NaN.

pub mod beams;
pub mod decoder;
pub mod options;
pub mod process;
pub mod sample;
pub mod search;

pub use decoder::Decoder;
pub use options::{BeamStyle, GenerateError, Options, Search};
pub use search::{Request, Text, generate};
