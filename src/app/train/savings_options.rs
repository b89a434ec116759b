//! The options that save arithmetic and change what is learnt, which only a CLIP has.

use super::error::{OptionError, TrainError};
use super::values::share_below_one;
use crate::batches::{ImageSizeSchedule, ImageSizes};
use crate::checkpoint::ConfigFile;
use crate::models::clip::Config;
use crate::models::clip::config::ConfigError;
use clap::Args;
use serde::{Deserialize, Serialize};

/// The share of the steps, the last ones, that drop no patches without --unmasked-tuning. A cosine leaves them a mean
/// learning rate of a hundredth of the highest one, with which much fewer would teach nothing.
const UNMASKED: f64 = 0.1;

/// The options that save arithmetic and change what is learnt.
#[derive(Clone, Debug, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(default)]
#[command(next_help_heading = "Savings")]
pub struct SavingsOptions {
    /// Share of a ViT's patches that each picture loses in training, drawn anew in every step; 0.5 halves the image
    /// tower's arithmetic [default: vision_cfg.patch_dropout of the model, or 0]
    #[arg(long, value_name = "SHARE", value_parser = share_below_one, conflicts_with = "lock_image")]
    pub force_patch_dropout: Option<f64>,
    /// Share of the steps, the last ones, that see all patches, as embedding does [default: 0.1]
    #[arg(long, value_name = "SHARE", value_parser = share_below_one)]
    pub unmasked_tuning: Option<f64>,
    /// Sizes of the pictures in pixels, each with its share of the steps, such as 96:0.8,224:0.2; the last size is the
    /// model's own [default: the model's own throughout]
    #[arg(long, value_name = "PARTS", conflicts_with = "lock_image")]
    pub image_size_schedule: Option<ImageSizes>,
}

impl SavingsOptions {
    /// Returns the first option that was given.
    pub(super) fn given(&self) -> Option<&'static str> {
        let given = [
            ("--force-patch-dropout", self.force_patch_dropout.is_some()),
            ("--unmasked-tuning", self.unmasked_tuning.is_some()),
            ("--image-size-schedule", self.image_size_schedule.is_some()),
        ];
        given.into_iter().find_map(|(flag, given)| given.then_some(flag))
    }

    /// Checks options that were read from a file, which can hold values that the command line refuses.
    pub(super) fn check(&self) -> Result<(), OptionError> {
        let shares = [("force_patch_dropout", self.force_patch_dropout), ("unmasked_tuning", self.unmasked_tuning)];
        let checked = |(name, share): (_, Option<f64>)| {
            let read = share.map(|share| share_below_one(&share.to_string())).transpose();
            read.map(|_| ()).map_err(|reason| OptionError::Refused { name, reason })
        };
        shares.into_iter().try_for_each(checked)
    }

    /// Puts into the configuration of a new run's model what it takes from these options.
    ///
    /// # Errors
    /// If the model cannot drop patches, or cannot take pictures of these sizes.
    pub(super) fn apply(&self, config: &mut ConfigFile) -> Result<(), TrainError> {
        if let Some(rate) = self.force_patch_dropout {
            config.model_cfg.vision_cfg.patch_dropout = rate;
            let misfit = |source| TrainError::Misfit { flag: format!("--force-patch-dropout {rate}"), source };
            config.model_cfg.check().map_err(misfit)?;
        }
        self.check_sizes(&config.model_cfg)?;
        let own = config.model_cfg.vision_cfg.image_size;
        match &self.image_size_schedule {
            Some(sizes) if sizes.last() != own => Err(TrainError::LastSize { last: sizes.last(), own }),
            _ => Ok(()),
        }
    }

    fn check_sizes(&self, config: &Config) -> Result<(), TrainError> {
        let fits = |size| -> Result<(), ConfigError> {
            let mut config = config.clone();
            config.vision_cfg.image_size = size;
            config.check()
        };
        self.sizes().into_iter().try_for_each(|size| {
            fits(size).map_err(|source| TrainError::Misfit { flag: "--image-size-schedule".into(), source })
        })
    }

    /// Returns the sizes of the schedule.
    pub(super) fn sizes(&self) -> Vec<usize> {
        self.image_size_schedule.as_ref().map(ImageSizes::sizes).unwrap_or_default()
    }

    /// Returns the picture size of every step of a run of this model, if there are several.
    ///
    /// # Errors
    /// If the model cannot take pictures of these sizes, or if a size has no step.
    pub(super) fn size_schedule(&self, config: &Config, steps: u64) -> Result<Option<ImageSizeSchedule>, TrainError> {
        self.check_sizes(config)?;
        Ok(self.image_size_schedule.as_ref().map(|sizes| sizes.over(steps)).transpose()?)
    }

    /// Returns the step from which on no patches are dropped in a run of this model.
    ///
    /// # Errors
    /// If --unmasked-tuning was given and the model drops none at all.
    pub(super) fn unmasked_from(&self, config: &Config, steps: u64) -> Result<u64, TrainError> {
        if self.unmasked_tuning.is_some() && config.vision_cfg.patch_dropout == 0.0 {
            return Err(TrainError::Unused { flag: "--unmasked-tuning", needs: "--force-patch-dropout" });
        }
        let unmasked = (steps as f64 * self.unmasked_tuning.unwrap_or(UNMASKED)).round() as u64;
        Ok(steps.saturating_sub(unmasked))
    }
}
