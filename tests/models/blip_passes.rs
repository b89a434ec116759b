//! The savings of BLIP's inference, each against the plain computation.

use crate::support::{
    blip_passes::{Texts, plain_logits, tiny},
    compare::assert_close,
    random,
    trees::poisoned_arena,
};
use clipwright::embed::write;
use clipwright::generate::{BeamStyle, Options, Request, Search};
use clipwright::layers::linear;
use clipwright::layers::sequences::Pool;
use clipwright::models::Keep;
use clipwright::models::blip::decode::Decoding;
use clipwright::models::blip::model::{Inference, Source};
use clipwright::models::blip::sights::{Attended, Sights};
use clipwright::models::blip::text;
use clipwright::models::blip::{Blip, Config, Model, Parts};
use clipwright::tree::Arena;
use clipwright::weights::Read;
use ndarray::{Array2, Axis, concatenate, s};
use std::ops::Range;

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

/// Whether texts look at keys and values, or at the tokens of the pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Keys,
    Tokens,
}

/// Returns the rows behind the text encoder, whose texts look at pictures in this way.
fn encode(
    p: &Blip<impl Read>,
    config: &Config,
    source: &Source,
    texts: &Texts,
    texts_of: &[Range<usize>],
    pool: Pool,
    way: Way,
) -> Array2<f32> {
    let (encoder, shape) = (p.encoder().unwrap(), config.encoder());
    let (mut keys, mut scratch) = (Arena::default(), poisoned_arena());
    let keys = &mut keys.carve(&shape.keys(source.tokens.nrows()));
    text::keys(encoder.shared, source.tokens.view(), keys);
    let keys = keys.view();
    let attended = if way == Way::Keys { Attended::Keys(&keys) } else { Attended::Tokens(source.tokens.view()) };
    let rows = if pool == Pool::All { texts.ids.len() } else { texts.rows().len() };
    let mut states = Array2::from_elem((rows, shape.size.width), f32::NAN);
    let sights = Some((Sights { texts: texts_of, rows: &source.rows }, attended));
    let (how, workspace) = ((pool, Keep::Nothing), &mut text::Workspace::default());
    text::forward(encoder, &shape, texts.captions(), sights, how, None, states.view_mut(), workspace, &mut scratch);
    states
}

/// Calls `$check` with the parameters of a model, then with its weights.
macro_rules! with_both {
    ($model:expr, $check:expr, $($more:expr),*) => {{
        $check(&$model.params.view(), $($more),*);
        $check(&$model.params.clone().into_weights().view(), $($more),*);
    }};
}

/// Short texts, and many, of which each looks at one of two pictures; the model looks at tokens where `Way` says so.
fn lookers() -> [(Texts, [Range<usize>; 2], Way); 3] {
    let texts = |texts: &[&[u32]]| Texts::new(texts.iter().map(|text| text.to_vec()));
    [
        (texts(&[&[69, 5, 2], &[69, 2]]), [0..1, 1..2], Way::Tokens),
        (texts(&[&[69, 2], &[69, 7, 8, 9, 10, 11, 2]]), [1..2, 0..1], Way::Keys),
        (texts(&[&[69, 5, 2], &[69, 2], &[69, 3, 2], &[69, 12, 13, 2]]), [0..3, 3..4], Way::Keys),
    ]
}

/// A match is the same whether texts look at keys and values or at tokens, and the model takes the way of fewer
/// multiply-adds.
#[test]
fn a_match_among_tokens_is_that_among_keys() {
    fn check(p: &Blip<impl Read>, model: &Model, source: &Source) {
        for (texts, texts_of, way) in lookers() {
            let logits = |way| {
                let states = encode(p, &model.config, source, &texts, &texts_of, Pool::First, way);
                let mut logits = Array2::zeros((states.nrows(), 2));
                linear::forward(p.itm_head.as_ref().unwrap(), states.view(), logits.view_mut());
                logits
            };
            let chosen = Inference::default().match_logits(p, &model.config, source, texts.captions(), &texts_of);
            assert_close("logits", logits(Way::Tokens).view(), logits(Way::Keys).view());
            assert_eq!(chosen, logits(way), "{texts_of:?} do not look at {way:?}");
        }
    }
    for parts in [Parts::Matcher, Parts::Pretrained] {
        let model = tiny(parts);
        with_both!(model, check, &model, &pictures(&model, 2).1);
    }
}

/// Questions, and the answers to them, are the same in both ways.
#[test]
fn an_answer_among_tokens_is_that_among_keys() {
    fn check(p: &Blip<impl Read>, model: &Model, pictures: &Source) {
        let (config, ids) = (&model.config, model.config.text.ids);
        let options = [Search::Greedy, Search::Beams { beams: 3, style: BeamStyle::Original }]
            .map(|search| Options { search, ..Options::new(ids.end, 8) });
        for (questions, questions_of, way) in lookers() {
            let read = |way| Source {
                tokens: encode(p, config, pictures, &questions, &questions_of, Pool::All, way),
                rows: questions.rows(),
            };
            let (keys, tokens) = (read(Way::Keys), read(Way::Tokens));
            let mut buffers = Inference::default();
            let chosen = buffers.read_questions(p, config, pictures, questions.captions(), &questions_of);
            assert_close("questions", tokens.tokens.view(), keys.tokens.view());
            assert_eq!(chosen.tokens, read(way).tokens, "{questions_of:?} do not look at {way:?}");
            let prompt = [ids.decode];
            let requests: Vec<_> =
                (0..questions.rows().len() as u64).map(|number| Request { prompt: &prompt, number }).collect();
            for options in &options {
                let [ours, expected] = [&tokens, &keys].map(|source| {
                    let texts = write(&mut Inference::default(), p, config, source, &requests, options).unwrap();
                    texts.into_iter().map(|text| text.ids).collect::<Vec<_>>()
                });
                assert_eq!(ours, expected, "{options:?}");
            }
        }
    }
    let model = tiny(Parts::Answerer);
    with_both!(model, check, &model, &pictures(&model, 2).1);
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

/// A picture's embedding is the same whether all its tokens leave the image encoder or its class token alone.
#[test]
fn a_picture_is_embedded_by_its_class_token() {
    let model = tiny(Parts::Pretrained);
    let (images, source) = pictures(&model, 5);
    let (weights, config, mut buffers) = (model.params.clone().into_weights(), &model.config, Inference::default());
    let expected = buffers.embed_images(&model.params.view(), config, &source);
    let plain = buffers.encode_images(&model.params.view(), config, images.view());
    assert_close("parameters", plain.view(), expected.view());
    let laid_out = buffers.encode_images(&weights.view(), config, images.view());
    assert_close("weights", laid_out.view(), expected.view());
}
