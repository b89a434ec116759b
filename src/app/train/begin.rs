//! What a run begins with, by the family of its model.

use super::error::TrainError;
use super::learner::Begun;
use super::options::{Family, Options};
use super::{blip, clip};
use crate::train::run_folder::RunFolder;

/// Prepares what the options describe. `folder` is that of a run whose state is still to be loaded.
pub(super) fn begin(family: Family, options: &Options, folder: Option<&RunFolder>) -> Result<Begun, TrainError> {
    match family {
        Family::Clip => match options.blip.given() {
            Some(flag) => Err(TrainError::NeedsBlip(flag)),
            None => clip::begin(options, folder),
        },
        Family::Blip => match options.savings.given().or(options.lock_image.then_some("--lock-image")) {
            Some(flag) => Err(TrainError::NeedsClip(flag)),
            None if options.model.is_some() && options.pretrained.is_some() => Err(TrainError::TwoModels),
            None => blip::begin(options, folder),
        },
    }
}
