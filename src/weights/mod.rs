//! Weights: what inference reads, made once from [parameters](crate::params) and never changed.
//!
//! A product reads its weights fastest in an order of its own, and inference can do with fewer bits of them, but
//! training and checkpoints need them as they are. So there are two types: [`Params`], whose leaves are `&[f32]`, and
//! [`Weights`], whose leaves are [`Weight`]s. Forward passes [`Read`] either; backward passes take `&[f32]` alone. A
//! wrong use does not compile:
//!
//! ```
//! # use clipwright::Write;
//! # use clipwright::layers::linear::{self, Linear, default_init};
//! # use clipwright::params::Params;
//! # use ndarray::Array2;
//! let params = Params::init(Linear::spec(64, 32, default_init(64), default_init(64)), 0);
//! let weights = params.clone().into_weights();
//! # let (x, mut y) = (Array2::zeros((1, 64)), Array2::zeros((1, 32)));
//! # let (dy, mut dx, mut dw, mut db) = (y.clone(), x.clone(), vec![0.0; 64 * 32], vec![0.0; 32]);
//! # let g = &mut Linear { weight: &mut dw[..], bias: &mut db[..] };
//! linear::forward(&params.view(), x.view(), y.view_mut());
//! linear::forward(&weights.view(), x.view(), y.view_mut());
//! linear::backward(&params.view(), x.view(), dy.view(), Write::Set, dx.view_mut(), g);
//! ```
//! ```compile_fail,E0308
//! # use clipwright::Write;
//! # use clipwright::layers::linear::{self, Linear, default_init};
//! # use clipwright::params::Params;
//! # use ndarray::Array2;
//! # let weights = Params::init(Linear::spec(64, 32, default_init(64), default_init(64)), 0).into_weights();
//! # let (x, dy, mut dx) = (Array2::zeros((1, 64)), Array2::zeros((1, 32)), Array2::zeros((1, 64)));
//! # let (mut dw, mut db) = (vec![0.0; 64 * 32], vec![0.0; 32]);
//! # let g = &mut Linear { weight: &mut dw[..], bias: &mut db[..] };
//! linear::backward(&weights.view(), x.view(), dy.view(), Write::Set, dx.view_mut(), g);
//! ```
//! ```compile_fail,E0599
//! # use clipwright::{layers::linear::{Linear, default_init}, params::Params, tree::Path};
//! # let weights = Params::init(Linear::spec(64, 32, default_init(64), default_init(64)), 0).into_weights();
//! weights.named(&Path::ROOT); // what a checkpoint is written from
//! ```
//!
//! | file | what it is for |
//! |---|---|
//! | `form` | how the numbers of a leaf lie in memory |
//! | `half` | numbers of 16 bits |

mod form;
mod half;

use crate::params::{Layout, Params, Spec, for_each, map_ranges, view_mut};
use crate::tree::{Path, Tree};
use form::Form;
use kernels::gemm::int8::{Int8, Parts};
use kernels::memory::{Floats, LINE};
use std::cmp::Reverse;
use std::convert::Infallible;
use std::ops::Range;

pub(crate) use form::Bits;
pub use half::Half;

pub use kernels::gemm::Weight;

/// A leaf as a forward pass reads it: a trained parameter or an inference weight.
pub trait Read: Copy + Sync {
    /// Returns the leaf as a product takes it.
    fn weight(&self) -> Weight<'_>;

    /// Cuts the leaf into its first `n` numbers and the others; a W (O,I) may only be cut between rows.
    #[track_caller]
    fn cut(self, n: usize) -> (Self, Self);

    /// Returns the numbers in the order of the checkpoint.
    ///
    /// # Panics
    /// If they are laid out for products, which [`Layout::Rows`] never are.
    #[track_caller]
    fn rows(&self) -> &[f32] {
        self.weight().rows()
    }
}

impl Read for &[f32] {
    fn weight(&self) -> Weight<'_> {
        Weight::Plain(self)
    }

    #[track_caller]
    fn cut(self, n: usize) -> (Self, Self) {
        self.split_at(n)
    }
}

impl Read for Weight<'_> {
    fn weight(&self) -> Weight<'_> {
        *self
    }

    #[track_caller]
    fn cut(self, n: usize) -> (Self, Self) {
        self.split_at(n)
    }
}

/// A tree of weights. All are in one block of memory on large pages, where a single picture, which reads each weight
/// once, finds them sooner.
#[derive(Clone, Debug)]
pub struct Weights<T> {
    leaves: T,
    memory: Floats,
}

/// What inference rounds weights to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rounding {
    /// Nothing is rounded: matrices that the checkpoint stores in 16 or eight bits stay as they are, and all else has 32.
    /// With 16 the results have the bits that they have with 32.
    #[default]
    Stored,
    /// All weights have 32 bits.
    None,
    /// The matrices of products, of convolutions and of tokens have 16 bits. What they are multiplied with, and sums,
    /// have 32.
    Half(Half),
    /// The weights of linear layers in Transformers have [eight bits](kernels::gemm::int8), and so have the rows that
    /// they are multiplied with. Embeddings, LayerNorms, attention, convolutions and the last projection keep 32.
    Int8,
}

impl Rounding {
    /// Returns to what a leaf is rounded that the checkpoint stores so.
    pub(crate) fn bits(self, stored: Bits) -> Bits {
        match self {
            Rounding::Stored => stored,
            Rounding::None => Bits::All,
            Rounding::Half(half) => Bits::Half(half),
            Rounding::Int8 => Bits::Int8,
        }
    }

    /// Returns to which numbers of 16 bits a leaf is rounded, if it is a matrix and not kept as it is stored.
    pub(crate) fn half(self, spec: &Spec) -> Option<Half> {
        match self {
            Rounding::Half(half) if spec.layout != Layout::Rows => Some(half),
            _ => None,
        }
    }
}

/// Where a leaf's numbers are in the block, and in which form.
#[derive(Clone, Debug)]
pub struct Stored {
    range: Range<usize>,
    form: Form,
}

impl<T: Tree<Leaf = Stored>> Weights<T> {
    /// Views every leaf as forward passes read it.
    pub fn view(&self) -> T::Of<Weight<'_>> {
        self.leaves.map(&Path::ROOT, &mut |_, leaf| leaf.form.view(&self.memory[leaf.range.clone()]))
    }
}

impl<T> Weights<T> {
    /// Returns how many bytes the weights take.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.memory)
    }

    /// Makes weights of leaves that are read one after the other, in the order of the tree, so that most of them are
    /// never in memory in 32 bits.
    ///
    /// # Errors
    /// Returns the error of the leaves.
    pub(crate) fn read_by_leaves<S: Tree<Leaf = Spec, Of<Stored> = T>, L: Leaves>(
        spec: &S,
        rounding: Rounding,
        leaves: &L,
    ) -> Result<Self, L::Error>
    where
        T: Tree<Leaf = Stored>,
    {
        let mut weights = Weights::room(spec, |i| rounding.bits(leaves.stored(i)));
        weights.read_again(spec, rounding, leaves)?;
        Ok(weights)
    }

    /// Makes room for leaves that have `bits`.
    pub(crate) fn room<S: Tree<Leaf = Spec, Of<Stored> = T>>(spec: &S, bits: impl Fn(usize) -> Bits) -> Self {
        let (mut len, mut i) = (0, 0..);
        let leaves = spec.map(&Path::ROOT, &mut |_, spec| {
            let form = Form::of(spec, bits(i.next().expect("no end")));
            let stored = Stored { range: len..len + form.size(spec), form };
            len = stored.range.end.next_multiple_of(LINE);
            stored
        });
        Weights { leaves, memory: Floats::zeros(len) }
    }

    /// Reads leaves into the room that there is, in place of others, as [`read_by_leaves`](Self::read_by_leaves) does.
    ///
    /// # Errors
    /// Returns the error of the leaves.
    pub(crate) fn read_again<S: Tree<Leaf = Spec, Of<Stored> = T>, L: Leaves>(
        &mut self,
        spec: &S,
        rounding: Rounding,
        leaves: &L,
    ) -> Result<(), L::Error>
    where
        T: Tree<Leaf = Stored>,
    {
        let (mut specs, mut places, mut rows) = (vec![], vec![], vec![]);
        spec.map(&Path::ROOT, &mut |_, spec| specs.push(spec.clone()));
        self.leaves.map(&Path::ROOT, &mut |_, leaf| places.push(leaf.clone()));
        for (i, (spec, Stored { range, form })) in specs.into_iter().zip(places).enumerate() {
            let room = &mut self.memory[range.start..];
            if let Form::Half { half, len } = form
                && len <= room.len()
            {
                // The place of the leaves behind is still free, and a table may be the largest leaf of all.
                leaves.read(i, &mut room[..len])?;
                half.narrow(room, len);
                continue;
            }
            let to = &mut room[..range.len()];
            if let Form::Int8 { outputs, inputs } = form
                && leaves.stored(i) == Bits::Int8
            {
                Int8::assemble(&leaves.parts(i)?, outputs, inputs, to);
            } else if form.is_wide() {
                let values = &mut to[..spec.size()];
                leaves.read(i, values)?;
                rounding.half(&spec).iter().for_each(|half| half.round_in_place(values));
                form.lay_out(&spec, to);
            } else {
                rows.resize(spec.size(), 0.0);
                leaves.read(i, &mut rows)?;
                form.write(&spec, &mut rows, to);
            }
        }
        Ok(())
    }
}

/// The leaves of a tree, in its order, as weights are read from them.
pub(crate) trait Leaves {
    type Error;

    /// Returns to what leaf `i` has been rounded where it is read from.
    fn stored(&self, i: usize) -> Bits;

    /// Fills leaf `i`.
    fn read(&self, i: usize, out: &mut [f32]) -> Result<(), Self::Error>;

    /// Reads leaf `i`, which is of eight bits.
    fn parts(&self, i: usize) -> Result<Parts, Self::Error>;
}

/// Parameters in one list, of which each leaf has a range.
struct Ranges<'a>(&'a [f32], Vec<Range<usize>>);

impl Leaves for Ranges<'_> {
    type Error = Infallible;

    fn stored(&self, _: usize) -> Bits {
        Bits::All
    }

    fn read(&self, i: usize, out: &mut [f32]) -> Result<(), Infallible> {
        out.copy_from_slice(&self.0[self.1[i].clone()]);
        Ok(())
    }

    fn parts(&self, _: usize) -> Result<Parts, Infallible> {
        unreachable!("parameters have 32 bits")
    }
}

impl<S: Tree<Leaf = Spec>> Params<S> {
    /// Lays out the weights for inference, each as its product reads it fastest, in the memory of the parameters.
    #[must_use]
    pub fn into_weights(self) -> Weights<S::Of<Stored>> {
        let Params { spec, flat: mut memory } = self;
        let form = |spec: &Spec| Form::of(spec, Bits::All);
        let growth = |spec: &Spec| form(spec).size(spec) - spec.size();
        let (mut all, mut before, mut moves) = (0, 0, vec![]);
        spec.map(&Path::ROOT, &mut |_, spec| all += growth(spec));
        let leaves = map_ranges(&spec, &Path::ROOT, |_, spec, from| {
            // Buffers, which never grow, lie behind all parameters.
            let start = from.start + if spec.is_buffer() { all } else { before };
            let form = form(spec);
            let stored = Stored { range: start..start + form.size(spec), form };
            before += growth(spec);
            moves.push((from, spec.clone(), stored.clone()));
            stored
        });
        memory.grow(memory.len() + all);
        // Whatever moves moves backward, so the last goes first.
        moves.sort_by_key(|(from, ..)| Reverse(from.start));
        for (from, spec, Stored { range, form }) in moves {
            if from.start != range.start {
                memory.copy_within(from, range.start);
            }
            form.lay_out(&spec, &mut memory[range]);
        }
        Weights { leaves, memory }
    }
}

/// Parameters whose weights may be rounded once they are balanced.
pub trait Balance {
    /// Changes the parameters such that the model computes the same as before, but rounding costs less.
    fn balance(&mut self);
}

impl<S: Tree<Leaf = Spec>> Params<S>
where
    for<'a> S::Of<&'a mut [f32]>: Balance,
{
    /// Rounds the weights for inference and lays them out, each as its product reads it fastest.
    #[must_use]
    pub fn into_rounded(mut self, rounding: Rounding) -> Weights<S::Of<Stored>> {
        match rounding {
            Rounding::Stored | Rounding::None => return self.into_weights(),
            Rounding::Half(_) => {}
            Rounding::Int8 => view_mut(&self.spec, &mut self.flat).balance(),
        }
        let mut ranges = vec![];
        for_each(&self.spec, &Path::ROOT, |_, _, range| ranges.push(range));
        let weights = Weights::read_by_leaves(&self.spec, rounding, &Ranges(&self.flat, ranges));
        let Ok(weights) = weights;
        weights
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::linear::{self, Linear};
    use crate::params::Init;
    use crate::tree::tree;
    use kernels::gemm::Backend;
    use ndarray::Array2;

    tree!(Tied { gain, table, bias, last: Linear });

    const WIDTH: usize = 6;

    fn params(rows: usize) -> Params<Tied<Spec>> {
        let init = Init::Normal(1.0);
        let spec = Tied {
            gain: Spec::buffer(&[3], init, crate::params::Role::Statistic),
            table: Spec::table(rows, WIDTH, init),
            bias: Spec::new(&[rows], init),
            last: Linear::spec(WIDTH, 64, init, init),
        };
        Params::init(spec, 1)
    }

    #[test]
    fn a_table_is_looked_up_and_multiplied_and_stored_once() {
        for (rows, floats) in [(64, 0), (70, 26 * WIDTH)] {
            let params = params(rows);
            let (weights, params) = (params.clone().into_weights(), params.view());
            let w = weights.view();
            for (i, row) in params.table.chunks(WIDTH).enumerate() {
                let mut out = [f32::NAN; WIDTH];
                w.table.row(i, &mut out);
                assert_eq!(out, row, "{i} of {rows}");
            }
            let x = Array2::from_shape_fn((5, WIDTH), |(i, j)| (i * j) as f32 - 3.0);
            let (mut y, mut expected) = (Array2::zeros((5, rows)), Array2::zeros((5, rows)));
            linear::forward(&Linear { weight: w.table, bias: w.bias }, x.view(), y.view_mut());
            linear::forward(&Linear { weight: params.table, bias: params.bias }, x.view(), expected.view_mut());
            assert!((y - expected).iter().all(|off| off.abs() < 1e-4), "{rows}");
            assert_eq!((w.gain.rows(), w.bias.rows()), (params.gain, params.bias));
            if Backend::chosen() == Backend::Simd {
                let len = [params.gain, params.table, params.bias, params.last.weight, params.last.bias];
                assert_eq!(weights.memory.len(), len.iter().map(|leaf| leaf.len()).sum::<usize>() + floats);
            }
        }
    }

    #[test]
    fn weights_take_the_place_of_the_parameters() {
        for rows in [64, 70] {
            let params = params(rows);
            let block = params.flat.as_ptr();
            assert_eq!(params.into_weights().memory.as_ptr(), block, "{rows}");
        }
    }
}
