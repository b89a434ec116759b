//! LM: the decoder predicts each next token of a text in view of what the text looks at.
//!
//! ```text
//! loss = Σ weight · cross-entropy of each token, smoothed by 0.1
//! ```
//!
//! A text begins with tokens that are given, at least `[DEC]`; the others are its targets. The last of them is what is
//! predicted behind all others. Nothing is predicted behind it, and no other row of a decoder sees it, so the decoder
//! does without.
//!
//! # The floor
//! The target of a token is spread over all V tokens, so no model's mean loss is below the entropy of that: with V =
//! 30,524 it is 1.36, where ln V = 10.33 is what knowing nothing costs.

use super::options::Options;
use super::passes::{KeysAndGradient, Memory, keys, pass};
use crate::layers::dropout::Pass;
use crate::layers::sequences::Pool;
use crate::loss::cross_entropy::{Labels, Sums};
use crate::models::Packed;
use crate::models::blip::sights::{Sights, SightsMut};
use crate::models::blip::text::{self, Workspace};
use crate::models::blip::{Blip, Config, head};
use crate::tree::Arena;
use kernels::Write;
use ndarray::{ArrayView2, ArrayViewMut2};

/// A text to be written.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The tokens, of which `[DEC]` replaces the first.
    pub text: &'a [u32],
    /// How many tokens are given, the first among them.
    pub given: usize,
    /// What each target counts.
    pub weight: f32,
}

impl<'a> Wanted<'a> {
    /// Lists the tokens behind the first, each a target or not.
    fn targets(self, pad: u32) -> impl Iterator<Item = Option<u32>> + 'a {
        let Wanted { text, given, .. } = self;
        text.iter().enumerate().skip(1).map(move |(i, &id)| (i >= given && id != pad).then_some(id))
    }

    /// Counts the targets.
    pub fn count(self, config: &Config) -> u64 {
        self.targets(config.text.ids.pad).flatten().count() as u64
    }
}

/// The buffers of the loss.
#[derive(Default)]
pub(super) struct Writing {
    texts: Packed,
    labels: Labels,
    losses: Vec<f32>,
    leaving: Arena,
}

impl Writing {
    /// Goes forward and backward for texts. Adds the gradients of the decoder's parameters to `g`.
    pub fn backward<'a>(
        &mut self,
        p: &Blip<&[f32]>,
        config: &Config,
        wanted: impl Iterator<Item = Wanted<'a>> + Clone,
        seen: SightsMut,
        dropout: Option<Pass>,
        (workspace, scratch): (&mut Workspace, &mut Arena),
        g: &mut Blip<&mut [f32]>,
    ) -> Sums {
        let Writing { texts, labels, losses, leaving } = self;
        let ids = config.text.ids;
        texts.fill(ids.decode, wanted.clone().map(|Wanted { text, .. }| &text[1..text.len() - 1]));
        let labelled =
            |wanted: Wanted<'a>| wanted.targets(ids.pad).map(move |target| target.map(|id| (id, wanted.weight)));
        labels.fill(wanted.flat_map(labelled));
        losses.resize(labels.len(), 0.0);
        let (decoder, shape) = (p.decoder().expect("a decoder"), config.decoder());
        let p_head = &p.text_decoder.as_ref().expect("a decoder").head;
        let table = decoder.shared.embeddings.word_embeddings;
        let (g, g_head) = g.decoder_mut().expect("a decoder");
        let (how, memory) = ((Pool::All, dropout), Memory { workspace, leaving, scratch });
        pass(decoder, &shape, texts.captions(), seen, how, memory, g, |y, dy, g, arena| {
            let g_table = &mut *g.shared.embeddings.word_embeddings;
            head::backward(p_head, table, &shape, y, labels, Options::SMOOTHING, losses, dy, arena, g_head, g_table)
        })
    }
}

/// The memory of a decoder that is the only one to look at its source.
#[derive(Default)]
pub(super) struct Writer {
    writing: Writing,
    keys: Arena,
    workspace: Workspace,
}

impl Writer {
    /// Goes forward and backward for texts, through the keys and values of their source. Adds the gradients of the
    /// decoder's parameters to `g`, and the source's gradient to `dsource`.
    ///
    /// `source`, `dsource` (M,D)
    pub fn backward<'a>(
        &mut self,
        p: &Blip<&[f32]>,
        config: &Config,
        wanted: impl Iterator<Item = Wanted<'a>> + Clone,
        (source, dsource): (ArrayView2<f32>, ArrayViewMut2<f32>),
        sights: Sights,
        dropout: Option<Pass>,
        scratch: &mut Arena,
        g: &mut Blip<&mut [f32]>,
    ) -> Sums {
        let Writer { writing, keys: arena, workspace } = self;
        let shared = p.decoder().expect("a decoder").shared;
        let KeysAndGradient { keys, mut dkeys } = keys(shared, &config.decoder(), source, arena);
        let seen = SightsMut { sights, keys: &keys.view(), write: Write::Set, dkeys: &mut dkeys };
        let sums = writing.backward(p, config, wanted, seen, dropout, (workspace, scratch), g);
        // in the forward pass: keys = source W_kvᵀ + b_kv, once a block
        let (g, _) = g.decoder_mut().expect("a decoder");
        text::backward_keys(shared, source, &dkeys, dsource, g.shared);
        sums
    }
}
