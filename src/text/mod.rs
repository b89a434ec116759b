//! This folder turns a text into a model's tokens: CLIP's byte pairs, SigLIP's unigrams or byte pairs of its own, or BERT's
//! word pieces for BLIP.
//!
//! | file | what it knows |
//! |---|---|
//! | [`mod@clean`] | the cleaning that CLIP's training captions went through |
//! | [`tokenizer`] | how cleaned text becomes token ids |
//! | [`blip_clean`] | the cleaning that BLIP's captions and questions went through |
//! | `ranks` | byte-pair merges of short words, ready at once |
//! | [`wordpiece`] | how text becomes BERT's token ids, and these become text |
//! | [`trace`] | how a text becomes tokens, step by step |
//! | `training` | how a model in training reads captions |
//! | `error` | why a file cannot be used as a tokenizer |
//! | `tokenizer_file` | a model folder's own `tokenizer.json` |
//! | `sentence_piece` | a SigLIP's own `spiece.model` |

pub mod blip_clean;
pub mod clean;
mod error;
mod ranks;
mod sentence_piece;
pub mod tokenizer;
mod tokenizer_file;
pub mod trace;
mod training;
pub mod wordpiece;

pub use clean::clean;
pub use error::{TokenizerError, TokenizerFileError};
pub use tokenizer::{Caption, Tokenizer};
pub use training::{BlipCaptions, BlipQuestions, Tokenize};
pub use wordpiece::WordPiece;
