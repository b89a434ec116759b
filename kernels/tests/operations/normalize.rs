//! Row normalisation against its definition in f64.
use crate::support::{assert_close, assert_same_bits, random};
use clipwright_kernels::isa::Isa;
use clipwright_kernels::normalize::*;

#[test]
fn every_isa_is_the_definition() {
    for (n, d) in [(1, 1), (3, 31), (5, 33), (32, 512), (7, 1025)] {
        let (x, dy) = (random(1, n * d), random(2, n * d));
        let (mut y, mut norm, mut dx) = (vec![0.0; n * d], vec![0.0; n], vec![0.0; n * d]);
        naive::forward(&x, &mut y, &mut norm);
        naive::backward(&y, &norm, &dy, &mut dx);
        for isa in Isa::available() {
            let (mut fast_y, mut fast_norm, mut fast_dx) = (vec![f32::NAN; n * d], vec![f32::NAN; n], dy.clone());
            forward_on(isa, &x, &mut fast_y, &mut fast_norm);
            backward_on(isa, &y, &norm, &dy, &mut fast_dx);
            // |y| ≤ 1 and |x| ≤ √d: a few roundings each.
            assert_close("y", &fast_y, &y, 4.0 * f32::EPSILON);
            assert_close("norm", &fast_norm, &norm, 4.0 * f32::EPSILON * (d as f32).sqrt());
            // dy ≤ 1 and ⟨y, dy⟩ ≤ √d cancel before the division by |x|, which is small in the 1×1 case.
            assert_close(
                "dx",
                &fast_dx,
                &dx,
                4.0 * f32::EPSILON * (d as f32).sqrt() / norm.iter().fold(1.0, |a, &b| b.min(a)),
            );
        }
    }
}

#[test]
fn same_bits_on_any_number_of_threads() {
    let (n, d) = (401, 513);
    let (x, dy) = (random(1, n * d), random(2, n * d));
    assert_same_bits(|| {
        let (mut y, mut norm, mut dx) = (vec![0.0; n * d], vec![0.0; n], vec![0.0; n * d]);
        forward(&x, &mut y, &mut norm);
        backward(&y, &norm, &dy, &mut dx);
        [y, norm, dx].concat()
    });
}

#[test]
#[should_panic(expected = "normalize: 2 rows, matrices of [6, 5]")]
fn lengths_are_checked() {
    forward(&[0.0; 6], &mut [0.0; 5], &mut [0.0; 2]);
}
