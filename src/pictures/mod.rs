//! A file's bytes to the pixels a checkpoint expects, Pillow's to the last bit.
//!
//! | file | what it knows |
//! |---|---|
//! | [`picture`] | decoded samples and their channels |
//! | [`mod@decode`] | a file's bytes to a picture |
//! | [`resize`] | resampling as Pillow does it |
//! | [`preprocess`] | a picture to the normalised square that a tower reads |
//! | `error` | what keeps a file from being a picture |
//! | [`folder`] | which files of a folder are pictures |

pub mod decode;
mod error;
pub mod folder;
pub mod picture;
pub mod preprocess;
pub mod resize;

pub use error::PictureError;
pub use picture::{Channels, Digest, Picture};
pub use preprocess::{Interpolation, Library, Preprocess, ResizeMode, Scratch};
