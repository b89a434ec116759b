//! ITM and LM: what is asked of texts that look at pictures.
//!
//! Cross-attention is the same in the image-grounded encoder and decoder. So keys and values of a picture are computed
//! once, for all texts that are judged with it and for the one that is written, and so is the gradient of its tokens.
//!
//! The last token of a text is what is predicted behind the others. Nothing is predicted behind it, and no other row of
//! a decoder sees it, so the decoder does without.

use super::batch::Batch;
use super::looks::Looks;
use super::negatives::Negatives;
use super::options::Options;
use super::towers::Seen;
use crate::layers::sequences::Pool;
use crate::loss::cross_entropy::{self, Labels, Scratch as LossScratch};
use crate::models::blip::text::{self, Attended, Keys, Shape, Sights, SightsMut, TextMut, TextRef, Workspace};
use crate::models::blip::{Blip, Config, head};
use crate::models::{Captions, Keep, Packed};
use crate::tree::{Arena, Dim, tree};
use kernels::Write;
use ndarray::{ArrayView2, ArrayViewMut2};
use std::ops::Range;

tree! {
    /// Keys and values of a micro-batch's pictures, and their gradient.
    KeysAndGradient { keys: Keys, dkeys: Keys }
}

tree! {
    /// The rows that leave the text Transformer, and their gradient.
    ///
    /// `y`, `dy` (M,d)
    Leaving { y, dy }
}

/// What one pair, and one token, counts in the means over all ranks.
#[derive(Clone, Copy, Default)]
pub(super) struct Weights {
    pub pair: f32,
    pub token: f32,
}

/// The buffers of both losses.
#[derive(Default)]
pub(super) struct Grounded {
    looks: Looks,
    labels: Labels,
    losses: Vec<f32>,
    texts: Packed,
    one_each: Vec<Range<usize>>,
    picture_rows: Vec<Range<usize>>,
    keys: Arena,
    leaving: Arena,
    head: Arena,
}

impl Grounded {
    /// Goes forward and backward for all texts that look at pictures of `range`. Returns their parts of ITM and LM, and
    /// adds the gradients of all parameters to `g` and that of the tokens to `seen`.
    pub fn backward(
        &mut self,
        p: &Blip<&[f32]>,
        config: &Config,
        (batch, range): (&Batch, Range<usize>),
        negatives: &Negatives,
        weights: Weights,
        seen: Seen,
        g: &mut Blip<&mut [f32]>,
    ) -> [f32; 2] {
        let Seen { tokens, dtokens, workspace, scratch } = seen;
        self.looks.fill(range.clone(), negatives);
        let each = config.vit().grid.tokens();
        self.picture_rows.clear();
        self.picture_rows.extend((0..range.len()).map(|i| i * each..(i + 1) * each));
        let (encoder, shape) = (p.encoder().expect("a text encoder"), config.encoder());
        let mut arena = std::mem::take(&mut self.keys);
        let (keys, dkeys) = (shape.keys(tokens.nrows()), shape.keys(tokens.nrows()));
        let KeysAndGradient { mut keys, mut dkeys } = arena.carve(&KeysAndGradient { keys, dkeys });
        text::keys(encoder.shared, tokens, &mut keys);
        let keys = keys.view();
        let memory = (&mut *workspace, &mut *scratch);
        let matching = self.match_texts(p, config, batch, weights.pair, (&keys, &mut dkeys), memory, g);
        let memory = (workspace, scratch);
        let writing = match p.text_decoder {
            Some(_) => self.write_texts(p, config, (batch, range), weights.token, (&keys, &mut dkeys), memory, g),
            None => 0.0,
        };
        // in the forward pass: keys = tokens W_kvᵀ + b_kv, once a block
        let g_shared = &mut g.text_encoder.as_mut().expect("a text encoder").shared;
        text::backward_keys(encoder.shared, tokens, &dkeys, dtokens, g_shared);
        self.keys = arena;
        [matching, writing]
    }

    /// ITM: Σ weight · cross-entropy(itm_head(first row)) over the judged pairs
    ///
    /// Sets the gradient of the keys.
    fn match_texts(
        &mut self,
        p: &Blip<&[f32]>,
        config: &Config,
        batch: &Batch,
        weight: f32,
        (keys, dkeys): (&Keys<ArrayView2<f32>>, &mut Keys<ArrayViewMut2<f32>>),
        memory: (&mut Workspace, &mut Arena),
        g: &mut Blip<&mut [f32]>,
    ) -> f32 {
        let Grounded { looks, labels, losses, texts, picture_rows, leaving, head: arena, .. } = self;
        texts.fill(config.text.ids.encode, looks.texts.iter().map(|&text| &batch.texts.of(text)[1..]));
        labels.fill(looks.classes.iter().map(|&(class, count)| Some((class, count * weight))));
        losses.resize(labels.len(), 0.0);
        let sights = Sights { texts: &looks.of_pictures, rows: picture_rows };
        let seen = SightsMut { sights, keys, write: Write::Set, dkeys };
        let (encoder, shape) = (p.encoder().expect("a text encoder"), config.encoder());
        let p_head = p.itm_head.as_ref().expect("an ITM head");
        let g_head = g.itm_head.as_mut().expect("an ITM head");
        let g = g.text_encoder.as_mut().expect("a text encoder").as_mut();
        pass(encoder, &shape, texts.captions(), seen, Pool::First, leaving, memory, g, |y, dy, _| {
            let scratch = &mut arena.carve(&LossScratch::dims(labels.len(), y.ncols(), p_head.bias.len()));
            cross_entropy::backward(p_head, y, labels, 0.0, losses, dy, g_head, scratch)
        })
    }

    /// LM: Σ weight · cross-entropy of each next token, with label smoothing
    ///
    /// Adds to the gradient of the keys.
    fn write_texts(
        &mut self,
        p: &Blip<&[f32]>,
        config: &Config,
        (batch, range): (&Batch, Range<usize>),
        weight: f32,
        (keys, dkeys): (&Keys<ArrayView2<f32>>, &mut Keys<ArrayViewMut2<f32>>),
        memory: (&mut Workspace, &mut Arena),
        g: &mut Blip<&mut [f32]>,
    ) -> f32 {
        let Grounded { labels, losses, texts, one_each, picture_rows, leaving, head: arena, .. } = self;
        let (targets, ids) = (range.clone().map(|i| &batch.texts.of(i)[1..]), config.text.ids);
        texts.fill(ids.decode, targets.clone().map(|text| &text[..text.len() - 1]));
        labels.fill(targets.flatten().map(|&id| (id != ids.pad).then_some((id, weight))));
        losses.resize(labels.len(), 0.0);
        one_each.clear();
        one_each.extend((0..range.len()).map(|i| i..i + 1));
        let sights = Sights { texts: one_each, rows: picture_rows };
        let seen = SightsMut { sights, keys, write: Write::Add, dkeys };
        let (decoder, shape) = (p.decoder().expect("a decoder"), config.decoder());
        let (p_head, table) =
            (&p.text_decoder.as_ref().expect("a decoder").head, decoder.shared.embeddings.word_embeddings);
        let (g, g_head) = g.decoder_mut().expect("a decoder");
        pass(decoder, &shape, texts.captions(), seen, Pool::All, leaving, memory, g, |y, dy, g| {
            let g_table = &mut *g.shared.embeddings.word_embeddings;
            head::backward(p_head, table, &shape, y, labels, Options::SMOOTHING, losses, dy, arena, g_head, g_table)
        })
    }
}

/// Counts the tokens of these texts that are predicted.
pub(super) fn predicted_tokens(batch: &Batch, config: &Config) -> usize {
    let tokens = (0..batch.len()).flat_map(|i| &batch.texts.of(i)[1..]);
    tokens.filter(|&&id| id != config.text.ids.pad).count()
}

/// Runs texts forward and backward. `loss` turns the rows that leave into a loss and writes their gradient.
fn pass(
    p: TextRef<&[f32]>,
    shape: &Shape,
    texts: Captions,
    seen: SightsMut,
    pool: Pool,
    leaving: &mut Arena,
    (workspace, scratch): (&mut Workspace, &mut Arena),
    mut g: TextMut<&mut [f32]>,
    loss: impl FnOnce(ArrayView2<f32>, ArrayViewMut2<f32>, &mut TextMut<&mut [f32]>) -> f32,
) -> f32 {
    let rows = Dim(pool.rows(texts.ids.len(), texts.len()), shape.size.width);
    let Leaving { mut y, mut dy } = leaving.carve(&Leaving { y: rows, dy: rows });
    let looks = Some((seen.sights, Attended::Keys(seen.keys)));
    text::forward(p, shape, texts, looks, (pool, Keep::All), None, y.view_mut(), workspace, scratch);
    let loss = loss(y.view(), dy.view_mut(), &mut g);
    text::backward(p, shape, texts, Some(seen), pool, dy.view(), workspace, scratch, g);
    loss
}
