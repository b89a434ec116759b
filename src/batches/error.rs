//! The errors that end the stream of batches.

use crate::counted::counted;
use crate::datasets::DatasetError;
use thiserror::Error;

/// An error that ends the stream of batches.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoaderError {
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    #[error("a batch of {batch_size} is more than there is: {}", counted(*examples, "example"))]
    TooFew { examples: usize, batch_size: usize },
    #[error("a loader thread panicked: {0}")]
    Panic(String),
}
