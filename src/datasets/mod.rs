//! Sets of pictures with captions or classes, however they are stored, to train on or to be evaluated on.
//!
//! | file | what it knows |
//! |---|---|
//! | [`dataset`] | what every dataset can do |
//! | [`error`] | what can go wrong with a dataset |
//! | [`open`] | how the data at a user's path is stored, and how to open it |
//! | `emoji` | the embedded training and evaluation pictures (feature `emoji`) |
//! | [`image_folder`], [`idx`] | pictures with classes: folders, MNIST's format |
//! | [`table`], [`braces`], [`shards`] | pictures with captions: CSV, JSON lines, WebDataset tar files |

pub mod braces;
pub mod dataset;
#[cfg(feature = "emoji")]
pub mod emoji;
pub mod error;
pub mod idx;
pub mod image_folder;
pub mod open;
pub mod shards;
pub mod table;

pub use dataset::{Dataset, Example};
pub use error::{BadExample, BadLimit, BadReport, DatasetError};
pub use open::{OpenError, OwnPairs, PairFormat, PairLayout, Questions};
pub use shards::Shards;
pub use table::{CsvLayout, Table};
