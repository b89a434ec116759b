//! The learning rate over a run: a linear warm-up, then half a cosine down to zero (Radford et al. 2021, section 2.5).

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
        (f64::from(self.lr) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
