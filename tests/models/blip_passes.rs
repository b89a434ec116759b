//! The savings of BLIP's inference, each against the plain computation.

use crate::support::{
    blip_passes::{Texts, plain_logits},
    compare::assert_close,
    random,
};
use clipwright::models::blip::decode::Decoding;
use clipwright::models::blip::model::{Inference, Source};
use clipwright::models::blip::{Config, Model, Parts, TextConfig, TokenIds, VisionConfig, spec};
use kernels::Activation;
use ndarray::{Array2, Axis, concatenate, s};

const VOCABULARY: usize = 70;

/// A small model whose widths fit whole panels of no instruction set.
pub fn tiny(parts: Parts) -> Model {
    let ids = TokenIds { pad: 0, cls: 1, end: 2, decode: VOCABULARY as u32 - 2, encode: VOCABULARY as u32 - 1 };
    let activation = Activation::Gelu;
    let vision = VisionConfig {
        image_size: [12, 8],
        patch_size: 4,
        width: 18,
        mlp_width: 30,
        heads: 3,
        layers: 2,
        activation,
        eps: 1e-6,
    };
    let text = TextConfig {
        vocab_size: VOCABULARY,
        positions: 16,
        width: 20,
        mlp_width: 33,
        heads: 4,
        layers: 3,
        activation,
        eps: 1e-12,
        ids,
    };
    let config = Config { vision, text, embed_dim: 9, parts };
    Model { config, params: random::params(spec(&config), 5) }
}

pub fn pictures(model: &Model, n: usize) -> (Array2<f32>, Source) {
    let images = random::matrix((n, model.config.vit().grid.image_len()), 6);
    let source = Inference::default().look(&model.params.view(), &model.config, images.view());
    (images, source)
}

/// Returns the logits behind each text, which looks at a picture of its own.
fn last_logits(model: &Model, source: &Source, looks_at: &[usize], texts: &[Vec<u32>]) -> Array2<f32> {
    let p = model.params.view();
    let rows: Vec<_> = (looks_at.iter().zip(texts))
        .map(|(&picture, text)| {
            let alone = Source { tokens: source.tokens.clone(), rows: vec![source.rows[picture].clone()] };
            let text = Texts::new([text.clone()]);
            let logits = plain_logits(&p, &model.config, &alone, text.captions(), &[0..1]);
            logits.slice_move(s![-1.., ..])
        })
        .collect();
    concatenate(Axis(0), &rows.iter().map(|row| row.view()).collect::<Vec<_>>()).unwrap()
}

/// Prompts of unequal length, beams that split, change places and end, requests that end: at every step the logits are
/// those of the whole text computed anew.
#[test]
fn a_cache_gives_what_the_whole_text_gives() {
    for parts in [Parts::Captioner, Parts::Pretrained] {
        let model = tiny(parts);
        let (_, source) = pictures(&model, 3);
        let mut texts: Vec<Vec<u32>> = vec![vec![68, 5, 9], vec![68], vec![68, 7, 11, 3, 12]];
        let mut looks_at = vec![0, 1, 2];
        let steps: [(&[usize], &[u32]); 5] = [
            (&[0, 0, 0, 1, 1, 2], &[4, 5, 6, 7, 8, 9]),
            (&[2, 0, 1, 4, 3, 5], &[10, 11, 12, 13, 14, 15]),
            (&[0, 1, 5, 5], &[16, 17, 18, 19]),
            (&[3, 3], &[20, 21]),
            (&[1], &[22]),
        ];
        let (weights, params) = (model.params.clone().into_weights(), model.params.view());
        let run = |mut check: Box<dyn FnMut(Array2<f32>) + '_ + Send>, on_weights: bool| {
            let mut decoding = Decoding::default();
            let prompts: [&[u32]; 3] = [&[68, 5, 9], &[68], &[68, 7, 11, 3, 12]];
            macro_rules! steps {
                ($p:expr) => {
                    Inference::default().decode($p, &model.config, &source, |decoder| {
                        check(decoding.start(decoder, &prompts, 12).to_owned());
                        for (parents, tokens) in steps {
                            check(decoding.advance(decoder, parents, tokens).to_owned());
                        }
                    })
                };
            }
            if on_weights { steps!(&weights.view()) } else { steps!(&params) }
        };
        let mut all = vec![];
        run(Box::new(|logits| all.push(logits)), false);
        let mut packed = vec![];
        run(Box::new(|logits| packed.push(logits)), true);
        for (step, (logits, packed)) in all.iter().zip(&packed).enumerate() {
            if step > 0 {
                let (parents, tokens) = steps[step - 1];
                texts = parents.iter().zip(tokens).map(|(&p, &t)| [&texts[p][..], &[t]].concat()).collect();
                looks_at = parents.iter().map(|&parent| looks_at[parent]).collect();
            }
            let expected = last_logits(&model, &source, &looks_at, &texts);
            assert_close(&format!("step {step}"), logits.view(), expected.view());
            assert_close(&format!("step {step}, laid-out weights"), packed.view(), expected.view());
        }
    }
}

/// Texts of one picture that are matched together, packed and with its keys computed once, are matched as each alone.
#[test]
fn texts_matched_together_are_matched_as_alone() {
    for parts in [Parts::Matcher, Parts::Pretrained] {
        let model = tiny(parts);
        let (p, config) = (model.params.view(), &model.config);
        let (_, source) = pictures(&model, 2);
        let texts: [&[u32]; 5] = [&[69, 5, 2], &[69, 2], &[69, 7, 8, 9, 10, 11, 2], &[69, 3, 2], &[69, 12, 13, 2]];
        let texts_of = [0..3, 3..5];
        let together = Texts::new(texts.map(<[u32]>::to_vec));
        let mut buffers = Inference::default();
        let logits = buffers.match_logits(&p, config, &source, together.captions(), &texts_of);
        let embeddings = buffers.embed_texts(&p, config, together.captions());
        for (i, text) in texts.iter().enumerate() {
            let alone = Texts::new([text.to_vec()]);
            let picture = texts_of.iter().position(|texts| texts.contains(&i)).unwrap();
            let one = Source { tokens: source.tokens.clone(), rows: vec![source.rows[picture].clone()] };
            let expected = buffers.match_logits(&p, config, &one, alone.captions(), &[0..1]);
            assert_close("match", logits.slice(s![i..=i, ..]), expected.view());
            let expected = buffers.embed_texts(&p, config, alone.captions());
            assert_close("embedding", embeddings.slice(s![i..=i, ..]), expected.view());
        }
    }
}

/// Laid-out weights give what the parameters give.
#[test]
fn weights_give_what_parameters_give() {
    let model = tiny(Parts::Pretrained);
    let (images, source) = pictures(&model, 5);
    let (weights, config) = (model.params.clone().into_weights(), &model.config);
    let mut buffers = Inference::default();
    let packed = buffers.look(&weights.view(), config, images.view());
    assert_close("tokens", packed.tokens.view(), source.tokens.view());
    let expected = buffers.embed_images(&model.params.view(), config, &source);
    assert_close("embeddings", buffers.embed_images(&weights.view(), config, &packed).view(), expected.view());
}
