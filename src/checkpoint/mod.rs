//! Checkpoints as people have them, in and out.
//!
//! | what | weights | configuration |
//! |---|---|---|
//! | OpenCLIP's folders, and our own | `open_clip_model.safetensors`, `open_clip_pytorch_model.bin` | `open_clip_config.json` |
//! | Hugging Face's folders | `model.safetensors`, in one or with an index, `pytorch_model.bin` | `config.json`, `preprocessor_config.json` |
//! | a file alone | safetensors or `torch.save` | inferred from names and shapes |
//! | a name of the Hugging Face Hub | the files in its cache on this machine | as in its folder |
//!
//! [`Checkpoint::open`] finds out which, and checks every name and shape before a value is read; towers are read when
//! they are asked for. The names in the file, not those of the folder's files, decide whose they are (`clip::names`); what
//! stands before all of them is found, not listed ([`prefix`]). What was assumed or passed over is a [`Note`].

mod check;
pub mod clip;
pub mod dtype;
mod error;
pub mod family;
mod foreign;
mod hub;
mod json;
mod locate;
mod note;
mod pickle;
pub mod places;
mod positions;
pub mod prefix;
pub mod safetensors;
pub mod tensors;
mod tower;

pub use clip::{ActivationSource, Architecture, CONFIG, Checkpoint, ConfigFile, Format, Overrides, Scheme, WEIGHTS};
pub use clip::{TOKENIZER, copy_tokenizer, load_model, save, save_model};
pub use dtype::{Dtype, Precision};
pub use error::CheckpointError;
pub use note::Note;
pub use places::load_params;
pub use tower::Tower;
