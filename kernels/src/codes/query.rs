//! The vector that all rows are multiplied with, and what it makes of their sums.

use super::sums::{self, Sums};
use super::turn::{block, turn};
use super::{MAX_CODE, ZERO, row_bytes, width};
use crate::gemm::int8::Integers;

/// The largest number that z is rounded to: 127·256, which is two bytes with signs.
const MAX: f64 = 32_512.0;
/// The unit roundoff of f32.
const ROUNDOFF: f64 = 1.0 / (1 << 24) as f64;

/// A vector that is ready to be multiplied with coded rows.
#[derive(Clone, Debug)]
pub struct Query {
    e: usize,
    /// The upper bytes of a = 256·high + low.
    high: Vec<i8>,
    low: Vec<i8>,
    /// u
    unit: f64,
    /// 128·Σⱼ aⱼ, by which the sums are too large, since bytes are.
    zero: f64,
    /// What the bound has for each r, and for each t.
    slack: [f64; 2],
}

impl Query {
    /// Rounds a vector.
    ///
    /// `q` (e)
    pub fn new(q: &[f32]) -> Query {
        let width = width(q.len());
        let n = block(width) as f64;
        let mut z: Vec<f64> = q.iter().map(|&q| f64::from(q)).collect();
        z.resize(width, 0.0);
        turn(&mut z);
        z.iter_mut().for_each(|z| *z /= n);
        // A NaN stays one, and so do all bounds: nothing is concluded.
        let unit = z.iter().fold(0.0, |max: f64, z| if z.abs() <= max { max } else { z.abs() }) / MAX;
        let whole: Vec<i32> = z.iter().map(|z| if unit > 0.0 { (z / unit).round() as i32 } else { 0 }).collect();
        let low = |a: i32| ((a + ZERO) & 255) - ZERO;
        let length = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
        let delta = length(&mut z.iter().zip(&whole).map(|(z, &a)| z - unit * f64::from(a)));
        let (size, sum) = (length(&mut z.iter().copied()), whole.iter().map(|&a| i64::from(a)).sum::<i64>());
        // A product in 16 lanes of f32 has e/16 + 5 roundings in a row; all others here are fewer than eight.
        let share = (q.len() as f64 / 16.0 + 16.0) * 2.0 * ROUNDOFF;
        let all_codes = MAX_CODE * (width as f64).sqrt();
        Query {
            e: q.len(),
            high: whole.iter().map(|&a| ((a - low(a)) / 256) as i8).collect(),
            low: whole.iter().map(|&a| low(a) as i8).collect(),
            unit,
            zero: f64::from(ZERO) * sum as f64,
            slack: [n.sqrt() * size * (1.0 + share), all_codes * (delta + share * (size + delta))],
        }
    }

    /// Writes between which numbers the product of the vector with each row lies, as
    /// [`half::products`](crate::half::products) computes it, on the caller's thread.
    ///
    /// `coded` (N,row) in [`row_bytes`] each, `lower`, `upper` (N)
    ///
    /// # Panics
    /// Panics if the lengths are not those of so many rows.
    #[track_caller]
    pub fn bounds(&self, coded: &[u8], lower: &mut [f32], upper: &mut [f32]) {
        self.bounds_on(Integers::best(), coded, lower, upper);
    }

    /// Computes [`bounds`](Self::bounds) with given instructions.
    #[track_caller]
    pub fn bounds_on(&self, integers: Integers, coded: &[u8], lower: &mut [f32], upper: &mut [f32]) {
        let sizes = [coded.len() / row_bytes(self.e), lower.len(), upper.len()];
        assert!(
            sizes == [lower.len(); 3] && coded.len().is_multiple_of(row_bytes(self.e)),
            "bounds of rows: {sizes:?}"
        );
        let mut out = lower.iter_mut().zip(upper);
        let each = |sums: Sums, behind: &[u8]| {
            let (lower, upper) = out.next().expect("as many as rows");
            [*lower, *upper] = self.bounds_of(sums, behind);
        };
        sums::for_each(integers, coded, row_bytes(self.e), [&self.high, &self.low], each);
    }

    /// Returns the bounds of a row from its sums and what is behind its codes.
    #[inline(always)]
    fn bounds_of(&self, [high, low]: Sums, behind: &[u8]) -> [f32; 2] {
        let number = |i: usize| f64::from(f32::from_le_bytes([behind[i], behind[i + 1], behind[i + 2], behind[i + 3]]));
        let (t, r) = (number(0), number(4));
        let product = t * self.unit * (256.0 * f64::from(high) + f64::from(low) - self.zero);
        let off = self.slack[0] * r + self.slack[1] * t + f64::from(f32::MIN_POSITIVE);
        [(product - off) as f32, (product + off) as f32]
    }
}
