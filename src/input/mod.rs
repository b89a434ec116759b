//! Everything between a file and a batch: pictures and captions in, normalised pixels and token ids out.
//!
//! | module | what |
//! |---|---|
//! | [`decode`](mod@decode), [`resize`], [`preprocess`] | a file's bytes to the pixels a checkpoint expects, Pillow's to the last bit |
//! | [`augment`] | the same with random variation, for training |
//! | [`clean`](mod@clean), [`tokenizer`] | a caption to CLIP's byte-pair tokens |
//! | [`emoji`] | the embedded training and evaluation pictures |
//! | [`folder`], [`image_folder`], [`idx`] | the reader's own pictures: files, folders as classes, MNIST's format |
//! | [`table`], [`braces`], [`shards`] | pictures with captions: CSV, JSON lines, WebDataset tar files |
//! | [`sampler`], [`loader`] | examples to batches, ahead of the trainer and reproducibly |

pub mod augment;
pub mod braces;
pub mod clean;
pub mod dataset;
pub mod decode;
pub mod emoji;
pub mod error;
pub mod folder;
pub mod idx;
pub mod image_folder;
pub mod loader;
pub mod picture;
pub mod preprocess;
mod queue;
pub mod random;
pub mod resize;
pub mod sampler;
pub mod shards;
pub mod table;
pub mod tokenizer;
mod tokenizer_file;

pub use augment::Augment;
pub use clean::clean;
pub use dataset::{Dataset, Example};
pub use error::{BadExample, BadLimit, BadReport, InputError};
pub use loader::{Batch, Loader, LoaderConfig};
pub use picture::{Mode, Picture};
pub use preprocess::{Interpolation, Library, Preprocess, ResizeMode, Scratch};
pub use random::Rng;
pub use shards::Shards;
pub use table::{CsvLayout, Table};
pub use tokenizer::{Caption, Tokenizer};
