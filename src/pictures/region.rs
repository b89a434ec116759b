//! Rectangles of pixels, and where they lie in a picture that is turned upright.

use image::metadata::Orientation;

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
}

/// The place of some pixels in a picture of which the rest was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Column and row of the first of them.
    pub corner: (usize, usize),
    /// Width and height of the whole picture.
    pub whole: (usize, usize),
}

/// How much of a picture is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// By what both sides are divided first: 1, 2, 4 or 8. Each pixel is then the mean of a square of pixels.
    pub shrink: usize,
    /// The pixels that are needed of what remains, whose sides are rounded up.
    pub region: Region,
}

/// Says what part of a picture is needed, when its size and its orientation are known.
pub(super) type Ask<'a> = dyn Fn((usize, usize), Orientation) -> Part + 'a;

impl Part {
    /// Returns the part that is all of a picture of this size.
    pub fn whole(size: (usize, usize)) -> Self {
        Self { shrink: 1, region: Region::whole(size) }
    }
}

impl Region {
    /// Returns the region that covers a picture of this size (width, height).
    pub fn whole((width, height): (usize, usize)) -> Self {
        Self { x: 0, y: 0, width, height }
    }

    /// Returns where the pixels of this region of an upright picture are stored. `size` is that of the stored picture.
    pub(super) fn stored(self, orientation: Orientation, (width, height): (usize, usize)) -> Self {
        let at = stored_at(orientation);
        let corner = |x, y| at(x, y, width.saturating_sub(1), height.saturating_sub(1));
        let (a, b) = (corner(self.x, self.y), corner(self.x + self.width - 1, self.y + self.height - 1));
        let (x, y) = (a.0.min(b.0), a.1.min(b.1));
        Self { x, y, width: a.0.max(b.0) + 1 - x, height: a.1.max(b.1) + 1 - y }
    }

    /// Returns where the pixels of this region of a stored picture are when it is upright. `size` is that of the stored
    /// picture.
    pub(super) fn upright(self, orientation: Orientation, size: (usize, usize)) -> Self {
        self.stored(inverse(orientation), turned(orientation, size))
    }
}

/// Returns the size of the upright picture.
pub(super) fn turned(orientation: Orientation, (width, height): (usize, usize)) -> (usize, usize) {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    match orientation {
        Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH => (height, width),
        _ => (width, height),
    }
}

/// Returns the function that gives the column and row of the stored pixel that is at (x, y) in the upright picture. It
/// also takes the last column and row of the stored picture.
pub(super) fn stored_at(orientation: Orientation) -> fn(usize, usize, usize, usize) -> (usize, usize) {
    match orientation {
        Orientation::NoTransforms => |x, y, _, _| (x, y),
        Orientation::FlipHorizontal => |x, y, right, _| (right - x, y),
        Orientation::Rotate180 => |x, y, right, bottom| (right - x, bottom - y),
        Orientation::FlipVertical => |x, y, _, bottom| (x, bottom - y),
        Orientation::Rotate90FlipH => |x, y, _, _| (y, x),
        Orientation::Rotate90 => |x, y, _, bottom| (y, bottom - x),
        Orientation::Rotate270FlipH => |x, y, right, bottom| (right - y, bottom - x),
        Orientation::Rotate270 => |x, y, right, _| (right - y, x),
    }
}

fn inverse(orientation: Orientation) -> Orientation {
    match orientation {
        Orientation::Rotate90 => Orientation::Rotate270,
        Orientation::Rotate270 => Orientation::Rotate90,
        // All others are mirrorings, and half a turn.
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is stored in the place of an upright region lies upright in that region, whatever the turn.
    #[test]
    fn a_region_that_is_turned_and_turned_back_is_the_same() {
        let size = (7, 5);
        for exif in 1..=8 {
            let orientation = Orientation::from_exif(exif).unwrap();
            let (width, height) = turned(orientation, size);
            for (x, y) in (0..width).flat_map(|x| (0..height).map(move |y| (x, y))) {
                let region = Region { x, y, width: (width - x).min(2), height: (height - y).min(3) };
                let stored = region.stored(orientation, size);
                assert_eq!(stored.width * stored.height, region.width * region.height);
                assert_eq!(stored.upright(orientation, size), region, "{orientation:?}");
                let (column, row) = stored_at(orientation)(x, y, size.0 - 1, size.1 - 1);
                assert!((stored.x..stored.x + stored.width).contains(&column), "{orientation:?}");
                assert!((stored.y..stored.y + stored.height).contains(&row), "{orientation:?}");
            }
        }
    }
}
