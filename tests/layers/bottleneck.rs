use crate::support::compare::{assert_close, to_f64};
use crate::support::gradcheck::{Layer, Pass};
use crate::support::oracle::{self, Relus};
use crate::support::{random, trees::poisoned};
use clipwright::layers::bottleneck::{self, Bottleneck, InferScratch, Saved, Scratch, Shape};
use clipwright::layers::{Dim4, pictures, pictures_mut};
use clipwright::params::{Spec, view};
use ndarray::{Array2, ArrayView2, ArrayViewMut2};

/// Blocks with and without a shortcut convolution, with and without a stride, and pictures of even and odd sizes.
const SHAPES: [(Shape, Dim4); 5] = [
    (Shape { in_channels: 12, planes: 3, stride: 1 }, (2, 3, 2, 12)),
    (Shape { in_channels: 3, planes: 4, stride: 1 }, (2, 2, 3, 3)),
    (Shape { in_channels: 5, planes: 3, stride: 2 }, (2, 4, 4, 5)),
    (Shape { in_channels: 4, planes: 3, stride: 2 }, (3, 5, 3, 4)),
    (Shape { in_channels: 12, planes: 3, stride: 1 }, (7, 1, 1, 12)),
];

fn rows((n, h, w, _): Dim4) -> usize {
    n * h * w
}

fn layer(shape: &Shape, dim: Dim4) -> Layer<Bottleneck<Spec>, 1> {
    Layer::new(format!("{shape:?} of {dim:?}"), shape.spec(), [("x", rows(dim), dim.3)])
}

fn oracle(
    shape: &Shape,
    dim: Dim4,
    relus: &Relus,
) -> impl Fn(&Bottleneck<&[f64]>, [ArrayView2<f64>; 1]) -> Array2<f64> {
    let pixels = (dim.0, dim.1, dim.2);
    move |p, [x]| oracle::bottleneck(p, shape, oracle::batch_norm, relus.restart(), pixels, x)
}

/// Runs forward, then backward, with scratch memory that is overwritten in between.
fn run(shape: &Shape, dim: Dim4, Pass { p, x: [x], mut y, dy, dx: [dx], mut g }: Pass<Bottleneck<Spec>, 1>) {
    let (saved, scratch) = (&mut poisoned(&Saved::dims(shape, dim)), || poisoned(&Scratch::dims(&[(*shape, dim)])));
    let (x, out, mut dy) = (pictures(x, dim), shape.out(dim), dy.to_owned());
    bottleneck::forward(&p, shape, x, pictures_mut(y.view_mut(), out), saved, &mut scratch());
    let (y, dy) = (pictures(y.view(), out), pictures_mut(dy.view_mut(), out));
    bottleneck::backward(&p, shape, x, y, dy, pictures_mut(dx, dim), saved, &mut scratch(), &mut g);
}

#[test]
fn every_entry() {
    for (shape, dim) in SHAPES {
        layer(&shape, dim).check(oracle(&shape, dim, &Relus::default()), |pass| run(&shape, dim, pass));
    }
}

/// The check with as many channels and pixels as in a real network.
#[test]
fn wide() {
    for (in_channels, planes, stride) in [(40, 20, 2), (72, 18, 1)] {
        let (shape, dim) = (Shape { in_channels, planes, stride }, (2, 9, 7, in_channels));
        layer(&shape, dim).check_directions(oracle(&shape, dim, &Relus::default()), |pass| run(&shape, dim, pass));
    }
}

/// Inference by the running statistics, with BatchNorm folded into the convolutions.
#[test]
fn inference() {
    for (shape, dim) in SHAPES {
        let params = random::params(shape.spec(), 1);
        let (x, out) = (random::matrix((rows(dim), dim.3), 2), shape.out(dim));
        let mut y = Array2::from_elem((rows(out), out.3), f32::NAN);
        let scratch = &mut poisoned(&InferScratch::dims(&[(shape, dim)]));
        bottleneck::infer(&params.view(), &shape, pictures(x.view(), dim), pictures_mut(y.view_mut(), out), scratch);
        let point = to_f64(&params.flat);
        let p = view(&params.spec, &point);
        let x = x.mapv(f64::from);
        let (norm, pixels) = (oracle::batch_norm_running, (dim.0, dim.1, dim.2));
        let expected = oracle::bottleneck(&p, &shape, norm, &Relus::default(), pixels, x.view());
        assert_close("y", y.view(), expected.mapv(|y| y as f32).view());
    }
}

/// A planted fault that the check must find: the gradient of the shortcut is missing.
#[test]
fn without_the_shortcut() {
    let (shape, dim) = SHAPES[0];
    let mismatches = layer(&shape, dim).mismatches(
        oracle(&shape, dim, &Relus::default()),
        |Pass { p, x: [x], mut y, dy, dx: [mut dx], g }| {
            let pass = |y, dx| Pass { p, x: [x], y, dy, dx: [dx], g };
            run(&shape, dim, pass(y.view_mut(), dx.view_mut()));
            drop_shortcut(&mut dx, |place| if y[place] > 0.0 { dy[place] } else { 0.0 });
        },
    );
    assert_eq!(mismatches.iter().map(|m| m.tensor.as_str()).collect::<Vec<_>>(), ["dx"]);
}

fn drop_shortcut(dx: &mut ArrayViewMut2<f32>, dz: impl Fn((usize, usize)) -> f32) {
    dx.indexed_iter_mut().for_each(|(place, dx)| *dx -= dz(place));
}
