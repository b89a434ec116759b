//! The last pass over a finished block of C, row by row while it is still in cache.

use super::block::Block;
use super::epilogue::Epilogue;
use super::matrix::{Mat, MatMut};
use crate::isa::{Isa, mul_add, multiversion};

/// This many elements of a row are handled at a time, few enough that a gathered stretch lives on the stack.
const STRETCH: usize = 256;

/// An [`Epilogue`] that many threads share, each for its own block of C.
pub(super) struct Finish<'a> {
    epilogue: Epilogue<'a>,
    /// The place where [`Epilogue::BiasActivationSave`] writes; its own `preact` is empty here.
    saved: Option<Block<'a>>,
}

impl<'a> Finish<'a> {
    /// Takes what the epilogue saves out of it, so that threads may share it.
    pub fn new(mut epilogue: Epilogue<'a>) -> Self {
        let saved = match &mut epilogue {
            Epilogue::BiasActivationSave { preact, .. } => {
                Some(Block::new(MatMut { data: std::mem::take(&mut preact.data), ..*preact }))
            }
            _ => None,
        };
        Finish { epilogue, saved }
    }

    /// Finishes `c`, whose first element is element (`row`, `col`) of the whole of C.
    ///
    /// # Safety
    /// No other thread touches this block of C, nor the same block of what the epilogue saves.
    pub unsafe fn apply(&self, isa: Isa, c: Block, row: usize, col: usize) {
        if matches!(self.epilogue, Epilogue::None) {
            return;
        }
        for i in 0..c.rows {
            // SAFETY: the caller has this block to itself, and one row is borrowed at a time.
            let c = unsafe { c.row(i) };
            for (s, c) in c.chunks_mut(STRETCH).enumerate() {
                let (i, j) = (row + i, col + s * STRETCH);
                // SAFETY: what is saved here belongs to this block of C, and one stretch is borrowed at a time.
                let saved = self.saved.map(|saved| unsafe { saved.part(i, 1, j, c.len()).row(0) });
                self.stretch(isa, c, saved, i, j);
            }
        }
    }

    /// Finishes some elements of row `i` from column `j` on.
    fn stretch(&self, isa: Isa, c: &mut [f32], saved: Option<&mut [f32]>, i: usize, j: usize) {
        let cols = j..j + c.len();
        let mut scratch = [0.0; STRETCH];
        let scratch = &mut scratch[..c.len()];
        match &self.epilogue {
            Epilogue::None => {}
            Epilogue::Bias(bias) => add(isa, c, &bias[cols]),
            Epilogue::BiasResidual { bias, residual } => {
                add_both(isa, c, &bias[cols], stretch_of(residual, i, j, scratch));
            }
            Epilogue::BiasActivation { bias, activation } | Epilogue::BiasActivationSave { bias, activation, .. } => {
                let x = saved.unwrap_or(scratch);
                sum(isa, c, &bias[cols], x);
                activation.forward_on(isa, x, c);
            }
            Epilogue::ScaleShift { scale, shift, residual, relu } => {
                let (scale, shift) = (&scale[cols.clone()], &shift[cols]);
                match residual {
                    None => scale_shift(isa, c, scale, shift, *relu),
                    Some(residual) => {
                        scale_shift_add(isa, c, scale, shift, stretch_of(residual, i, j, scratch), *relu);
                    }
                }
            }
            Epilogue::ActivationGrad { activation, preact } => {
                activation.backward_on(isa, stretch_of(preact, i, j, scratch), c);
            }
        }
    }
}

/// The output of a product and what is done to it, both checked; many threads share them.
pub(super) struct Output<'a> {
    pub c: Block<'a>,
    pub finish: Finish<'a>,
}

impl<'a> Output<'a> {
    /// Panics unless C and the epilogue's operands lie within their data and agree in shape. Gives nothing if C has no
    /// elements.
    #[track_caller]
    pub fn new(c: MatMut<'a>, epilogue: Epilogue<'a>) -> Option<Self> {
        let shape = (c.rows, c.cols);
        c.check("C", shape);
        epilogue.check(shape);
        (shape.0 > 0 && shape.1 > 0).then(|| Output { c: Block::new(c), finish: Finish::new(epilogue) })
    }
}

multiversion! {
    /// c ← c ∘ scale + shift, then max(0, ·) if `relu`
    fn scale_shift(c: &mut [f32], scale: &[f32], shift: &[f32], relu: bool) {
        let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
        for (c, (scale, shift)) in c.iter_mut().zip(scale.iter().zip(shift)) {
            *c = at_least(floor, mul_add::<FMA>(*c, *scale, *shift));
        }
    }
}

multiversion! {
    /// c ← c ∘ scale + shift + residual, then max(0, ·) if `relu`
    fn scale_shift_add(c: &mut [f32], scale: &[f32], shift: &[f32], residual: &[f32], relu: bool) {
        let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
        for ((c, residual), (scale, shift)) in c.iter_mut().zip(residual).zip(scale.iter().zip(shift)) {
            *c = at_least(floor, mul_add::<FMA>(*c, *scale, *shift) + residual);
        }
    }
}

/// Returns max(floor, x), and NaN for NaN.
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

/// Returns as many elements of row `i` of `m` from column `j` on as `scratch` has: a slice of the row where that is
/// contiguous, else a copy in `scratch`.
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
