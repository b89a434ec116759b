//! Cutting pictures into tiles, and deciding when that pays.

use crate::gemm::blocking::FETCH_COST;
use crate::gemm::patches::MAX_TAPS;

/// A tile has this many outputs along its edge.
pub(super) const OUT: usize = 4;

/// A tile sees this many inputs along its edge, one more than outputs on every side.
pub(super) const IN: usize = OUT + 2;

/// A tile takes this many multiplications for a pair of channels, each at a pair of points.
pub(super) const POINTS: usize = IN * IN;

/// Writing a transformed weight to memory and reading it back takes about as long as this many multiply-adds.
const FILTER_COST: usize = 192;

/// Channels-last pictures, cut into tiles by their outputs.
#[derive(Clone, Copy)]
pub(crate) struct Tiling {
    pub pictures: usize,
    pub height: usize,
    pub width: usize,
}

/// A tile of a picture.
pub(super) struct Tile {
    picture: usize,
    /// The row of its first output.
    pub row: usize,
    /// The column of its first output.
    pub col: usize,
}

impl Tiling {
    /// Returns how many tiles of a picture stand one above the other.
    fn down(&self) -> usize {
        self.height.div_ceil(OUT)
    }

    /// Returns how many tiles of a picture stand side by side.
    fn across(&self) -> usize {
        self.width.div_ceil(OUT)
    }

    /// Returns how many tiles all pictures have.
    pub(super) fn tiles(&self) -> usize {
        self.pictures * self.down() * self.across()
    }

    /// Returns the number of pixels of all pictures.
    pub(super) fn pixels(&self) -> usize {
        self.pictures * self.height * self.width
    }

    /// Returns tile `t` of all pictures.
    pub(super) fn tile(&self, t: usize) -> Tile {
        let (down, across) = (self.down(), self.across());
        Tile { picture: t / (down * across), row: t / across % down * OUT, col: t % across * OUT }
    }

    /// Returns the place of a pixel of the tile's picture among the rows of x and y.
    #[inline(always)]
    pub(super) fn pixel(&self, tile: &Tile, row: usize, col: usize) -> usize {
        (tile.picture * self.height + row) * self.width + col
    }

    /// Whether tiles are faster than [`filter`](crate::gemm::filter), by the numbers that are multiplied or pass
    /// through the caches: each transformed number costs as much as some multiplications.
    pub fn pays(&self, inputs: usize, outputs: usize) -> bool {
        let (tiles, pairs) = (self.tiles(), inputs * outputs);
        let transformed = FILTER_COST * pairs + FETCH_COST * tiles * (inputs + outputs);
        POINTS * (tiles * pairs + transformed) < MAX_TAPS * self.pixels() * pairs
    }
}
