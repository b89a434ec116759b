//! What training adds to pictures and captions: order, variation, and batches made ahead of the trainer.
//!
//! | file | what it knows |
//! |---|---|
//! | [`source`] | where pairs come from, and which of them are a step's, reproducibly |
//! | `sampler` | the examples of a step from a dataset whose examples are all known |
//! | [`augment`] | preprocessing with random variation |
//! | [`rand_augment`] | BLIP's operations on training pictures |
//! | [`style`] | training pictures drawn again in another style |
//! | `image_sizes` | the size of each step's pictures |
//! | `batch` | what a training step reads |
//! | [`feature_cache`] | features of examples that need not be computed, or pictures read, again |
//! | [`loader`] | batches, made ahead on threads of their own |
//! | `error` | the errors that end the stream of batches |
//! | `queue` | the numbered places in which finished batches wait |

pub mod augment;
mod batch;
pub mod error;
pub mod feature_cache;
mod image_sizes;
pub mod loader;
mod queue;
pub mod rand_augment;
mod sampler;
pub mod source;
pub mod style;

pub use augment::Augment;
pub use batch::{Answers, Batch};
pub use error::LoaderError;
pub use feature_cache::FeatureCache;
pub use image_sizes::{ImageSizeSchedule, ImageSizes, ImageSizesError};
pub use loader::{Loader, LoaderConfig, TeacherPictures};
pub use source::{Source, Streams};
