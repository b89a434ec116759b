//! Look-up and scatter against their definitions: bit for bit, for additions happen in the same order.
use crate::support::{assert_same_bits, random};
use clipwright_kernels::embedding::*;
use clipwright_kernels::gemm::Weight;
use clipwright_kernels::isa::Isa;

fn index(n: usize, rows: usize) -> Vec<u32> {
    (0..n).map(|i| (i * i * 7919 % rows) as u32).collect()
}

#[test]
fn every_isa_is_the_definition() {
    for (rows, n, width) in [(1, 3, 1), (5, 0, 4), (7, 30, 33), (5000, 400, 257)] {
        let (index, dy) = (index(n, rows), random(1, n * width));
        let mut expected = random(2, rows * width);
        let (mut y, mut expected_y) = (vec![f32::NAN; n * width], vec![f32::NAN; n * width]);
        gather(&expected, &index, width, &mut y);
        naive::gather(&expected, &index, width, &mut expected_y);
        assert_eq!(y, expected_y);
        let (other, places) = (random(3, 11 * width), index.iter().map(|i| i * 7 % 11).collect::<Vec<_>>());
        naive::gather_sum((&expected, &index), (&other, &places), width, &mut expected_y);
        for isa in Isa::available() {
            y.fill(f32::NAN);
            gather_sum_on(isa, (Weight::Plain(&expected), &index), (&other, &places), width, &mut y);
            assert_eq!(y, expected_y);
        }
        naive::scatter_add(&dy, &index, width, &mut expected);
        for isa in Isa::available() {
            let mut table = random(2, rows * width);
            scatter_add_on(isa, &dy, &index, width, &mut table);
            assert_eq!(table, expected);
        }
    }
}

#[test]
fn same_bits_on_any_number_of_threads() {
    let (index, dy) = (index(3000, 3001), random(1, 3000 * 65));
    assert_same_bits(|| {
        let mut table = random(2, 3001 * 65);
        scatter_add(&dy, &index, 65, &mut table);
        // A table of fewer rows than pieces.
        let mut positions = random(3, 50 * 65);
        scatter_add(&dy, &index.iter().map(|i| i % 50).collect::<Vec<_>>(), 65, &mut positions);
        let mut y = vec![0.0; 3000 * 65];
        gather(&table, &index, 65, &mut y);
        [table, positions, y].concat()
    });
}

#[test]
#[should_panic(expected = "index 4 in a table of 4 rows")]
fn indices_are_checked() {
    gather(&[0.0; 8], &[0, 4], 2, &mut [0.0; 4]);
}
