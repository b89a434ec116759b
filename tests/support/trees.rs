//! Trees that only tests need.

use clipwright::tree::{Arena, Dim, Path, Tree};
use ndarray::ArrayViewMut2;

/// A few named leaves, for a layer whose parameters are bare slices or that has none.
pub struct Leaves<T, const N: usize> {
    pub names: [&'static str; N],
    pub leaves: [T; N],
}

impl<T, const N: usize> Tree for Leaves<T, N> {
    type Leaf = T;
    type Of<U> = Leaves<U, N>;

    fn map<U>(&self, at: &Path, f: &mut dyn FnMut(&Path, &T) -> U) -> Leaves<U, N> {
        let leaves = std::array::from_fn(|i| f(&at.field(self.names[i]), &self.leaves[i]));
        Leaves { names: self.names, leaves }
    }
}

/// Returns the values of all leaves, one after the other.
pub fn flatten<'a>(tree: &impl Tree<Leaf = &'a [f32]>) -> Vec<f32> {
    let mut flat = vec![];
    tree.map(&Path::ROOT, &mut |_, leaf| flat.extend_from_slice(leaf));
    flat
}

/// Returns a tree of buffers full of NaN, so that a value which a layer reads before it is written shows in the
/// results.
///
/// The memory is leaked: a test's buffers are small, and its trees are easier to read without an owner beside each.
pub fn poisoned<D: Tree<Leaf = Dim>>(dims: &D) -> D::Of<ArrayViewMut2<'static, f32>> {
    dims.map(&Path::ROOT, &mut |_, &Dim(rows, cols)| {
        ArrayViewMut2::from_shape((rows, cols), vec![f32::NAN; rows * cols].leak()).expect("rows·cols floats")
    })
}

/// Two named trees side by side, for a layer whose parameters are those of two layers.
pub struct Pair<A, B>(pub &'static str, pub A, pub &'static str, pub B);

impl<T, A: Tree<Leaf = T>, B: Tree<Leaf = T>> Tree for Pair<A, B> {
    type Leaf = T;
    type Of<U> = Pair<A::Of<U>, B::Of<U>>;

    fn map<U>(&self, at: &Path, f: &mut dyn FnMut(&Path, &T) -> U) -> Self::Of<U> {
        let Pair(a_name, a, b_name, b) = self;
        Pair(a_name, a.map(&at.field(a_name), f), b_name, b.map(&at.field(b_name), f))
    }
}

/// Returns an arena full of NaN, larger than any test's model needs.
pub fn poisoned_arena() -> Arena {
    let mut arena = Arena::default();
    let all = Leaves { names: ["all"], leaves: [Dim(1 << 8, 1 << 12)] };
    arena.carve(&all).leaves[0].fill(f32::NAN);
    arena
}
