//! The options that say which parts of a CLIP learn, how fast, and from whom.

use super::values::{at_most_one, lr_factor, non_negative};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The options that say which parts of a CLIP learn, how fast, and from whom.
#[derive(Clone, Debug, PartialEq, Args, Serialize, Deserialize)]
#[serde(default)]
#[command(next_help_heading = "Parts of a CLIP")]
pub struct TuneOptions {
    /// Keep the image tower unchanged
    #[arg(long, requires = "pretrained")]
    pub lock_image: bool,
    /// Train this many layer groups of a locked image tower, from its output on
    ///
    /// The groups of a ViT are its projection, each block (the last one with the LayerNorm behind it), and all that
    /// stands before the blocks; those of a ResNet are its attention pool, four stages and the stem. The BatchNorms of
    /// locked groups use the statistics that they have.
    #[arg(long, value_name = "GROUPS", default_value_t = 0, requires = "lock_image")]
    pub lock_image_unlocked_groups: usize,
    /// Keep the text tower unchanged
    #[arg(long, requires = "pretrained")]
    pub lock_text: bool,
    /// Train this many layer groups of a locked text tower, from its output on: the projection, each block, both
    /// embeddings
    #[arg(long, value_name = "GROUPS", default_value_t = 0, requires = "lock_text")]
    pub lock_text_unlocked_layers: usize,
    /// Most memory, in GB, for features that need not be computed again
    ///
    /// Those of a tower that is locked as a whole and of --distill-model are kept: of captions always, of pictures with
    /// --no-augment. The pictures themselves are then read only once.
    #[arg(long, value_name = "GB", default_value_t = DEFAULT_CACHE, value_parser = non_negative)]
    pub feature_cache: f32,
    /// Learn the scores of this CLIP too: a model folder, a file, or a name in the Hugging Face cache
    ///
    /// The loss is the contrastive one plus the cross-entropy between the choices of this model, the teacher, and those of
    /// the model in training. The teacher sees the same pictures in its own size, and the same tokens.
    #[arg(long, value_name = "PATH")]
    pub distill_model: Option<PathBuf>,
    /// Multiply the learning rate of each layer group of the image tower by this once for every group behind it
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = at_most_one)]
    pub image_layer_decay: f32,
    /// Multiply the learning rate of each layer group of the text tower by this once for every group behind it
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = at_most_one)]
    pub text_layer_decay: f32,
    /// Multiply the learning rate of all parameters whose names match a pattern, as in 'visual.*=0.1'; may be repeated
    #[arg(long, value_name = "PATTERN=FACTOR", value_parser = lr_factor)]
    pub lr_scale: Vec<String>,
}

/// The gigabytes of --feature-cache without it.
const DEFAULT_CACHE: f32 = 4.0;

impl Default for TuneOptions {
    fn default() -> Self {
        TuneOptions {
            lock_image: false,
            lock_image_unlocked_groups: 0,
            lock_text: false,
            lock_text_unlocked_layers: 0,
            feature_cache: DEFAULT_CACHE,
            distill_model: None,
            image_layer_decay: 1.0,
            text_layer_decay: 1.0,
            lr_scale: vec![],
        }
    }
}

impl TuneOptions {
    /// Returns the first of the options that was given, for a model that has none of them.
    pub(super) fn given(&self) -> Option<&'static str> {
        let default = TuneOptions::default();
        let given = [
            ("--lock-image", self.lock_image),
            ("--lock-text", self.lock_text),
            ("--feature-cache", self.feature_cache != default.feature_cache),
            ("--distill-model", self.distill_model.is_some()),
            ("--image-layer-decay", self.image_layer_decay != default.image_layer_decay),
            ("--text-layer-decay", self.text_layer_decay != default.text_layer_decay),
            ("--lr-scale", !self.lr_scale.is_empty()),
        ];
        given.into_iter().find_map(|(flag, given)| given.then_some(flag))
    }

    /// Checks options that were read from a file; returns the first bad one and what is wrong with it.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let named = |name| move |reason| (name, reason);
        non_negative(&self.feature_cache.to_string()).map_err(named("feature_cache"))?;
        at_most_one(&self.image_layer_decay.to_string()).map_err(named("image_layer_decay"))?;
        at_most_one(&self.text_layer_decay.to_string()).map_err(named("text_layer_decay"))?;
        self.lr_scale.iter().try_for_each(|text| lr_factor(text).map(drop)).map_err(named("lr_scale"))
    }
}
