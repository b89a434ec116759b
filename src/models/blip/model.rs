//! A whole BLIP, and inference with each of its parts.

use super::config::{Config, Parts};
use super::decode::{Decoder, Decoding};
use super::params::{Blip, spec};
use super::sights::{Attended, Keys, Sights};
use super::text;
use super::vit;
use crate::layers::linear;
use crate::layers::normalize;
use crate::layers::sequences::Pool;
use crate::layers::{rows, rows_mut};
use crate::models::{Captions, Keep, Workspace};
use crate::params::{Params, Spec, ranges_of_part};
use crate::tree::Arena;
use crate::weights::Read;
use kernels::in_pool;
use ndarray::{Array2, ArrayView2, Axis, concatenate};
use std::ops::Range;
use std::slice::from_ref;

/// A configuration of BLIP and the parameters that belong to it.
pub struct Model {
    pub config: Config,
    pub params: Params<Blip<Spec>>,
}

impl Model {
    /// Draws a fresh model; one seed always gives the same bits.
    pub fn new(config: Config, seed: u64) -> Self {
        Model { config, params: Params::init(spec(&config), seed) }
    }

    /// Returns a model for another task that begins with the parameters of this one. What a decoder shares with the
    /// encoder it gets as its own; no parameter is drawn.
    ///
    /// # Errors
    /// Returns the name of the first parameter that this model does not have, or has in another shape.
    pub fn for_task(&self, parts: Parts) -> Result<Model, String> {
        let config = Config { parts, ..self.config };
        let mut params = Params::zeros(spec(&config));
        for (own, place) in ranges_of_part(&params.spec, &self.params.spec, Some((DECODER_OWN, ENCODER_SHARED)))? {
            params.flat[own].copy_from_slice(&self.params.flat[place]);
        }
        Ok(Model { config, params })
    }
}

/// Where a decoder has what it shares with nobody, and where the encoder has what both share.
const DECODER_OWN: &str = "text_decoder.shared";
const ENCODER_SHARED: &str = "text_encoder.shared";

/// What pictures, or questions, become for texts to look at: the rows behind the last block, end to end.
#[derive(Clone, Debug)]
pub struct Source {
    /// `tokens` (M,D)
    pub tokens: Array2<f32>,
    /// The rows of each picture, or question.
    pub rows: Vec<Range<usize>>,
}

impl Source {
    /// Returns the rows of one picture or question.
    pub fn of(&self, i: usize) -> Array2<f32> {
        rows(self.tokens.view(), &self.rows[i]).to_owned()
    }

    /// Returns the pictures or questions of several sources, of which there is at least one, as one source.
    pub fn join(sources: &[Source]) -> Source {
        let tokens: Vec<ArrayView2<f32>> = sources.iter().map(|source| source.tokens.view()).collect();
        let (mut rows, mut first) = (vec![], 0);
        for source in sources {
            rows.extend(source.rows.iter().map(|rows| first + rows.start..first + rows.end));
            first += source.tokens.nrows();
        }
        Source { tokens: concatenate(Axis(0), &tokens).expect("tokens of one width"), rows }
    }

    /// Returns one picture or question as a source of its own.
    pub fn alone(&self, i: usize) -> Source {
        self.select(&[i])
    }

    /// Returns these pictures or questions as a source of their own.
    pub fn select(&self, places: &[usize]) -> Source {
        let (mut all, mut rows) = (vec![], vec![]);
        for &i in places {
            rows.push(all.len()..all.len() + self.rows[i].len());
            all.extend(self.rows[i].clone());
        }
        Source { tokens: self.tokens.select(Axis(0), &all), rows }
    }
}

/// The buffers of inference, which are reused from call to call.
#[derive(Default)]
pub struct Inference {
    vision: Workspace,
    text: text::Workspace,
    keys: Arena,
    scratch: Arena,
}

/// This many pictures are in the image encoder at a time: enough rows for fast products, and little memory.
const PICTURES: usize = 4;

impl Inference {
    /// Returns the tokens of pictures, the class token of each first.
    ///
    /// `images` (B,3·height·width), normalised
    pub fn look(&mut self, p: &Blip<impl Read>, config: &Config, images: ArrayView2<f32>) -> Source {
        let (tokens, each) = (self.run_vit(p, config, images, Pool::All), config.vit().grid.tokens());
        Source { tokens, rows: (0..images.nrows()).map(|i| i * each..(i + 1) * each).collect() }
    }

    /// Returns unit-length embeddings (B,e) of pictures. Their class tokens alone are computed in the last block.
    ///
    /// `images` (B,3·height·width), normalised
    ///
    /// # Panics
    /// If the model has no projections.
    #[track_caller]
    pub fn encode_images(&mut self, p: &Blip<impl Read>, config: &Config, images: ArrayView2<f32>) -> Array2<f32> {
        let proj = p.vision_proj.as_ref().expect("a model that embeds pictures");
        project(proj, self.run_vit(p, config, images, Pool::First).view(), config.embed_dim)
    }

    /// Returns the rows of pictures that leave the image encoder, end to end.
    fn run_vit(&mut self, p: &Blip<impl Read>, config: &Config, images: ArrayView2<f32>, pool: Pool) -> Array2<f32> {
        let (shape, count) = (config.vit(), images.nrows());
        let each = pool.rows(shape.grid.tokens(), 1);
        let mut tokens = Array2::zeros((count * each, shape.size.width));
        in_pool(|| {
            for first in (0..count).step_by(PICTURES) {
                let some = first..count.min(first + PICTURES);
                let out = rows_mut(tokens.view_mut(), &(some.start * each..some.end * each));
                let (images, how) = (rows(images, &some), (pool, Keep::Nothing));
                let (vision, scratch) = (&mut self.vision, &mut self.scratch);
                vit::forward(&p.visual_encoder, &shape, images, how, None, out, vision, scratch);
            }
        });
        tokens
    }

    /// Returns unit-length embeddings (B,e) of pictures whose tokens are known, as [`encode_images`](Self::encode_images) does.
    ///
    /// # Panics
    /// If the model has no projections.
    #[track_caller]
    pub fn embed_images(&mut self, p: &Blip<impl Read>, config: &Config, pictures: &Source) -> Array2<f32> {
        let proj = p.vision_proj.as_ref().expect("a model that embeds pictures");
        let classes: Vec<usize> = pictures.rows.iter().map(|rows| rows.start).collect();
        project(proj, pictures.tokens.select(Axis(0), &classes).view(), config.embed_dim)
    }

    /// Returns unit-length embeddings (B,e) of texts, which begin with `[CLS]`.
    ///
    /// # Panics
    /// If the model has no text encoder or no projections.
    #[track_caller]
    pub fn embed_texts(&mut self, p: &Blip<impl Read>, config: &Config, texts: Captions) -> Array2<f32> {
        let proj = p.text_proj.as_ref().expect("a model that embeds texts");
        let states = self.encode(p, config, texts, None, Pool::First);
        project(proj, states.view(), config.embed_dim)
    }

    /// Returns the ITM logits (N,2) of texts, which begin with `[ENC]`, each with the picture that it looks at. The
    /// second logit speaks for a match.
    ///
    /// `texts_of[i]` are the texts that look at picture i.
    ///
    /// # Panics
    /// If the model has no text encoder or no ITM head.
    #[track_caller]
    pub fn match_logits(
        &mut self,
        p: &Blip<impl Read>,
        config: &Config,
        pictures: &Source,
        texts: Captions,
        texts_of: &[Range<usize>],
    ) -> Array2<f32> {
        let head = p.itm_head.as_ref().expect("a model that judges matches");
        let states = self.encode(p, config, texts, Some((pictures, texts_of)), Pool::First);
        let mut logits = Array2::zeros((texts.len(), 2));
        linear::forward(head, states.view(), logits.view_mut());
        logits
    }

    /// Returns what questions, which begin with `[ENC]`, become with their pictures in view, for a decoder to look at.
    ///
    /// # Panics
    /// If the model has no text encoder.
    #[track_caller]
    pub fn read_questions(
        &mut self,
        p: &Blip<impl Read>,
        config: &Config,
        pictures: &Source,
        questions: Captions,
        questions_of: &[Range<usize>],
    ) -> Source {
        let tokens = self.encode(p, config, questions, Some((pictures, questions_of)), Pool::All);
        let rows = questions.offsets.windows(2).map(|pair| pair[0]..pair[1]).collect();
        Source { tokens, rows }
    }

    /// Runs the text encoder, on texts that look at pictures if there are any.
    #[track_caller]
    fn encode(
        &mut self,
        p: &Blip<impl Read>,
        config: &Config,
        texts: Captions,
        pictures: Option<(&Source, &[Range<usize>])>,
        pool: Pool,
    ) -> Array2<f32> {
        let (encoder, shape) = (p.encoder().expect("a model with a text encoder"), config.encoder());
        let rows = texts.offsets.last().map_or(0, |end| end - texts.offsets[0]);
        let mut states = Array2::zeros((pool.rows(rows, texts.len()), shape.size.width));
        if texts.is_empty() {
            return states;
        }
        let Inference { text, keys, scratch, .. } = self;
        in_pool(|| {
            let sights = pictures.map(|(source, texts)| (Sights { texts, rows: &source.rows }, source.tokens.view()));
            let keys = sights.filter(|(sights, _)| !shape.looks_at_tokens(texts, *sights)).map(|(_, tokens)| {
                let mut keys = keys.carve(&shape.keys(tokens.nrows()));
                text::keys(encoder.shared, tokens, &mut keys);
                keys
            });
            let keys = keys.as_ref().map(Keys::view);
            let sights =
                sights.map(|(sights, tokens)| (sights, keys.as_ref().map_or(Attended::Tokens(tokens), Attended::Keys)));
            text::forward(
                encoder,
                &shape,
                texts,
                sights,
                (pool, Keep::Nothing),
                None,
                states.view_mut(),
                text,
                scratch,
            );
        });
        states
    }

    /// Ranks texts, which begin with `[DEC]` and end with `[SEP]`, by how likely the decoder finds them in view of a
    /// source of one picture or question. Returns the places of the `keep` texts whose second token is likeliest, best
    /// first, each with minus the sum of its tokens' losses, which have label smoothing as in training.
    ///
    /// # Panics
    /// If the model has no text decoder.
    #[track_caller]
    pub fn rank(
        &mut self,
        p: &Blip<impl Read>,
        config: &Config,
        source: &Source,
        texts: &[Vec<u32>],
        keep: usize,
        smoothing: f32,
    ) -> Vec<(usize, f32)> {
        let begin = [config.text.ids.decode];
        let best_first = |a: &(usize, f32), b: &(usize, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        self.decode(p, config, source, |decoder| {
            let mut decoding = Decoding::default();
            let logits = decoding.start(decoder, &[&begin], 1);
            let first = |text: &Vec<u32>| text.get(1).map_or(f32::NEG_INFINITY, |&id| logits[[0, id as usize]]);
            let mut ranked: Vec<(usize, f32)> = texts.iter().map(first).enumerate().collect();
            ranked.sort_by(best_first);
            ranked.truncate(keep);
            let kept: Vec<&[u32]> = ranked.iter().map(|&(place, _)| &texts[place][..]).collect();
            let scores = decoder.losses(&kept, smoothing);
            ranked.iter_mut().zip(scores).for_each(|((_, score), loss)| *score = -loss);
            ranked.sort_by(best_first);
            ranked
        })
    }

    /// Returns how much the decoder attends to each row of a picture behind each token of a text, in the mean over the
    /// heads of its last block. The token that it writes next is what it looks for.
    ///
    /// result (tokens,M), rows that add to 1
    ///
    /// # Panics
    /// If the model has no text decoder, or if there is not one picture.
    #[track_caller]
    pub fn attention(&mut self, p: &Blip<impl Read>, config: &Config, picture: &Source, ids: &[u32]) -> Array2<f32> {
        assert_eq!(picture.rows.len(), 1, "one picture");
        let (decoder, shape) = (p.decoder().expect("a model with a text decoder"), config.decoder());
        let Inference { text, keys, scratch, .. } = self;
        in_pool(|| {
            let keys = &mut keys.carve(&shape.keys(picture.tokens.nrows()));
            text::keys(decoder.shared, picture.tokens.view(), keys);
            let (keys, offsets) = (keys.view(), [0, ids.len()]);
            let texts = Captions { ids, offsets: &offsets };
            let sights = Sights { texts: from_ref(&(0..1)), rows: &picture.rows };
            let mut states = Array2::zeros((ids.len(), shape.size.width));
            let (looks, how) = (Some((sights, Attended::Keys(&keys))), (Pool::All, Keep::All));
            text::forward(decoder, &shape, texts, looks, how, None, states.view_mut(), text, scratch);
            text::attention(&shape, &keys, text)
        })
    }

    /// Calls `search` with a decoder that looks at the sources, one a request.
    ///
    /// # Panics
    /// If the model has no text decoder.
    #[track_caller]
    pub fn decode<R: Read, T: Send>(
        &mut self,
        p: &Blip<R>,
        config: &Config,
        source: &Source,
        search: impl FnOnce(&Decoder<R>) -> T + Send,
    ) -> T {
        let (text, shape) = (p.decoder().expect("a model with a text decoder"), config.decoder());
        let head = &p.text_decoder.as_ref().expect("a model with a text decoder").head;
        let keys = &mut self.keys;
        in_pool(|| {
            let keys: &mut Keys<_> = &mut keys.carve(&shape.keys(source.tokens.nrows()));
            text::keys(text.shared, source.tokens.view(), keys);
            search(&Decoder { text, head, shape, keys: keys.view(), sources: &source.rows })
        })
    }
}

/// Returns x Wᵀ + b, with rows of unit length.
fn project(proj: &linear::Linear<impl Read>, x: ArrayView2<f32>, embed_dim: usize) -> Array2<f32> {
    let mut features = Array2::zeros((x.nrows(), embed_dim));
    if x.nrows() > 0 {
        linear::forward(proj, x, features.view_mut());
    }
    normalize::unit(features.view())
}
