//! The interface between training and a model with its loss.
//!
//! An [`Objective`] is a model in training together with its loss: it owns the parameters, says what a batch is, and
//! goes forward and backward. The [`Trainer`](super::step::Trainer) around it knows no model: it cuts batches into
//! micro-batches, clips gradients, takes AdamW's steps, and saves and restores.
//!
//! # One step
//! No more than a micro-batch of pictures is in a tower at a time, yet every picture may be compared with the whole
//! batch (Gao et al. 2021, section 3):
//!
//! ```text
//! prepare                            once
//! forward                            every micro-batch, keeping no activations
//! loss                               once: it sees what all of them left
//! forward, backward                  every micro-batch of a shard, keeping its activations in between
//! backward_loss                      every shard
//! losses                             once: the numbers to report
//! (gradients of all shards are added, clipped, and AdamW's step is taken)
//! updated, metrics                   once
//! ```
//!
//! A batch is one or more [shards](super::world::shards), each of which has a gradient of its own: what a step computes
//! must not depend on how many of them are on one rank. A batch of one micro-batch goes forward only once. A micro-batch is a range of pictures together with every text
//! that looks at them; [`backward`](Objective::backward) sees the whole batch, as such a text may belong to any of its
//! pictures.
//!
//! # Randomness
//! Whatever is drawn must be a function of the [`StepId`] and of a place in the batch. Then it does not matter that a
//! micro-batch goes forward twice, how large it is, or that a run was stopped in between.
//!
//! # Example
//! An image tower learns where to put each picture. Its loss is half the mean squared distance to targets of the
//! reader's own.
//!
//! ```
//! use clipwright::models::clip::{Config, Layers, visual::{self, Visual}};
//! use clipwright::models::{Keep, Mode, Workspace};
//! use clipwright::optim::adamw::Hyper;
//! use clipwright::params::{Params, Spec};
//! use clipwright::train::metric::Metric;
//! use clipwright::train::objective::{Objective, State, StepId};
//! use clipwright::train::step::{Trainer, TrainerOptions};
//! use clipwright::{train::world::Alone, tree::Arena};
//! use ndarray::{Array2, s};
//! use std::ops::Range;
//!
//! /// Features of the batch, their gradients, the last loss; and the tower with what it needs to go back.
//! struct Regression {
//!     config: Config, params: Params<Visual<Spec>>, kept: Workspace, scratch: Arena,
//!     y: Array2<f32>, dy: Array2<f32>, loss: f32,
//! }
//!
//! impl Objective for Regression {
//!     type Tree = Visual<Spec>;
//!     type Batch<'a> = (Array2<f32>, Array2<f32>); // pictures (N,3·edge²), targets (N,e)
//!
//!     fn params(&self) -> &Params<Visual<Spec>> { &self.params }
//!     fn saved(&mut self) -> (&mut Params<Visual<Spec>>, State<'_>) { (&mut self.params, State::new()) }
//!     fn pictures((images, _): &Self::Batch<'_>) -> usize { images.nrows() }
//!
//!     fn forward(&mut self, (images, targets): &Self::Batch<'_>, range: Range<usize>, keep: Keep, _: StepId) {
//!         let Regression { config, params, kept, scratch, y, .. } = self;
//!         if y.dim() != targets.dim() { *y = Array2::zeros(targets.dim()) }
//!         let (x, y, mode) = (images.slice(s![range.clone(), ..]), y.slice_mut(s![range, ..]), Mode::Training(keep));
//!         visual::forward(&params.view(), &config.vision(), x, mode, y, kept, scratch);
//!     }
//!     fn loss(&mut self, (_, targets): &Self::Batch<'_>, _: StepId, _: &Alone) {
//!         let n = targets.nrows() as f32;
//!         let off = &self.y - targets;
//!         self.loss = (&off * &off).sum() / (2.0 * n);
//!         self.dy = off / n;
//!     }
//!     fn backward(&mut self, batch: &Self::Batch<'_>, range: Range<usize>, _: StepId, g: &mut Visual<&mut [f32]>) {
//!         let Regression { config, params, kept, scratch, dy, .. } = self;
//!         let (x, dy) = (batch.0.slice(s![range.clone(), ..]), dy.slice(s![range, ..]));
//!         visual::backward(&params.view(), &config.vision(), x, dy, kept, scratch, g);
//!     }
//!     fn losses(&mut self, _: &Alone) -> Vec<Metric> { vec![Metric::new("loss", self.loss)] }
//! }
//!
//! let mut config = Config::preset("Emoji-ViT-S").unwrap();
//! (config.vision_cfg.layers, config.vision_cfg.width, config.embed_dim) = (Layers::Vit(1), 64, 4);
//! let (params, options) = (Params::init(config.vision().spec(), 0), TrainerOptions::new(Hyper::VIT));
//! let pictures = Array2::from_shape_fn((6, config.vision().image_len()), |(i, j)| ((i + 1) * j) as f32 % 7.0 - 3.0);
//! let batch = (pictures, Array2::eye(6).slice(s![.., ..4]).to_owned());
//! let (kept, scratch, y, dy) = Default::default();
//! let objective = Regression { config, params, kept, scratch, y, dy, loss: 0.0 };
//! let mut trainer = Trainer::new(objective, options);
//! let mut step = || { let losses = trainer.gradients(&batch, 4); trainer.update(1e-3); losses[0].value };
//! let (first, last) = (step(), (0..50).map(|_| step()).last().unwrap());
//! assert!(last < 0.5 * first, "from {first} to {last}");
//! ```

use super::metric::Metric;
use super::world::{Alone, World};
use crate::layers::Keep;
use crate::params::{Params, Spec};
use crate::random::{self, Rng};
use crate::tree::{Path, Tree};
use std::ops::Range;

/// The gradients of a parameter tree, which an objective adds to.
pub(crate) type Gradients<'a, S> = <S as Tree>::Of<&'a mut [f32]>;

/// Which step of which run this is. Randomness may depend on seed and step, on the place in the batch of all ranks, and
/// on nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepId {
    /// The seed of the run.
    pub seed: u64,
    /// How many steps were taken before this one.
    pub step: u64,
    /// Which of the ranks takes it here.
    pub rank: u64,
    /// How many shards every rank has.
    pub shards: usize,
}

impl Default for StepId {
    /// The first step of a run of seed 0, whole.
    fn default() -> Self {
        StepId { seed: 0, step: 0, rank: 0, shards: 1 }
    }
}

impl StepId {
    /// Returns the generator for one use in this step, which is named by numbers such as (use, row).
    pub fn rng(&self, name: &[u64]) -> Rng {
        random::rng(&[&[self.seed, self.step], name].concat())
    }

    /// Returns the key of one use in this step for a generator that has no state.
    pub fn key(&self, name: &[u64]) -> u64 {
        random::key(&[&[self.seed, self.step], name].concat())
    }

    /// Lists the shards of a rank that has `own` pictures, as ranges of them.
    pub fn shards_of(&self, own: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let len = own / self.shards;
        (0..self.shards).map(move |shard| shard * len..(shard + 1) * len)
    }

    /// Returns which of the shards of a rank that has `own` pictures the i-th of them belongs to.
    pub fn shard_of(&self, i: usize, own: usize) -> usize {
        i * self.shards / own
    }

    /// Returns the place in the batch of all ranks of the i-th of this rank's pictures, where each rank has `own`.
    pub fn place(&self, i: usize, own: usize) -> u64 {
        self.rank * own as u64 + i as u64
    }
}

/// One thing that has to be saved for a run to go on.
#[derive(Debug)]
pub enum Saved<'a> {
    /// Numbers such as parameters or a queue.
    Floats(&'a mut [f32]),
    /// A count such as a number of steps.
    Count(&'a mut u64),
    /// Numbers that mean something, such as the keys of a queue's pictures.
    Keys(&'a mut [u64]),
}

/// Everything that has to be saved for a run to go on, by name.
pub type State<'a> = Vec<(String, Saved<'a>)>;

/// A model together with its loss, trained by the ranks of a world `W`.
pub trait Objective<W: World = Alone> {
    /// The description of the parameters.
    type Tree: Tree<Leaf = Spec>;
    /// The data of one step; on several ranks it is this rank's part.
    type Batch<'a>: Sync;

    /// Returns the parameters as they are now.
    fn params(&self) -> &Params<Self::Tree>;

    /// Returns the parameters, and whatever else has to be saved for a run to go on to the bit: momentum copies,
    /// queues, counts.
    fn saved(&mut self) -> (&mut Params<Self::Tree>, State<'_>);

    /// Returns the number of pictures in a batch. Micro-batches are ranges of them.
    fn pictures(batch: &Self::Batch<'_>) -> usize;

    /// Whether the parameters at a path, and the running statistics that a count at a path belongs to, stay as they
    /// are.
    fn frozen(&self, path: &Path) -> bool {
        let _ = path;
        false
    }

    /// Returns the factor of the learning rate of the parameters at a path.
    fn lr_factor(&self, path: &Path) -> f32 {
        let _ = path;
        1.0
    }

    /// Is called before the first forward pass of a step, once.
    fn prepare(&mut self, batch: &Self::Batch<'_>, id: StepId) {
        let _ = (batch, id);
    }

    /// Goes forward for these pictures, as far as the loss needs it.
    fn forward(&mut self, batch: &Self::Batch<'_>, range: Range<usize>, keep: Keep, id: StepId);

    /// Computes the loss over the whole batch of all ranks, as far as it exists before a backward pass, and its
    /// gradient with respect to what the forward passes gave.
    ///
    /// This is called on the trainer's own thread, one of two places that may exchange anything with other ranks;
    /// [`in_pool`](kernels::in_pool) hands arithmetic to the pool of threads. What belongs to a shard is computed for it
    /// alone, so that a product has as many rows on any number of ranks.
    fn loss(&mut self, batch: &Self::Batch<'_>, id: StepId, world: &W);

    /// Adds to `g` what one of this rank's shards contributes to the gradient of parameters that stand in the loss itself,
    /// such as a temperature.
    fn backward_loss(&self, shard: usize, g: &mut Gradients<'_, Self::Tree>) {
        let _ = (shard, g);
    }

    /// Goes backward for these pictures, which were the last to go [`forward`](Self::forward), and for every text that
    /// looks at them. Gradients of parameters are added to `g`.
    fn backward(&mut self, batch: &Self::Batch<'_>, range: Range<usize>, id: StepId, g: &mut Gradients<'_, Self::Tree>);

    /// Returns the losses of the step over the batch of all ranks: what was minimised, called `loss`, then its parts. It is
    /// called after the last backward pass, on the trainer's own thread, and may exchange sums with other ranks.
    fn losses(&mut self, world: &W) -> Vec<Metric>;

    /// Is called after the parameters have moved, but not if they stayed because a gradient was not finite.
    fn updated(&mut self, id: StepId) {
        let _ = id;
    }

    /// Returns other numbers for the log. It is called after the update.
    fn metrics(&self) -> Vec<Metric> {
        vec![]
    }
}
