//! What both towers share: residual blocks, the pooled last block, a LayerNorm, the projection into the joint space.

use super::Keep;
use crate::layers::block::{self, Block, BlockInit, Saved as BlockSaved, Scratch as BlockScratch, Size};
use crate::layers::layer_norm::{self, LayerNorm, Saved as NormSaved};
use crate::layers::pooled_block::{self, Saved as PooledSaved, Scratch as PooledScratch};
use crate::layers::projection;
use crate::layers::sequences::Sequences;
use crate::params::Spec;
use crate::tree::{Dim, tree};
use crate::weights::Read;
use kernels::Write;
use ndarray::{ArrayView2, ArrayViewMut2};

tree! {
    /// The residual blocks.
    Transformer { resblocks: [Block] }
}

tree! {
    /// `xs` (N,d): the input of each block; `pooled_out` (B,d): the last block's output.
    Saved { xs: [_], blocks: [BlockSaved], pooled: PooledSaved, pooled_out, ln: NormSaved }
}

tree! {
    /// `dx` (N,d); `normed`, `dnormed`, `dpooled` (B,d).
    Scratch { block: BlockScratch, pooled: PooledScratch, dx, normed, dnormed, dpooled }
}

impl Transformer<Spec> {
    pub fn spec(size: &Size, init: &BlockInit) -> Self {
        Transformer { resblocks: (0..size.layers).map(|_| Block::spec(size, init)).collect() }
    }
}

/// The parameters, or their gradients, of a tower without its embedding.
pub struct Tower<'a, T> {
    pub resblocks: &'a [Block<T>],
    pub ln: &'a LayerNorm<T>,
    /// (d,e)
    pub proj: &'a T,
}

/// The same, writable.
pub struct TowerMut<'a, T> {
    pub resblocks: &'a mut [Block<T>],
    pub ln: &'a mut LayerNorm<T>,
    pub proj: &'a mut T,
}

impl Saved<Dim> {
    pub fn dims(size: &Size, rows: usize, sequences: usize, keep: Keep) -> Self {
        // Every block but the pooled one has buffers of its own, or all share those of one.
        let (xs, blocks) = match keep {
            Keep::All => (size.layers, size.layers - 1),
            Keep::Nothing => (size.layers.min(2), (size.layers - 1).min(1)),
        };
        Saved {
            xs: vec![Dim(rows, size.width); xs],
            blocks: (0..blocks).map(|_| BlockSaved::dims(size, rows, keep)).collect(),
            pooled: PooledSaved::dims(size, rows, sequences, keep),
            pooled_out: Dim(sequences, size.width),
            ln: NormSaved::dims(sequences),
        }
    }
}

impl Scratch<Dim> {
    pub fn dims(size: &Size, rows: usize, sequences: usize) -> Self {
        let pooled = Dim(sequences, size.width);
        Scratch {
            block: BlockScratch::dims(size, rows),
            pooled: PooledScratch::dims(size, rows, sequences),
            dx: Dim(rows, size.width),
            normed: pooled,
            dnormed: pooled,
            dpooled: pooled,
        }
    }
}

/// features = ln(last block's pooled rows) W           features (B,e)
///
/// The caller has put the embedded rows into `saved.xs[0]`.
#[track_caller]
pub fn forward(
    p: Tower<impl Read>,
    size: &Size,
    sequences: &Sequences,
    features: ArrayViewMut2<f32>,
    saved: &mut Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) {
    let (last, blocks) = p.resblocks.split_last().expect("a tower has a block");
    for (i, block) in blocks.iter().enumerate() {
        forward_block(block, i, size, sequences, saved, &mut scratch.block);
    }
    let x = saved.xs[blocks.len() % saved.xs.len()].view();
    let y = saved.pooled_out.view_mut();
    pooled_block::forward(last, size, sequences, x, y, &mut saved.pooled, &mut scratch.pooled);
    layer_norm::forward(p.ln, size.eps, saved.pooled_out.view(), scratch.normed.view_mut(), &mut saved.ln);
    projection::forward(p.proj, scratch.normed.view(), features);
}

/// xs\[i + 1\] = blockᵢ(xs\[i\]), around the ring where there are fewer buffers than blocks.
fn forward_block(
    block: &Block<impl Read>,
    i: usize,
    size: &Size,
    sequences: &Sequences,
    saved: &mut Saved<ArrayViewMut2<f32>>,
    scratch: &mut BlockScratch<ArrayViewMut2<f32>>,
) {
    let (buffers, kept) = (saved.xs.len(), saved.blocks.len());
    let [x, y] = saved.xs.get_disjoint_mut([i % buffers, (i + 1) % buffers]).expect("two buffers or more");
    let saved = &mut saved.blocks[i % kept];
    block::forward(block, size, sequences.ranges(), x.view(), y.view_mut(), saved, scratch);
}

/// Adds the gradients of all parameters and leaves ∂loss/∂xs\[0\] in `scratch.dx`.
#[track_caller]
pub fn backward(
    p: Tower<&[f32]>,
    size: &Size,
    sequences: &Sequences,
    dfeatures: ArrayView2<f32>,
    saved: &Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
    g: TowerMut<&mut [f32]>,
) {
    // in the forward pass: features = ln(pooled_out) W
    layer_norm::recompute(p.ln, saved.pooled_out.view(), &saved.ln, scratch.normed.view_mut());
    projection::backward(p.proj, scratch.normed.view(), dfeatures, scratch.dnormed.view_mut(), g.proj);
    let (dnormed, mut dpooled) = (scratch.dnormed.view(), scratch.dpooled.view_mut());
    layer_norm::backward(p.ln, saved.pooled_out.view(), &saved.ln, dnormed, Write::Set, dpooled.view_mut(), g.ln);
    // in the forward pass: pooled_out = pooled rows of block(xs[last])
    let last = p.resblocks.len() - 1;
    let (x, dx) = (saved.xs[last].view(), scratch.dx.view_mut());
    let (block, g_block) = (&p.resblocks[last], &mut g.resblocks[last]);
    pooled_block::backward(block, size, sequences, x, dpooled, dx, &saved.pooled, &mut scratch.pooled, g_block);
    // in the forward pass: xs[i + 1] = block(xs[i])
    for i in (0..last).rev() {
        let (x, dx, saved) = (saved.xs[i].view(), scratch.dx.view_mut(), &saved.blocks[i]);
        let (block, g_block) = (&p.resblocks[i], &mut g.resblocks[i]);
        block::backward(block, size, sequences.ranges(), x, dx, saved, &mut scratch.block, g_block);
    }
}
