//! The learning rate over a run: CLIP's, a linear warm-up and then half a cosine down to zero (Radford et al. 2021, section
//! 2.5 and appendix F), and BLIP's, which change from epoch to epoch.

use std::f64::consts::PI;

/// How the learning rate depends on the step, which is counted from 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The highest learning rate, which the warm-up ends with.
    pub lr: f32,
    /// How many steps the warm-up has.
    pub warmup: u64,
    /// How many steps the run has, the warm-up included.
    pub total: u64,
}

impl Schedule {
    /// lr·(step + 1)/warmup during the warm-up, then lr·(1 + cos(π·(step − warmup)/(total − warmup)))/2
    pub fn at(&self, step: u64) -> f32 {
        if step < self.warmup {
            return self.lr * (step + 1) as f32 / self.warmup as f32;
        }
        let after = step.min(self.total) - self.warmup.min(self.total);
        let progress = after as f64 / self.total.saturating_sub(self.warmup).max(1) as f64;
        (f64::from(self.lr) * 0.5 * (1.0 + (PI * progress).cos())) as f32
    }
}

/// The learning rate that BLIP's pre-training begins with, and never falls below.
const MIN_LR: f64 = 1e-6;
/// The share of the learning rate that is left after each epoch of BLIP's pre-training.
const EPOCH_FACTOR: f64 = 0.9;

/// How the learning rate depends on the epoch, both counted from 0, as in BLIP's original.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochSchedule {
    /// The highest learning rate.
    pub lr: f32,
    /// How many steps an epoch has.
    pub steps_per_epoch: u64,
    /// What follows from the epoch.
    pub course: Course,
}

/// The course of the learning rate from epoch to epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// The course of pre-training: max(1e-6, lr·0.9^epoch); in the first epoch a line from 1e-6 to lr, which takes
    /// `warmup` steps.
    Decay { warmup: u64 },
    /// The course of fine-tuning for so many epochs: lr·(1 + cos(π·epoch/epochs))/2.
    Cosine { epochs: u64 },
}

impl EpochSchedule {
    /// Returns the learning rate of a step.
    pub fn at(&self, step: u64) -> f32 {
        let (lr, epoch) = (f64::from(self.lr), step / self.steps_per_epoch.max(1));
        let rate = match self.course {
            Course::Decay { warmup } if epoch == 0 => {
                lr.min(MIN_LR + (lr - MIN_LR) * step as f64 / warmup.max(1) as f64)
            }
            Course::Decay { .. } => (lr * EPOCH_FACTOR.powf(epoch as f64)).max(MIN_LR),
            Course::Cosine { epochs } => {
                lr * 0.5 * (1.0 + (PI * epoch.min(epochs) as f64 / epochs.max(1) as f64).cos())
            }
        };
        rate as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn down_from_epoch_to_epoch() {
        let decay = EpochSchedule { lr: 3e-4, steps_per_epoch: 100, course: Course::Decay { warmup: 50 } };
        let expected = [(0, 1e-6), (25, 1.505e-4), (50, 3e-4), (99, 3e-4), (100, 2.7e-4), (299, 2.43e-4), (9999, 1e-6)];
        for (step, rate) in expected {
            assert!((decay.at(step) - rate).abs() < 1e-9, "step {step}: {}", decay.at(step));
        }
        let long = EpochSchedule { course: Course::Decay { warmup: 3000 }, ..decay };
        assert!(long.at(99) < 1.2e-5 && long.at(100) == decay.at(100), "an epoch ends the warm-up");
        let cosine = EpochSchedule { course: Course::Cosine { epochs: 6 }, ..decay };
        let rates = [0, 99, 100, 300, 599, 1000].map(|step| cosine.at(step) / 3e-4);
        let expected = [1.0, 1.0, 0.933_012_7, 0.5, 0.066_987_3, 0.0];
        assert!(rates.iter().zip(expected).all(|(rate, expected)| (rate - expected).abs() < 1e-6), "{rates:?}");
    }

    #[test]
    fn up_in_a_line_down_in_a_cosine() {
        let schedule = Schedule { lr: 2.0, warmup: 4, total: 12 };
        let rates: Vec<f32> = (0..13).map(|step| schedule.at(step)).collect();
        assert_eq!(rates[..5], [0.5, 1.0, 1.5, 2.0, 2.0]);
        assert!((rates[8] - 1.0).abs() < 1e-6, "half-way down: {}", rates[8]);
        assert!(rates[12].abs() < 1e-6 && rates.windows(2).skip(4).all(|pair| pair[1] < pair[0]));
        assert_eq!(Schedule { lr: 1.0, warmup: 0, total: 0 }.at(5), 1.0);
        assert!(Schedule { lr: 1.0, warmup: 9, total: 4 }.at(3) <= 1.0);
    }
}
