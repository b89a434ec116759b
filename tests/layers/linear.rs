use super::shapes::{ACTIVATIONS, INIT};
use crate::support::{
    gradcheck::{Layer, Pass},
    oracle, random,
};
use clipwright::Write;
use clipwright::layers::linear::{self, Linear};
use clipwright::params::{Params, Spec, view_mut};
use ndarray::{Array2, Zip};

/// Sizes: rows, inputs, outputs.
const SHAPES: [(usize, usize, usize); 5] = [(1, 1, 1), (3, 6, 10), (7, 35, 21), (13, 10, 35), (1, 21, 6)];

fn spec(inputs: usize, outputs: usize) -> Linear<Spec> {
    Linear::spec(inputs, outputs, INIT, INIT)
}

#[test]
fn plain() {
    for (rows, inputs, outputs) in SHAPES {
        Layer::new(format!("linear {rows}×{inputs} → {outputs}"), spec(inputs, outputs), [("x", rows, inputs)]).check(
            |p, [x]| oracle::linear(p, x),
            |Pass { p, x: [x], y, dy, dx: [dx], mut g }| {
                linear::forward(&p, x, y);
                linear::backward(&p, x, dy, Write::Set, dx, &mut g);
            },
        );
    }
}

/// The residual is only added: its gradient is dy, and the other gradients are the same as without it.
#[test]
fn with_residual() {
    for (rows, inputs, outputs) in SHAPES {
        let residual = random::matrix((rows, outputs), 5);
        let name = format!("linear {rows}×{inputs} → {outputs}, with a residual");
        Layer::new(name, spec(inputs, outputs), [("x", rows, inputs)]).check(
            |p, [x]| oracle::linear(p, x) + residual.mapv(f64::from),
            |Pass { p, x: [x], y, dy, dx: [dx], mut g }| {
                linear::forward_residual(&p, x, residual.view(), y);
                linear::backward(&p, x, dy, Write::Set, dx, &mut g);
            },
        );
    }
}

/// A gradient that is added to what is there is the sum of both.
#[test]
fn adds_its_gradient() {
    let (rows, inputs, outputs) = SHAPES[2];
    let (x, dy, there) = (random::matrix((rows, inputs), 1), random::matrix((rows, outputs), 2), 0.5);
    let params = Params::init(spec(inputs, outputs), 3);
    let dx = |write, there| {
        let (mut dx, mut g) = (Array2::from_elem((rows, inputs), there), Params::zeros(spec(inputs, outputs)));
        let g = &mut view_mut(&g.spec, &mut g.flat);
        linear::backward(&params.view(), x.view(), dy.view(), write, dx.view_mut(), g);
        dx
    };
    let (set, added) = (dx(Write::Set, f32::NAN), dx(Write::Add, there));
    assert!(set.iter().zip(&added).all(|(set, added)| (set + there - added).abs() < 1e-5));
}

/// y = act(x Wᵀ + b)
#[test]
fn then_activation() {
    for ((rows, inputs, outputs), activation) in SHAPES.into_iter().zip(ACTIVATIONS.into_iter().cycle()) {
        let name = format!("linear {rows}×{inputs} → {outputs}, {activation:?}");
        Layer::new(name, spec(inputs, outputs), [("x", rows, inputs)]).check(
            |p, [x]| oracle::activation(activation, &oracle::linear(p, x)),
            |Pass { p, x: [x], y, dy, dx: [dx], mut g }| {
                let mut preact = Array2::from_elem(dy.dim(), f32::NAN);
                linear::forward_activation(&p, activation, x, preact.view_mut(), y);
                let dpreact = Zip::from(&dy).and(&preact).map_collect(|dy, &h| dy * activation.derivative(h));
                linear::backward(&p, x, dpreact.view(), Write::Set, dx, &mut g);
            },
        );
    }
}

/// y = act(preact) Wᵀ + b
#[test]
fn after_activation() {
    for ((rows, inputs, outputs), activation) in SHAPES.into_iter().zip(ACTIVATIONS.into_iter().cycle()) {
        let name = format!("{activation:?}, linear {rows}×{inputs} → {outputs}");
        Layer::new(name, spec(inputs, outputs), [("preact", rows, inputs)]).check(
            |p, [preact]| oracle::linear(p, oracle::activation(activation, &preact.to_owned()).view()),
            |Pass { p, x: [preact], y, dy, dx: [dpreact], mut g }| {
                let x = preact.mapv(|h| activation.apply(h));
                linear::forward(&p, x.view(), y);
                linear::backward_params(x.view(), dy, &mut g);
                linear::backward_activation(&p, activation, preact, dy, dpreact);
            },
        );
    }
}
