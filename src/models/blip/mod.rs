//! BLIP: a ViT, and a text Transformer in three uses (Li et al. 2022,
//! [arXiv 2201.12086](https://arxiv.org/abs/2201.12086), figure 2).
//!
//! | use | rows see | pictures | task |
//! |---|---|---|---|
//! | unimodal encoder | all rows of their text | not | embeddings, as CLIP's (ITC) |
//! | image-grounded encoder | all rows of their text | by cross-attention | does the text fit the picture? (ITM) |
//! | image-grounded decoder | earlier rows of their text | by cross-attention | write the text (LM) |
//!
//! The first two uses have the same parameters. The decoder of the pre-trained model shares all of them but the
//! self-attention, since looking both ways and looking back only are different tasks (section 3.2).
//!
//! | file | what it knows |
//! |---|---|
//! | [`config`] | the sizes, and which parts a model has |
//! | `presets` | the architectures that have a name |
//! | [`params`] | the parameter tree |
//! | `initial` | the initial values of a new model |
//! | [`vit`] | the image encoder |
//! | [`sights`] | what texts look at |
//! | [`text`] | the text Transformer |
//! | [`head`] | from the decoder's rows to logits over the vocabulary |
//! | [`model`] | the whole model, and inference with each of its parts |
//! | [`decode`] | the decoder one token at a time, with a cache of keys and values |
//! | [`flops`] | how much arithmetic a task needs |
//! | [`parts`] | the parts of every use, and what each takes |
pub mod config;
pub mod decode;
pub mod flops;
pub mod head;
mod initial;
pub mod model;
pub mod params;
pub mod parts;
mod presets;
pub mod sights;
pub mod text;
pub mod vit;

pub use config::{Config, Parts, TextConfig, TokenIds, VisionConfig};
pub use model::Model;
pub use params::{Blip, spec};
