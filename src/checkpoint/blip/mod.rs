//! Reads and writes BLIP's checkpoints: the original's, as Salesforce released them and LAVIS writes them, and Hugging
//! Face's.
//!
//! Which parts a model has follows from its tensors ([`Parts`](crate::models::blip::Parts)). A pre-trained file has the
//! tensors that encoder and decoder share under the names of both; they must be equal.
//!
//! An original file has no configuration. Sizes are inferred from its shapes, which do not show the number of heads.
//! Every published BLIP has heads of 64 columns, and so 12 in its text Transformer. Hugging Face's default is 8, which
//! loads without an error and gives wrong numbers, so that the default is never used here; a [`Note`](super::Note) says
//! where the number was inferred.
//!
//! | file | what it knows |
//! |---|---|
//! | [`names`] | the schemes: from parts and layers to a tree of places, and back from a file's names |
//! | `family` | the schemes as a `Family` |
//! | `load` | a whole model from a path, and how one is saved |
//! | `folders` | the folders that libraries load |
//! | `hugging_face` | `config.json` |
//! | `original` | [`CONFIG`], which says of a model with the original's names what its shapes do not |
//! | `infer` | the sizes that shapes show |
//! | `tokens` | the ids of special tokens |

mod family;
mod folders;
mod hugging_face;
mod infer;
mod load;
pub mod names;
mod original;
mod tokens;

pub use folders::preprocess;
pub use infer::Overrides;
pub use load::{Described, Loaded, describe, load, save};
pub use names::Format;
pub use original::CONFIG;
