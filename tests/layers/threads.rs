//! The bits are the same on any number of threads, since sizes alone decide where work is cut, and they are the same if
//! activations are computed again.

use crate::support::{random, trees::poisoned_arena};
use clipwright::models::Captions;
use clipwright::models::clip::text;
use clipwright::models::clip::visual;
use clipwright::models::clip::{Config, Layers, TextConfig, VisionConfig};
use clipwright::models::{Keep, Mode, Workspace};
use clipwright::params;
use ndarray::Array2;
use rayon::ThreadPoolBuilder;

/// The sizes are large enough that every kernel cuts its work into many pieces.
fn config() -> Config {
    let vision_cfg = VisionConfig {
        image_size: 40,
        layers: Layers::Vit(2),
        width: 96,
        patch_size: Some(5),
        head_width: 32,
        mlp_ratio: 4.0,
        patch_dropout: 0.0,
        gelu_tanh: false,
        map_head: false,
    };
    let text_cfg = TextConfig {
        context_length: 40,
        vocab_size: 50,
        width: 96,
        heads: 3,
        layers: 2,
        mlp_ratio: 4.0,
        gelu_tanh: false,
        no_causal_mask: false,
    };
    let (init_logit_scale, init_logit_bias) = (None, None);
    Config { embed_dim: 70, quick_gelu: true, init_logit_scale, init_logit_bias, vision_cfg, text_cfg }
}

const BATCH: usize = 21;

/// Returns features and parameter gradients of the image tower.
fn image_tower(keep: Keep) -> (Array2<f32>, Vec<f32>) {
    let shape = config().vision();
    let p = random::params(shape.spec(), 1);
    let images = random::matrix((BATCH, shape.image_len()), 2);
    let dy = random::matrix((BATCH, shape.embed_dim()), 3);
    let (mut features, mut g) = (Array2::zeros(dy.dim()), vec![0.0; p.flat.len()]);
    let (mut workspace, mut scratch, y) = (Workspace::default(), poisoned_arena(), features.view_mut());
    visual::forward(&p.view(), &shape, images.view(), Mode::Training(keep), y, &mut workspace, &mut scratch);
    let mut gradients = params::view_mut(&p.spec, &mut g);
    visual::backward(&p.view(), &shape, images.view(), dy.view(), &mut workspace, &mut scratch, &mut gradients);
    (features, g)
}

/// Returns features and parameter gradients of the text tower.
fn text_tower(keep: Keep) -> (Array2<f32>, Vec<f32>) {
    let shape = config().text();
    let p = random::params(shape.spec(), 1);
    let offsets: Vec<usize> = (0..=BATCH).map(|i| i * (i + 3) / 2).collect();
    let ids: Vec<u32> = (0..offsets[BATCH] as u32).map(|i| i * i % 47).collect();
    let captions = Captions { ids: &ids, offsets: &offsets };
    let dy = random::matrix((BATCH, shape.embed_dim), 3);
    let (mut features, mut g) = (Array2::zeros(dy.dim()), vec![0.0; p.flat.len()]);
    let (mut workspace, mut scratch, y) = (Workspace::default(), poisoned_arena(), features.view_mut());
    text::forward(&p.view(), &shape, captions, keep, y, &mut workspace, &mut scratch);
    let mut gradients = params::view_mut(&p.spec, &mut g);
    text::backward(&p.view(), &shape, captions, dy.view(), &mut workspace, &mut scratch, &mut gradients);
    (features, g)
}

#[track_caller]
fn same_bits(run: fn(Keep) -> (Array2<f32>, Vec<f32>)) {
    let on = |threads, keep| ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| run(keep));
    let one = on(1, Keep::All);
    for threads in [1, 2, 5] {
        assert!(one == on(threads, Keep::All), "one thread and {threads}");
        assert!(one == on(threads, Keep::Inputs), "the inputs kept, with {threads} threads");
    }
}

#[test]
fn of_the_image_tower() {
    same_bits(image_tower);
}

#[test]
fn of_the_text_tower() {
    same_bits(text_tower);
}
