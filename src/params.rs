//! Parameters: a table of shapes and initialisers, and one flat block of memory behind it.
//!
//! Parameters are what training moves and checkpoints hold: f32, in the order of the checkpoint. Inference reads
//! [weights](crate::weights), which are made from them.
//!
//! Some leaves of the tree are no parameters but buffers: they are saved and loaded as parameters are, yet no gradient
//! moves them. The block is `[all parameters | all buffers]`, each part in the order of the tree, so that whatever
//! concerns parameters alone (moments, norms, AdamW) works on the first part of it.

use crate::tree::{Path, Tree};
use kernels::gemm::Panels;
use kernels::memory::Floats;
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;
use std::collections::HashMap;
use std::ops::Range;

/// The description of one leaf: its shape in the checkpoint, how it starts, what moves it, and how it is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// The sizes of the tensor in the checkpoint; a scalar has none.
    pub shape: Vec<usize>,
    /// How the values start.
    pub init: Init,
    /// What moves the values.
    pub role: Role,
    /// How a forward pass reads the values.
    pub layout: Layout,
}

/// How a layer's forward pass reads a leaf, which decides how inference may lay out its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The layer reads the leaf by its rows, as it does gains, biases, positions, and whatever is cut by columns or
    /// heads. Such a leaf stays as it is.
    Rows,
    /// The layer only multiplies by the leaf, as the W (O,I) of products x Wᵀ. If it `rounds`, inference may do that in
    /// eight bits.
    Linear { rounds: bool },
    /// The layer only convolves with the leaf, as the W (O,I,kernel,kernel) of convolutions; `taps` is k².
    Filters { taps: usize },
    /// The leaf is a table (V,d) whose rows are looked up, and nothing else.
    Lookup,
    /// The leaf is a table (V,d) whose rows are looked up, and also the W of products x Wᵀ.
    Table,
}

/// What moves a leaf.
///
/// In a block of gradients the slot of a buffer collects what a step's batches observed; see
/// [`optim::running`](crate::optim::running).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The leaf is a parameter, which its gradient moves.
    Parameter,
    /// The leaf is a buffer that follows what batches observe. Its slot holds the sum over the batches of a step.
    Statistic,
    /// The leaf is a buffer to which every step adds one. It comes right behind the statistics that it counts for; its
    /// slot says over how many batches theirs are summed.
    Count,
}

/// The distribution that a parameter is drawn from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Every value is this one.
    Const(f32),
    /// The values are normally distributed, N(0, σ²), with this σ.
    Normal(f32),
    /// The values are uniformly distributed, U(−a, a), with this a.
    Uniform(f32),
}

impl Init {
    /// Returns U(±√(6/(inputs + outputs))), which keeps the sizes of values and of gradients alike (Glorot & Bengio 2010,
    /// eq. 16).
    pub fn xavier(inputs: usize, outputs: usize) -> Self {
        Init::Uniform((6.0 / (inputs + outputs) as f32).sqrt())
    }
}

impl Spec {
    /// Describes a parameter that is read by its rows.
    pub fn new(shape: &[usize], init: Init) -> Self {
        Spec { shape: shape.to_vec(), init, role: Role::Parameter, layout: Layout::Rows }
    }

    /// Describes the weights (O,I) of a linear layer.
    pub fn linear(outputs: usize, inputs: usize, init: Init) -> Self {
        Spec { layout: Layout::Linear { rounds: false }, ..Spec::new(&[outputs, inputs], init) }
    }

    /// Describes the same weights of a linear layer, which inference may round.
    pub fn rounds(self) -> Self {
        Spec { layout: Layout::Linear { rounds: true }, ..self }
    }

    /// Says of such weights that they are not rounded.
    pub fn keep(&mut self) {
        self.layout = Layout::Linear { rounds: false };
    }

    /// Describes the weights (O,I,kernel,kernel) of a convolution.
    pub fn filters(outputs: usize, inputs: usize, kernel: usize, init: Init) -> Self {
        let layout = Layout::Filters { taps: kernel * kernel };
        Spec { layout, ..Spec::new(&[outputs, inputs, kernel, kernel], init) }
    }

    /// Describes a table (V,d) of embeddings.
    pub fn lookup(rows: usize, width: usize, init: Init) -> Self {
        Spec { layout: Layout::Lookup, ..Spec::new(&[rows, width], init) }
    }

    /// Describes a table (V,d) of embeddings that also serves as the weights of an output product.
    pub fn table(rows: usize, width: usize, init: Init) -> Self {
        Spec { layout: Layout::Table, ..Spec::new(&[rows, width], init) }
    }

    /// Describes a leaf that no gradient moves.
    pub fn buffer(shape: &[usize], init: Init, role: Role) -> Self {
        Spec { role, ..Spec::new(shape, init) }
    }

    /// Whether no gradient moves the leaf.
    pub fn is_buffer(&self) -> bool {
        self.role != Role::Parameter
    }

    /// Returns the number of values; a scalar (shape `[]`) has one.
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }

    /// Returns by how many floats the leaf grows where it is laid out in whole panels. Only a table does, because other
    /// leaves stay as they are unless they fit.
    fn room(&self) -> usize {
        if self.layout == Layout::Table { Panels::size(self.shape[0], self.shape[1]) - self.size() } else { 0 }
    }

    /// Draws the values.
    fn fill(&self, rng: &mut impl Rng, out: &mut [f32]) {
        match self.init {
            Init::Const(value) => out.fill(value),
            Init::Normal(sigma) => out.fill_with(|| sigma * rng.sample::<f32, _>(StandardNormal)),
            Init::Uniform(bound) => out.fill_with(|| rng.random_range(-bound..=bound)),
        }
    }
}

/// A parameter tree: the descriptions of its leaves, and their values in one flat block.
#[derive(Clone, Debug)]
pub struct Params<S> {
    /// What each leaf is.
    pub spec: S,
    /// The values of all parameters, then those of all buffers.
    pub flat: Floats,
}

impl<S: Tree<Leaf = Spec>> Params<S> {
    /// Returns parameters that are all zero, with the room that [weights](crate::weights) need beyond them.
    pub fn zeros(spec: S) -> Self {
        let (len, mut room) = (len(&spec), 0);
        spec.map(&Path::ROOT, &mut |_, spec| room += spec.room());
        Params { spec, flat: Floats::with_room(len, room) }
    }

    /// Draws the parameters from their initialisers; one seed always gives the same bits.
    pub fn init(spec: S, seed: u64) -> Self {
        let mut params = Params::zeros(spec);
        let mut rng = Pcg64::seed_from_u64(seed);
        let flat = &mut params.flat;
        for_each(&params.spec, &Path::ROOT, |_, spec, range| spec.fill(&mut rng, &mut flat[range]));
        params
    }

    /// Lists what a checkpoint holds, in the order of the tree: the name, which starts from `at`, the description and
    /// the values. A tied leaf is listed under each of its names.
    pub fn named(&self, at: &Path) -> Vec<(String, Spec, &[f32])> {
        let mut named = vec![];
        for_each(&self.spec, at, |path, spec, range| {
            let values = &self.flat[range];
            named.extend(path.names().into_iter().map(|name| (name, spec.clone(), values)));
        });
        named
    }

    /// Lists every leaf to be filled, in the order of the tree: all its names, which start from `at`, the description
    /// and the values.
    pub fn named_mut(&mut self, at: &Path) -> Vec<(Vec<String>, Spec, &mut [f32])> {
        let mut named = vec![];
        split_mut(&self.spec, at, &mut self.flat, |path, spec, values| {
            named.push((path.names(), spec.clone(), values))
        });
        named
    }

    /// Views every leaf.
    pub fn view(&self) -> S::Of<&[f32]> {
        view(&self.spec, &self.flat)
    }
}

/// Counts the numbers of the tree's parameters, without the buffers.
pub fn count<S: Tree<Leaf = Spec>>(spec: &S) -> usize {
    let mut count = 0;
    spec.map(&Path::ROOT, &mut |_, spec| count += if spec.is_buffer() { 0 } else { spec.size() });
    count
}

/// Returns the length of the flat block, which holds the parameters and the buffers.
pub fn len<S: Tree<Leaf = Spec>>(spec: &S) -> usize {
    let mut len = 0;
    spec.map(&Path::ROOT, &mut |_, spec| len += spec.size());
    len
}

/// Replaces every leaf by `f(path, spec, part)`, in the order of the tree. `runs` are what holds all parameters and
/// what holds all buffers; `cut(rest, size)` cuts each leaf's part off the rest of its run.
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

/// Replaces every leaf by `f(path, spec, values)`, in the order of the tree.
fn split_mut<'a, S: Tree<Leaf = Spec>, U>(
    spec: &S,
    at: &Path,
    flat: &'a mut [f32],
    f: impl FnMut(&Path, &Spec, &'a mut [f32]) -> U,
) -> S::Of<U> {
    let cut = |rest: &mut &'a mut [f32], size| rest.split_off_mut(..size).expect("as many values as the table says");
    split(spec, at, flat.split_at_mut(count(spec)), cut, f)
}

/// Replaces every leaf by `f(path, spec, range)`, in the order of the tree: its path starts from `at`, and its range
/// says where it is in the flat block.
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

/// Calls `f` for every leaf, in the order of the tree: its path starts from `at`, and its range says where it is in the
/// flat block.
pub fn for_each<S: Tree<Leaf = Spec>>(spec: &S, at: &Path, f: impl FnMut(&Path, &Spec, Range<usize>)) {
    map_ranges(spec, at, f);
}

/// Where each leaf of a part of a model is in the part's block, and in the whole model's.
pub(crate) type PartRanges = Vec<(Range<usize>, Range<usize>)>;

/// Returns where each leaf of a part of a model is, in the part's block and in the whole model's. Leaves are found by
/// their names; where the whole has no leaf below the first of two names, that below the second is taken.
///
/// # Errors
/// Returns the name of the first leaf that the whole does not have, or has in another shape.
pub(crate) fn ranges_of_part<P, S>(part: &P, whole: &S, instead: Option<(&str, &str)>) -> Result<PartRanges, String>
where
    P: Tree<Leaf = Spec>,
    S: Tree<Leaf = Spec>,
{
    let mut places = HashMap::new();
    for_each(whole, &Path::ROOT, |path, spec, range| {
        places.insert(path.to_string(), (spec.shape.clone(), range));
    });
    let (mut ranges, mut missing) = (vec![], None);
    for_each(part, &Path::ROOT, |path, spec, range| {
        let name = path.to_string();
        let other = || instead.and_then(|(from, to)| Some(format!("{to}{}", name.strip_prefix(from)?)));
        match places.get(&name).or_else(|| places.get(&other()?)).filter(|(shape, _)| *shape == spec.shape) {
            Some((_, place)) => ranges.push((range, place.clone())),
            None => drop(missing.get_or_insert(name)),
        }
    });
    missing.map_or(Ok(ranges), Err)
}

/// Views every leaf in a flat block that is laid out as `spec` says, of any number type.
pub fn view<'a, S: Tree<Leaf = Spec>, T>(spec: &S, flat: &'a [T]) -> S::Of<&'a [T]> {
    map_ranges(spec, &Path::ROOT, |_, _, range| &flat[range])
}

/// Views every leaf, to write it, in a flat block that is laid out as `spec` says.
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
