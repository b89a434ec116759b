//! The part of a pre-norm Transformer behind its embedding: residual blocks and a LayerNorm. Its output has the first
//! row of each sequence, the last row of each, or all rows.
//!
//! # Derivation
//! ```text
//! xᵢ₊₁ = blockᵢ(xᵢ)
//! y    = ln(pick(x behind the last block))
//! ```
//!
//! If all rows are picked, every block is a [whole one](block); if it is one row of each sequence, picking becomes a
//! part of the last block, which is then a [pooled one](pooled_block). In the backward pass, the dx of each step is the
//! dy of the step before it.
//!
//! If the sequences of a training pass drop, whole branches are dropped by stochastic depth.

use super::Keep;
use crate::layers::attention;
use crate::layers::block::{self, Block, BlockInit, Saved as BlockSaved, Scratch as BlockScratch, Size};
use crate::layers::layer_norm::{self, LayerNorm, Saved as NormSaved};
use crate::layers::mlp::Mlp;
use crate::layers::pooled_block::{self, Saved as PooledSaved, Scratch as PooledScratch};
use crate::layers::sequences::{Pool, Sequences};
use crate::params::{Init, Spec};
use crate::tree::{Arena, Dim, tree};
use crate::weights::{Balance, Read};
use kernels::Write;
use ndarray::{Array2, Array3, ArrayView2, ArrayViewMut2};
use std::convert::Infallible;

tree! {
    /// The residual blocks.
    Transformer { resblocks: [Block] }
}

tree! {
    /// `xs` holds the input of each block, and `out` the R rows of the last block's output that the stack passes on;
    /// `pooled` exists if these are not all rows.
    ///
    /// `xs[i]` (N,d), `out` (R,d)
    Saved { xs: [_], blocks: [BlockSaved], pooled: [PooledSaved?], out, ln: NormSaved }
}

tree! {
    /// `dx` holds the gradient of the stack's input on return.
    ///
    /// `dx` (N,d)
    Scratch { block: BlockScratch, pooled: [Pooled?], dx }
}

tree! {
    /// What a pooled last block needs; `dout` is the gradient of its output.
    ///
    /// `dout` (B,d)
    Pooled { block: PooledScratch, dout }
}

impl Transformer<Spec> {
    pub fn spec(size: &Size, init: &BlockInit) -> Self {
        Transformer { resblocks: (0..size.layers).map(|_| Block::spec(size, init)).collect() }
    }

    /// Returns the parameter table as big_vision draws it.
    pub fn xavier(size: &Size) -> Self {
        let (square, unused) = (Init::xavier(size.width, size.width), Init::Const(0.0));
        let init = BlockInit { in_proj: square, out_proj: square, c_fc: unused, c_proj: unused };
        let mut transformer = Transformer::spec(size, &init);
        transformer.resblocks.iter_mut().for_each(|block| block.mlp = Mlp::xavier(size.width, size.mlp_width));
        transformer
    }
}

/// Attention is sharp if its scores are estimated to be larger than this. In models as they are drawn they are about 1.
const SHARP: f64 = 8.0;

impl Balance<Transformer<Spec>> for Transformer<&mut [f32]> {
    /// Where scores are large, each row looks at the one row whose score is the largest, and the error of rounding, a
    /// hundredth of each score, often makes another the largest. So the layer that makes such scores keeps 32 bits, and
    /// so do those before it, whose errors come to be a part of its rows. `c_fc` has the least error, since what is large
    /// in its rows is known from the LayerNorm and keeps 32 bits alone: it is rounded up to scores of twice that size.
    fn balance(&mut self, spec: &mut Transformer<Spec>) {
        let mut later = 0.0_f64;
        for (block, spec) in self.resblocks.iter_mut().zip(&mut spec.resblocks).rev() {
            block.balance();
            if later > SHARP {
                spec.attn.out_proj.weight.keep();
                spec.mlp.c_proj.weight.keep();
            }
            if later > 2.0 * SHARP {
                spec.mlp.c_fc.weight.keep();
            }
            let own = block.score_size();
            if own > SHARP {
                spec.attn.in_proj_weight.keep();
            }
            later = later.max(own);
        }
    }
}

/// The parameters of a stack, wherever a model's tree has them.
pub struct Stack<'a, T> {
    pub resblocks: &'a [Block<T>],
    pub ln: &'a LayerNorm<T>,
}

/// The gradients of the parameters of a stack.
pub struct StackMut<'a, T> {
    pub resblocks: &'a mut [Block<T>],
    pub ln: &'a mut LayerNorm<T>,
}

impl Saved<Dim> {
    pub fn dims(size: &Size, rows: usize, sequences: usize, pool: Pool, keep: Keep) -> Self {
        let pooled = pool != Pool::All;
        let whole = size.layers - usize::from(pooled);
        // Every whole block has buffers of its own, or all blocks share those of one.
        let (xs, blocks) = match keep {
            Keep::All | Keep::Inputs => (size.layers, whole),
            Keep::Nothing => (size.layers.min(2), whole.min(1)),
        };
        let leaving = pool.rows(rows, sequences);
        Saved {
            xs: vec![Dim(rows, size.width); xs],
            blocks: (0..blocks).map(|_| BlockSaved::dims(size, rows, keep)).collect(),
            pooled: pooled.then(|| PooledSaved::dims(size, rows, sequences, keep)),
            out: Dim(leaving, size.width),
            ln: NormSaved::dims(leaving),
        }
    }

    /// Returns the sizes for inference after which `xs` has the input of every block.
    pub fn of_states(size: &Size, rows: usize, sequences: usize, pool: Pool) -> Self {
        let xs = vec![Dim(rows, size.width); size.layers];
        Saved { xs, ..Saved::dims(size, rows, sequences, pool, Keep::Nothing) }
    }
}

impl Scratch<Dim> {
    pub fn dims(size: &Size, rows: usize, sequences: usize, pool: Pool) -> Self {
        Scratch {
            block: BlockScratch::dims(size, rows),
            pooled: (pool != Pool::All).then(|| Pooled {
                block: PooledScratch::dims(size, rows, sequences),
                dout: Dim(sequences, size.width),
            }),
            dx: Dim(rows, size.width),
        }
    }
}

/// y = ln(pick(blocks(xs\[0\])))
///
/// `y` (R,d)
///
/// The caller has put the embedded rows into `saved.xs[0]`.
#[track_caller]
pub fn forward(
    p: Stack<impl Read>,
    size: &Size,
    sequences: &Sequences,
    y: ArrayViewMut2<f32>,
    saved: &mut Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) {
    let Ok(()) = forward_by_blocks(p.ln, size, sequences, y, saved, scratch, in_order(p.resblocks));
}

/// Computes the same as [`forward`] with blocks that need not be there at the same time: `block` gets each one ready and
/// lets it [take](Turn::take) its turn.
///
/// # Errors
/// Returns the error of `block`.
#[track_caller]
pub fn forward_by_blocks<E>(
    ln: &LayerNorm<impl Read>,
    size: &Size,
    sequences: &Sequences,
    y: ArrayViewMut2<f32>,
    saved: &mut Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
    mut block: impl FnMut(Turn) -> Result<(), E>,
) -> Result<(), E> {
    for i in 0..size.layers {
        block(Turn { i, size, sequences, saved, scratch })?;
    }
    layer_norm::forward(ln, size.eps, saved.out.view(), y, &mut saved.ln);
    Ok(())
}

/// Returns what lets each of these blocks take its turn.
pub fn in_order<R: Read>(blocks: &[Block<R>]) -> impl FnMut(Turn) -> Result<(), Infallible> {
    |turn| {
        let block = &blocks[turn.i];
        turn.take(block);
        Ok(())
    }
}

/// The turn of a block in the forward pass, for those whose blocks are not there at the same time.
pub struct Turn<'a, 's, 't> {
    /// The place of the block, whose turn comes behind that of the one before.
    pub i: usize,
    pub size: &'a Size,
    pub sequences: &'a Sequences,
    pub saved: &'a mut Saved<ArrayViewMut2<'s, f32>>,
    pub scratch: &'a mut Scratch<ArrayViewMut2<'t, f32>>,
}

impl Turn<'_, '_, '_> {
    /// xs\[i + 1\] = blockᵢ(xs\[i\])
    ///
    /// The output of the last block is `saved.out`, which has only the rows that leave the stack.
    #[track_caller]
    pub fn take(self, block: &Block<impl Read>) {
        let Turn { i, size, sequences, saved, scratch } = self;
        if i + 1 == size.layers {
            forward_last(block, size, sequences, saved, scratch);
        } else {
            forward_block(block, i, size, sequences, saved, &mut scratch.block);
        }
    }
}

/// xs\[i + 1\] = blockᵢ(xs\[i\])
///
/// The buffers are used as a ring where there are fewer of them than blocks.
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
    let dropout = sequences.depth(i, size.layers, false);
    block::forward(block, size, sequences.ranges(), dropout, x.view(), y.view_mut(), saved, scratch);
}

/// out = pick(block(x)), for the last block
fn forward_last(
    block: &Block<impl Read>,
    size: &Size,
    sequences: &Sequences,
    saved: &mut Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) {
    let leaving = sequences.pooled().len();
    assert_eq!(saved.out.nrows(), leaving, "a stack that gives out other rows than its sequences' {leaving}");
    let last = size.layers - 1;
    let (x, out) = (saved.xs[last % saved.xs.len()].view(), saved.out.view_mut());
    match (&mut saved.pooled, &mut scratch.pooled) {
        (Some(saved), Some(pooled)) => {
            let dropout = sequences.depth(last, size.layers, true);
            pooled_block::forward(block, size, sequences, dropout, x, out, saved, &mut pooled.block);
        }
        _ => {
            let saved = saved.blocks.last_mut().expect("a whole block");
            let dropout = sequences.depth(last, size.layers, false);
            block::forward(block, size, sequences.ranges(), dropout, x, out, saved, &mut scratch.block);
        }
    }
}

/// Computes y once more, bit for bit, for a backward pass that needs it as an input.
#[track_caller]
pub fn recompute(p: Stack<impl Read>, saved: &Saved<ArrayViewMut2<f32>>, y: ArrayViewMut2<f32>) {
    layer_norm::recompute(p.ln, saved.out.view(), &saved.ln, y);
}

/// Returns the attention probabilities (H,N,N) of every block in the one sequence of the last [`forward`], which kept all
/// or the inputs.
#[track_caller]
pub fn attention(p: Stack<impl Read>, size: &Size, saved: &Saved<ArrayViewMut2<f32>>) -> Vec<Array3<f32>> {
    assert_eq!(saved.xs.len(), p.resblocks.len(), "blocks that have kept their input");
    let mut normed = Array2::zeros(saved.xs[0].raw_dim());
    let mut stats = Arena::default();
    let stats = &mut stats.carve(&NormSaved::dims(normed.nrows()));
    let of = |(block, x): (&Block<_>, &ArrayViewMut2<f32>)| {
        layer_norm::forward(&block.ln_1, size.eps, x.view(), normed.view_mut(), stats);
        attention::probabilities(&block.attn, size.heads, size.causal, normed.view())
    };
    p.resblocks.iter().zip(&saved.xs).map(of).collect()
}

/// Adds to `g` the gradients of `ln` and of the blocks from `first` on, and leaves ∂loss/∂xs\[first\] in `scratch.dx`.
///
/// `dy` (R,d)
///
/// Blocks before `first` are not trained, so nothing needs the gradients of their outputs.
#[track_caller]
pub fn backward(
    p: Stack<&[f32]>,
    size: &Size,
    sequences: &Sequences,
    first: usize,
    dy: ArrayView2<f32>,
    saved: &Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
    g: StackMut<&mut [f32]>,
) {
    let (kept, layers) = (saved.xs.len(), p.resblocks.len());
    assert_eq!(kept, layers, "a backward pass through {layers} blocks, of which {kept} have kept their input");
    let Scratch { block: block_scratch, pooled: pooled_scratch, dx } = scratch;
    let mut whole = p.resblocks.len();
    let out = saved.out.view();
    if let (Some(saved_last), Some(Pooled { block: scratch, dout })) = (&saved.pooled, pooled_scratch) {
        whole -= 1;
        // in the forward pass: y = ln(out)
        layer_norm::backward(p.ln, out, &saved.ln, dy, Write::Set, dout.view_mut(), g.ln);
        // in the forward pass: out = pooled rows of block(xs[last])
        let (last, g_last, x) = (&p.resblocks[whole], &mut g.resblocks[whole], saved.xs[whole].view());
        let dropout = sequences.depth(whole, size.layers, true);
        let (dy, dx) = (dout.view_mut(), dx.view_mut());
        pooled_block::backward(last, size, sequences, dropout, x, dy, dx, saved_last, scratch, g_last);
    } else {
        // in the forward pass: y = ln(out)
        layer_norm::backward(p.ln, out, &saved.ln, dy, Write::Set, dx.view_mut(), g.ln);
    }
    // in the forward pass: xs[i + 1] = block(xs[i]), and out is the last of all rows
    for i in (first..whole).rev() {
        let (block, g_block, x) = (&p.resblocks[i], &mut g.resblocks[i], saved.xs[i].view());
        let (ranges, dropout) = (sequences.ranges(), sequences.depth(i, size.layers, false));
        let (dx, saved) = (dx.view_mut(), &saved.blocks[i]);
        block::backward(block, size, ranges, dropout, x, dx, saved, block_scratch, g_block);
    }
}
