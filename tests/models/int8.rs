//! Embeddings in eight bits against those in 32: random models of the published size, and one whose LayerNorms have the
//! outliers that trained models have.

use clipwright::layers::block::Block;
use clipwright::models::Captions;
use clipwright::models::clip::model::{Inference, Model};
use clipwright::models::clip::visual::Visual;
use clipwright::models::clip::{ClipParams, Config};
use clipwright::params::{Layout, Spec, view_mut};
use clipwright::random::normals;
use clipwright::weights::{Balance, Rounding};
use ndarray::{Array2, Zip};

const PICTURES: usize = 12;
const CAPTIONS: usize = 36;
const TOKENS: usize = 9;

/// Embeds pictures and captions.
fn embed(model: Model, rounding: Rounding) -> [Array2<f32>; 2] {
    let Model { config, params } = model;
    let weights = params.into_rounded(rounding);
    let (weights, mut buffers) = (weights.view(), Inference::default());
    let (vision, text) = (config.vision(), config.text());
    let images = normals((PICTURES, vision.image_len()), 1);
    let ids: Vec<u32> = (0..(CAPTIONS * TOKENS) as u32).map(|i| i * 7919 % text.vocab_size as u32).collect();
    let offsets: Vec<usize> = (0..=CAPTIONS).map(|i| i * TOKENS).collect();
    let captions = Captions { ids: &ids, offsets: &offsets };
    [
        buffers.encode_images(&weights.visual, &vision, images.view()),
        buffers.encode_texts(&weights.text, &text, captions),
    ]
}

/// Returns the cosines of the rows of unit length, the mean and the worst.
fn cosines(a: &Array2<f32>, b: &Array2<f32>) -> (f32, f32) {
    let cosines = Zip::from(a.rows()).and(b.rows()).map_collect(|a, b| a.dot(&b));
    (cosines.mean().unwrap(), cosines.iter().copied().fold(1.0, f32::min))
}

fn blocks<'a, 'b>(params: &'b mut ClipParams<&'a mut [f32]>) -> impl Iterator<Item = &'b mut Block<&'a mut [f32]>> {
    let Visual::Vit(vit) = &mut params.visual else { unreachable!("a ViT") };
    vit.transformer.resblocks.iter_mut().chain(&mut params.text.transformer.resblocks)
}

/// A ViT-B/32, some of whose gains are 50 to 100 times as large as the others, if asked for.
fn model(with_outliers: bool) -> Model {
    let mut model = Model::new(Config::preset("ViT-B-32").unwrap(), 3);
    if with_outliers {
        for (i, block) in blocks(&mut view_mut(&model.params.spec, &mut model.params.flat)).enumerate() {
            for (n, j) in [3 + i, 97, 303, 511 - 7 * i].into_iter().enumerate() {
                block.ln_1.weight[j] *= 50.0 + 10.0 * n as f32;
                block.ln_2.weight[j] *= 100.0 - 10.0 * n as f32;
            }
        }
    }
    model
}

#[test]
fn eight_bits_embed_as_32_do() {
    // With gains so large all attention is a matter of one or two tokens, and a small error may choose another: in bf16,
    // whose weights alone are rounded, captions have 0.996 and 0.973.
    let least = (0.999, 0.99);
    for with_outliers in [false, true] {
        let exact = embed(model(with_outliers), Rounding::None);
        let rounded = embed(model(with_outliers), Rounding::Int8);
        for (tower, (exact, rounded)) in ["image", "text"].into_iter().zip(exact.iter().zip(&rounded)) {
            let (mean, worst) = cosines(exact, rounded);
            println!("outliers: {with_outliers}, {tower} tower: mean {mean:.5}, worst {worst:.5}");
            assert!(mean >= least.0 && worst >= least.1, "outliers: {with_outliers}, {tower} tower: {mean}, {worst}");
            assert!(exact != rounded, "{tower} tower: nothing was rounded");
        }
    }
}

#[test]
fn what_comes_before_sharp_attention_keeps_32_bits() {
    // Of the matrices in_proj, out_proj, c_fc and c_proj, those that are rounded in each block.
    let rounded = |with_outliers, factor: f32| {
        let Model { config: _, mut params } = model(with_outliers);
        let mut values = view_mut(&params.spec, &mut params.flat);
        let third = &mut values.text.transformer.resblocks[2];
        third.attn.in_proj_weight.iter_mut().for_each(|w| *w *= factor);
        values.balance(&mut params.spec);
        let Visual::Vit(vit) = &params.spec.visual else { unreachable!("a ViT") };
        [&vit.transformer, &params.spec.text.transformer].map(|tower| {
            let rounds = |spec: &Spec| spec.layout == Layout::Linear { rounds: true };
            let of = |Block { attn, mlp, .. }: &Block<Spec>| {
                [&attn.in_proj_weight, &attn.out_proj.weight, &mlp.c_fc.weight, &mlp.c_proj.weight].map(rounds)
            };
            tower.resblocks.iter().map(of).collect::<Vec<_>>()
        })
    };
    let all = vec![[true; 4]; 12];
    assert_eq!(rounded(false, 1.0), [all.clone(), all.clone()], "an ordinary model");
    // Scores are as the square of the weights of queries and of keys.
    for (factor, c_fc) in [(3.0, true), (4.5, false)] {
        let before = [true, false, c_fc, false];
        let expected = [&[before; 2][..], &[[false, true, true, true]], &all[3..]].concat();
        assert_eq!(
            rounded(false, factor),
            [all.clone(), expected],
            "the third block's weights {factor} times as large"
        );
    }
    let [image, text] = rounded(true, 1.0);
    let outliers = |c_fc: bool| [&[[false, false, c_fc, false]; 11][..], &[[false, true, true, true]]].concat();
    assert_eq!((image, text), (outliers(true), outliers(false)));
}

#[test]
fn balancing_changes_no_embedding() {
    let exact = embed(model(true), Rounding::None);
    let mut balanced = model(true);
    view_mut(&balanced.params.spec, &mut balanced.params.flat).balance(&mut balanced.params.spec);
    let gains = |mut model: Model| {
        let mut params = view_mut(&model.params.spec, &mut model.params.flat);
        let gains = &blocks(&mut params).next().expect("a block").ln_1.weight;
        gains.iter().copied().fold(0.0, f32::max) / gains.iter().copied().fold(f32::MAX, f32::min)
    };
    let (before, after) =
        (gains(model(true)), gains(Model { config: balanced.config.clone(), params: balanced.params.clone() }));
    assert!(before > 79.0 && after < 12.0, "the largest gain is {before}, then {after} times the smallest");
    for (exact, balanced) in exact.iter().zip(&embed(balanced, Rounding::None)) {
        assert!(cosines(exact, balanced).1 > 0.999_99);
    }
}
