use crate::support::{
    gradcheck::{Layer, Pass},
    oracle,
    trees::Leaves,
};
use clipwright::layers::normalize;
use ndarray::Array2;

#[test]
fn every_entry() {
    for (rows, width) in [(1, 6), (3, 10), (13, 21), (2, 35), (7, 131)] {
        let no_parameters = Leaves { names: [], leaves: [] };
        Layer::new(format!("normalize {rows}×{width}"), no_parameters, [("x", rows, width)]).check(
            |_, [x]| oracle::normalize(x),
            |Pass { x: [x], mut y, dy, dx: [dx], .. }| {
                let mut norm = Array2::from_elem((rows, 1), f32::NAN);
                normalize::forward(x, y.view_mut(), norm.view_mut());
                normalize::backward(y.view(), norm.view(), dy, dx);
            },
        );
    }
}
