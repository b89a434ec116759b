//! The choice of who multiplies: this crate, or another implementation of α·A·B + β·C, for comparison and for those who
//! want it. The environment variable `CLIP_GEMM` chooses.
//!
//! The others compute one block of C at a time on one thread. Blocks are of a fixed size and rayon hands them out, so
//! that there is one pool of threads whoever multiplies, and the bits do not depend on its size.

use super::block::Block;
use super::blocked::multiply;
use super::matrix::Mat;
use super::product::Product;
use super::skinny;
use super::slab::Job;
use std::sync::OnceLock;

#[cfg(feature = "openblas")]
mod openblas;

/// An implementation of the matrix product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The kernels of this crate multiply.
    Simd,
    /// The crate `matrixmultiply` multiplies.
    MatrixMultiply,
    /// The system's OpenBLAS multiplies, with the feature `openblas`.
    #[cfg(feature = "openblas")]
    OpenBlas,
}

impl Backend {
    /// Every backend that is compiled in.
    pub const ALL: &[Backend] = &[
        Backend::Simd,
        Backend::MatrixMultiply,
        #[cfg(feature = "openblas")]
        Backend::OpenBlas,
    ];

    /// Returns the backend that `CLIP_GEMM` names, by default this crate.
    ///
    /// # Panics
    /// If `CLIP_GEMM` names none that is compiled in.
    pub fn chosen() -> Backend {
        static CHOSEN: OnceLock<Backend> = OnceLock::new();
        *CHOSEN.get_or_init(|| Backend::from_env().unwrap_or_else(|error| panic!("{error}")))
    }

    /// Returns the backend that [`Backend::chosen`] takes.
    ///
    /// # Errors
    /// If `CLIP_GEMM` names none that is compiled in.
    pub fn from_env() -> Result<Backend, String> {
        std::env::var("CLIP_GEMM").map_or(Ok(Backend::Simd), |name| Backend::named(&name))
    }

    /// Finds the backend of this name.
    ///
    /// # Errors
    /// If it is not compiled in.
    pub(super) fn named(name: &str) -> Result<Backend, String> {
        Backend::ALL.iter().find(|backend| backend.name() == name).copied().ok_or_else(|| {
            let names: Vec<_> = Backend::ALL.iter().map(|backend| backend.name()).collect();
            let hint = if cfg!(feature = "openblas") { "" } else { " (openblas needs --features openblas)" };
            format!("CLIP_GEMM={name}: there is {}{hint}", names.join(", "))
        })
    }

    /// Returns the name by which `CLIP_GEMM` chooses it.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Simd => "simd",
            Backend::MatrixMultiply => "matrixmultiply",
            #[cfg(feature = "openblas")]
            Backend::OpenBlas => "openblas",
        }
    }

    /// Computes the product.
    pub(super) fn run(self, p: &Product) {
        match self {
            Backend::Simd if skinny::fits(p) => skinny::run(p),
            Backend::Simd => multiply(&Job::of(p)),
            Backend::MatrixMultiply => p.by_blocks(matrixmultiply),
            #[cfg(feature = "openblas")]
            Backend::OpenBlas => openblas::run(p),
        }
    }
}

/// Computes a block of C by the crate `matrixmultiply`.
fn matrixmultiply(alpha: f32, a: Mat, b: Mat, beta: f32, c: Block) {
    let (m, k, n) = (a.rows, a.cols, b.cols);
    let [ars, acs, brs, bcs, crs] =
        [a.row_stride, a.col_stride, b.row_stride, b.col_stride, c.row_stride].map(|stride| stride as isize);
    let (a, b) = (a.data.as_ptr(), b.data.as_ptr());
    // SAFETY: `Product` has checked that A and B fit their data, and `by_blocks` gives each block of C to one task.
    unsafe { matrixmultiply::sgemm(m, k, n, alpha, a, ars, acs, b, brs, bcs, beta, c.ptr, crs, 1) }
}
