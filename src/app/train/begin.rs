//! What a run begins with, by the family of its model.

use super::error::TrainError;
use super::learner::Begun;
use super::options::{Family, Options};
use super::{blip, clip};
use crate::train::run_folder::RunFolder;

/// Prepares what the options describe. `folder` is that of a run whose state is still to be loaded.
pub(super) fn begin(options: &Options, folder: Option<&RunFolder>) -> Result<Begun, TrainError> {
    match Family::of(options, folder)? {
        Family::Clip => clip::begin(options, folder),
        Family::Blip => blip::begin(options, folder),
    }
}
