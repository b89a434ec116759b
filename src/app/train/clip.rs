//! A CLIP in training.

use super::data_options::Embedded;
use super::error::TrainError;
use super::gallery;
use super::learner::{Begun, Learner, captions};
use super::model::{Start, tokenizer};
use super::options::Options;
use super::tuning::{Tuned, tuned};
use crate::batches::{Batch, LoaderConfig};
use crate::checkpoint::{self, ConfigFile, copy_tokenizer};
use crate::datasets::BadReport;
use crate::embed::Embedder;
use crate::eval::exam::Exam;
use crate::eval::report::Report;
use crate::models::clip::model::Model;
use crate::params;
use crate::text::Tokenizer;
use crate::train::clip::{ClipObjective, Pairs, hyper};
use crate::train::data;
use crate::train::log::Metrics;
use crate::train::metric::Metric;
use crate::train::objective::State;
use crate::train::run_folder::RunFolder;
use crate::train::step::{Trainer, Update};
use crate::train::watch::Collapse;
use std::path::PathBuf;
use std::sync::Arc;

struct ClipLearner {
    trainer: Trainer<ClipObjective>,
    config: ConfigFile,
    tokenizer: Arc<Tokenizer>,
    /// The model's own `tokenizer.json`, if it has one.
    own: Option<PathBuf>,
}

/// Prepares the CLIP that the options describe, or that of a run's folder.
pub(super) fn begin(options: &Options, folder: Option<&RunFolder>) -> Result<Begun, TrainError> {
    let Start { model, config, tokenizer: own } = match folder {
        Some(folder) => Start::resumed(folder)?,
        None => Start::of(options)?,
    };
    let tokenizer = Arc::new(tokenizer(own.as_deref(), &model.config)?);
    let data = options.data.open(Embedded::Emoji, config.preprocess_cfg.size)?;
    let loader = LoaderConfig {
        context_length: config.model_cfg.text_cfg.context_length,
        preprocess: config.preprocess_cfg.clone(),
        augment: (!options.data.no_augment).then(|| data.augment()),
        ..options.loader(&data)
    };
    let trainer_options = options.trainer(hyper(&model.config));
    let examples = data.training().concepts().len();
    let Tuned { objective, loader, said } = tuned(options, model, &tokenizer, examples, loader)?;
    let trainer = Trainer::new(objective, trainer_options);
    let words = tokenizer.clone();
    Ok(Begun { learner: Box::new(ClipLearner { trainer, config, tokenizer, own }), data, words, loader, said })
}

impl ClipLearner {
    fn embedder(&self) -> Embedder<'_> {
        Embedder::new(self.model(), &self.config.preprocess_cfg, &self.tokenizer)
    }

    fn model(&self) -> &Model {
        self.trainer.objective().model()
    }
}

impl Learner for ClipLearner {
    fn steps(&self) -> u64 {
        self.trainer.steps()
    }

    fn gradients(&mut self, batch: &Batch, micro: usize) -> Vec<Metric> {
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

    fn parameters(&self) -> [usize; 2] {
        let spec = &self.model().params.spec;
        [params::count(spec), params::count(&spec.visual)]
    }

    fn examine(&self, exam: &Exam) -> Result<(Report, BadReport), TrainError> {
        Ok(exam.report(&self.embedder())?)
    }

    fn collapse(&self, exam: &Exam) -> Option<Collapse> {
        data::collapse(exam, &self.embedder())
    }

    fn draw(&self, folder: &RunFolder, metrics: &Metrics, exam: &Exam) -> Result<(), TrainError> {
        gallery::curves(folder, metrics)?;
        gallery::matches(folder, exam, &self.embedder())
    }
}
