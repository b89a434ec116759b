//! Embeddings with weights of 16 bits: the same bits as with the rounded weights in 32, and half the memory.

use crate::support::tiny;
use clipwright::checkpoint::{Checkpoint, ConfigFile, Contents, Format, Overrides, Precision, save};
use clipwright::embed::{ImageEncoder, TextEncoder};
use clipwright::models::Captions;
use clipwright::models::clip::Config;
use clipwright::models::clip::model::{Inference, Model};
use clipwright::params::Layout;
use clipwright::pictures::{Channels, Picture};
use clipwright::random::normals;
use clipwright::tree::Path;
use clipwright::weights::{Half, Rounding};
use ndarray::Array2;

/// Embeds pictures and captions.
fn embed(model: Model, rounding: Rounding) -> [Array2<f32>; 2] {
    let Model { config, params } = model;
    let weights = params.into_rounded(rounding);
    let (weights, mut buffers) = (weights.view(), Inference::default());
    let (vision, text) = (config.vision(), config.text());
    let images = normals((3, vision.image_len()), 1);
    let ids: Vec<u32> = (0..15).map(|i| i * 7 % text.vocab_size as u32).collect();
    let captions = Captions { ids: &ids, offsets: &[0, 5, 10, 15] };
    [
        buffers.encode_images(&weights.visual, &vision, images.view()),
        buffers.encode_texts(&weights.text, &text, captions),
    ]
}

fn rounded(x: f32, half: Half) -> f32 {
    match half {
        Half::F16 => half::f16::from_f32(x).to_f32(),
        Half::Bf16 => half::bf16::from_f32(x).to_f32(),
    }
}

/// Rounds the matrices of a model.
fn round(mut model: Model, half: Half) -> Model {
    for (names, spec, values) in model.params.named_mut(&Path::ROOT) {
        assert_eq!(spec.layout == Layout::Lookup, names[0].ends_with("token_embedding.weight"), "{names:?}");
        if spec.layout != Layout::Rows {
            values.iter_mut().for_each(|x| *x = rounded(*x, half));
        }
    }
    model
}

#[test]
fn sixteen_bits_embed_as_the_rounded_weights_do() {
    for config in [tiny::config(64), tiny::config(40), tiny::resnet(64)] {
        for half in [Half::F16, Half::Bf16] {
            let model = || Model::new(config.clone(), 3);
            let found = embed(model(), Rounding::Half(half));
            assert_eq!(found, embed(round(model(), half), Rounding::None), "{half:?}");
            assert!(found != embed(model(), Rounding::None), "{half:?}: nothing was rounded");
        }
    }
}

#[test]
fn what_is_stored_in_16_bits_stays_so_and_embeds_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::preset("Emoji-ViT-S").unwrap();
    let (model, file) = (Model::new(config.clone(), 0), ConfigFile::new(config));
    let path = folder.path();
    for format in [Format::OpenClip, Format::HuggingFace] {
        for precision in [Precision::F16, Precision::F32] {
            let folder = path.join(format!("{format:?} {precision}"));
            save(&folder, Contents { model: &model, config: &file }, format, precision).unwrap();
            let results = [Rounding::Stored, Rounding::None].map(|rounding| {
                let checkpoint = Checkpoint::open(&folder, &Overrides { rounding, ..Overrides::default() }).unwrap();
                let (image, text) = (ImageEncoder::new(&checkpoint).unwrap(), TextEncoder::new(&checkpoint).unwrap());
                let bytes = checkpoint.vision_weights().unwrap().bytes() + checkpoint.text_weights().unwrap().bytes();
                (image.encode(&[Picture::new(40, 30, Channels::Rgb)]), text.encode(&["a cat", "dogs"]), bytes)
            });
            let [stored, wide] = results;
            assert_eq!((&stored.0, &stored.1), (&wide.0, &wide.1), "{format:?} {precision}");
            let share = stored.2 as f64 / wide.2 as f64;
            assert!(if precision == Precision::F16 { share < 0.53 } else { share == 1.0 }, "{precision}: {share}");
        }
    }
}
