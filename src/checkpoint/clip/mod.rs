//! Reads and writes CLIP's checkpoints: OpenAI's, OpenCLIP's and Hugging Face's.
//!
//! | file | what it knows |
//! |---|---|
//! | [`names`] | the schemes: from a parameter tree to a tree of places |
//! | `recognise` | the scheme that the names of a file follow, and their prefix |
//! | `family` | the schemes as a `Family` |
//! | `open` | [`Checkpoint`], whose towers are read when they are asked for |
//! | `passing` | a tower that is read part by part while captions or pictures go through it |
//! | `architecture`, `infer` | the architecture of the towers, and how names and shapes show it |
//! | `openclip`, `siglip_config`, `hugging_face`, `tokenizer_files` | the files beside the weights |
//! | `folders`, `save` | the folders that libraries load; [`save`] chooses one |

mod architecture;
mod family;
mod folders;
mod hugging_face;
mod infer;
pub mod names;
mod open;
pub mod openclip;
mod passing;
mod recognise;
mod save;
mod siglip_config;
mod tokenizer_files;

pub use architecture::Architecture;
pub use family::{ActivationSource, Overrides};
pub use folders::Contents;
pub use names::Scheme;
pub use open::{Checkpoint, load_model};
pub use openclip::{CONFIG, ConfigFile, WEIGHTS};
pub(crate) use passing::Parts;
pub use save::{Format, save, save_model, save_rounded};
pub use tokenizer_files::{SENTENCE_PIECE, TOKENIZER, copy as copy_tokenizer};
