//! What a model is asked or learns from: pictures with captions or classes, however they are stored.
//!
//! | file | what it knows |
//! |---|---|
//! | [`dataset`] | what every dataset can do |
//! | [`error`] | what can go wrong with it |
//! | [`emoji`] | the embedded training and evaluation pictures |
//! | [`image_folder`], [`idx`] | pictures with classes: folders, MNIST's format |
//! | [`table`], [`braces`], [`shards`] | pictures with captions: CSV, JSON lines, WebDataset tar files |

pub mod braces;
pub mod dataset;
pub mod emoji;
pub mod error;
pub mod idx;
pub mod image_folder;
pub mod shards;
pub mod table;

pub use dataset::{Dataset, Example};
pub use error::{BadExample, BadLimit, BadReport, DatasetError};
pub use shards::Shards;
pub use table::{CsvLayout, Table};
