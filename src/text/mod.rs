//! A caption to CLIP's byte-pair tokens.
//!
//! | file | what it knows |
//! |---|---|
//! | [`mod@clean`] | the cleaning that CLIP's training captions went through |
//! | [`tokenizer`] | cleaned text to token ids |
//! | `error` | what keeps a file from being one |
//! | `tokenizer_file` | the tokenizer that a model folder brings |

pub mod clean;
mod error;
pub mod tokenizer;
mod tokenizer_file;

pub use clean::clean;
pub use error::TokenizerError;
pub use tokenizer::{Caption, Tokenizer};
