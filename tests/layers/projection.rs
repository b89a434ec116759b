use super::shapes::INIT;
use crate::support::{
    gradcheck::{Layer, Pass},
    oracle,
    trees::Leaves,
};
use clipwright::layers::projection;
use clipwright::params::Spec;

#[test]
fn every_entry() {
    for (rows, inputs, outputs) in [(1, 6, 10), (3, 21, 35), (13, 35, 7)] {
        let spec = Leaves { names: ["proj"], leaves: [Spec::new(&[inputs, outputs], INIT)] };
        Layer::new(format!("projection {rows}×{inputs} → {outputs}"), spec, [("x", rows, inputs)]).check(
            |p, [x]| oracle::projection(p.leaves[0], x),
            |Pass { p, x: [x], y, dy, dx: [dx], g }| {
                let ([w], [dw]) = (p.leaves, g.leaves);
                projection::forward(&w, None, x, y);
                projection::backward(w, x, dy, dx, dw, None);
            },
        );
    }
}

#[test]
fn every_entry_with_a_bias() {
    for (rows, inputs, outputs) in [(1, 6, 10), (3, 21, 35), (13, 35, 7)] {
        let leaves = [Spec::new(&[inputs, outputs], INIT), Spec::new(&[outputs], INIT)];
        let spec = Leaves { names: ["proj", "bias"], leaves };
        Layer::new(format!("projection {rows}×{inputs} → {outputs} with a bias"), spec, [("x", rows, inputs)]).check(
            |p, [x]| oracle::projection(p.leaves[0], x) + ndarray::ArrayView1::from(p.leaves[1]),
            |Pass { p, x: [x], y, dy, dx: [dx], g }| {
                let ([w, b], [dw, db]) = (p.leaves, g.leaves);
                projection::forward(&w, Some(&b), x, y);
                projection::backward(w, x, dy, dx, dw, Some(db));
            },
        );
    }
}
