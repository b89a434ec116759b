//! The layers at the shapes of ViT-B/32: 32 pictures of 50 tokens, width 768. FLOP/s count the arithmetic that the
//! formulas need.

use crate::Bench;
use crate::rates::Rates;
use clipwright::layers::Keep;
use clipwright::layers::block::{self, Block, BlockInit, Saved, Scratch, Size};
use clipwright::loss::contrast::Scores;
use clipwright::loss::info_nce;
use clipwright::loss::positives::Positives;
use clipwright::loss::sigmoid::{self, Sums};
use clipwright::params::{Init, Params, view_mut};
use clipwright::random::normals;
use clipwright::tree::Arena;
use criterion::{Criterion, Throughput};
use kernels::Activation;
use ndarray::{Array2, Axis};

/// What is timed.
pub const BENCHES: &[Bench] = &[residual_block, contrastive_loss, sigmoid_loss];

fn normal(rows: usize, cols: usize) -> Array2<f32> {
    normals((rows, cols), rows as u64)
}

/// One residual block, forward and backward.
fn residual_block(c: &mut Criterion<Rates>) {
    let size = Size {
        width: 768,
        mlp_width: 3072,
        heads: 12,
        layers: 12,
        activation: Activation::QuickGelu,
        causal: false,
        eps: 1e-5,
    };
    let (sequences, tokens) = (32, 50);
    let rows = sequences * tokens;
    let init = Init::Normal(0.03);
    let params =
        Params::init(Block::spec(&size, &BlockInit { in_proj: init, out_proj: init, c_fc: init, c_proj: init }), 0);
    let p = params.view();
    let ranges: Vec<_> = (0..sequences).map(|s| s * tokens..(s + 1) * tokens).collect();
    let x = normal(rows, size.width);
    let (mut y, mut dx, mut grads) = (Array2::zeros(x.raw_dim()), x.clone(), vec![0.0; params.flat.len()]);
    let (mut saved, mut scratch) = (Arena::default(), Arena::default());
    let mut saved = saved.carve(&Saved::dims(&size, rows, Keep::All));
    let mut scratch = scratch.carve(&Scratch::dims(&size, rows));

    // The first picture alone must give what it gives among the others.
    block::forward(&p, &size, &ranges, None, x.view(), y.view_mut(), &mut saved, &mut scratch);
    let (first, mut alone) = (x.slice_axis(Axis(0), (0..tokens).into()), Array2::zeros((tokens, size.width)));
    let (mut own_saved, mut own_scratch) = (Arena::default(), Arena::default());
    let own_saved = &mut own_saved.carve(&Saved::dims(&size, tokens, Keep::All));
    let own_scratch = &mut own_scratch.carve(&Scratch::dims(&size, tokens));
    block::forward(&p, &size, &ranges[..1], None, first, alone.view_mut(), own_saved, own_scratch);
    assert!(alone.iter().zip(&y).all(|(a, b)| (a - b).abs() < 1e-4), "a picture depends on its neighbours");

    let (d, m) = (size.width as u64, size.mlp_width as u64);
    let flops = 2 * rows as u64 * (4 * d * d + 2 * d * m + 2 * tokens as u64 * d);
    let mut group = c.benchmark_group("layers: block 32×50×768");
    group.sample_size(10);
    group.throughput(Throughput::Elements(flops));
    group.bench_function("forward", |b| {
        b.iter(|| block::forward(&p, &size, &ranges, None, x.view(), y.view_mut(), &mut saved, &mut scratch));
    });
    group.throughput(Throughput::Elements(2 * flops));
    group.bench_function("backward", |b| {
        let mut g = view_mut(&params.spec, &mut grads);
        b.iter(|| {
            // The gradient is used up; a fresh one keeps the numbers ordinary.
            dx.assign(&x);
            block::backward(&p, &size, &ranges, None, x.view(), dx.view_mut(), &saved, &mut scratch, &mut g);
        });
    });
    group.finish();
}

/// The loss over 4,096 pairs, forward and backward.
fn contrastive_loss(c: &mut Criterion<Rates>) {
    let (n, d) = (4096, 512);
    let mut images = normal(n, d);
    images.rows_mut().into_iter().for_each(|mut row| row /= row.dot(&row).sqrt());
    let texts = images.clone();
    let (mut dimages, mut dtexts) = (Array2::zeros((n, d)), Array2::zeros((n, d)));
    let positives = Positives::diagonal(n);
    let (mut saved, mut scratch) = (Arena::default(), Arena::default());
    let mut saved = saved.carve(&info_nce::Saved::dims(n));
    let mut scratch = scratch.carve(&info_nce::Scratch::dims(n));
    let (i, t) = (images.view(), texts.view());
    let mut both = || {
        let loss = info_nce::forward(i, t, 14.3, &positives, &mut saved, &mut scratch);
        info_nce::backward(i, t, 14.3, &positives, &saved, dimages.view_mut(), dtexts.view_mut(), &mut scratch);
        loss
    };
    // Equal rows on both sides: the loss is small, and the same in both directions.
    let loss = both();
    assert!(loss.mean() < 0.1 && (loss.image_to_text - loss.text_to_image).abs() < 1e-5, "{loss:?}");

    let mut group = c.benchmark_group("layers: info_nce 4096×512");
    group.sample_size(10);
    // S once forward; S, dI and dT backward.
    group.throughput(Throughput::Elements(4 * 2 * (n * n * d) as u64));
    group.bench_function("forward and backward", |b| b.iter(&mut both));
    group.finish();
}

/// SigLIP's loss over 4,096 pairs, and its gradients.
fn sigmoid_loss(c: &mut Criterion<Rates>) {
    let (n, d) = (4096, 512);
    let mut images = normal(n, d);
    images.rows_mut().into_iter().for_each(|mut row| row /= row.dot(&row).sqrt());
    let (mut dimages, mut dtexts) = (Array2::zeros((n, d)), Array2::zeros((n, d)));
    let positives = Positives::diagonal(n);
    let (mut scratch, mut sums) = (Arena::default(), Sums::default());
    let mut scratch = scratch.carve(&sigmoid::Scratch::dims(n));
    let scores = Scores { rows: images.view(), cols: images.view(), scale: 10.0 };
    let mut group = c.benchmark_group("layers: sigmoid 4096×512");
    group.sample_size(10);
    // S, dI and dT.
    group.throughput(Throughput::Elements(3 * 2 * (n * n * d) as u64));
    group.bench_function("loss and gradients", |b| {
        b.iter(|| {
            let (dimages, dtexts) = (dimages.view_mut(), dtexts.view_mut());
            sigmoid::forward_backward(&scores, -10.0, &positives, dimages, dtexts, &mut sums, &mut scratch)
        })
    });
    group.finish();
}
