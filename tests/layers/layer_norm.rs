use crate::support::{
    gradcheck::{Layer, Pass},
    oracle,
    trees::poisoned,
};
use clipwright::layers::layer_norm::{self, LayerNorm, Saved};
use kernels::Write;
use ndarray::Array2;

/// rows, width
const SHAPES: [(usize, usize); 5] = [(1, 6), (3, 10), (13, 21), (2, 35), (7, 131)];

#[test]
fn plain() {
    for (rows, width) in SHAPES {
        Layer::new(format!("layer_norm {rows}×{width}"), LayerNorm::spec(width), [("x", rows, width)]).check(
            |p, [x]| oracle::layer_norm(p, x),
            |Pass { p, x: [x], mut y, dy, dx: [dx], mut g }| {
                let saved = &mut poisoned(&Saved::dims(rows));
                layer_norm::forward(&p, x, y.view_mut(), saved);
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
    for (rows, width) in SHAPES {
        Layer::new(format!("x + layer_norm {rows}×{width}"), LayerNorm::spec(width), [("x", rows, width)]).check(
            |p, [x]| oracle::layer_norm(p, x) + x,
            |Pass { p, x: [x], mut y, dy, dx: [mut dx], mut g }| {
                let saved = &mut poisoned(&Saved::dims(rows));
                layer_norm::forward(&p, x, y.view_mut(), saved);
                y += &x;
                dx.assign(&dy);
                layer_norm::backward(&p, x, saved, dy, Write::Add, dx, &mut g);
            },
        );
    }
}
