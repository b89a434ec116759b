//! CLIP's objective, which contrasts pictures with their captions (Radford et al. 2021, figure 3), or judges every pair
//! by itself if the model has a bias (SigLIP: Zhai et al. 2023).
//!
//! | file | what it knows |
//! |---|---|
//! | [`objective`] | a CLIP in training: what is embedded, and what goes backward |
//! | `pairs` | pictures and their captions |
//! | `comparison` | from the features of all ranks to the loss, and back to those of this rank |
//! | `teacher` | a trained CLIP whose scores a model learns to give |
//! | `untrained` | a tower that is not trained, whose features are computed once |

mod comparison;
pub mod objective;
mod pairs;
mod teacher;
mod untrained;

pub use comparison::kept_of_pair;
pub use objective::ClipObjective;
pub use pairs::Pairs;
pub use teacher::Teacher;

use super::run_folder::RunFolder;
use crate::checkpoint::{self, CheckpointError, ConfigFile};
use crate::models::clip::model::{self, Model};
use crate::models::clip::{Config, Layers};
use crate::optim::adamw::Hyper;
use crate::params::{self, Params};

/// Returns AdamW's hyper-parameters as the paper chose them for the kind of image tower (appendix F).
pub fn hyper(config: &Config) -> Hyper {
    match config.vision_cfg.layers {
        Layers::Vit(_) => Hyper::VIT,
        Layers::ResNet(_) => Hyper::RESNET,
    }
}

/// Prepares the model of a run that is to go on, whose parameters are still to be loaded. The size of the saved state
/// is checked before anything is allocated for the parameters.
///
/// The state may have another of the run's `image_sizes` than the configuration: a run can be killed after it has
/// written one file and before it has written the other. The state decides.
///
/// # Errors
/// If the run folder has no configuration, or a state of another size.
pub fn resumed(folder: &RunFolder, image_sizes: &[usize]) -> Result<(Model, ConfigFile), CheckpointError> {
    let config = ConfigFile::read(&folder.file(checkpoint::CONFIG))?;
    let fitting = |config: ConfigFile| {
        let spec = model::spec(&config.model_cfg);
        folder.check("params", params::len(&spec)).map(|()| (config, spec))
    };
    let others = image_sizes.iter().map(|&size| config.clone().resized(size));
    let mut others = others.filter(|config| config.model_cfg.check().is_ok()).map(fitting);
    let (config, spec) = fitting(config.clone()).or_else(|error| others.find_map(Result::ok).ok_or(error))?;
    Ok((Model { config: config.model_cfg.clone(), params: Params::zeros(spec) }, config))
}
