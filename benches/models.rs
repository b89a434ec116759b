//! Whole models: ViT-B/32 and RN50 encoding pictures and captions, and training steps.
//! `cargo bench --bench models`

use clipwright::models::Captions;
use clipwright::models::clip::Config;
use clipwright::models::clip::model::{Inference, Model};
use clipwright::random::normals;
use clipwright::train::clip::{ClipObjective, Pairs, hyper};
use clipwright::train::step::{Trainer, TrainerOptions};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ndarray::{Array2, Axis};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// Random pictures for a model.
fn pictures(config: &Config, n: usize) -> Array2<f32> {
    normals((n, 3 * config.vision_cfg.image_size.pow(2)), n as u64)
}

/// Random captions of about `tokens` tokens.
fn captions(n: usize, tokens: usize) -> (Vec<u32>, Vec<usize>) {
    let mut rng = Pcg64::seed_from_u64(n as u64);
    let lengths: Vec<usize> = (0..n).map(|_| rng.random_range(tokens - 3..=tokens + 3)).collect();
    let offsets: Vec<usize> = std::iter::once(0)
        .chain(lengths.iter().scan(0, |end, len| {
            *end += len;
            Some(*end)
        }))
        .collect();
    let ids = (0..offsets[n]).map(|_| rng.random_range(0..49_000)).collect();
    (ids, offsets)
}

fn encode(c: &mut Criterion) {
    ["ViT-B-32", "RN50"].into_iter().for_each(|preset| encode_by(preset, c));
}

fn encode_by(preset: &str, c: &mut Criterion) {
    let model = Model::new(Config::preset(preset).unwrap(), 0);
    let (image, text) = (model.config.vision(), model.config.text());
    let weights = model.params.into_weights();
    let mut buffers = Inference::default();
    let mut group = c.benchmark_group(preset);
    group.sample_size(10);
    for n in [1, 8, 32] {
        let images = pictures(&model.config, n);
        let (ids, offsets) = captions(n, 10);
        let captions = Captions { ids: &ids, offsets: &offsets };
        check_unit_rows(&buffers.encode_images(&weights.view().visual, &image, images.view()));
        check_unit_rows(&buffers.encode_texts(&weights.view().text, &text, captions));
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(format!("encode_images {n}"), |b| {
            b.iter(|| buffers.encode_images(&weights.view().visual, &image, images.view()));
        });
        group.bench_function(format!("encode_texts {n} of 10 tokens"), |b| {
            b.iter(|| buffers.encode_texts(&weights.view().text, &text, captions));
        });
    }
    group.finish();
}

fn check_unit_rows(features: &Array2<f32>) {
    let norms = features.map_axis(Axis(1), |row| row.dot(&row));
    assert!(norms.iter().all(|norm| (norm - 1.0).abs() < 1e-4), "embeddings of length {norms}");
}

fn train_step(c: &mut Criterion) {
    [("Emoji-ViT-S", 256), ("Emoji-RN-S", 256), ("ViT-B-32", 32)].into_iter().for_each(|(preset, n)| {
        train_step_of(preset, n, c);
    });
}

fn train_step_of(preset: &str, n: usize, c: &mut Criterion) {
    let config = Config::preset(preset).unwrap();
    let images = pictures(&config, n);
    let (ids, offsets) = captions(n, 8);
    let keys: Vec<u64> = (0..n as u64).collect();
    let captions = Captions { ids: &ids, offsets: &offsets };
    let pairs = Pairs {
        images: images.view(),
        captions,
        concepts: &keys,
        caption_keys: &keys,
        examples: &keys,
        teacher_images: None,
    };
    let options = TrainerOptions::new(hyper(&config));
    let mut trainer = Trainer::new(ClipObjective::new(Model::new(config, 0)), options);
    let mut step = || {
        let loss = trainer.gradients(&pairs, n);
        trainer.update(1e-4);
        loss[0].value
    };
    // A fresh model is at chance, and the same batch again and again is soon learnt.
    let (first, second) = (step(), step());
    assert!((first - (n as f64).ln()).abs() < 0.5 && second < first, "loss {first}, then {second}");

    let mut group = c.benchmark_group(preset);
    group.sample_size(10);
    group.throughput(Throughput::Elements(n as u64));
    group.bench_function(format!("train step of {n} pairs"), |b| b.iter(&mut step));
    group.finish();
}

criterion_group!(benches, encode, train_step);
criterion_main!(benches);
