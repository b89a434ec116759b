//! Whole models: ViT-B/32 and RN50 encoding pictures and captions, and training steps.

use crate::Bench;
use crate::rates::Rates;
use clipwright::Clip;
use clipwright::checkpoint::{ConfigFile, save_model};
use clipwright::models::Captions;
use clipwright::models::clip::Config;
use clipwright::models::clip::model::{Inference, Model};
use clipwright::pictures::decode::open;
use clipwright::random::normals;
use clipwright::train::clip::{ClipObjective, Pairs, hyper};
use clipwright::train::step::{Trainer, TrainerOptions};
use criterion::Criterion;
use ndarray::{Array2, Axis};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// What is timed.
pub const BENCHES: &[Bench] = &[encode, facade, train_step];

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

fn encode(c: &mut Criterion<Rates>) {
    ["ViT-B-32", "RN50"].into_iter().for_each(|preset| encode_by(preset, c));
}

fn encode_by(preset: &str, c: &mut Criterion<Rates>) {
    let model = Model::new(Config::preset(preset).unwrap(), 0);
    let (image, text) = (model.config.vision(), model.config.text());
    let weights = model.params.into_weights();
    let mut buffers = Inference::default();
    let mut group = c.benchmark_group(format!("models: {preset}"));
    group.sample_size(10);
    for n in [1, 8, 32] {
        let images = pictures(&model.config, n);
        let (ids, offsets) = captions(n, 10);
        let captions = Captions { ids: &ids, offsets: &offsets };
        check_unit_rows(&buffers.encode_images(&weights.view().visual, &image, images.view()));
        check_unit_rows(&buffers.encode_texts(&weights.view().text, &text, captions));
        group.bench_function(format!("encode_images {n}"), |b| {
            b.iter(|| buffers.encode_images(&weights.view().visual, &image, images.view()));
        });
        group.bench_function(format!("encode_texts {n} of 10 tokens"), |b| {
            b.iter(|| buffers.encode_texts(&weights.view().text, &text, captions));
        });
    }
    group.finish();
}

/// From a decoded photo to its embedding, as a program does it that uses the library.
fn facade(c: &mut Criterion<Rates>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = Config::preset("ViT-B-32").unwrap();
    let file = ConfigFile::new(config.clone());
    save_model(folder.path(), &Model::new(config, 0), &file).expect("room for a model");
    let clip = Clip::load(folder.path()).expect("the model that was saved");
    let photo = folder.path().join("photo.png");
    image::RgbImage::from_fn(1600, 1200, |x, y| image::Rgb([x, y, x ^ y].map(|x| x as u8))).save(&photo).expect("room");
    let encode = || clip.encode_image(&[open(&photo).expect("the picture that was saved")]);
    check_unit_rows(&encode());
    let mut group = c.benchmark_group("models: Clip of ViT-B-32");
    group.sample_size(10);
    group.bench_function("encode_image of a PNG of 1600 × 1200", |b| b.iter(encode));
    group.bench_function("encode_text", |b| b.iter(|| clip.encode_text(&["a photo of a dog on a beach"])));
    group.finish();
}

fn check_unit_rows(features: &Array2<f32>) {
    let norms = features.map_axis(Axis(1), |row| row.dot(&row));
    assert!(norms.iter().all(|norm| (norm - 1.0).abs() < 1e-4), "embeddings of length {norms}");
}

fn train_step(c: &mut Criterion<Rates>) {
    [("Emoji-ViT-S", 256), ("Emoji-RN-S", 256), ("ViT-B-32", 32)].into_iter().for_each(|(preset, n)| {
        train_step_of(preset, n, c);
    });
}

fn train_step_of(preset: &str, n: usize, c: &mut Criterion<Rates>) {
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

    let mut group = c.benchmark_group(format!("models: {preset}"));
    group.sample_size(10);
    group.bench_function(format!("train step of {n} pairs"), |b| b.iter(&mut step));
    group.finish();
}
