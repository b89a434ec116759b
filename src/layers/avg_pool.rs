//! Average pooling with squares side by side, `AvgPool2d`. CLIP's ResNets have it where others have a stride.
//!
//! # Derivation
//! Each pixel of y is the mean of a square of x. Where the edge of the squares does not divide the size, the last rows
//! and columns of x are in no square, and dx is 0 there.
//!
//! ```text
//! yₙ  = Σₗ xₗ / kernel²        over the pixels l of square n
//! dxₗ = dyₙ / kernel²          for the square n that l is in
//! ```

use super::{floats, floats_mut};
use kernels::Write;
use kernels::avg_pool::{self, Pool};
use ndarray::{ArrayView4, ArrayViewMut4};

/// y = the means of the squares of x, `kernel` pixels wide
///
/// `x` (B,height,width,C), `y` (B,⌊height/kernel⌋,⌊width/kernel⌋,C)
#[track_caller]
pub fn forward(k: usize, x: ArrayView4<f32>, y: ArrayViewMut4<f32>) {
    let pool = pool(k, x.dim(), y.dim());
    avg_pool::forward(&pool, floats(x), floats_mut(y));
}

/// dx = dy/kernel² of the pixel's square, or dx += that with [`Write::Add`]
///
/// `dy` (B,⌊height/kernel⌋,⌊width/kernel⌋,C), `dx` (B,height,width,C)
#[track_caller]
pub fn backward(k: usize, dy: ArrayView4<f32>, write: Write, dx: ArrayViewMut4<f32>) {
    let pool = pool(k, dx.dim(), dy.dim());
    avg_pool::backward(&pool, floats(dy), write, floats_mut(dx));
}

#[track_caller]
fn pool(k: usize, x: (usize, usize, usize, usize), y: (usize, usize, usize, usize)) -> Pool {
    let (pictures, height, width, channels) = x;
    assert!(k > 0 && y == (pictures, height / k, width / k, channels), "avg_pool {k} × {k} from x {x:?} to y {y:?}");
    Pool { pictures, height, width, channels, k }
}
