//! One training step: both towers forward, the loss, both towers backward, AdamW.

use crate::layers::{normalize, rows, rows_mut};
use crate::loss::info_nce::{self, Loss, Saved as LossSaved, Scratch as LossScratch};
use crate::loss::positives::Positives;
use crate::models::clip::model::{ClipParams, MAX_LOGIT_SCALE, Model};
use crate::models::clip::text::{self, Captions};
use crate::models::clip::visual;
use crate::models::{Keep, Mode, Workspace};
use crate::optim::adamw::{AdamW, Hyper};
use crate::optim::{clip_grad, running};
use crate::params;
use crate::tree::{Arena, Dim, Path, tree};
use kernels::{in_pool, memory::Floats};
use ndarray::ArrayView2;
use std::ops::Range;

/// N pictures and their captions.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a> {
    /// (N,3S²), normalised.
    pub images: ArrayView2<'a, f32>,
    pub captions: Captions<'a>,
    /// Equal keys: the same concept, so each caption fits the other's picture.
    pub concepts: &'a [u64],
    /// Equal keys: the same words.
    pub caption_keys: &'a [u64],
}

/// What an update did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// Of all gradients together, before clipping.
    pub grad_norm: f32,
    /// After the step and its clamp.
    pub logit_scale: f32,
}

tree! {
    /// Features as the towers give them, of unit length, and the gradients of both: all (N,e) but the norms (N,1).
    Features { image, text, image_norm, text_norm, images, texts, dimages, dtexts, dimage, dtext, loss: LossSaved,
               loss_scratch: LossScratch }
}

impl Features<Dim> {
    fn dims(n: usize, embed_dim: usize) -> Self {
        let (rows, norm) = (Dim(n, embed_dim), Dim(n, 1));
        Features {
            image: rows,
            text: rows,
            image_norm: norm,
            text_norm: norm,
            images: rows,
            texts: rows,
            dimages: rows,
            dtexts: rows,
            dimage: rows,
            dtext: rows,
            loss: LossSaved::dims(n),
            loss_scratch: LossScratch::dims(n),
        }
    }
}

/// A model in training: its gradients, Adam's moments, and every buffer a step needs.
pub struct Trainer {
    pub model: Model,
    pub adam: AdamW,
    pub hyper: Hyper,
    /// The longest gradient that is not shortened.
    pub max_norm: Option<f32>,
    /// Leave the image tower as it is, running statistics included (Zhai et al. 2022: locked-image tuning).
    pub lock_image: bool,
    grads: Floats,
    image: Workspace,
    text: Workspace,
    scratch: Arena,
    features: Arena,
    positives: Positives,
}

impl Trainer {
    pub fn new(model: Model, hyper: Hyper) -> Self {
        let (n, len) = (params::count(&model.params.spec), model.params.flat.len());
        Trainer {
            model,
            adam: AdamW::new(n),
            hyper,
            max_norm: None,
            lock_image: false,
            grads: Floats::zeros(len),
            image: Workspace::default(),
            text: Workspace::default(),
            scratch: Arena::default(),
            features: Arena::default(),
            positives: Positives::default(),
        }
    }

    /// The gradient of every parameter, as the last [`Trainer::gradients`] left it and until [`Trainer::update`]; for
    /// a buffer, what was observed.
    pub fn grads(&self) -> ClipParams<&[f32]> {
        params::view(&self.model.params.spec, &self.grads)
    }

    /// The same as one block, in the order of the parameters; without the buffers.
    pub fn flat_grads(&self) -> &[f32] {
        &self.grads[..params::count(&self.model.params.spec)]
    }

    /// The loss over all pairs, and its gradient. BatchNorm's statistics are those of each micro-batch.
    ///
    /// No more than `micro_batch` pairs are in a tower at a time, yet the result is that of one big batch, as every
    /// pair sees all the others: all micro-batches are embedded, the loss is taken once, and then each goes forward
    /// again, now keeping its activations, and backward (Gao et al. 2021).
    pub fn gradients(&mut self, batch: &Pairs, micro_batch: usize) -> Loss {
        in_pool(|| self.loss_and_gradients(batch, micro_batch))
    }

    fn loss_and_gradients(&mut self, batch: &Pairs, micro_batch: usize) -> Loss {
        let n = batch.images.nrows();
        assert_eq!((batch.captions.len(), batch.concepts.len()), (n, n), "captions and concept keys of {n} pictures");
        self.positives.fill(batch.concepts, batch.caption_keys);
        let whole = n <= micro_batch;
        let keep = if whole { Keep::All } else { Keep::Nothing };
        for range in chunks(n, micro_batch) {
            self.embed(batch, range, keep);
        }
        let loss = self.contrast(n);
        for range in chunks(n, micro_batch) {
            if !whole {
                self.embed(batch, range.clone(), Keep::All);
            }
            self.back_propagate(batch, range);
        }
        loss
    }

    /// One AdamW step, then logit_scale back into [0, ln 100]; one step of the running statistics. Gradients are zero
    /// afterwards.
    ///
    /// A gradient that is not finite would ruin every weight: then nothing else is changed.
    pub fn update(&mut self, lr: f32) -> Update {
        in_pool(|| self.step(lr))
    }

    fn step(&mut self, lr: f32) -> Update {
        let grad_norm = clip_grad::global_norm(self.flat_grads());
        if !grad_norm.is_finite() {
            self.grads.fill(0.0);
            return Update { grad_norm, logit_scale: self.model.params.view().logit_scale[0] };
        }
        let scale = clip_grad::scale(grad_norm, self.max_norm);
        let Trainer { model, adam, hyper, grads, lock_image, .. } = self;
        let frozen = |path: &Path| *lock_image && path.is_under("visual");
        running::step(&model.params.spec, &mut model.params.flat, grads, frozen);
        adam.step(&model.params.spec, hyper, lr, scale, &mut model.params.flat, grads, frozen);
        grads[params::count(&model.params.spec)..].fill(0.0);
        let logit_scale = params::view_mut(&model.params.spec, &mut model.params.flat).logit_scale;
        logit_scale[0] = logit_scale[0].clamp(0.0, MAX_LOGIT_SCALE);
        Update { grad_norm, logit_scale: logit_scale[0] }
    }

    /// Both towers forward for these pairs.
    fn embed(&mut self, batch: &Pairs, range: Range<usize>, keep: Keep) {
        let Trainer { model, image, text, scratch, features, lock_image, .. } = self;
        let features = features.carve(&Features::dims(batch.images.nrows(), model.config.embed_dim));
        let p = model.params.view();
        let (images, out) = (rows(batch.images, &range), rows_mut(features.image, &range));
        let mode = if *lock_image { Mode::Inference } else { Mode::Training(keep) };
        visual::forward(&p.visual, &model.config.vision(), images, mode, out, image, scratch);
        let (captions, out) = (batch.captions.slice(range.clone()), rows_mut(features.text, &range));
        text::forward(&p.text, &model.config.text(), captions, keep, out, text, scratch);
    }

    /// From features to the loss and back to their gradients.
    fn contrast(&mut self, n: usize) -> Loss {
        let Trainer { model, grads, features, positives, .. } = self;
        let f = &mut features.carve(&Features::dims(n, model.config.embed_dim));
        let scale = model.params.view().logit_scale[0].exp();
        normalize::forward(f.image.view(), f.images.view_mut(), f.image_norm.view_mut());
        normalize::forward(f.text.view(), f.texts.view_mut(), f.text_norm.view_mut());
        let (images, texts) = (f.images.view(), f.texts.view());
        let loss = info_nce::forward(images, texts, scale, positives, &mut f.loss, &mut f.loss_scratch);
        let (dimages, dtexts) = (f.dimages.view_mut(), f.dtexts.view_mut());
        let dlogit_scale =
            info_nce::backward(images, texts, scale, positives, &f.loss, dimages, dtexts, &mut f.loss_scratch);
        params::view_mut(&model.params.spec, grads).logit_scale[0] += dlogit_scale;
        normalize::backward(images, f.image_norm.view(), f.dimages.view(), f.dimage.view_mut());
        normalize::backward(texts, f.text_norm.view(), f.dtexts.view(), f.dtext.view_mut());
        loss
    }

    /// Both towers backward for these pairs, which were the last to go forward.
    fn back_propagate(&mut self, batch: &Pairs, range: Range<usize>) {
        let Trainer { model, grads, image, text, scratch, features, lock_image, .. } = self;
        let features = features.carve(&Features::dims(batch.images.nrows(), model.config.embed_dim));
        let p = model.params.view();
        let mut g = params::view_mut(&model.params.spec, grads);
        if !*lock_image {
            let (images, dy) = (rows(batch.images, &range), rows(features.dimage.view(), &range));
            visual::backward(&p.visual, &model.config.vision(), images, dy, image, scratch, &mut g.visual);
        }
        let (captions, dy) = (batch.captions.slice(range.clone()), rows(features.dtext.view(), &range));
        text::backward(&p.text, &model.config.text(), captions, dy, text, scratch, &mut g.text);
    }
}

/// 0..n in pieces of `size`.
fn chunks(n: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(size).map(move |start| start..n.min(start + size))
}
