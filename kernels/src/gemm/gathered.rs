//! The products of a convolution.

use super::block::Block;
use super::blocked::{FLAT, Job, KC, even, multiply};
use super::epilogue::Finish;
use super::filters::Filters;
use super::patches::{Patches, steps};
use super::source::Source;
use super::{Epilogue, Mat, MatMut, check_mat, check_output};
use crate::isa::Isa;

/// C ← epilogue(P·F): patches (M, K) by filters (K, N).
#[track_caller]
pub(crate) fn filter(isa: Isa, patches: Patches, filters: Filters, c: MatMut, epilogue: Epilogue) {
    assert_eq!(
        (patches.len(), patches.size(), filters.lanes()),
        (c.rows, filters.size(), c.cols),
        "convolution: patches, their size, filters"
    );
    check_output(&c, &epilogue);
    if c.rows == 0 || c.cols == 0 {
        return;
    }
    multiply(&Job {
        isa,
        alpha: 1.0,
        a: Source::Patches(patches),
        b: filters.source(),
        k: patches.size(),
        kc: steps(patches.taps(), patches.size() / patches.taps()).max(1),
        flat: c.rows <= FLAT,
        parallel: true,
        beta: 0.0,
        c: Block::new(c),
        finish: Finish::new(epilogue),
    });
}

/// C ← dyᵀ·P: the gradients of filters (O, K), K ordered (tap, channel), from those of outputs (M, O) and as many of the
/// patches. On this thread alone unless `parallel`.
#[track_caller]
pub(crate) fn patch_gradient(isa: Isa, dy: Mat, patches: Patches, c: MatMut, parallel: bool) {
    assert_eq!((dy.cols, patches.size()), (c.rows, c.cols), "convolution: outputs, size of a patch");
    assert!(dy.rows <= patches.len(), "convolution: {} outputs of {} patches", dy.rows, patches.len());
    check_mat("dy", &dy, (dy.rows, c.rows));
    check_output(&c, &Epilogue::None);
    if c.rows == 0 || c.cols == 0 {
        return;
    }
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
        // The patches are the operand that is large when gathered: a task makes its own, a panel at a time.
        flat: true,
        parallel,
        beta: 0.0,
        c: Block::new(c),
        finish: Finish::None,
    });
}
