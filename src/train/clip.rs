//! CLIP's objective, which contrasts pictures with their captions (Radford et al. 2021, figure 3).

use super::metric::Metric;
use super::objective::{Objective, State, StepId};
use super::run_folder::RunFolder;
use super::world::World;
use crate::checkpoint::{self, CheckpointError, ConfigFile};
use crate::layers::{floats, floats_mut, normalize, rows, rows_mut};
use crate::loss::info_nce::{self, Loss, Saved as LossSaved, Scratch as LossScratch};
use crate::loss::positives::Positives;
use crate::models::Captions;
use crate::models::clip::model::{self, ClipParams, MAX_LOGIT_SCALE, Model};
use crate::models::clip::text;
use crate::models::clip::{Config, Layers, visual};
use crate::models::{Keep, Mode, Workspace};
use crate::optim::adamw::Hyper;
use crate::params::{self, Params, Spec};
use crate::tree::{Arena, Dim, Path, tree};
use kernels::in_pool;
use ndarray::ArrayView2;
use std::ops::Range;

/// N pictures and their captions.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a> {
    /// The pictures (N,3S²), normalised.
    pub images: ArrayView2<'a, f32>,
    /// The captions, one for each picture.
    pub captions: Captions<'a>,
    /// A key for each pair's concept. Where two keys are equal, each caption fits the other's picture.
    pub concepts: &'a [u64],
    /// A key for each pair's caption. Where two keys are equal, the captions have the same words.
    pub caption_keys: &'a [u64],
}

tree! {
    /// This rank's features as the towers give them, their norms, the features of unit length, and the gradients of the
    /// towers' features.
    ///
    /// `image_norm`, `text_norm` (N,1); all others (N,e)
    Features { image, text, image_norm, text_norm, images, texts, dimage, dtext }
}

tree! {
    /// The gradients of this rank's unit-length features, and the buffers of the loss over the pairs of all ranks.
    ///
    /// `dimages`, `dtexts` (N,e)
    Contrast { dimages, dtexts, saved: LossSaved, scratch: LossScratch }
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
            dimage: rows,
            dtext: rows,
        }
    }
}

impl Contrast<Dim> {
    fn dims(n: usize, all: usize, embed_dim: usize) -> Self {
        let rows = Dim(n, embed_dim);
        Contrast { dimages: rows, dtexts: rows, saved: LossSaved::dims(all), scratch: LossScratch::dims(all) }
    }
}

/// What the other ranks sent. One rank by itself exchanges nothing.
#[derive(Default)]
struct Gathered {
    images: Vec<f32>,
    texts: Vec<f32>,
    concepts: Vec<u64>,
    captions: Vec<u64>,
    /// The log-sum-exps of the rows, and of the columns.
    lse: [Vec<f32>; 2],
    losses: Vec<f64>,
}

/// A CLIP model in training, with every buffer that a step needs.
pub struct ClipObjective {
    model: Model,
    lock_image: bool,
    grad_checkpointing: bool,
    image: Workspace,
    text: Workspace,
    scratch: Arena,
    features: Arena,
    contrast: Arena,
    gathered: Gathered,
    /// Those of each shard.
    positives: Vec<Positives>,
    /// The gradient of `logit_scale`, each shard's part of it.
    dlogit_scale: Vec<f32>,
    loss: Loss,
    /// The loss ln N of a model that cannot tell N pairs apart.
    chance: f64,
}

/// Returns AdamW's hyper-parameters as the paper chose them for the kind of image tower (table 19).
pub fn hyper(config: &Config) -> Hyper {
    match config.vision_cfg.layers {
        Layers::Vit(_) => Hyper::VIT,
        Layers::ResNet(_) => Hyper::RESNET,
    }
}

impl ClipObjective {
    /// Makes an objective that trains both towers.
    pub fn new(model: Model) -> Self {
        ClipObjective {
            model,
            lock_image: false,
            grad_checkpointing: false,
            image: Workspace::default(),
            text: Workspace::default(),
            scratch: Arena::default(),
            features: Arena::default(),
            contrast: Arena::default(),
            gathered: Gathered::default(),
            positives: vec![],
            dlogit_scale: vec![],
            loss: Loss { image_to_text: f64::NAN, text_to_image: f64::NAN },
            chance: f64::NAN,
        }
    }

    /// Leaves the image tower as it is if `lock` says so, running statistics included (locked-image tuning: Zhai et al.
    /// 2022).
    #[must_use]
    pub fn lock_image(self, lock: bool) -> Self {
        ClipObjective { lock_image: lock, ..self }
    }

    /// Keeps the [inputs](Keep::Inputs) alone of the blocks of both towers if `on` says so. Every bit stays as it is.
    #[must_use]
    pub fn grad_checkpointing(self, on: bool) -> Self {
        ClipObjective { grad_checkpointing: on, ..self }
    }

    /// Returns the model as it is now.
    pub fn model(&self) -> &Model {
        &self.model
    }
}

impl<W: World> Objective<W> for ClipObjective {
    type Tree = ClipParams<Spec>;
    type Batch<'a> = Pairs<'a>;

    fn params(&self) -> &Params<ClipParams<Spec>> {
        &self.model.params
    }

    fn saved(&mut self) -> (&mut Params<ClipParams<Spec>>, State<'_>) {
        (&mut self.model.params, State::new())
    }

    fn pictures(batch: &Pairs) -> usize {
        batch.images.nrows()
    }

    fn frozen(&self, path: &Path) -> bool {
        self.lock_image && path.is_under("visual")
    }

    fn prepare(&mut self, batch: &Pairs, _: StepId) {
        let n = batch.images.nrows();
        assert_eq!((batch.captions.len(), batch.concepts.len()), (n, n), "captions and concept keys of {n} pictures");
    }

    /// Embeds these pairs by both towers.
    fn forward(&mut self, batch: &Pairs, range: Range<usize>, keep: Keep, _: StepId) {
        let keep = keep.checkpointed(self.grad_checkpointing);
        let ClipObjective { model, image, text, scratch, features, lock_image, .. } = self;
        let features = features.carve(&Features::dims(batch.images.nrows(), model.config.embed_dim));
        let p = model.params.view();
        let (images, out) = (rows(batch.images, &range), rows_mut(features.image, &range));
        let mode = if *lock_image { Mode::Inference } else { Mode::Training(keep) };
        visual::forward(&p.visual, &model.config.vision(), images, mode, out, image, scratch);
        let (captions, out) = (batch.captions.slice(range.clone()), rows_mut(features.text, &range));
        text::forward(&p.text, &model.config.text(), captions, keep, out, text, scratch);
    }

    /// Goes from features to the loss, and back to the gradients of this rank's features.
    ///
    /// Each shard contrasts its own rows, and its own columns, with the pairs of all ranks. So no gradient crosses ranks;
    /// what does are features and the log-sum-exps of other shards' rows and columns.
    fn loss(&mut self, batch: &Pairs, id: StepId, world: &W) {
        let (n, embed_dim) = (batch.images.nrows(), self.model.config.embed_dim);
        let ClipObjective { model, features, contrast, gathered, positives, dlogit_scale, .. } = self;
        let mut f = features.carve(&Features::dims(n, embed_dim));
        in_pool(|| {
            normalize::forward(f.image.view(), f.images.view_mut(), f.image_norm.view_mut());
            normalize::forward(f.text.view(), f.texts.view_mut(), f.text_norm.view_mut());
        });
        let concepts = world.all_gather(batch.concepts, &mut gathered.concepts);
        let captions = world.all_gather(batch.caption_keys, &mut gathered.captions);
        let images = world.all_gather(floats(f.images.view()), &mut gathered.images);
        let texts = world.all_gather(floats(f.texts.view()), &mut gathered.texts);
        let all = concepts.len();
        let [images, texts] =
            [images, texts].map(|rows| ArrayView2::from_shape((all, embed_dim), rows).expect("a row for each pair"));
        let (scale, first) = (model.params.view().logit_scale[0].exp(), id.place(0, n) as usize);
        positives.resize_with(id.shards, Positives::default);
        for (positives, shard) in positives.iter_mut().zip(id.shards_of(n)) {
            positives.fill_for(first + shard.start..first + shard.end, concepts, captions);
        }
        let mut c = contrast.carve(&Contrast::dims(n, all, embed_dim));
        let mut losses = vec![];
        in_pool(|| {
            for positives in &*positives {
                let loss = info_nce::forward(images, texts, scale, positives, &mut c.saved, &mut c.scratch);
                losses.extend([loss.image_to_text, loss.text_to_image]);
            }
        });
        for (lse, gathered) in [&mut c.saved.image_lse, &mut c.saved.text_lse].into_iter().zip(&mut gathered.lse) {
            if world.size() > 1 {
                let lse = floats_mut(lse.view_mut());
                world.all_gather(&lse[first..first + n], gathered);
                lse.copy_from_slice(gathered);
            }
        }
        dlogit_scale.clear();
        in_pool(|| {
            for (positives, shard) in positives.iter().zip(id.shards_of(n)) {
                let [dimages, dtexts] =
                    [&mut c.dimages, &mut c.dtexts].map(|gradient| rows_mut(gradient.view_mut(), &shard));
                let scratch = &mut c.scratch;
                let d = info_nce::backward(images, texts, scale, positives, &c.saved, dimages, dtexts, scratch);
                dlogit_scale.push(d);
            }
            normalize::backward(f.images.view(), f.image_norm.view(), c.dimages.view(), f.dimage);
            normalize::backward(f.texts.view(), f.text_norm.view(), c.dtexts.view(), f.dtext);
        });
        let losses = world.all_gather(&losses, &mut gathered.losses);
        let sum = |half: usize| losses.iter().skip(half).step_by(2).sum();
        (self.loss, self.chance) = (Loss { image_to_text: sum(0), text_to_image: sum(1) }, (all as f64).ln());
    }

    fn backward_loss(&self, shard: usize, g: &mut ClipParams<&mut [f32]>) {
        g.logit_scale[0] += self.dlogit_scale[shard];
    }

    /// Goes backward through both towers for these pairs.
    fn backward(&mut self, batch: &Pairs, range: Range<usize>, _: StepId, g: &mut ClipParams<&mut [f32]>) {
        let ClipObjective { model, image, text, scratch, features, lock_image, .. } = self;
        let features = features.carve(&Features::dims(batch.images.nrows(), model.config.embed_dim));
        let p = model.params.view();
        if !*lock_image {
            let (images, dy) = (rows(batch.images, &range), rows(features.dimage.view(), &range));
            visual::backward(&p.visual, &model.config.vision(), images, dy, image, scratch, &mut g.visual);
        }
        let (captions, dy) = (batch.captions.slice(range.clone()), rows(features.dtext.view(), &range));
        text::backward(&p.text, &model.config.text(), captions, dy, text, scratch, &mut g.text);
    }

    fn losses(&mut self, _: &W) -> Vec<Metric> {
        vec![
            Metric::new("loss", self.loss.mean()).against_chance(self.chance),
            Metric::new("loss_image_to_text", self.loss.image_to_text),
            Metric::new("loss_text_to_image", self.loss.text_to_image),
        ]
    }

    /// Brings `logit_scale` back into the range from 0 to ln 100.
    fn updated(&mut self, _: StepId) {
        let scale = params::view_mut(&self.model.params.spec, &mut self.model.params.flat).logit_scale;
        scale[0] = scale[0].clamp(0.0, MAX_LOGIT_SCALE);
    }

    fn metrics(&self) -> Vec<Metric> {
        vec![Metric::new("logit_scale", f64::from(self.model.params.view().logit_scale[0]).exp())]
    }
}

/// Prepares the model of a run that is to go on, whose parameters are still to be loaded. The size of the saved state
/// is checked before anything is allocated for the parameters.
///
/// # Errors
/// If the run folder has no configuration, or a state of another size.
pub fn resumed(folder: &RunFolder) -> Result<(Model, ConfigFile), CheckpointError> {
    let config = ConfigFile::read(&folder.file(checkpoint::CONFIG))?;
    let spec = model::spec(&config.model_cfg);
    folder.check("params", params::len(&spec))?;
    Ok((Model { config: config.model_cfg.clone(), params: Params::zeros(spec) }, config))
}
