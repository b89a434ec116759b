//! What reads and writes more than it multiplies, at the shapes of ViT-B/32 and its text tower: LayerNorm, the
//! embedding of tokens, AdamW. GB/s count every array once for each time that it must be read or written.

use crate::Bench;
use crate::rates::Rates;
use clipwright::layers::layer_norm::{self, LayerNorm, Saved};
use clipwright::layers::linear::Linear;
use clipwright::layers::token_embed;
use clipwright::optim::adamw::{AdamW, Decay, Hyper};
use clipwright::params::{Init, Params, Spec, view_mut};
use clipwright::random::normals;
use clipwright::tree::Arena;
use criterion::{Criterion, Throughput};
use kernels::Write;
use ndarray::Array2;

/// What is timed.
pub const BENCHES: &[Bench] = &[layer_norms, token_embedding, optimizer];

/// Bytes of so many arrays of `len` floats.
fn bytes(arrays: usize, len: usize) -> Throughput {
    Throughput::Bytes((arrays * len * size_of::<f32>()) as u64)
}

/// Rows of 32 pictures.
fn layer_norms(c: &mut Criterion<Rates>) {
    let (rows, width) = (1600, 768);
    let params = Params::init(LayerNorm::spec(width), 0);
    let p = params.view();
    let (x, dy) = (normals((rows, width), 0), normals((rows, width), 1));
    let (mut y, mut dx) = (Array2::zeros(x.raw_dim()), Array2::zeros(x.raw_dim()));
    let mut saved = Arena::default();
    let mut saved = saved.carve(&Saved::dims(rows));
    layer_norm::forward(&p, 1e-5, x.view(), y.view_mut(), &mut saved);
    assert!(y.rows().into_iter().all(|row| (row.var(0.0) - 1.0).abs() < 1e-3), "rows that are not normalised");
    let mut group = c.benchmark_group("vectors: layer_norm 1600×768");
    group.throughput(bytes(2, x.len()));
    group.bench_function("forward", |b| {
        b.iter(|| layer_norm::forward(&p, 1e-5, x.view(), y.view_mut(), &mut saved));
    });
    let mut grads = vec![0.0; params.flat.len()];
    group.throughput(bytes(3, x.len()));
    group.bench_function("backward", |b| {
        let mut g = view_mut(&params.spec, &mut grads);
        b.iter(|| layer_norm::backward(&p, x.view(), &saved, dy.view(), Write::Set, dx.view_mut(), &mut g));
    });
    group.finish();
}

/// 32 captions of 77 tokens.
fn token_embedding(c: &mut Criterion<Rates>) {
    let (captions, length, width, vocabulary) = (32, 77, 512, 49_408);
    let rows = captions * length;
    let ids: Vec<u32> = (0..rows as u32).map(|row| row * 7919 % vocabulary as u32).collect();
    let positions: Vec<u32> = (0..rows).map(|row| (row % length) as u32).collect();
    let tables = [vocabulary, length].map(|entries| normals((entries, width), entries as u64));
    let [table, positional] = tables.each_ref().map(|table| table.as_slice().expect("rows end to end"));
    let mut y = Array2::zeros((rows, width));
    token_embed::forward(&table, &positional, &ids, &positions, y.view_mut());
    let last = rows - 1;
    let expected = table[ids[last] as usize * width] + positional[positions[last] as usize * width];
    assert!(y[[last, 0]] == expected, "{} instead of {expected}", y[[last, 0]]);
    let mut group = c.benchmark_group("vectors: token_embed 32×77×512");
    group.throughput(bytes(3, y.len()));
    group.bench_function("forward", |b| {
        b.iter(|| token_embed::forward(&table, &positional, &ids, &positions, y.view_mut()));
    });
    let mut grads = tables.each_ref().map(|table| vec![0.0; table.len()]);
    let dy = y.clone();
    group.throughput(bytes(6, y.len()));
    group.bench_function("backward", |b| {
        let [dtable, dpositional] = &mut grads;
        b.iter(|| token_embed::backward(&ids, &positions, dy.view(), dtable, dpositional));
    });
    group.finish();
}

/// The weights of one MLP of ViT-L/14, 8.4 million.
fn optimizer(c: &mut Criterion<Rates>) {
    let init = Init::Normal(0.02);
    let layer = Linear { weight: Spec::new(&[8192, 1024], init), bias: Spec::new(&[8192], init) };
    let Params { spec, mut flat, .. } = Params::init(layer, 0);
    let n = flat.len();
    let hyper = Hyper { weight_decay: 0.0, ..Hyper::VIT };
    let (mut optimizer, mut grads) = (AdamW::new(n), normals((1, n), 2).into_raw_vec_and_offset().0);
    let (before, gradient) = (flat[0], grads[0]);
    let mut step = |params: &mut [f32], grads: &mut [f32]| {
        let how = (&hyper, Decay::Matrices);
        optimizer.step(&spec, how, |_| 1e-3, 1.0, params, grads, |_| false);
    };
    step(&mut flat, &mut grads);
    // The first step of Adam is the learning rate against the gradient's sign.
    assert!((before - 1e-3 * gradient.signum() - flat[0]).abs() < 1e-5, "{before}, then {}", flat[0]);
    let mut group = c.benchmark_group("vectors: adamw");
    // Reads weights, gradients and both moments, and writes them.
    group.throughput(bytes(8, n));
    group.bench_function("8.4 million parameters", |b| b.iter(|| step(&mut flat, &mut grads)));
    group.finish();
}
