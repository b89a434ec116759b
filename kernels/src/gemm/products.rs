//! The matrix products that the crate offers.

use super::backend::Backend;
use super::blocked::multiply;
use super::blocking::{KC, MAX_FLAT_ROWS, even};
use super::epilogue::Epilogue;
use super::fetched::Fetched;
use super::finish::Output;
use super::matrix::{Mat, MatMut};
use super::panels::Panels;
use super::product::Product;
use super::slab::Job;
use super::source::Source;
use crate::isa::Isa;

/// C ← epilogue(α·A·B + β·C)
///
/// A (M,K), B (K,N), C (M,N)
///
/// With β = 0, C is never read. The bits of the result do not depend on the number of threads. `CLIP_GEMM` chooses who
/// multiplies: `simd` (this crate), `matrixmultiply`, or `openblas` where it is compiled in.
#[track_caller]
pub fn gemm(alpha: f32, a: Mat, b: Mat, beta: f32, c: MatMut, epilogue: Epilogue) {
    gemm_by(Backend::chosen(), alpha, a, b, beta, c, epilogue)
}

/// Computes [`gemm`] by a given backend.
#[track_caller]
pub fn gemm_by(backend: Backend, alpha: f32, a: Mat, b: Mat, beta: f32, c: MatMut, epilogue: Epilogue) {
    if let Some(product) = Product::new(Isa::best(), alpha, a, b, beta, c, epilogue) {
        backend.run(&product);
    }
}

/// Computes [`gemm`] by this crate on a given instruction set.
#[track_caller]
pub fn gemm_on(isa: Isa, alpha: f32, a: Mat, b: Mat, beta: f32, c: MatMut, epilogue: Epilogue) {
    if let Some(product) = Product::new(isa, alpha, a, b, beta, c, epilogue) {
        Backend::Simd.run(&product);
    }
}

/// C ← epilogue(A·B)
///
/// A (M,K), B (K,N) laid out in panels, C (M,N)
#[track_caller]
pub fn gemm_panels(a: Mat, b: Panels, c: MatMut, epilogue: Epilogue) {
    gemm_panels_on(Isa::best(), a, b, c, epilogue);
}

/// Computes [`gemm_panels`] on a given instruction set.
#[track_caller]
pub fn gemm_panels_on(isa: Isa, a: Mat, b: Panels, c: MatMut, epilogue: Epilogue) {
    product(isa, a, Source::Panels(b), b.dim(), c, epilogue);
}

/// C ← epilogue(A·Wᵀ)
///
/// A (M,K), W (N,K) that is fetched by some rows at a time, C (M,N)
///
/// The bits are those of [`gemm_panels`] with the same weights.
#[track_caller]
pub fn gemm_fetched(a: Mat, w: Fetched, c: MatMut, epilogue: Epilogue) {
    gemm_fetched_on(Isa::best(), a, w, c, epilogue);
}

/// Computes [`gemm_fetched`] on a given instruction set.
#[track_caller]
pub fn gemm_fetched_on(isa: Isa, a: Mat, w: Fetched, c: MatMut, epilogue: Epilogue) {
    product(isa, a, Source::Fetched(w), w.dim(), c, epilogue);
}

/// C ← epilogue(A·B)
///
/// A (M,K), B (K,N), C (M,N)
///
/// `dim` is the shape of B.
#[track_caller]
fn product(isa: Isa, a: Mat, b: Source, dim: (usize, usize), c: MatMut, epilogue: Epilogue) {
    assert_eq!((a.cols, c.cols), dim, "gemm shapes: columns and rows of A and B, columns of B and C");
    a.check("A", (c.rows, a.cols));
    let Some(Output { c, finish }) = Output::new(c, epilogue) else { return };
    multiply(&Job {
        isa,
        alpha: 1.0,
        a: Source::rows(a),
        b,
        k: a.cols,
        kc: even(a.cols, KC, 1),
        flat: c.rows <= MAX_FLAT_ROWS || matches!(b, Source::Fetched(_)),
        parallel: true,
        beta: 0.0,
        c,
        finish: &finish,
    });
}
