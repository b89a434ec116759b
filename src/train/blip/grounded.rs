//! ITM and LM of pictures: what is asked of texts that look at them.
//!
//! Cross-attention is the same in the image-grounded encoder and decoder. So keys and values of a picture are computed
//! once, for all texts that are judged with it and for the one that is written, and so is the gradient of its tokens.

use super::batch::Batch;
use super::drops::{Drops, Stream};
use super::looks::Looks;
use super::matching::Matching;
use super::negatives::Negatives;
use super::passes::{KeysAndGradient, fill_ranges, keys};
use super::towers::Towers;
use super::vision::Seen;
use super::writing::Writing;
use crate::loss::cross_entropy::Sums;
use crate::models::Captions;
use crate::models::blip::sights::{Sights, SightsMut};
use crate::models::blip::text;
use crate::models::blip::{Blip, Config};
use crate::tree::Arena;
use kernels::Write;
use std::ops::Range;

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
    matching: Matching,
    writing: Writing,
    picture_rows: Vec<Range<usize>>,
    one_each: Vec<Range<usize>>,
    keys: Arena,
}

impl Grounded {
    /// Goes forward and backward for all texts that look at pictures of `range`, out of the `texts` of all ranks. Returns
    /// their parts of ITM and LM, and adds the gradients of all parameters to `g` and that of the tokens to what the
    /// towers have seen.
    pub fn backward(
        &mut self,
        p: &Blip<&[f32]>,
        config: &Config,
        (batch, range): (&Batch, Range<usize>),
        (negatives, texts, weights): (&Negatives, Captions, Weights),
        drops: &Drops,
        towers: &mut Towers,
        g: &mut Blip<&mut [f32]>,
    ) -> [Sums; 2] {
        let Grounded { looks, matching, writing, picture_rows: rows, one_each, keys: arena } = self;
        let Towers { vision, text: workspace, scratch, .. } = towers;
        let Seen { tokens, dtokens } = vision.seen(&config.vit(), range.len());
        fill_ranges(rows, range.len(), config.vit().grid.tokens());
        fill_ranges(one_each, range.len(), 1);
        let (encoder, shape) = (p.encoder().expect("a text encoder"), config.encoder());
        let KeysAndGradient { keys, mut dkeys } = keys(encoder.shared, &shape, tokens, arena);
        let keys = &keys.view();
        looks.fill(range.clone(), negatives);
        let sights = Sights { texts: &looks.of_pictures, rows };
        let seen = SightsMut { sights, keys, write: Write::Set, dkeys: &mut dkeys };
        let dropout = drops.texts_at(Stream::Pairs, &looks.places);
        let (judged, memory) = ((texts, &*looks, weights.pair), (&mut *workspace, &mut *scratch));
        let matched = matching.backward(p, config, judged, seen, dropout, memory, g);
        let written = p.text_decoder.as_ref().map_or(Sums::default(), |_| {
            let wanted = batch.wanted(range.clone(), weights.token);
            let sights = Sights { texts: one_each, rows };
            let seen = SightsMut { sights, keys, write: Write::Add, dkeys: &mut dkeys };
            let dropout = drops.texts(Stream::Written, &range);
            writing.backward(p, config, wanted, seen, dropout, (workspace, scratch), g)
        });
        // in the forward pass: keys = tokens W_kvᵀ + b_kv, once a block
        let g_shared = &mut g.text_encoder.as_mut().expect("a text encoder").shared;
        text::backward_keys(encoder.shared, tokens, &dkeys, dtokens, g_shared);
        [matched, written]
    }
}
