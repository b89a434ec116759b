//! Parameters: a table of shapes and initialisers, and one flat block of memory behind it.
//!
//! Parameters are what training moves and checkpoints hold: f32, in the order of the checkpoint. What inference reads is
//! made from them, see [`weights`](crate::weights).
//!
//! Some leaves of the tree are no parameters but buffers: they are saved and loaded as parameters are, yet no gradient
//! moves them. The block is `[all parameters | all buffers]`, each part in the order of the tree, so that what is meant
//! for parameters alone (moments, norms, AdamW) works on the first part of it.

use crate::tree::{Path, Tree};
use kernels::memory::Floats;
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;
use std::ops::Range;

/// One leaf: its shape in the checkpoint, how it starts, what moves it and what it may be laid out for.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    pub shape: Vec<usize>,
    pub init: Init,
    pub role: Role,
    pub layout: Layout,
}

/// How a layer's forward pass reads a leaf, and so what inference may lay its numbers out for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// By its rows: gains, biases, tables that are looked up, whatever is cut by columns or heads. It stays as it is.
    Rows,
    /// As the W (O,I) of products x Wᵀ alone.
    Linear,
    /// As the W (O,I,k,k) of convolutions alone; `taps` is k².
    Filters { taps: usize },
    /// As a table (V,d) whose rows are looked up, and as the W of products x Wᵀ.
    Table,
}

/// What moves a leaf.
///
/// In a block of gradients the slot of a buffer collects what a step's batches observed; see
/// [`optim::running`](crate::optim::running).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Its gradient.
    Parameter,
    /// A buffer: what was observed. The slot holds the sum over batches.
    Statistic,
    /// A buffer: every step adds one. It follows the statistics it counts for; the slot says over how many batches
    /// theirs are summed.
    Count,
}

/// The distribution a parameter is drawn from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    Const(f32),
    /// N(0, σ²)
    Normal(f32),
    /// U(−a, a)
    Uniform(f32),
}

impl Spec {
    pub fn new(shape: &[usize], init: Init) -> Self {
        Spec { shape: shape.to_vec(), init, role: Role::Parameter, layout: Layout::Rows }
    }

    /// The weights (O,I) of a linear layer.
    pub fn linear(outputs: usize, inputs: usize, init: Init) -> Self {
        Spec { layout: Layout::Linear, ..Spec::new(&[outputs, inputs], init) }
    }

    /// The weights (O,I,k,k) of a convolution.
    pub fn filters(outputs: usize, inputs: usize, kernel: usize, init: Init) -> Self {
        let layout = Layout::Filters { taps: kernel * kernel };
        Spec { layout, ..Spec::new(&[outputs, inputs, kernel, kernel], init) }
    }

    /// A table (V,d) of embeddings that is the weights of an output product, too.
    pub fn table(rows: usize, width: usize, init: Init) -> Self {
        Spec { layout: Layout::Table, ..Spec::new(&[rows, width], init) }
    }

    /// A leaf that no gradient moves.
    pub fn buffer(shape: &[usize], init: Init, role: Role) -> Self {
        Spec { role, ..Spec::new(shape, init) }
    }

    pub fn is_buffer(&self) -> bool {
        self.role != Role::Parameter
    }

    /// How many numbers the leaf has; a scalar (shape `[]`) has one.
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }

    /// Weight decay is for matrices and tables, not for gains, biases and scalars (CLIP paper, section 2.5).
    pub fn decays(&self) -> bool {
        self.shape.len() >= 2
    }

    fn fill(&self, rng: &mut impl Rng, out: &mut [f32]) {
        match self.init {
            Init::Const(value) => out.fill(value),
            Init::Normal(sigma) => out.fill_with(|| sigma * rng.sample::<f32, _>(StandardNormal)),
            Init::Uniform(bound) => out.fill_with(|| rng.random_range(-bound..=bound)),
        }
    }
}

/// A parameter tree's table and its values in one block.
#[derive(Clone, Debug)]
pub struct Params<S> {
    pub spec: S,
    pub flat: Floats,
}

impl<S: Tree<Leaf = Spec>> Params<S> {
    /// All zeros.
    pub fn zeros(spec: S) -> Self {
        let len = len(&spec);
        Params { spec, flat: Floats::zeros(len) }
    }

    /// Drawn from the initialisers; the same seed gives the same bits.
    pub fn init(spec: S, seed: u64) -> Self {
        let mut params = Params::zeros(spec);
        let mut rng = Pcg64::seed_from_u64(seed);
        let flat = &mut params.flat;
        for_each(&params.spec, &Path::ROOT, |_, spec, range| spec.fill(&mut rng, &mut flat[range]));
        params
    }

    /// What a checkpoint holds, in the order of the tree: name from `at`, what it is, and its values. A tied leaf is there
    /// under each of its names.
    pub fn named(&self, at: &Path) -> Vec<(String, Spec, &[f32])> {
        let mut named = vec![];
        for_each(&self.spec, at, |path, spec, range| {
            let values = &self.flat[range];
            named.extend(path.names().into_iter().map(|name| (name, spec.clone(), values)));
        });
        named
    }

    /// Every leaf in the order of the tree, to be filled: all its names from `at`, what it is, and its values.
    pub fn named_mut(&mut self, at: &Path) -> Vec<(Vec<String>, Spec, &mut [f32])> {
        let mut named = vec![];
        split_mut(&self.spec, at, &mut self.flat, |path, spec, values| {
            named.push((path.names(), spec.clone(), values))
        });
        named
    }

    /// Read-only views, one per leaf.
    pub fn view(&self) -> S::Of<&[f32]> {
        view(&self.spec, &self.flat)
    }
}

/// How many numbers the tree's parameters have in all, buffers not counted.
pub fn count<S: Tree<Leaf = Spec>>(spec: &S) -> usize {
    let mut count = 0;
    spec.map(&Path::ROOT, &mut |_, spec| count += if spec.is_buffer() { 0 } else { spec.size() });
    count
}

/// How long the flat block is: parameters and buffers.
pub fn len<S: Tree<Leaf = Spec>>(spec: &S) -> usize {
    let mut len = 0;
    spec.map(&Path::ROOT, &mut |_, spec| len += spec.size());
    len
}

/// The same tree of `f(path, spec, part)`, in the order of the tree. Each leaf's part is cut off the rest of its run, the
/// parameters' or the buffers', by `cut(rest, size)`.
fn split<S: Tree<Leaf = Spec>, R, U>(
    spec: &S,
    at: &Path,
    mut runs: (R, R),
    cut: impl Fn(&mut R, usize) -> R,
    mut f: impl FnMut(&Path, &Spec, R) -> U,
) -> S::Of<U> {
    spec.map(at, &mut |path, spec| {
        let rest = if spec.is_buffer() { &mut runs.1 } else { &mut runs.0 };
        f(path, spec, cut(rest, spec.size()))
    })
}

fn split_mut<'a, S: Tree<Leaf = Spec>, U>(
    spec: &S,
    at: &Path,
    flat: &'a mut [f32],
    f: impl FnMut(&Path, &Spec, &'a mut [f32]) -> U,
) -> S::Of<U> {
    let cut = |rest: &mut &'a mut [f32], size| rest.split_off_mut(..size).expect("as many values as the table says");
    split(spec, at, flat.split_at_mut(count(spec)), cut, f)
}

/// The same tree of `f(path, spec, range)`, in the order of the tree: its path from `at`, and where it is in the flat block.
pub fn map_ranges<S: Tree<Leaf = Spec>, U>(
    spec: &S,
    at: &Path,
    f: impl FnMut(&Path, &Spec, Range<usize>) -> U,
) -> S::Of<U> {
    let (count, len) = (count(spec), len(spec));
    let cut = |rest: &mut Range<usize>, size| {
        let start = rest.start;
        rest.start += size;
        start..rest.start
    };
    split(spec, at, (0..count, count..len), cut, f)
}

/// Calls `f` with every leaf in the order of the tree: its path from `at`, and its range in the flat block.
pub fn for_each<S: Tree<Leaf = Spec>>(spec: &S, at: &Path, f: impl FnMut(&Path, &Spec, Range<usize>)) {
    map_ranges(spec, at, f);
}

/// Views into a flat block laid out as `spec` says; of any number type.
pub fn view<'a, S: Tree<Leaf = Spec>, T>(spec: &S, flat: &'a [T]) -> S::Of<&'a [T]> {
    map_ranges(spec, &Path::ROOT, |_, _, range| &flat[range])
}

/// Writable views into a flat block laid out as `spec` says.
pub fn view_mut<'a, S: Tree<Leaf = Spec>>(spec: &S, flat: &'a mut [f32]) -> S::Of<&'a mut [f32]> {
    split_mut(spec, &Path::ROOT, flat, |_, _, values| values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree;

    tree!(Leafs { weight, seen, count });
    tree!(Root { first: Leafs, last: Leafs });

    fn root() -> Root<Spec> {
        let leafs = |n| Leafs {
            weight: Spec::new(&[n, 2], Init::Normal(1.0)),
            seen: Spec::buffer(&[n], Init::Const(3.0), Role::Statistic),
            count: Spec::buffer(&[], Init::Const(7.0), Role::Count),
        };
        Root { first: leafs(1), last: leafs(2) }
    }

    #[test]
    fn buffers_follow_the_parameters() {
        let mut params = Params::init(root(), 1);
        assert_eq!((count(&params.spec), len(&params.spec), params.flat.len()), (6, 11, 11));
        assert_eq!(params.flat[6..], [3.0, 7.0, 3.0, 3.0, 7.0]);
        params.flat.iter_mut().zip(0u8..).for_each(|(x, i)| *x = f32::from(i));
        let view = params.view();
        assert_eq!((view.first.weight, view.last.weight), (&params.flat[..2], &params.flat[2..6]));
        assert_eq!((view.first.seen, view.last.count), (&[6.0][..], &[10.0][..]));
        let mut ranges = vec![];
        for_each(&params.spec, &Path::at("x"), |path, _, range| ranges.push(format!("{path} {range:?}")));
        assert_eq!(ranges[1..4].join(", "), "x.first.seen 6..7, x.first.count 7..8, x.last.weight 2..6");
        let mut flat = params.flat.clone();
        view_mut(&params.spec, &mut flat).last.seen.fill(0.0);
        assert_eq!(flat[7..], [7.0, 0.0, 0.0, 10.0]);
    }
}
