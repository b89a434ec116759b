//! What a run does that is not said, by the family of its model.

use super::options::Options;
use crate::checkpoint::{CheckpointError, Kind, kind};
use crate::models::blip::Config as BlipConfig;
use crate::train::run_folder::RunFolder;

impl Options {
    /// Returns the options with the defaults that depend on the family of the model, and on the number of ranks that a run
    /// begins with, filled in.
    pub(super) fn settled(mut self, family: Family, ranks: usize) -> Self {
        self.shards.get_or_insert(ranks);
        self.epochs.get_or_insert(family.epochs());
        self.batch_size.get_or_insert(family.batch_size());
        self.val_frequency.get_or_insert(family.val_frequency());
        self
    }

    /// Returns how often every picture is seen; before the options are settled, a CLIP's default.
    pub(crate) fn epochs(&self) -> usize {
        self.epochs.unwrap_or(Family::Clip.epochs())
    }

    /// Returns the number of pairs that pass through the towers at once; before the options are settled, a CLIP's default.
    pub(crate) fn batch_size(&self) -> usize {
        self.batch_size.unwrap_or(Family::Clip.batch_size())
    }

    /// Returns the number of epochs between two evaluations; before the options are settled, a CLIP's default.
    pub(crate) fn val_frequency(&self) -> usize {
        self.val_frequency.unwrap_or(Family::Clip.val_frequency())
    }
}

/// The family of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Clip,
    Blip,
}

impl Family {
    /// Returns the family of the model that the options describe, or of the one in a run's folder.
    pub fn of(options: &Options, folder: Option<&RunFolder>) -> Result<Self, CheckpointError> {
        let is_named = options.model.as_ref().is_some_and(|name| BlipConfig::PRESETS.contains(&name.as_str()));
        let weights = folder.map(|folder| &folder.path).or(options.pretrained.as_ref());
        let is_blip = is_named || weights.map(|path| kind(path)).transpose()?.flatten() == Some(Kind::Blip);
        Ok(if is_blip { Family::Blip } else { Family::Clip })
    }

    /// Returns the number of epochs without --epochs.
    fn epochs(self) -> usize {
        match self {
            Family::Clip => 26,
            Family::Blip => 4,
        }
    }

    /// Returns the number of pairs in a batch without --batch-size.
    fn batch_size(self) -> usize {
        match self {
            Family::Clip => 256,
            Family::Blip => 32,
        }
    }

    /// Returns the number of epochs between two evaluations without --val-frequency.
    fn val_frequency(self) -> usize {
        match self {
            Family::Clip => 4,
            Family::Blip => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Cli;
    use super::*;
    use clap::Parser;

    #[test]
    fn what_is_not_said_depends_on_the_family() {
        let settled = |args: &[&str], family| {
            let args = ["train"].iter().chain(args);
            let options = Cli::parse_from(args).options.settled(family, 1);
            [options.batch_size(), options.epochs(), options.val_frequency()]
        };
        assert_eq!([Family::Clip, Family::Blip].map(|family| settled(&[], family)), [[256, 26, 4], [32, 4, 1]]);
        let given = ["--batch-size", "7", "--epochs", "3", "--val-frequency", "0"];
        assert_eq!(settled(&given, Family::Blip), [7, 3, 0]);
    }
}
