//! Which parts of a CLIP learn, how fast, and from whom, as the options say; and what need not be computed again.

use super::error::TrainError;
use super::model::tokenizer;
use super::options::Options;
use crate::batches::{FeatureCache, LoaderConfig, Source, TeacherPictures};
use crate::checkpoint::{Checkpoint, Overrides};
use crate::counted::counted;
use crate::models::clip::Tower;
use crate::models::clip::model::Model;
use crate::optim::lr_factors::LrFactors;
use crate::pictures::Preprocess;
use crate::text::Tokenizer;
use crate::train::clip::{ClipObjective, Teacher};
use std::path::Path;
use std::sync::Arc;

/// An objective with its locks, rates and teacher.
pub(super) struct Tuned {
    pub objective: ClipObjective,
    pub loader: LoaderConfig,
    /// The lines that tell what is kept in memory.
    pub said: Vec<String>,
}

/// Prepares the objective of a model that is trained on these pairs.
pub(super) fn tuned(
    options: &Options,
    model: Model,
    words: &Tokenizer,
    pairs: &Source,
    mut loader: LoaderConfig,
) -> Result<Tuned, TrainError> {
    let (tune, config) = (&options.tune, model.config.clone());
    let locks = [
        (Tower::Image, "--lock-image-unlocked-groups", tune.lock_image.then_some(tune.lock_image_unlocked_groups)),
        (Tower::Text, "--lock-text-unlocked-layers", tune.lock_text.then_some(tune.lock_text_unlocked_layers)),
    ];
    for (tower, flag, unlocked) in locks {
        let groups = tower.groups(&config);
        if let Some(unlocked) = unlocked.filter(|&unlocked| unlocked > groups) {
            return Err(TrainError::Groups { flag, unlocked, groups });
        }
    }
    let factors = tune.lr_scale.iter().map(|text| text.parse().expect("checked when the options were read")).collect();
    let factors = LrFactors::new(factors, &model.params.spec).map_err(TrainError::NoParameter)?;
    if tune.distill_model.is_some() && config.init_logit_bias.is_some() {
        return Err(TrainError::Unused { flag: "--distill-model", needs: "a model without a logit_bias" });
    }
    let teacher = tune.distill_model.as_deref().map(|path| teacher(path, words, loader.context_length)).transpose()?;

    let [fixed_image, fixed_text] = locks.map(|(_, _, unlocked)| unlocked == Some(0));
    // A picture of a stream has no place by which it would be known again.
    let is_stream = matches!(pairs, Source::Streams(_));
    let (varied, taught) = (loader.augment.is_some() || is_stream, teacher.is_some());
    let wanted = [fixed_image && !varied, fixed_text, taught && !varied, taught];
    let number = wanted.into_iter().filter(|wanted| *wanted).count();
    let mut caches = Caches {
        examples: pairs.pairs(),
        bytes: 1e9 * f64::from(tune.feature_cache) / number.max(1) as f64,
        said: vec![],
    };
    let images = caches.make(wanted[0], "picture", "the locked tower", config.embed_dim);
    let texts = caches.make(wanted[1], "caption", "the locked tower", config.embed_dim);
    if fixed_image && varied && !is_stream {
        caches.said.push("note    every epoch varies the pictures; with --no-augment their features are kept".into());
    }

    let mut objective = ClipObjective::new(model).rates(factors, [tune.image_layer_decay, tune.text_layer_decay]);
    for (tower, _, unlocked) in locks {
        if let Some(unlocked) = unlocked {
            objective = objective.lock(tower, unlocked);
        }
    }
    objective = objective.cache(Tower::Image, images.clone()).cache(Tower::Text, texts);
    loader.known = images;
    if let Some((model, preprocess)) = teacher {
        let width = model.config.embed_dim;
        let known = caches.make(wanted[2], "picture", "the teacher", width);
        let texts = caches.make(wanted[3], "caption", "the teacher", width);
        objective = objective.teacher(Teacher::new(model, known.clone(), texts));
        loader.teacher = Some(TeacherPictures { preprocess, known });
    }
    Ok(Tuned { objective, loader, said: caches.said })
}

/// The caches of a run, which share the memory that they may take.
struct Caches {
    examples: usize,
    /// The most bytes of each.
    bytes: f64,
    said: Vec<String>,
}

impl Caches {
    /// Makes a cache if it is wanted and has room for anything.
    fn make(&mut self, wanted: bool, what: &str, whose: &str, width: usize) -> Option<Arc<FeatureCache>> {
        let cache = wanted.then(|| FeatureCache::new(self.examples, width, self.bytes as u64))?;
        let (rows, megabytes) = (cache.max_rows(), cache.max_bytes() as f64 / 1e6);
        self.said.push(format!("cache   features of {} by {whose}, at most {megabytes:.1} MB", counted(rows, what)));
        (rows > 0).then(|| Arc::new(cache))
    }
}

/// Opens a teacher, whose tokens must be those of the model in training.
fn teacher(path: &Path, words: &Tokenizer, context_length: usize) -> Result<(Model, Preprocess), TrainError> {
    let checkpoint = Checkpoint::open(path, &Overrides::default())?;
    checkpoint.notes.iter().for_each(|note| note!("note: {note}"));
    checkpoint.check_trainable()?;
    let (model, config) = checkpoint.model()?;
    let other = |difference: String| Err(TrainError::OtherTokens { path: path.into(), difference });
    if !tokenizer(checkpoint.tokenizer.as_deref(), &model.config)?.has_tokens_of(words) {
        return other("its tokens are not those of the model in training".into());
    }
    match model.config.text_cfg.context_length {
        own if own < context_length || own > context_length && words.padding().is_some() => {
            other(format!("it reads {own} tokens, the model in training {context_length}"))
        }
        _ => Ok((model, config.preprocess_cfg)),
    }
}
