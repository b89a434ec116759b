//! A trained CLIP whose scores a model learns to give, beside the pairs themselves.

use super::untrained::Untrained;
use crate::batches::FeatureCache;
use crate::layers::{floats_mut, normalize, rows, rows_mut};
use crate::loss::contrast::Scores;
use crate::models::Captions;
use crate::models::clip::model::Model;
use crate::train::world::World;
use crate::tree::{Arena, Dim, tree};
use kernels::in_pool;
use ndarray::ArrayView2;
use std::ops::Range;
use std::sync::Arc;

tree! {
    /// This rank's features as the teacher's towers give them, their norms, and the features of unit length.
    ///
    /// `image_norm`, `text_norm` (N,1); all others (N,e)
    Features { image, text, image_norm, text_norm, images, texts }
}

impl Features<Dim> {
    fn dims(n: usize, embed_dim: usize) -> Self {
        let (rows, norm) = (Dim(n, embed_dim), Dim(n, 1));
        Features { image: rows, text: rows, image_norm: norm, text_norm: norm, images: rows, texts: rows }
    }
}

/// A teacher with its buffers. It is never trained.
pub struct Teacher {
    model: Model,
    image: Untrained,
    text: Untrained,
    features: Arena,
    gathered: [Vec<f32>; 2],
}

impl Teacher {
    /// Makes a teacher that keeps features of pictures and of captions in these caches.
    pub fn new(model: Model, images: Option<Arc<FeatureCache>>, texts: Option<Arc<FeatureCache>>) -> Self {
        let [image, text] = [images, texts].map(Untrained::new);
        Teacher { model, image, text, features: Arena::default(), gathered: Default::default() }
    }

    /// Embeds those pictures and captions of a batch that are in `range`. Each kind comes with its keys.
    pub(super) fn embed(
        &mut self,
        (images, examples): (ArrayView2<f32>, &[u64]),
        (captions, caption_keys): (Captions, &[u64]),
        range: &Range<usize>,
    ) {
        let Teacher { model: Model { config, params }, image, text, features, .. } = self;
        let features = features.carve(&Features::dims(captions.len(), config.embed_dim));
        let (p, images, out) = (params.view(), rows(images, range), rows_mut(features.image, range));
        image.images(&p.visual, &config.vision(), images, &examples[range.clone()], out);
        let (captions, out) = (captions.slice(range.clone()), rows_mut(features.text, range));
        text.texts(&p.text, &config.text(), captions, &caption_keys[range.clone()], out);
    }

    /// Returns the teacher's scores of all ranks' pictures against all their captions, with `n` pairs on each rank.
    pub(super) fn scores(&mut self, n: usize, world: &impl World) -> Scores<'_> {
        let Teacher { model: Model { config, params }, features, gathered: [images, texts], .. } = self;
        let mut f = features.carve(&Features::dims(n, config.embed_dim));
        in_pool(|| {
            normalize::forward(f.image.view(), f.images.view_mut(), f.image_norm.view_mut());
            normalize::forward(f.text.view(), f.texts.view_mut(), f.text_norm.view_mut());
        });
        let images = world.all_gather(floats_mut(f.images), images);
        let texts = world.all_gather(floats_mut(f.texts), texts);
        let shape = (n * world.size(), config.embed_dim);
        let [rows, cols] = [images, texts].map(|x| ArrayView2::from_shape(shape, x).expect("a row for each pair"));
        Scores { rows, cols, scale: params.view().logit_scale[0].exp() }
    }
}
