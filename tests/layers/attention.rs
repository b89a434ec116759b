use super::shapes::{INIT, LONG, OFFSETS, ranges, sizes};
use crate::support::{
    gradcheck::{Layer, Pass},
    oracle, random,
    trees::poisoned,
};
use clipwright::Write;
use clipwright::layers::Keep;
use clipwright::layers::attention::{self, Attention, Saved, Scratch, Shape};
use clipwright::params::Spec;
use ndarray::{Array2, ArrayView2};

fn layer(shape: Shape, width: usize) -> Layer<Attention<Spec>, 1> {
    let rows = shape.ranges.last().map_or(0, |rows| rows.end);
    let (spec, given) = (Attention::spec(width, INIT, INIT), [("x", rows, width)]);
    Layer::new(format!("attention, width {width}, {shape:?}"), spec, given)
}

/// The residual that is added to the output. Its gradient is dy, so no layer returns it.
fn residual(x: (usize, usize)) -> Array2<f32> {
    random::matrix(x, 5)
}

fn oracle(shape: Shape) -> impl Fn(&Attention<&[f64]>, [ArrayView2<f64>; 1]) -> Array2<f64> {
    move |p, [x]| oracle::attention(p, shape, x) + residual(x.dim()).mapv(f64::from)
}

fn pass(shape: Shape) -> impl FnOnce(Pass<Attention<Spec>, 1>) {
    move |Pass { p, x: [x], y, dy, dx: [dx], mut g }| {
        let (rows, width) = x.dim();
        let saved = &mut poisoned(&Saved::dims(rows, width, Keep::All));
        let scratch = || poisoned(&Scratch::dims(rows, width, shape.heads));
        attention::forward(&p, shape, x, residual(x.dim()).view(), y, saved, &mut scratch());
        attention::backward(&p, shape, x, saved, dy, Write::Set, dx, &mut scratch(), &mut g);
    }
}

#[test]
fn every_entry() {
    for (size, offsets) in sizes().flat_map(|size| OFFSETS.map(|offsets| (size, offsets))) {
        let ranges = &ranges(offsets);
        let shape = size.attention(ranges);
        layer(shape, size.width).check(oracle(shape), pass(shape));
    }
}

#[test]
fn long_sequences() {
    for size in sizes() {
        let ranges = &ranges(LONG);
        let shape = size.attention(ranges);
        layer(shape, size.width).check_directions(oracle(shape), pass(shape));
    }
}
