//! The tile function of the sigmoid loss against its definition in f64.
use crate::support::{assert_close, assert_same_bits, random};
use clipwright_kernels::isa::Isa;
use clipwright_kernels::sigmoid::*;

/// Rows shorter than a register, rows with a rest, and rows of more than one block.
const SHAPES: [(usize, usize); 6] = [(1, 1), (5, 3), (3, 31), (33, 32), (2, 2048), (3, 4099)];

/// Margins up to this size.
fn margins(seed: u64, n: usize, size: f32) -> Vec<f32> {
    random(seed, n).iter().map(|x| size * x).collect()
}

#[track_caller]
fn assert_sums(what: &str, actual: &[f64], expected: &[f64], cols: usize) {
    for (a, e) in actual.iter().zip(expected) {
        // Each term carries the exponential's 2 ULP, and the loss is at least as large as its terms.
        assert!((a - e).abs() <= 5e-7 * e + 1e-12 * cols as f64, "{what}: {a} instead of {e}");
    }
}

/// Folds a tile into the sums of its rows.
type Fold<'a> = &'a dyn Fn(&mut [f32], &mut [f64], &mut [f64]);

#[test]
fn folding_two_tiles_is_the_definition() {
    for (rows, cols) in SHAPES {
        for size in [0.1, 10.0, 200.0] {
            let tiles = [margins(1, rows * cols, size), margins(2, rows * cols, size)];
            let run = |fold: Fold| {
                let (mut tiles, mut loss, mut slope) = (tiles.clone(), vec![0.0; rows], vec![0.0; rows]);
                tiles.iter_mut().for_each(|tile| fold(tile, &mut loss, &mut slope));
                (tiles.concat(), loss, slope)
            };
            let expected = run(&|tile, loss, slope| naive::fold(tile, cols, loss, slope));
            for isa in Isa::available() {
                let given = run(&|tile, loss, slope| fold_on(isa, tile, cols, loss, slope));
                assert_close("sigmoid", &given.0, &expected.0, 3e-7);
                assert_sums("loss", &given.1, &expected.1, cols);
                assert_sums("slope", &given.2, &expected.2, cols);
            }
        }
    }
}

/// Margins of which exp would overflow or vanish, of which every factor of the product is 2, and of which none is a
/// number.
#[test]
fn edges() {
    for isa in Isa::available() {
        let run = |v: f32, n: usize| {
            let (mut tile, mut loss, mut slope) = (vec![v; n], [0.0], [0.0]);
            fold_on(isa, &mut tile, n, &mut loss, &mut slope);
            (tile[n - 1], loss[0], slope[0])
        };
        assert_eq!(run(1e30, 3), (1.0, 3.0 * f64::from(1e30f32), 3.0));
        assert_eq!(run(-1e30, 3), (0.0, 0.0, 0.0));
        assert_eq!(run(f32::INFINITY, 1), (1.0, f64::INFINITY, 1.0));
        assert_eq!(run(f32::NEG_INFINITY, 1), (0.0, 0.0, 0.0));
        let (sigmoid, loss, slope) = run(0.0, 5000);
        assert_eq!((sigmoid, slope), (0.5, 2500.0));
        assert!((loss - 5000.0 * 2f64.ln()).abs() < 1e-9, "{loss}");
        let (sigmoid, loss, slope) = run(f32::NAN, 1);
        assert!(sigmoid.is_nan() && loss.is_nan() && slope.is_nan(), "{isa:?}");
    }
}

#[test]
fn same_bits_on_any_number_of_threads() {
    let (rows, cols) = (301, 203);
    assert_same_bits(|| {
        let (mut tile, mut loss, mut slope) = (margins(3, rows * cols, 12.0), vec![0.0; rows], vec![0.0; rows]);
        fold(&mut tile, cols, &mut loss, &mut slope);
        let halves = |x: f64| [x as f32, (x - f64::from(x as f32)) as f32];
        tile.into_iter().chain(loss.into_iter().chain(slope).flat_map(halves)).collect()
    });
}

#[test]
#[should_panic(expected = "a tile of 5 elements is not 2×3")]
fn lengths_are_checked() {
    fold(&mut [0.0; 5], 3, &mut [0.0; 2], &mut [0.0; 2]);
}
