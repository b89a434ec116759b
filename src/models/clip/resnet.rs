//! The ModifiedResNet of CLIP (Radford et al. 2021, section 2.4; He et al. 2019, ResNet-D): a stem of three
//! convolutions, four stages of bottlenecks with anti-aliased strides, attention pooling instead of the mean.

use crate::layers::attention_pool::{self, AttentionPool, Saved as PoolSaved, Scratch as PoolScratch};
use crate::layers::bottleneck::{
    self, Bottleneck, EXPANSION, InferScratch as BlockInferScratch, Saved as BlockSaved, Scratch as BlockScratch,
};
use crate::layers::patch_embed::CHANNELS;
use crate::layers::stem::{self, InferScratch as StemInferScratch, Saved as StemSaved, Scratch as StemScratch, Stem};
use crate::layers::{Dim4, floats_mut, pictures, pictures_mut, rows, rows_mut};
use crate::models::{Keep, Mode, Workspace};
use crate::params::Spec;
use crate::tree::{Arena, Dim, tree};
use crate::weights::Read;
use ndarray::{Array2, ArrayView2, ArrayView4, ArrayViewMut2, ArrayViewMut4};
use std::ops::Range;

tree! {
    /// The parameters of the tower, which a checkpoint of CLIP has under `visual`.
    ResNet {
        stem as "": Stem,
        layer1: [Bottleneck], layer2: [Bottleneck], layer3: [Bottleneck], layer4: [Bottleneck],
        attnpool: AttentionPool,
    }
}

tree! {
    /// The input of each block and of the pool. Where nothing is kept there are two buffers, used in turn and as long
    /// as the longest input.
    Inputs { xs: [_] }
}

tree! {
    /// What each part keeps for its backward pass.
    Saved { stem: StemSaved, blocks: [BlockSaved], pool: PoolSaved }
}

tree! {
    /// `dy` and `dx` hold the gradients of a block's output and input, and are as long as the longest of them.
    Scratch { dy, dx, stem: StemScratch, block: BlockScratch, pool: PoolScratch }
}

tree! {
    /// `xs` holds the input and the output of a block in two buffers, used in turn and as long as the longest of them.
    InferScratch { xs: [_], stem: StemInferScratch, block: BlockInferScratch, pool: PoolSaved }
}

/// The sizes of a ResNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The edge of a picture, in pixels.
    pub image_size: usize,
    /// The number of channels that the stem gives.
    pub width: usize,
    /// The number of bottlenecks of each stage.
    pub layers: [usize; 4],
    /// The number of heads of the attention pool.
    pub heads: usize,
    /// The width e of the joint space.
    pub embed_dim: usize,
}

/// Inference works on as many pictures at a time as have this many floats between two blocks. They are few enough to
/// fit the caches, and have enough rows in the last stage for fast products.
const INFER_FLOATS: usize = 1 << 22;

impl Shape {
    /// Returns the number of floats of a picture, 3·edge².
    pub fn image_len(&self) -> usize {
        CHANNELS * self.image_size.pow(2)
    }

    /// Returns the sizes of the stem.
    pub(super) fn stem(&self) -> stem::Shape {
        stem::Shape { image_size: self.image_size, width: self.width }
    }

    /// Lists all bottlenecks, stage after stage, each with the sizes of its input.
    pub(crate) fn blocks(&self, pictures: usize) -> Vec<(bottleneck::Shape, Dim4)> {
        let (mut blocks, mut x) = (vec![], self.stem().out(pictures));
        for (stage, &layers) in self.layers.iter().enumerate() {
            for layer in 0..layers {
                let stride = if stage > 0 && layer == 0 { 2 } else { 1 };
                let block = bottleneck::Shape { in_channels: x.3, planes: self.width << stage, stride };
                blocks.push((block, x));
                x = block.out(x);
            }
        }
        blocks
    }

    /// Lists the sizes of the inputs of all blocks, and of the pool.
    pub(super) fn xs(&self, pictures: usize) -> Vec<Dim4> {
        let blocks = self.blocks(pictures);
        let last = blocks.last().map_or(self.stem().out(pictures), |(block, x)| block.out(*x));
        blocks.into_iter().map(|(_, x)| x).chain([last]).collect()
    }

    /// Returns the sizes of the attention pool at the end, which is 32·width channels wide.
    pub fn pool(&self) -> attention_pool::Shape {
        let (_, height, width, _) = self.xs(1).pop().expect("the pool's");
        let channels = (EXPANSION << 3) * self.width;
        attention_pool::Shape { pixels: height * width, channels, heads: self.heads, embed_dim: self.embed_dim }
    }

    /// Returns the parameter table, initialised as OpenAI does it: by PyTorch's defaults but for bn3 of the bottlenecks
    /// and for the pool.
    pub fn spec(&self) -> ResNet<Spec> {
        let mut blocks = self.blocks(1).into_iter().map(|(block, _)| block.spec());
        let [layer1, layer2, layer3, layer4] = self.layers.map(|layers| blocks.by_ref().take(layers).collect());
        ResNet { stem: self.stem().spec(), layer1, layer2, layer3, layer4, attnpool: self.pool().spec() }
    }

    /// Returns how many [layer groups](super::groups) come before the input of the attention pool.
    pub fn groups_before_map(&self) -> usize {
        1 + self.layers.len()
    }

    /// Returns the number of bottlenecks in the first `locked` groups, the first of which is the stem.
    fn locked_blocks(&self, locked: usize) -> usize {
        self.layers.iter().take(locked.saturating_sub(1)).sum()
    }

    /// Nothing is kept of locked groups but the output of the last one.
    pub(super) fn inputs(&self, pictures: usize, locked: usize, keep: Keep) -> Inputs<Dim> {
        let first = self.locked_blocks(locked);
        let xs = match keep {
            Keep::All | Keep::Inputs => self.xs(pictures).into_iter().map(|x| Dim(1, len(x))).enumerate(),
            Keep::Nothing => return Inputs { xs: vec![self.longest_x(pictures); 2] },
        };
        Inputs { xs: xs.map(|(i, x)| if i < first { Dim(1, 0) } else { x }).collect() }
    }

    pub(super) fn saved(&self, pictures: usize, locked: usize) -> Saved<Dim> {
        let (all, none, first) = (self.blocks(pictures), self.blocks(0), self.locked_blocks(locked));
        Saved {
            stem: StemSaved::dims(&self.stem(), if locked > 0 { 0 } else { pictures }),
            blocks: none[..first].iter().chain(&all[first..]).map(|(block, x)| BlockSaved::dims(block, *x)).collect(),
            pool: PoolSaved::dims(&self.pool(), pictures),
        }
    }

    fn scratch(&self, pictures: usize) -> Scratch<Dim> {
        let longest = self.longest_x(pictures);
        Scratch {
            dy: longest,
            dx: longest,
            stem: StemScratch::dims(&self.stem(), pictures),
            block: BlockScratch::dims(&self.blocks(pictures)),
            pool: PoolScratch::dims(&self.pool(), pictures),
        }
    }

    fn infer_scratch(&self, pictures: usize) -> InferScratch<Dim> {
        InferScratch {
            xs: vec![self.longest_x(pictures); 2],
            stem: StemInferScratch::dims(&self.stem(), pictures),
            block: BlockInferScratch::dims(&self.blocks(pictures)),
            pool: PoolSaved::dims(&self.pool(), pictures),
        }
    }

    fn longest_x(&self, pictures: usize) -> Dim {
        Dim(1, self.xs(pictures).into_iter().map(len).max().unwrap_or(0))
    }

    #[track_caller]
    fn check(&self, images: (usize, usize)) {
        assert_eq!(images.1, self.image_len(), "pixels of a picture of {} × {0}", self.image_size);
    }
}

fn len(x: Dim4) -> usize {
    x.0 * x.1 * x.2 * x.3
}

impl<T> ResNet<T> {
    /// Iterates over all bottlenecks, from the pictures to the pool.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &Bottleneck<T>> {
        [&self.layer1, &self.layer2, &self.layer3, &self.layer4].into_iter().flatten()
    }

    fn blocks_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut Bottleneck<T>> {
        let ResNet { layer1, layer2, layer3, layer4, .. } = self;
        layer1.iter_mut().chain(layer2).chain(layer3).chain(layer4)
    }
}

/// features = attnpool(blocks(stem(images)))
///
/// `images` (B,3·edge²), `features` (B,e)
///
/// The values of a picture are ordered by channel, row and column; each is (x − mean)/std of its channel. The features
/// are not of unit length.
///
/// In training BatchNorm uses the statistics of these pictures, in inference and in groups that the workspace locks the
/// running statistics.
#[track_caller]
pub fn forward(
    p: &ResNet<impl Read>,
    shape: &Shape,
    images: ArrayView2<f32>,
    mode: Mode,
    mut features: ArrayViewMut2<f32>,
    workspace: &mut Workspace,
    scratch: &mut Arena,
) {
    shape.check(images.dim());
    match mode {
        Mode::Training(keep) => train(p, shape, images, keep, features, workspace, scratch),
        Mode::Masked(..) => panic!("a ResNet has no patches to drop"),
        Mode::Inference => infer(p, shape, images, shape.layers.iter().sum(), scratch, |range, x, pool| {
            let features = rows_mut(features.view_mut(), range);
            attention_pool::forward(&p.attnpool, &shape.pool(), x, features, pool);
        }),
    }
}

fn train(
    p: &ResNet<impl Read>,
    shape: &Shape,
    images: ArrayView2<f32>,
    keep: Keep,
    features: ArrayViewMut2<f32>,
    workspace: &mut Workspace,
    scratch: &mut Arena,
) {
    let n = images.nrows();
    let (blocks, dims) = (shape.blocks(n), shape.xs(n));
    let Workspace { inputs, saved, locked, .. } = workspace;
    let first = shape.locked_blocks(*locked);
    let mut xs = inputs.carve(&shape.inputs(n, *locked, keep)).xs;
    if *locked > 0 {
        let ring = xs.len();
        let mut left = &mut floats_mut(xs[first % ring].view_mut())[..len(dims[first])];
        infer(p, shape, images, first, scratch, |_, x, _| {
            let (own, rest) = std::mem::take(&mut left).split_at_mut(x.len());
            own.copy_from_slice(x.as_slice().expect("pictures follow each other"));
            left = rest;
        });
    }
    let Scratch { stem: stem_scratch, block: block_scratch, .. } = &mut scratch.carve(&shape.scratch(n));
    let trained = || p.blocks().zip(&blocks).enumerate().skip(first);
    match keep {
        Keep::All | Keep::Inputs => {
            let Saved { stem, blocks: saved, pool } = &mut saved.carve(&shape.saved(n, *locked));
            if *locked == 0 {
                let y = pictures_mut(xs[0].view_mut(), dims[0]);
                stem::forward(&p.stem, &shape.stem(), images, y, stem, stem_scratch);
            }
            for (i, (p, (block, _))) in trained() {
                let (x, y) = input_output(&mut xs, &dims, i);
                bottleneck::forward(p, block, x, y, &mut saved[i], block_scratch);
            }
            attention_pool::forward(&p.attnpool, &shape.pool(), last_output(&xs, &dims), features, pool);
        }
        // All parts save into the same memory in turn, because no backward pass will read it.
        Keep::Nothing => {
            if *locked == 0 {
                let stem = &mut saved.carve(&StemSaved::dims(&shape.stem(), n));
                let y = pictures_mut(xs[0].view_mut(), dims[0]);
                stem::forward(&p.stem, &shape.stem(), images, y, stem, stem_scratch);
            }
            for (i, (p, (block, x))) in trained() {
                let saved = &mut saved.carve(&BlockSaved::dims(block, *x));
                let (x, y) = input_output(&mut xs, &dims, i);
                bottleneck::forward(p, block, x, y, saved, block_scratch);
            }
            let pool = &mut saved.carve(&PoolSaved::dims(&shape.pool(), n));
            attention_pool::forward(&p.attnpool, &shape.pool(), last_output(&xs, &dims), features, pool);
        }
    }
}

/// Returns the input and the output of block i. They are neighbours in the list, which is used as a ring where it has
/// fewer buffers than there are blocks.
fn input_output<'a>(
    xs: &'a mut [ArrayViewMut2<f32>],
    dims: &[Dim4],
    i: usize,
) -> (ArrayView4<'a, f32>, ArrayViewMut4<'a, f32>) {
    let ring = xs.len();
    let [x, y] = xs.get_disjoint_mut([i % ring, (i + 1) % ring]).expect("two buffers or more");
    (pictures(x.view(), dims[i]), pictures_mut(y.view_mut(), dims[i + 1]))
}

/// Returns the output of the last block, which is the input of the pool.
fn last_output<'a>(xs: &'a [ArrayViewMut2<f32>], dims: &[Dim4]) -> ArrayView4<'a, f32> {
    let last = dims.len() - 1;
    pictures(xs[last % xs.len()].view(), dims[last])
}

/// Computes the stem and the first `blocks` bottlenecks by the running statistics, and calls `end` with what they give.
/// One group of pictures follows the other, because with running statistics no picture depends on another.
fn infer(
    p: &ResNet<impl Read>,
    shape: &Shape,
    images: ArrayView2<f32>,
    blocks: usize,
    scratch: &mut Arena,
    mut end: impl FnMut(&Range<usize>, ArrayView4<f32>, &mut PoolSaved<ArrayViewMut2<f32>>),
) {
    let Dim(_, longest) = shape.longest_x(1);
    let group = (INFER_FLOATS / longest).max(1);
    for start in (0..images.nrows()).step_by(group) {
        let range = start..images.nrows().min(start + group);
        let (sizes, dims) = (shape.blocks(range.len()), shape.xs(range.len()));
        let InferScratch { xs, stem, block: block_scratch, pool } =
            &mut scratch.carve(&shape.infer_scratch(range.len()));
        let y = pictures_mut(xs[0].view_mut(), dims[0]);
        stem::infer(&p.stem, &shape.stem(), rows(images, &range), y, stem);
        for (i, (p, (block, _))) in p.blocks().zip(&sizes).take(blocks).enumerate() {
            let (x, y) = input_output(xs, &dims, i);
            bottleneck::infer(p, block, x, y, block_scratch);
        }
        end(&range, pictures(xs[blocks % xs.len()].view(), dims[blocks]), pool);
    }
}

/// Adds to `g` the gradients of all parameters that the workspace does not lock, and to the slots of buffers what
/// BatchNorm observed.
///
/// `images` (B,3·edge²), `dfeatures` (B,e)
///
/// The last [`forward`] in `workspace` must have been one of these pictures with [`Mode::Training`] and [`Keep::All`].
/// This call overwrites what it saved.
#[track_caller]
pub fn backward(
    p: &ResNet<&[f32]>,
    shape: &Shape,
    images: ArrayView2<f32>,
    dfeatures: ArrayView2<f32>,
    workspace: &mut Workspace,
    scratch: &mut Arena,
    g: &mut ResNet<&mut [f32]>,
) {
    let n = images.nrows();
    let (blocks, dims) = (shape.blocks(n), shape.xs(n));
    let Workspace { inputs, saved, locked, .. } = workspace;
    let first = shape.locked_blocks(*locked);
    let xs = inputs.carve(&shape.inputs(n, *locked, Keep::All)).xs;
    let Saved { stem, blocks: saved, pool } = &mut saved.carve(&shape.saved(n, *locked));
    let Scratch { dy, dx, stem: stem_scratch, block: block_scratch, pool: pool_scratch } =
        &mut scratch.carve(&shape.scratch(n));
    // in the forward pass: features = pool(xs[last])
    let dlast = pictures_mut(dy.view_mut(), dims[blocks.len()]);
    attention_pool::backward(&p.attnpool, &shape.pool(), dfeatures, dlast, pool, pool_scratch, &mut g.attnpool);
    // in the forward pass: xs[i + 1] = block(xs[i])
    let params: Vec<_> = p.blocks().collect();
    for (i, g) in g.blocks_mut().enumerate().skip(first).collect::<Vec<_>>().into_iter().rev() {
        let (x, y) = (pictures(xs[i].view(), dims[i]), pictures(xs[i + 1].view(), dims[i + 1]));
        let (dy_i, dx_i) = (pictures_mut(dy.view_mut(), dims[i + 1]), pictures_mut(dx.view_mut(), dims[i]));
        bottleneck::backward(params[i], &blocks[i].0, x, y, dy_i, dx_i, &mut saved[i], block_scratch, g);
        std::mem::swap(dy, dx);
    }
    if *locked > 0 {
        return;
    }
    // in the forward pass: xs[0] = stem(images)
    let dy = pictures(dy.view(), dims[0]);
    stem::backward(&p.stem, &shape.stem(), images, dy, stem, stem_scratch, &mut g.stem);
}

/// Returns the pixels of the last stage's output, which the attention pool reads, and the gradient with respect to them.
///
/// each (height·width,C)
///
/// The last [`forward`] and [`backward`] in `workspace` must have been of one picture with [`Mode::Training`] and
/// [`Keep::All`], with the groups [before the map](Shape::groups_before_map) locked, and nothing may have used
/// `scratch` since.
#[track_caller]
pub fn places_map(shape: &Shape, workspace: &mut Workspace, scratch: &mut Arena) -> [Array2<f32>; 2] {
    let dim = *shape.xs(1).last().expect("the pool's");
    let xs = workspace.inputs.carve(&shape.inputs(1, workspace.locked, Keep::All)).xs;
    let scratch = scratch.carve(&shape.scratch(1));
    let rows = (dim.1 * dim.2, dim.3);
    [xs.last().expect("the pool's"), &scratch.dy]
        .map(|map| pictures(map.view(), dim).into_shape_with_order(rows).expect("one picture").to_owned())
}

/// Returns the attention probabilities (H,T) of the pool's one query for the one picture of the last [`forward`] in
/// `workspace`, which must have been one as [`places_map`] needs it. The first of the T tokens is the mean of the pixels.
#[track_caller]
pub fn attention(shape: &Shape, workspace: &mut Workspace) -> Array2<f32> {
    workspace.saved.carve(&shape.saved(1, workspace.locked)).pool.query.probs.to_owned()
}
