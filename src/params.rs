//! Parameters: a table of shapes and initialisers, and one flat block of memory behind it.
//!
//! Some leaves of the tree are no parameters but buffers: they are saved and loaded as parameters are, yet no gradient
//! moves them. The block is `[all parameters | all buffers]`, each part in the order of the tree, so that what is meant
//! for parameters alone (moments, norms, AdamW) works on the first part of it.

use crate::tree::{Path, Tree};
use kernels::conv::Weights;
use kernels::gemm::{Backend, Panels};
use kernels::memory::Floats;
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;
use std::ops::{Deref, Range};

/// One leaf: its shape in the checkpoint, how it starts and what moves it.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    pub shape: Vec<usize>,
    pub init: Init,
    pub role: Role,
    /// Of weights (O,I,taps) that rows, or the patches of a convolution, are multiplied with, and nothing else: the number
    /// of taps, 1 for a linear layer.
    pub taps: Option<usize>,
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
        Spec { shape: shape.to_vec(), init, role: Role::Parameter, taps: None }
    }

    /// The weights (O,I) of a linear layer.
    pub fn linear(outputs: usize, inputs: usize, init: Init) -> Self {
        Spec { taps: Some(1), ..Spec::new(&[outputs, inputs], init) }
    }

    /// The weights (O,I,k,k) of a convolution.
    pub fn filters(outputs: usize, inputs: usize, kernel: usize, init: Init) -> Self {
        Spec { taps: Some(kernel * kernel), ..Spec::new(&[outputs, inputs, kernel, kernel], init) }
    }

    /// The number of taps, if [`Params::laid_out`] moves the values.
    fn taps_in_panels(&self) -> Option<usize> {
        self.taps.filter(|_| Panels::fit(self.shape[0]))
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

/// The values of one leaf, as the layers read them: a slice, but for weights that were [laid out](Params::laid_out).
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    data: &'a [f32],
    laid_out: bool,
}

impl<'a> Values<'a> {
    /// Weights (O,I) as the micro-kernel reads them, if they were laid out.
    #[track_caller]
    pub fn panels(self, outputs: usize, inputs: usize) -> Option<Panels<'a>> {
        self.laid_out.then(|| Panels::new(self.data, outputs, inputs))
    }

    /// Weights (O,I,k,k) of a convolution, laid out or not.
    #[track_caller]
    pub fn filters(self, outputs: usize, inputs: usize, kernel: usize) -> Weights<'a> {
        match self.panels(outputs, inputs * kernel * kernel) {
            Some(panels) => Weights::Panels(panels),
            None => Weights::Plain(self.data),
        }
    }

    /// The first `n` values and the others; of weights (O,I), whole rows.
    #[track_caller]
    pub fn split_at(self, n: usize) -> (Self, Self) {
        let (head, tail) = self.data.split_at(n);
        (Values { data: head, ..self }, Values { data: tail, ..self })
    }
}

/// Values in the order of the checkpoint.
impl<'a> From<&'a [f32]> for Values<'a> {
    fn from(data: &'a [f32]) -> Self {
        Values { data, laid_out: false }
    }
}

/// # Panics
/// If the values were laid out: only a forward pass reads those.
impl Deref for Values<'_> {
    type Target = [f32];

    #[track_caller]
    fn deref(&self) -> &[f32] {
        assert!(!self.laid_out, "laid-out weights are for forward passes only");
        self.data
    }
}

/// A parameter tree's table and its values in one block.
pub struct Params<S> {
    pub spec: S,
    pub flat: Floats,
    laid_out: bool,
}

impl<S: Tree<Leaf = Spec>> Params<S> {
    /// All zeros.
    pub fn zeros(spec: S) -> Self {
        let len = len(&spec);
        Params { spec, flat: Floats::zeros(len), laid_out: false }
    }

    /// Drawn from the initialisers; the same seed gives the same bits.
    pub fn init(spec: S, seed: u64) -> Self {
        let mut params = Params::zeros(spec);
        let mut rng = Pcg64::seed_from_u64(seed);
        let flat = &mut params.flat;
        for_each(&params.spec, &Path::ROOT, |_, spec, range| spec.fill(&mut rng, &mut flat[range]));
        params
    }

    /// For inference: the weights of linear layers and convolutions in [panels](Panels), as this crate's matrix product reads them
    /// fastest. They are nothing else then: neither a backward pass nor a checkpoint can be made from them.
    #[must_use]
    pub fn laid_out(mut self) -> Self {
        if Backend::chosen() == Backend::Simd && !self.laid_out {
            for (_, spec, weights) in self.named_mut(&Path::ROOT) {
                if let Some(taps) = spec.taps_in_panels() {
                    Panels::lay_out_filters(weights, spec.shape[0], spec.shape[1], taps);
                }
            }
            self.laid_out = true;
        }
        self
    }

    /// Every leaf in the order of the tree: its name from `at`, what it is, and its values.
    ///
    /// # Panics
    /// If they are [laid out](Self::laid_out).
    pub fn named(&self, at: &Path) -> Vec<(String, Spec, &[f32])> {
        assert!(!self.laid_out, "laid-out weights have no place in a checkpoint");
        let mut named = vec![];
        for_each(&self.spec, at, |path, spec, range| named.push((path.to_string(), spec.clone(), &self.flat[range])));
        named
    }

    /// The same, to be filled.
    ///
    /// # Panics
    /// As [`named`](Self::named).
    pub fn named_mut(&mut self, at: &Path) -> Vec<(String, Spec, &mut [f32])> {
        assert!(!self.laid_out, "laid-out weights have no place in a checkpoint");
        let (mut parameters, mut buffers) = self.flat.split_at_mut(count(&self.spec));
        let mut named = vec![];
        self.spec.map(at, &mut |path, spec| {
            let rest = if spec.is_buffer() { &mut buffers } else { &mut parameters };
            let values = rest.split_off_mut(..spec.size()).expect("as many values as the table says");
            named.push((path.to_string(), spec.clone(), values));
        });
        named
    }

    /// Read-only views, one per leaf.
    pub fn view(&self) -> S::Of<Values<'_>> {
        values(&self.spec, &self.flat, self.laid_out)
    }
}

/// The leaves of a flat block laid out as `spec` says, as the layers read them; `laid_out` as by [`Params::laid_out`].
pub fn values<'a, S: Tree<Leaf = Spec>>(spec: &S, flat: &'a [f32], laid_out: bool) -> S::Of<Values<'a>> {
    let mut leaves = vec![];
    for_each(spec, &Path::ROOT, |_, spec, range| {
        leaves.push(Values { data: &flat[range], laid_out: laid_out && spec.taps_in_panels().is_some() });
    });
    let mut leaves = leaves.into_iter();
    spec.map(&Path::ROOT, &mut |_, _| leaves.next().expect("as many leaves"))
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

/// Calls `f` with every leaf in the order of the tree: its path from `at`, and its range in the flat block.
pub fn for_each<S: Tree<Leaf = Spec>>(spec: &S, at: &Path, mut f: impl FnMut(&Path, &Spec, Range<usize>)) {
    let (mut parameters, mut buffers) = (0, count(spec));
    spec.map(at, &mut |path, spec| {
        let next = if spec.is_buffer() { &mut buffers } else { &mut parameters };
        let start = *next;
        *next += spec.size();
        f(path, spec, start..start + spec.size());
    });
}

/// Views into a flat block laid out as `spec` says; of any number type.
pub fn view<'a, S: Tree<Leaf = Spec>, T>(spec: &S, flat: &'a [T]) -> S::Of<&'a [T]> {
    let (mut parameters, mut buffers) = flat.split_at(count(spec));
    spec.map(&Path::ROOT, &mut |_, spec| {
        let rest = if spec.is_buffer() { &mut buffers } else { &mut parameters };
        let (head, tail) = rest.split_at(spec.size());
        *rest = tail;
        head
    })
}

/// Writable views into a flat block laid out as `spec` says.
pub fn view_mut<'a, S: Tree<Leaf = Spec>>(spec: &S, flat: &'a mut [f32]) -> S::Of<&'a mut [f32]> {
    let (mut parameters, mut buffers) = flat.split_at_mut(count(spec));
    spec.map(&Path::ROOT, &mut |_, spec| {
        let rest = if spec.is_buffer() { &mut buffers } else { &mut parameters };
        let (head, tail) = std::mem::take(rest).split_at_mut(spec.size());
        *rest = tail;
        head
    })
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
        assert_eq!((&*view.first.weight, &*view.last.weight), (&params.flat[..2], &params.flat[2..6]));
        assert_eq!((&*view.first.seen, &*view.last.count), (&[6.0][..], &[10.0][..]));
        let mut ranges = vec![];
        for_each(&params.spec, &Path::at("x"), |path, _, range| ranges.push(format!("{path} {range:?}")));
        assert_eq!(ranges[1..4].join(", "), "x.first.seen 6..7, x.first.count 7..8, x.last.weight 2..6");
        let mut flat = params.flat.clone();
        view_mut(&params.spec, &mut flat).last.seen.fill(0.0);
        assert_eq!(flat[7..], [7.0, 0.0, 0.0, 10.0]);
    }
}
