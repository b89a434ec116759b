//! A folder of pictures, embedded once and searched again and again.
//!
//! An index is a folder of three files:
//!
//! | file | what |
//! |---|---|
//! | `index.json` | the [`Manifest`]: which model, which pictures' folder, how much of the other two counts |
//! | `embeddings-G.f16` | unit-length embeddings, (rows, e) little-endian f16 |
//! | `entries-G.jsonl` | line i says whose row i is: path, size and time of change |
//!
//! **Append, then commit.** New rows and their lines are appended and reach the disk; then `index.json`, replaced as a
//! whole, says that they count. What a killed run left behind the counted part is cut off by the next one. Rows of
//! pictures that changed or vanished are listed as dropped, and once there are many the files are written anew under
//! the next generation number G, which `index.json` then names.
//!
//! **Reading.** Files are read at their place with ordinary reads, not through a memory map, as checkpoints are: a
//! block that fits the second-level cache is read and multiplied there, and a file that is cut short under the reader
//! is an error instead of the end of the process.

mod entry;
mod error;
mod fingerprint;
mod manifest;
mod model;
mod scan;
mod search;
mod store;
mod update;

pub use entry::Entry;
pub use error::IndexError;
pub use manifest::Manifest;
pub use model::ModelId;
pub use scan::{Found, Scan, Skipped};
pub use search::{Hit, Index};
pub use store::Store;
pub use update::{Update, update};

/// Where an index is made inside the folder of pictures.
pub const FOLDER: &str = ".clip-index";
