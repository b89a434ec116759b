//! What a run begins with, by the family of its model.

use super::defaults::Family;
use super::error::TrainError;
use super::learner::Begun;
use super::options::Options;
use super::{blip, clip};
use crate::train::run_folder::RunFolder;
use crate::train::world::World;

/// Prepares one rank's part of what the options describe. `folder` is that of a run whose state is still to be loaded.
pub(super) fn begin<W: World + 'static>(
    world: &W,
    family: Family,
    options: &Options,
    folder: Option<&RunFolder>,
) -> Result<Begun, TrainError> {
    match family {
        Family::Clip => match options.blip.given() {
            Some(flag) => Err(TrainError::NeedsBlip(flag)),
            None => clip::begin(world, options, folder),
        },
        Family::Blip => {
            let siglip = options.siglip.then_some("--siglip");
            let lesson = options.exercise.lesson.then_some("--lesson");
            match options.savings.given().or(options.tune.given()).or(siglip).or(lesson) {
                Some(flag) => Err(TrainError::NeedsClip(flag)),
                None if options.model.is_some() && options.pretrained.is_some() => Err(TrainError::TwoModels),
                None => blip::begin(world, options, folder),
            }
        }
    }
}
