//! The layers of RN50 at 16 pictures of 224 pixels: convolutions in training and by weights laid out for inference,
//! which multiply less by Winograd's transforms, and attention pooling. FLOP/s count the arithmetic of the plain
//! formula, so that saved products may take a share above one.

use crate::Bench;
use crate::rates::Rates;
use clipwright::layers::attention_pool::{self, Saved, Scratch};
use clipwright::layers::conv2d::{self, Conv2d};
use clipwright::params::{Params, view_mut};
use clipwright::random::normals;
use clipwright::tree::Arena;
use criterion::{Criterion, Throughput};
use ndarray::{Array, Array4, Dimension};

/// What is timed.
pub const BENCHES: &[Bench] = &[convolutions, attention_pooling];

const PICTURES: usize = 16;

/// Height and width, channels in and out, edge of the kernel.
const CONVOLUTIONS: [(usize, usize, usize, usize); 3] = [(56, 64, 64, 3), (14, 256, 256, 3), (14, 1024, 256, 1)];

fn normal4(height: usize, channels: usize) -> Array4<f32> {
    let dim = (PICTURES, height, height, channels);
    normals((PICTURES * height * height, channels), channels as u64)
        .into_shape_with_order(dim)
        .expect("the same number")
}

/// ⟨a, b⟩ in f64.
fn dot<D: Dimension>(a: &Array<f32, D>, b: &Array<f32, D>) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

fn convolutions(c: &mut Criterion<Rates>) {
    for (height, in_channels, out_channels, kernel) in CONVOLUTIONS {
        let shape = conv2d::Shape { in_channels, out_channels, kernel, stride: 1 };
        let params = Params::init(shape.spec(), 0);
        let (x, dy) = (normal4(height, in_channels), normal4(height, out_channels));
        let (mut y, mut laid_out, mut dx) = (dy.clone(), dy.clone(), x.clone());
        let mut grads = vec![0.0; params.flat.len()];
        let weights = Params::init(shape.spec(), 0).into_weights();
        conv2d::forward(&params.view(), &shape, x.view(), y.view_mut());
        conv2d::forward(&weights.view(), &shape, x.view(), laid_out.view_mut());
        assert!((&y - &laid_out).iter().all(|off| off.abs() < 1e-3), "weights laid out give something else");
        let mut backward = |dx: &mut Array4<f32>| {
            let mut g: Conv2d<&mut [f32]> = view_mut(&params.spec, &mut grads);
            conv2d::backward(&params.view(), &shape, x.view(), dy.view(), Some(dx.view_mut()), &mut g);
        };
        backward(&mut dx);
        // A convolution is linear in x, so ⟨dy, y⟩ = ⟨dx, x⟩.
        let (forth, back) = (dot(&dy, &y), dot(&dx, &x));
        assert!((forth - back).abs() < 1e-5 * (dot(&dy, &dy) * dot(&y, &y)).sqrt(), "{forth} and {back}");

        let flops = 2 * (PICTURES * height * height * out_channels * in_channels * kernel * kernel) as u64;
        let name = format!("resnet: conv2d {kernel}×{kernel}, {height}², {in_channels}→{out_channels}");
        let mut group = c.benchmark_group(name);
        group.sample_size(10);
        group.throughput(Throughput::Elements(flops));
        let trained = params.view();
        group.bench_function("forward", |b| b.iter(|| conv2d::forward(&trained, &shape, x.view(), y.view_mut())));
        let inferring = weights.view();
        group.bench_function("forward, laid out", |b| {
            b.iter(|| conv2d::forward(&inferring, &shape, x.view(), y.view_mut()));
        });
        group.throughput(Throughput::Elements(2 * flops));
        group.bench_function("backward", |b| b.iter(|| backward(&mut dx)));
        group.finish();
    }
}

/// RN50's attention pool over 7 × 7 pixels of 2048 channels.
fn attention_pooling(c: &mut Criterion<Rates>) {
    let shape = attention_pool::Shape { pixels: 49, channels: 2048, heads: 32, embed_dim: 1024 };
    let params = Params::init(shape.spec(), 0);
    let x = normal4(7, shape.channels);
    let (mut y, mut dx) = (normals((PICTURES, shape.embed_dim), 1), x.clone());
    let dy = y.clone();
    let (mut saved, mut scratch) = (Arena::default(), Arena::default());
    let mut saved = saved.carve(&Saved::dims(&shape, PICTURES));
    let mut scratch = scratch.carve(&Scratch::dims(&shape, PICTURES));
    let p = params.view();
    attention_pool::forward(&p, &shape, x.view(), y.view_mut(), &mut saved);
    let sums = saved.query.probs.rows().into_iter().map(|row| row.sum());
    assert!(sums.into_iter().all(|sum| (sum - 1.0).abs() < 1e-4), "probabilities that do not add up");

    // Queries, keys and values folded to one query a head (C² each), and the output.
    let (rows, c2, e) = (PICTURES as u64, (shape.channels * shape.channels) as u64, shape.embed_dim as u64);
    let looks = 2 * (shape.heads * shape.tokens() * shape.channels) as u64;
    let flops = 2 * rows * (3 * c2 + looks + shape.channels as u64 * e);
    let mut group = c.benchmark_group("resnet: attention_pool 16×49×2048");
    group.sample_size(10);
    group.throughput(Throughput::Elements(flops));
    group.bench_function("forward", |b| {
        b.iter(|| attention_pool::forward(&p, &shape, x.view(), y.view_mut(), &mut saved));
    });
    let mut grads = vec![0.0; params.flat.len()];
    group.throughput(Throughput::Elements(2 * flops));
    group.bench_function("backward", |b| {
        let mut g = view_mut(&params.spec, &mut grads);
        b.iter(|| attention_pool::backward(&p, &shape, dy.view(), dx.view_mut(), &saved, &mut scratch, &mut g));
    });
    group.finish();
}
