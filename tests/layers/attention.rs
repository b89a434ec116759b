use super::shapes::{INIT, LONG, OFFSETS, ranges, sizes};
use crate::support::{
    compare::assert_close,
    gradcheck::{Layer, Pass},
    oracle, random,
    trees::poisoned,
};
use clipwright::Write;
use clipwright::layers::Keep;
use clipwright::layers::attention::{self, Attention, Saved, Scratch, Shape};
use clipwright::layers::linear::Linear;
use clipwright::params::{self, Spec};
use ndarray::{Array2, ArrayView2, s};

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

/// The probabilities are those of the layer: with them, values and the output projection give its output.
#[test]
fn probabilities() {
    for size in sizes() {
        let (rows, width, c) = (9, size.width, size.width / size.heads);
        let params = random::params(Attention::spec(width, INIT, INIT), 1);
        let (p, x) = (params.view(), random::matrix((rows, width), 2));
        let all = attention::probabilities(&p, size.heads, size.causal, x.view());
        assert!(!size.causal || all.indexed_iter().all(|((_, i, j), &p)| j <= i || p == 0.0), "nobody sees ahead");

        let point: Vec<f64> = params.flat.iter().map(|&v| f64::from(v)).collect();
        let exact = params::view(&params.spec, &point);
        let qkv = Linear { weight: exact.in_proj_weight, bias: exact.in_proj_bias };
        let qkv = oracle::linear(&qkv, x.mapv(f64::from).view());
        let mut out = Array2::zeros((rows, width));
        for (h, probs) in all.outer_iter().enumerate() {
            let values = qkv.slice(s![.., 2 * width + h * c..2 * width + (h + 1) * c]);
            out.slice_mut(s![.., h * c..(h + 1) * c]).assign(&probs.mapv(f64::from).dot(&values));
        }
        let expected = oracle::linear(&exact.out_proj, out.view()).mapv(|y| y as f32);

        let ranges = &[0..rows];
        let (zero, mut y) = (Array2::zeros(x.raw_dim()), Array2::from_elem(x.raw_dim(), f32::NAN));
        let saved = &mut poisoned(&Saved::dims(rows, width, Keep::All));
        let scratch = &mut poisoned(&Scratch::dims(rows, width, size.heads));
        attention::forward(&p, size.attention(ranges), x.view(), zero.view(), y.view_mut(), saved, scratch);
        assert_close("output", y.view(), expected.view());
    }
}
