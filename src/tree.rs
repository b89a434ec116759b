//! One tree of named fields, generic over its leaf.
//!
//! A model's parameters, its gradients, Adam's moments and the saved activations are all trees. The field names of a
//! parameter tree *are* the names in OpenAI's checkpoints, and one traversal, [`Tree::map`], gives names, offsets,
//! initialisation, loading, saving and the count:
//!
//! ```text
//! Block<Spec>          the table: shape and initialiser
//! Block<&[f32]>        the parameters, views into ONE flat block of f32
//! Block<&mut [f32]>    the gradients, views into another
//! Block<Weight>        what inference reads: the same numbers, laid out for products
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
    /// A field's name, and the other names that a checkpoint has for it.
    Field(&'static str, &'static [&'static str]),
    Index(usize),
}

impl Path<'static> {
    /// The empty path, which prints as nothing.
    pub const ROOT: Self = Path::at("");

    /// Returns a path of one segment; the empty name prints as nothing.
    pub const fn at(name: &'static str) -> Self {
        Path { parent: None, segment: Segment::Field(name, &[]) }
    }
}

impl Path<'_> {
    /// Appends a field. The empty name prints as nothing, so the field's own fields stand at this level.
    pub fn field(&self, name: &'static str) -> Path<'_> {
        self.field_of_names(name, &[])
    }

    /// Appends a field that has other names in a checkpoint, too.
    pub fn field_of_names(&self, name: &'static str, also: &'static [&'static str]) -> Path<'_> {
        Path { parent: Some(self), segment: Segment::Field(name, also) }
    }

    /// Appends a list index.
    pub fn index(&self, i: usize) -> Path<'_> {
        Path { parent: Some(self), segment: Segment::Index(i) }
    }

    /// Returns every name that a checkpoint has for what is here. The first is the one that the path prints as.
    pub fn names(&self) -> Vec<String> {
        let mut names = self.parent.map_or_else(|| vec![String::new()], Path::names);
        match self.segment {
            Segment::Index(i) => names.iter_mut().for_each(|before| append(before, &i.to_string())),
            Segment::Field(name, []) => names.iter_mut().for_each(|before| append(before, name)),
            Segment::Field(name, also) => {
                let others = [name].into_iter().chain(also.iter().copied());
                let named = |before: &String, own: &str| {
                    let mut name = before.clone();
                    append(&mut name, own);
                    name
                };
                names = names.iter().flat_map(|before| others.clone().map(move |own| named(before, own))).collect();
            }
        }
        names
    }

    /// Whether the path prints as `ancestor`, or as something below it.
    pub fn is_under(&self, ancestor: &str) -> bool {
        let name = self.to_string();
        name.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || ancestor.is_empty())
    }

    /// Whether the path prints as nothing.
    fn is_empty(&self) -> bool {
        matches!(self.segment, Segment::Field("", _)) && self.parent.is_none_or(Path::is_empty)
    }
}

/// Appends a segment to the name of what it is in, behind a dot if both are something.
fn append(name: &mut String, own: &str) {
    if !name.is_empty() && !own.is_empty() {
        name.push('.');
    }
    name.push_str(own);
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let before = self.parent.filter(|parent| !parent.is_empty());
        if let Some(parent) = before {
            write!(f, "{parent}")?;
        }
        match (self.segment, before) {
            (Segment::Field("", _), _) => Ok(()),
            (Segment::Field(name, _), None) => write!(f, "{name}"),
            (Segment::Field(name, _), Some(_)) => write!(f, ".{name}"),
            (Segment::Index(i), None) => write!(f, "{i}"),
            (Segment::Index(i), Some(_)) => write!(f, ".{i}"),
        }
    }
}

/// A tree whose leaves can be visited, in a fixed order, and replaced by leaves of another type.
pub trait Tree {
    /// The type of the leaves.
    type Leaf;
    /// The type of a tree with the same fields and leaves of type U.
    type Of<U>: Tree<Leaf = U>;

    /// Replaces every leaf by `f(path, leaf)`, in the order of declaration; paths start from `at`.
    fn map<U>(&self, at: &Path, f: &mut dyn FnMut(&Path, &Self::Leaf) -> U) -> Self::Of<U>;
}

/// Declares a [`Tree`] struct `Name<T>` with leaves of type T; it is `Clone` and `Debug` where they are.
///
/// | field | is | of type |
/// |---|---|---|
/// | `name` | a leaf | `T` |
/// | `name: [_]` | a list of leaves | `Vec<T>` |
/// | `name: [_?]` | a leaf that may be missing | `Option<T>` |
/// | `name: Kind` | a subtree | `Kind<T>` |
/// | `name: [Kind]` | a list of subtrees | `Vec<Kind<T>>` |
/// | `name: [Kind?]` | a subtree that may be missing | `Option<Kind<T>>` |
///
/// A field `name as "other"` prints as `other` in paths, and `name as ""` prints as nothing. A tied tensor or subtree
/// is declared as `name as "one" also "two"` and stands in a checkpoint under both names, with the same values.
///
/// ```
/// use clipwright::tree::{Path, Tree, tree};
///
/// tree!(Linear { weight, bias });
/// tree! {
///     /// A classifier on top of some layers.
///     Model { layers: [Linear], scale: [_?], classes as "head" also "tied.head": Linear }
/// }
///
/// let linear = || Linear { weight: (), bias: () };
/// let model = Model { layers: vec![linear()], scale: None, classes: linear() };
/// let mut names = vec![];
/// let counted = model.map(&Path::ROOT, &mut |path, ()| {
///     names.push(path.names().join(" = "));
///     names.len()
/// });
/// assert_eq!(names[..2], ["layers.0.weight", "layers.0.bias"]);
/// assert_eq!(names[2..], ["head.weight = tied.head.weight", "head.bias = tied.head.bias"]);
/// assert_eq!(counted.classes.bias, 4);
/// ```
#[macro_export]
macro_rules! tree {
    ($(#[$doc:meta])* $Name:ident {
        $($(#[$field_doc:meta])* $field:ident $(as $key:literal $(also $also:literal)*)? $(: $kind:tt)?),* $(,)?
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
                    let at = $crate::tree::tree!(@path at $field $($key $($also)*)?);
                    $crate::tree::tree!(@map self.$field, at, f $(, $kind)?)
                }),* }
            }
        }

        // Written out, because a derive cannot look through the macro in the fields' types.
        impl<T: Clone> Clone for $Name<T> {
            fn clone(&self) -> Self {
                $Name { $($field: self.$field.clone()),* }
            }
        }

        impl<T: std::fmt::Debug> std::fmt::Debug for $Name<T> {
            fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.debug_struct(stringify!($Name))$(.field(stringify!($field), &self.$field))*.finish()
            }
        }
    };
    (@type $T:ident) => { $T };
    (@type $T:ident [_]) => { Vec<$T> };
    (@type $T:ident [_?]) => { Option<$T> };
    (@type $T:ident [$Kind:ident ?]) => { Option<$Kind<$T>> };
    (@type $T:ident [$Kind:ident]) => { Vec<$Kind<$T>> };
    (@type $T:ident $Kind:ident) => { $Kind<$T> };
    (@path $at:ident $field:ident) => { $at.field(stringify!($field)) };
    (@path $at:ident $field:ident $key:literal $($also:literal)*) => { $at.field_of_names($key, &[$($also),*]) };
    (@map $e:expr, $at:ident, $f:ident) => { $f(&$at, &$e) };
    (@map $e:expr, $at:ident, $f:ident, [_]) => {
        $e.iter().enumerate().map(|(i, leaf)| $f(&$at.index(i), leaf)).collect()
    };
    (@map $e:expr, $at:ident, $f:ident, [_?]) => { $e.as_ref().map(|leaf| $f(&$at, leaf)) };
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

/// The rows and columns of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dim(pub usize, pub usize);

impl Dim {
    /// Returns how many floats the buffer takes in an arena: whole cache lines.
    fn room(&self) -> usize {
        (self.0 * self.1).next_multiple_of(LINE)
    }
}

/// One block of memory from which trees of buffers are carved, step after step.
///
/// Carving does not clear. The same tree carved again finds what was written before, and so the backward pass meets the
/// activations that the forward pass saved. The block only ever grows, and untouched pages cost nothing.
#[derive(Debug, Default)]
pub struct Arena {
    memory: Floats,
}

impl Arena {
    /// Carves the matrices that `dims` describes, one after the other, each from a cache line on.
    pub fn carve<'a, D: Tree<Leaf = Dim>>(&'a mut self, dims: &D) -> D::Of<ArrayViewMut2<'a, f32>> {
        let size = elements(dims);
        if self.memory.len() < size {
            // The block is a fresh one and not a copy, because a tree that has been outgrown loses its contents.
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

    /// Returns the number of floats that the block has room for by now.
    pub fn floats(&self) -> usize {
        self.memory.len()
    }

    /// Makes room for this tree now, so that carving any smaller one never allocates.
    pub fn reserve<D: Tree<Leaf = Dim>>(&mut self, dims: &D) {
        self.carve(dims);
    }
}

/// Counts the floats that the tree's buffers take.
fn elements<D: Tree<Leaf = Dim>>(dims: &D) -> usize {
    let mut size = 0;
    dims.map(&Path::ROOT, &mut |_, dim| size += dim.room());
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    tree!(Leafs { weight, bias });
    tree!(Root {
        layers: [Leafs],
        head as "": Leafs,
        extra as "0",
        rows: [_],
        some: [Leafs?],
        none: [Leafs?],
        scale: [_?],
        shift: [_?],
    });

    fn root() -> Root<Dim> {
        let leafs = |n| Leafs { weight: Dim(n, 2), bias: Dim(1, n) };
        Root {
            layers: vec![leafs(1), leafs(2)],
            head: leafs(3),
            extra: Dim(1, 1),
            rows: vec![Dim(1, 1); 2],
            some: Some(leafs(1)),
            none: None,
            scale: Some(Dim(1, 1)),
            shift: None,
        }
    }

    #[test]
    fn paths_are_checkpoint_names() {
        let mut names = vec![];
        root().map(&Path::at("visual"), &mut |path, _| names.push(path.to_string()));
        let expected = "visual.layers.0.weight visual.layers.0.bias visual.layers.1.weight visual.layers.1.bias \
                        visual.weight visual.bias visual.0 visual.rows.0 visual.rows.1 \
                        visual.some.weight visual.some.bias visual.scale";
        assert_eq!(names.join(" "), expected);
        names.clear();
        root().map(&Path::ROOT, &mut |path, _| names.push(path.to_string()));
        assert_eq!(names.join(" "), expected.replace("visual.", ""));
    }

    tree!(Tied { table as "words.weight" also "head.weight", own as "a" also "b": Leafs, bias });
    tree!(Model { text as "encoder" also "decoder.bert": Tied });

    #[test]
    fn tied_leaves_have_every_name_of_their_path() {
        let leafs = || Leafs { weight: (), bias: () };
        let mut names = vec![];
        Model { text: Tied { table: (), own: leafs(), bias: () } }.map(&Path::at("m"), &mut |path, ()| {
            assert_eq!(path.names()[0], path.to_string());
            names.push(path.names().join(" "));
        });
        let table =
            "m.encoder.words.weight m.encoder.head.weight m.decoder.bert.words.weight m.decoder.bert.head.weight";
        let weight = "m.encoder.a.weight m.encoder.b.weight m.decoder.bert.a.weight m.decoder.bert.b.weight";
        assert_eq!([&names[0], &names[1], &names[3]], [table, weight, "m.encoder.bias m.decoder.bert.bias"]);
        assert_eq!(names.len(), 4);
    }

    #[test]
    fn a_path_is_under_itself_and_its_ancestors() {
        let (visual, root) = (Path::at("visual"), Path::ROOT);
        let (layers, conv) = (visual.field("layers"), visual.field("conv1.weight"));
        assert!(layers.index(1).is_under("visual.layers.1") && layers.index(1).is_under("visual"));
        assert!(conv.is_under("visual") && conv.is_under("visual.conv1") && conv.is_under(""));
        assert!(!layers.index(10).is_under("visual.layers.1") && !visual.is_under("visual.layers"));
        assert!(!root.field("visuals").is_under("visual") && !root.is_under("visual"));
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
        assert_eq!(elements(&dims), 12 * LINE);
    }
}
