//! Other implementations of the product α·A·B + β·C, for comparison and for those who want them: `CLIP_GEMM` chooses.
//!
//! Each computes one block of C on one thread. Blocks are of a fixed size and rayon hands them out, so that there is
//! one pool of threads whoever multiplies, and the bits do not depend on its size.

use super::{Block, Mat, Product, blocked};
use rayon::prelude::*;
use std::sync::OnceLock;

#[cfg(feature = "openblas")]
mod openblas;

/// Large enough that packing inside the backend is amortised, small enough to keep a few dozen cores busy.
const BLOCK: usize = 384;

/// Who multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// This crate.
    Simd,
    /// The crate of that name.
    MatrixMultiply,
    /// The system's OpenBLAS, with the feature `openblas`.
    #[cfg(feature = "openblas")]
    OpenBlas,
}

impl Backend {
    /// All that are compiled in.
    pub const ALL: &[Backend] = &[
        Backend::Simd,
        Backend::MatrixMultiply,
        #[cfg(feature = "openblas")]
        Backend::OpenBlas,
    ];

    /// What `CLIP_GEMM` names, by default our own.
    pub fn chosen() -> Backend {
        static CHOSEN: OnceLock<Backend> = OnceLock::new();
        *CHOSEN.get_or_init(|| match std::env::var("CLIP_GEMM") {
            Err(_) => Backend::Simd,
            Ok(name) => Backend::named(&name),
        })
    }

    pub(super) fn named(name: &str) -> Backend {
        *Backend::ALL.iter().find(|backend| backend.name() == name).unwrap_or_else(|| {
            let names: Vec<_> = Backend::ALL.iter().map(|backend| backend.name()).collect();
            let hint = if cfg!(feature = "openblas") { "" } else { " (openblas needs --features openblas)" };
            panic!("CLIP_GEMM={name}: there is {}{hint}", names.join(", "))
        })
    }

    /// As in `CLIP_GEMM`.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Simd => "simd",
            Backend::MatrixMultiply => "matrixmultiply",
            #[cfg(feature = "openblas")]
            Backend::OpenBlas => "openblas",
        }
    }

    pub(super) fn run(self, p: &Product) {
        match self {
            Backend::Simd => blocked::run(p),
            Backend::MatrixMultiply => by_blocks(p, matrixmultiply),
            #[cfg(feature = "openblas")]
            Backend::OpenBlas => openblas::run(p),
        }
    }
}

/// Runs `multiply(α, A, B, β, C)` for every block of C, then the epilogue on it.
fn by_blocks(p: &Product, multiply: impl Fn(f32, Mat, Mat, f32, Block) + Sync) {
    let across = p.c.cols.div_ceil(BLOCK);
    (0..p.c.rows.div_ceil(BLOCK) * across).into_par_iter().for_each(|t| {
        let (i, j) = (t / across * BLOCK, t % across * BLOCK);
        let c = p.c.part(i, BLOCK.min(p.c.rows - i), j, BLOCK.min(p.c.cols - j));
        multiply(p.alpha, p.a.rows_from(i, c.rows), p.b.t().rows_from(j, c.cols).t(), p.beta, c);
        // SAFETY: this task alone has this block.
        unsafe { p.finish.apply(p.isa, c, i, j) }
    });
}

fn matrixmultiply(alpha: f32, a: Mat, b: Mat, beta: f32, c: Block) {
    let (m, k, n) = (a.rows, a.cols, b.cols);
    let [ars, acs, brs, bcs, crs] =
        [a.row_stride, a.col_stride, b.row_stride, b.col_stride, c.row_stride].map(|stride| stride as isize);
    let (a, b) = (a.data.as_ptr(), b.data.as_ptr());
    // SAFETY: the views were checked to fit their data, and this task has the block of C to itself.
    unsafe { matrixmultiply::sgemm(m, k, n, alpha, a, ars, acs, b, brs, bcs, beta, c.ptr, crs, 1) }
}
