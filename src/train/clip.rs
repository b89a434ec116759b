//! CLIP's objective, which contrasts pictures with their captions (Radford et al. 2021, figure 3).

use super::metric::Metric;
use super::objective::{Objective, State, StepId};
use super::run_folder::RunFolder;
use super::world::World;
use crate::checkpoint::{self, CheckpointError, ConfigFile};
use crate::layers::patch_dropout::PatchDropout;
use crate::layers::{floats, normalize, rows, rows_mut};
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
    /// The gradients of the unit-length features of all ranks, and the buffers of the loss over all their pairs.
    ///
    /// `dimages`, `dtexts` (pairs of all ranks,e)
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
    fn dims(n: usize, embed_dim: usize) -> Self {
        let rows = Dim(n, embed_dim);
        Contrast { dimages: rows, dtexts: rows, saved: LossSaved::dims(n), scratch: LossScratch::dims(n) }
    }
}

/// What the other ranks sent. One rank by itself exchanges nothing.
#[derive(Default)]
struct Gathered {
    images: Vec<f32>,
    texts: Vec<f32>,
    concepts: Vec<u64>,
    captions: Vec<u64>,
}

/// A CLIP model in training, with every buffer that a step needs.
pub struct ClipObjective {
    model: Model,
    lock_image: bool,
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
    positives: Positives,
    loss: Loss,
    /// The loss ln N of a model that cannot tell N pairs apart.
    chance: f64,
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
            unmasked_from: u64::MAX,
            places: vec![],
            image: Workspace::default(),
            text: Workspace::default(),
            scratch: Arena::default(),
            features: Arena::default(),
            contrast: Arena::default(),
            gathered: Gathered::default(),
            positives: Positives::default(),
            loss: Loss { image_to_text: f32::NAN, text_to_image: f32::NAN },
            chance: f64::NAN,
        }
    }

    /// Leaves the image tower as it is if `lock` says so, running statistics included (locked-image tuning: Zhai et al.
    /// 2022).
    #[must_use]
    pub fn lock_image(self, lock: bool) -> Self {
        ClipObjective { lock_image: lock, ..self }
    }

    /// Drops no patches from this step on, so that the image tower gets used to whole pictures (unmasked tuning: Li et
    /// al. 2023, "Scaling Language-Image Pre-training via Masking", section 3).
    #[must_use]
    pub fn unmasked_from(self, step: u64) -> Self {
        ClipObjective { unmasked_from: step, ..self }
    }

    /// Returns the same objective for another model.
    pub(super) fn with_model(&self, model: Model) -> Self {
        ClipObjective::new(model).lock_image(self.lock_image).unmasked_from(self.unmasked_from)
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
    /// Every rank contrasts the pairs of all ranks, and goes on with its own. The temperature's gradient is the same on
    /// all of them, so only the first adds it.
    fn loss(&mut self, batch: &Pairs, _: StepId, world: &W, g: &mut ClipParams<&mut [f32]>) {
        let (n, embed_dim) = (batch.images.nrows(), self.model.config.embed_dim);
        let ClipObjective { model, features, contrast, gathered, positives, .. } = self;
        let mut f = features.carve(&Features::dims(n, embed_dim));
        in_pool(|| {
            normalize::forward(f.image.view(), f.images.view_mut(), f.image_norm.view_mut());
            normalize::forward(f.text.view(), f.texts.view_mut(), f.text_norm.view_mut());
        });
        let concepts = world.all_gather(batch.concepts, &mut gathered.concepts);
        positives.fill(concepts, world.all_gather(batch.caption_keys, &mut gathered.captions));
        let images = world.all_gather(floats(f.images.view()), &mut gathered.images);
        let texts = world.all_gather(floats(f.texts.view()), &mut gathered.texts);
        let all = concepts.len();
        let [images, texts] =
            [images, texts].map(|rows| ArrayView2::from_shape((all, embed_dim), rows).expect("a row for each pair"));
        let (scale, rank) = (model.params.view().logit_scale[0].exp(), world.rank());
        let own = rank * n..(rank + 1) * n;
        let loss = in_pool(|| {
            let mut c = contrast.carve(&Contrast::dims(all, embed_dim));
            let loss = info_nce::forward(images, texts, scale, positives, &mut c.saved, &mut c.scratch);
            let (dimages, dtexts) = (c.dimages.view_mut(), c.dtexts.view_mut());
            let dlogit_scale =
                info_nce::backward(images, texts, scale, positives, &c.saved, dimages, dtexts, &mut c.scratch);
            if rank == 0 {
                g.logit_scale[0] += dlogit_scale;
            }
            let (dimages, dtexts) = (rows(c.dimages.view(), &own), rows(c.dtexts.view(), &own));
            normalize::backward(f.images.view(), f.image_norm.view(), dimages, f.dimage);
            normalize::backward(f.texts.view(), f.text_norm.view(), dtexts, f.dtext);
            loss
        });
        (self.loss, self.chance) = (loss, (all as f64).ln());
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

    fn losses(&self) -> Vec<Metric> {
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
