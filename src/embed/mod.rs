//! The way from files and sentences to embeddings.
//!
//! | file | what it knows |
//! |---|---|
//! | `encoders` | [`Clip`] and either of its encoders alone |
//! | [`blip`](mod@blip) | [`Blip`]: captions, answers, matches, embeddings |
//! | [`explainer`] | where an image tower finds a text in a picture, and what it attends to |
//! | `load` | [`Load`]: which calls can share a pass without a bit of their embeddings changing |
//! | `family` | [`Family`]: models of either family that embed pictures and texts |
//! | `passing` | [`PassingText`] and [`PassingImages`]: towers that are read while a few texts or pictures go through |
//! | `embedder` | the trait [`Embed`], and its implementation for a model in training |
//! | `task` | what a BLIP may be asked for, and why it cannot do it |
//! | `writer` | a BLIP's decoder as the search for texts asks it |
//! | [`source`] | where pictures come from: files, memory, datasets |
//! | `stream` | how a source becomes embeddings, batch by batch, reading ahead |
//! | `session` | the memory that embedding reuses from call to call |
//! | [`rows`] | concatenated and evenly chosen rows of embeddings |

pub mod blip;
mod embedder;
mod encoders;
pub mod explainer;
mod family;
mod load;
mod passing;
pub mod rows;
mod session;
pub mod source;
mod stream;
mod task;
mod writer;

pub use blip::{Blip, Matches, Written};
pub use embedder::{Embed, Embedder};
pub use encoders::tokenizer;
pub use encoders::{Clip, ImageEncoder, LoadError, TextEncoder, TextStates};
pub use family::{Family, Opened};
pub use load::Load;
pub use passing::{PassingImages, PassingText};
pub use source::Pictures;
pub use stream::{BATCH, Batch, Embedded};
pub use task::{BlipError, Task};
pub use writer::write;
