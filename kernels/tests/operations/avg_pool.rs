//! Average pooling against its definition in f64.
use crate::support::{assert_close, assert_same_bits, random};
use clipwright_kernels::Write;
use clipwright_kernels::avg_pool::{Pool, backward, backward_on, forward, forward_on, naive};
use clipwright_kernels::isa::Isa;

/// Even and odd sizes, squares of every size up to the picture, and one that is larger.
fn pools() -> impl Iterator<Item = Pool> {
    let sizes = [(1, 1, 1, 1), (2, 4, 4, 3), (1, 5, 7, 6), (3, 6, 3, 17), (2, 16, 9, 33)];
    sizes.into_iter().flat_map(|(pictures, height, width, channels)| {
        [1, 2, 3, 5].map(|k| Pool { pictures, height, width, channels, k })
    })
}

/// Floats before and after.
fn lens(pool: &Pool) -> (usize, usize) {
    let per_pixel = pool.pictures * pool.channels;
    (per_pixel * pool.height * pool.width, per_pixel * (pool.height / pool.k) * (pool.width / pool.k))
}

#[test]
fn forward_and_backward_are_the_definition() {
    for (isa, pool) in Isa::available().into_iter().flat_map(|isa| pools().map(move |pool| (isa, pool))) {
        let (before, after) = lens(&pool);
        let (x, dy) = (random(1, before), random(2, after));
        let (mut y, mut expected) = (vec![f32::NAN; after], vec![f32::NAN; after]);
        forward_on(isa, &pool, &x, &mut y);
        naive::forward(&pool, &x, &mut expected);
        assert_close("y", &y, &expected, 3e-7);
        for write in [Write::Set, Write::Add] {
            let start = if write == Write::Set { vec![f32::NAN; before] } else { x.clone() };
            let (mut dx, mut expected) = (start.clone(), start);
            backward_on(isa, &pool, &dy, write, &mut dx);
            naive::backward(&pool, &dy, write, &mut expected);
            assert_close("dx", &dx, &expected, 3e-7);
        }
    }
}

#[test]
fn same_bits_on_any_number_of_threads() {
    let pool = Pool { pictures: 13, height: 31, width: 32, channels: 24, k: 2 };
    let (before, after) = lens(&pool);
    let x = random(1, before);
    assert_same_bits(|| {
        let (mut y, mut dx) = (vec![0.0; after], x.clone());
        forward(&pool, &x, &mut y);
        backward(&pool, &y, Write::Add, &mut dx);
        [y, dx].concat()
    });
}

#[test]
#[should_panic(expected = "from 12 to 4 floats")]
fn lengths_are_checked() {
    forward(&Pool { pictures: 1, height: 2, width: 2, channels: 3, k: 2 }, &[0.0; 12], &mut [0.0; 4]);
}
