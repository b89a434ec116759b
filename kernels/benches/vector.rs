//! The vector kernels at the shapes of ViT-B/32 and its text tower: each result is checked, then timed.
//! `cargo bench -p kernels --bench vector -- attention`

#[path = "support/rates.rs"]
mod rates;

use clipwright_kernels::attention::{self, DQkv, Heads, HeadsMut, Layout};
use clipwright_kernels::{Activation, Write, adamw, embedding, info_nce, layer_norm, reduce, sigmoid};
use criterion::{Criterion, Throughput};
use rates::{Rates, Times};
use std::hint::black_box;

/// Some numbers in [−1, 1).
fn numbers(len: usize) -> Vec<f32> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
}

#[track_caller]
fn check(actual: &[f32], expected: &[f32], tolerance: f32) {
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= tolerance, "element {i}: {a} instead of {e}");
    }
}

/// (name, sequences, query rows, key rows, heads, causal), heads of 64.
const ATTENTION: [(&str, usize, usize, usize, usize, bool); 6] = [
    ("vit-b32 32×50", 32, 50, 50, 12, false),
    ("vit-b32 1×50", 1, 50, 50, 12, false),
    ("vit-b32 pooled 32×1", 32, 1, 50, 12, false),
    ("text 32×10", 32, 10, 10, 8, true),
    ("text 32×77", 32, 77, 77, 8, true),
    ("vit-l14@336 8×577", 8, 577, 577, 16, false),
];

fn attention_shapes(c: &mut Criterion<Rates>) {
    for (name, sequences, queries, keys, heads, causal) in ATTENTION {
        let (width, head_dim) = (heads * 64, 64);
        let ranges = |n: usize| (0..sequences).map(|s| s * n..(s + 1) * n).collect::<Vec<_>>();
        let (q, kv) = (ranges(queries), ranges(keys));
        let layout = Layout { q: &q, kv: &kv, heads, head_dim, causal, dropout: None };
        let (rows, kv_rows) = (sequences * queries, sequences * keys);
        let (qkv, dout) = (numbers(kv_rows * 3 * width), numbers(rows * width));
        let part = |i: usize| Heads { data: &qkv[i * width..], row_stride: 3 * width };
        let (q, k, v) = (part(0), part(1), part(2));
        let (mut out, mut lse) = (vec![0.0; rows * width], vec![0.0; heads * rows]);
        let (mut expected, mut expected_lse) = (out.clone(), lse.clone());
        attention::forward(layout, q, k, v, HeadsMut { data: &mut out, row_stride: width }, &mut lse);
        if rows < 4000 {
            attention::naive::forward(
                layout,
                q,
                k,
                v,
                HeadsMut { data: &mut expected, row_stride: width },
                &mut expected_lse,
            );
            check(&out, &expected, 1e-5);
        }
        // A product counts 2 FLOPs for each query, visible key and component: two products forward, five backward.
        let pairs = if causal { queries * (queries + 1) / 2 } else { queries * keys };
        let product = (2 * sequences * heads * pairs * head_dim) as u64;
        let mut group = c.benchmark_group("attention");
        group.throughput(Throughput::Elements(2 * product));
        group.bench_function(format!("forward {name}"), |b| {
            b.iter(|| {
                let out = HeadsMut { data: black_box(&mut out), row_stride: width };
                attention::forward(layout, q, k, v, out, &mut lse)
            })
        });
        let (mut dq, mut dkv) = (vec![0.0; rows * width], vec![0.0; kv_rows * 2 * width]);
        let (out, dout) = (Heads { data: &out, row_stride: width }, Heads { data: &dout, row_stride: width });
        group.throughput(Throughput::Elements(5 * product));
        group.bench_function(format!("backward {name}"), |b| {
            b.iter(|| {
                let to = DQkv::Split { dq: (black_box(&mut dq), Write::Set), dkv: (&mut dkv, Write::Set) };
                attention::backward(layout, q, k, v, out, &lse, dout, to)
            })
        });
    }
}

/// Kernels that stream through memory, at 32 images: 1600 rows of 768, and one image: 50 rows.
fn streaming(c: &mut Criterion<Rates>) {
    let mut group = c.benchmark_group("streaming");
    for (rows, d) in [(1600, 768), (50, 768)] {
        let (x, dy, weight, bias) = (numbers(rows * d), numbers(rows * d), numbers(d), numbers(d));
        let (mut y, mut mean, mut rstd) = (x.clone(), vec![0.0; rows], vec![0.0; rows]);
        let mut expected = y.clone();
        layer_norm::naive::forward(&x, &weight, &bias, 1e-5, &mut expected, &mut mean, &mut rstd);
        layer_norm::forward(&x, &weight, &bias, 1e-5, &mut y, &mut mean, &mut rstd);
        check(&y, &expected, 1e-5);
        let bytes = |arrays: usize| Throughput::Bytes((arrays * rows * d * 4) as u64);
        group.throughput(bytes(2));
        group.bench_function(format!("layer_norm forward {rows}×{d}"), |b| {
            b.iter(|| layer_norm::forward(black_box(&x), &weight, &bias, 1e-5, &mut y, &mut mean, &mut rstd))
        });
        let (mut dx, mut dw, mut db) = (x.clone(), vec![0.0; d], vec![0.0; d]);
        group.throughput(bytes(5));
        group.bench_function(format!("layer_norm backward {rows}×{d}"), |b| {
            b.iter(|| {
                layer_norm::backward(black_box(&x), &weight, &mean, &rstd, &dy, Write::Set, &mut dx, &mut dw, &mut db)
            })
        });
        group.throughput(bytes(1));
        group.bench_function(format!("add_column_sums {rows}×{d}"), |b| {
            b.iter(|| reduce::add_column_sums(black_box(&x), &mut db))
        });
        let mut squares = vec![0.0; x.len().div_ceil(reduce::PIECE)];
        group.bench_function(format!("squares_of_pieces {rows}×{d}"), |b| {
            b.iter(|| reduce::squares_of_pieces(black_box(&x), &mut squares))
        });
        for act in [Activation::QuickGelu, Activation::Gelu] {
            act.forward(&x, &mut y);
            expected.iter_mut().zip(&x).for_each(|(e, &x)| *e = act.apply(x));
            check(&y, &expected, 1e-6);
            group.throughput(bytes(2));
            group.bench_function(format!("{act:?} forward {rows}×{d}"), |b| {
                b.iter(|| act.forward(black_box(&x), &mut y))
            });
            group.throughput(bytes(5));
            group.bench_function(format!("{act:?} backward {rows}×{d}"), |b| {
                b.iter(|| {
                    // Anew each time: repeated factors below 1 would end in slow subnormal numbers.
                    dx.copy_from_slice(&dy);
                    act.backward(black_box(&x), &mut dx)
                })
            });
        }
        let index: Vec<u32> = (0..rows as u32).map(|i| i * 7919 % 49_408).collect();
        let mut table = vec![0.0; 49_408 * d];
        group.throughput(bytes(3));
        group.bench_function(format!("scatter_add {rows}×{d}"), |b| {
            b.iter(|| embedding::scatter_add(black_box(&dy), &index, d, &mut table))
        });
    }
}

fn optimizer(c: &mut Criterion<Rates>) {
    let n = 4 << 20;
    let (mut p, mut g, mut m, mut v) = (numbers(n), numbers(n), vec![0.0; n], vec![0.0; n]);
    let step =
        adamw::Step { lr: 1e-3, beta1: 0.9, beta2: 0.98, eps: 1e-6, weight_decay: 0.2, step: 1, grad_scale: 1.0 };
    let mut expected = (p.clone(), g.clone(), m.clone(), v.clone());
    adamw::naive::step(&step, &mut expected.0, &mut expected.1, &mut expected.2, &mut expected.3);
    adamw::step(&step, &mut p, &mut g, &mut m, &mut v);
    check(&p, &expected.0, 1e-6);
    let mut group = c.benchmark_group("adamw");
    group.throughput(Throughput::Bytes(8 * 4 * n as u64));
    group.bench_function("4 Mi parameters", |b| {
        b.iter(|| adamw::step(black_box(&step), &mut p, &mut g, &mut m, &mut v))
    });
}

fn contrastive(c: &mut Criterion<Rates>) {
    let (rows, cols) = (256, 256);
    let logits = numbers(rows * cols);
    let mut tile = logits.clone();
    let (mut max, mut sum) = (vec![f32::NEG_INFINITY; rows], vec![0.0; rows]);
    let mut expected = (max.clone(), sum.clone());
    info_nce::naive::fold_rows(&tile, cols, &mut expected.0, &mut expected.1);
    info_nce::fold_rows(&tile, cols, &mut max, &mut sum);
    check(&max, &expected.0, 0.0);
    check(&sum, &expected.1, 1e-3);
    let mut group = c.benchmark_group("info_nce");
    group.throughput(Throughput::Bytes(size_of_val(&logits[..]) as u64));
    group.bench_function("fold_rows 256×256", |b| {
        b.iter(|| info_nce::fold_rows(black_box(&tile), cols, &mut max, &mut sum))
    });
    group.bench_function("fold_cols 256×256", |b| {
        b.iter(|| info_nce::fold_cols(black_box(&tile), cols, &mut max, &mut sum))
    });
    let lse = vec![5.0; rows];
    group.bench_function("softmax_sum 256×256", |b| {
        b.iter(|| {
            tile.copy_from_slice(&logits);
            info_nce::softmax_sum(black_box(&mut tile), &lse, &lse)
        })
    });
    group.finish();

    let (mut loss, mut slope) = (vec![0.0; rows], vec![0.0; rows]);
    let mut group = c.benchmark_group("sigmoid");
    group.throughput(Throughput::Bytes(size_of_val(&logits[..]) as u64));
    group.bench_function("fold 256×256", |b| {
        b.iter(|| {
            tile.copy_from_slice(&logits);
            sigmoid::fold(black_box(&mut tile), cols, &mut loss, &mut slope)
        })
    });
}

fn main() {
    rates::run(
        Times { samples: 20, warm_up: 300, measured: 1000 },
        &[attention_shapes, streaming, optimizer, contrastive],
    );
}
