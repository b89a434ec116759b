//! This folder turns a caption into CLIP's byte-pair tokens.
//!
//! | file | what it knows |
//! |---|---|
//! | [`mod@clean`] | the cleaning that CLIP's training captions went through |
//! | [`tokenizer`] | how cleaned text becomes token ids |
//! | `error` | why a file cannot be used as a tokenizer |
//! | `tokenizer_file` | a model folder's own `tokenizer.json` |

pub mod clean;
mod error;
pub mod tokenizer;
mod tokenizer_file;

pub use clean::clean;
pub use error::{TokenizerError, TokenizerFileError};
pub use tokenizer::{Caption, Tokenizer};
