//! CLIP's objective, which contrasts pictures with their captions (Radford et al. 2021, figure 3).

use super::metric::Metric;
use super::objective::{Objective, State, StepId};
use super::run_folder::RunFolder;
use super::teacher::Teacher;
use super::untrained::Untrained;
use super::world::World;
use crate::batches::FeatureCache;
use crate::checkpoint::{self, CheckpointError, ConfigFile};
use crate::layers::{floats, normalize, rows, rows_mut};
use crate::loss::contrast::Scores;
use crate::loss::distill::{self, Buffers as DistillBuffers};
use crate::loss::info_nce::{self, Loss, Saved as LossSaved, Scratch as LossScratch};
use crate::loss::positives::Positives;
use crate::models::Captions;
use crate::models::clip::model::{self, ClipParams, MAX_LOGIT_SCALE, Model};
use crate::models::clip::text;
use crate::models::clip::{Config, Layers, Tower, visual};
use crate::models::{Keep, Mode, Workspace};
use crate::optim::adamw::Hyper;
use crate::optim::lr_factors::LrFactors;
use crate::params::{self, Params, Spec};
use crate::tree::{Arena, Dim, Path, tree};
use kernels::in_pool;
use ndarray::ArrayView2;
use std::ops::Range;
use std::sync::Arc;

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
    /// The place of each pair in the dataset, which says that a picture has been seen before.
    pub examples: &'a [u64],
    /// The pictures (N,3S²) as a teacher takes them, if there is one, with its S.
    pub teacher_images: Option<ArrayView2<'a, f32>>,
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
    image: Workspace,
    text: Workspace,
    scratch: Arena,
    /// What computes the features of towers that are locked as a whole.
    untrained_image: Untrained,
    untrained_text: Untrained,
    teacher: Option<Teacher>,
    lr_factors: LrFactors,
    /// How much slower each layer group learns than the one behind it.
    layer_decay: [f32; 2],
    /// Whether this step's features have all been computed. After that only trained towers go forward once more.
    is_embedded: bool,
    features: Arena,
    contrast: Arena,
    gathered: Gathered,
    positives: Positives,
    distilling: Arena,
    loss: Loss,
    /// The teacher's part of the loss, if there is one.
    distill: Option<f32>,
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
            image: Workspace::default(),
            text: Workspace::default(),
            scratch: Arena::default(),
            untrained_image: Untrained::default(),
            untrained_text: Untrained::default(),
            teacher: None,
            lr_factors: LrFactors::default(),
            layer_decay: [1.0; 2],
            is_embedded: false,
            features: Arena::default(),
            contrast: Arena::default(),
            gathered: Gathered::default(),
            positives: Positives::default(),
            distilling: Arena::default(),
            loss: Loss { image_to_text: f32::NAN, text_to_image: f32::NAN },
            distill: None,
            chance: f64::NAN,
        }
    }

    /// Leaves a tower as it is but for its last `unlocked` [layer groups](crate::models::clip::groups), running
    /// statistics included (locked-image tuning: Zhai et al. 2022).
    #[must_use]
    pub fn lock(mut self, tower: Tower, unlocked: usize) -> Self {
        let locked = tower.groups(&self.model.config).saturating_sub(unlocked);
        *self.workspace_mut(tower) = Workspace::locked(locked);
        self
    }

    /// Keeps the features of a tower that is locked as a whole in this cache, by the pairs' places in the dataset for
    /// pictures, which then must not vary, and by the captions' keys for captions.
    #[must_use]
    pub fn cache(mut self, tower: Tower, cache: impl Into<Option<Arc<FeatureCache>>>) -> Self {
        let untrained = Untrained::new(cache.into());
        match tower {
            Tower::Image => self.untrained_image = untrained,
            Tower::Text => self.untrained_text = untrained,
        }
        self
    }

    /// Learns the scores of a teacher, too.
    #[must_use]
    pub fn teacher(self, teacher: impl Into<Option<Teacher>>) -> Self {
        ClipObjective { teacher: teacher.into(), ..self }
    }

    /// Lets parameters learn at other rates: the learning rate of a name is multiplied by its factor, and that of a layer
    /// group of the image and of the text tower by decayⁿ where n groups are behind it (Clark et al. 2020, ELECTRA,
    /// appendix A; Bao et al. 2022, BEiT).
    #[must_use]
    pub fn rates(self, lr_factors: LrFactors, layer_decay: [f32; 2]) -> Self {
        ClipObjective { lr_factors, layer_decay, ..self }
    }

    /// Returns the number of a tower's layer groups that are locked, from its input on.
    fn locked(&self, tower: Tower) -> usize {
        match tower {
            Tower::Image => self.image.locked,
            Tower::Text => self.text.locked,
        }
    }

    fn workspace_mut(&mut self, tower: Tower) -> &mut Workspace {
        match tower {
            Tower::Image => &mut self.image,
            Tower::Text => &mut self.text,
        }
    }

    /// Whether no group of a tower is trained.
    fn is_untrained(&self, tower: Tower) -> bool {
        self.locked(tower) == tower.groups(&self.model.config)
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
        let locked = |tower: Tower| tower.group(&self.model.config, path).is_some_and(|i| i < self.locked(tower));
        locked(Tower::Image) || locked(Tower::Text)
    }

    fn lr_factor(&self, path: &Path) -> f32 {
        let config = &self.model.config;
        let by_layer = [Tower::Image, Tower::Text].into_iter().zip(self.layer_decay).find_map(|(tower, decay)| {
            let behind = tower.groups(config) - 1 - tower.group(config, path)?;
            Some(decay.powi(behind as i32))
        });
        self.lr_factors.of(path) * by_layer.unwrap_or(1.0)
    }

    fn prepare(&mut self, batch: &Pairs, _: StepId) {
        let n = batch.images.nrows();
        assert_eq!((batch.captions.len(), batch.concepts.len()), (n, n), "captions and concept keys of {n} pictures");
        self.is_embedded = false;
    }

    /// Embeds these pairs by both towers, and by the teacher's. What does not go backward is embedded only once.
    fn forward(&mut self, batch: &Pairs, range: Range<usize>, keep: Keep, _: StepId) {
        let [fixed_image, fixed_text] = [Tower::Image, Tower::Text].map(|tower| self.is_untrained(tower));
        let first = !self.is_embedded;
        let ClipObjective { model, image, text, scratch, features, untrained_image, untrained_text, .. } = self;
        let features = features.carve(&Features::dims(batch.images.nrows(), model.config.embed_dim));
        let (p, vision, language) = (model.params.view(), model.config.vision(), model.config.text());
        let (images, out) = (rows(batch.images, &range), rows_mut(features.image, &range));
        if !fixed_image {
            visual::forward(&p.visual, &vision, images, Mode::Training(keep), out, image, scratch);
        } else if first {
            untrained_image.images(&p.visual, &vision, images, &batch.examples[range.clone()], out);
        }
        let (captions, out) = (batch.captions.slice(range.clone()), rows_mut(features.text, &range));
        if !fixed_text {
            text::forward(&p.text, &language, captions, keep, out, text, scratch);
        } else if first {
            untrained_text.texts(&p.text, &language, captions, &batch.caption_keys[range.clone()], out);
        }
        if let Some(teacher) = self.teacher.as_mut().filter(|_| first) {
            let images = batch.teacher_images.expect("pictures as the teacher takes them");
            teacher.embed((images, batch.examples), (batch.captions, batch.caption_keys), &range);
        }
    }

    /// Goes from features to the loss, and back to the gradients of this rank's features.
    ///
    /// Every rank contrasts the pairs of all ranks, and goes on with its own. The temperature's gradient is the same on
    /// all of them, so only the first adds it.
    fn loss(&mut self, batch: &Pairs, _: StepId, world: &W, g: &mut ClipParams<&mut [f32]>) {
        let (n, embed_dim) = (batch.images.nrows(), self.model.config.embed_dim);
        let ClipObjective { model, features, contrast, gathered, positives, teacher, distilling, .. } = self;
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
        let taught = teacher.as_mut().map(|teacher| teacher.scores(n, world));
        let (loss, distill) = in_pool(|| {
            let mut c = contrast.carve(&Contrast::dims(all, embed_dim));
            let (dimages, dtexts) = (c.dimages.view_mut(), c.dtexts.view_mut());
            let loss = info_nce::forward(images, texts, scale, positives, &mut c.saved, &mut c.scratch);
            let (distill, dlogit_scale) = match taught {
                None => {
                    let (saved, scratch) = (&c.saved, &mut c.scratch);
                    (None, info_nce::backward(images, texts, scale, positives, saved, dimages, dtexts, scratch))
                }
                Some(teacher) => {
                    let student = Scores { rows: images, cols: texts, scale };
                    let buffers = &mut distilling.carve(&DistillBuffers::dims(all, embed_dim));
                    let (both, dscale) = distill::loss(&student, &teacher, positives, dimages, dtexts, buffers);
                    (Some(both - loss.mean()), dscale)
                }
            };
            if rank == 0 {
                g.logit_scale[0] += dlogit_scale;
            }
            let (dimages, dtexts) = (rows(c.dimages.view(), &own), rows(c.dtexts.view(), &own));
            normalize::backward(f.images.view(), f.image_norm.view(), dimages, f.dimage);
            normalize::backward(f.texts.view(), f.text_norm.view(), dtexts, f.dtext);
            (loss, distill)
        });
        (self.loss, self.distill, self.chance, self.is_embedded) = (loss, distill, (all as f64).ln(), true);
    }

    /// Goes backward through both towers for these pairs.
    fn backward(&mut self, batch: &Pairs, range: Range<usize>, _: StepId, g: &mut ClipParams<&mut [f32]>) {
        let [fixed_image, fixed_text] = [Tower::Image, Tower::Text].map(|tower| self.is_untrained(tower));
        let ClipObjective { model, image, text, scratch, features, .. } = self;
        let features = features.carve(&Features::dims(batch.images.nrows(), model.config.embed_dim));
        let p = model.params.view();
        if !fixed_image {
            let (images, dy) = (rows(batch.images, &range), rows(features.dimage.view(), &range));
            visual::backward(&p.visual, &model.config.vision(), images, dy, image, scratch, &mut g.visual);
        }
        if !fixed_text {
            let (captions, dy) = (batch.captions.slice(range.clone()), rows(features.dtext.view(), &range));
            text::backward(&p.text, &model.config.text(), captions, dy, text, scratch, &mut g.text);
        }
    }

    fn losses(&self) -> Vec<Metric> {
        let mean = self.loss.mean();
        let halves = [
            Metric::new("loss_image_to_text", self.loss.image_to_text),
            Metric::new("loss_text_to_image", self.loss.text_to_image),
        ];
        let losses = match self.distill {
            None => vec![Metric::new("loss", mean).against_chance(self.chance)],
            // Both parts compare the choice of a model that cannot tell pairs apart with a distribution: ln N each.
            Some(distill) => vec![
                Metric::new("loss", mean + distill).against_chance(2.0 * self.chance),
                Metric::new("loss_contrast", mean).against_chance(self.chance),
                Metric::new("loss_distill", distill),
            ],
        };
        losses.into_iter().chain(halves).collect()
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
