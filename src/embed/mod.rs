//! From files and sentences to embeddings.
//!
//! | file | what it knows |
//! |---|---|
//! | `encoders` | [`Clip`] and either encoder alone |
//! | `embedder` | [`Embed`], and a model in training that does so |
//! | [`source`] | where pictures come from: files, memory, datasets |
//! | `stream` | a source to embeddings, batch by batch, reading ahead |
//! | `session` | the memory of all that, reused from call to call |
//! | [`rows`] | embeddings laid below each other, and chosen evenly |

mod embedder;
mod encoders;
pub mod rows;
mod session;
pub mod source;
mod stream;

pub use embedder::{Embed, Embedder};
pub use encoders::{Clip, ImageEncoder, LoadError, TextEncoder, TextStates};
pub use source::Pictures;
pub use stream::{BATCH, Batch, Embedded};
