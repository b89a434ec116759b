//! How the steps of a run are taken, as the options say.

use super::blip_options::Task;
use super::options::{LrScheduler, Options};
use crate::batches::LoaderConfig;
use crate::optim::adamw::{Decay, Hyper};
use crate::optim::schedule::{Course, EpochSchedule, Schedule};
use crate::pictures::Preprocess;
use crate::train::data::TrainingData;
use crate::train::step::TrainerOptions;
use crate::train::world::World;

impl Options {
    /// Returns the hyperparameters: those that were chosen, and otherwise the published ones of the kind of model.
    fn hyper(&self, published: Hyper) -> Hyper {
        Hyper {
            beta1: self.beta1,
            beta2: self.beta2.unwrap_or(published.beta2),
            eps: self.eps.unwrap_or(published.eps),
            weight_decay: self.wd.unwrap_or(published.weight_decay),
        }
    }

    /// Returns how steps are taken.
    pub(super) fn trainer(&self, published: Hyper) -> TrainerOptions {
        let decay = if self.wd_all { Decay::All } else { Decay::Matrices };
        TrainerOptions::new(self.hyper(published))
            .decay(decay)
            .max_norm(self.grad_clip_norm)
            .seed(self.seed)
            .shards(self.shards())
    }

    /// Returns the learning rate of a step in a run with this many steps an epoch.
    pub(super) fn lr_at(&self, step: u64, steps_per_epoch: u64) -> f32 {
        let (lr, warmup, epochs) = (self.lr(), self.warmup(), self.epochs() as u64);
        match (self.lr_scheduler, self.blip.task) {
            (LrScheduler::Cosine, _) => Schedule { lr, warmup, total: epochs * steps_per_epoch }.at(step),
            (LrScheduler::Epochs, Task::Pretrain) => {
                EpochSchedule { lr, steps_per_epoch, course: Course::Decay { warmup } }.at(step)
            }
            (LrScheduler::Epochs, _) => {
                EpochSchedule { lr, steps_per_epoch, course: Course::Cosine { epochs } }.at(step)
            }
        }
    }

    /// Returns how many steps an epoch of this data has.
    pub(crate) fn steps_per_epoch(&self, data: &TrainingData) -> u64 {
        (data.training().pairs() / self.pairs_per_step()) as u64
    }

    /// Returns what this rank's parts of batches are made of, as far as it does not depend on the model.
    pub(super) fn loader<W: World>(&self, data: &TrainingData, world: &W) -> LoaderConfig {
        let own = self.pairs_per_step() / world.size();
        LoaderConfig {
            batch_size: self.pairs_per_step(),
            own: world.rank() * own..(world.rank() + 1) * own,
            context_length: 0,
            preprocess: Preprocess::default(),
            image_sizes: None,
            augment: None,
            known: None,
            teacher: None,
            seed: self.seed,
            workers: self.workers,
            start_step: 0,
            bad_limit: data.bad_limit(),
        }
    }
}
