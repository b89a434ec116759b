//! A CLIP in training.

use super::data_options::Embedded;
use super::error::TrainError;
use super::gallery;
use super::learner::{Begun, Learner, captions};
use super::model::{Start, tokenizer};
use super::options::Options;
use super::tuning::{Tuned, tuned};
use crate::app::card::{self, Form};
use crate::batches::{Batch, ImageSizeSchedule, LoaderConfig};
use crate::checkpoint::{self, ConfigFile, Format, copy_tokenizer};
use crate::datasets::BadReport;
use crate::embed::Embedder;
use crate::eval::exam::Exam;
use crate::eval::report::Report;
use crate::models::clip::Layers;
use crate::models::clip::model::Model;
use crate::params;
use crate::text::Tokenizer;
use crate::train::clip::{ClipObjective, Pairs, hyper};
use crate::train::data;
use crate::train::log::Metrics;
use crate::train::metric::Metric;
use crate::train::objective::State;
use crate::train::resize::resized;
use crate::train::run_folder::RunFolder;
use crate::train::step::{Trainer, TrainerOptions, Update};
use crate::train::together::Together;
use crate::train::watch::Collapse;
use crate::train::world::World;
use std::path::PathBuf;
use std::sync::Arc;

struct ClipLearner<W> {
    world: W,
    trainer: Trainer<ClipObjective, W>,
    options: TrainerOptions,
    plan: Vec<String>,
    config: ConfigFile,
    tokenizer: Arc<Tokenizer>,
    /// The model's own `tokenizer.json`, if it has one.
    own: Option<PathBuf>,
}

/// Prepares the CLIP that the options describe, or that of a run's folder.
pub(super) fn begin<W: World + 'static>(
    world: &W,
    options: &Options,
    folder: Option<&RunFolder>,
) -> Result<Begun, TrainError> {
    let Start { model, config, tokenizer: own } = match folder {
        Some(folder) => Start::resumed(options, folder)?,
        None => Start::of(options)?,
    };
    if options.grad_checkpointing && matches!(model.config.vision_cfg.layers, Layers::ResNet(_)) {
        return Err(TrainError::Checkpointing);
    }
    let tokenizer = Arc::new(tokenizer(own.as_deref(), &model.config)?);
    let savings = &options.savings;
    let largest = savings.sizes().into_iter().max().unwrap_or(config.preprocess_cfg.size);
    let data = options.open(Embedded::Emoji, largest)?;
    let steps = options.steps_per_epoch(&data) * options.epochs() as u64;
    let image_sizes = savings.size_schedule(&config.model_cfg, steps)?;
    let unmasked_from = savings.unmasked_from(&config.model_cfg, steps)?;
    let is_locked = options.tune.lock_image && options.tune.lock_image_unlocked_groups == 0;
    let mut plan = plan(&model, image_sizes.as_ref(), unmasked_from, is_locked);
    let loader = LoaderConfig {
        context_length: config.model_cfg.text_cfg.context_length,
        preprocess: config.preprocess_cfg.clone(),
        image_sizes,
        augment: (!options.data.no_augment).then(|| data.augment()),
        ..options.loader(&data, world)
    };
    let trainer_options = options.trainer(hyper(&model.config));
    let free_scale = model.config.init_logit_bias.is_some() && options.pretrained.is_some();
    let Tuned { objective, loader, said } = tuned(options, model, &tokenizer, &data.training(), loader)?;
    plan.extend(said);
    let objective =
        objective.grad_checkpointing(options.grad_checkpointing).free_scale(free_scale).unmasked_from(unmasked_from);
    let trainer = Trainer::among(world.clone(), objective, trainer_options);
    let (world, words) = (world.clone(), tokenizer.clone());
    let learner = ClipLearner { world, trainer, options: trainer_options, plan, config, tokenizer, own };
    Ok(Begun { learner: Box::new(learner), data, words, loader })
}

/// Returns a line about the sizes of pictures and one about dropped patches, where there are any of them.
fn plan(model: &Model, sizes: Option<&ImageSizeSchedule>, unmasked_from: u64, is_locked: bool) -> Vec<String> {
    let rate = model.config.vision_cfg.patch_dropout;
    let drops = (rate > 0.0 && !is_locked)
        .then(|| format!("patches {:.0} % of the patches are dropped up to step {unmasked_from}", 100.0 * rate));
    sizes.map(|sizes| format!("sizes   pictures of {sizes}")).into_iter().chain(drops).collect()
}

impl<W: World> ClipLearner<W> {
    fn embedder(&self) -> Embedder<'_> {
        Embedder::new(self.model(), &self.config.preprocess_cfg, &self.tokenizer)
    }

    /// Returns the model as something to embed with, of which every rank does a part.
    fn together(&self) -> Together<'_, Embedder<'_>, W> {
        Together { model: self.embedder(), world: &self.world }
    }

    fn model(&self) -> &Model {
        self.trainer.objective().model()
    }
}

impl<W: World> Learner for ClipLearner<W> {
    fn steps(&self) -> u64 {
        self.trainer.steps()
    }

    fn plan(&self) -> Vec<String> {
        self.plan.clone()
    }

    /// Goes on with pictures of another size where a batch has such.
    fn gradients(&mut self, batch: &Batch, micro: usize) -> Vec<Metric> {
        if batch.image_size() != self.config.preprocess_cfg.size {
            self.trainer = resized(&self.world, &mut self.trainer, self.options, batch.image_size());
            self.config = self.config.clone().resized(batch.image_size());
        }
        let pairs = Pairs {
            images: batch.images(),
            captions: captions(batch),
            concepts: &batch.concept_keys,
            caption_keys: &batch.caption_keys,
            examples: &batch.examples,
            teacher_images: batch.teacher_images(),
        };
        self.trainer.gradients(&pairs, micro)
    }

    fn update(&mut self, lr: f32) -> Update {
        self.trainer.update(lr)
    }

    fn state(&mut self) -> State<'_> {
        self.trainer.state()
    }

    /// Saves the model in OpenCLIP's form.
    fn save_model(&self, folder: &RunFolder) -> Result<(), TrainError> {
        Ok(checkpoint::save_model(&folder.path, self.model(), &self.config)?)
    }

    fn save_tokenizer(&self, folder: &RunFolder) -> Result<(), TrainError> {
        self.own.as_ref().map_or(Ok(()), |own| Ok(copy_tokenizer(own, &folder.path)?))
    }

    fn described(&self) -> (Form, Vec<(&'static str, String)>) {
        (Form::Clip(Format::OpenClip), card::clip(self.model(), &self.config))
    }

    fn parameters(&self) -> [usize; 2] {
        let spec = &self.model().params.spec;
        [params::count(spec), params::count(&spec.visual)]
    }

    fn examine(&self, exam: &Exam) -> Result<(Report, BadReport), TrainError> {
        Ok(exam.report(&self.together())?)
    }

    fn collapse(&self, exam: &Exam) -> Option<Collapse> {
        data::collapse(exam, &self.together())
    }

    fn draw(&self, folder: &RunFolder, metrics: &Metrics, exam: &Exam) -> Result<(), TrainError> {
        gallery::curves(folder, metrics)?;
        gallery::matches(folder, exam, &self.embedder())
    }
}
