//! From the features of all ranks to the loss, and back to the features of this rank.
//!
//! Each shard compares its own pictures, and its own captions, with the pairs of all ranks. So no gradient of an embedding
//! crosses ranks; what does are features, and numbers of rows and columns. A teacher's part of the loss is the exception:
//! it is computed whole on every rank, which keeps its own rows.

use super::pairs::Pairs;
use super::teacher::Teacher;
use crate::layers::{floats, floats_mut, normalize, rows_mut};
use crate::loss::contrast::Scores;
use crate::loss::distill::{self, Buffers as DistillBuffers};
use crate::loss::info_nce::{self, Loss, Saved as LossSaved, Scratch as LossScratch};
use crate::loss::positives::Positives;
use crate::loss::sigmoid::{self, Scratch as SigmoidScratch, Sums};
use crate::models::clip::model::ClipParams;
use crate::models::parts;
use crate::train::metric::Metric;
use crate::train::objective::StepId;
use crate::train::world::World;
use crate::tree::{Arena, Dim, tree};
use kernels::in_pool;
use ndarray::{ArrayView2, ArrayViewMut2};
use std::ops::Range;

tree! {
    /// This rank's features as the towers give them, their norms, the features of unit length, and the gradients of the
    /// towers' features.
    ///
    /// `image_norm`, `text_norm` (N,1); all others (N,e)
    Features { image, text, image_norm, text_norm, images, texts, dimage, dtext }
}

tree! {
    /// The gradients of this rank's unit-length features, and the buffers of the loss over the pairs of all ranks.
    ///
    /// `dimages`, `dtexts` (N,e)
    Contrast { dimages, dtexts, saved: LossSaved, scratch: LossScratch }
}

tree! {
    /// The gradients of this rank's unit-length features, and the buffers of the sigmoid loss over the pairs of all
    /// ranks.
    ///
    /// `dimages`, `dtexts` (N,e)
    Judged { dimages, dtexts, scratch: SigmoidScratch }
}

/// Counts the floats that are kept of a pair between the forward and the backward pass of its towers.
pub fn kept_of_pair(embed_dim: usize) -> usize {
    parts::floats(&Features::dims(1, embed_dim))
}

impl Features<Dim> {
    fn dims(n: usize, embed_dim: usize) -> Self {
        let (rows, norm) = (Dim(n, embed_dim), Dim(n, 1));
        Features {
            image: rows,
            text: rows,
            image_norm: norm,
            text_norm: norm,
            images: rows,
            texts: rows,
            dimage: rows,
            dtext: rows,
        }
    }
}

tree! {
    /// The gradients of the unit-length features of all ranks, and the buffers of a loss with a teacher.
    ///
    /// `dimages`, `dtexts` (pairs of all ranks,e)
    Taught { dimages, dtexts, saved: LossSaved, scratch: LossScratch, distill: DistillBuffers }
}

impl Contrast<Dim> {
    fn dims(n: usize, all: usize, embed_dim: usize) -> Self {
        let rows = Dim(n, embed_dim);
        Contrast { dimages: rows, dtexts: rows, saved: LossSaved::dims(all), scratch: LossScratch::dims(all) }
    }
}

impl Taught<Dim> {
    fn dims(all: usize, embed_dim: usize) -> Self {
        let (rows, distill) = (Dim(all, embed_dim), DistillBuffers::dims(all, embed_dim));
        Taught { dimages: rows, dtexts: rows, saved: LossSaved::dims(all), scratch: LossScratch::dims(all), distill }
    }
}

impl Judged<Dim> {
    fn dims(own: usize, all: usize, embed_dim: usize) -> Self {
        let rows = Dim(own, embed_dim);
        Judged { dimages: rows, dtexts: rows, scratch: SigmoidScratch::dims(all) }
    }
}

/// What the other ranks sent. One rank by itself exchanges nothing.
#[derive(Default)]
struct Gathered {
    images: Vec<f32>,
    texts: Vec<f32>,
    concepts: Vec<u64>,
    captions: Vec<u64>,
    /// The log-sum-exps of the rows, and of the columns.
    lse: [Vec<f32>; 2],
    losses: Vec<f64>,
}

/// What a comparison gives beside the gradients of features.
#[derive(Default)]
struct Outcome {
    /// What each shard contributes to the gradients of the logit scale and bias.
    dscalars: Vec<[f32; 2]>,
    losses: Vec<Metric>,
}

/// The features of a step, and all that is needed to compare them.
#[derive(Default)]
pub(super) struct Comparison {
    features: Arena,
    arena: Arena,
    gathered: Gathered,
    /// Those of each shard.
    positives: Vec<Positives>,
    /// Those of all pairs, for a teacher.
    all_positives: Positives,
    sums: Sums,
    outcome: Outcome,
}

impl Comparison {
    /// Views the features and gradients of n pairs.
    pub fn features(&mut self, n: usize, embed_dim: usize) -> Features<ArrayViewMut2<'_, f32>> {
        self.features.carve(&Features::dims(n, embed_dim))
    }

    /// Goes from features to the loss, and back to the gradients of this rank's features.
    pub fn compare<W: World>(
        &mut self,
        p: &ClipParams<&[f32]>,
        embed_dim: usize,
        batch: &Pairs,
        teacher: Option<&mut Teacher>,
        id: StepId,
        world: &W,
    ) {
        let n = batch.images.nrows();
        let Comparison { features, arena, gathered, positives, all_positives, sums, outcome } = self;
        let mut f = features.carve(&Features::dims(n, embed_dim));
        in_pool(|| {
            normalize::forward(f.image.view(), f.images.view_mut(), f.image_norm.view_mut());
            normalize::forward(f.text.view(), f.texts.view_mut(), f.text_norm.view_mut());
        });
        let concepts = world.all_gather(batch.concepts, &mut gathered.concepts);
        let captions = world.all_gather(batch.caption_keys, &mut gathered.captions);
        let images = world.all_gather(floats(f.images.view()), &mut gathered.images);
        let texts = world.all_gather(floats(f.texts.view()), &mut gathered.texts);
        let all = concepts.len();
        let [images, texts] =
            [images, texts].map(|rows| ArrayView2::from_shape((all, embed_dim), rows).expect("a row for each pair"));
        let scores = Scores { rows: images, cols: texts, scale: p.logit_scale[0].exp() };
        let first = id.place(0, n) as usize;
        positives.resize_with(id.shards, Positives::default);
        for (positives, shard) in positives.iter_mut().zip(id.shards_of(n)) {
            positives.fill_for(first + shard.start..first + shard.end, concepts, captions);
        }
        outcome.dscalars.clear();
        let part = Part { scores, positives, shards: id.shards_of(n).collect() };
        let [dimages, dtexts] = match (p.logit_bias, teacher) {
            (Some(bias), _) => part.judge(world, bias[0], arena, &mut gathered.losses, sums, outcome),
            (None, None) => part.contrast(world, arena, &mut gathered.lse, &mut gathered.losses, outcome),
            (None, Some(teacher)) => {
                all_positives.fill(concepts, captions);
                part.learn_from(&teacher.scores(n, world), all_positives, arena, outcome)
            }
        };
        in_pool(|| {
            normalize::backward(f.images.view(), f.image_norm.view(), dimages.view(), f.dimage);
            normalize::backward(f.texts.view(), f.text_norm.view(), dtexts.view(), f.dtext);
        });
    }

    /// Returns what a shard contributes to the gradients of the logit scale and bias.
    pub fn dscalars(&self, shard: usize) -> [f32; 2] {
        self.outcome.dscalars[shard]
    }

    /// Returns the losses.
    pub fn losses(&self) -> Vec<Metric> {
        self.outcome.losses.clone()
    }
}

/// What one rank compares: its shards' pictures and captions with those of all ranks.
struct Part<'a> {
    /// The scores of all pictures and captions.
    scores: Scores<'a>,
    /// The positives of each shard.
    positives: &'a [Positives],
    /// The shards, as ranges of this rank's pairs.
    shards: Vec<Range<usize>>,
}

impl Part<'_> {
    /// Contrasts by InfoNCE. Returns the gradients of this rank's unit-length features.
    fn contrast<'c, W: World>(
        &self,
        world: &W,
        arena: &'c mut Arena,
        gathered_lse: &mut [Vec<f32>; 2],
        gathered_losses: &mut Vec<f64>,
        outcome: &mut Outcome,
    ) -> [ArrayViewMut2<'c, f32>; 2] {
        let Scores { rows: images, cols: texts, scale } = self.scores;
        let (all, own) = (images.nrows(), self.own());
        let mut c = arena.carve(&Contrast::dims(own.len(), all, images.ncols()));
        let mut losses = vec![];
        in_pool(|| {
            for positives in self.positives {
                let loss = info_nce::forward(images, texts, scale, positives, &mut c.saved, &mut c.scratch);
                losses.extend([loss.image_to_text, loss.text_to_image]);
            }
        });
        for (lse, gathered) in [&mut c.saved.image_lse, &mut c.saved.text_lse].into_iter().zip(gathered_lse) {
            if world.size() > 1 {
                let lse = floats_mut(lse.view_mut());
                world.all_gather(&lse[own.clone()], gathered);
                lse.copy_from_slice(gathered);
            }
        }
        in_pool(|| {
            for (positives, shard) in self.positives.iter().zip(&self.shards) {
                let [dimages, dtexts] = [&mut c.dimages, &mut c.dtexts].map(|all| rows_mut(all.view_mut(), shard));
                let scratch = &mut c.scratch;
                let d = info_nce::backward(images, texts, scale, positives, &c.saved, dimages, dtexts, scratch);
                outcome.dscalars.push([d, 0.0]);
            }
        });
        let [image_to_text, text_to_image] = sums_of_shards(world, &losses, gathered_losses);
        let loss = Loss { image_to_text, text_to_image };
        let both = Metric::new("loss", loss.mean()).against_chance((all as f64).ln());
        outcome.losses = [both].into_iter().chain(halves(loss)).collect();
        [c.dimages, c.dtexts]
    }

    /// Judges each pair by itself, by the sigmoid loss. Returns the gradients of this rank's unit-length features.
    fn judge<'c, W: World>(
        &self,
        world: &W,
        logit_bias: f32,
        arena: &'c mut Arena,
        gathered: &mut Vec<f64>,
        sums: &mut Sums,
        outcome: &mut Outcome,
    ) -> [ArrayViewMut2<'c, f32>; 2] {
        let (all, embed_dim) = self.scores.rows.dim();
        let mut c = arena.carve(&Judged::dims(self.own().len(), all, embed_dim));
        let mut losses = vec![];
        in_pool(|| {
            for (positives, shard) in self.positives.iter().zip(&self.shards) {
                let [dimages, dtexts] = [&mut c.dimages, &mut c.dtexts].map(|all| rows_mut(all.view_mut(), shard));
                let (scores, scratch) = (&self.scores, &mut c.scratch);
                sigmoid::forward_backward(scores, logit_bias, positives, dimages, dtexts, sums, scratch);
                let [loss, scale, bias] =
                    [&sums.loss, &sums.dlogit_scale, &sums.dlogit_bias].map(|pairs| pairs.iter().sum::<f64>());
                losses.push(loss);
                outcome.dscalars.push([scale as f32, bias as f32]);
            }
        });
        let [loss] = sums_of_shards(world, &losses, gathered);
        let chance = sigmoid::chance(&self.positives[0]);
        outcome.losses = vec![Metric::new("loss", loss).against_chance(chance)];
        [c.dimages, c.dtexts]
    }

    /// Contrasts, and learns the scores of a teacher. Returns the gradients of this rank's unit-length features.
    ///
    /// `positives` are those of all pairs. Every rank computes the whole, so the first shard of all gives the gradient of
    /// the logit scale.
    fn learn_from<'c>(
        &self,
        teacher: &Scores,
        positives: &Positives,
        arena: &'c mut Arena,
        outcome: &mut Outcome,
    ) -> [ArrayViewMut2<'c, f32>; 2] {
        let Scores { rows: images, cols: texts, scale } = self.scores;
        let (all, embed_dim) = images.dim();
        let mut t = arena.carve(&Taught::dims(all, embed_dim));
        let (loss, both, dlogit_scale) = in_pool(|| {
            let loss = info_nce::forward(images, texts, scale, positives, &mut t.saved, &mut t.scratch);
            let (dimages, dtexts) = (t.dimages.view_mut(), t.dtexts.view_mut());
            let (both, d) = distill::loss(&self.scores, teacher, positives, dimages, dtexts, &mut t.distill);
            (loss, f64::from(both), d)
        });
        let own = self.own();
        for shard in &self.shards {
            outcome.dscalars.push([if own.start + shard.start == 0 { dlogit_scale } else { 0.0 }, 0.0]);
        }
        let chance = (all as f64).ln();
        let parts = [
            // Both parts compare the choice of a model that cannot tell pairs apart with a distribution: ln N each.
            Metric::new("loss", both).against_chance(2.0 * chance),
            Metric::new("loss_contrast", loss.mean()).against_chance(chance),
            Metric::new("loss_distill", both - loss.mean()),
        ];
        outcome.losses = parts.into_iter().chain(halves(loss)).collect();
        [rows_mut(t.dimages, &own), rows_mut(t.dtexts, &own)]
    }

    /// Returns which of all pairs are this rank's.
    fn own(&self) -> Range<usize> {
        self.positives[0].own().start..self.positives[self.positives.len() - 1].own().end
    }
}

/// Returns the losses of the two directions.
fn halves(loss: Loss) -> [Metric; 2] {
    [Metric::new("loss_image_to_text", loss.image_to_text), Metric::new("loss_text_to_image", loss.text_to_image)]
}

/// Adds up K numbers of each shard, over the shards of all ranks in their order.
fn sums_of_shards<W: World, const K: usize>(world: &W, own: &[f64], gathered: &mut Vec<f64>) -> [f64; K] {
    let all = world.all_gather(own, gathered);
    std::array::from_fn(|k| all.iter().skip(k).step_by(K).sum())
}
