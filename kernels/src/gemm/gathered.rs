//! The products of a convolution, whose operands are gathered while they are packed.

use super::blocked::multiply;
use super::blocking::{KC, MAX_FLAT_ROWS, even};
use super::epilogue::Epilogue;
use super::filters::Filters;
use super::finish::Output;
use super::matrix::{Mat, MatMut};
use super::patches::{Patches, steps};
use super::slab::Job;
use super::source::Source;
use crate::isa::Isa;

/// C ← epilogue(A·B)
///
/// patches A (M,K), filters B (K,N), C (M,N)
#[track_caller]
pub(crate) fn filter(isa: Isa, patches: Patches, filters: Filters, c: MatMut, epilogue: Epilogue) {
    assert_eq!(
        (patches.len(), patches.size(), filters.lanes()),
        (c.rows, filters.size(), c.cols),
        "convolution: patches, their size, filters"
    );
    let Some(Output { c, finish }) = Output::new(c, epilogue) else { return };
    multiply(&Job {
        isa,
        alpha: 1.0,
        a: Source::Patches(patches),
        b: Source::filters(filters),
        k: patches.size(),
        kc: steps(patches.taps(), patches.size() / patches.taps()).max(1),
        flat: c.rows <= MAX_FLAT_ROWS,
        parallel: true,
        beta: 0.0,
        c,
        finish: &finish,
    });
}

/// C ← dyᵀ·A, the gradients of filters
///
/// dy (M,O), the first M patches A (M,K) with K ordered (tap, channel), C (O,K)
///
/// It runs on this thread alone unless `parallel`.
#[track_caller]
pub(crate) fn patch_gradient(isa: Isa, dy: Mat, patches: Patches, c: MatMut, parallel: bool) {
    assert_eq!((dy.cols, patches.size()), (c.rows, c.cols), "convolution: outputs, size of a patch");
    assert!(dy.rows <= patches.len(), "convolution: {} outputs of {} patches", dy.rows, patches.len());
    dy.check("dy", (dy.rows, c.rows));
    let Some(Output { c, finish }) = Output::new(c, Epilogue::None) else { return };
    multiply(&Job {
        isa,
        alpha: 1.0,
        a: Source::columns(dy),
        b: match patches.rows() {
            Some(rows) => Source::columns(rows),
            None => Source::PatchSteps(patches),
        },
        k: dy.rows,
        kc: even(dy.rows, KC, 1),
        // Gathered patches are the larger operand, so each task gathers its own, a panel at a time.
        flat: true,
        parallel,
        beta: 0.0,
        c,
        finish: &finish,
    });
}
