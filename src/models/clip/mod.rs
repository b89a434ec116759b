//! CLIP: an image tower of either kind, a text tower and the learnt temperature (Radford et al. 2021, figure 3).
//!
//! | file | what it knows |
//! |---|---|
//! | [`config`] | both towers' sizes as OpenCLIP writes them |
//! | `config_json` | flags that OpenCLIP writes as words |
//! | `presets` | the architectures that have a name |
//! | [`vit`], [`resnet`] | the two kinds of image tower |
//! | [`visual`] | either of them |
//! | [`text`] | the text tower |
//! | [`model`] | the whole parameter tree, and inference |
//! | [`groups`] | the layer groups of a tower, for locks and learning rates |
//! | [`flops`] | how much arithmetic a tower needs |
//! | `parts` | the parts of a tower, and what each takes |

pub mod config;
mod config_json;
pub mod flops;
pub mod groups;
pub mod model;
mod parts;
mod presets;
pub mod resnet;
pub mod text;
pub mod visual;
pub mod vit;

pub use config::{Config, Layers, TextConfig, VisionConfig};
pub use groups::Tower;
pub use model::{ClipParams, Model};
