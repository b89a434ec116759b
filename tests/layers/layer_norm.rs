use crate::support::{
    gradcheck::{Layer, Pass},
    oracle,
    trees::poisoned,
};
use clipwright::layers::layer_norm::{self, LayerNorm, Saved};
use kernels::Write;
use ndarray::Array2;

/// Sizes: rows, width, ε. The values of ε are BERT's, which is the smallest, CLIP's, and one that changes every digit.
const SHAPES: [(usize, usize, f32); 5] = [(1, 6, 1e-12), (3, 10, 1e-5), (13, 21, 0.03), (2, 35, 1e-12), (7, 131, 0.03)];

#[test]
fn plain() {
    for (rows, width, eps) in SHAPES {
        Layer::new(format!("layer_norm {rows}×{width}"), LayerNorm::spec(width), [("x", rows, width)]).check(
            |p, [x]| oracle::layer_norm(p, eps, x),
            |Pass { p, x: [x], mut y, dy, dx: [dx], mut g }| {
                let saved = &mut poisoned(&Saved::dims(rows));
                layer_norm::forward(&p, eps, x, y.view_mut(), saved);
                let mut again = Array2::from_elem((rows, width), f32::NAN);
                layer_norm::recompute(&p, x, saved, again.view_mut());
                assert_eq!(again, y, "recomputed, bit for bit");
                layer_norm::backward(&p, x, saved, dy, Write::Set, dx, &mut g);
            },
        );
    }
}

/// y = x + layer_norm(x): `Write::Add` adds to what the residual branch left in dx.
#[test]
fn beside_a_residual() {
    for (rows, width, eps) in SHAPES {
        Layer::new(format!("x + layer_norm {rows}×{width}"), LayerNorm::spec(width), [("x", rows, width)]).check(
            |p, [x]| oracle::layer_norm(p, eps, x) + x,
            |Pass { p, x: [x], mut y, dy, dx: [mut dx], mut g }| {
                let saved = &mut poisoned(&Saved::dims(rows));
                layer_norm::forward(&p, eps, x, y.view_mut(), saved);
                y += &x;
                dx.assign(&dy);
                layer_norm::backward(&p, x, saved, dy, Write::Add, dx, &mut g);
            },
        );
    }
}
