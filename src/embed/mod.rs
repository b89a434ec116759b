//! From files and sentences to embeddings.
//!
//! | file | what it knows |
//! |---|---|
//! | `encoders` | [`Clip`] and either encoder alone |
//! | [`batched`] | pictures and captions through a tower, batch by batch |

pub mod batched;
mod encoders;

pub use encoders::{Clip, ImageEncoder, LoadError, TextEncoder, TextStates};
