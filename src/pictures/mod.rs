//! A file's bytes to the pixels a checkpoint expects, Pillow's to the last bit.
//!
//! | file | what it knows |
//! |---|---|
//! | [`picture`] | decoded samples and their channels |
//! | [`mod@decode`] | a file's bytes to a picture |
//! | [`resize`] | resampling as Pillow does it |
//! | [`preprocess`] | a picture to the normalised square that a tower reads |
//! | [`folder`] | which files of a folder are pictures |

pub mod decode;
pub mod folder;
pub mod picture;
pub mod preprocess;
pub mod resize;

pub use picture::{Channels, Picture};
pub use preprocess::{Interpolation, Library, Preprocess, ResizeMode, Scratch};
