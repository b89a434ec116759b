//! The parts of a model in the order in which a picture or a text goes through them, and what each takes.
//!
//! Every number is that of the code itself: parameters are counted in the parameter tables, what is kept in the tables of
//! the buffers, and the arithmetic where [flops](crate::models::clip::flops) are counted.

use crate::layers::block::Size;
use crate::models::stack::{Saved, Stack};
use crate::params::{Spec, count};
use crate::tree::{Dim, Path, Tree};

/// A part of a model, and what it takes for one picture or text.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub name: &'static str,
    /// The sizes of what goes in, such as rows and width.
    pub input: Vec<usize>,
    /// The sizes of what comes out.
    pub output: Vec<usize>,
    /// The number of parameters that no part before has.
    pub parameters: usize,
    /// The number of parameters that a part before has, too.
    pub shared: usize,
    /// The number of floating-point operations of a forward pass.
    pub flops: f64,
    /// The number of floats that are kept for the backward pass.
    pub kept: usize,
}

/// Counts the numbers of some buffers.
pub(crate) fn floats(dims: &impl Tree<Leaf = Dim>) -> usize {
    let mut floats = 0;
    dims.map(&Path::ROOT, &mut |_, dim| floats += floats_of(*dim));
    floats
}

/// Counts the numbers of a buffer.
pub(super) fn floats_of(Dim(rows, cols): Dim) -> usize {
    rows * cols
}

/// Lists the blocks of a stack and the LayerNorm behind them. `rows` go through the stack and `leaving` leave it; the
/// operations are those of a block and of the last one.
pub(super) fn of_stack(
    stack: Stack<Spec>,
    size: &Size,
    (rows, leaving): (usize, usize),
    saved: &Saved<Dim>,
    (flops, last_flops): (f64, f64),
) -> Vec<Part> {
    let Saved { xs, blocks, pooled, out, ln } = saved;
    let (width, last) = (size.width, stack.resblocks.len() - 1);
    let block = |(i, block)| {
        let is_pooled = i == last && rows != leaving;
        let own = blocks.get(i).map_or_else(|| pooled.as_ref().map_or(0, floats), floats);
        Part {
            name: if is_pooled { "last block" } else { "block" },
            input: vec![rows, width],
            output: vec![if is_pooled { leaving } else { rows }, width],
            parameters: count(block),
            shared: 0,
            flops: if i == last { last_flops } else { flops },
            kept: floats_of(xs[i]) + own,
        }
    };
    let norm = Part {
        name: "layer norm",
        input: vec![leaving, width],
        output: vec![leaving, width],
        parameters: count(stack.ln),
        shared: 0,
        flops: 0.0,
        kept: floats_of(*out) + floats(ln),
    };
    stack.resblocks.iter().enumerate().map(block).chain([norm]).collect()
}
