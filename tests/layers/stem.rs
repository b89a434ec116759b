use crate::support::gradcheck::{Layer, Pass};
use crate::support::oracle::{self, Relus};
use crate::support::trees::poisoned;
use clipwright::layers::pictures_mut;
use clipwright::layers::stem::{self, Saved, Scratch, Shape, Stem};
use clipwright::layers::{conv2d, patch_embed::CHANNELS};
use clipwright::params::Spec;
use ndarray::{Array2, ArrayView2};

/// The stem returns no gradient of the pictures; every other gradient is checked.
#[test]
fn every_entry() {
    for (image_size, width, pictures) in [(8, 6, 2), (5, 8, 3), (7, 6, 1)] {
        let shape = Shape { image_size, width };
        let images = crate::support::random::matrix((pictures, CHANNELS * image_size * image_size), 4);
        let (out, relus) = (shape.out(pictures), Relus::default());
        Layer::new(format!("{shape:?}, {pictures} pictures"), shape.spec(), []).check(
            |p, []| oracle(p, &relus, image_size, images.mapv(f64::from).view()),
            |Pass { p, y, dy, mut g, .. }: Pass<Stem<Spec>, 0>| {
                let saved = &mut poisoned(&Saved::dims(&shape, pictures));
                let scratch = || poisoned(&Scratch::dims(&shape, pictures));
                stem::forward(&p, &shape, images.view(), pictures_mut(y, out), saved, &mut scratch());
                let dy = clipwright::layers::pictures(dy, out);
                stem::backward(&p, &shape, images.view(), dy, saved, &mut scratch(), &mut g);
            },
        );
    }
}

fn oracle(p: &Stem<&[f64]>, relus: &Relus, edge: usize, images: ArrayView2<f64>) -> Array2<f64> {
    let (n, relus) = (images.nrows(), relus.restart());
    let pixel = |(row, c)| images[[row / (edge * edge), c * edge * edge + row % (edge * edge)]];
    let x = Array2::from_shape_fn((n * edge * edge, CHANNELS), pixel);
    let conv = |p: &conv2d::Conv2d<&[f64]>, stride: usize, edge: usize, x: &Array2<f64>| {
        let (in_channels, out_channels) = (x.ncols(), p.weight.len() / x.ncols() / 9);
        let shape = conv2d::Shape { in_channels, out_channels, kernel: 3, stride };
        oracle::conv2d(p, &shape, (n, edge, edge), x.view())
    };
    let half = edge.div_ceil(2);
    let x = relus.apply(oracle::batch_norm(&p.bn1, conv(&p.conv1, 2, edge, &x).view()));
    let x = relus.apply(oracle::batch_norm(&p.bn2, conv(&p.conv2, 1, half, &x).view()));
    let x = relus.apply(oracle::batch_norm(&p.bn3, conv(&p.conv3, 1, half, &x).view()));
    oracle::avg_pool(2, (n, half, half), x.view())
}
