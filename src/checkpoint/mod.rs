//! Reads and writes the checkpoints of CLIP, by OpenAI, OpenCLIP and Hugging Face, and of BLIP, by Salesforce and
//! Hugging Face ([`blip`]).
//!
//! These kinds of checkpoints can be opened:
//!
//! * OpenCLIP's folders, and our own, have their weights in `open_clip_model.safetensors` or
//!   `open_clip_pytorch_model.bin`, and their configuration in `open_clip_config.json`.
//! * Hugging Face's folders have their weights in `model.safetensors`, in one file or in several with an index, or in
//!   `pytorch_model.bin`. Their configuration is `config.json` and `preprocessor_config.json`.
//! * A file alone is a safetensors file or one of `torch.save`. Its configuration is inferred from names and shapes.
//! * A name of the Hugging Face Hub means the files in the Hub's cache on this machine, which are as in its folder.
//!
//! [`kind()`] tells which of the two models a checkpoint is of. [`Checkpoint::open`] finds out which of these it is given, and checks every name and shape before it reads a value.
//! Towers are read when they are asked for. The names of the tensors, not those of the files, decide which library's
//! checkpoint it is (`clip::names`). A prefix before all names is found without a list of known prefixes ([`prefix`]),
//! and the wrappers of modules within the model are dropped (`wrappers`).
//! A [`Note`] says what was assumed or left unread.
//!
//! With the feature `onnx`, `onnx` writes both towers of a CLIP as graphs that other runtimes run.

pub mod blip;
mod check;
pub mod clip;
mod config_error;
pub mod dtype;
mod error;
pub mod family;
mod fetch;
mod fields;
mod foreign;
mod found;
mod hub;
mod inference;
pub mod int8;
mod json;
mod kind;
mod locate;
mod note;
#[cfg(feature = "onnx")]
pub mod onnx;
mod pickle;
pub mod places;
pub(crate) mod positions;
pub mod prefix;
mod preprocessor;
pub mod safetensors;
pub mod tensors;
mod tower;
mod wrappers;

pub(crate) use clip::Parts;
pub use clip::{ActivationSource, Architecture, CONFIG, Checkpoint, ConfigFile, Format, Overrides, Scheme, WEIGHTS};
pub use clip::{Contents, SENTENCE_PIECE, TOKENIZER, copy_tokenizer, load_model, save, save_model, save_rounded};
pub use config_error::{ConfigFileError, InferenceError};
pub use dtype::{Dtype, Precision};
pub use error::CheckpointError;
pub use inference::Changed;
pub use kind::{Kind, kind};
pub use locate::hub_name;
pub use note::Note;
pub use places::load_params;
pub use tower::Tower;
