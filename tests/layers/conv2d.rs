use super::shapes::INIT;
use crate::support::compare::{compare, to_f64};
use crate::support::gradcheck::{Layer, Pass};
use crate::support::{oracle, random};
use clipwright::layers::conv2d::{self, Conv2d, Shape};
use clipwright::params::Spec;
use ndarray::{Array2, ArrayView2, ArrayView4, ArrayViewMut2, ArrayViewMut4};
use rayon::ThreadPoolBuilder;

/// Sizes: pictures, height, width.
type Pictures = (usize, usize, usize);

/// Checks every kernel and stride on pictures of one pixel, one row, one column, and odd and even sizes.
fn shapes() -> impl Iterator<Item = (Shape, Pictures)> {
    let pictures = [(1, 1, 1), (2, 1, 3), (1, 4, 1), (1, 2, 2), (2, 3, 4), (1, 5, 3)];
    let channels = [(1, 1), (3, 5), (6, 2)];
    let kinds = [(1, 1), (1, 2), (3, 1), (3, 2)];
    kinds.into_iter().flat_map(move |(kernel, stride)| {
        pictures.into_iter().zip(channels.into_iter().cycle()).map(move |(pictures, (in_channels, out_channels))| {
            (Shape { in_channels, out_channels, kernel, stride }, pictures)
        })
    })
}

fn spec(shape: &Shape) -> Conv2d<Spec> {
    let Conv2d { weight } = shape.spec();
    Conv2d { weight: Spec { init: INIT, ..weight } }
}

/// Views rows of channels as pictures.
fn view(x: ArrayView2<'_, f32>, (n, h, w): Pictures) -> ArrayView4<'_, f32> {
    let channels = x.ncols();
    x.into_shape_with_order((n, h, w, channels)).expect("a row for every pixel")
}

fn view_mut(x: ArrayViewMut2<'_, f32>, (n, h, w): Pictures) -> ArrayViewMut4<'_, f32> {
    let channels = x.ncols();
    x.into_shape_with_order((n, h, w, channels)).expect("a row for every pixel")
}

/// Runs forward, then backward.
fn run(shape: &Shape, pictures: Pictures, Pass { p, x: [x], y, dy, dx: [dx], mut g }: Pass<Conv2d<Spec>, 1>) {
    let (n, h, w) = pictures;
    let out = (n, shape.out(h), shape.out(w));
    conv2d::forward(&p, shape, view(x, pictures), view_mut(y, out));
    conv2d::backward(&p, shape, view(x, pictures), view(dy, out), Some(view_mut(dx, pictures)), &mut g);
}

fn layer(shape: &Shape, pictures: Pictures) -> Layer<Conv2d<Spec>, 1> {
    let (n, h, w) = pictures;
    Layer::new(format!("{shape:?} of {pictures:?}"), spec(shape), [("x", n * h * w, shape.in_channels)])
}

#[test]
fn every_entry() {
    for (shape, pictures) in shapes() {
        layer(&shape, pictures)
            .check(|p, [x]| oracle::conv2d(p, &shape, pictures, x), |pass| run(&shape, pictures, pass));
    }
}

/// The check with as many channels as in a real network and more pixels than a tile has rows.
#[test]
fn wide() {
    for (in_channels, out_channels, kernel, stride) in [(40, 70, 3, 1), (70, 40, 3, 2), (130, 35, 1, 1), (3, 33, 3, 2)]
    {
        let shape = Shape { in_channels, out_channels, kernel, stride };
        let pictures = (2, 9, 11);
        layer(&shape, pictures)
            .check_directions(|p, [x]| oracle::conv2d(p, &shape, pictures, x), |pass| run(&shape, pictures, pass));
    }
}

/// The gradient of the pictures can be left out, as the first layer does.
#[test]
fn the_weight_gradient_alone() {
    let (shape, pictures) = (Shape { in_channels: 3, out_channels: 5, kernel: 3, stride: 2 }, (2, 5, 4));
    let layer = layer(&shape, pictures);
    let mismatches = layer.mismatches(
        |p, [x]| oracle::conv2d(p, &shape, pictures, x),
        |Pass { p, x: [x], y, dy, mut g, .. }| {
            conv2d::forward(&p, &shape, view(x, pictures), view_mut(y, (2, 3, 2)));
            conv2d::backward(&p, &shape, view(x, pictures), view(dy, (2, 3, 2)), None, &mut g);
        },
    );
    assert_eq!(mismatches.iter().map(|m| m.tensor.as_str()).collect::<Vec<_>>(), ["dx"], "left as it was");
}

/// A planted fault that the check must find: dx as if the kernel were not flipped.
#[test]
fn dx_without_the_flip() {
    let (shape, pictures) = (Shape { in_channels: 3, out_channels: 3, kernel: 3, stride: 1 }, (1, 4, 5));
    let mismatches = layer(&shape, pictures).mismatches(
        |p, [x]| oracle::conv2d(p, &shape, pictures, x),
        |Pass { p, x, y, dy, dx, g }| {
            let [mut spoiled] = dx;
            run(&shape, pictures, Pass { p: Conv2d { weight: p.weight }, x, y, dy, dx: [spoiled.view_mut()], g });
            let flipped: Vec<f32> = p.weight.chunks(9).flat_map(|kernel| kernel.iter().rev().copied()).collect();
            let p = Conv2d { weight: flipped.as_slice() };
            let (mut unused, dx) = (vec![0.0; p.weight.len()], view_mut(spoiled, pictures));
            let g = &mut Conv2d { weight: unused.as_mut_slice() };
            conv2d::backward(&p, &shape, view(x[0], pictures), view(dy, pictures), Some(dx), g);
        },
    );
    assert_eq!(mismatches.iter().map(|m| m.tensor.as_str()).collect::<Vec<_>>(), ["dx"]);
}

/// y = act(conv·scale + shift (+ residual))
#[test]
fn normalized() {
    for (shape, pictures) in shapes() {
        for (with_residual, relu) in [(false, false), (false, true), (true, false), (true, true)] {
            let (n, h, w) = pictures;
            let out = (n, shape.out(h), shape.out(w));
            let rows = out.0 * out.1 * out.2;
            let name = format!("{shape:?} of {pictures:?}, residual: {with_residual}, relu: {relu}");
            let (x, p) = (random::matrix((n * h * w, shape.in_channels), 1), random::params(spec(&shape), 2));
            let (scale, shift) = (random::normals(shape.out_channels, 3), random::normals(shape.out_channels, 4));
            let residual = random::matrix((rows, shape.out_channels), 5);

            let weight = to_f64(&p.flat);
            let x64 = x.mapv(f64::from);
            let mut expected = oracle::conv2d(&Conv2d { weight: weight.as_slice() }, &shape, pictures, x64.view());
            for ((row, o), y) in expected.indexed_iter_mut() {
                *y = *y * f64::from(scale[o]) + f64::from(shift[o]);
                *y += if with_residual { f64::from(residual[[row, o]]) } else { 0.0 };
                *y = if relu { y.max(0.0) } else { *y };
            }
            let mut y = Array2::from_elem((rows, shape.out_channels), f32::NAN);
            let residual = with_residual.then(|| view(residual.view(), out));
            let (p, x, y_view) = (p.view(), view(x.view(), pictures), view_mut(y.view_mut(), out));
            conv2d::forward_normalized(&p, &shape, x, &scale, &shift, residual, relu, y_view);
            // A single output below zero becomes zero, which leaves nothing to compare.
            if expected.iter().any(|&y| y != 0.0) {
                let mismatch = compare(&name, y.shape(), &to_f64(&y), expected.as_slice().expect("whole"));
                assert!(mismatch.is_none(), "{}", mismatch.unwrap());
            } else {
                assert!(y.iter().all(|&y| y == 0.0), "{name}");
            }
        }
    }
}

/// The bits do not depend on the number of threads: shapes alone decide where work is cut.
#[test]
fn same_bits_on_any_number_of_threads() {
    for (in_channels, out_channels, kernel, stride) in [(3, 16, 3, 2), (40, 33, 3, 1), (64, 48, 1, 1), (48, 64, 3, 2)] {
        let shape = Shape { in_channels, out_channels, kernel, stride };
        let pictures = (3, 23, 17);
        let gradients = || {
            let out = (3, shape.out(23), shape.out(17));
            let (p, x) = (random::params(spec(&shape), 1), random::matrix((3 * 23 * 17, in_channels), 2));
            let dy = random::matrix((out.0 * out.1 * out.2, out_channels), 3);
            let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), p.flat.clone());
            let (x, dy) = (view(x.view(), pictures), view(dy.view(), out));
            conv2d::forward(&p.view(), &shape, x, view_mut(y.view_mut(), out));
            let g = &mut Conv2d { weight: &mut dw[..] };
            conv2d::backward(&p.view(), &shape, x, dy, Some(view_mut(dx.view_mut(), pictures)), g);
            y.into_iter().chain(dx).chain(dw.to_vec()).map(f32::to_bits).collect::<Vec<_>>()
        };
        let [one, two, five] =
            [1, 2, 5].map(|threads| ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(gradients));
        assert!(one == two && one == five, "{shape:?}");
    }
}

#[test]
#[should_panic(expected = "from x (1, 4, 4, 3) to y (1, 4, 4, 8)")]
fn shapes_that_disagree_panic() {
    let shape = Shape { in_channels: 3, out_channels: 8, kernel: 3, stride: 2 };
    let (x, mut y, weight) = (Array2::zeros((16, 3)), Array2::zeros((16, 8)), vec![0.0; 8 * 27]);
    let x = view(x.view(), (1, 4, 4));
    conv2d::forward(&Conv2d { weight: weight.as_slice() }, &shape, x, view_mut(y.view_mut(), (1, 4, 4)));
}
