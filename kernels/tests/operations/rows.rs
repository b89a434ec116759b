//! What happens to rows between a model's products: softmax, tokens, patches, channels, sparse products. All but the
//! softmax are copies, or additions in a fixed order: bit for bit their definitions.
use crate::support::{assert_close, assert_same_bits, random};
use clipwright_kernels::isa::Isa;
use clipwright_kernels::patchify::Grid;
use clipwright_kernels::sparse::Lists;
use clipwright_kernels::tokens::First;
use clipwright_kernels::{channels_last, patchify, softmax, sparse, tokens};

#[test]
fn softmax_is_the_definition() {
    for (rows, cols) in [(0, 3), (1, 1), (7, 5), (33, 50), (300, 257)] {
        let x: Vec<f32> = random(1, rows * cols).iter().map(|x| 20.0 * x).collect();
        let (mut p, mut ln, mut dx) = (x.clone(), x.clone(), random(2, rows * cols));
        softmax::naive::forward(&mut p, cols);
        softmax::naive::log(&mut ln, cols);
        softmax::naive::backward(&p, &mut dx, cols);
        for isa in Isa::available() {
            let (mut fast, mut fast_ln, mut fast_dx) = (x.clone(), x.clone(), random(2, rows * cols));
            softmax::forward_on(isa, &mut fast, cols);
            softmax::log_on(isa, &mut fast_ln, cols);
            softmax::backward_on(isa, &p, &mut fast_dx, cols);
            // Probabilities of at most 1 whose exponents, up to 40, round by 2e-6.
            assert_close("softmax", &fast, &p, 4e-6);
            // Logarithms down to −50, where one rounding is 2e-6.
            assert_close("its logarithm", &fast_ln, &ln, 8e-6);
            assert_close("its gradient", &fast_dx, &dx, 1e-6);
        }
    }
}

#[test]
fn tokens_are_the_definition() {
    for (pictures, count, width) in [(0, 2, 3), (1, 2, 1), (3, 5, 7), (40, 50, 65)] {
        let (rest, class) = ((count - 1) * width, random(1, width));
        let (x, positions) = (random(2, pictures * rest), random(3, count * width));
        for first in [First::Class(&class), First::Mean] {
            let (mut y, mut dx) = (vec![f32::NAN; pictures * count * width], vec![f32::NAN; x.len()]);
            tokens::naive::forward(first, &x, &positions, width, &mut y);
            tokens::naive::backward(first, &y, count, width, &mut dx);
            for isa in Isa::available() {
                let (mut fast_y, mut fast_dx) = (vec![f32::NAN; y.len()], vec![f32::NAN; x.len()]);
                tokens::forward_on(isa, first, &x, &positions, width, &mut fast_y);
                tokens::backward_on(isa, first, &y, count, width, &mut fast_dx);
                assert!(fast_y == y && fast_dx == dx, "{first:?}, {pictures} pictures of {count}×{width} on {isa:?}");
            }
        }
        for of_each in [1, count - 1] {
            let (x, kept) = (&x[..pictures * of_each * width], kept(pictures, of_each, count - 1));
            let mut y = vec![f32::NAN; pictures * (1 + of_each) * width];
            tokens::naive::forward_kept(&class, (x, &kept), &positions, width, &mut y);
            for isa in Isa::available() {
                let mut fast_y = vec![f32::NAN; y.len()];
                tokens::forward_kept_on(isa, &class, (x, &kept), &positions, width, &mut fast_y);
                assert!(fast_y == y, "{of_each} kept of {pictures} pictures of {count}×{width} on {isa:?}");
            }
        }
        let dy = random(4, pictures * count * width);
        for places in [1, count] {
            let mut dpositions = random(5, places * width);
            tokens::naive::backward_positions(&dy, count, width, &mut dpositions);
            for isa in Isa::available() {
                let mut fast = random(5, places * width);
                tokens::backward_positions_on(isa, &dy, count, width, &mut fast);
                assert_eq!(fast, dpositions, "{places} places on {isa:?}");
            }
        }
    }
}

/// Returns `of_each` places of each picture, of `places`.
fn kept(pictures: usize, of_each: usize, places: usize) -> Vec<u32> {
    (0..pictures * of_each).map(|i| ((i / of_each * 5 + i) % places) as u32).collect()
}

#[test]
fn patches_are_cut_and_put_back() {
    let cases =
        [(3, 6, 6, 2, 2), (1, 5, 5, 5, 1), (3, 9, 9, 1, 3), (2, 64, 64, 8, 20), (3, 4, 10, 2, 3), (2, 9, 3, 3, 2)];
    for (channels, height, width, patch_size, pictures) in cases {
        let grid = Grid { channels, height, width, patch_size };
        let images = random(1, pictures * grid.image_len());
        let (mut patches, mut expected, mut back) = (images.clone(), images.clone(), vec![f32::NAN; images.len()]);
        patchify::cut(grid, &images, None, &mut patches);
        let all: Vec<u32> = (0..pictures).flat_map(|_| 0..grid.patches() as u32).collect();
        patchify::naive::cut(grid, &images, &all, &mut expected);
        assert_eq!(patches, expected, "{grid:?}");
        for of_each in [1, grid.patches().div_ceil(2), grid.patches()] {
            let kept = kept(pictures, of_each, grid.patches());
            let [mut some, mut expected] = [(); 2].map(|_| vec![f32::NAN; kept.len() * grid.patch_len()]);
            patchify::cut(grid, &images, Some(&kept), &mut some);
            patchify::naive::cut(grid, &images, &kept, &mut expected);
            assert_eq!(some, expected, "{of_each} of each, {grid:?}");
        }
        patchify::paste(grid, &patches, &mut back);
        assert_eq!(back, images, "{grid:?}");
    }
}

#[test]
fn channels_come_last() {
    for (pixels, pictures) in [(1, 1), (37, 3), (900, 30)] {
        let planes = random(1, pictures * pixels * 3);
        let mut expected = vec![f32::NAN; planes.len()];
        channels_last::naive::channels_last(&planes, 3 * pixels, &mut expected);
        for isa in Isa::available() {
            let mut fast = vec![f32::NAN; planes.len()];
            channels_last::channels_last_on(isa, &planes, 3 * pixels, &mut fast);
            assert_eq!(fast, expected, "{pictures} pictures of {pixels} on {isa:?}");
        }
    }
}

/// Lists of 0, 1, 2, … entries among `columns`.
fn lists(rows: usize, columns: usize) -> (Vec<usize>, Vec<u32>) {
    let offsets = (0..=rows).map(|i| (0..i).map(|i| i % 5).sum()).collect::<Vec<usize>>();
    let indices = (0..offsets[rows]).map(|k| (k * k * 7919 % columns) as u32).collect();
    (offsets, indices)
}

#[test]
fn sparse_products_are_the_definition() {
    let value = |i: usize, j: usize| 1.0 / (1 + i + 3 * j) as f32;
    for (rows, columns, width) in [(0, 1, 2), (1, 1, 1), (9, 4, 33), (700, 3000, 65)] {
        let (offsets, indices) = lists(rows, columns);
        let lists = Lists { offsets: &offsets, indices: &indices };
        let (by_row, by_column) = (random(1, rows * width), random(2, columns * width));
        let (mut y, mut transposed) = (by_row.clone(), by_column.clone());
        sparse::naive::add(lists, &value, &by_column, width, &mut y);
        sparse::naive::add_transposed(lists, &value, &by_row, width, &mut transposed);
        for isa in Isa::available() {
            let (mut fast, mut fast_transposed) = (by_row.clone(), by_column.clone());
            sparse::add_on(isa, lists, &value, &by_column, width, &mut fast);
            sparse::add_transposed_on(isa, lists, &value, &by_row, width, &mut fast_transposed);
            assert!(fast == y && fast_transposed == transposed, "{rows}×{columns}, width {width}, on {isa:?}");
        }
    }
}

#[test]
fn same_bits_on_any_number_of_threads() {
    let (offsets, indices) = lists(3000, 3001);
    let lists = Lists { offsets: &offsets, indices: &indices };
    assert_same_bits(|| {
        let (mut p, mut dx) = (random(1, 301 * 203), random(2, 301 * 203));
        softmax::forward(&mut p, 203);
        softmax::backward(&p, &mut dx, 203);
        let mut ln = random(1, 301 * 203);
        softmax::log(&mut ln, 203);
        let mut dpositions = random(3, 50 * 65);
        tokens::backward_positions(&random(4, 40 * 50 * 65), 50, 65, &mut dpositions);
        let (x, kept, mut kept_y) = (random(7, 40 * 25 * 65), kept(40, 25, 49), vec![0.0; 40 * 26 * 65]);
        tokens::forward_kept(&random(8, 65), (&x, &kept), &random(9, 50 * 65), 65, &mut kept_y);
        let (mut y, mut transposed) = (vec![0.0; 3000 * 65], vec![0.0; 3001 * 65]);
        sparse::add(lists, &|i, _| i as f32, &random(5, 3001 * 65), 65, &mut y);
        sparse::add_transposed(lists, &|i, _| i as f32, &random(6, 3000 * 65), 65, &mut transposed);
        [p, ln, dx, dpositions, kept_y, y, transposed].concat()
    });
}

#[test]
#[should_panic(expected = "softmax: 5 and 5 elements in rows of 3")]
fn lengths_are_checked() {
    softmax::forward(&mut [0.0; 5], 3);
}
