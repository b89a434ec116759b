//! The last pass over a finished block of C, row by row while it is still in cache.

use super::block::Block;
use super::{Activation, Epilogue, Mat};
use crate::isa::{Isa, mul_add, multiversion};

/// Elements of a row handled at a time: small enough that a gathered stretch lives on the stack.
const STRETCH: usize = 256;

/// An [`Epilogue`] that many threads can share, each for its own block of C.
#[derive(Clone, Copy)]
pub(super) enum Finish<'a> {
    None,
    Bias(&'a [f32]),
    BiasResidual { bias: &'a [f32], residual: Mat<'a> },
    BiasActivation { bias: &'a [f32], activation: Activation },
    BiasActivationSave { bias: &'a [f32], activation: Activation, preact: Block<'a> },
    ScaleShift { scale: &'a [f32], shift: &'a [f32], residual: Option<Mat<'a>>, relu: bool },
    ActivationGrad { activation: Activation, preact: Mat<'a> },
}

impl<'a> Finish<'a> {
    pub fn new(epilogue: Epilogue<'a>) -> Self {
        match epilogue {
            Epilogue::None => Finish::None,
            Epilogue::Bias(bias) => Finish::Bias(bias),
            Epilogue::BiasResidual { bias, residual } => Finish::BiasResidual { bias, residual },
            Epilogue::BiasActivation { bias, activation } => Finish::BiasActivation { bias, activation },
            Epilogue::BiasActivationSave { bias, activation, preact } => {
                Finish::BiasActivationSave { bias, activation, preact: Block::new(preact) }
            }
            Epilogue::ScaleShift { scale, shift, residual, relu } => {
                Finish::ScaleShift { scale, shift, residual, relu }
            }
            Epilogue::ActivationGrad { activation, preact } => Finish::ActivationGrad { activation, preact },
        }
    }

    /// Finishes `c`, whose first element is element (`row`, `col`) of the whole of C.
    ///
    /// # Safety
    /// No other thread touches this block of C, nor the same block of what the epilogue saves.
    pub unsafe fn apply(&self, isa: Isa, c: Block, row: usize, col: usize) {
        if matches!(self, Finish::None) {
            return;
        }
        for i in 0..c.rows {
            // SAFETY: the caller has this block to itself, and one row is borrowed at a time.
            let c = unsafe { c.row(i) };
            for (s, c) in c.chunks_mut(STRETCH).enumerate() {
                // SAFETY: the same.
                unsafe { self.stretch(isa, c, row + i, col + s * STRETCH) }
            }
        }
    }

    /// # Safety
    /// As [`Finish::apply`].
    unsafe fn stretch(&self, isa: Isa, c: &mut [f32], i: usize, j: usize) {
        let cols = j..j + c.len();
        let mut scratch = [0.0; STRETCH];
        match self {
            Finish::None => {}
            Finish::Bias(bias) => add(isa, c, &bias[cols]),
            Finish::BiasResidual { bias, residual } => {
                let residual = stretch_of(residual, i, j, &mut scratch[..c.len()]);
                add_both(isa, c, &bias[cols], residual);
            }
            Finish::BiasActivation { bias, activation } => {
                let x = &mut scratch[..c.len()];
                sum(isa, c, &bias[cols], x);
                activation.forward_on(isa, x, c);
            }
            Finish::BiasActivationSave { bias, activation, preact } => {
                // SAFETY: the caller has this block of `preact` to itself.
                let x = unsafe { preact.part(i, 1, j, c.len()).row(0) };
                sum(isa, c, &bias[cols], x);
                activation.forward_on(isa, x, c);
            }
            Finish::ScaleShift { scale, shift, residual, relu } => {
                let (scale, shift) = (&scale[cols.clone()], &shift[cols]);
                match residual {
                    None => scale_shift(isa, c, scale, shift, *relu),
                    Some(residual) => {
                        let residual = stretch_of(residual, i, j, &mut scratch[..c.len()]);
                        scale_shift_add(isa, c, scale, shift, residual, *relu);
                    }
                }
            }
            Finish::ActivationGrad { activation, preact } => {
                activation.backward_on(isa, stretch_of(preact, i, j, &mut scratch[..c.len()]), c);
            }
        }
    }
}

multiversion! {
    /// c ← c ∘ scale + shift, negative ones to 0 if `relu`
    fn scale_shift(c: &mut [f32], scale: &[f32], shift: &[f32], relu: bool) {
        let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
        for (c, (scale, shift)) in c.iter_mut().zip(scale.iter().zip(shift)) {
            *c = at_least(floor, mul_add::<FMA>(*c, *scale, *shift));
        }
    }
}

multiversion! {
    /// c ← c ∘ scale + shift + residual, negative ones to 0 if `relu`
    fn scale_shift_add(c: &mut [f32], scale: &[f32], shift: &[f32], residual: &[f32], relu: bool) {
        let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
        for ((c, residual), (scale, shift)) in c.iter_mut().zip(residual).zip(scale.iter().zip(shift)) {
            *c = at_least(floor, mul_add::<FMA>(*c, *scale, *shift) + residual);
        }
    }
}

/// max(floor, x), but NaN if x is.
#[inline(always)]
fn at_least(floor: f32, x: f32) -> f32 {
    if x < floor { floor } else { x }
}

multiversion! {
    /// c ← c + x
    fn add(c: &mut [f32], x: &[f32]) {
        for (c, x) in c.iter_mut().zip(x) {
            *c += x;
        }
    }
}

multiversion! {
    /// c ← c + x + y
    fn add_both(c: &mut [f32], x: &[f32], y: &[f32]) {
        for (c, (x, y)) in c.iter_mut().zip(x.iter().zip(y)) {
            *c = *c + x + y;
        }
    }
}

multiversion! {
    /// out ← c + x
    fn sum(c: &[f32], x: &[f32], out: &mut [f32]) {
        for (out, (c, x)) in out.iter_mut().zip(c.iter().zip(x)) {
            *out = c + x;
        }
    }
}

/// Row `i` of `m` from column `j` on: a slice of it where the row is contiguous, else gathered into `scratch`.
fn stretch_of<'b>(m: &Mat<'b>, i: usize, j: usize, scratch: &'b mut [f32]) -> &'b [f32] {
    let start = i * m.row_stride + j * m.col_stride;
    if m.col_stride == 1 {
        return &m.data[start..start + scratch.len()];
    }
    for (l, x) in scratch.iter_mut().enumerate() {
        *x = m.data[start + l * m.col_stride];
    }
    scratch
}
