//! One training step of any objective: forward, loss, backward, the other ranks, clipping, AdamW.

use super::metric::Metric;
use super::objective::{Objective, Saved, State, StepId};
use super::world::shards::Pending;
use super::world::slices::{CHUNK_PIECES, Exchange, Slices};
use super::world::{Alone, World};
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
    /// The number of shards that a step is cut into, over all ranks: a power of two. See
    /// [`shards`](super::world::shards).
    pub shards: usize,
}

impl TrainerOptions {
    /// Returns options that leave gradients of any norm as they are, with decay of matrices, seed 0 and one shard.
    pub fn new(hyper: Hyper) -> Self {
        TrainerOptions { hyper, decay: Decay::default(), max_norm: None, seed: 0, shards: 1 }
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

    /// Sets the seed of all randomness.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        TrainerOptions { seed, ..self }
    }

    /// Sets the number of shards of a step.
    #[must_use]
    pub fn shards(self, shards: usize) -> Self {
        TrainerOptions { shards, ..self }
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
    /// What this rank moves of the parameters, with its moments.
    slices: Slices,
    adam: AdamW,
    /// The moments of all ranks, from when they are asked for to the next step.
    moments: Option<[Floats; 2]>,
    grads: Floats,
    pending: Pending,
    exchange: Exchange,
}

impl<O: Objective + Send> Trainer<O> {
    /// Makes a trainer for this process alone.
    pub fn new(objective: O, options: TrainerOptions) -> Self {
        Trainer::among(Alone, objective, options)
    }
}

impl<O: Objective<W> + Send, W: World> Trainer<O, W> {
    /// Makes the trainer of one rank of a world. All ranks begin with equal parameters and options.
    ///
    /// # Panics
    /// Panics unless the numbers of shards and of ranks are powers of two, and every rank has as many shards.
    #[track_caller]
    pub fn among(world: W, objective: O, options: TrainerOptions) -> Self {
        let (ranks, shards) = (world.size(), options.shards);
        assert!(shards.is_power_of_two() && ranks.is_power_of_two(), "{shards} shards on {ranks} ranks");
        assert!(ranks <= shards.min(CHUNK_PIECES), "{shards} shards on {ranks} ranks");
        let params = objective.params();
        let (n, len) = (params::count(&params.spec), params.flat.len());
        let slices = Slices::new(n, ranks);
        let adam = AdamW::of(slices.of(world.rank()));
        let (pending, exchange) = Default::default();
        Trainer { objective, world, options, slices, adam, moments: None, grads: Floats::zeros(len), pending, exchange }
    }

    /// Returns the objective.
    pub fn objective(&self) -> &O {
        &self.objective
    }

    /// Returns the objective, to take from it what goes on with another model.
    pub(super) fn objective_mut(&mut self) -> &mut O {
        &mut self.objective
    }

    /// Returns the number of steps that were taken.
    pub fn steps(&self) -> u64 {
        self.adam.steps
    }

    /// Views the gradient of every parameter, as it is between [`Trainer::gradients`] and [`Trainer::update`], and for
    /// a buffer what was observed. On several ranks the gradients are those of all only where this rank moves the
    /// parameters.
    pub fn grads(&self) -> <O::Tree as Tree>::Of<&[f32]> {
        params::view(&self.objective.params().spec, &self.grads)
    }

    /// Views the gradients of all parameters as one block, in the order of the parameters, without the buffers.
    pub fn flat_grads(&self) -> &[f32] {
        &self.grads[..params::count(&self.objective.params().spec)]
    }

    /// Returns everything that has to be saved for a run to go on to the bit, on any number of ranks. All ranks have to
    /// ask for it together.
    pub fn state(&mut self) -> State<'_> {
        let Trainer { objective, world, slices, adam, moments, exchange, .. } = self;
        if world.size() > 1 && moments.is_none() {
            let n = params::count(&objective.params().spec);
            let mut gather = |own: &[f32]| {
                let mut all = Floats::zeros(n);
                adam.own().for_each(|(range, at)| all[range].copy_from_slice(&own[at]));
                slices.gather(world, &mut all, exchange);
                all
            };
            *moments = Some([gather(&adam.m), gather(&adam.v)]);
        }
        let [m, v] = moments.as_mut().map_or([&mut adam.m, &mut adam.v], |all| all.each_mut());
        let (params, more) = objective.saved();
        let mut state = vec![
            ("params".into(), Saved::Floats(&mut params.flat)),
            ("exp_avg".into(), Saved::Floats(m)),
            ("exp_avg_sq".into(), Saved::Floats(v)),
            ("step".into(), Saved::Count(&mut adam.steps)),
        ];
        state.extend(more.into_iter().map(|(name, saved)| (format!("objective.{name}"), saved)));
        state
    }

    /// Returns the losses over the whole batch of all ranks, and leaves the gradient of the first one for
    /// [`Trainer::update`]. The batch is this rank's part, whose shards are equally large.
    ///
    /// No more than `micro_batch` pictures are in a tower at a time, yet the result is that of one big batch, see
    /// [`objective`](super::objective). Only BatchNorm's statistics are those of each micro-batch.
    ///
    /// # Panics
    /// Panics if the pictures cannot be shared out evenly among the shards.
    #[track_caller]
    pub fn gradients(&mut self, batch: &O::Batch<'_>, micro_batch: usize) -> Vec<Metric> {
        let (n, id) = (O::pictures(batch), self.id());
        assert!(n.is_multiple_of(id.shards), "{n} pictures in {} shards", id.shards);
        let Trainer { objective, world, slices, grads, pending, exchange, .. } = self;
        let whole = n <= micro_batch && id.shards == 1;
        in_pool(|| {
            objective.prepare(batch, id);
            let keep = if whole { Keep::All } else { Keep::Nothing };
            let micro_batches = id.shards_of(n).flat_map(|shard| chunks(shard, micro_batch));
            micro_batches.for_each(|range| objective.forward(batch, range, keep, id));
        });
        objective.loss(batch, id, world);
        in_pool(|| {
            for (i, shard) in id.shards_of(n).enumerate() {
                for range in chunks(shard, micro_batch) {
                    if !whole {
                        objective.forward(batch, range.clone(), Keep::All, id);
                    }
                    let mut g = params::view_mut(&objective.params().spec, grads);
                    objective.backward(batch, range, id, &mut g);
                }
                objective.backward_loss(i, &mut params::view_mut(&objective.params().spec, grads));
                pending.push(grads, i, id.shards);
            }
        });
        let (g, observed) = grads.split_at_mut(params::count(&objective.params().spec));
        slices.sum(world, g, exchange);
        // Every rank moves all running statistics, which are few.
        let all = Slices::new(observed.len(), world.size());
        all.sum(world, observed, exchange);
        all.gather(world, observed, exchange);
        objective.losses(world)
    }

    /// Takes one AdamW step, and one step of the running statistics. Gradients are zero afterwards.
    ///
    /// A gradient that is not finite would ruin every weight; in that case nothing but the gradients is changed.
    pub fn update(&mut self, lr: f32) -> Update {
        let id = self.id();
        let Trainer { objective, world, options, slices, adam, moments, grads, exchange, .. } = self;
        if let Some([m, v]) = moments.take() {
            let own: Vec<_> = adam.own().collect();
            for (range, at) in own {
                adam.m[at.clone()].copy_from_slice(&m[range.clone()]);
                adam.v[at].copy_from_slice(&v[range]);
            }
        }
        // The parameters are taken out of the objective, which has to be asked what is frozen, and put back below.
        let mut flat = std::mem::take(&mut objective.saved().0.flat);
        let n = params::count(&objective.params().spec);
        for_each(&objective.params().spec, &Path::ROOT, |path, _, range| {
            if objective.frozen(path) {
                grads[range].fill(0.0);
            }
        });
        let grad_norm = slices.sum_of_squares(world, &grads[..n], exchange).sqrt() as f32;
        if grad_norm.is_finite() {
            let scale = clip_grad::scale(grad_norm, options.max_norm);
            in_pool(|| {
                let objective = &mut *objective;
                let (spec, frozen) = (&objective.params().spec, |path: &Path| objective.frozen(path));
                running::step(spec, &mut flat, grads, frozen);
                let lr = |path: &Path| lr * objective.lr_factor(path);
                adam.step(spec, (&options.hyper, options.decay), lr, scale, &mut flat, grads, frozen);
            });
            slices.gather(world, &mut flat[..n], exchange);
        }
        // AdamW has cleared what it moved, but neither what others move nor the slots of buffers.
        let done = if grad_norm.is_finite() && world.size() == 1 { n } else { 0 };
        grads[done..].fill(0.0);
        objective.saved().0.flat = flat;
        if grad_norm.is_finite() {
            in_pool(|| objective.updated(id));
        }
        Update { grad_norm, metrics: objective.metrics() }
    }

    fn id(&self) -> StepId {
        let (rank, shards) = (self.world.rank() as u64, self.options.shards / self.world.size());
        StepId { seed: self.options.seed, step: self.adam.steps, rank, shards }
    }
}

/// Cuts a range into pieces of `size`.
fn chunks(range: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(size).map(move |start| start..range.end.min(start + size))
}
