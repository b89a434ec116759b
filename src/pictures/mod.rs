//! This folder turns a file's bytes into the pixels that a checkpoint expects, equal to Pillow's to the last bit.
//!
//! | file | what it knows |
//! |---|---|
//! | [`picture`] | decoded samples and their channels |
//! | [`mod@decode`] | how the bytes of a file become a picture |
//! | [`resize`], `filter`, `deep` | Pillow's resampling: of samples of 8 bits, its weights, of samples of 16 bits |
//! | [`preprocess`] | how a picture becomes the normalised square that a tower reads |
//! | [`view`] | which part of a picture that square depends on |
//! | [`region`] | rectangles of pixels, and where they lie when a picture is turned |
//! | `error` | why a file cannot be used as a picture |
//! | [`folder`] | which files of a folder are pictures |
//! | `path_pattern` | which paths in a folder are meant |

pub mod decode;
mod deep;
mod error;
mod filter;
pub mod folder;
mod path_pattern;
pub mod picture;
pub mod preprocess;
pub mod region;
pub mod resize;
pub mod view;

pub use error::{PictureError, PreprocessError};
pub use path_pattern::PathPattern;
pub use picture::{Channels, Picture};
pub use preprocess::{Interpolation, Library, Preprocess, ResizeMode, Scratch};
pub use view::{Reading, View};
