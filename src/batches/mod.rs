//! What training adds to pictures and captions: order, variation, and batches made ahead of the trainer.
//!
//! | file | what it knows |
//! |---|---|
//! | [`sampler`] | which examples make a step's batch, reproducibly |
//! | [`augment`] | preprocessing with random variation |
//! | [`loader`] | batches, made ahead on threads of their own |
//! | `error` | why there is no next batch |
//! | `queue` | the numbered places in which they wait |

pub mod augment;
pub mod error;
pub mod loader;
mod queue;
pub mod sampler;

pub use augment::Augment;
pub use error::LoaderError;
pub use loader::{Batch, Loader, LoaderConfig};
