//! The shapes that a file has for the leaves of a parameter tree, from which a model's sizes are inferred.

use super::InferenceError;
use super::places::{Place, Places};
use crate::tree::{Path as TreePath, Tree};

/// A leaf of the parameter tree, and the shape that the file has for it.
pub(crate) struct Found {
    /// The name of the leaf in the parameter tree.
    pub name: String,
    /// The shape of the leaf in the file, or `None` if the file does not have it.
    pub shape: Option<Vec<usize>>,
}

impl Found {
    pub(crate) fn is_there(&self) -> bool {
        self.shape.is_some()
    }

    /// Returns the shape of a tensor that must be there and must have N dimensions.
    pub(crate) fn shape<const N: usize>(&self) -> Result<[usize; N], InferenceError> {
        let Found { name, shape } = self;
        let tensor = || name.clone();
        let shape = shape.as_ref().ok_or_else(|| InferenceError::Missing { tensor: tensor() })?;
        let unfit = |_| InferenceError::Shape { tensor: tensor(), shape: shape.clone() };
        shape.as_slice().try_into().map_err(unfit)
    }

    /// Returns the edge of the grid for a table of positions (1+grid²,d), whose first row is that of the class token
    /// or the mean.
    pub(crate) fn grid(&self) -> Result<usize, InferenceError> {
        self.grid_behind(1)
    }

    /// Returns the edge of the grid for a table of positions that has so many rows before those of the grid.
    pub(crate) fn grid_behind(&self, first: usize) -> Result<usize, InferenceError> {
        let [positions, _] = self.shape()?;
        let grid = positions.saturating_sub(first).isqrt();
        if grid * grid + first == positions && grid > 0 {
            return Ok(grid);
        }
        Err(InferenceError::Positions { positions })
    }
}

/// Returns the shapes that a file has at these places.
pub(crate) fn found<P: Tree<Leaf = Places>>(
    shape_of: &dyn Fn(&[Place]) -> Option<Vec<usize>>,
    places: &P,
    at: &TreePath,
) -> P::Of<Found> {
    places.map(at, &mut |path, places| Found { name: path.to_string(), shape: shape_of(places) })
}

/// Returns how many items of a list are there before the first that is not. `list(n)` returns the first n items, where
/// n is 1 at first and never more than twice the number of items that are there.
pub(crate) fn count<T>(list: impl Fn(usize) -> Vec<T>, is_there: impl Fn(&T) -> bool) -> usize {
    let mut n = 1;
    loop {
        let there = list(n).iter().take_while(|item| is_there(item)).count();
        if there < n {
            return there;
        }
        n *= 2;
    }
}
