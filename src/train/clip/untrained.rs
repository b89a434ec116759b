//! A tower that is not trained: a locked one, or a teacher's. Its features depend on the example alone, so each is
//! computed once if there is memory for it.

use crate::batches::FeatureCache;
use crate::models::clip::text::{self, Text};
use crate::models::clip::visual::{self, Visual};
use crate::models::{Captions, Keep, Mode, Packed, Workspace};
use crate::tree::Arena;
use crate::weights::Read;
use ndarray::{ArrayView2, ArrayViewMut2};
use std::sync::Arc;

/// Features are computed for exactly so many examples at a time, the last of them repeated where there are fewer. A
/// product of few rows rounds otherwise than one of many, and so the bits of a feature depend on its example alone: not
/// on those beside it, the size of a micro-batch, or on what is cached.
const GROUP: usize = 32;

/// What one tower that is not trained needs to compute features, beside its parameters.
#[derive(Default)]
pub(super) struct Untrained {
    cached: Cached,
    buffers: Buffers,
}

#[derive(Default)]
struct Cached {
    cache: Option<Arc<FeatureCache>>,
    /// The places in the batch whose features are not known.
    missing: Vec<usize>,
    /// The features of a group.
    group: Vec<f32>,
}

#[derive(Default)]
struct Buffers {
    workspace: Workspace,
    scratch: Arena,
    pixels: Vec<f32>,
}

impl Untrained {
    /// Keeps features in this cache.
    pub(super) fn new(cache: Option<Arc<FeatureCache>>) -> Self {
        Untrained { cached: Cached { cache, ..Cached::default() }, ..Untrained::default() }
    }

    /// Computes the features of pictures, or copies those that are known. The pixels of pictures whose features are
    /// known are not looked at.
    ///
    /// `images` (B,3·edge²), `features` (B,e)
    pub(super) fn images(
        &mut self,
        p: &Visual<impl Read>,
        shape: &visual::Shape,
        images: ArrayView2<f32>,
        keys: &[u64],
        features: ArrayViewMut2<f32>,
    ) {
        let Untrained { cached, buffers: Buffers { workspace, scratch, pixels, .. } } = self;
        cached.fill(keys, features, |places, features| {
            pixels.clear();
            places.iter().for_each(|&i| pixels.extend(images.row(i)));
            let images = ArrayView2::from_shape((places.len(), images.ncols()), pixels).expect("pictures of one size");
            visual::forward(p, shape, images, Mode::Inference, features, workspace, scratch);
        });
    }

    /// Computes the features of captions, or copies those that are known.
    ///
    /// `features` (B,e)
    pub(super) fn texts(
        &mut self,
        p: &Text<impl Read>,
        shape: &text::Shape,
        captions: Captions,
        keys: &[u64],
        features: ArrayViewMut2<f32>,
    ) {
        let Untrained { cached, buffers: Buffers { workspace, scratch, .. } } = self;
        cached.fill(keys, features, |places, features| {
            let captions = Packed::new(places.iter().map(|&i| captions.of(i)));
            text::forward(p, shape, captions.captions(), Keep::Nothing, features, workspace, scratch);
        });
    }
}

impl Cached {
    /// Fills the features of all places; `embed` gets the places of a group and where their features go.
    fn fill(
        &mut self,
        keys: &[u64],
        mut features: ArrayViewMut2<f32>,
        mut embed: impl FnMut(&[usize; GROUP], ArrayViewMut2<f32>),
    ) {
        let Cached { cache, missing, group } = self;
        let mut known = |i: usize| cache.as_ref().is_some_and(|cache| cache.read(keys[i], features.row_mut(i)));
        missing.clear();
        missing.extend((0..keys.len()).filter(|&i| !known(i)));
        group.resize(GROUP * features.ncols(), 0.0);
        for places in missing.chunks(GROUP) {
            let mut group = ArrayViewMut2::from_shape((GROUP, features.ncols()), group).expect("a row for each place");
            embed(&std::array::from_fn(|k| places[k.min(places.len() - 1)]), group.view_mut());
            for (&i, row) in places.iter().zip(group.rows()) {
                features.row_mut(i).assign(&row);
                cache.iter().for_each(|cache| cache.insert(keys[i], row));
            }
        }
    }
}
