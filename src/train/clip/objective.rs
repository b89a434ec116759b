//! A CLIP in training: what is embedded, and what goes backward.

use super::comparison::{Comparison, Features};
use super::pairs::Pairs;
use super::teacher::Teacher;
use super::untrained::Untrained;
use crate::batches::FeatureCache;
use crate::layers::patch_dropout::PatchDropout;
use crate::layers::{rows, rows_mut};
use crate::models::clip::model::{ClipParams, MAX_LOGIT_SCALE, Model};
use crate::models::clip::{Tower, text, visual};
use crate::models::{Keep, Mode, Workspace};
use crate::optim::lr_factors::LrFactors;
use crate::params::{self, Params, Spec};
use crate::train::metric::Metric;
use crate::train::objective::{Objective, State, StepId};
use crate::train::world::World;
use crate::tree::{Arena, Path};
use std::ops::Range;
use std::sync::Arc;

/// What the stream of the patches' draws is named by.
const PATCHES: u64 = 0;

/// A CLIP model in training, with every buffer that a step needs.
pub struct ClipObjective {
    model: Model,
    grad_checkpointing: bool,
    free_scale: bool,
    /// The step from which on the image tower sees all patches.
    unmasked_from: u64,
    /// The places of this rank's pictures in the batch of all ranks.
    places: Vec<u32>,
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
    comparison: Comparison,
}

impl ClipObjective {
    /// Makes an objective that trains both towers. Patches are dropped as the configuration says.
    pub fn new(model: Model) -> Self {
        ClipObjective {
            model,
            grad_checkpointing: false,
            free_scale: false,
            unmasked_from: u64::MAX,
            places: vec![],
            image: Workspace::default(),
            text: Workspace::default(),
            scratch: Arena::default(),
            untrained_image: Untrained::default(),
            untrained_text: Untrained::default(),
            teacher: None,
            lr_factors: LrFactors::default(),
            layer_decay: [1.0; 2],
            is_embedded: false,
            comparison: Comparison::default(),
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
    /// appendix B; Bao et al. 2022, BEiT).
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

    /// Returns the same objective for another model, and takes from this one what it needs for that.
    pub(in crate::train) fn take_for(&mut self, model: Model) -> Self {
        ClipObjective {
            grad_checkpointing: self.grad_checkpointing,
            free_scale: self.free_scale,
            unmasked_from: self.unmasked_from,
            image: Workspace::locked(self.image.locked),
            text: Workspace::locked(self.text.locked),
            untrained_image: std::mem::take(&mut self.untrained_image),
            untrained_text: std::mem::take(&mut self.untrained_text),
            teacher: self.teacher.take(),
            lr_factors: std::mem::take(&mut self.lr_factors),
            layer_decay: self.layer_decay,
            ..ClipObjective::new(model)
        }
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

    fn prepare(&mut self, batch: &Pairs, id: StepId) {
        let n = batch.images.nrows();
        assert_eq!((batch.captions.len(), batch.concepts.len()), (n, n), "captions and concept keys of {n} pictures");
        self.places.clear();
        self.places.extend((0..n).map(|i| id.place(i, n) as u32));
        self.is_embedded = false;
    }

    /// Embeds these pairs by both towers, and by the teacher's. What does not go backward is embedded only once.
    fn forward(&mut self, batch: &Pairs, range: Range<usize>, keep: Keep, id: StepId) {
        let keep = keep.checkpointed(self.grad_checkpointing);
        let [fixed_image, fixed_text] = [Tower::Image, Tower::Text].map(|tower| self.is_untrained(tower));
        let first = !self.is_embedded;
        let ClipObjective { model, image, text, scratch, comparison, untrained_image, untrained_text, .. } = self;
        let Features { image: image_features, text: text_features, .. } =
            comparison.features(batch.images.nrows(), model.config.embed_dim);
        let (p, vision, language) = (model.params.view(), model.config.vision(), model.config.text());
        let (images, out) = (rows(batch.images, &range), rows_mut(image_features, &range));
        let rate = model.config.vision_cfg.patch_dropout;
        let mode = if rate > 0.0 && id.step < self.unmasked_from {
            Mode::Masked(keep, PatchDropout { rate, key: id.key(&[PATCHES]), places: &self.places[range.clone()] })
        } else {
            Mode::Training(keep)
        };
        if !fixed_image {
            visual::forward(&p.visual, &vision, images, mode, out, image, scratch);
        } else if first {
            untrained_image.images(&p.visual, &vision, images, &batch.examples[range.clone()], out);
        }
        let (captions, out) = (batch.captions.slice(range.clone()), rows_mut(text_features, &range));
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
    fn loss(&mut self, batch: &Pairs, id: StepId, world: &W) {
        let ClipObjective { model, teacher, comparison, .. } = self;
        let p = model.params.view();
        comparison.compare(&p, model.config.embed_dim, batch, teacher.as_mut(), id, world);
        self.is_embedded = true;
    }

    fn backward_loss(&self, shard: usize, g: &mut ClipParams<&mut [f32]>) {
        let [dlogit_scale, dlogit_bias] = self.comparison.dscalars(shard);
        g.logit_scale[0] += dlogit_scale;
        g.logit_bias.iter_mut().for_each(|g| g[0] += dlogit_bias);
    }

    /// Goes backward through both towers for these pairs.
    fn backward(&mut self, batch: &Pairs, range: Range<usize>, _: StepId, g: &mut ClipParams<&mut [f32]>) {
        let [fixed_image, fixed_text] = [Tower::Image, Tower::Text].map(|tower| self.is_untrained(tower));
        let ClipObjective { model, image, text, scratch, comparison, .. } = self;
        let Features { dimage, dtext, .. } = comparison.features(batch.images.nrows(), model.config.embed_dim);
        let p = model.params.view();
        if !fixed_image {
            let (images, dy) = (rows(batch.images, &range), rows(dimage.view(), &range));
            visual::backward(&p.visual, &model.config.vision(), images, dy, image, scratch, &mut g.visual);
        }
        if !fixed_text {
            let (captions, dy) = (batch.captions.slice(range.clone()), rows(dtext.view(), &range));
            text::backward(&p.text, &model.config.text(), captions, dy, text, scratch, &mut g.text);
        }
    }

    fn losses(&mut self, _: &W) -> Vec<Metric> {
        self.comparison.losses()
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
