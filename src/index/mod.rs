//! The index of a folder: its pictures are embedded once and can then be searched again and again.
//!
//! An index is a folder of these files:
//!
//! | file | what it holds |
//! |---|---|
//! | `index.json` | the [`Manifest`]: the model, the folder of pictures, and how much of the other files is valid |
//! | `embeddings-G.f16` | unit-length embeddings, (rows,e) little-endian f16 |
//! | `entries-G.jsonl` | line i names the picture of row i: path, size and time of change |
//! | `codes-G.i8` | the embeddings in eight bits, with which the nearest are found ([`kernels::codes`]) |
//! | `lines-G.u64` | where line i begins in the table of entries |
//! | `digests-G.u128` | the digest of the bytes of each row's file, or zeros where nobody has computed it |
//!
//! The codes and the lines are made of the files before them. An index of version 2 is without them: it is searched by
//! reading all embeddings, and gets them with the next update. Version 3 had no digests, which the next update adds by
//! reading all pictures once, without decoding any.
//!
//! **Append, then commit.** New rows and their lines are appended and synced to the disk. Then `index.json` is replaced
//! as a whole, which makes them valid. What a killed run left behind the valid part is cut off by the next run. Rows of
//! pictures that changed or vanished are listed as dropped. Once there are many, the files are rewritten under the next
//! generation number G, which `index.json` then names.
//!
//! **Reading.** Like checkpoints, the files are not mapped into memory but read with ordinary positioned reads. A
//! block that fits the second-level cache is read and multiplied there, and a file that is truncated by another process
//! gives an error instead of killing the process.

mod data;
mod entry;
mod error;
mod filter;
mod fingerprint;
mod identity;
mod manifest;
mod model;
mod moved;
mod near;
mod query;
mod reader;
mod scan;
mod search;
mod search_codes;
mod sketch;
mod store;
mod update;

pub use crate::pictures::PathPattern;
pub use entry::Entry;
pub use error::{IndexError, IndexFileError};
pub use filter::Filter;
pub use manifest::Manifest;
pub use model::ModelId;
pub use near::{Near, near_earlier, near_in_other};
pub use query::{Cancelled, combine};
pub use reader::{Index, Selection};
pub use scan::{Found, Scan, Skipped};
pub use search::Hit;
pub use store::Store;
pub use update::{Update, update, update_from};

/// Name of the index's own folder inside the folder of pictures.
pub const FOLDER: &str = ".clip-index";
