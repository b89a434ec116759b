//! Average pooling over channels-last pictures: each output pixel is the mean of a square, squares side by side. Where
//! their edge does not divide the size, the pixels left over at the lower and right border are in no square.
//!
//! Pixel n of y is the mean of a square of x, whose pixels it passes its gradient to; a pixel in no square has none.
//!
//! ```text
//! yₙ  = Σₗ xₗ / kernel²        over the pixels l of square n
//! dxₗ = dyₙ / kernel²          for the square n that l is in
//! ```

use crate::isa::{Isa, multiversion};
use crate::parallel::{PIECE, Rows, RowsMut, for_pieces};
use crate::write::Write;

/// Pictures (B,height,width,C) and the edge of the squares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    pub pictures: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    /// The edge of the squares, in pixels.
    pub k: usize,
}

impl Pool {
    /// Returns how many floats a picture has before the pooling, and after it.
    fn lens(&self) -> (usize, usize) {
        let Pool { height, width, channels, k, .. } = self;
        (height * width * channels, (height / k) * (width / k) * channels)
    }

    /// Returns how many pictures one thread takes at a time.
    fn piece(&self) -> usize {
        PIECE.div_ceil(self.lens().0.max(1))
    }

    #[track_caller]
    fn check(&self, x: &[f32], y: &[f32]) {
        let (before, after) = self.lens();
        assert!(
            self.k > 0 && self.channels > 0 && (x.len(), y.len()) == (self.pictures * before, self.pictures * after),
            "avg pool: {self:?} from {} to {} floats",
            x.len(),
            y.len()
        );
    }
}

/// y ← the means of the squares
///
/// `x` (B,height,width,C), `y` (B,⌊height/kernel⌋,⌊width/kernel⌋,C)
#[track_caller]
pub fn forward(pool: &Pool, x: &[f32], y: &mut [f32]) {
    forward_on(Isa::best(), pool, x, y);
}

/// Computes [`forward`] on a given instruction set.
#[track_caller]
pub fn forward_on(isa: Isa, pool: &Pool, x: &[f32], y: &mut [f32]) {
    pool.check(x, y);
    let (before, after) = pool.lens();
    let parts = (Rows(x, before), RowsMut(y, after));
    for_pieces(pool.pictures, pool.piece(), parts, &|(x, y)| means(isa, pool, x.0, y.0));
}

/// dx ← or += dy/kernel² of the square that a pixel is in
///
/// `dy` (B,⌊height/kernel⌋,⌊width/kernel⌋,C), `dx` (B,height,width,C)
#[track_caller]
pub fn backward(pool: &Pool, dy: &[f32], write: Write, dx: &mut [f32]) {
    backward_on(Isa::best(), pool, dy, write, dx);
}

/// Computes [`backward`] on a given instruction set.
#[track_caller]
pub fn backward_on(isa: Isa, pool: &Pool, dy: &[f32], write: Write, dx: &mut [f32]) {
    pool.check(dx, dy);
    let (before, after) = pool.lens();
    let parts = (Rows(dy, after), RowsMut(dx, before));
    for_pieces(pool.pictures, pool.piece(), parts, &|(dy, dx)| spread(isa, pool, dy.0, write, dx.0));
}

/// Returns how many floats of each line of pixels the squares cover.
fn covered(pool: &Pool) -> usize {
    pool.width / pool.k * pool.k * pool.channels
}

multiversion! {
    /// Computes y of some pictures.
    fn means(pool: &Pool, x: &[f32], y: &mut [f32]) {
        let &Pool { height, width, channels, k, .. } = pool;
        let (line, out_line) = (width * channels, width / k * channels);
        if out_line == 0 || height < k {
            return;
        }
        let share = 1.0 / (k * k) as f32;
        let squares = x.chunks_exact(height * line).flat_map(|x| x.chunks_exact(k * line));
        for (lines, y) in squares.zip(y.chunks_exact_mut(out_line)) {
            y.fill(0.0);
            for x in lines.chunks_exact(line) {
                let x = x[..covered(pool)].chunks_exact(k * channels);
                for (x, y) in x.zip(y.chunks_exact_mut(channels)) {
                    for x in x.chunks_exact(channels) {
                        y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
                    }
                }
            }
            y.iter_mut().for_each(|y| *y *= share);
        }
    }
}

multiversion! {
    /// Computes dx of some pictures.
    fn spread(pool: &Pool, dy: &[f32], write: Write, dx: &mut [f32]) {
        let &Pool { height, width, channels, k, .. } = pool;
        let (line, out_line) = (width * channels, width / k * channels);
        let share = 1.0 / (k * k) as f32;
        if write == Write::Set && (width % k != 0 || height % k != 0) {
            dx.fill(0.0);
        }
        if out_line == 0 || height < k {
            return;
        }
        let squares = dx.chunks_exact_mut(height * line).flat_map(|dx| dx.chunks_exact_mut(k * line));
        for (lines, dy) in squares.zip(dy.chunks_exact(out_line)) {
            for dx in lines.chunks_exact_mut(line) {
                let dx = dx[..covered(pool)].chunks_exact_mut(k * channels);
                for (dx, dy) in dx.zip(dy.chunks_exact(channels)) {
                    for dx in dx.chunks_exact_mut(channels) {
                        match write {
                            Write::Set => dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx = dy * share),
                            Write::Add => dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx += dy * share),
                        }
                    }
                }
            }
        }
    }
}

/// The definitions, in f64.
#[doc(hidden)]
pub mod naive {
    use super::Pool;
    use crate::write::Write;

    /// Goes through the places in x and gives the place in y of each, or none where no square is.
    fn places(pool: &Pool) -> impl Iterator<Item = Option<usize>> {
        let Pool { pictures, height, width, channels, k } = *pool;
        let (out_height, out_width) = (height / k, width / k);
        (0..pictures * height * width * channels).map(move |i| {
            let (c, w, h) = (i % channels, i / channels % width / k, i / channels / width % height / k);
            let n = i / channels / width / height;
            (h < out_height && w < out_width).then_some(((n * out_height + h) * out_width + w) * channels + c)
        })
    }

    pub fn forward(pool: &Pool, x: &[f32], y: &mut [f32]) {
        let mut sums = vec![0.0; y.len()];
        for (x, place) in x.iter().zip(places(pool)) {
            if let Some(place) = place {
                sums[place] += f64::from(*x);
            }
        }
        y.iter_mut().zip(sums).for_each(|(y, sum)| *y = (sum / (pool.k * pool.k) as f64) as f32);
    }

    pub fn backward(pool: &Pool, dy: &[f32], write: Write, dx: &mut [f32]) {
        for (dx, place) in dx.iter_mut().zip(places(pool)) {
            let through = place.map_or(0.0, |place| dy[place] / (pool.k * pool.k) as f32);
            *dx = if write == Write::Set { through } else { *dx + through };
        }
    }
}
