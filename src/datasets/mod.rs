//! Sets of pictures with captions or classes, however they are stored, to train on or to be evaluated on.
//!
//! | file | what it knows |
//! |---|---|
//! | [`dataset`] | what every dataset can do |
//! | [`error`] | what can go wrong with a dataset |
//! | [`open`] | how the data at a user's path is stored, and how pairs in any format are opened |
//! | [`questions`], `benchmark` | what a model is evaluated on, also as CLIP_benchmark stores it |
//! | `emoji` | the embedded training and evaluation pictures (feature `emoji`) |
//! | `scenes` | pictures made of the embedded ones, with captions and questions (feature `emoji`) |
//! | [`image_folder`], [`idx`] | pictures with classes: folders, MNIST's format |
//! | [`table`], [`columns`], `csv` | pictures with captions: CSV, JSON lines |
//! | [`annotations`], `visual_questions` | captions of COCO and sets like it, questions and answers of VQA |
//! | [`shards`], [`braces`], `samples` | pictures with captions or classes: WebDataset tar files |
//! | [`streams`], `tar_stream` | such files without an index, drawn with replacement and read front to back |
//! | `joined` | pairs of several datasets as one |

pub mod annotations;
mod benchmark;
pub mod braces;
pub mod columns;
pub(crate) mod csv;
pub mod dataset;
#[cfg(feature = "emoji")]
pub mod emoji;
pub mod error;
pub mod idx;
pub mod image_folder;
mod joined;
pub mod open;
pub mod questions;
mod samples;
#[cfg(feature = "emoji")]
pub mod scenes;
pub mod shards;
pub mod streams;
pub mod table;
mod tar_stream;
mod visual_questions;

pub use columns::Columns;
pub use dataset::{Answer, Dataset, Example, PictureFiles};
pub use error::{BadExample, BadLimit, BadReport, DatasetError, IdxError};
pub use open::{OwnPairs, PairFormat, PairLayout};
pub use questions::{OpenError, Questions};
pub use shards::Shards;
pub use streams::{BlockSize, Place, ShardList, Stream};
pub use table::{CsvLayout, Table};
pub use visual_questions::VisualQuestions;
