use super::shapes::{ACTIVATIONS, INIT};
use crate::support::{
    gradcheck::{Layer, Pass},
    oracle, random,
};
use clipwright::Write;
use clipwright::layers::mlp::{self, Mlp};
use ndarray::Array2;

#[test]
fn every_entry() {
    for ((rows, width, hidden), activation) in
        [(1, 6, 10), (13, 10, 35), (3, 21, 6), (7, 15, 21)].into_iter().zip(ACTIVATIONS.into_iter().cycle())
    {
        let name = format!("mlp {rows}×{width}, {hidden} hidden, {activation:?}");
        let residual = random::matrix((rows, width), 5);
        Layer::new(name, Mlp::spec(width, hidden, INIT, INIT), [("x", rows, width)]).check(
            |p, [x]| oracle::mlp(p, activation, x) + residual.mapv(f64::from),
            |Pass { p, x: [x], y, dy, dx: [dx], mut g }| {
                let buffer = || Array2::from_elem((rows, hidden), f32::NAN);
                let (mut preact, mut act, mut spare) = (buffer(), buffer(), buffer());
                mlp::forward(&p, activation, x, residual.view(), y, preact.view_mut(), act.view_mut());
                act.fill(f32::NAN);
                let (act, spare) = (act.view_mut(), spare.view_mut());
                mlp::backward(&p, activation, x, preact.view(), dy, Write::Set, dx, act, spare, &mut g);
            },
        );
    }
}
