//! The tile functions of streaming InfoNCE against their definitions in f64.
use crate::support::{assert_close, assert_same_bits, random};
use clipwright_kernels::info_nce::*;
use clipwright_kernels::isa::Isa;

const SHAPES: [(usize, usize); 6] = [(1, 1), (3, 31), (33, 32), (64, 97), (256, 256), (2, 70)];

/// Logits as CLIP makes them: cosines times a scale of up to 100.
fn logits(seed: u64, n: usize) -> Vec<f32> {
    random(seed, n).iter().map(|x| 100.0 * x).collect()
}

#[test]
fn folding_two_tiles_is_the_definition() {
    for (rows, cols) in SHAPES {
        let tiles = [logits(1, rows * cols), logits(2, rows * cols)];
        let start = |n: usize| (vec![f32::NEG_INFINITY; n], vec![0.0f32; n]);
        let (mut by_row, mut by_col) = (start(rows), start(cols));
        for tile in &tiles {
            naive::fold_rows(tile, cols, &mut by_row.0, &mut by_row.1);
            naive::fold_cols(tile, cols, &mut by_col.0, &mut by_col.1);
        }
        for isa in Isa::available() {
            let (mut fast_row, mut fast_col) = (start(rows), start(cols));
            for tile in &tiles {
                fold_rows_on(isa, tile, cols, &mut fast_row.0, &mut fast_row.1);
                fold_cols_on(isa, tile, cols, &mut fast_col.0, &mut fast_col.1);
            }
            assert_eq!((&fast_row.0, &fast_col.0), (&by_row.0, &by_col.0), "maxima are exact");
            // Differences of logits ≤ 200 carry 2e-5 (ε·200) into the exponential when large, but then it is tiny; sums
            // are a few units.
            assert_close("row sums", &fast_row.1, &by_row.1, 2e-5);
            assert_close("column sums", &fast_col.1, &by_col.1, 2e-5);
        }
    }
}

#[test]
fn minus_infinity_counts_nothing() {
    for isa in Isa::available() {
        for cols in [3, 40] {
            let mut tile = vec![f32::NEG_INFINITY; 2 * cols];
            let (mut row_max, mut row_sum) = (vec![f32::NEG_INFINITY; 2], vec![0.0; 2]);
            let (mut col_max, mut col_sum) = (vec![f32::NEG_INFINITY; cols], vec![0.0; cols]);
            fold_rows_on(isa, &tile, cols, &mut row_max, &mut row_sum);
            fold_cols_on(isa, &tile, cols, &mut col_max, &mut col_sum);
            assert_eq!(
                (row_max[0], row_sum[0], col_max[0], col_sum[0]),
                (f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY, 0.0)
            );
            tile[1] = 5.0;
            fold_rows_on(isa, &tile, cols, &mut row_max, &mut row_sum);
            fold_cols_on(isa, &tile, cols, &mut col_max, &mut col_sum);
            assert_eq!((row_max[0], row_sum[0], col_max[1], col_sum[1]), (5.0, 1.0, 5.0, 1.0));
            assert_eq!(
                (row_max[1], row_sum[1], col_max[0], col_sum[0]),
                (f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY, 0.0)
            );
        }
    }
}

#[test]
fn softmaxes_are_the_definitions() {
    for (rows, cols) in SHAPES {
        let (row_lse, col_lse) = (vec![100.0; rows], vec![101.0; cols]);
        let (mut expected, mut of_rows) = (logits(1, rows * cols), logits(1, rows * cols));
        naive::softmax_sum(&mut expected, &row_lse, &col_lse);
        naive::softmax(&mut of_rows, &row_lse);
        for isa in Isa::available() {
            let mut tile = logits(1, rows * cols);
            softmax_sum_on(isa, &mut tile, &row_lse, &col_lse);
            // Sums of two probabilities; their exponents, differences of numbers ≤ 101, round by ε·101/2.
            assert_close("softmax", &tile, &expected, 2e-5);
            let mut tile = logits(1, rows * cols);
            softmax_on(isa, &mut tile, &row_lse);
            assert_close("softmax of the rows", &tile, &of_rows, 2e-5);
        }
    }
}

#[test]
fn same_bits_on_any_number_of_threads() {
    let (rows, cols) = (301, 203);
    let tile = logits(3, rows * cols);
    assert_same_bits(|| {
        let (mut row_max, mut row_sum) = (vec![f32::NEG_INFINITY; rows], vec![0.0; rows]);
        let (mut col_max, mut col_sum) = (vec![f32::NEG_INFINITY; cols], vec![0.0; cols]);
        fold_rows(&tile, cols, &mut row_max, &mut row_sum);
        fold_cols(&tile, cols, &mut col_max, &mut col_sum);
        let mut both = tile.clone();
        softmax_sum(&mut both, &row_max, &col_max);
        let mut of_rows = tile.clone();
        softmax(&mut of_rows, &row_max);
        [row_max, row_sum, col_max, col_sum, both, of_rows].concat()
    });
}

#[test]
#[should_panic(expected = "a tile of 5 elements is not 2×3")]
fn lengths_are_checked() {
    fold_rows(&[0.0; 5], 3, &mut [0.0; 2], &mut [0.0; 2]);
}
