//! The softmax of each row, in place, its gradient and its logarithm.
//!
//! ```text
//! Pⱼ       = exp(xⱼ) / Σₖ exp(xₖ)
//! ∂Pᵢ/∂xⱼ  = Pᵢ (δᵢⱼ − Pⱼ)
//! dxⱼ      = Pⱼ (dPⱼ − Σᵢ Pᵢ dPᵢ)
//! ```

use crate::exp::exp;
use crate::isa::{Isa, multiversion};
use crate::lanes;
use crate::parallel::{PIECE, Rows, RowsMut, for_pieces};

/// A thread takes this many elements at a time: a quarter of a streaming piece, because each takes an exponential.
const SOFTMAX_PIECE: usize = PIECE / 4;

/// x ← softmax(x), row by row.
///
/// `x` (N,columns)
#[track_caller]
pub fn forward(x: &mut [f32], cols: usize) {
    forward_on(Isa::best(), x, cols);
}

/// Computes [`forward`] on a given instruction set.
#[track_caller]
pub fn forward_on(isa: Isa, x: &mut [f32], cols: usize) {
    let rows = rows(x, x, cols);
    for_pieces(rows, SOFTMAX_PIECE.div_ceil(cols), RowsMut(x, cols), &|x| normalise(isa, x.0, cols));
}

/// x ← ln softmax(x) = (x − max) − ln Σ exp(x − max), row by row.
///
/// `x` (N,columns)
///
/// A row with a NaN, or of nothing but −∞, becomes NaN.
#[track_caller]
pub fn log(x: &mut [f32], cols: usize) {
    log_on(Isa::best(), x, cols);
}

/// Computes [`log`] on a given instruction set.
#[track_caller]
pub fn log_on(isa: Isa, x: &mut [f32], cols: usize) {
    let rows = rows(x, x, cols);
    for_pieces(rows, SOFTMAX_PIECE.div_ceil(cols), RowsMut(x, cols), &|x| logarithm(isa, x.0, cols));
}

/// dP ← P∘(dP − Σ P∘dP), row by row, which is the gradient of what P is the softmax of.
///
/// `P`, `dP` (N,columns)
#[track_caller]
pub fn backward(p: &[f32], dp: &mut [f32], cols: usize) {
    backward_on(Isa::best(), p, dp, cols);
}

/// Computes [`backward`] on a given instruction set.
#[track_caller]
pub fn backward_on(isa: Isa, p: &[f32], dp: &mut [f32], cols: usize) {
    let rows = rows(p, dp, cols);
    for_pieces(rows, SOFTMAX_PIECE.div_ceil(cols), (Rows(p, cols), RowsMut(dp, cols)), &|(p, dp)| {
        gradient(isa, p.0, dp.0, cols)
    });
}

#[track_caller]
fn rows(a: &[f32], b: &[f32], cols: usize) -> usize {
    assert!(
        cols > 0 && a.len().is_multiple_of(cols) && a.len() == b.len(),
        "softmax: {} and {} elements in rows of {cols}",
        a.len(),
        b.len()
    );
    a.len() / cols
}

multiversion! {
    /// Computes the softmax of some rows.
    fn normalise(x: &mut [f32], cols: usize) {
        for x in x.chunks_exact_mut(cols) {
            let max = lanes::max(x);
            x.iter_mut().for_each(|x| *x = exp::<FMA>(*x - max));
            let sum = lanes::sum([x], |[e]| e);
            x.iter_mut().for_each(|p| *p /= sum);
        }
    }
}

multiversion! {
    /// Computes the logarithm of the softmax of some rows.
    fn logarithm(x: &mut [f32], cols: usize) {
        for x in x.chunks_exact_mut(cols) {
            let max = lanes::max(x);
            let sum = lanes::sum([x], |[x]| exp::<FMA>(x - max));
            let ln = sum.ln();
            x.iter_mut().for_each(|x| *x = (*x - max) - ln);
        }
    }
}

multiversion! {
    /// Computes the gradient of some rows.
    fn gradient(p: &[f32], dp: &mut [f32], cols: usize) {
        for (p, dp) in p.chunks_exact(cols).zip(dp.chunks_exact_mut(cols)) {
            let along = lanes::dot::<FMA>(p, dp);
            dp.iter_mut().zip(p).for_each(|(dp, p)| *dp = p * (*dp - along));
        }
    }
}

/// The definitions, in f64.
pub mod naive {
    pub fn forward(x: &mut [f32], cols: usize) {
        for x in x.chunks_exact_mut(cols) {
            let max = x.iter().fold(f32::NEG_INFINITY, |max, &x| max.max(x));
            let exp: Vec<f64> = x.iter().map(|&x| (f64::from(x) - f64::from(max)).exp()).collect();
            let sum: f64 = exp.iter().sum();
            x.iter_mut().zip(exp).for_each(|(x, e)| *x = (e / sum) as f32);
        }
    }

    pub fn log(x: &mut [f32], cols: usize) {
        for x in x.chunks_exact_mut(cols) {
            let max = x.iter().fold(f32::NEG_INFINITY, |max, &x| max.max(x));
            let sum: f64 = x.iter().map(|&x| (f64::from(x) - f64::from(max)).exp()).sum();
            x.iter_mut().for_each(|x| *x = (f64::from(*x) - f64::from(max) - sum.ln()) as f32);
        }
    }

    pub fn backward(p: &[f32], dp: &mut [f32], cols: usize) {
        for (p, dp) in p.chunks_exact(cols).zip(dp.chunks_exact_mut(cols)) {
            let along: f64 = p.iter().zip(&*dp).map(|(&p, &dp)| f64::from(p) * f64::from(dp)).sum();
            dp.iter_mut().zip(p).for_each(|(dp, &p)| *dp = (f64::from(p) * (f64::from(*dp) - along)) as f32);
        }
    }
}
