//! CLIP's objective, which contrasts pictures with their captions (Radford et al. 2021, figure 3), or judges every pair
//! by itself if the model has a bias (SigLIP: Zhai et al. 2023).

use super::metric::Metric;
use super::objective::{Objective, State, StepId};
use super::run_folder::RunFolder;
use super::world::World;
use crate::checkpoint::{self, CheckpointError, ConfigFile};
use crate::layers::patch_dropout::PatchDropout;
use crate::layers::{floats, floats_mut, normalize, rows, rows_mut};
use crate::loss::contrast::Scores;
use crate::loss::info_nce::{self, Loss, Saved as LossSaved, Scratch as LossScratch};
use crate::loss::positives::Positives;
use crate::loss::sigmoid::{self, Scratch as SigmoidScratch, Sums};
use crate::models::Captions;
use crate::models::clip::model::{self, ClipParams, MAX_LOGIT_SCALE, Model};
use crate::models::clip::text;
use crate::models::clip::{Config, Layers, visual};
use crate::models::{Keep, Mode, Workspace};
use crate::optim::adamw::Hyper;
use crate::params::{self, Params, Spec};
use crate::tree::{Arena, Dim, Path, tree};
use kernels::in_pool;
use ndarray::{ArrayView2, ArrayViewMut2};
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

tree! {
    /// The gradients of this rank's unit-length features, and the buffers of the sigmoid loss over the pairs of all
    /// ranks.
    ///
    /// `dimages`, `dtexts` (N,e)
    Judged { dimages, dtexts, scratch: SigmoidScratch }
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

impl Judged<Dim> {
    fn dims(own: usize, all: usize, embed_dim: usize) -> Self {
        let rows = Dim(own, embed_dim);
        Judged { dimages: rows, dtexts: rows, scratch: SigmoidScratch::dims(all) }
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
    free_scale: bool,
    /// The step from which on the image tower sees all patches.
    unmasked_from: u64,
    /// The places of this rank's pictures in the batch of all ranks.
    places: Vec<u32>,
    image: Workspace,
    text: Workspace,
    scratch: Arena,
    features: Arena,
    contrast: Arena,
    gathered: Gathered,
    /// Those of each shard.
    positives: Vec<Positives>,
    sums: Sums,
    /// What each shard contributes to the gradients of the logit scale and bias.
    dscalars: Vec<[f32; 2]>,
    losses: Vec<Metric>,
}

/// What the stream of the patches' draws is named by.
const PATCHES: u64 = 0;

/// Returns AdamW's hyper-parameters as the paper chose them for the kind of image tower (table 19).
pub fn hyper(config: &Config) -> Hyper {
    match config.vision_cfg.layers {
        Layers::Vit(_) => Hyper::VIT,
        Layers::ResNet(_) => Hyper::RESNET,
    }
}

impl ClipObjective {
    /// Makes an objective that trains both towers. Patches are dropped as the configuration says.
    pub fn new(model: Model) -> Self {
        ClipObjective {
            model,
            lock_image: false,
            grad_checkpointing: false,
            free_scale: false,
            unmasked_from: u64::MAX,
            places: vec![],
            image: Workspace::default(),
            text: Workspace::default(),
            scratch: Arena::default(),
            features: Arena::default(),
            contrast: Arena::default(),
            gathered: Gathered::default(),
            positives: vec![],
            sums: Sums::default(),
            dscalars: vec![],
            losses: vec![],
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

    /// Lets the logit scale grow beyond ln 100 if `free` says so. The scale of some published models for the sigmoid loss
    /// is above that, so that the limit would change them in the first step.
    #[must_use]
    pub fn free_scale(self, free: bool) -> Self {
        ClipObjective { free_scale: free, ..self }
    }

    /// Drops no patches from this step on, so that the image tower gets used to whole pictures (unmasked tuning: Li et
    /// al. 2023, "Scaling Language-Image Pre-training via Masking", section 3).
    #[must_use]
    pub fn unmasked_from(self, step: u64) -> Self {
        ClipObjective { unmasked_from: step, ..self }
    }

    /// Returns the same objective for another model.
    pub(super) fn with_model(&self, model: Model) -> Self {
        ClipObjective::new(model)
            .lock_image(self.lock_image)
            .grad_checkpointing(self.grad_checkpointing)
            .free_scale(self.free_scale)
            .unmasked_from(self.unmasked_from)
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

    fn prepare(&mut self, batch: &Pairs, id: StepId) {
        let n = batch.images.nrows();
        assert_eq!((batch.captions.len(), batch.concepts.len()), (n, n), "captions and concept keys of {n} pictures");
        self.places.clear();
        self.places.extend((0..n).map(|i| id.place(i, n) as u32));
    }

    /// Embeds these pairs by both towers.
    fn forward(&mut self, batch: &Pairs, range: Range<usize>, keep: Keep, id: StepId) {
        let keep = keep.checkpointed(self.grad_checkpointing);
        let ClipObjective { model, image, text, scratch, features, lock_image, unmasked_from, places, .. } = self;
        let features = features.carve(&Features::dims(batch.images.nrows(), model.config.embed_dim));
        let p = model.params.view();
        let (images, out) = (rows(batch.images, &range), rows_mut(features.image, &range));
        let rate = model.config.vision_cfg.patch_dropout;
        let mode = if *lock_image {
            Mode::Inference
        } else if rate > 0.0 && id.step < *unmasked_from {
            Mode::Masked(keep, PatchDropout { rate, key: id.key(&[PATCHES]), places: &places[range.clone()] })
        } else {
            Mode::Training(keep)
        };
        visual::forward(&p.visual, &model.config.vision(), images, mode, out, image, scratch);
        let (captions, out) = (batch.captions.slice(range.clone()), rows_mut(features.text, &range));
        text::forward(&p.text, &model.config.text(), captions, keep, out, text, scratch);
    }

    /// Goes from features to the loss, and back to the gradients of this rank's features.
    ///
    /// Each shard compares its own pictures, and its own captions, with the pairs of all ranks. So no gradient of an
    /// embedding crosses ranks; what does are features, and numbers of rows and columns.
    fn loss(&mut self, batch: &Pairs, id: StepId, world: &W) {
        let (n, embed_dim) = (batch.images.nrows(), self.model.config.embed_dim);
        let ClipObjective { model, features, contrast, gathered, positives, sums, dscalars, losses, .. } = self;
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
        let p = model.params.view();
        let scores = Scores { rows: images, cols: texts, scale: p.logit_scale[0].exp() };
        let first = id.place(0, n) as usize;
        positives.resize_with(id.shards, Positives::default);
        for (positives, shard) in positives.iter_mut().zip(id.shards_of(n)) {
            positives.fill_for(first + shard.start..first + shard.end, concepts, captions);
        }
        dscalars.clear();
        let part = Part { scores, positives, shards: id.shards_of(n).collect() };
        let exchange = (&mut gathered.lse, &mut gathered.losses);
        let [dimages, dtexts] = match p.logit_bias {
            None => part.contrast(world, contrast, exchange, dscalars, losses),
            Some(bias) => part.judge(world, bias[0], contrast, exchange.1, sums, dscalars, losses),
        };
        in_pool(|| {
            normalize::backward(f.images.view(), f.image_norm.view(), dimages.view(), f.dimage);
            normalize::backward(f.texts.view(), f.text_norm.view(), dtexts.view(), f.dtext);
        });
    }

    fn backward_loss(&self, shard: usize, g: &mut ClipParams<&mut [f32]>) {
        let [dlogit_scale, dlogit_bias] = self.dscalars[shard];
        g.logit_scale[0] += dlogit_scale;
        g.logit_bias.iter_mut().for_each(|g| g[0] += dlogit_bias);
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
        self.losses.clone()
    }

    /// Brings `logit_scale` back into the range from 0 to ln 100.
    fn updated(&mut self, _: StepId) {
        let scale = params::view_mut(&self.model.params.spec, &mut self.model.params.flat).logit_scale;
        let max = if self.free_scale { f32::INFINITY } else { MAX_LOGIT_SCALE };
        scale[0] = scale[0].clamp(0.0, max);
    }

    fn metrics(&self) -> Vec<Metric> {
        let ClipParams { logit_scale, logit_bias, .. } = self.model.params.view();
        let scale = Metric::new("logit_scale", f64::from(logit_scale[0]).exp());
        [scale].into_iter().chain(logit_bias.map(|bias| Metric::new("logit_bias", bias[0]))).collect()
    }
}

/// What one rank compares: its shards' pictures and captions with those of all ranks.
struct Part<'a> {
    /// The scores of all pictures and captions.
    scores: Scores<'a>,
    /// The positives of each shard.
    positives: &'a [Positives],
    /// The shards, as ranges of this rank's pairs.
    shards: Vec<Range<usize>>,
}

impl Part<'_> {
    /// Contrasts by InfoNCE. Returns the gradients of this rank's unit-length features.
    fn contrast<'c, W: World>(
        &self,
        world: &W,
        arena: &'c mut Arena,
        (lse, gathered): (&mut [Vec<f32>; 2], &mut Vec<f64>),
        dscalars: &mut Vec<[f32; 2]>,
        metrics: &mut Vec<Metric>,
    ) -> [ArrayViewMut2<'c, f32>; 2] {
        let Scores { rows: images, cols: texts, scale } = self.scores;
        let (all, own) = (images.nrows(), self.own());
        let mut c = arena.carve(&Contrast::dims(own.len(), all, images.ncols()));
        let mut losses = vec![];
        in_pool(|| {
            for positives in self.positives {
                let loss = info_nce::forward(images, texts, scale, positives, &mut c.saved, &mut c.scratch);
                losses.extend([loss.image_to_text, loss.text_to_image]);
            }
        });
        for (lse, gathered) in [&mut c.saved.image_lse, &mut c.saved.text_lse].into_iter().zip(lse) {
            if world.size() > 1 {
                let lse = floats_mut(lse.view_mut());
                world.all_gather(&lse[own.clone()], gathered);
                lse.copy_from_slice(gathered);
            }
        }
        in_pool(|| {
            for (positives, shard) in self.positives.iter().zip(&self.shards) {
                let [dimages, dtexts] = [&mut c.dimages, &mut c.dtexts].map(|all| rows_mut(all.view_mut(), shard));
                let scratch = &mut c.scratch;
                let d = info_nce::backward(images, texts, scale, positives, &c.saved, dimages, dtexts, scratch);
                dscalars.push([d, 0.0]);
            }
        });
        let [image_to_text, text_to_image] = sums_of_shards(world, &losses, gathered);
        let loss = Loss { image_to_text, text_to_image };
        *metrics = vec![
            Metric::new("loss", loss.mean()).against_chance((all as f64).ln()),
            Metric::new("loss_image_to_text", image_to_text),
            Metric::new("loss_text_to_image", text_to_image),
        ];
        [c.dimages, c.dtexts]
    }

    /// Judges each pair by itself, by the sigmoid loss. Returns the gradients of this rank's unit-length features.
    fn judge<'c, W: World>(
        &self,
        world: &W,
        logit_bias: f32,
        arena: &'c mut Arena,
        gathered: &mut Vec<f64>,
        sums: &mut Sums,
        dscalars: &mut Vec<[f32; 2]>,
        metrics: &mut Vec<Metric>,
    ) -> [ArrayViewMut2<'c, f32>; 2] {
        let (all, embed_dim) = self.scores.rows.dim();
        let mut c = arena.carve(&Judged::dims(self.own().len(), all, embed_dim));
        let mut losses = vec![];
        in_pool(|| {
            for (positives, shard) in self.positives.iter().zip(&self.shards) {
                let [dimages, dtexts] = [&mut c.dimages, &mut c.dtexts].map(|all| rows_mut(all.view_mut(), shard));
                let (scores, scratch) = (&self.scores, &mut c.scratch);
                sigmoid::forward_backward(scores, logit_bias, positives, dimages, dtexts, sums, scratch);
                let [loss, scale, bias] =
                    [&sums.loss, &sums.dlogit_scale, &sums.dlogit_bias].map(|pairs| pairs.iter().sum::<f64>());
                losses.push(loss);
                dscalars.push([scale as f32, bias as f32]);
            }
        });
        let [loss] = sums_of_shards(world, &losses, gathered);
        let chance = sigmoid::chance(&self.positives[0]);
        *metrics = vec![Metric::new("loss", loss).against_chance(chance)];
        [c.dimages, c.dtexts]
    }

    /// Returns which of all pairs are this rank's.
    fn own(&self) -> Range<usize> {
        self.positives[0].own().start..self.positives[self.positives.len() - 1].own().end
    }
}

/// Adds up K numbers of each shard, over the shards of all ranks in their order.
fn sums_of_shards<W: World, const K: usize>(world: &W, own: &[f64], gathered: &mut Vec<f64>) -> [f64; K] {
    let all = world.all_gather(own, gathered);
    std::array::from_fn(|k| all.iter().skip(k).step_by(K).sum())
}

/// Prepares the model of a run that is to go on, whose parameters are still to be loaded. The size of the saved state
/// is checked before anything is allocated for the parameters.
///
/// The state may have another of the run's `image_sizes` than the configuration: a run can be killed after it has
/// written one file and before it has written the other. The state decides.
///
/// # Errors
/// If the run folder has no configuration, or a state of another size.
pub fn resumed(folder: &RunFolder, image_sizes: &[usize]) -> Result<(Model, ConfigFile), CheckpointError> {
    let config = ConfigFile::read(&folder.file(checkpoint::CONFIG))?;
    let fitting = |config: ConfigFile| {
        let spec = model::spec(&config.model_cfg);
        folder.check("params", params::len(&spec)).map(|()| (config, spec))
    };
    let others = image_sizes.iter().map(|&size| config.clone().resized(size));
    let mut others = others.filter(|config| config.model_cfg.check().is_ok()).map(fitting);
    let (config, spec) = fitting(config.clone()).or_else(|error| others.find_map(Result::ok).ok_or(error))?;
    Ok((Model { config: config.model_cfg.clone(), params: Params::zeros(spec) }, config))
}
