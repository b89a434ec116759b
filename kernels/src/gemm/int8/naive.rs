//! The product with weights of eight bits as defined: the oracle of every faster one.

use super::nearest;
use super::rows::Row;
use super::weights::Int8;
use crate::gemm::matrix::Mat;

/// Computes A·B element by element, into C (M,N), row by row.
pub fn naive(a: Mat, b: Int8, c: &mut [f32]) {
    let (depth, cols) = b.dim();
    for (i, c) in c.chunks_mut(cols.max(1)).enumerate() {
        let whole = |k: usize| a.data[i * a.row_stride + k * a.col_stride];
        let is_kept = |k: usize| b.outliers(0, 0).any(|(kept, _)| kept == k);
        let a: Vec<f32> = (0..depth).map(|k| if is_kept(k) { 0.0 } else { whole(k) }).collect();
        let min = a.iter().fold(0.0, |min: f32, &x| min.min(x));
        let max = a.iter().fold(0.0, |max: f32, &x| max.max(x));
        let scale = (max - min) / 255.0;
        let row = Row { scale, zero: if scale.is_normal() { nearest(-min / scale) } else { 0 } };
        let inverse = if scale.is_normal() { 1.0 / scale } else { 0.0 };
        for (j, c) in c.iter_mut().enumerate() {
            let rounded = |x: f32| i64::from((nearest(x * inverse) + row.zero).clamp(0, 255));
            let dot: i64 = a.iter().enumerate().map(|(k, &x)| rounded(x) * i64::from(b.at(k, j))).sum();
            let sum: i64 = (0..depth).map(|k| i64::from(b.at(k, j))).sum();
            *c = (dot - i64::from(row.zero) * sum) as f32 * (row.scale * b.scales()[j]);
            b.outliers(j, 1).for_each(|(k, kept)| *c += whole(k) * kept[0]);
        }
    }
}
