//! Cross-attention without keys and values against its definition and against the way through keys and values.

use super::cross_attention::{cases, spec};
use crate::support::compare::{assert_close, compare, to_f64};
use crate::support::{oracle, random, trees::poisoned};
use clipwright::layers::cross_attention::{self, CrossAttention, Saved, Shape};
use clipwright::layers::keyless_attention::{self, Scratch, pays};
use clipwright::params::view;
use clipwright::tree::Dim;
use clipwright::weights::Read;
use ndarray::{Array2, ArrayView2};
use rayon::ThreadPoolBuilder;
use std::ops::Range;

/// Heads that share a panel of laid-out weights, that have one or two to themselves, and that lie across; one panel in
/// which keys and values meet.
const PANELS: [(usize, usize, usize); 5] = [(16, 5, 4), (48, 7, 3), (64, 33, 2), (128, 20, 2), (96, 9, 2)];

/// Two texts look at one picture, three at another, and nobody at a third.
const TEXTS: [&[Range<usize>]; 2] = [&[0..12, 12..12, 12..31], &[20..57, 0..20, 57..58]];

fn end(ranges: &[Range<usize>]) -> usize {
    ranges.iter().map(|range| range.end).max().unwrap_or(0)
}

fn among_tokens(p: &CrossAttention<impl Read>, shape: Shape, x: ArrayView2<f32>, u: ArrayView2<f32>) -> Array2<f32> {
    let (rows, width) = x.dim();
    let longest = shape.source.iter().map(|rows| rows.len()).max().unwrap();
    let saved = &mut poisoned(&Saved::dims(rows, width, shape.heads));
    let scratch = &mut poisoned(&Scratch::dims(rows, shape.heads, Dim(longest, u.ncols())));
    let mut y = Array2::from_elem(x.dim(), f32::NAN);
    keyless_attention::forward(p, shape, x, u, x, y.view_mut(), saved, scratch);
    y
}

fn through_keys(p: &CrossAttention<impl Read>, shape: Shape, x: ArrayView2<f32>, u: ArrayView2<f32>) -> Array2<f32> {
    let (rows, width) = x.dim();
    let mut kv = Array2::from_elem((u.nrows(), 2 * width), f32::NAN);
    let saved = &mut poisoned(&Saved::dims(rows, width, shape.heads));
    let mut y = Array2::from_elem(x.dim(), f32::NAN);
    cross_attention::keys(p, u, kv.view_mut());
    cross_attention::forward(p, shape, x, kv.view(), x, y.view_mut(), saved);
    y
}

#[test]
fn no_keys_give_what_keys_give() {
    let texts =
        |(width, inputs, heads)| (Shape { queries: TEXTS[0], source: TEXTS[1], heads, dropout: None }, width, inputs);
    for (shape, width, inputs) in cases().chain(PANELS.map(texts)) {
        let name = format!("{shape:?}, {width} from {inputs}");
        let params = random::params(spec(width, inputs), 1);
        let (x, u) = (random::matrix((end(shape.queries), width), 2), random::matrix((end(shape.source), inputs), 3));
        let doubles: Vec<f64> = to_f64(&params.flat[..]);
        let p = view(&params.spec, &doubles);
        let expected =
            oracle::cross_attention(&p, shape, x.mapv(f64::from).view(), u.mapv(f64::from).view()) + x.mapv(f64::from);
        let (plain, weights) = (params.view(), params.clone().into_weights());
        let laid_out = weights.view();
        for (how, y) in [
            ("plain", among_tokens(&plain, shape, x.view(), u.view())),
            ("laid out", among_tokens(&laid_out, shape, x.view(), u.view())),
        ] {
            let off = compare(&name, &[x.nrows(), width], &to_f64(&y), expected.as_slice().unwrap());
            assert!(off.is_none(), "{how}: {}", off.unwrap());
            assert_close(&name, y.view(), through_keys(&plain, shape, x.view(), u.view()).view());
            assert_close(&name, y.view(), through_keys(&laid_out, shape, x.view(), u.view()).view());
        }
    }
}

/// A row gets from its own picture the same whoever else looks.
#[test]
fn a_picture_is_looked_at_as_alone() {
    let (width, inputs, heads) = PANELS[3];
    let params = random::params(spec(width, inputs), 1);
    let (x, u) = (random::matrix((31, width), 2), random::matrix((58, inputs), 3));
    let shape = Shape { queries: TEXTS[0], source: TEXTS[1], heads, dropout: None };
    let together = among_tokens(&params.view(), shape, x.view(), u.view());
    for (queries, source) in TEXTS[0].iter().zip(TEXTS[1]).filter(|(queries, _)| !queries.is_empty()) {
        let rows = |m: &Array2<f32>, range: &Range<usize>| m.slice(ndarray::s![range.clone(), ..]).to_owned();
        let (x, u) = (rows(&x, queries), rows(&u, source));
        let shape = Shape { queries: &[0..x.nrows()], source: &[0..u.nrows()], heads, dropout: None };
        let alone = among_tokens(&params.view(), shape, x.view(), u.view());
        assert_close(&format!("{queries:?}"), rows(&together, queries).view(), alone.view());
    }
}

#[test]
fn same_bits_on_any_number_of_threads() {
    let (width, inputs, heads) = (256, 192, 4);
    let weights = random::params(spec(width, inputs), 1).into_weights();
    let (x, u) = (random::matrix((31, width), 2), random::matrix((240, inputs), 3));
    let shape = Shape { queries: &[0..12, 12..31], source: &[0..200, 200..240], heads, dropout: None };
    let run = || among_tokens(&weights.view(), shape, x.view(), u.view());
    let [one, two, five] =
        [1, 2, 5].map(|threads| ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run));
    assert!(one == two && one == five);
}

/// Counted by hand for the base model: 577 rows, 12 heads, widths of 768.
#[test]
fn few_rows_pay() {
    let pays = |queries: &[Range<usize>], source: &[Range<usize>]| {
        pays(Shape { queries, source, heads: 12, dropout: None }, 768, 768)
    };
    let without = |n: usize| 2 * 768 * n * (768 + 12 * 577);
    let with = |n: usize| 2 * 768 * (577 * 768 + n * 577);
    for n in [1, 12, 62, 63, 400] {
        assert_eq!(pays(&[0..n], &[0..577]), without(n) < with(n), "{n}");
        // What pays for each of two pictures pays for both.
        assert_eq!(pays(&[0..n, n..2 * n], &[0..577, 577..1154]), n <= 62, "{n} each");
    }
    assert!(pays(&[0..3], &[0..577]) && !pays(&[0..63], &[0..577]));
    // Keys are made of all rows, and those of one picture serve nobody but those who look at it.
    assert!(pays(&[0..3, 3..6], &[0..577, 577..1154]));
}
