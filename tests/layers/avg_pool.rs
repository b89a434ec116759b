use crate::support::gradcheck::{Layer, Pass};
use crate::support::{oracle, trees::Leaves};
use clipwright::layers::{avg_pool, pictures, pictures_mut};
use clipwright::params::Spec;
use kernels::Write;

/// Sizes k; pictures, height, width, channels. Some squares fit, others leave a border.
const SHAPES: [(usize, (usize, usize, usize, usize)); 6] =
    [(1, (2, 3, 2, 5)), (2, (1, 4, 6, 3)), (2, (2, 5, 3, 17)), (3, (1, 3, 3, 1)), (3, (2, 7, 8, 2)), (4, (1, 9, 4, 3))];

#[test]
fn every_entry() {
    for (k, dim) in SHAPES {
        let ((n, h, w, c), out) = (dim, (dim.0, dim.1 / k, dim.2 / k, dim.3));
        let nothing = Leaves { names: [], leaves: [] };
        Layer::new(format!("avg_pool {k} of {dim:?}"), nothing, [("x", n * h * w, c)]).check(
            |_, [x]| oracle::avg_pool(k, (n, h, w), x),
            |Pass { x: [x], y, dy, dx: [dx], .. }: Pass<Leaves<Spec, 0>, 1>| {
                avg_pool::forward(k, pictures(x, dim), pictures_mut(y, out));
                avg_pool::backward(k, pictures(dy, out), Write::Set, pictures_mut(dx, dim));
            },
        );
    }
}

/// y = pool(x) + x, like the two branches of a block: their gradients are added.
#[test]
fn beside_another_gradient() {
    let (dim, out) = ((2, 5, 3, 4), (2, 2, 1, 4));
    let nothing = Leaves { names: [], leaves: [] };
    Layer::new("avg_pool", nothing, [("x", 30, 4), ("ones", 30, 4)]).check(
        |_, [x, ones]| {
            // dy is random; the other branch adds y·1 for the first pixels of each picture.
            let mut y = oracle::avg_pool(2, (2, 5, 3), x);
            y.indexed_iter_mut().for_each(|((row, c), y)| *y += x[[row, c]] + ones[[row, c]]);
            y
        },
        |Pass { x: [x, ones], y, dy, dx: [mut dx, mut dones], .. }: Pass<Leaves<Spec, 0>, 2>| {
            let mut y = y;
            avg_pool::forward(2, pictures(x, dim), pictures_mut(y.view_mut(), out));
            y.indexed_iter_mut().for_each(|((row, c), y)| *y += x[[row, c]] + ones[[row, c]]);
            for d in [&mut dx, &mut dones] {
                d.fill(0.0);
                dy.indexed_iter().for_each(|(place, dy)| d[place] = *dy);
            }
            avg_pool::backward(2, pictures(dy, out), Write::Add, pictures_mut(dx, dim));
        },
    );
}

#[test]
#[should_panic(expected = "avg_pool 2 × 2 from x (1, 4, 4, 3) to y (1, 4, 4, 3)")]
fn shapes_that_disagree_panic() {
    let (x, mut y) = (ndarray::Array2::zeros((16, 3)), ndarray::Array2::zeros((16, 3)));
    avg_pool::forward(2, pictures(x.view(), (1, 4, 4, 3)), pictures_mut(y.view_mut(), (1, 4, 4, 3)));
}
