//! What a model is asked or learns from: pictures with captions or classes, however they are stored.
//!
//! | file | what it knows |
//! |---|---|
//! | [`dataset`] | what every dataset can do |
//! | [`error`] | what can go wrong with it |
//! | [`open`] | how a user's path is stored, and its dataset |
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
