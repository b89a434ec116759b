//! One pass of texts that look at rows: forward, a loss, and backward.

use crate::layers::dropout::Pass;
use crate::layers::sequences::Pool;
use crate::loss::cross_entropy::Sums;
use crate::models::blip::sights::{Attended, Keys, SightsMut};
use crate::models::blip::text::{self, Shape, Shared, TextMut, TextRef, Workspace};
use crate::models::{Captions, Keep};
use crate::tree::{Arena, Dim, tree};
use ndarray::{ArrayView2, ArrayViewMut2};
use std::ops::Range;

tree! {
    /// Keys and values of the rows that texts look at, and their gradient.
    KeysAndGradient { keys: Keys, dkeys: Keys }
}

tree! {
    /// The rows that leave the text Transformer, and their gradient.
    ///
    /// `y`, `dy` (R,d)
    Leaving { y, dy }
}

/// Takes the ranges of n things that are end to end, each of as many rows.
pub(super) fn fill_ranges(ranges: &mut Vec<Range<usize>>, n: usize, each: usize) {
    ranges.clear();
    ranges.extend((0..n).map(|i| i * each..(i + 1) * each));
}

/// The memory of a pass.
pub(super) struct Memory<'a> {
    pub workspace: &'a mut Workspace,
    pub leaving: &'a mut Arena,
    pub scratch: &'a mut Arena,
}

/// Computes the keys and values of a source, and makes room for their gradient.
///
/// `source` (M,D)
pub(super) fn keys<'a>(
    p: &Shared<&[f32]>,
    shape: &Shape,
    source: ArrayView2<f32>,
    arena: &'a mut Arena,
) -> KeysAndGradient<ArrayViewMut2<'a, f32>> {
    let dims = shape.keys(source.nrows());
    let mut keys = arena.carve(&KeysAndGradient { keys: dims.clone(), dkeys: dims });
    text::keys(p, source, &mut keys.keys);
    keys
}

/// Runs texts forward and backward. `loss` turns the rows that leave into a loss and writes their gradient; the scratch
/// is its own until it returns.
pub(super) fn pass(
    p: TextRef<&[f32]>,
    shape: &Shape,
    texts: Captions,
    seen: SightsMut,
    (pool, dropout): (Pool, Option<Pass>),
    memory: Memory,
    mut g: TextMut<&mut [f32]>,
    loss: impl FnOnce(ArrayView2<f32>, ArrayViewMut2<f32>, &mut TextMut<&mut [f32]>, &mut Arena) -> Sums,
) -> Sums {
    let Memory { workspace, leaving, scratch } = memory;
    let rows = Dim(pool.rows(texts.ids.len(), texts.len()), shape.size.width);
    let Leaving { mut y, mut dy } = leaving.carve(&Leaving { y: rows, dy: rows });
    let looks = Some((seen.sights, Attended::Keys(seen.keys)));
    text::forward(p, shape, texts, looks, (pool, Keep::All), dropout, y.view_mut(), workspace, scratch);
    let sums = loss(y.view(), dy.view_mut(), &mut g, scratch);
    text::backward(p, shape, texts, Some(seen), pool, dy.view(), workspace, scratch, g);
    sums
}
