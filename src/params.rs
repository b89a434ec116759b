//! Parameters: a table of shapes and initialisers, and one flat block of memory behind it.

use crate::tree::{Path, Tree};
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;

/// One parameter: its shape in the checkpoint and how it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    pub shape: Vec<usize>,
    pub init: Init,
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
        Spec { shape: shape.to_vec(), init }
    }

    /// How many numbers the parameter has; a scalar (shape `[]`) has one.
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

/// A parameter tree's table and its values, leaf after leaf in one block.
pub struct Params<S> {
    pub spec: S,
    pub flat: Vec<f32>,
}

impl<S: Tree<Leaf = Spec>> Params<S> {
    /// All zeros.
    pub fn zeros(spec: S) -> Self {
        let size = count(&spec);
        Params { spec, flat: vec![0.0; size] }
    }

    /// Drawn from the initialisers; the same seed gives the same bits.
    pub fn init(spec: S, seed: u64) -> Self {
        let mut params = Params::zeros(spec);
        let mut rng = Pcg64::seed_from_u64(seed);
        let mut rest = params.flat.as_mut_slice();
        params.spec.map(&Path::ROOT, &mut |_, spec| spec.fill(&mut rng, take(&mut rest, spec.size())));
        params
    }

    /// Name, shape and values of every parameter, names beginning at `at`.
    pub fn named(&self, at: &Path) -> Vec<(String, Vec<usize>, &[f32])> {
        let (mut rest, mut named) = (self.flat.as_slice(), vec![]);
        self.spec.map(at, &mut |path, spec| {
            named.push((
                path.to_string(),
                spec.shape.clone(),
                rest.split_off(..spec.size()).expect("as many as the spec"),
            ))
        });
        named
    }

    /// The same, to be filled.
    pub fn named_mut(&mut self, at: &Path) -> Vec<(String, Vec<usize>, &mut [f32])> {
        let (mut rest, mut named) = (self.flat.as_mut_slice(), vec![]);
        self.spec.map(at, &mut |path, spec| {
            named.push((path.to_string(), spec.shape.clone(), take(&mut rest, spec.size())))
        });
        named
    }

    /// Read-only views, one per leaf.
    pub fn view(&self) -> S::Of<&[f32]> {
        view(&self.spec, &self.flat)
    }
}

/// How many numbers the tree's parameters have in all.
pub fn count<S: Tree<Leaf = Spec>>(spec: &S) -> usize {
    let mut count = 0;
    spec.map(&Path::ROOT, &mut |_, spec| count += spec.size());
    count
}

/// Views into a flat block laid out as `spec` says.
pub fn view<'a, S: Tree<Leaf = Spec>>(spec: &S, mut flat: &'a [f32]) -> S::Of<&'a [f32]> {
    spec.map(&Path::ROOT, &mut |_, spec| {
        let (head, tail) = flat.split_at(spec.size());
        flat = tail;
        head
    })
}

/// Writable views into a flat block laid out as `spec` says.
pub fn view_mut<'a, S: Tree<Leaf = Spec>>(spec: &S, mut flat: &'a mut [f32]) -> S::Of<&'a mut [f32]> {
    spec.map(&Path::ROOT, &mut |_, spec| take(&mut flat, spec.size()))
}

/// Splits the first `n` off a slice.
fn take<'a>(rest: &mut &'a mut [f32], n: usize) -> &'a mut [f32] {
    let (head, tail) = std::mem::take(rest).split_at_mut(n);
    *rest = tail;
    head
}
