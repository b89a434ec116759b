//! What training adds to pictures and captions: order, variation, and batches made ahead of the trainer.
//!
//! | file | what it knows |
//! |---|---|
//! | [`sampler`] | the examples of a step's batch, reproducibly |
//! | [`augment`] | preprocessing with random variation |
//! | [`rand_augment`] | BLIP's operations on training pictures |
//! | `image_sizes` | the size of each step's pictures |
//! | `batch` | what a training step reads |
//! | [`loader`] | batches, made ahead on threads of their own |
//! | `error` | the errors that end the stream of batches |
//! | `queue` | the numbered places in which finished batches wait |

pub mod augment;
mod batch;
pub mod error;
mod image_sizes;
pub mod loader;
mod queue;
pub mod rand_augment;
pub mod sampler;

pub use augment::Augment;
pub use batch::{Answers, Batch};
pub use error::LoaderError;
pub use image_sizes::{ImageSizeSchedule, ImageSizes, ImageSizesError};
pub use loader::{Loader, LoaderConfig};
