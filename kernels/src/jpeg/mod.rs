//! The arithmetic of JPEG, which has to round as libjpeg does: in integers, step by step.
//!
//! | file | what it knows |
//! |---|---|
//! | [`dct`] | the inverse cosine transform, from coefficients to samples |
//! | [`reduced`] | the same to fewer samples, for a picture that is shrunk |
//! | [`upsample`] | colour differences that are stored for every second pixel, for every pixel |
//! | [`colour`] | luminance and colour differences to red, green and blue |

pub mod colour;
pub mod dct;
pub mod reduced;
pub mod upsample;
