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
        Family::Blip if options.model.is_some() && options.pretrained.is_some() => Err(TrainError::TwoModels),
        Family::Blip => match options.tune.given() {
            Some(flag) => Err(TrainError::NeedsClip(flag)),
            None => blip::begin(options, folder),
        },
    }
}
