//! What a run does that is not said, by the family of its model.

use super::options::Options;
use crate::checkpoint::{CheckpointError, Kind, kind};
use crate::models::blip::Config as BlipConfig;
use crate::train::run_folder::RunFolder;

impl Options {
    /// Returns the options with the defaults that depend on the family of the model, and on the number of ranks that a run
    /// begins with, filled in.
    pub(super) fn settled(mut self, family: Family, ranks: usize) -> Self {
        let defaults = self.defaults(family);
        if self.model.is_none() && self.pretrained.is_none() {
            self.model = defaults.model.map(Into::into);
        }
        self.data.no_augment |= self.exercise.overfit.is_some();
        self.shards.get_or_insert(ranks);
        self.epochs.get_or_insert(defaults.epochs);
        self.batch_size.get_or_insert(defaults.batch_size);
        self.val_frequency.get_or_insert(defaults.val_frequency);
        self.save_frequency.get_or_insert(defaults.save_frequency);
        self.lr.get_or_insert(defaults.lr);
        self.warmup.get_or_insert(defaults.warmup);
        self
    }

    fn defaults(&self, family: Family) -> Defaults {
        match (self.exercise.overfit, family) {
            (Some(pairs), _) => Defaults { batch_size: pairs, ..OVERFIT },
            (None, _) if self.exercise.lesson => LESSON,
            (None, Family::Clip) => CLIP,
            (None, Family::Blip) => BLIP,
        }
    }

    /// Returns how often every picture is seen; before the options are settled, a CLIP's default.
    pub(crate) fn epochs(&self) -> usize {
        self.epochs.unwrap_or(CLIP.epochs)
    }

    /// Returns the number of pairs that pass through the towers at once; before the options are settled, a CLIP's default.
    pub(crate) fn batch_size(&self) -> usize {
        self.batch_size.unwrap_or(CLIP.batch_size)
    }

    /// Returns the number of epochs between two evaluations; before the options are settled, a CLIP's default.
    pub(crate) fn val_frequency(&self) -> usize {
        self.val_frequency.unwrap_or(CLIP.val_frequency)
    }

    /// Returns the number of epochs between two checkpoints; before the options are settled, a CLIP's default.
    pub(super) fn save_frequency(&self) -> usize {
        self.save_frequency.unwrap_or(CLIP.save_frequency)
    }

    /// Returns the highest learning rate; before the options are settled, a CLIP's default.
    pub(super) fn lr(&self) -> f32 {
        self.lr.unwrap_or(CLIP.lr)
    }

    /// Returns the number of steps over which the learning rate rises; before the options are settled, a CLIP's default.
    pub(super) fn warmup(&self) -> u64 {
        self.warmup.unwrap_or(CLIP.warmup)
    }
}

/// What a run does that is not said.
struct Defaults {
    /// The preset, if it is not that of every other run.
    model: Option<&'static str>,
    epochs: usize,
    batch_size: usize,
    val_frequency: usize,
    save_frequency: usize,
    lr: f32,
    warmup: u64,
}

const CLIP: Defaults =
    Defaults { model: None, epochs: 26, batch_size: 256, val_frequency: 4, save_frequency: 1, lr: 1e-3, warmup: 50 };
const BLIP: Defaults = Defaults { epochs: 4, batch_size: 32, val_frequency: 1, ..CLIP };
/// All pairs are one batch, so that an epoch is a step: a checkpoint after each would take longer than the steps.
const OVERFIT: Defaults = Defaults { model: Some("Emoji-ViT-S"), val_frequency: 0, ..short(50) };
/// Every batch has one drawing of each of the 64 concepts, and an epoch seven steps.
const LESSON: Defaults = Defaults { batch_size: 64, val_frequency: 10, ..short(44) };

/// Returns what a run of a minute or less does, which is saved at its end alone.
const fn short(epochs: usize) -> Defaults {
    Defaults { epochs, save_frequency: epochs, warmup: 10, ..CLIP }
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

    #[test]
    fn an_exercise_has_defaults_that_other_flags_override() {
        let settled = |args: &[&str]| Cli::parse_from(["train"].iter().chain(args)).options.settled(Family::Clip, 1);
        let overfit = settled(&["--overfit", "16"]);
        assert_eq!((overfit.model.as_deref(), overfit.pairs_per_step()), (Some("Emoji-ViT-S"), 16));
        assert!(overfit.data.no_augment && overfit.val_frequency() == 0);
        assert_eq!((overfit.save_frequency(), settled(&[]).save_frequency()), (50, 1));
        let own =
            settled(&["--overfit", "16", "--model", "Emoji-RN-S", "--epochs", "7", "--lr", "0.5", "--batch-size", "8"]);
        assert_eq!((own.model.as_deref(), own.pairs_per_step()), (Some("Emoji-RN-S"), 8));
        assert_eq!((own.epochs(), own.lr(), own.warmup()), (7, 0.5, 10));
        assert_eq!(settled(&["--overfit", "16", "--pretrained", "weights"]).model, None);
        let lesson = settled(&["--lesson"]);
        assert_eq!((lesson.pairs_per_step(), lesson.warmup(), lesson.data.no_augment), (64, 10, false));
        assert_eq!(settled(&["--lesson", "--warmup", "3"]).warmup(), 3);
        assert_eq!((settled(&[]).lr(), settled(&[]).warmup()), (1e-3, 50));
        for other in
            [["--lesson", "--overfit=4"], ["--overfit=4", "--scenes"], ["--overfit", "1"], ["--overfit", "9999"]]
        {
            assert!(Cli::try_parse_from(["train"].into_iter().chain(other)).is_err(), "{other:?}");
        }
    }
}
