//! Numeric kernels of CLIP: slices in, slices out.
//!
//! One operation a file. Each file has the formula, a naive twin that is the definition and the test oracle, and the
//! fast version. Matrices are row-major unless a [`Mat`] says otherwise; a wrong length is a programmer's error and
//! panics with the sizes.

pub mod activation;
pub mod adamw;
pub mod attention;
pub mod avg_pool;
pub mod batch_norm;
pub mod channels_last;
pub mod codes;
pub mod conv;
pub mod cross_entropy;
pub mod dropout;
pub mod embedding;
mod exp;
pub mod gemm;
pub mod half;
pub mod info_nce;
pub mod isa;
pub mod jpeg;
mod lanes;
pub mod layer_norm;
pub mod memory;
pub mod normalize;
mod parallel;
pub mod patchify;
pub mod reduce;
pub mod resample;
mod scratch;
pub mod sigmoid;
pub mod softmax;
pub mod sparse;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
pub mod tokens;
mod write;

pub use activation::Activation;
pub use dropout::Dropout;
pub use gemm::{Epilogue, Mat, MatMut};
pub use parallel::in_pool;
pub use write::Write;
