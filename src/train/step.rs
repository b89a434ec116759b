//! One training step of any objective: forward, loss, backward, the other ranks, clipping, AdamW.

use super::metric::Metric;
use super::objective::{Objective, Saved, State, StepId};
use super::world::{Alone, World, sum_over_ranks};
use crate::layers::Keep;
use crate::optim::adamw::{AdamW, Decay, Hyper};
use crate::optim::{clip_grad, running};
use crate::params::{self, for_each};
use crate::tree::{Path, Tree};
use kernels::{in_pool, memory::Floats};
use std::ops::Range;

/// How a [`Trainer`] trains.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct TrainerOptions {
    /// The hyper-parameters of AdamW.
    pub hyper: Hyper,
    /// The parameters that weight decay applies to.
    pub decay: Decay,
    /// Gradients with a larger norm are scaled down to this norm; without one, none are.
    pub max_norm: Option<f32>,
    /// The seed that all randomness of the objective follows from.
    pub seed: u64,
}

impl TrainerOptions {
    /// Returns options that leave gradients of any norm as they are, with decay of matrices and seed 0.
    pub fn new(hyper: Hyper) -> Self {
        TrainerOptions { hyper, decay: Decay::default(), max_norm: None, seed: 0 }
    }

    /// Sets the parameters that weight decay applies to.
    #[must_use]
    pub fn decay(self, decay: Decay) -> Self {
        TrainerOptions { decay, ..self }
    }

    /// Sets the norm that larger gradients are scaled down to.
    #[must_use]
    pub fn max_norm(self, max_norm: impl Into<Option<f32>>) -> Self {
        TrainerOptions { max_norm: max_norm.into(), ..self }
    }

    #[must_use]
    /// Sets the seed of all randomness.
    pub fn seed(self, seed: u64) -> Self {
        TrainerOptions { seed, ..self }
    }
}

/// What an update reports.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// The norm of all gradients together, before clipping.
    pub grad_norm: f32,
    /// The numbers that the objective reports after the update.
    pub metrics: Vec<Metric>,
}

/// An objective in training, with its gradients and Adam's moments.
pub struct Trainer<O, W = Alone> {
    objective: O,
    world: W,
    options: TrainerOptions,
    adam: AdamW,
    grads: Floats,
}

impl<O: Objective + Send> Trainer<O> {
    /// Makes a trainer for this process alone.
    pub fn new(objective: O, options: TrainerOptions) -> Self {
        Trainer::among(Alone, objective, options)
    }
}

impl<O: Objective<W> + Send, W: World> Trainer<O, W> {
    /// Makes the trainer of one rank of a world. All ranks begin with equal parameters and options.
    pub fn among(world: W, objective: O, options: TrainerOptions) -> Self {
        let params = objective.params();
        let (n, len) = (params::count(&params.spec), params.flat.len());
        Trainer { objective, world, options, adam: AdamW::new(n), grads: Floats::zeros(len) }
    }

    /// Returns the objective.
    pub fn objective(&self) -> &O {
        &self.objective
    }

    /// Returns the number of steps that were taken.
    pub fn steps(&self) -> u64 {
        self.adam.steps
    }

    /// Views the gradient of every parameter, as it is between [`Trainer::gradients`] and [`Trainer::update`], and for
    /// a buffer what was observed.
    pub fn grads(&self) -> <O::Tree as Tree>::Of<&[f32]> {
        params::view(&self.objective.params().spec, &self.grads)
    }

    /// Views the gradients of all parameters as one block, in the order of the parameters, without the buffers.
    pub fn flat_grads(&self) -> &[f32] {
        &self.grads[..params::count(&self.objective.params().spec)]
    }

    /// Returns everything that has to be saved for a run to go on to the bit.
    pub fn state(&mut self) -> State<'_> {
        let (params, more) = self.objective.saved();
        let mut state = vec![
            ("params".into(), Saved::Floats(&mut params.flat)),
            ("exp_avg".into(), Saved::Floats(&mut self.adam.m)),
            ("exp_avg_sq".into(), Saved::Floats(&mut self.adam.v)),
            ("step".into(), Saved::Count(&mut self.adam.steps)),
        ];
        state.extend(more.into_iter().map(|(name, saved)| (format!("objective.{name}"), saved)));
        state
    }

    /// Returns the losses over the whole batch, and leaves the gradient of the first one for [`Trainer::update`].
    ///
    /// No more than `micro_batch` pictures are in a tower at a time, yet the result is that of one big batch, see
    /// [`objective`](super::objective). Only BatchNorm's statistics are those of each micro-batch.
    pub fn gradients(&mut self, batch: &O::Batch<'_>, micro_batch: usize) -> Vec<Metric> {
        let (n, id) = (O::pictures(batch), self.id());
        let whole = n <= micro_batch;
        let Trainer { objective, world, grads, .. } = self;
        in_pool(|| {
            objective.prepare(batch, id);
            let keep = if whole { Keep::All } else { Keep::Nothing };
            chunks(n, micro_batch).for_each(|range| objective.forward(batch, range, keep, id));
        });
        objective.loss(batch, id, world, &mut params::view_mut(&objective.params().spec, grads));
        in_pool(|| {
            for range in chunks(n, micro_batch) {
                if !whole {
                    objective.forward(batch, range.clone(), Keep::All, id);
                }
                let mut g = params::view_mut(&objective.params().spec, grads);
                objective.backward(batch, range, id, &mut g);
            }
        });
        sum_over_ranks(world, grads);
        objective.losses()
    }

    /// Takes one AdamW step, and one step of the running statistics. Gradients are zero afterwards.
    ///
    /// A gradient that is not finite would ruin every weight; in that case nothing but the gradients is changed.
    pub fn update(&mut self, lr: f32) -> Update {
        let id = self.id();
        let Trainer { objective, options, adam, grads, .. } = self;
        let grad_norm = in_pool(|| {
            let grad_norm = take_step(objective, options, adam, grads, lr);
            if grad_norm.is_finite() {
                objective.updated(id);
            }
            grad_norm
        });
        Update { grad_norm, metrics: objective.metrics() }
    }

    fn id(&self) -> StepId {
        StepId { seed: self.options.seed, step: self.adam.steps, rank: self.world.rank() as u64 }
    }
}

/// Moves the parameters and running statistics, unless a gradient is not finite. Returns the norm of all gradients.
fn take_step<O: Objective<W>, W: World>(
    objective: &mut O,
    options: &TrainerOptions,
    adam: &mut AdamW,
    grads: &mut [f32],
    lr: f32,
) -> f32 {
    // The parameters are taken out of the objective, which has to be asked what is frozen, and put back below.
    let mut flat = std::mem::take(&mut objective.saved().0.flat);
    let (spec, frozen) = (&objective.params().spec, |path: &Path| objective.frozen(path));
    for_each(spec, &Path::ROOT, |path, _, range| {
        if frozen(path) {
            grads[range].fill(0.0);
        }
    });
    let n = params::count(spec);
    let grad_norm = clip_grad::global_norm(&grads[..n]);
    if grad_norm.is_finite() {
        let scale = clip_grad::scale(grad_norm, options.max_norm);
        running::step(spec, &mut flat, grads, frozen);
        let lr = |path: &Path| lr * objective.lr_factor(path);
        adam.step(spec, (&options.hyper, options.decay), lr, scale, &mut flat, grads, frozen);
        grads[n..].fill(0.0);
    } else {
        grads.fill(0.0);
    }
    objective.saved().0.flat = flat;
    grad_norm
}

/// Cuts `0..n` into pieces of `size`.
fn chunks(n: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(size).map(move |start| start..n.min(start + size))
}
