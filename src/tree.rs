//! One tree of named fields, generic over its leaf.
//!
//! A model's parameters, its gradients, Adam's moments, the saved activations: all are trees. The field names of a
//! parameter tree *are* the names in OpenAI's checkpoints, and one traversal, [`Tree::map`], gives names, offsets,
//! initialisation, loading, saving and the count:
//!
//! ```text
//! Block<Spec>          the table: shape and initialiser
//! Block<Values>        the parameters, views into ONE flat Vec<f32>
//! Block<&mut [f32]>    the gradients, views into another
//! ```

use kernels::memory::{Floats, LINE};
use ndarray::ArrayViewMut2;
use std::fmt;

/// Where a leaf is: a linked list on the stack, printed as `visual.transformer.resblocks.0.attn.in_proj_weight`.
#[derive(Clone, Copy)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    segment: Segment,
}

#[derive(Clone, Copy)]
enum Segment {
    Field(&'static str),
    Index(usize),
}

impl Path<'static> {
    /// The empty path.
    pub const ROOT: Self = Path::at("");

    /// A path of one segment; the empty name prints as nothing.
    pub const fn at(name: &'static str) -> Self {
        Path { parent: None, segment: Segment::Field(name) }
    }
}

impl Path<'_> {
    /// This path, then a field. The empty name adds nothing: the field's own fields stand at this level.
    pub fn field(&self, name: &'static str) -> Path<'_> {
        Path { parent: Some(self), segment: Segment::Field(name) }
    }

    /// This path, then a list index.
    pub fn index(&self, i: usize) -> Path<'_> {
        Path { parent: Some(self), segment: Segment::Index(i) }
    }

    /// Whether the path prints as `ancestor`, or as something below it.
    pub fn is_under(&self, ancestor: &str) -> bool {
        let name = self.to_string();
        name.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || ancestor.is_empty())
    }

    fn is_empty(&self) -> bool {
        matches!(self.segment, Segment::Field("")) && self.parent.is_none_or(Path::is_empty)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let before = self.parent.filter(|parent| !parent.is_empty());
        if let Some(parent) = before {
            write!(f, "{parent}")?;
        }
        match (self.segment, before) {
            (Segment::Field(""), _) => Ok(()),
            (Segment::Field(name), None) => write!(f, "{name}"),
            (Segment::Field(name), Some(_)) => write!(f, ".{name}"),
            (Segment::Index(i), None) => write!(f, "{i}"),
            (Segment::Index(i), Some(_)) => write!(f, ".{i}"),
        }
    }
}

/// A tree whose leaves can be visited, in a fixed order, and replaced by leaves of another type.
pub trait Tree {
    /// What the leaves are.
    type Leaf;
    /// The same tree with other leaves.
    type Of<U>: Tree<Leaf = U>;

    /// The same tree with every leaf replaced by `f(path, leaf)`, in the order of declaration.
    fn map<U>(&self, at: &Path, f: &mut dyn FnMut(&Path, &Self::Leaf) -> U) -> Self::Of<U>;
}

/// Declares a [`Tree`] struct. A field is a leaf; `name: Kind` is a subtree, `name: [Kind]` a list of subtrees,
/// `name: [_]` a list of leaves, `name: [Kind?]` a subtree that may be missing. `name as "other"` prints as `other` in paths; as `""`, as nothing.
#[macro_export]
macro_rules! tree {
    ($(#[$doc:meta])* $Name:ident {
        $($(#[$field_doc:meta])* $field:ident $(as $key:literal)? $(: $kind:tt)?),* $(,)?
    }) => {
        $(#[$doc])*
        pub struct $Name<T> { $($(#[$field_doc])* pub $field: $crate::tree::tree!(@type T $($kind)?)),* }

        impl<T> $crate::tree::Tree for $Name<T> {
            type Leaf = T;
            type Of<U> = $Name<U>;

            fn map<U>(
                &self,
                at: &$crate::tree::Path,
                f: &mut dyn FnMut(&$crate::tree::Path, &T) -> U,
            ) -> $Name<U> {
                $Name { $($field: {
                    let at = at.field($crate::tree::tree!(@key $field $($key)?));
                    $crate::tree::tree!(@map self.$field, at, f $(, $kind)?)
                }),* }
            }
        }
    };
    (@type $T:ident) => { $T };
    (@type $T:ident [_]) => { Vec<$T> };
    (@type $T:ident [$Kind:ident ?]) => { Option<$Kind<$T>> };
    (@type $T:ident [$Kind:ident]) => { Vec<$Kind<$T>> };
    (@type $T:ident $Kind:ident) => { $Kind<$T> };
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
    (@map $e:expr, $at:ident, $f:ident) => { $f(&$at, &$e) };
    (@map $e:expr, $at:ident, $f:ident, [_]) => {
        $e.iter().enumerate().map(|(i, leaf)| $f(&$at.index(i), leaf)).collect()
    };
    (@map $e:expr, $at:ident, $f:ident, [$Kind:ident ?]) => {
        $e.as_ref().map(|tree| $crate::tree::Tree::map(tree, &$at, $f))
    };
    (@map $e:expr, $at:ident, $f:ident, [$Kind:ident]) => {
        $e.iter().enumerate().map(|(i, tree)| $crate::tree::Tree::map(tree, &$at.index(i), $f)).collect()
    };
    (@map $e:expr, $at:ident, $f:ident, $Kind:ident) => { $crate::tree::Tree::map(&$e, &$at, $f) };
}
#[doc(inline)]
pub use tree;

/// Rows and columns of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dim(pub usize, pub usize);

impl Dim {
    /// Floats that it takes in an arena: whole cache lines.
    fn room(&self) -> usize {
        (self.0 * self.1).next_multiple_of(LINE)
    }
}

/// One block of memory from which trees of buffers are carved, step after step.
///
/// Carving does not clear: the same tree carved again finds what was written before, which is how the backward pass
/// meets the activations that the forward pass saved. The block only ever grows, and untouched pages cost nothing.
#[derive(Debug, Default)]
pub struct Arena {
    memory: Floats,
}

impl Arena {
    /// The tree of matrices that `dims` describes, one after the other, each from a cache line on.
    pub fn carve<'a, D: Tree<Leaf = Dim>>(&'a mut self, dims: &D) -> D::Of<ArrayViewMut2<'a, f32>> {
        let size = elements(dims);
        if self.memory.len() < size {
            // A fresh block, not a copy into a larger one: a tree's contents end where it is outgrown.
            self.memory = Floats::default();
            self.memory = Floats::zeros(size);
        }
        let mut rest = &mut *self.memory;
        dims.map(&Path::ROOT, &mut |_, dim| {
            let &Dim(rows, cols) = dim;
            let (head, tail) = std::mem::take(&mut rest).split_at_mut(dim.room());
            rest = tail;
            ArrayViewMut2::from_shape((rows, cols), &mut head[..rows * cols]).expect("rows·cols floats")
        })
    }

    /// Makes room for this tree now, so that carving any smaller one never allocates.
    pub fn reserve<D: Tree<Leaf = Dim>>(&mut self, dims: &D) {
        self.carve(dims);
    }
}

/// How many floats the tree's buffers take.
fn elements<D: Tree<Leaf = Dim>>(dims: &D) -> usize {
    let mut size = 0;
    dims.map(&Path::ROOT, &mut |_, dim| size += dim.room());
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    tree!(Leafs { weight, bias });
    tree!(Root { layers: [Leafs], head as "": Leafs, extra as "0", rows: [_], some: [Leafs?], none: [Leafs?] });

    fn root() -> Root<Dim> {
        let leafs = |n| Leafs { weight: Dim(n, 2), bias: Dim(1, n) };
        Root {
            layers: vec![leafs(1), leafs(2)],
            head: leafs(3),
            extra: Dim(1, 1),
            rows: vec![Dim(1, 1); 2],
            some: Some(leafs(1)),
            none: None,
        }
    }

    #[test]
    fn paths_are_checkpoint_names() {
        let mut names = vec![];
        root().map(&Path::at("visual"), &mut |path, _| names.push(path.to_string()));
        let expected = "visual.layers.0.weight visual.layers.0.bias visual.layers.1.weight visual.layers.1.bias \
                        visual.weight visual.bias visual.0 visual.rows.0 visual.rows.1 \
                        visual.some.weight visual.some.bias";
        assert_eq!(names.join(" "), expected);
        names.clear();
        root().map(&Path::ROOT, &mut |path, _| names.push(path.to_string()));
        assert_eq!(names.join(" "), expected.replace("visual.", ""));
    }

    #[test]
    fn carving_again_finds_what_was_written() {
        let mut arena = Arena::default();
        let dims = root();
        let mut i = 0.0;
        arena.carve(&dims).layers[1].weight.iter_mut().for_each(|v| {
            i += 1.0;
            *v = i;
        });
        let carved = arena.carve(&dims);
        assert_eq!(carved.layers[1].weight[[1, 0]], 3.0);
        assert_eq!(carved.layers[1].bias.as_ptr().addr() % 64, 0, "each buffer begins a line");
        assert_eq!(elements(&dims), 11 * LINE);
    }
}
