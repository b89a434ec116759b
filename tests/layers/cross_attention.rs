use super::shapes::INIT;
use crate::support::{
    gradcheck::{Layer, Pass},
    oracle, random,
    trees::poisoned,
};
use clipwright::Write;
use clipwright::layers::cross_attention::{self, CrossAttention, Saved, Scratch, Shape};
use clipwright::layers::linear;
use clipwright::params::{Params, Spec, view_mut};
use ndarray::{Array2, ArrayView2};
use std::ops::Range;

/// Which rows of texts look at which rows of pictures: one row at two, texts of two pictures in disorder, a
/// picture that nobody looks at, and rows that belong to nobody.
const CASES: [[&[Range<usize>]; 2]; 4] = [
    [&[0..1], &[0..2]],
    [&[0..3], &[0..7]],
    [&[4..9, 0..4], &[0..2, 2..15]],
    [&[0..5, 0..0, 5..6], &[3..9, 0..3, 9..10]],
];

/// Widths: of the texts, of the pictures, and the number of heads.
const WIDTHS: [(usize, usize, usize); 3] = [(6, 10, 1), (10, 7, 5), (21, 21, 3)];

fn end(ranges: &[Range<usize>]) -> usize {
    ranges.iter().map(|range| range.end).max().unwrap_or(0)
}

pub fn cases() -> impl Iterator<Item = (Shape<'static>, usize, usize)> {
    let cases = CASES.into_iter().flat_map(|case| WIDTHS.map(|widths| (case, widths)));
    cases.map(|([queries, source], (width, inputs, heads))| {
        (Shape { queries, source, heads, dropout: None }, width, inputs)
    })
}

pub fn spec(width: usize, inputs: usize) -> CrossAttention<Spec> {
    CrossAttention::spec(width, inputs, INIT)
}

#[test]
fn every_entry() {
    for (shape, width, inputs) in cases() {
        let (rows, source) = (end(shape.queries), end(shape.source));
        let inputs = [("x", rows, width), ("source", source, inputs)];
        Layer::new(format!("{shape:?}, {inputs:?}"), spec(width, inputs[1].2), inputs).check(
            |p, [x, source]| oracle::cross_attention(p, shape, x, source),
            |Pass { p, x: [x, source], y, dy, dx: [dx, mut dsource], mut g }| {
                let mut kv = Array2::from_elem((source.nrows(), 2 * width), f32::NAN);
                let mut dkv = kv.clone();
                let saved = &mut poisoned(&Saved::dims(rows, width, shape.heads));
                let scratch = &mut poisoned(&Scratch::dims(rows, width));
                cross_attention::keys(&p, source, kv.view_mut());
                let nothing = Array2::zeros(x.dim());
                cross_attention::forward(&p, shape, x, kv.view(), nothing.view(), y, saved);
                let (dx, to) = ((Write::Set, dx), (Write::Set, dkv.view_mut()));
                cross_attention::backward(&p, shape, x, kv.view(), saved, dy, dx, to, scratch, &mut g);
                dsource.fill(0.0);
                cross_attention::backward_keys(&p, source, dkv.view(), dsource, &mut g);
            },
        );
    }
}

/// Keys and values of a picture, computed once for all its texts, are those that each text would compute for itself,
/// and their gradients add up.
#[test]
fn texts_that_share_a_picture_share_its_keys() {
    let (width, inputs, heads) = (10, 6, 5);
    let params = random::params(spec(width, inputs), 1);
    let (p, source) = (params.view(), random::matrix((7, inputs), 2));
    let (x, dy) = (random::matrix((9, width), 3), random::matrix((9, width), 4));
    let run = |queries: &[Range<usize>]| {
        let (mut y, mut dx, mut dsource) = (x.clone(), x.clone(), Array2::zeros(source.dim()));
        let mut g = Params::zeros(spec(width, inputs));
        for (i, rows) in queries.iter().enumerate() {
            let shape = Shape { queries: std::slice::from_ref(rows), source: &[0..7], heads, dropout: None };
            let (mut kv, mut dkv) = (Array2::zeros((7, 2 * width)), Array2::zeros((7, 2 * width)));
            let saved = &mut poisoned(&Saved::dims(9, width, heads));
            saved.q.fill(0.0);
            saved.out.fill(0.0);
            let scratch = &mut poisoned(&Scratch::dims(9, width));
            scratch.dq.fill(0.0);
            cross_attention::keys(&p, source.view(), kv.view_mut());
            cross_attention::forward(&p, shape, x.view(), kv.view(), x.view(), y.view_mut(), saved);
            let only = |m: ArrayView2<f32>| {
                Array2::from_shape_fn(m.dim(), |(r, c)| if rows.contains(&r) { m[[r, c]] } else { 0.0 })
            };
            let write = if i == 0 { Write::Set } else { Write::Add };
            let (dy, g) = (only(dy.view()), &mut view_mut(&g.spec, &mut g.flat));
            let to = (Write::Set, dkv.view_mut());
            cross_attention::backward(
                &p,
                shape,
                x.view(),
                kv.view(),
                saved,
                dy.view(),
                (write, dx.view_mut()),
                to,
                scratch,
                g,
            );
            cross_attention::backward_keys(&p, source.view(), dkv.view(), dsource.view_mut(), g);
        }
        (dx, dsource, g.flat.to_vec())
    };
    let (together, apart) = (run(&[0..9]), run(&[0..2, 2..3, 3..9]));
    let close = |a: &f32, b: &f32| (a - b).abs() < 1e-4;
    assert!(together.0.iter().zip(&apart.0).all(|(a, b)| close(a, b)), "dx");
    assert!(together.1.iter().zip(&apart.1).all(|(a, b)| close(a, b)), "dsource");
    assert!(together.2.iter().zip(&apart.2).all(|(a, b)| close(a, b)), "parameters");
}

/// The gradient of the source adds to what others have left there.
#[test]
fn the_source_may_have_other_readers() {
    let params = random::params(spec(6, 10), 1);
    let (source, dkv) = (random::matrix((3, 10), 2), random::matrix((3, 12), 3));
    let mut expected = Array2::from_elem((3, 10), 0.25);
    let mut g = Params::zeros(spec(6, 10));
    let g = &mut view_mut(&g.spec, &mut g.flat);
    let mut once = Array2::zeros((3, 10));
    linear::backward(
        &params.view().key_value,
        source.view(),
        dkv.view(),
        Write::Set,
        once.view_mut(),
        &mut g.key_value,
    );
    expected += &once;
    let mut dsource = Array2::from_elem((3, 10), 0.25);
    cross_attention::backward_keys(&params.view(), source.view(), dkv.view(), dsource.view_mut(), g);
    assert!(dsource.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5));
}
