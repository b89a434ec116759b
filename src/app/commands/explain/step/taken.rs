//! The step itself. From embeddings to their gradients it goes by the functions of the tour, and to moved weights by
//! the trainer.

use super::pairs::Pairs;
use crate::models::clip::model::{ClipParams, Model};
use crate::models::clip::{text, visual};
use crate::models::{Keep, Mode, Workspace};
use crate::params::{Spec, for_each};
use crate::tour::attention::mix;
use crate::tour::bridge::plain;
use crate::tour::chain_rule::{Matrix, matrix, sum};
use crate::tour::contrast::{compare, info_nce_fitting, logits_fitting_backward, softmaxes};
use crate::tour::convolution::transposed;
use crate::tour::unit_length::unit;
use crate::train::clip::{ClipObjective, hyper};
use crate::train::metric::Metric;
use crate::train::step::{Trainer, TrainerOptions};
use crate::tree::{Arena, Path};
use ndarray::Array2;
use serde::Serialize;

/// The contrast of N pairs, in f64 by chapters 9 and 10 of the tour.
///
/// `images`, `texts`, `dimages`, `dtexts` (N,e); `fits`, `cosines`, `logits`, `dlogits`, P and Q (N,N)
#[derive(Serialize)]
pub(super) struct Contrast {
    /// s = exp(logit_scale)
    pub scale: f64,
    /// 1 where a caption fits a picture, 0 elsewhere.
    pub fits: Matrix,
    pub images: Matrix,
    pub texts: Matrix,
    pub cosines: Matrix,
    pub logits: Matrix,
    pub p: Matrix,
    pub q: Matrix,
    pub dlogits: Matrix,
    pub dimages: Matrix,
    pub dtexts: Matrix,
    pub dlogit_scale: f64,
    pub loss_by_tour: f64,
}

impl Contrast {
    /// Embeds pairs by both towers, as in training, and compares them.
    pub fn of(model: &Model, pairs: &Pairs) -> Self {
        let [images, texts] = embedded(model, pairs).map(|rows| unit(&plain(rows.view())));
        let (n, logit_scale) = (images.len(), f64::from(model.params.view().logit_scale[0]));
        let scale = logit_scale.exp();
        let fits = matrix(n, n, |i, j| f64::from(u8::from(pairs.fit(i, j))));
        let logits = compare(&images, &texts, logit_scale);
        let [p, q] = softmaxes(&logits);
        let dlogits = logits_fitting_backward(&logits, &fits);
        let scaled = matrix(n, n, |i, j| scale * dlogits[i][j]);
        let [of_images, of_texts] = info_nce_fitting(&logits, &fits);
        Contrast {
            scale,
            cosines: compare(&images, &texts, 0.0),
            dimages: mix(&scaled, &texts),
            dtexts: mix(&transposed(&scaled), &images),
            dlogit_scale: sum(n, |i| sum(n, |j| dlogits[i][j] * logits[i][j])),
            loss_by_tour: (of_images + of_texts) / 2.0,
            fits,
            images,
            texts,
            logits,
            p,
            q,
            dlogits,
        }
    }
}

/// Returns the features of pictures and captions (N,e), as the towers give them in training.
fn embedded(model: &Model, pairs: &Pairs) -> [Array2<f32>; 2] {
    let (p, config, batch) = (model.params.view(), &model.config, pairs.batch());
    let [mut images, mut texts] = [(); 2].map(|()| Array2::zeros((batch.images.nrows(), config.embed_dim)));
    let ([mut looked, mut read], mut scratch) = ([(); 2].map(|()| Workspace::default()), Arena::default());
    let (out, keep) = (images.view_mut(), Keep::Nothing);
    let mode = Mode::Training(keep);
    visual::forward(&p.visual, &config.vision(), batch.images, mode, out, &mut looked, &mut scratch);
    text::forward(&p.text, &config.text(), batch.captions, keep, texts.view_mut(), &mut read, &mut scratch);
    [images, texts]
}

/// The loss, and its two directions.
#[derive(Serialize)]
pub(super) struct Losses {
    pub loss: f64,
    pub image_to_text: f64,
    pub text_to_image: f64,
}

impl Losses {
    fn of(metrics: &[Metric]) -> Self {
        let value = |name| metrics.iter().find(|metric| metric.name == name).expect("a loss of a contrast").value;
        Losses {
            loss: value("loss"),
            image_to_text: value("loss_image_to_text"),
            text_to_image: value("loss_text_to_image"),
        }
    }
}

/// What the step did to a tensor of the model. Norms are square roots of sums of squares.
#[derive(Serialize)]
pub(super) struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    /// That of the values before the step.
    pub norm: f64,
    pub grad_norm: f64,
    pub move_norm: f64,
    /// The move, as a share of what is moved, where that is not 0.
    pub share: Option<f64>,
}

/// What the trainer did.
#[derive(Serialize)]
pub(super) struct Taken {
    pub before: Losses,
    pub after: Losses,
    /// That of all gradients together.
    pub grad_norm: f32,
    pub tensors: Vec<Tensor>,
}

impl Taken {
    /// Takes the first step of a training with all pairs as its batch. All patches are seen.
    pub fn of(model: Model, pairs: &Pairs, lr: f32) -> Self {
        let (options, values) = (TrainerOptions::new(hyper(&model.config)), model.params.flat.clone());
        let (objective, batch) = (ClipObjective::new(model).unmasked_from(0), pairs.batch());
        let (mut trainer, n) = (Trainer::new(objective, options), batch.images.nrows());
        let before = Losses::of(&trainer.gradients(&batch, n));
        let grads = trainer.flat_grads().to_vec();
        let grad_norm = trainer.update(lr).grad_norm;
        let moved = &trainer.objective().model().params;
        let tensors = tensors(&moved.spec, &grads, &values, &moved.flat);
        Taken { before, after: Losses::of(&trainer.gradients(&batch, n)), grad_norm, tensors }
    }
}

/// Lists the parameters, without buffers, in the order of the tree.
fn tensors(spec: &ClipParams<Spec>, grads: &[f32], before: &[f32], after: &[f32]) -> Vec<Tensor> {
    let mut tensors = vec![];
    for_each(spec, &Path::ROOT, |path, spec, range| {
        if spec.is_buffer() {
            return;
        }
        let norm = norm(before[range.clone()].iter().copied().map(f64::from));
        let moves = before[range.clone()].iter().zip(&after[range.clone()]);
        let move_norm = self::norm(moves.map(|(&before, &after)| f64::from(after) - f64::from(before)));
        tensors.push(Tensor {
            name: path.to_string(),
            shape: spec.shape.clone(),
            norm,
            grad_norm: self::norm(grads[range].iter().copied().map(f64::from)),
            move_norm,
            share: (norm > 0.0).then(|| move_norm / norm),
        });
    });
    tensors
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|x| x * x).sum::<f64>().sqrt()
}
