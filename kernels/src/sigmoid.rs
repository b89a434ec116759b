//! The elementwise half of the sigmoid loss: what happens to one tile of margins.
//!
//! A margin x is large where a pair is judged wrongly. It costs its softplus, whose derivative is the sigmoid σ. With
//! a = exp(−|x|), which never overflows:
//!
//! ```text
//! softplus(x) = ln(1 + exp(x))      = max(x, 0) + ln(1 + a)
//! σ(x)        = 1/(1 + exp(−x))     = 1/(1 + a) for x > 0, else a/(1 + a)
//! Σ ln(1 + a) = ln Π (1 + a)
//! ```
//!
//! so a sum of many costs takes one logarithm: the factors lie between 1 and 2, and an f64 holds the product of 1023 of
//! them. Early in training most costs are 4.5e-5 beside a few of 10, hence sums in f64.

use crate::exp::exp;
use crate::isa::{Isa, multiversion};
use crate::parallel::{PIECE, RowsMut, for_pieces};

/// A thread takes this many elements of a tile at a time: a quarter of a streaming piece, because each takes an
/// exponential and a division.
const TILE_PIECE: usize = PIECE / 4;

/// This many factors are multiplied before the logarithm, in at least four lanes, so at most 512 in each.
const BLOCK: usize = 2048;

/// Adds up what the margins of a tile cost, and puts their slopes in their place.
///
/// ```text
/// loss[i]    += Σⱼ softplus(tile[i, j])
/// slope[i]   += Σⱼ σ(tile[i, j])
/// tile[i, j] ← σ(tile[i, j])
/// ```
///
/// `tile` (rows, cols), `loss`, `slope` (rows)
#[track_caller]
pub fn fold(tile: &mut [f32], cols: usize, loss: &mut [f64], slope: &mut [f64]) {
    fold_on(Isa::best(), tile, cols, loss, slope);
}

/// Computes [`fold`] on a given instruction set.
#[track_caller]
pub fn fold_on(isa: Isa, tile: &mut [f32], cols: usize, loss: &mut [f64], slope: &mut [f64]) {
    let rows = loss.len();
    assert!(cols > 0 && tile.len() == rows * cols, "sigmoid: a tile of {} elements is not {rows}×{cols}", tile.len());
    assert_eq!(slope.len(), rows, "sigmoid: slopes of {rows} rows");
    let parts = (RowsMut(tile, cols), RowsMut(loss, 1), RowsMut(slope, 1));
    for_pieces(rows, TILE_PIECE.div_ceil(cols), parts, &|(tile, loss, slope)| {
        fold_rows(isa, tile.0, cols, loss.0, slope.0)
    });
}

multiversion! {
    fn fold_rows(tile: &mut [f32], cols: usize, loss: &mut [f64], slope: &mut [f64]) {
        for ((row, loss), slope) in tile.chunks_exact_mut(cols).zip(loss).zip(slope) {
            for block in row.chunks_mut(BLOCK) {
                let mut sums = Sums { positive: [0.0; LANES], product: [1.0; LANES], slope: [0.0; LANES] };
                let (chunks, rest) = block.as_chunks_mut::<LANES>();
                for chunk in chunks {
                    (0..LANES).for_each(|lane| sums.add::<FMA>(lane, &mut chunk[lane]));
                }
                rest.iter_mut().enumerate().for_each(|(lane, v)| sums.add::<FMA>(lane, v));
                for lane in 0..LANES {
                    *loss += sums.positive[lane] + sums.product[lane].ln();
                    *slope += sums.slope[lane];
                }
            }
        }
    }
}

/// Sums over the elements of a block, in lanes.
struct Sums<const LANES: usize> {
    /// Σ max(x, 0)
    positive: [f64; LANES],
    /// Π (1 + a)
    product: [f64; LANES],
    /// Σ σ(x)
    slope: [f64; LANES],
}

impl<const LANES: usize> Sums<LANES> {
    /// Adds an element to a lane, and replaces it by its sigmoid.
    #[inline(always)]
    fn add<const FMA: bool>(&mut self, lane: usize, v: &mut f32) {
        let e = exp::<FMA>(-v.abs());
        let numerator = if *v > 0.0 { 1.0 } else { e };
        let sigmoid = numerator / (1.0 + e);
        self.positive[lane] += f64::from(v.max(0.0));
        self.product[lane] *= 1.0 + f64::from(e);
        self.slope[lane] += f64::from(sigmoid);
        *v = sigmoid;
    }
}

/// The definition, in f64.
pub mod naive {
    pub fn fold(tile: &mut [f32], cols: usize, loss: &mut [f64], slope: &mut [f64]) {
        for (i, v) in tile.iter_mut().enumerate() {
            let x = f64::from(*v);
            let sigmoid = 1.0 / (1.0 + (-x).exp());
            loss[i / cols] += x.max(0.0) + (-x.abs()).exp().ln_1p();
            slope[i / cols] += sigmoid;
            *v = sigmoid as f32;
        }
    }
}
